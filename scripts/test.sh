#!/bin/bash
# SPDX-License-Identifier: MIT
#
# test.sh - run the test suites and count
#
# Every suite adds "SECONDS NAME PASSED FAILED SKIPPED" to a tally; the last line of the output is their sum.
# The builds: gcc (what is shipped), clang (compiled, and its unit tests run), and gcc with
# AddressSanitizer and UndefinedBehaviorSanitizer for the unit and network suites once more, and
# with ThreadSanitizer for what has threads. What moves frames between guests and TAPs runs once more with
# the plain engine, and with workers under the sanitizers.
set -euo pipefail

cd "$(dirname "$0")/.."
py=/usr/bin/python3 # Debian's, which has pytest and scapy
logs=$(mktemp -d "${TMPDIR:-/tmp}/vmtap-test.XXXXXX")
trap 'rm -rf "$logs"' EXIT
tally=$logs/tally
reasons=$logs/reasons                 # why tests failed, briefly; said once more in the end
export VMTAP_TEST_NOTES=$logs/notes # what else they have to say, said in the end
failed_suites=()
since=$SECONDS
AGAIN_MAX=12 # tests of a suite that are run once more; where more fail, something is broken
: >"$tally"
: >"$reasons"

usage() {
	cat <<-EOF
		usage: scripts/test.sh all | SUITE...

		  lint    format, folder arrows, documents, installation
		  unit    C units, also built by clang; seconds, no root
		  net     real TAPs in own namespaces; vhost-user and several queues also without io_uring
		  guest   a Linux guest in QEMU
		  vhost   the kernel's vhost-net, in a guest whose kernel has it: most of tests/vhost
		  vhost-asan  all of tests/vhost in such a guest, under AddressSanitizer and
		          UndefinedBehaviorSanitizer: half an hour and more, and not a part of all
		  in-guest  all of tests/vhost and of tests/net in such a guest: an hour and more, and not a
		          part of all; SHARD=N/M runs the N-th of M parts
		  asan    unit and net under AddressSanitizer and UndefinedBehaviorSanitizer
		  bench   every benchmark, too briefly to measure anything: does it still run?
		  tsan    what runs in several threads, and vhost-user with workers, under ThreadSanitizer
		  fuzz    every fuzzer for FUZZ_SECONDS (default 10; 60 what a guest can reach)
		  matrix  guests in every combination of virtio-net features: hours, and not a part of
		          all; MATRIX_EVERY=N takes one combination in N

		Exit status: 0 nothing failed, 1 something did, 2 wrong usage, 3 something is missing.
	EOF
}

say() {
	printf '\n== %s\n' "$*"
}

# count SUITE PASSED FAILED SKIPPED
count() {
	echo "$((SECONDS - since)) $1 $2 $3 $4" >>"$tally"
	since=$SECONDS
	[ "$3" = 0 ] || failed_suites+=("$1")
}

# check SUITE COMMAND...: one test, passed when the command succeeds
check() {
	local name=$1
	shift
	if "$@" >"$logs/out" 2>&1; then
		echo "ok: $name"
		count "$name" 1 0 0
	else
		cat "$logs/out"
		echo "FAILED: $name"
		{ echo "$name" && tail -n 8 "$logs/out" | cut -c1-240 | sed 's/^/    /'; } >>"$reasons"
		count "$name" 0 1 0
	fi
}

# build FOLDER MESON-OPTIONS...
build() {
	local dir=$1
	shift
	[ -e "$dir/build.ninja" ] || meson setup "$dir" "$@" >"$logs/setup" 2>&1 || {
		cat "$logs/setup"
		exit 1
	}
	ninja -C "$dir" >"$logs/build" 2>&1 || {
		cat "$logs/build"
		echo "FAILED: build in $dir"
		exit 1
	}
}

