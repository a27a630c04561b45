#!/usr/bin/env bash
# Finds or makes a Rust toolchain that builds plugins (wasm32-unknown-unknown).
#
#   usage:  eval "$(plugins/tools/guest-toolchain.sh [DIR])"    # DIR: ~/.cache/duologue-guest
#           cargo build --release --target wasm32-unknown-unknown
#
# Prints shell to eval on stdout: a comment where the active toolchain has the target, else
# `export RUSTC=…`. Talk goes to stderr. Three ways, in this order:
#   1. The target is installed: nothing to do.
#   2. Debian's packages: a current compiler (rustc-web) and the sources that belong to it
#      (rust-web-src) are unpacked privately under DIR, the wasm standard library is built once
#      from them, and rustup's own cargo, rust-lld and wasm-component-ld go with them. Nothing is
#      installed system-wide; a second run does nothing while DIR is up to date.
#   3. `rustup target add`, only where there are no such packages.
# DUOLOGUE_GUEST_FORCE=1 takes the second way even where the target is installed.
set -euo pipefail
TARGET=wasm32-unknown-unknown
OLDEST=1.90   # of Debian's compilers that plugins build with; an older one means stale lists
DIR=$(realpath -m "${1:-${DUOLOGUE_GUEST_DIR:-$HOME/.cache/duologue-guest}}")
say() { echo "guest-toolchain: $*" >&2; }
has_target() { ls "$("${RUSTC:-rustc}" --print target-libdir --target $TARGET 2>/dev/null)"/libstd-*.rlib >/dev/null 2>&1; }

if [ -z "${DUOLOGUE_GUEST_FORCE:-}" ] && has_target; then echo "# $TARGET is there"; exit 0; fi

# --- Which packages: the compiler, the host's std (for proc macros), the sources, LLVM. ---
unset RUSTC
HOST=$(rustc -vV | sed -n 's/^host: //p')
TOOLS=$(rustc --print sysroot)/lib/rustlib/$HOST/bin          # rustup's rust-lld, wasm-component-ld
deps() { apt-cache show --no-all-versions "$1" 2>/dev/null | sed -n 's/^Depends: //p' | tr ',|' '\n\n' | sed 's/ *(.*//; s/^ *//'; }
resolve() {
  command -v apt-cache >/dev/null || return 1
  VER=$(apt-cache policy rustc-web 2>/dev/null | sed -n 's/^ *Candidate: //p')
  [ -n "$VER" ] && dpkg --compare-versions "$VER" ge "$OLDEST" || return 1
  STD=$(deps libstd-rust-web-dev | grep -E '^libstd-rust-web-[0-9.]+$') || return 1  # libstd-rust-web-1.96
  LLVM=$(deps "$STD" | grep -E '^libllvm[0-9]+$') || return 1                        # libllvm22
  PKGS="rustc-web rust-web-src libstd-rust-web-dev $STD $LLVM"
  for d in $(deps "$LLVM"); do dpkg -s "$d" >/dev/null 2>&1 || PKGS="$PKGS $d"; done
  STAMP="rustc-web $VER on $HOST, linkers of $(rustc -V), recipe 4"
}
update() { say "apt-get update"; apt-get update -qq >&2; }
with_rustup() {
  say "Debian offers no compiler of $OLDEST or later here; rustup target add $TARGET"
  rustup target add $TARGET >&2
  echo "# $TARGET is there"
}
emit() { echo "export RUSTC='$DIR/bin/rustc'"; }

mkdir -p "$(dirname "$DIR")"; exec 9>"$DIR.lock"; flock 9
up_to_date() { [ "$(cat "$DIR/stamp" 2>/dev/null)" = "$STAMP" ]; }
resolve || { command -v apt-get >/dev/null && update && resolve; } || { with_rustup; exit; }
if up_to_date; then say "up to date: $STAMP"; emit; exit 0; fi
for t in rust-lld wasm-component-ld gcc-ld/wasm-ld; do
  [ -x "$TOOLS/$t" ] || { say "no $TOOLS/$t: rustup's toolchain is needed"; exit 1; }
done

# --- Fetch and unpack (0.6 GB for a while). ---
rm -rf "$DIR"; mkdir -p "$DIR/debs" "$DIR/root" "$DIR/bin"
fetch() { say "downloading $PKGS"; (cd "$DIR/debs" && apt-get -o APT::Sandbox::User=root download -qq $PKGS >&2); }
fetch || { update; resolve; fetch; }
for d in "$DIR"/debs/*.deb; do dpkg -x "$d" "$DIR/root"; done
rm -rf "$DIR/debs" "$DIR/root/usr/share/doc"
R=$DIR/root/usr; SRC=$(realpath "$R/lib/rustlib/src/rust"); MULTI=$(basename "$R"/lib/*-linux-gnu*)

# --- A rustc that finds its libraries, and rustup's linkers where that rustc looks for them. ---
cat > "$DIR/bin/rustc" <<SH
#!/bin/sh
LD_LIBRARY_PATH='$R/lib/$MULTI'\${LD_LIBRARY_PATH:+:\$LD_LIBRARY_PATH}
export LD_LIBRARY_PATH
exec '$R/bin/rustc' "\$@"
SH
chmod +x "$DIR/bin/rustc"
mkdir -p "$R/lib/rustlib/$HOST/bin"
ln -sfn "$TOOLS"/{rust-lld,wasm-component-ld,gcc-ld} "$R/lib/rustlib/$HOST/bin/"
export RUSTC=$DIR/bin/rustc
say "$("$RUSTC" -V)"

# --- The wasm standard library, built once, into the private sysroot. ---
S=$DIR/seed; mkdir -p "$S/src"; : > "$S/src/lib.rs"
cat > "$S/Cargo.toml" <<'TOML'
[package]
name = "seed"
version = "0.0.0"
edition = "2021"
[profile.release]
opt-level = "s"
codegen-units = 4
panic = "abort"
[workspace]
TOML
# Remapped, so that the place of DIR does not show in what is built.
FLAGS=$(printf '%s\x1f%s\x1f%s' -Cembed-bitcode=yes \
  "--remap-path-prefix=$R/lib/rustlib/src/rust=/rustc" "--remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=/cargo")
(cd "$S" && env -u CARGO_BUILD_TARGET -u RUSTFLAGS RUSTC_BOOTSTRAP=1 CARGO_TARGET_DIR="$S/target" \
  CARGO_ENCODED_RUSTFLAGS="$FLAGS" cargo build --quiet --release --target $TARGET -Zbuild-std=std,panic_abort >&2)
mkdir -p "$R/lib/rustlib/$TARGET/lib"
for f in "$S/target/$TARGET/release/deps"/*.rlib; do
  case ${f##*/} in libseed-*) ;; *) cp "$f" "$R/lib/rustlib/$TARGET/lib/";; esac
done
rm -rf "$S" "$SRC"                                            # the sources are 340 MB
has_target || { say "the standard library did not come out"; exit 1; }
echo "$STAMP" > "$DIR/stamp"
say "ready in ${SECONDS}s, $(du -sm "$DIR" | cut -f1) MB in $DIR"
emit
