#!/usr/bin/env bash
# Builds every plugin here, to plugins/target/wasm32-unknown-unknown/release/<name>.wasm.
# Needs cargo and nothing else; tools/guest-toolchain.sh finds or makes the compiler.
set -euo pipefail
HERE=$(cd "$(dirname "$0")" && pwd)
TARGET=wasm32-unknown-unknown
OUT=$HERE/target/$TARGET/release

# Sets RUSTC in this script only: with it nobody may build the server.
eval "$("$HERE/tools/guest-toolchain.sh")"
# From its folder, so that cargo reads its .cargo/config.toml.
(cd "$HERE" && env -u RUSTFLAGS -u CARGO_ENCODED_RUSTFLAGS -u CARGO_TARGET_DIR \
  cargo build --locked --release --target $TARGET)
for manifest in "$HERE"/*/Cargo.toml; do
  name=$(basename "$(dirname "$manifest")")
  # Cargo writes an underscore for each dash. The SDK is no plugin.
  built=$OUT/${name//-/_}.wasm
  [ -f "$built" ] || continue
  [ "$built" -ef "$OUT/$name.wasm" ] || cp "$built" "$OUT/$name.wasm"
  echo "$OUT/$name.wasm"
done
