# SPDX-License-Identifier: MIT
"""A switch of vmtap serve with two guests and a TAP; the front ends are ours (vu-front-tool).

    a ── vhost-user ─┐
    b ── vhost-user ─┴─ switch "lan" ── TAP v0 (packet socket)
"""

import contextlib
import struct

import pytest

import vu
from ctl import Serve
from netns import wait_until
from tuntap import ETH_TEST, SOL_PACKET, Packets, frame, number_of
from vu import CSUM, EVENT_IDX, GUEST_CSUM, GUEST_TSO4, HOST_TSO4, MODERN, MRG, PACKED, Front
from vulab import NEEDS_CSUM, PACKET_VNET_HDR, TCP4, tcp4, tcp_payload, tcp_sum_is_right

ALL = b"\xff" * 6
A, B, KERNEL = (bytes([2, 0, 0, 0, 9, n]) for n in (1, 2, 3))
PLAIN = MODERN | MRG
TAKES_TSO = PLAIN | CSUM | HOST_TSO4 | GUEST_CSUM | GUEST_TSO4
CONF = """
[switch lan]
ports = v0 a b

[port v0]
type = tap
ifname = v0
script = no
downscript = no
up = on
mtu = 65521
persist = on

[port a]
type = vhost-user
server = on
path = {folder}/a

[port b]
type = vhost-user
server = on
path = {folder}/b
"""


class Lan:
    """The server, with its configuration file; start() again after a kill."""

    def __init__(self, ns, folder, args=(), more=""):
        ns.sysctl("net.ipv6.conf.default.disable_ipv6", 1)
        self.ns, self.folder, self.args = ns, folder, args
        with open(folder + "/conf", "w") as f:
            f.write(CONF.format(folder=folder).replace("ports = v0 a b", "ports = v0 a b" + more))
        self.stack = contextlib.ExitStack()
        self.server = self.ctl = None
        self.start()
        self.kernel = self.stack.enter_context(Packets(ns, "v0", rcvbuf=64 << 20))

    def start(self):
        self.server = self.stack.enter_context(Serve(self.ns, self.folder, "-c", self.folder + "/conf", *self.args))
        self.ctl = self.stack.enter_context(self.server.client())

    def front(self, name, how=None, **settings):
        """A front end that is up, as the server sees it."""
        made = self.stack.enter_context(Front(self.ns, **{"ring_size": 256, **settings}))
        made.up(self.folder + "/" + name, **(how or {}))
        self.ctl.wait_port(name, lambda row: row["state"] == "up", timeout=30)
        return made

    def drops(self, port, way="tx"):
        return self.ctl.run("query-stats", id=port)[0][way]["drops"]

    def queue(self, port):
        return self.ctl.run("query-queues", id=port)[0]

    def close(self):
        self.stack.close()
        self.ns.run("ip link del v0", check=False)


@pytest.fixture
def lan(ns, folder):
    with contextlib.ExitStack() as stack:
        def make(*args, **how):
            made = Lan(ns, folder, args, **how)
            stack.callback(made.close)
            return made
        yield make


def hears(vm, number, size=60, **kw):
    """The next of our frames that the guest gets is that one."""
    got = vm.receive(kind=ETH_TEST, **kw)
    assert got is not None and number_of(got.data) == number and len(got.data) == size, got
    return got


def kernel_hears(lan, number):
    got = lan.kernel.receive()
    assert got is not None and number_of(got) == number, got


WORKERS = pytest.mark.parametrize("args", [(), ("--workers=2",)], ids=["alone", "workers"])


@WORKERS
@pytest.mark.parametrize("ring", [0, PACKED], ids=["split", "packed"])
def test_guests_and_host_find_each_other(lan, ring, args):
    lan = lan(*args)
    a, b = (lan.front(name, want=PLAIN | EVENT_IDX | ring) for name in "ab")
    a.send(frame(1, dst=ALL, src=A))
    hears(b, 1)
    kernel_hears(lan, 1)
    b.send(frame(2, dst=A, src=B))
    hears(a, 2)
    lan.kernel.send(frame(3, dst=B, src=KERNEL))
    hears(b, 3)              # and not its own
    a.send(frame(4, dst=KERNEL, src=A))
    kernel_hears(lan, 4)     # and not 2
    b.send(frame(5, dst=ALL, src=B))
    hears(a, 5)              # and not 3
    kernel_hears(lan, 5)
    macs = {row["mac"]: row["port"] for row in lan.ctl.run("query-macs", id="lan")}
    assert macs == {"02:00:00:00:09:01": "a", "02:00:00:00:09:02": "b", "02:00:00:00:09:03": "v0"}


