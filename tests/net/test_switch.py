# SPDX-License-Identifier: MIT
"""A switch between TAPs and stream ports: vmtap connect with three ports or more.

    10.9.0.1   TAP v0 ─┐        ┌─ stream a   (StreamPeer)
    10.9.0.2   TAP v1 ─┴─ vmtap ┴─ stream b

TAPs with addresses are each in a namespace of their own.
"""

import contextlib
import hashlib
import os
import socket
import threading

import pytest

from netns import Netns, wait_until
from peers import StreamPeer
from tuntap import ETH_TEST, frame, number_of
from vmtap import Vmtap

ALL = b"\xff" * 6
A, B, C = (bytes([2, 0, 0, 0, 9, n]) for n in (1, 2, 3))
MARK = 4000


def tap(number):
    return "tap,ifname=v%d,script=no,downscript=no" % number


class Lan:
    """vmtap with a stream port for each of @options, and a peer at each."""

    def __init__(self, ns, folder, options, switch=None, more=()):
        self.stack = contextlib.ExitStack()
        paths = [os.path.join(folder, "s%d" % i) for i in range(len(options))]
        specs = ["stream,server=on,path=%s,id=s%d%s" % (p, i, o)
                 for i, (p, o) in enumerate(zip(paths, options))]
        self.vmtap = self.stack.enter_context(Vmtap(
            ns, ([switch] if switch else []) + specs + list(more), folder,
            args=["-v", "--log-format", "json", "--stats", "3600"]))
        before = self.sockets()  # perhaps with the one that said READY=1
        self.peers = [self.stack.enter_context(StreamPeer(p)) for p in paths]
        for i, peer in enumerate(self.peers):
            peer.mac = bytes([2, 0, 0, 0, 9, i + 1])
        wait_until(lambda: len(self.sockets() - before) >= len(paths), what="all are connected")

    def sockets(self):
        """Those that vmtap has open."""
        found = set()
        folder = "/proc/%d/fd/" % self.vmtap.proc.pid
        for fd in os.listdir(folder):
            with contextlib.suppress(FileNotFoundError):
                found.add(os.readlink(folder + fd))
        return {name for name in found if name.startswith("socket:")}

    def descriptors(self):
        return len(os.listdir("/proc/%d/fd" % self.vmtap.proc.pid))

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.stack.close()

    def drops(self, port, cause, way="tx"):
        assert self.vmtap.stop() == 0
        return self.vmtap.summary()[port][way]["drops"].get(cause, 0)


def say(peer, number, dst=ALL, **kw):
    peer.send(frame(number, dst=dst, src=peer.mac, **kw))


def hears(peer, number, size=60):
    """The next frame of ours is that one."""
    got = peer.receive()
    assert got and number_of(got) == number and len(got) == size
    return got


@pytest.fixture
def lan(ns, folder):
    with contextlib.ExitStack() as stack:
        def make(*options, **kw):
            made = stack.enter_context(Lan(ns, folder, options, **kw))
            return made
        yield make


def test_addresses_are_learned(lan):
    a, b, c = lan("", "", "").peers
    say(a, 1)
    hears(b, 1)
    hears(c, 1)
    say(b, 2, dst=a.mac)
    hears(a, 2)
    say(c, 3, dst=b.mac)
    hears(b, 3)      # and not 2, nor
    say(b, 4)
    hears(a, 4)      # 3
    hears(c, 4)      # 2


def test_a_hub_sends_everything_to_all(lan):
    a, b, c = lan("", "", "", switch="switch,hub=on").peers
    say(a, 1)
    hears(b, 1)
    say(b, 2, dst=a.mac)
    hears(a, 2)
    hears(c, 1)
    hears(c, 2)


def test_isolated_ports_reach_the_uplink_only(lan):
    up, a, b = lan("", ",isolated=on", ",isolated=on").peers
    say(a, 1)
    hears(up, 1)
    say(b, 2)
    hears(up, 2)
    say(up, 3)
    hears(a, 3)      # and not 2
    hears(b, 3)      # and not 1


def test_vlans(lan):
    a, b, other, trunk = lan(",vlan=10", ",vlan=10", ",vlan=20", ",trunk=10+20-29").peers
    say(a, 1)
    hears(b, 1)
    got = hears(trunk, 1, size=64)
    assert got[12:16] == b"\x81\x00\x00\x0a"
    say(trunk, 2, vlans=(20,), size=64)
    got = hears(other, 2)
    assert got[12:14] == ETH_TEST.to_bytes(2, "big")
    say(trunk, 3, vlans=(30,), size=64)   # not a VLAN of this trunk
    say(a, 4, vlans=(20,), size=64)       # not its to choose
    say(trunk, 5, vlans=(10,), size=64)
    hears(a, 5)
    hears(b, 5)
    say(a, 6)
    hears(b, 6)
    hears(trunk, 6, size=64)