# unit FOLDER NAME [TEST...]: cmocka's claims, counted one by one
unit() {
	say "unit tests, $2"
	meson test -C "$1" --no-rebuild --suite unit "${@:3}" >"$logs/unit" 2>&1 || true
	read -r p f s < <($py tests/lib/tally.py meson "$1/meson-logs/testlog.json" "$reasons")
	[ "$f" = 0 ] || cat "$1/meson-logs/testlog.txt"
	echo "$p passed, $f failed, $s skipped"
	count "unit, $2" "$p" "$f" "$s"
}

# pytest_run WHY [VAR=VALUE...] -- ARGS...: sets p, f and s, adds to the file WHY, and leaves the names of what
# failed in $logs/ids
pytest_run() {
	local why=$1 vars=()
	shift
	while [ "$1" != -- ]; do
		vars+=("$1")
		shift
	done
	env "${vars[@]}" $py -m pytest -q -rfEs -p no:cacheprovider -o junit_family=xunit1 \
		--junitxml="$logs/junit.xml" "${@:2}" || true
	read -r p f s < <($py tests/lib/tally.py junit "$logs/junit.xml" "$why" "$logs/ids")
	rm -f "$logs/junit.xml"
}

# suite FOLDERS NAME [VAR=VALUE...]: pytest, files side by side; guests and benchmarks have the machine alone.
# A few that failed are run once more, with nothing beside them. Those that pass then count as passed, and
# the notes in the end say that they did not at first, and why.
suite() {
	local dirs=$1 name=$2 side=() first again=()
	shift 2
	say "$name"
	[[ $dirs != tests/net* ]] || side=(-n "$(nproc)" --dist loadfile)
	: >"$logs/why"
	# shellcheck disable=SC2086
	pytest_run "$logs/why" "$@" -- --durations=5 "${side[@]}" $dirs
	mapfile -t again <"$logs/ids"
	if ((${#again[@]} == 0 || ${#again[@]} > AGAIN_MAX)); then
		cat "$logs/why" >>"$reasons"
	else
		say "$name: once more, alone"
		first=("$p" "$f" "$s")
		pytest_run "$reasons" "$@" -- "${again[@]}"
		if ((p + f + s < ${#again[@]})); then # it did not get as far as that
			cat "$logs/why" >>"$reasons"
			p=0 f=${first[1]} s=0
		elif ((p)); then
			echo "failed at first, and $p of ${#again[@]} passed alone:" | cat - "$logs/why" >>"$VMTAP_TEST_NOTES"
		fi
		((p += first[0], s += first[2])) || true
	fi
	count "$name" "$p" "$f" "$s"
}

# in_guest NAME SECONDS TESTS...: pytest on the kernel of a guest; see scripts/test-in-guest.sh
in_guest() {
	say "$1"
	if [ "$(id -u)" != 0 ]; then
		echo "skipped: it takes root to share files with a guest"
		count "$1" 0 0 1
		return
	fi
	scripts/test-in-guest.sh --timeout "$2" --junit "$logs/junit.xml" --durations=5 -n "$(nproc)" "${@:3}" || true
	read -r p f s < <($py tests/lib/tally.py junit "$logs/junit.xml" "$reasons")
	rm -f "$logs/junit.xml"
	count "$1" "$p" "$f" "$s"
}

# What holds of a vhost-user port holds with vhost-net behind it; the guest is emulated and slow, so here some
# of those tests: what the kernel has to be told, or has to leave, while it serves a ring. All of them are run with
# in-guest, and test_vhost_load.py, too.
vhost_sample=(test_two_queue_pairs test_guest_takes_segments_uncut test_a_stopped_ring_is_left_alone
	test_the_back_end_is_restarted_under_a_front_end
	test_after_a_reset_what_is_in_the_rings_waits_until_they_are_enabled
	'test_what_is_written_to_the_guest_is_in_the_dirty_log[split-event-idx]'
	test_only_what_is_written_is_in_the_dirty_log
	test_many_regions_with_buffers_across test_a_table_without_memory_slots
	test_memory_is_plugged_and_unplugged_while_frames_flow test_buffers_may_be_in_memory_that_came_later
	test_killed_in_full_traffic_it_goes_on_with_what_was_in_flight)

# Between guests and TAPs, with whatever VMTAP_ARGS says. tests/net/test_vhost_user_load.py chooses by itself,
# and is in the other runs.
frames="tests/net/test_lanes.py tests/net/test_multiqueue.py tests/net/test_testpmd.py tests/net/test_vhost_user.py"

# A guest that is emulated, with sanitizers in it.
vhost_asan() {
	build build-asan -Db_sanitize=address,undefined -Dbuildtype=debugoptimized
	export ASAN_OPTIONS=abort_on_error=0:detect_leaks=1 UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1
	VMTAP_BUILD="$PWD/build-asan" VMTAP="$PWD/build-asan/vmtap" \
		in_guest "vhost-net under the sanitizers, in a guest" 5400 tests/vhost
	unset ASAN_OPTIONS UBSAN_OPTIONS
}

# The files of tests/vhost and tests/net, of which SHARD=N/M takes each M-th, from the N-th on. They are dealt
# out from the longest on, so that the parts take about as long as each other.
whole_in_guest() {
	local n=${SHARD:-1/1} files

	if ! [[ $n =~ ^([1-9][0-9]*)/([1-9][0-9]*)$ ]] || ((BASH_REMATCH[1] > BASH_REMATCH[2])); then
		echo "test.sh: SHARD=$n is not N/M, such as 1/4" >&2
		exit 2
	fi
	mapfile -t files < <(find tests/vhost tests/net -name 'test_*.py' -printf '%s %p\n' | sort -k1,1nr -k2 |
		awk -v n="${n%/*}" -v m="${n#*/}" '(NR - n) % m == 0 { print $2 }')
	printf '%s\n' "part $n:" "${files[@]}"
	in_guest "network tests and vhost-net, in a guest" 14400 --dist loadfile "${files[@]}"
}

net() {
	scripts/promtool.sh >/dev/null || true # its test says so, too
	suite tests/net "network tests"
	suite "$frames" "vhost-user and several queues with the plain engine" VMTAP_ARGS="--engine plain"
}

lint() {
	say "lint"
	check "format of the sources" make -s check-format
	if [ -e scripts/check-arrows.py ]; then
		check "folders lean downwards" $py scripts/check-arrows.py
	fi
	suite tests/lint "documents and installation"
}

asan() {
	build build-asan -Db_sanitize=address,undefined -Dbuildtype=debugoptimized
	export ASAN_OPTIONS=abort_on_error=0:detect_leaks=1 UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1
	unit build-asan "address and undefined-behaviour sanitizers"
	local but="--ignore=tests/net/test_path_cost.py" # what a frame costs is not what it costs with a sanitizer
	# minutes in which the kernel makes and removes a thousand interfaces
	but+=" --deselect=tests/net/test_doctor_bridge.py::test_a_full_bridge"
	but+=" --deselect=tests/net/test_host.py::test_interfaces_that_come_and_go_meanwhile_do_no_harm"
	suite "tests/net $but" "network tests under the sanitizers" \
		VMTAP_BUILD="$PWD/build-asan" VMTAP="$PWD/build-asan/vmtap"
	# A sample: of the many layouts and sizes of rings, which are the same code in whichever thread, none.
	suite "$frames -k not(whole_and_in_order)and(not(thousands))and(not(cut_anywhere))" \
		"vhost-user with workers under the sanitizers" \
		VMTAP_BUILD="$PWD/build-asan" VMTAP="$PWD/build-asan/vmtap" VMTAP_ARGS=--workers=2
	unset ASAN_OPTIONS UBSAN_OPTIONS
}

tsan() {
	build build-tsan -Db_sanitize=thread -Dbuildtype=debugoptimized
	export TSAN_OPTIONS=halt_on_error=1:second_deadlock_stack=1
	unit build-tsan "thread sanitizer" vring-threads guard mem dirty loop worker lanes limit
	suite "$frames tests/net/test_vhost_user_load.py tests/net/test_vhost_user_wrong.py tests/net/test_ctl.py" \
		"vhost-user and the control socket with workers under the thread sanitizer" \
		VMTAP_BUILD="$PWD/build-tsan" VMTAP="$PWD/build-tsan/vmtap" VMTAP_ARGS=--workers=2
	# Those that have workers themselves; a client under it hears no signal while it waits.
	suite "tests/net/test_capture_vhost_user.py tests/net/test_ctl_races.py tests/net/test_switch_vhost_user.py -k workers" \
		"captures, switches and racing clients with workers under the thread sanitizer" \
		VMTAP_BUILD="$PWD/build-tsan" VMTAP="$PWD/build-tsan/vmtap" VMTAP_CLIENT="$PWD/build/vmtap"
	unset TSAN_OPTIONS
}

# What a guest or a front end can reach runs for longer.
fuzz() {
	local deep="mem vring-packed vring-split vu-ctrl vu-port vu-session"

	check "fuzzers" env FUZZ_SECONDS="${FUZZ_SECONDS:-10}" FUZZ_JOBS=2 scripts/fuzz.sh
	# shellcheck disable=SC2086
	check "fuzzers of what a guest can reach" \
		env FUZZ_SECONDS="${FUZZ_SECONDS:-60}" FUZZ_JOBS=2 scripts/fuzz.sh $deep
}

matrix() {
	say "guests in every combination"
	$py tests/guest/matrix.py --tally "$logs/matrix" || true
	read -r p f s <"$logs/matrix" || { p=0 f=1 s=0; }
	count "matrix" "$p" "$f" "$s"
}

run() {
	case $1 in
	lint) lint ;;
	unit)
		unit build gcc
		build build-clang --native-file scripts/clang.ini
		unit build-clang clang
		;;
	net) net ;;
	guest) suite tests/guest "guest tests" ;;
	vhost)
		in_guest "vhost-net, in a guest" 1200 tests/vhost/test_kernel.py tests/vhost/test_vhost_lib.py \
			tests/vhost/test_vhost_behind.py tests/vhost/test_vhost_helper.py \
			tests/vhost/test_vhost_serve.py tests/vhost/test_vhost_unloaded.py \
			"${vhost_sample[@]/#/tests/vhost/test_vhost_front.py::}"
		;;
	vhost-asan) vhost_asan ;;
	in-guest) whole_in_guest ;;
	asan) asan ;;
	matrix) matrix ;;
	tsan) tsan ;;
	bench)
		scripts/deps.sh bench
		suite bench/test_smoke.py "benchmarks, briefly"
		;;
	fuzz) fuzz ;;
	esac
}