@WORKERS
def test_thousands_pass_between_guests(lan, args):
    lan = lan(*args)
    a, b = lan.front("a", want=PLAIN | EVENT_IDX, ring_size=64), lan.front("b", want=PLAIN | PACKED, ring_size=128)
    size = 60
    for turn in range(20):   # no more at once than waits for a guest that is slow
        a.burst(60, first=60 * turn, size=size)
        for n in range(60):
            hears(b, 60 * turn + n)
    assert lan.drops("b") == {} and lan.drops("a", "rx") == {}
    for n in range(1200):
        kernel_hears(lan, n)


def segments(vm, data):
    """They are there, finished."""
    got = b""
    while len(got) < len(data) - 54:
        part = vm.receive(kind=0x0800)
        assert part and len(part.data) <= 1448 + 54
        assert part.hdr.gso_type == 0 and not part.hdr.flags & NEEDS_CSUM and tcp_sum_is_right(part.data)
        got += tcp_payload(part.data)
    assert got == tcp_payload(data)


def test_who_takes_large_frames_gets_them_whole_and_the_others_segments(lan):
    lan = lan()
    a, b = lan.front("a", want=TAKES_TSO), lan.front("b", want=PLAIN | CSUM | HOST_TSO4)
    data, fields = tcp4(20000)
    with Packets(lan.ns, "v0") as sender:
        sender.sock.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
        names = "flags", "gso_type", "hdr_len", "gso_size", "csum_start", "csum_offset"
        sender.send(struct.pack("<BBHHHH", *(fields[n] for n in names)) + data)
    whole = a.receive(kind=0x0800)
    assert whole.data == data and (whole.hdr.gso_type, whole.hdr.gso_size) == (TCP4, 1448)
    segments(b, data)
    # from a guest; its source is known, and the destination still nobody's
    data, fields = tcp4(30000, seed=8)
    a.send(data, header=vu.hdr(**fields))
    segments(b, data)
    data, fields = tcp4(30000, seed=9)
    b.send(data, header=vu.hdr(**fields))
    assert a.receive(kind=0x0800).data == data
    assert a.receive(timeout=0.1, kind=0x0800) is None


