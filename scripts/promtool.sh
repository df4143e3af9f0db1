#!/bin/bash
# SPDX-License-Identifier: MIT
#
# promtool.sh - where Prometheus' promtool is, for the test of metrics
#
# Its package would start a server on the host, so it is not installed: the program is taken out of it, once, and
# kept in the cache folder.
set -euo pipefail

cache=${VMTAP_CACHE:-${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/vmtap}

usage() {
	cat <<-EOF
		usage: scripts/promtool.sh [--path]

		Prints the path of promtool: an installed one, else one in $cache,
		which is fetched when it is not there; with --path it is not.

		Exit status: 0 it is there, 2 wrong usage, 3 it is not, and cannot be had.
	EOF
}

case ${1:-} in
-h | --help) usage && exit 0 ;;
--path | '') ;;
*) usage >&2 && exit 2 ;;
esac

command -v promtool && exit 0
if [ ! -x "$cache/promtool" ]; then
	[ -z "${1:-}" ] || exit 3
	tmp=$(mktemp -d)
	trap 'rm -rf "$tmp"' EXIT
	(cd "$tmp" && apt-get -q download prometheus </dev/null >log 2>&1 &&
		dpkg-deb --fsys-tarfile prometheus_*.deb | tar -x ./usr/bin/promtool) 2>>"$tmp/log" || {
		cat "$tmp/log" >&2
		echo "promtool.sh: cannot fetch the package prometheus; do the package lists need 'apt-get update'?" >&2
		exit 3
	}
	mkdir -p "$cache"
	# by rename: who looks sees all of it or nothing
	cp "$tmp/usr/bin/promtool" "$cache/promtool.$$"
	mv "$cache/promtool.$$" "$cache/promtool"
fi
echo "$cache/promtool"
