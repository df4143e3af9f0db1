# SPDX-License-Identifier: MIT
"""What a frame costs between a guest and a TAP: no memory is asked for, and so many system calls.

Nothing here depends on how fast anybody is: the guest's frames are all in the ring before its only
kick, and the kernel's all in the TAP before the guest has buffers for them.
"""

import collections
import contextlib
import os
import re
import select
import shutil
import signal
import struct
import subprocess

import pytest

import vmtap
from netns import end, wait_until
from vu import EVENT_IDX, MODERN, MRG, PACKED
from vulab import Lab, assert_whole, front

pytestmark = pytest.mark.skipif("ASAN_OPTIONS" in os.environ or "TSAN_OPTIONS" in os.environ,
                                reason="a sanitizer asks for memory, and calls the system, itself")

RING = 256
MOVERS = pytest.mark.parametrize("args", [
    ("--engine", "io_uring"), ("--engine", "plain"), ("--engine", "io_uring", "--workers=1"),
], ids=["io_uring", "plain", "worker"])


@pytest.fixture(autouse=True)
def own_args(monkeypatch):
    """Each test says how vmtap is to run."""
    monkeypatch.delenv("VMTAP_ARGS", raising=False)


@pytest.fixture
def quiet(ns):
    """The kernel sends nothing of its own."""
    ns.sysctl("net.ipv6.conf.default.disable_ipv6", 1)
    return ns


def wait_written(ns, count):
    wait_until(lambda: ns.links()["v0"]["stats64"]["rx"]["packets"] >= count)


# Memory

class Allocations:
    """How often a program that runs wrapped in @wrap asked for memory, or gave it back."""

    def __init__(self, folder):
        self.file = os.path.join(folder, "allocations")
        with open(self.file, "wb") as f:
            f.write(bytes(8))
        library = os.path.join(vmtap.build(), "tests", "net", "count-alloc.so")
        self.wrap = ["env", "LD_PRELOAD=" + library, "COUNT_ALLOC=" + self.file]

    def count(self):
        with open(self.file, "rb") as f:
            return struct.unpack("Q", f.read())[0]


@MOVERS
@pytest.mark.parametrize("ring", [0, PACKED], ids=["split", "packed"])
def test_no_memory_is_asked_for(quiet, folder, args, ring):
    allocations = Allocations(folder)
    with Lab(quiet, folder, args=args, wrap=allocations.wrap, mtu=9000) as lab, \
            front(lab, want=MODERN | MRG | EVENT_IDX | ring, ring_size=RING) as vm:
        lab.exchange(vm, 2000)
        lab.exchange(vm, 100, high=9000, first=5000)
        before = allocations.count()
        assert before > 0
        assert_whole(vm.flood(tx=50000, first=200000, max=1400), 50000, 0)
        for turn in range(5):
            lab.drain()
            lab.exchange(vm, 5000, first=10000 * turn + 20000, high=300)
        lab.exchange(vm, 1000, low=4000, high=9000, first=5000)
        assert allocations.count() == before


# System calls

Calls = collections.namedtuple("Calls", "total of")


@contextlib.contextmanager
def strace(v, folder):
    """Counts what the process of @v calls meanwhile. Yields a Calls that is filled in at the end."""
    if not shutil.which("strace"):
        pytest.skip("strace is not installed; Debian: strace")
    table = os.path.join(folder, "calls")
    proc = subprocess.Popen(["strace", "-c", "-f", "-o", table, "-p", str(v.proc.pid)],
                            stderr=subprocess.PIPE, bufsize=0)
    said = b""
    counted = {}
    try:
        while b"attached" not in said:
            assert select.select([proc.stderr], [], [], 10)[0], said
            data = os.read(proc.stderr.fileno(), 4096)
            assert data, "strace: %r" % said
            said += data
        wait_until(lambda: all_traced(v.proc.pid))
        yield counted
    finally:
        end(proc, sig=signal.SIGINT)
        proc.stderr.close()
    with open(table) as f:
        for line in f:
            row = re.fullmatch(r"\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+)\s+(?:\d+\s+)?(\w+)\s*", line)
            if row and row[2] != "total":
                counted[row[2]] = int(row[1])