suites=()
for arg; do
	case $arg in
	-h | --help) usage && exit 0 ;;
	all) suites+=(lint unit net guest vhost bench asan tsan fuzz) ;;
	lint | unit | net | guest | vhost | vhost-asan | in-guest | bench | asan | tsan | fuzz | matrix) suites+=("$arg") ;;
	*)
		usage >&2
		exit 2
		;;
	esac
done
if [ ${#suites[@]} = 0 ]; then
	usage >&2
	exit 2
fi

export LC_ALL=C.UTF-8
scripts/deps.sh build test
build build
for s in "${suites[@]}"; do
	run "$s"
done

say "all suites"
awk '{
	t = $1; $1 = ""; s = $NF; f = $(NF-1); p = $(NF-2); NF -= 3
	printf "%6d passed %4d failed %4d skipped %3d:%02d %s\n", p, f, s, t / 60, t % 60, $0 }' "$tally"
if [ -s "$VMTAP_TEST_NOTES" ]; then
	say "notes"
	head -n 150 "$VMTAP_TEST_NOTES"
fi
if [ -s "$reasons" ]; then
	printf '\n== what failed, on Linux %s, %s cores, %s\n' "$(uname -r)" "$(nproc)" \
		"$(sysctl -n net.ipv4.tcp_congestion_control)"
	head -n 150 "$reasons"
fi
[ ${#failed_suites[@]} = 0 ] || printf 'failed: %s\n' "${failed_suites[@]}"
awk '{ p += $(NF-2); f += $(NF-1); s += $NF } END {
	printf "%d passed, %d failed, %d skipped\n", p, f, s; exit f > 0 || p == 0 }' "$tally"
