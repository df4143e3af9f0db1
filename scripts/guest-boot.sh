#!/bin/bash
# SPDX-License-Identifier: MIT
#
# guest-boot.sh - boot the test guest in QEMU; becomes QEMU
#
# What every use of the guest shares stands here: the machine, and a kernel command line
# that shortens the boot under TCG. ACPI stays on: without its timer the guest's clock
# counts in steps of 4 ms. The caller adds serial ports and NICs.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)

usage() {
	cat <<-EOF
		usage: scripts/guest-boot.sh [QEMU ARGUMENT...]

		Boots what guest-image.sh made. The first -serial is the guest's console, the second
		takes commands from scripts/guest/agent.py; without a second there is a shell on the
		console. A shell on this terminal, in a guest whose NIC is served by vmtap:

		  build/vmtap connect tap,ifname=vm0 stream,server=on,path=/tmp/vm0.sock
		  scripts/guest-boot.sh -serial stdio -no-reboot -device virtio-net-pci,netdev=n0 \\
		    -netdev stream,id=n0,server=off,addr.type=unix,addr.path=/tmp/vm0.sock

		VMTAP_ACCEL names QEMU's accelerator: tcg (default) works everywhere; kvm is faster.
		VMTAP_INITRD is another initramfs of the cache folder, VMTAP_APPEND more of the kernel's
		command line.
	EOF
}

case ${1:-} in
-h | --help) usage && exit 0 ;;
esac
image=$("$here/guest-image.sh" --path)
if [ ! -s "$image/vmlinuz" ] || [ ! -s "$image/initrd" ]; then
	echo "guest-boot.sh: there is no image in $image yet; run scripts/guest-image.sh" >&2
	exit 1
fi
args="console=ttyS0 quiet panic=-1 mitigations=off audit=0 apparmor=0"
args+=" cryptomgr.notests no_timer_check tsc=reliable"
args+=" ${VMTAP_APPEND:-}"
exec qemu-system-x86_64 -machine pc -accel "${VMTAP_ACCEL:-tcg}" -m 256 \
	-nodefaults -no-user-config -display none -monitor none \
	-kernel "$image/vmlinuz" -initrd "$image/${VMTAP_INITRD:-initrd}" -append "$args" "$@"
