#!/usr/bin/env bash
# Builds the tests' guests in JavaScript, Python and Rust, to target/guests/<name>.wasm, and the
# sample plugins in JavaScript and Python, to target/guests/<name>-<language>.wasm.
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

# world NAME WORLD: a folder with a guest's own world and, as its dependency, `wit/`.
world() {
    rm -rf "$out/$1-wit"
    mkdir -p "$out/$1-wit/deps"
    cp "$2" "$out/$1-wit"
    cp -r "$root/wit" "$out/$1-wit/deps/duologue"
}

# build_js NAME WORLD FOLDER: from the folder's plugin.js, its modules and its wit/world.wit.
build_js() {
    local inputs
    inputs=$(cd "$root" && stamp "$3"/*.js "$3/wit/world.wit" tests/package-lock.json)
    if fresh "$1" "$inputs"; then return; fi
    [ -x "$root/tests/node_modules/.bin/componentize-qjs" ] ||
        (cd "$root/tests" && npm ci --no-audit --no-fund >&2)
    world "$1" "$root/$3/wit/world.wit"
    # Without --sync it needs the async part of the component model, which the server leaves out.
    "$root/tests/node_modules/.bin/componentize-qjs" --sync --wit "$out/$1-wit" --world "$2" \
        --module-root "$root/$3" --js "$root/$3/plugin.js" --output "$out/$1.wasm" >&2
    echo "$inputs" >"$out/$1.stamp"
}

fetch_componentize_py() {
    if [ -x "$tools/bin/componentize-py" ]; then return; fi
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
}

# build_python NAME WORLD FOLDER [WIT]: from the folder's plugin.py and modules; without its own
# world (a file), with one of `wit/`.
build_python() {
    local inputs wit=$root/wit
    inputs=$(cd "$root" && stamp "$3"/*.py ${4:+"$3/$4"})
    if fresh "$1" "$inputs"; then return; fi
    fetch_componentize_py
    if [ $# = 4 ]; then
        world "$1" "$root/$3/$4"
        wit=$out/$1-wit
    fi
    # From a copy, because the tool writes beside what it reads.
    rm -rf "${out:?}/$1"
    mkdir -p "$out/$1"
    cp "$root/$3"/*.py "$out/$1"
    (cd "$out/$1" && PYTHONPATH=$tools "$tools/bin/componentize-py" --wit-path "$wit" \
        --world "$2" componentize plugin --output "$out/$1.wasm" >&2)
    echo "$inputs" >"$out/$1.stamp"
}

build_js js js host/tests/it/guests/js
build_js keeper keeper host/tests/it/guests/keeper
build_js notify notify host/tests/it/guests/notify
build_js polls polls host/tests/it/guests/polls
build_js link-guard-js link-guard plugins/js/link-guard
build_python python filter host/tests/it/guests/python
build_python flood-guard-python flood-guard plugins/python/flood-guard wit/world.wit

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
