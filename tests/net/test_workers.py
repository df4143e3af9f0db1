# SPDX-License-Identifier: MIT
"""Threads that move frames (--workers, --cpus), and looking for work before sleeping (--poll-us)."""

import os

import pytest

import vmtap
from netns import wait_until
from tuntap import ETH_TEST, GUEST, HOST, Packets, frame
from vmtap import Vmtap
from vu import MODERN, MQ, MRG
from vulab import Lab, assert_whole, front

OK, USAGE, RESOURCE = 0, 2, 3


@pytest.fixture
def with_args(monkeypatch):
    """More options for each vmtap of a test."""
    return lambda *args: monkeypatch.setenv("VMTAP_ARGS", " ".join(args))


def threads(proc):
    """Thread name to what /proc says of it."""
    found = {}
    for task in os.listdir("/proc/%d/task" % proc.pid):
        with open("/proc/%d/task/%s/status" % (proc.pid, task)) as f:
            status = dict(line.rstrip("\n").split(":\t", 1) for line in f if ":\t" in line)
        found[status["Name"]] = status
    return found


def writes(proc):
    """System calls by which each worker wrote something."""
    found = {}
    for name, status in threads(proc).items():
        with open("/proc/%d/task/%s/io" % (proc.pid, status["Pid"])) as f:
            found[name] = int(dict(line.split(": ") for line in f)["syscw"])
    return found


@pytest.mark.parametrize("args, said", [
    (["--workers=x"], "--workers is a number of threads, 0 to 64, not: x"),
    (["--workers=65"], "not: 65"),
    (["--workers=-1"], "not: -1"),
    (["--workers=1 "], "not: 1 "),
    (["--cpus=0"], "--cpus says where workers run: add --workers N"),
    (["--workers=1", "--cpus="], "as in 0,2-3, not: "),
    (["--workers=1", "--cpus=3-1"], "not: 3-1"),
    (["--workers=1", "--cpus=0,,1"], "not: 0,,1"),
    (["--workers=1", "--cpus=0-"], "not: 0-"),
    (["--workers=1", "--cpus=0-900"], "not: 0-900"),
    (["--poll-us=1000001"], "--poll-us is microseconds, 0 to 1000000, not: 1000001"),
    (["--poll-us=99999999999999999999"], "not: 9999"),
], ids=lambda value: "_".join(value) if isinstance(value, list) else "")
def test_options_that_cannot_be(ns, args, said):
    done = vmtap.run(ns, *args, "connect", "null", "null")
    assert (done.returncode, done.stdout) == (USAGE, "")
    assert said in done.stderr


def test_a_processor_that_is_not_there(ns):
    done = vmtap.run(ns, "--workers=1", "--cpus=1023", "connect", "null", "null")
    assert (done.returncode, done.stdout) == (RESOURCE, "")
    assert "workers: cannot use a processor: processor 1023: it does not exist" in done.stderr
    assert "taskset -cp" in done.stderr


def test_workers_are_there_and_pinned(ns, folder, with_args):
    with_args()
    with Vmtap(ns, ["null", "null"], folder, args=("--workers=3", "--cpus=0,1")) as v:
        found = threads(v.proc)
        assert sorted(name for name in found if "-" in name) == ["vmtap-0", "vmtap-1", "vmtap-2"]
        assert [found["vmtap-%d" % i]["Cpus_allowed_list"] for i in range(3)] == ["0", "1", "0"]
        blocked = int(found["vmtap-0"]["SigBlk"], 16)
        assert blocked >> 14 & 1 and not blocked >> 6 & 1  # SIGTERM, SIGBUS
    assert v.status == OK


def test_a_queue_pair_has_a_thread(ns, folder, with_args):
    """What moves on one pair is moved by that pair's worker and no other."""
    with_args("--workers=2", "--engine=plain")
    with Lab(ns, folder, port=",queues=2", tap=",queues=2") as lab, \
            front(lab, want=MODERN | MRG | MQ, pairs=2, ring_size=64) as vm:
        for pair, busy, idle in (0, "vmtap-0", "vmtap-1"), (1, "vmtap-1", "vmtap-0"):
            before = writes(lab.vmtap.proc)
            vm.flood_start(tx=5000, pair=pair, first=5000 * pair)
            lab.take(5000, first=5000 * pair)
            assert_whole(vm.answer(), 5000, 0)
            after = writes(lab.vmtap.proc)
            assert after[busy] - before[busy] >= 5000
            assert after[idle] - before[idle] < 100 and after["vmtap"] - before["vmtap"] < 100


def used_queues(ns):
    data = ns.links()["v0"]["linkinfo"]["info_data"]
    return data["numqueues"], data["numdisabled"]


@pytest.mark.parametrize("workers", ["--workers=0", "--workers=2"])
def test_a_pair_that_the_guest_gives_up_has_no_queue(ns, folder, with_args, workers):
    """Whichever it is; and its flows come by the other."""
    with_args(workers)
    with Lab(ns, folder, port=",queues=2", tap=",queues=2") as lab, \
            front(lab, want=MODERN | MRG | MQ, pairs=2, ring_size=64, need_reply=1) as vm:
        assert used_queues(ns) == (2, 0)
        for off, on in (0, 1), (1, 0), (0, 1):
            vm.enable(2 * off, False)
            assert used_queues(ns) == (1, 1)
            for flow in range(16):
                sent = frame(flow, src=bytes([2, 0, 0, 0, 2, flow]))
                lab.kernel.send(sent)
                assert vm.receive(queue=2 * on, kind=ETH_TEST).data == sent
            vm.enable(2 * off)
            assert used_queues(ns) == (2, 0)
            # what it sends on the pair without a queue is not lost
            vm.enable(2 * off, False)
            sent = frame(99, dst=HOST, src=GUEST)
            vm.send(sent, queue=2 * off + 1)
            assert lab.kernel.receive() == sent
            vm.enable(2 * off)


def test_queues_that_were_given_up_stay_so_when_the_tap_comes_again(ns, folder, with_args):
    with_args("--workers=2")
    with Lab(ns, folder, port=",queues=2", tap=",queues=2,persist=on,reconnect-ms=20") as lab, \
            front(lab, want=MODERN | MRG | MQ, pairs=2, ring_size=64, need_reply=1) as vm:
        vm.enable(2, False)
        lab.kernel.close()
        ns.run("ip link del v0")
        lab.wait_for_log("is gone")
        ns.run("ip tuntap add v0 mode tap multi_queue && ip link set v0 up")
        wait_until(lambda: used_queues(ns) == (1, 1), what="the queue that is used, and no other")
        lab.kernel = Packets(ns, "v0")
        lab.give(50)
        for n in range(50):
            assert vm.receive(kind=ETH_TEST).data == frame(n)
    ns.run("ip link del v0")


@pytest.mark.parametrize("workers", ["--workers=0", "--workers=2"])
def test_looking_before_sleeping_loses_nothing(ns, folder, with_args, workers):
    with_args(workers, "--poll-us=1000")
    with Lab(ns, folder, port=",queues=2", tap=",queues=2") as lab, \
            front(lab, want=MODERN | MRG | MQ, pairs=2, ring_size=64) as vm:
        for turn in range(20):
            vm.flood_start(tx=50, pair=turn % 2, first=50 * turn)
            lab.take(50, first=50 * turn)
            assert_whole(vm.answer(), 50, 0)
