#!/bin/bash
# SPDX-License-Identifier: MIT
#
# guest-image.sh - make the kernel and the initramfs of the test guest
#
# The kernel is Debian's cloud kernel, unpacked and not installed; the initramfs holds a
# static busybox, the virtio-net drivers, iperf3, ping, ethtool and scripts/guest/init. Both are
# kept in the cache folder and made again only when what they are made of changed. Beside them,
# for scripts/test-in-guest.sh: initrd-share, whose init goes on in a file system that the host
# shares, and every module of the kernel.
#
# Two of these may run at once: the second waits for the first, then finds everything
# done. Files appear by rename, so that a reader sees an old or a new one, never half.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
cache=${VMTAP_CACHE:-${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/vmtap}

usage() {
	cat <<-EOF
		usage: scripts/guest-image.sh [--refresh | --path]

		Makes vmlinuz, initrd and initrd-share in $cache
		(\$VMTAP_CACHE, or vmtap under \$XDG_CACHE_HOME or ~/.cache) unless they are there
		and up to date; prints what it does, and nothing when there is nothing to do.

		  --refresh  fetch the newest kernel and busybox again
		  --path     print the cache folder and do nothing

		It needs apt's package lists, iperf3, ping, ethtool, kmod, cpio and gzip.

		Exit status: 0 they are there, 1 it failed, 2 wrong usage, 3 a package cannot be had.
	EOF
}

die() {
	echo "guest-image.sh: $*" >&2
	exit 1
}
missing() {
	echo "guest-image.sh: $*" >&2
	exit 3
}
say() { echo "guest image: $*" >&2; }

refresh=
case ${1:-} in
-h | --help) usage && exit 0 ;;
--path) echo "$cache" && exit 0 ;;
--refresh) refresh=1 ;;
'') ;;
*) usage >&2 && exit 2 ;;
esac

# In the order in which they are loaded.
modules="virtio_ring virtio failover net_failover virtio_net
	virtio_pci_modern_dev virtio_pci_legacy_dev virtio_pci"
share_modules="virtio_ring virtio virtio_pci_modern_dev virtio_pci_legacy_dev virtio_pci
	fuse virtiofs overlay"
programs="iperf3 ping ethtool"

# What the initramfs is made of, apart from what is fetched: a change here makes it anew.
recipe() {
	local p files=("$here/guest-image.sh" "$here/guest/init" "$here/guest/init-share"
		"$here/guest/udhcpc.script")
	for p in $programs; do
		files+=("$(command -v "$p")") || missing "$p is not installed; see scripts/deps.sh demo"
	done
	sha256sum "${files[@]}" | cut -c1-64 | tr '\n' ' '
}

