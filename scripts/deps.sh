#!/bin/bash
# SPDX-License-Identifier: MIT
#
# deps.sh - install the Debian packages that a job needs
#
# Silent and quick when nothing is missing. Otherwise: as root, one apt-get call that
# asks no question; as anybody else, the one command to run, and exit status 3.
set -euo pipefail

usage() {
	cat <<-EOF
		usage: scripts/deps.sh [--list | --check] GROUP...

		Installs the Debian packages that are missing for each GROUP:
		  build   compile the library and the programs
		  test    run every test suite
		  demo    run make demo with a real guest
		  net     namespaces and ping: make demo GUEST=responder
		  bench   run the benchmarks, with all that they compare with

		  --list   print the packages of the groups, install nothing
		  --check  print the missing ones, install nothing; exit status 3 if there are any

		Exit status: 0 nothing is missing (any more), 1 apt-get failed, 2 wrong usage,
		3 something is missing and this user cannot install it.
	EOF
}

# What a real guest needs; tests, the demo and the benchmarks share it. The guest's kernel and busybox
# are fetched by guest-image.sh, promtool by promtool.sh, and never installed.
guest="qemu-system-x86 iproute2 iputils-ping iperf3 ethtool kmod cpio python3-minimal"

packages() {
	case $1 in
	build) echo gcc libc6-dev make meson ninja-build pkg-config libmnl-dev libjansson-dev libmicrohttpd-dev liburing-dev \
		libpcap-dev libncurses-dev libcap-ng-dev libcap2-bin ;;
	test) echo "$guest" clang libclang-rt-14-dev clang-format libcmocka-dev python3-pytest python3-pytest-xdist python3-scapy \
		tcpdump tshark socat strace nftables iptables arptables liblwip-dev scdoc g++ zsh dpdk-dev libvirt-clients \
		libvirt-daemon-driver-qemu systemd ;;
	demo) echo "$guest" ;;
	net) echo iproute2 iputils-ping ;;
	bench) echo "$guest" dpdk-dev vdeplug ;;
	*) return 1 ;;
	esac
}

action=install
wanted=()
for arg; do
	case $arg in
	-h | --help) usage && exit 0 ;;
	--list | --check) action=${arg#--} ;;
	*)
		if ! list=$(packages "$arg"); then
			echo "deps.sh: unknown group '$arg'; there are build, test, demo, net, bench" >&2
			exit 2
		fi
		read -ra list <<<"$list"
		wanted+=("${list[@]}")
		;;
	esac
done
if [ ${#wanted[@]} = 0 ]; then
	usage >&2
	exit 2
fi

if ! command -v dpkg-query >/dev/null; then
	echo "deps.sh: this is no Debian system; install what these packages hold by other means:" >&2
	echo "  ${wanted[*]}" >&2
	exit 3
fi

# One dpkg-query for all; it exits 1 when one of them is unknown to it.
declare -A installed=()
while read -r status name; do
	[ "$status" != installed ] || installed[$name]=1
done < <(dpkg-query -W -f='${db:Status-Status} ${Package}\n' "${wanted[@]}" 2>/dev/null || true)

declare -A listed=()
all=() missing=()
for p in "${wanted[@]}"; do
	[ -z "${listed[$p]:-}" ] || continue
	listed[$p]=1
	all+=("$p")
	[ -n "${installed[$p]:-}" ] || missing+=("$p")
done

if [ "$action" = list ]; then
	printf '%s\n' "${all[@]}"
	exit 0
fi
[ ${#missing[@]} != 0 ] || exit 0
if [ "$action" = check ]; then
	printf '%s\n' "${missing[@]}"
	exit 3
fi

install=(apt-get install -y --no-install-recommends "${missing[@]}")
if [ "$(id -u)" != 0 ]; then
	become="su -c"
	! command -v sudo >/dev/null || become="sudo sh -c"
	echo "Packages are missing, and only root can install them. Run this, then try again:" >&2
	echo "  $become 'apt-get update && ${install[*]}'" >&2
	exit 3
fi
echo "deps.sh: installing ${missing[*]}" >&2
export DEBIAN_FRONTEND=noninteractive
if ! { apt-get -q update && "${install[@]}"; } </dev/null >&2; then
	echo "deps.sh: apt-get failed; what it said is above" >&2
	exit 1
fi
