#!/bin/sh
# SPDX-License-Identifier: MIT
# run.sh - install and build what the benchmark needs, and run it; bench/run.sh --help says more
set -eu
here=$(cd "$(dirname "$0")" && pwd)
top=$(dirname "$here")
BUILD=${BUILD:-$top/build}
python=/usr/bin/python3
[ -x "$python" ] || python=python3

for arg; do
	case $arg in
	-h | --help) exec "$python" -B "$here/bench.py" --help ;;
	esac
done
# What is still missing then is left out, and said to be.
"$top/scripts/deps.sh" build bench || echo "bench: going on with what is there" >&2
if [ ! -f "$BUILD/build.ninja" ]; then
	command -v meson >/dev/null || { echo "bench: Meson is needed to build" >&2; exit 2; }
	meson setup "$BUILD" "$top" >&2 || exit 2
fi
ninja -C "$BUILD" vmtap bench-programs >&2 || exit 2
exec "$python" -B "$here/bench.py" --build "$BUILD" "$@"
