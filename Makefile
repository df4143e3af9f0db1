# SPDX-License-Identifier: MIT
# A thin front for Meson: the targets that people type.

BUILD ?= build

.PHONY: all deps test test-unit test-net test-guest test-in-guest test-matrix demo bench bench-vhost-net fuzz install format check-format check-arrows \
	clean help

all: $(BUILD)/build.ninja
	@ninja -C $(BUILD)

$(BUILD)/build.ninja:
	@command -v meson >/dev/null && command -v ninja >/dev/null || { \
		echo "make: Meson and Ninja are needed to build; as root: make deps" >&2; exit 1; }
	@meson setup $(BUILD)

deps: ## install what building and testing need (as root, Debian)
	@scripts/deps.sh build test

test: ## install what is missing, build, run every suite
	@scripts/test.sh all

test-unit test-net test-guest: ## one suite
	@scripts/test.sh $(@:test-%=%)

test-in-guest: ## the network suite and vhost-net on Debian's cloud kernel, in a guest (an hour and more)
	@scripts/test.sh in-guest

test-matrix: ## guests in every combination of virtio-net features, for hours (MATRIX_EVERY=N: one in N)
	@scripts/test.sh matrix

demo: ## install what is missing, build, show a guest on a TAP (GUEST=responder: without QEMU)
	@scripts/demo.sh

bench: ## measure against the peers, interleaved; table, JSON and a picture (BENCHES="relay vhost", REPS=5)
	@JSON=$${JSON:-$(BUILD)/bench.json} SVG=$${SVG:-$(BUILD)/bench.svg} bench/run.sh

bench-vhost-net: ## measure the kernel's vhost-net against vmtap's own path, in a guest that has it (REPS=3, SECS=5)
	@bench/vhostnet.sh

fuzz: ## fuzz the parsers for FUZZ_SECONDS each (default 600)
	@scripts/fuzz.sh

install: all ## install to PREFIX (see meson configure), DESTDIR honoured
	@meson install -C $(BUILD)

format: ## put the sources in the project's format
	@git ls-files -- '*.c' '*.h' | xargs clang-format -i

check-format: ## complain about sources that are not
	@git ls-files -- '*.c' '*.h' | xargs clang-format --dry-run --Werror

check-arrows: ## complain about folders that include what lies above them
	@scripts/check-arrows.py

clean: ## remove the build
	@rm -rf $(BUILD)

help: ## this list
	@awk -F':.*## ' '/^[a-z][a-z -]*:.*## / { printf "make %-34s %s\n", $$1, $$2 }' Makefile