def test_tags_mean_nothing_without_vlans(lan):
    a, b, c = lan("", "", "").peers
    say(a, 1, vlans=(10, 20), size=80)
    assert hears(b, 1, size=80)[12:20] == b"\x81\x00\x00\x0a\x81\x00\x00\x14"
    hears(c, 1, size=80)


def test_a_stuck_port_holds_up_no_other(lan):
    """One never reads: its socket fills, then its queue; the others go on."""
    made = lan("", "", "", switch="switch,queue-frames=64")
    a, b, stuck = made.peers
    for number in range(0, 20000, 50):
        a.send(*[frame(n, size=1400, dst=ALL, src=a.mac) for n in range(number, number + 50)])
        for n in range(number, number + 50):
            hears(b, n, size=1400)
    assert made.drops("s2", "queue-full") > 1000


def test_known_addresses_survive_a_flood_of_others(lan):
    made = lan("", "", "", switch="switch,max-macs=16")
    a, b, evil = made.peers
    say(a, 1)
    say(b, 2)
    hears(b, 1)
    hears(a, 2)
    for block in range(20):
        evil.send(*[frame(MARK, dst=a.mac, src=bytes([6, 0, 0, 0, block, n])) for n in range(100)])
    for _ in range(2000):
        hears(a, MARK)
    say(a, 3, dst=b.mac)
    hears(b, 3)
    hears(evil, 1)
    hears(evil, 2)
    say(a, 4)
    hears(evil, 4)   # and not 3


def test_a_peer_that_comes_and_goes(lan, folder):
    made = lan("", "", "")
    a, b, c = made.peers
    say(c, 1)
    hears(a, 1)
    connected = made.descriptors()
    c.close()
    wait_until(lambda: made.descriptors() < connected)
    say(a, 2)
    hears(b, 1)
    hears(b, 2)
    with StreamPeer(os.path.join(folder, "s2")) as again:
        again.mac = C
        wait_until(lambda: made.descriptors() == connected)
        say(again, 3)
        hears(a, 3)
        say(a, 4, dst=C)
        hears(again, 4)


# ------------------------------------------------------------------------------ with TAPs


@contextlib.contextmanager
def taps(ns, folder, cnt, *more, options=""):
    """@cnt TAPs, each in a namespace of its own with an address; the namespaces and vmtap."""
    with contextlib.ExitStack() as stack:
        rooms = [stack.enter_context(Netns()) for _ in range(cnt)]
        running = stack.enter_context(Vmtap(ns, [tap(i) + options for i in range(cnt)] + list(more), folder))
        for i, room in enumerate(rooms):
            ns.run("ip link set v%d netns /proc/%d/ns/net" % (i, room.pid))
            room.run("ip addr add 10.9.0.%d/24 dev v%d; ip link set v%d up" % (i + 1, i, i))
        yield rooms, running


def test_three_taps_reach_each_other(ns, folder):
    with taps(ns, folder, 3) as (rooms, running):
        for i, room in enumerate(rooms):
            for j in range(3):
                if i != j:
                    room.run("ping -c 2 -i 0.2 -W 5 10.9.0.%d" % (j + 1))
        assert running.stop() == 0, running.output()


def transfer(here, there, address, size=32 << 20):
    """TCP from @here to @there; are the bytes the same?"""
    data = os.urandom(1 << 20) * (size >> 20)
    seen = hashlib.sha256()
    with there.enter():
        server = socket.create_server((address, 9000))

    def serve():
        conn, _ = server.accept()
        with conn:
            conn.settimeout(60)
            while piece := conn.recv(1 << 16):
                seen.update(piece)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        with here.enter():
            client = socket.create_connection((address, 9000), timeout=60)
        with client:
            client.sendall(data)
    finally:
        thread.join(60)
        server.close()
    return seen.hexdigest() == hashlib.sha256(data).hexdigest()


def test_tcp_is_whole_between_ports_with_and_without_offloads(ns, folder):
    path = os.path.join(folder, "s")
    with taps(ns, folder, 2, "tap,ifname=v2,vnet_hdr=off,script=no,downscript=no",
              "stream,server=on,path=" + path) as (rooms, running):
        with Netns() as third:
            ns.run("ip link set v2 netns /proc/%d/ns/net" % third.pid)
            third.run("ip addr add 10.9.0.3/24 dev v2; ip link set v2 up")
            assert transfer(rooms[0], rooms[1], "10.9.0.2")
            assert transfer(rooms[0], third, "10.9.0.3")
            assert transfer(third, rooms[1], "10.9.0.2")
            assert running.stop() == 0, running.output()