def test_large_frames_are_counted_as_such(lan):
    lan = lan()
    a, b = lan.front("a", want=TAKES_TSO), lan.front("b", want=PLAIN)
    before = {name: lan.queue(name) for name in ("a", "b", "v0")}
    large, small = tcp4(20000), tcp4(1000, gso=False)
    for data, fields in [large] * 3 + [small] * 5:
        a.send(data, header=vu.hdr(**fields))
    cnt = 3 * -(-(20000 - 54) // 1448) + 5
    for _ in range(cnt):
        assert b.receive(kind=0x0800)
    wait_until(lambda: lan.queue("v0")["tx"]["frames"] - before["v0"]["tx"]["frames"] == 8)

    def more(name, way, what):
        return lan.queue(name)[way][what] - before[name][way][what]

    assert (more("a", "rx", "frames"), more("a", "rx", "gso_frames")) == (8, 3)
    assert more("a", "rx", "bytes") == 3 * 20000 + 5 * 1000
    assert (more("v0", "tx", "frames"), more("v0", "tx", "gso_frames")) == (8, 3)
    assert (more("b", "tx", "frames"), more("b", "tx", "gso_frames")) == (cnt, 0)


def test_a_guest_that_takes_nothing_holds_up_nobody(lan):
    """What it does not get is counted, frame by frame."""
    lan = lan()
    a, b = lan.front("a", want=PLAIN), lan.front("b", want=PLAIN, how={"post": False}, ring_size=64)
    for turn in range(80):
        a.burst(100, first=100 * turn, size=1000)
    for n in range(8000):
        kernel_hears(lan, n)
    dropped = lan.drops("b")["queue-full"]
    assert lan.drops("b") == {"queue-full": dropped} and dropped > 1000
    b.post(0)
    for n in range(8000 - dropped):
        hears(b, n, size=1000)
    assert b.receive(timeout=0.1, kind=ETH_TEST) is None
    a.send(frame(9000, dst=ALL, src=A))
    hears(b, 9000)
    kernel_hears(lan, 9000)


@WORKERS
def test_a_guest_that_comes_again_is_found_again(lan, args):
    lan = lan(*args)
    a, b = lan.front("a", want=TAKES_TSO), lan.front("b", want=TAKES_TSO)
    for turn in range(6):
        b.send(frame(1, dst=ALL, src=B))
        hears(a, 1)
        a.send(frame(2, dst=B, src=A))
        hears(b, 2)
        b.close(9 if turn & 1 else None)
        lan.ctl.wait_port("b", lambda row: row["state"] != "up", timeout=30)
        gone = sum(lan.drops("b").values())
        a.send(frame(3, dst=ALL, src=A))
        wait_until(lambda gone=gone: sum(lan.drops("b").values()) == gone + 1)
        b = lan.front("b", want=PLAIN if turn & 2 else TAKES_TSO | PACKED)
        a.send(frame(4, dst=B, src=A))   # the address is still known, behind the same port
        hears(b, 4)
    assert a.receive(timeout=0.1, kind=ETH_TEST) is None


@WORKERS
def test_after_a_kill_the_guests_go_on(lan, args):
    lan = lan(*args)
    a, b = lan.front("a", want=TAKES_TSO), lan.front("b", want=PLAIN | PACKED)
    index = lan.ns.links()["v0"]["ifindex"]
    for turn in range(3):
        a.send(frame(10 * turn, dst=ALL, src=A))
        hears(b, 10 * turn)
        kernel_hears(lan, 10 * turn)
        b.send(frame(10 * turn + 1, dst=A, src=B))
        hears(a, 10 * turn + 1)
        for vm in a, b:      # or what is in flight would be sent once more
            wait_until(lambda vm=vm: (vm.do("reap 1"), vm.state()["queues"][1]["out"] == 0)[1])
        lan.server.proc.kill()
        lan.server.proc.wait()
        lan.start()
        assert lan.ns.links()["v0"]["ifindex"] == index
        for name, vm in ("a", a), ("b", b):
            assert vm.is_closed()
            vm.again(lan.folder + "/" + name)
            lan.ctl.wait_port(name, lambda row: row["state"] == "up", timeout=30)
    assert lan.ctl.run("query-macs", id="lan") == []
    a.send(frame(100, dst=ALL, src=A))
    hears(b, 100)
    kernel_hears(lan, 100)


# ---------------------------------------------------------------- kicks, calls, wake-ups


def test_kicks_calls_and_wakeups_are_those_of_the_guest(lan):
    """Each burst is one kick; the next one waits until all is used, so each is heard."""
    lan = lan()
    a, b = lan.front("a", want=PLAIN), lan.front("b", want=PLAIN)
    before, state = lan.queue("a"), a.state()["queues"]
    for turn in range(50):
        a.burst(7, first=7 * turn)
        for n in range(7):
            hears(b, 7 * turn + n)
    now, state_now = lan.queue("a"), a.state()["queues"]
    rx, was = now["rx"], before["rx"]
    assert rx["frames"] - was["frames"] == 350
    kicks = state_now[1]["kicks"] - state[1]["kicks"]
    # a driver need not kick while the device looks on; each kick that it made was heard
    assert 1 <= kicks <= 50
    assert rx["ring"]["kicks"] - was["ring"]["kicks"] == kicks
    assert now["tx"]["ring"]["kicks"] == before["tx"]["ring"]["kicks"]
    assert now["wakeups"] - before["wakeups"] == kicks
    assert 1 <= rx["bursts"] - was["bursts"] <= 350
    assert rx["ring"]["started"] and rx["ring"]["enabled"] and rx["ring"]["size"] == 256


def test_each_call_reaches_the_guest(lan):
    lan = lan()
    a, b = lan.front("a", want=PLAIN), lan.front("b", want=PLAIN)
    for n in range(100):
        a.send(frame(n, dst=ALL, src=A))
        hears(b, n)
    assert b.receive(timeout=0.1) is None   # and takes what calls are left
    assert lan.queue("b")["tx"]["frames"] == 100
    calls = b.state()["queues"][0]["calls"]
    assert 1 <= calls <= 101 and lan.queue("b")["tx"]["ring"]["calls"] == calls


def test_a_guest_that_wants_no_calls_gets_none(lan):
    lan = lan()
    a, b = lan.front("a", want=PLAIN), lan.front("b", want=PLAIN, no_call=1)
    for n in range(50):
        a.send(frame(n, dst=ALL, src=A))
        hears(b, n)
    assert lan.queue("b")["tx"]["ring"]["calls"] == lan.queue("b")["rx"]["ring"]["calls"] == 0