def all_traced(pid):
    for task in os.listdir("/proc/%d/task" % pid):
        with open("/proc/%d/task/%s/status" % (pid, task)) as f:
            if "TracerPid:\t0\n" in f.read():
                return False
    return True


def others(counted, *names):
    return sum(n for name, n in counted.items() if name not in names)


ROUNDS = 20


@MOVERS
@pytest.mark.parametrize("size", [60, 1400, 1600])
def test_calls_from_the_guest_to_the_tap(quiet, folder, args, size):
    """Writes of a burst of 64 are one call with io_uring, and one each without; the rest is a handful a kick."""
    frames = ROUNDS * RING
    with Lab(quiet, folder, args=args, mtu=9000) as lab, \
            front(lab, want=MODERN | MRG | EVENT_IDX, ring_size=RING) as vm:
        vm.burst(RING, size=size)
        with strace(lab.vmtap, folder) as calls:
            for _ in range(ROUNDS):
                vm.burst(RING, size=size)
        wait_written(quiet, frames + RING)
    written = "write" if size < 1514 else "writev"  # what is copied behind its header is in one piece
    if "plain" in args:
        assert frames <= calls[written] <= frames + frames // 16, calls
        assert "io_uring_enter" not in calls
        assert others(calls, written) <= frames // 8, calls
    else:
        assert 0 < calls["io_uring_enter"] <= frames // 16, calls
        assert others(calls, "io_uring_enter") <= frames // 8, calls


@MOVERS
@pytest.mark.parametrize("size", [60, 1400])
def test_calls_from_the_tap_to_the_guest(quiet, folder, args, size):
    """A read each, and a call of the guest's a burst."""
    with Lab(quiet, folder, args=args) as lab, \
            front(lab, want=MODERN | MRG | EVENT_IDX, ring_size=RING, how={"post": False}) as vm:
        vm.do("hold 0 1")
        lab.give(RING * ROUNDS, size, size)
        vm.post(0, 8)
        assert_whole(vm.flood(rx=8, min=size, max=size), 0, 8)
        with strace(lab.vmtap, folder) as calls:
            for n in range(1, ROUNDS):
                vm.post(0, RING)
                assert_whole(vm.flood(rx=RING, first=8 + (n - 1) * RING, min=size, max=size), 0, RING)
    frames = (ROUNDS - 1) * RING
    assert frames - 64 <= calls["read"] <= frames + frames // 16, calls
    assert calls.get("write", 0) <= frames // 32, calls
    assert others(calls, "read") <= frames // 8, calls


@MOVERS
def test_calls_of_long_frames_to_the_guest(quiet, folder, args):
    """They are read where they belong, with a call each as well."""
    size, rounds, at_once = 9000, 10, RING // 6
    with Lab(quiet, folder, args=args, mtu=9000) as lab, \
            front(lab, want=MODERN | MRG | EVENT_IDX, ring_size=RING, rx_len=1526, how={"post": False}) as vm:
        vm.do("hold 0 1")
        lab.give(at_once * rounds, size, size)
        with strace(lab.vmtap, folder) as calls:
            for n in range(rounds):
                vm.post(0, RING)
                assert_whole(vm.flood(rx=at_once, first=n * at_once, min=size, max=size), 0, at_once)
    frames = rounds * at_once
    assert calls.get("readv", 0) > 0, calls
    assert calls["read"] + calls["readv"] <= frames + frames // 4, calls


@MOVERS
def test_an_idle_one_calls_nothing(quiet, folder, args):
    """For as long as it takes others to do a good deal."""
    with Lab(quiet, folder, args=args) as idle, \
            front(idle, want=MODERN | MRG | EVENT_IDX, ring_size=RING) as vm:
        idle.exchange(vm, 200)
        for _ in range(10):  # a moment after the start it looks whether all queues were enabled
            with strace(idle.vmtap, folder) as calls:
                for _ in range(30):
                    quiet.links()
            if not calls:
                break
    assert not calls, calls
