#!/bin/bash
# SPDX-License-Identifier: MIT
#
# test-in-guest.sh - run tests on another kernel: in a guest that sees this host's files
#
# The guest is Debian's cloud kernel (scripts/guest-image.sh), which has vhost-net, in QEMU. Its
# root is the host's own root over virtiofs, below an overlay in the guest's memory: every program
# and every build is there, and nothing that the guest does reaches the host, but for one folder
# that brings the results back.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
top=${here%/*}
py=/usr/bin/python3
memory=2048 timeout=900 junit='' line='' cpus=2
virtiofsd=${VMTAP_VIRTIOFSD:-/usr/lib/qemu/virtiofsd}

usage() {
	cat <<-EOF
		usage: scripts/test-in-guest.sh [OPTION...] [PYTEST ARGUMENT...]
		       scripts/test-in-guest.sh [OPTION...] -c LINE

		Boots a guest with a kernel that has vhost-net and runs pytest in it, or a line for the
		shell, as root and from the project's folder. Without any argument: the network suite
		and the tests of vhost-net.

		  -c LINE          run this instead of pytest
		  -t, --timeout N  give up after N seconds (default $timeout)
		  -m, --memory N   MiB of the guest's memory (default $memory)
		  --cpus N         processors of the guest (default $cpus)
		  --junit FILE     leave pytest's report there

		What the environment says in VMTAP*, ASAN_OPTIONS, UBSAN_OPTIONS and TSAN_OPTIONS holds in
		the guest, too. It takes root, since the files are shared by root.

		Exit status: the command's; 2 wrong usage, 3 something is missing, 124 time is up,
		125 the guest ended without a result (what its console said is printed).
	EOF
}

missing() {
	echo "test-in-guest.sh: $*" >&2
	exit 3
}

args=()
while [ $# != 0 ]; do
	case $1 in
	-h | --help) usage && exit 0 ;;
	-c) line=${2?} && shift ;;
	-t | --timeout) timeout=${2?} && shift ;;
	-m | --memory) memory=${2?} && shift ;;
	--cpus) cpus=${2?} && shift ;;
	--junit) junit=$(realpath -m "${2?}") && shift ;;
	*) args+=("$1") ;;
	esac
	shift
done
[ ${#args[@]} != 0 ] || args=(tests/net tests/vhost)
[ "$(id -u)" = 0 ] || missing "only root can share the host's files with a guest"
[ -x "$virtiofsd" ] || missing "there is no $virtiofsd (package qemu-system-common); VMTAP_VIRTIOFSD names another"
status=0
"$here/guest-image.sh" || status=$?
[ $status = 0 ] || exit $status

run=$(mktemp -d "${TMPDIR:-/tmp}/vmtap-guest.XXXXXX")
fsd='' qemu='' clock=''
cleanup() {
	local pid
	for pid in $qemu $fsd $clock; do kill "$pid" 2>/dev/null || true; done
	wait
	rm -rf "$run"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# What the guest runs, and with what around it.
cp "$here/guest/main-share" "$run/main"
{
	for name in ${!VMTAP*} ASAN_OPTIONS UBSAN_OPTIONS TSAN_OPTIONS LC_ALL MATRIX_EVERY; do
		[ -z "${!name:-}" ] || printf 'export %s=%q\n' "$name" "${!name}"
	done
	echo "export VMTAP_IN_GUEST=1"
} >"$run/environment"
if [ -z "$line" ]; then
	line="exec $py -m pytest -q -rfEs -p no:cacheprovider --junitxml=$run/junit.xml$(printf ' %q' "${args[@]}")"
fi
printf 'cd %q\n%s\n' "$top" "$line" >"$run/command"

"$virtiofsd" --socket-path="$run/fs" -o source=/,sandbox=chroot,cache=always,xattr >"$run/fsd.log" 2>&1 &
fsd=$!
for _ in $(seq 500); do
	[ ! -S "$run/fs" ] || break
	kill -0 $fsd 2>/dev/null || break
	read -rt 0.02 <> <(:) || true
done
[ -S "$run/fs" ] || {
	cat "$run/fsd.log" >&2
	missing "virtiofsd does not start here"
}

image=$("$here/guest-image.sh" --path)
VMTAP_INITRD=initrd-share VMTAP_APPEND="vmtap.run=$run vmtap.modules=$image/kernel/lib/modules" \
	"$here/guest-boot.sh" -no-reboot -cpu max,la57=off -smp "$cpus" -m "$memory" \
	-object "memory-backend-memfd,id=mem,size=${memory}M,share=on" -machine memory-backend=mem \
	-chardev "socket,id=fs,path=$run/fs" -device vhost-user-fs-pci,chardev=fs,tag=host \
	-object rng-random,id=rng,filename=/dev/urandom -device virtio-rng-pci,rng=rng \
	-serial "file:$run/console" -serial stdio </dev/null 2>"$run/qemu.log" &
qemu=$!
sleep "$timeout" &
clock=$!
wait -n $qemu $clock || true
if kill -0 $qemu 2>/dev/null; then
	echo "test-in-guest.sh: not over after $timeout s; the guest's console:" >&2
	tail -n 40 "$run/console" >&2
	exit 124
fi
[ -z "$junit" ] || [ ! -e "$run/junit.xml" ] || cp "$run/junit.xml" "$junit"
if [ ! -s "$run/status" ]; then
	echo "test-in-guest.sh: the guest ended without a result; its console:" >&2
	tail -n 60 "$run/console" "$run/qemu.log" "$run/fsd.log" >&2
	exit 125
fi
exit "$(cat "$run/status")"
