#!/usr/bin/env bash
# Builds the tests' guests in JavaScript, Python and Rust, to target/guests/<name>.wasm.
#
#   usage: runtime-guests.sh DIR
#
# The tools are pinned: componentize-qjs by tests/package-lock.json, componentize-py below; the
# latter is kept in DIR. A guest is built again where its source, `wit/` or a tool has changed.
set -euo pipefail

readonly VERSION=0.25.1
# Linux x86_64, Linux aarch64, macOS arm64. A new version needs new ones:
# `pip download --no-deps --only-binary=:all: --platform … componentize-py==VERSION`, then sha256sum.
readonly HASHES=(
    8623cd8cab8453cb0cd8bf03f3c7103420d06f2f3d360186a280a70a1ca5e89f
    7b6a87c520358166843af0daa86d2312d7af4cbcbbf1e598951085cf7f2991ca
    a556991534cc496207a9d2ca733c4b0f17ed38ef56a8d6b5f1847fdf1225dd1b
)

[ $# = 1 ] || { echo "usage: $0 DIR" >&2; exit 2; }
root=$(cd "$(dirname "$0")/../.." && pwd)
readonly root guests=$root/host/tests/it/guests out=$root/target/guests
mkdir -p "$1" "$out"
tools=$(cd "$1" && pwd -P)/componentize-py-$VERSION

say() { echo "runtime-guests: $*" >&2; }

# stamp FILES: names the inputs of a guest.
stamp() { (cd "$root" && cat "$@" wit/*.wit host/tools/runtime-guests.sh | sha256sum); }

# fresh NAME STAMP: whether the guest was built from these inputs.
fresh() { [ -f "$out/$1.wasm" ] && [ "$(cat "$out/$1.stamp" 2>/dev/null)" = "$2" ]; }

# Two at a time would overwrite what the other builds.
exec 9>"$out/lock"
flock 9

# javascript NAME: a guest in a folder and a world of that name.
javascript() {
    local inputs
    inputs=$(stamp "host/tests/it/guests/$1/"{plugin.js,wit/world.wit} tests/package-lock.json)
    fresh "$1" "$inputs" && return
    [ -x "$root/tests/node_modules/.bin/componentize-qjs" ] ||
        (cd "$root/tests" && npm ci --no-audit --no-fund >&2)
    rm -rf "$out/$1-wit"
    mkdir -p "$out/$1-wit/deps"
    cp "$guests/$1/wit/world.wit" "$out/$1-wit"
    cp -r "$root/wit" "$out/$1-wit/deps/duologue"
    # Without --sync it needs the async part of the component model, which the server leaves out.
    "$root/tests/node_modules/.bin/componentize-qjs" --sync --wit "$out/$1-wit" --world "$1" \
        --js "$guests/$1/plugin.js" --output "$out/$1.wasm" >&2
    echo "$inputs" >"$out/$1.stamp"
}

javascript js
javascript notify
javascript polls

inputs=$(stamp host/tests/it/guests/python/plugin.py)
if ! fresh python "$inputs"; then
    if [ ! -x "$tools/bin/componentize-py" ]; then
        say "fetching componentize-py $VERSION"
        scratch=$(mktemp -d "$tools.new-XXXXXX")
        # shellcheck disable=SC2064 # The name as it is now.
        trap "rm -rf '$scratch'" EXIT
        requirement="componentize-py==$VERSION"
        for hash in "${HASHES[@]}"; do requirement+=" --hash=sha256:$hash"; done
        echo "$requirement" >"$scratch/requirements.txt"
        python3 -m pip install --quiet --disable-pip-version-check --root-user-action=ignore \
            --no-deps --only-binary=:all: \
            --require-hashes --requirement "$scratch/requirements.txt" --target "$scratch/tool" >&2 ||
            { say "could not fetch componentize-py $VERSION for this system"; exit 1; }
        # Another one of us may have been faster.
        [ -d "$tools" ] || mv "$scratch/tool" "$tools"
    fi
    # From a copy, because the tool writes beside what it reads.
    mkdir -p "$out/python"
    cp "$guests/python/plugin.py" "$out/python"
    (cd "$out/python" && PYTHONPATH=$tools "$tools/bin/componentize-py" --wit-path "$root/wit" \
        --world filter componentize plugin --output "$out/python.wasm" >&2)
    echo "$inputs" >"$out/python.stamp"
fi
inputs=$(stamp host/tests/it/guests/listener/{Cargo.toml,Cargo.lock,src/lib.rs})
if ! fresh listener "$inputs"; then
    # In the plugins' target directory, where what both need has been built.
    target=wasm32-unknown-unknown build=$root/plugins/target
    (eval "$("$root/plugins/tools/guest-toolchain.sh")" && cd "$guests/listener" &&
        env -u RUSTFLAGS -u CARGO_ENCODED_RUSTFLAGS CARGO_TARGET_DIR="$build" \
            cargo build --locked --release --target $target >&2)
    cp "$build/$target/release/listener.wasm" "$out/listener.wasm"
    echo "$inputs" >"$out/listener.stamp"
fi
echo "$out"
