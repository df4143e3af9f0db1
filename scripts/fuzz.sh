#!/bin/bash
# SPDX-License-Identifier: MIT
#
# fuzz.sh - build the fuzzers with clang and run each for a while
#
# Every target starts from tests/fuzz/corpus/NAME and from what earlier runs found, which stays
# in the build directory. What a target writes to stderr goes into its log, so that a
# sanitizer's report is kept.
set -euo pipefail

cd "$(dirname "$0")/.."
build=${BUILD:-build-fuzz}
seconds=${FUZZ_SECONDS:-600}
jobs=${FUZZ_JOBS:-1}

usage() {
	cat <<-EOF
		usage: scripts/fuzz.sh [NAME...]

		Runs the fuzzers tests/fuzz/fuzz-NAME.c, all of them by default.

		  FUZZ_SECONDS  how long each may run (default 600)
		  FUZZ_JOBS     how many run at once (default 1; more show no progress)
		  BUILD         build directory (default build-fuzz)

		Exit status: 0 nothing was found, 1 a target crashed, hung or leaked, 2 wrong usage,
		3 a tool is missing.
	EOF
}

need_tools() {
	local tool missing=
	for tool in clang meson ninja; do
		command -v "$tool" >/dev/null || missing+=" $tool"
	done
	[ -z "$missing" ] && return
	echo "fuzz.sh: missing:$missing; as root: apt-get install -y clang meson ninja-build" >&2
	exit 3
}

# All of the core is instrumented, so that coverage leads into it.
build_targets() {
	local log=$build/fuzz/build.log

	mkdir -p "$build/fuzz"
	{
		[ -e "$build/build.ninja" ] ||
			CC=clang meson setup "$build" -Dfuzz=true -Dbuildtype=debugoptimized \
				-Dwerror=false -Db_sanitize=address,undefined -Db_lundef=false \
				-Dc_args="-fsanitize=fuzzer-no-link -fno-sanitize-recover=all"
	} >"$log" 2>&1 && ninja -C "$build" fuzz-targets >>"$log" 2>&1 && return
	tail -n 20 "$log" >&2
	echo "fuzz.sh: the build failed; its output is in $log" >&2
	exit 1
}

names_of_targets() {
	local target
	for target in "$build"/tests/fuzz/fuzz-*; do
		[ -f "$target" ] && [ -x "$target" ] && echo "${target##*/fuzz-}"
	done
	return 0
}

# One line that follows libFuzzer's pulse; on a terminal only.
show_progress() {
	if [ ! -t 1 ] || [ "$jobs" -gt 1 ]; then
		cat >/dev/null
		return
	fi
	awk -v name="$1" '
		/^#[0-9]+/ && / cov: / {
			for (i = 2; i < NF; i++) {
				if ($i == "cov:") cov = $(i + 1)
				if ($i == "exec/s:") rate = $(i + 1)
			}
			printf "\r%-12s %12d executions, coverage %d, %d a second  ", \
				name, substr($1, 2), cov, rate
			fflush()
		}
		END { printf "\r%78s\r", "" }'
}

last_number() { # PATTERN FILE: the last number that follows PATTERN
	grep -aoE "$1 *[0-9]+" "$2" | tail -n 1 | grep -oE '[0-9]+$' || echo '?'
}

run_target() {
	local name=$1 status=0
	local log=$build/fuzz/$name.log found=$build/fuzz/corpus/$name crashes=$build/fuzz/crashes
	local options=()

	if [ ! -d "tests/fuzz/corpus/$name" ]; then
		echo "fuzz.sh: $name: tests/fuzz/corpus/$name is missing; add a few inputs" >&2
		return 1
	fi
	mkdir -p "$found" "$crashes"
	[ -e "tests/fuzz/$name.dict" ] && options+=("-dict=tests/fuzz/$name.dict")
	printf '%-12s for %s s ...\n' "$name" "$seconds"
	"$build/tests/fuzz/fuzz-$name" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=1024 \
		-close_fd_mask=1 -print_final_stats=1 -artifact_prefix="$crashes/$name-" \
		"${options[@]}" "$found" "tests/fuzz/corpus/$name" 2>&1 |
		tee "$log" | show_progress "$name" || status=$?
	printf '%-12s %s executions, coverage %s edges, %s features, %s inputs kept\n' "$name" \
		"$(last_number number_of_executed_units: "$log")" "$(last_number 'cov:' "$log")" \
		"$(last_number 'ft:' "$log")" "$(find "$found" -type f | wc -l)"
	[ "$status" -eq 0 ] && return
	echo "$name: FAILED (status $status); the report is in $log" >&2
	grep -aE '^(==[0-9]+==ERROR|SUMMARY|.*runtime error|.*Assertion )' "$log" | head -n 5 >&2
	sed -n 's/.*Test unit written to /reproducer: /p' "$log" >&2
	return 1
}

case ${1:-} in
-h | --help)
	usage
	exit
	;;
-*)
	usage >&2
	exit 2
	;;
esac
if ! [[ $seconds =~ ^[1-9][0-9]*$ ]]; then
	echo "fuzz.sh: FUZZ_SECONDS=$seconds is not a number of seconds above 0" >&2
	exit 2
fi
if ! [[ $jobs =~ ^[1-9][0-9]*$ ]]; then
	echo "fuzz.sh: FUZZ_JOBS=$jobs is not a number above 0" >&2
	exit 2
fi
need_tools
build_targets
[ $# -gt 0 ] || mapfile -t names < <(names_of_targets)
[ $# -eq 0 ] || names=("$@")
failed=0
for name in "${names[@]}"; do
	if [ ! -x "$build/tests/fuzz/fuzz-$name" ]; then
		echo "fuzz.sh: there is no target $name; there are: $(names_of_targets | xargs)" >&2
		exit 2
	fi
	if [ "$(jobs -rp | wc -l)" -ge "$jobs" ]; then
		wait -n || failed=1
	fi
	run_target "$name" &
done
while [ "$(jobs -p | wc -l)" -gt 0 ]; do
	wait -n || failed=1
done
exit "$failed"
