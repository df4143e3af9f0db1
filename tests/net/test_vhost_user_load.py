# SPDX-License-Identifier: MIT
"""What changes while a vhost-user port and its TAP carry as much as they can, both ways: front ends are killed,
queue pairs come and go, memory too, the TAP is deleted. Afterwards everything arrives, and nothing is left over."""

import contextlib
import signal
import threading

import pytest

from netns import wait_until
from tuntap import ETH_TEST, GUEST, HOST, Packets, flows, frame
from vu import EVENT_IDX, MODERN, MQ, MRG, PACKED
from vulab import Lab, front

MARK = frame(7, 17)  # too short to be one of a flood's
# A change may take its time where everything is busy, and still is no stall.
PAIRS = dict(pairs=2, ring_size=64, need_reply=1, timeout_ms=30000)
FOR_EVER = dict(tx=1 << 30, rx=1 << 30, all=1, max=1400)
MOVERS = pytest.mark.parametrize("args", [("--workers=2",), ("--engine", "plain"), ("--workers=1", "--poll-us=50")],
                                 ids=["workers", "plain", "polling"])


def want(turn):
    """Features that differ from turn to turn."""
    return MODERN | MRG | MQ | (PACKED if turn & 1 else 0) | (EVENT_IDX if turn & 2 else 0)


class Load(threading.Thread):
    """The kernel sends datagrams of several flows, of which none is a frame of a flood's, as long as there is
    a TAP."""

    def __init__(self, ns):
        super().__init__()
        self.ns = ns
        self.stop = threading.Event()

    def run(self):
        frames = flows(16, 4)
        while not self.stop.is_set():
            try:
                with Packets(self.ns, "v0", kind=ETH_TEST, rcvbuf=1) as kernel:
                    while not self.stop.is_set():
                        for data in frames:
                            kernel.send(data)
            except OSError:
                self.stop.wait(0.002)  # it is not there, or full

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *exc):
        self.stop.set()
        self.join()


@contextlib.contextmanager
def laboratory(ns, folder, args):
    ns.sysctl("net.ipv6.conf.default.disable_ipv6", 1)  # the kernel itself has nothing to say
    with Lab(ns, folder, port=",queues=2", tap=",queues=2,reconnect-ms=5", args=args) as lab:
        ns.run("ip link set v0 txqueuelen 500")
        with front(lab, want=want(0), **PAIRS) as vm:
            serves(lab, vm)
        before = settled(lab)
        yield lab
        # At first, some of the session before may still have been open: what counts is that it is not more.
        wait_until(lambda: all(now <= then for now, then in zip(settled(lab), before)),
                   what="no more descriptors and mappings than before")


def settled(lab):
    """No front end is there: how many descriptors, and mappings of them. (Those of files on a disk are the loader's
    and a sanitizer's, who come later as well.)"""
    wait_until(lambda: not lab.mappings())
    with open("/proc/%d/maps" % lab.vmtap.proc.pid) as f:
        return lab.descriptors(), sum("anon_inode:" in line or "(deleted)" in line for line in f)


def serves(lab, vm):
    """What was on its way is out of it, and all that comes then arrives, whole and in order."""
    for q in 1, 3:
        vm.burst(1, queue=q)
    lab.kernel.close()
    lab.kernel = Packets(lab.ns, "v0")
    wait_until(lambda: marked(lab, vm), timeout=30, what="a frame that the guest gets")
    vm.burst(1, size=61)  # the kernel answers a flow on the queue on which it saw it last
    while lab.kernel.receive() != frame(0, 61, dst=HOST, src=GUEST):
        pass
    lab.exchange(vm, 200)


def marked(lab, vm):
    with contextlib.suppress(OSError):  # the TAP may be full
        lab.kernel.send(MARK)
    for q in 0, 2:
        got = vm.receive(queue=q, timeout=0.1, kind=ETH_TEST)
        if got and got.data == MARK:
            return True
    return False


def wait_for_traffic(lab):
    """Both ways."""
    def counters():
        stats = lab.ns.links()["v0"]["stats64"]
        return stats["rx"]["packets"], stats["tx"]["packets"]
    before = counters()
    wait_until(lambda: all(now > then + 200 for now, then in zip(counters(), before)), timeout=30)


@MOVERS
def test_front_ends_are_killed(ns, folder, args):
    with laboratory(ns, folder, args) as lab:
        with Load(ns):
            for turn in range(8):
                with front(lab, want=want(turn), **PAIRS) as vm:
                    vm.flood_start(**FOR_EVER)
                    wait_for_traffic(lab)
                    vm.close(signal.SIGKILL)
        with front(lab, want=want(0), **PAIRS) as vm:
            serves(lab, vm)


@MOVERS
@pytest.mark.parametrize("change", ["pairs", "memory", "rings"])
def test_a_front_end_changes_its_mind(ns, folder, args, change):
    with laboratory(ns, folder, args) as lab:
        for turn in range(2):
            with front(lab, want=want(turn), how={"mem": (64 << 20, 1 << 20)}, **PAIRS) as vm:
                with Load(ns):
                    got = vm.flood(tx=20000, all=1, max=1400, change=change, every=250)
                assert not got["closed"] and not got["refused"] and not got["bad"], got["said"]
                assert got["changes"] == 80
                for q in range(4):
                    vm.enable(q)
                serves(lab, vm)


@MOVERS
def test_the_tap_is_deleted_and_made_again(ns, folder, args):
    with laboratory(ns, folder, args) as lab:
        with front(lab, want=want(0), **PAIRS) as vm, Load(ns):
            vm.flood_start(**FOR_EVER)
            for turn in range(8):
                wait_for_traffic(lab)
                ns.run("ip link del v0")
                wait_until(lambda turn=turn: lab.log().count("is gone") > turn)
                ns.run("ip tuntap add v0 mode tap multi_queue vnet_hdr && ip link set v0 up txqueuelen 500")
            wait_for_traffic(lab)
            vm.close(signal.SIGKILL)
        with front(lab, want=want(0), **PAIRS) as vm:
            serves(lab, vm)


@MOVERS
def test_everything_at_once(ns, folder, args):
    with laboratory(ns, folder, args) as lab:
        with Load(ns):
            for turn, change in enumerate(["pairs", "memory", "rings"] * 2):
                with front(lab, want=want(turn), how={"mem": (64 << 20, 1 << 20)}, **PAIRS) as vm:
                    vm.flood_start(change=change, every=100, **FOR_EVER)
                    wait_for_traffic(lab)
                    ns.run("ip link del v0")
                    wait_until(lambda turn=turn: lab.log().count("is gone") > turn)
                    ns.run("ip tuntap add v0 mode tap multi_queue vnet_hdr && ip link set v0 up txqueuelen 500")
                    wait_for_traffic(lab)
                    vm.close(signal.SIGKILL)
        with front(lab, want=want(0), **PAIRS) as vm:
            serves(lab, vm)
