#!/bin/sh
# SPDX-License-Identifier: MIT
#
# vhostnet.sh - measure the kernel's vhost-net behind vhost-user against vmtap's own path, in a guest that has it
#
# The guest is scripts/test-in-guest.sh's. It is emulated as a rule, so its figures are worth as much as their
# ratios; docs/vhost-net.md has those.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
top=$(dirname "$here")
BUILD=${BUILD:-$top/build}
# Steps of 10 ms in which processor time is counted, and an emulated machine's hiccups, are to be small in it.
SECS=${SECS:-5}
tests="guest-tap:64 tap-guest:64 guest-tap:65226 tap-guest:65226"

case ${1:-} in
-h | --help)
	cat <<-EOF
		usage: bench/vhostnet.sh [OPTION of bench/run.sh...]

		Measures vmtap and vmtap-vhost (tap,vhostforce=on) in turn, with the front end of the
		bench "bulk" and the tests
		  $tests
		in a guest whose kernel has vhost-net. It takes root. SECS and REPS as for bench/run.sh;
		without them $SECS seconds and 3 repetitions.
	EOF
	exit 0
	;;
esac
"$top/scripts/deps.sh" build demo || echo "bench: going on with what is there" >&2
[ -f "$BUILD/build.ninja" ] || meson setup "$BUILD" "$top" >&2 || exit 2
ninja -C "$BUILD" vmtap bench-programs >&2 || exit 2
options="--secs $SECS --reps ${REPS:-3}"
for word; do
	options="$options '$(printf %s "$word" | sed "s/'/'\\\\''/g")'"
done
exec "$top/scripts/test-in-guest.sh" --timeout 3600 -c "exec bench/bench.py bulk --build '$BUILD' \
	--peers vmtap vmtap-vhost --tests $tests $options"
