#!/bin/sh
# SPDX-License-Identifier: MIT
# run.sh - build what the benchmark needs, and run it; bench/run.sh --help says more
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
if [ ! -f "$BUILD/build.ninja" ]; then
	command -v meson >/dev/null || { echo "bench: Meson is needed to build" >&2; exit 2; }
	meson setup "$BUILD" "$top" >&2 || exit 2
fi
ninja -C "$BUILD" vmtap bench-load >&2 || exit 2
exec "$python" -B "$here/bench.py" --build "$BUILD" "$@"
