#!/usr/bin/env bash
# requirements.sh run|test|bench: makes sure that what a build needs is there.
#
# As root on Debian or Ubuntu what is missing is installed; elsewhere one line says what to do.
# All talk goes to stderr.
set -euo pipefail

say() { echo "duologue: $*" >&2; }

can_install() { [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; }

# need COMMAND PACKAGES: the command, or the Debian packages that bring it.
need() {
  command -v "$1" >/dev/null && return
  can_install || { say "$1 is missing: install it (on Debian or Ubuntu: sudo apt-get install $2)"; exit 1; }
  say "installing $2"
  # shellcheck disable=SC2086 # several packages
  apt-get install -y -qq $2 >&2 || { apt-get update -qq >&2 && apt-get install -y -qq $2 >&2; }
}

command -v cargo >/dev/null || { say "cargo is missing: install rustup, then open a new shell"; exit 1; }
need cc "gcc libc6-dev"
if [ "${1:-run}" != run ]; then
  need node "nodejs npm"
  need npm "npm"
  need flock "util-linux"
  need python3 "python3"
  need openssl "openssl"
  python3 -m pip --version >/dev/null 2>&1 || need pip3 "python3-pip"
  major=$(node --version | sed 's/^v\([0-9]*\).*/\1/')
  [ "$major" -ge 20 ] || { say "node $major is too old for the tests: install Node 20 or newer"; exit 1; }
fi
if [ "${1:-run}" = bench ]; then
  need psql "postgresql"
  need pgbench "postgresql"
fi
