#!/usr/bin/env bash
# Builds every plugin here, to plugins/<name>/target/wasm32-unknown-unknown/release/<name>.wasm.
# Needs cargo and nothing else; tools/guest-toolchain.sh finds or makes the compiler.
set -euo pipefail
HERE=$(cd "$(dirname "$0")" && pwd)
TARGET=wasm32-unknown-unknown

# Sets RUSTC in this script only: with it nobody may build the server.
eval "$("$HERE/tools/guest-toolchain.sh")"
for manifest in "$HERE"/*/Cargo.toml; do
  folder=$(dirname "$manifest"); name=$(basename "$folder"); out=$folder/target/$TARGET/release
  # From its folder, so that cargo reads its .cargo/config.toml.
  (cd "$folder" && env -u RUSTFLAGS -u CARGO_ENCODED_RUSTFLAGS -u CARGO_TARGET_DIR \
    cargo build --locked --release --target $TARGET)
  # Cargo writes an underscore for each dash.
  [ "${name//-/_}" = "$name" ] || cp "$out/${name//-/_}.wasm" "$out/$name.wasm"
  echo "$out/$name.wasm"
done
