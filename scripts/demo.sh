#!/bin/bash
# SPDX-License-Identifier: MIT
#
# demo.sh - show a guest on a TAP, from packages to figures
#
# The script runs twice: as called it installs, builds and makes the guest's image; then
# it becomes itself with --inside, in a network namespace of its own (and for an ordinary
# user in a user namespace), and there makes the bridge, the TAP and the guest. The
# namespace takes everything with it when the last process in it ends; every process
# started here ends with the script, however that ends.
#
# A step is a function. It runs in the background with its output in a log, so that
# Ctrl-C and kill are heeded at once, and hands figures over in files.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
top=$(dirname "$here")
build=${BUILD:-build}
case $build in /*) ;; *) build=$top/$build ;; esac
vmtap=${VMTAP:-$build/vmtap}
guest=${GUEST:-linux}

host4=10.55.0.1 host6=fd55::1
guest4=10.55.0.2 guest6=fd55::2
guest_mac=52:54:00:55:00:02
file_mb=16
iperf_s=3

usage() {
	cat <<-EOF
		usage: scripts/demo.sh        (or: make demo)

		Installs what is missing (as root, Debian), builds, and shows a guest on a TAP in
		namespaces of its own: a bridge, a TAP that vmtap makes, a Linux guest in QEMU whose
		NIC vmtap is (vhost-user); address by DHCP, ping, a file with its SHA-256, iperf3.
		Nothing of it is left afterwards. An ordinary user gets it in a user namespace.

		Variables:
		  GUEST=responder  vmtap's built-in responder instead of a guest: no QEMU, ping only
		  BUILD=FOLDER     where to build (default: build)
		  VMTAP=FILE       use this vmtap and build nothing
		  VMTAP_CACHE      where the guest's image is kept (see scripts/guest-image.sh)
		  VMTAP_ACCEL      QEMU's accelerator: tcg (default), kvm

		Exit status: 0 all steps worked, 1 one failed, 2 wrong usage, 3 something is missing.
	EOF
}

# ------------------------------------------------------------------------------ the steps' frame

now_ms() { echo $((${EPOCHREALTIME/[.,]/} / 1000)); }
seconds() { printf '%d.%d s' $(($1 / 1000)) $(($1 % 1000 / 100)); }

# Box-drawing characters where the terminal knows them.
draw() {
	case ${LC_ALL:-${LC_CTYPE:-${LANG:-}}} in
	*UTF-8* | *utf8*) cat ;;
	*) sed 's/┌/+/g; s/┐/+/g; s/└/+/g; s/┘/+/g; s/├/+/g; s/┤/+/g; s/┼/+/g; s/─/-/g; s/│/|/g' ;;
	esac
}

missing=
current= # the step that runs: a process group
pids=()  # what start() started: process groups, too
names=()

# In a process group of its own: Ctrl-C reaches this script only, which then ends the group.
in_background() {
	set -m
	"$@" </dev/null &
	set +m
}

clean_up() {
	local pid end
	trap '' HUP INT TERM
	[ -z "$current" ] || kill -- "-$current" 2>/dev/null || true
	for pid in "${pids[@]}"; do kill -- "-$pid" 2>/dev/null || true; done
	end=$(($(now_ms) + 3000))
	for pid in "${pids[@]}" $current; do
		while kill -0 -- "-$pid" 2>/dev/null; do
			[ "$(now_ms)" -lt $end ] || kill -KILL -- "-$pid" 2>/dev/null || true
			sleep 0.02
		done
	done
	rm -rf "$tmp"
}

# print_step TITLE RESULT MS [NOTE]
print_step() { printf '  %-46s %-7s %6s%s\n' "$1" "$2" "$(seconds "$3")" "${4:+   $4}"; }

# step TITLE FUNCTION [ARGUMENT...]: run it; on failure show its log and end the demo. Status 3:
# what it needs is missing, which it says; @missing is set and the caller decides.
step() {
	local title=$1 t0 ms status=0
	shift
	t0=$(now_ms)
	: >"$tmp/note"
	# On a terminal it shows while it runs, and is overwritten at its end.
	[ ! -t 1 ] || printf '  %s ...\r' "$title"
	in_background "$@" >"$tmp/log" 2>&1
	current=$!
	wait "$current" || status=$?
	current=
	ms=$(($(now_ms) - t0))
	missing=
	if [ $status = 3 ]; then
		missing=1
		print_step "$title" missing $ms
		tail -n 5 "$tmp/log"
		return
	fi
	if [ $status != 0 ]; then
		print_step "$title" FAILED $ms
		failure "$title"
	fi
	print_step "$title" ok $ms "$(cat "$tmp/note")"
}

# failure TITLE: show what is known, and end
failure() {
	local log
	echo
	echo "'$1' failed. The end of each log:"
	for log in "$tmp/log" "$tmp"/*.log; do
		[ -s "$log" ] || continue
		echo "--- $(basename "$log")"
		tail -n 30 "$log" | sed 's/^/    /'
	done
	exit 1
}

note() { echo "$*" >"$tmp/note"; }

# start NAME COMMAND...: in the background, with logs, until the script ends, however it does
start() {
	local name=$1
	shift
	# The shell in between looks whether the script ended before the signal was arranged.
	# shellcheck disable=SC2016 # expanded in there
	in_background setpriv --pdeathsig KILL -- sh -c '[ "$PPID" = "$0" ] && exec "$@"' $$ "$@" \
		>"$tmp/$name.out" 2>"$tmp/$name.log"
	pids+=($!)
	names+=("$name")
}

pid_of() {
	local i
	for i in "${!names[@]}"; do
		[ "${names[i]}" != "$1" ] || echo "${pids[i]}"
	done
}

# until SECONDS PID COMMAND...: until the command succeeds, while the process is alive
until_ok() {
	local end=$(($(now_ms) + $1 * 1000)) pid=$2
	shift 2
	until "$@"; do
		if ! kill -0 "$pid" 2>/dev/null; then
			echo "the process has ended"
			return 1
		fi
		if [ "$(now_ms)" -gt $end ]; then
			echo "this did not become true in time: $*"
			return 1
		fi
		sleep 0.05
	done
}

# ------------------------------------------------------------------------------ as called

prepare() {
	case $guest in
	linux | responder) ;;
	*)
		echo "demo.sh: GUEST=$guest: there are linux and responder" >&2
		exit 2
		;;
	esac
	echo "vmtap demo"
	echo
	install_packages
	[ -n "${VMTAP:-}" ] || step "build vmtap" build_vmtap
	[ "$guest" = responder ] || step "kernel and initramfs of the guest" make_image
	[ -z "$missing" ] || without_guest
	enter
}

# Are these groups' packages there? As root they are, unless apt-get failed.
have() { "$here/deps.sh" --check "$@" >/dev/null; }

install_packages() {
	local groups=(net) t0
	t0=$(now_ms)
	[ -n "${VMTAP:-}" ] || groups+=(build)
	[ "$guest" = responder ] || groups+=(demo)
	# In the foreground: this may take minutes, and what apt-get says is its progress.
	if "$here/deps.sh" "${groups[@]}"; then
		print_step "packages" ok $(($(now_ms) - t0))
		return
	fi
	if [ ! -x "$vmtap" ] && ! have build || ! have net; then
		echo "demo.sh: nothing to show without these" >&2
		exit 3
	fi
	[ "$guest" = responder ] || have demo || without_guest
}

without_guest() {
	echo
	echo "  No guest without these: vmtap's built-in responder stands in for it."
	echo
	guest=responder
}

build_vmtap() {
	if have build; then
		[ -e "$build/build.ninja" ] || meson setup "$build" "$top"
		ninja -C "$build" vmtap
	else
		note "the one that is there"
	fi
}

make_image() {
	"$here/guest-image.sh"
	note "in $("$here/guest-image.sh" --path)"
}

# Go on in a network namespace, and as an ordinary user in a user namespace.
enter() {
	local namespaces=(--net)
	[ "$(id -u)" = 0 ] || namespaces+=(--user --map-root-user)
	if ! unshare "${namespaces[@]}" true 2>"$tmp/log"; then
		echo "demo.sh: cannot make a namespace: $(cat "$tmp/log")" >&2
		echo "  This kernel keeps namespaces from ordinary users, or this is a container that has none;" >&2
		echo "  run it as root on the host." >&2
		exit 3
	fi
	if [ ! -r /dev/net/tun ] || [ ! -w /dev/net/tun ]; then
		echo "demo.sh: you cannot open /dev/net/tun; as root: modprobe tun; chmod 666 /dev/net/tun" >&2
		exit 3
	fi
	export DEMO_TMP=$tmp DEMO_T0=$begin GUEST=$guest BUILD=$build
	trap - EXIT
	exec unshare "${namespaces[@]}" "$here/demo.sh" --inside
}

# ------------------------------------------------------------------------------ inside

picture() {
	local line="─ vhost-user ──" end="eth0 (Linux, QEMU)"
	[ "$guest" = linux ] || line="───────────────" end="built-in responder"
	draw <<-EOF

		    host                                                guest
		  ┌─────────────────────┐                             ┌─────────────────────┐
		  │ br0  $(printf %-15s $host4)│                             │  $(printf %-19s $guest4)│
		  │  │   $(printf %-15s $host6)│    ┌───────┐                │  $(printf %-19s $guest6)│
		  │  └── vm0 (a TAP) ────┼────┤ vmtap ├$line─┤  $(printf %-19s "$end")│
		  └─────────────────────┘    └───────┘                └─────────────────────┘

	EOF
}

make_bridge() {
	ip link set lo up
	ip link add br0 type bridge
	# The bridge is ours alone: no duplicate address to wait for.
	echo 0 >/proc/sys/net/ipv6/conf/br0/accept_dad
	ip link set br0 up
	ip addr add $host4/24 dev br0
	ip addr add $host6/64 dev br0
}

vmtap_ready() { grep -q 'ready$' "$tmp/vmtap.log"; }

start_vmtap() {
	local port
	case $guest in
	linux) port=vhost-user,server=on,path=$tmp/vm0.sock ;;
	responder) port=responder,ip=$guest4/24,ip6=$guest6,mac=$guest_mac ;;
	esac
	start vmtap "$vmtap" -v --stats 3600 connect tap,ifname=vm0,br=br0 "$port"
	step "vmtap makes the TAP vm0 on br0" wait_vmtap
}

wait_vmtap() {
	until_ok 10 "$(pid_of vmtap)" vmtap_ready
	ip link show vm0 | grep 'master br0'
}

start_guest() {
	local vectors=
	# Without KVM, QEMU 7.2 crashes when a vhost-user NIC uses MSI-X.
	[ "${VMTAP_ACCEL:-tcg}" = kvm ] || vectors=,vectors=0
	start qemu "$here/guest-boot.sh" -no-reboot -serial "file:$tmp/console.log" \
		-chardev "socket,id=agent,path=$tmp/agent.sock,server=on,wait=on" -serial chardev:agent \
		-object memory-backend-memfd,id=mem,size=256M,share=on -machine memory-backend=mem \
		-chardev "socket,id=c0,path=$tmp/vm0.sock,reconnect=1" -netdev vhost-user,id=n0,chardev=c0 \
		-device "virtio-net-pci,romfile=,netdev=n0,mac=$guest_mac$vectors"
	step "the guest boots" wait_guest
}

# in_guest COMMAND: run a shell line there
in_guest() { "$here/guest/agent.py" "$tmp/agent.sock" "$*"; }

wait_guest() {
	"$here/guest/agent.py" "$tmp/agent.sock" --ready
	note "Linux $(in_guest uname -r)"
}

start_dhcp() {
	cat >"$tmp/udhcpd.conf" <<-EOF
		start $guest4
		end $guest4
		interface br0
		option subnet 255.255.255.0
		lease_file $tmp/leases
		pidfile $tmp/udhcpd.pid
	EOF
	: >"$tmp/leases"
	start udhcpd "$("$here/guest-image.sh" --path)/busybox" udhcpd -f "$tmp/udhcpd.conf"
	step "the guest gets its address by DHCP" guest_address
}

guest_address() {
	in_guest "udhcpc -n -q -t 10 -T 1 -i eth0; ip addr show dev eth0 | grep -o 'inet $guest4'"
	in_guest "echo 0 >/proc/sys/net/ipv6/conf/eth0/accept_dad; ip addr add $guest6/64 dev eth0"
	note "$guest4"
}

# figure NAME VALUE: for the table at the end
figure() { printf '  %-28s %s\n' "$1" "$2" >>"$tmp/figures"; }

# round_trip NAME COMMAND...: a ping
round_trip() {
	local name=$1 out status=0
	shift
	out=$("$@") || status=$?
	echo "$out"
	[ $status = 0 ] || return $status
	figure "$name" "$(sed -n 's|.*= \([0-9.]*\)/\([0-9.]*\)/\([0-9.]*\)/.*|\1 ms least, \2 mean, \3 most|p' <<<"$out")"
}

# With -w it goes on until 20 are answered. With -c alone it would not wait for the last one
# longer than twice the slowest before it, which is nothing on a busy machine.
pings="-n -c 20 -i 0.05 -w 10"
# shellcheck disable=SC2086 # $pings is several words
host_pings() { round_trip "ping IPv$1, host to guest" ping -$1 $pings "$2"; }
guest_pings() { round_trip "ping IPv$1, guest to host" in_guest "/bin/ping -$1 $pings $2"; }

start_http() {
	mkdir "$tmp/www"
	head -c $((file_mb << 20)) /dev/urandom >"$tmp/www/file"
	start httpd "$("$here/guest-image.sh" --path)/busybox" httpd -f -p $host4:80 -h "$tmp/www"
	step "the guest fetches a file of $file_mb MiB, SHA-256" fetch_file
}

fetch_file() {
	local here_sum there
	here_sum=$(sha256sum <"$tmp/www/file")
	there=$(in_guest "read t0 x </proc/uptime; wget -q -O /tmp/file http://$host4/file || exit
		read t1 x </proc/uptime; echo \$t0 \$t1; sha256sum </tmp/file; rm /tmp/file")
	echo "here:  $here_sum"
	echo "there: $there"
	[ "$(sed -n 2p <<<"$there")" = "$here_sum" ]
	note "${here_sum:0:12}... on both sides"
	figure "file over HTTP" "$(awk -v n=$file_mb 'NR == 1 { printf "%.0f MB/s", n * 1.048576 / ($2 - $1 + 0.001) }' <<<"$there")"
}

start_iperf() {
	start iperf3 iperf3 -s -B $host4
	step "iperf3 for $iperf_s s, guest to host" iperf "TCP, guest to host"
	step "iperf3 for $iperf_s s, host to guest" iperf "TCP, host to guest" -R
}

# iperf NAME [OPTION]
iperf() {
	local out
	out=$(in_guest "iperf3 -c $host4 -t $iperf_s -f m ${2:-}")
	echo "$out"
	figure "$1" "$(awk '/receiver/ { for (i = 1; i <= NF; i++) if ($i == "Mbits/sec") print $(i - 1) " Mbit/s" }' <<<"$out" | grep .)"
}

has_ended() { ! kill -0 "$1" 2>/dev/null; }

# The guest first, so that vmtap's counters are complete.
orderly_end() {
	local pid
	[ "$guest" = responder ] || kill "$(pid_of qemu)"
	pid=$(pid_of vmtap)
	kill "$pid"
	until_ok 5 $$ has_ended "$pid"
	! ip link show vm0 || return 1
	[ ! -e "$tmp/vm0.sock" ]
}

the_end() {
	local status=0
	step "vmtap ends; the TAP and its socket are gone" orderly_end
	wait "$(pid_of vmtap)" || status=$?
	if [ $status != 0 ]; then
		echo "vmtap ended with status $status" >"$tmp/log"
		failure "vmtap's exit status"
	fi
	echo
	cat "$tmp/figures"
	echo
	# The summary is the last paragraph of what --stats prints.
	awk -v RS= '{ last = $0 } END { print last }' "$tmp/vmtap.out" | sed 's/^/  /'
	echo
	echo "All steps worked, in $(seconds $(($(now_ms) - begin))). Nothing is left behind."
	try_next
}

try_next() {
	local other="make demo GUEST=responder" what="the same without QEMU"
	[ "$guest" = linux ] || other="make demo" what="the same with a Linux guest in QEMU"
	cat <<-EOF

		Try next:
		  $(printf %-34s "${vmtap#"$PWD/"} help tap") every option of a TAP
		  $(printf %-34s "$other") $what
		  $(printf %-34s "scripts/guest-boot.sh --help") a shell in a guest of your own
		  $(printf %-34s "make test") every test
	EOF
}

inside() {
	picture
	step "a namespace with a bridge" make_bridge
	start_vmtap
	if [ "$guest" = linux ]; then
		start_guest
		start_dhcp
	fi
	step "the host pings the guest, IPv4" host_pings 4 $guest4
	step "the host pings the guest, IPv6" host_pings 6 $guest6
	if [ "$guest" = linux ]; then
		step "the guest pings the host, IPv4" guest_pings 4 $host4
		step "the guest pings the host, IPv6" guest_pings 6 $host6
		start_http
		start_iperf
	fi
	the_end
}

# ------------------------------------------------------------------------------

case ${1:-} in
'' | --inside) ;;
-h | --help) usage && exit 0 ;;
*) usage >&2 && exit 2 ;;
esac
begin=${DEMO_T0:-$(now_ms)}
tmp=${DEMO_TMP:-$(mktemp -d "${TMPDIR:-/tmp}/vmtap-demo.XXXXXX")}
trap clean_up EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM
case ${1:-} in
--inside) inside ;;
*) prepare ;;
esac