# fetch PACKAGE FOLDER: unpack the package into the folder
fetch() {
	local tmp=$work/dl-$1
	mkdir "$tmp"
	# apt's own user reads and writes here, where there is one
	chmod 755 "$work" "$tmp"
	say "fetching $1"
	(cd "$tmp" && apt-get -q download "$1" </dev/null >log 2>&1) || {
		cat "$tmp/log" >&2
		missing "cannot fetch $1; do the package lists need 'apt-get update'?"
	}
	dpkg-deb -x "$tmp"/*.deb "$2" || die "cannot unpack $1"
	rm -rf "$tmp"
}

# The package that the meta package stands for at the moment.
kernel_package() {
	apt-cache depends "linux-image-cloud-$(dpkg --print-architecture)" 2>/dev/null |
		awk '/Depends: linux-image-/ { print $2; exit }'
}

# take_modules FOLDER LIST MODULE...: beside vmlinuz, and their names into the file LIST
take_modules() {
	local m dir=$1 list=$2
	for m in "${@:3}"; do # one that is built in has no file
		find "$dir/lib/modules" -name "$m.ko" -exec cp {} "$dir/" \;
		[ ! -e "$dir/$m.ko" ] || echo "$m" >>"$dir/$list"
	done
}

# kernel/: vmlinuz, lib/modules, the modules of either initramfs in their order, a file `version`
make_kernel() {
	local package dir=$work/kernel
	package=$(kernel_package)
	if [ -z "$package" ] && [ "$(id -u)" = 0 ]; then
		say "fetching the package lists"
		apt-get -q update </dev/null >"$work/log" 2>&1 || cat "$work/log" >&2
		package=$(kernel_package)
	fi
	[ -n "$package" ] || missing "apt knows no cloud kernel; as root, run 'apt-get update'"
	fetch "$package" "$work/unpacked"
	mkdir "$dir"
	cp "$work"/unpacked/boot/vmlinuz-* "$dir/vmlinuz"
	mkdir "$dir/lib"
	mv "$work/unpacked/lib/modules" "$dir/lib/"
	PATH=$PATH:/usr/sbin:/sbin depmod -b "$dir" "$(ls "$dir/lib/modules")" || die "depmod failed"
	# shellcheck disable=SC2086
	take_modules "$dir" order $modules
	# shellcheck disable=SC2086
	take_modules "$dir" order-share $share_modules
	[ -e "$dir/virtio_net.ko" ] || die "$package has no virtio_net driver"
	echo "$package" >"$dir/version"
	rm -rf "$cache/kernel" "$work/unpacked"
	mv "$dir" "$cache/kernel"
}

is_static() { [ -x "$1" ] && ! ldd "$1" >/dev/null 2>&1; }

make_busybox() {
	local b
	b=$(command -v busybox || true)
	if ! is_static "$b"; then
		fetch busybox-static "$work/unpacked"
		b=$work/unpacked/bin/busybox
		is_static "$b" || die "the package busybox-static holds no static busybox"
	fi
	cp "$b" "$work/busybox"
	mv "$work/busybox" "$cache/busybox"
	rm -rf "$work/unpacked"
}

# install_program NAME ROOT: with its libraries
install_program() {
	local f lib
	f=$(command -v "$1")
	rm -f "$2/bin/$1" # busybox may have one of that name
	cp -L "$f" "$2/bin/$1"
	while read -r lib; do
		mkdir -p "$2${lib%/*}"
		cp -L "$lib" "$2$lib"
	done < <(ldd "$f" | grep -o '/[^ ]*')
}

# make_root FOLDER INIT ORDER: busybox, the modules that the file ORDER lists, and an init
make_root() {
	local root=$1 a m
	mkdir -p "$root"/{bin,lib/modules,proc,sys,dev,tmp}
	cp "$cache/busybox" "$root/bin/busybox"
	for a in $("$cache/busybox" --list); do
		[ "$a" = busybox ] || ln -s busybox "$root/bin/$a"
	done
	while read -r m; do cp "$cache/kernel/$m.ko" "$root/lib/modules/"; done <"$cache/kernel/$3"
	cp "$cache/kernel/$3" "$root/lib/modules/order"
	install -m 755 "$2" "$root/init"
}

# pack FOLDER NAME: into the cache
pack() {
	(cd "$1" && find . | LC_ALL=C sort | cpio -o -H newc -R 0:0 --quiet) | gzip -1 >"$work/$2"
	mv "$work/$2" "$cache/$2"
}

make_initrd_share() {
	make_root "$work/share" "$here/guest/init-share" order-share
	mkdir "$work"/share/{host,rw,new}
	pack "$work/share" initrd-share
}

make_initrd() {
	local root=$work/root p
	make_root "$root" "$here/guest/init" order
	mkdir -p "$root/etc/udhcpc"
	for p in $programs; do install_program "$p" "$root"; done
	echo "root:x:0:0:root:/tmp:/bin/sh" >"$root/etc/passwd"
	install -m 755 "$here/guest/udhcpc.script" "$root/etc/udhcpc/default.script"
	pack "$root" initrd
	cp "$cache/kernel/vmlinuz" "$work/vmlinuz"
	mv "$work/vmlinuz" "$cache/vmlinuz"
}

mkdir -p "$cache"
up_to_date() {
	[ -z "$refresh" ] && [ -s "$cache/vmlinuz" ] && [ -s "$cache/initrd" ] &&
		[ -s "$cache/initrd-share" ] && [ -d "$cache/kernel/lib/modules" ] && [ -x "$cache/busybox" ] && [ "$(cat "$cache/recipe" 2>/dev/null)" = "$wanted" ]
}
wanted=$(recipe)
! up_to_date || exit 0

exec 9>"$cache/lock"
if ! flock -n 9; then
	say "another one is making it; waiting"
	flock 9
	! up_to_date || exit 0
fi
rm -rf "$cache"/work.* # of one that was killed
work=$(mktemp -d "$cache/work.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
if [ -n "$refresh" ] || [ ! -s "$cache/kernel/version" ] || [ ! -s "$cache/kernel/order-share" ]; then make_kernel; fi
if [ -n "$refresh" ] || [ ! -x "$cache/busybox" ]; then make_busybox; fi
say "packing the initramfs"
make_initrd
make_initrd_share
echo "$wanted" >"$work/recipe"
mv "$work/recipe" "$cache/recipe"
say "$(cat "$cache/kernel/version"), $(du -kL "$cache/initrd" | cut -f1) KiB of initramfs in $cache"
