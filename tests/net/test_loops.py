# SPDX-License-Identifier: MIT
"""Two ports of a switch that lead to the same network: frames go in circles, and the process does not melt.

                      ┌──────── vmtap serve: the switch lan ────────┐
    bridge br0 ── TAP v0                                        stream a  (StreamPeer)
         └─────── TAP v1                                        stream b  (StreamPeer)
                      │                                         stream deaf, whose peer reads nothing
                      └── or stream x ── stream y, each other's outside

What is in the circle is one broadcast, which goes round in both directions as fast as it can, until the test
cuts it.
"""

import contextlib
import os
import re
import time

import pytest

from ctl import Serve
from netns import PATIENCE, wait_until
from peers import StreamPeer
from test_switch import ALL, A, B, hears
from tuntap import ETH_TEST, Packets, frame

STORM = 0x88B6  # for local experiments, too
SANITIZED = "ASAN_OPTIONS" in os.environ or "TSAN_OPTIONS" in os.environ  # keeps what the control socket frees
WARNING = re.compile(r"of late to (\w+) and (\w+): frames go in circles")


class Lan:
    """A switch with the ports a, b and deaf, and what happens to it."""

    def __init__(self, ns, folder, stack):
        self.ns = ns
        self.server = stack.enter_context(Serve(ns, folder))
        self.ctl = stack.enter_context(self.server.client())
        # addresses that age in 8 s: a look for circles every second
        self.ctl.run("switch_add", id="lan", **{"age-s": 8, "queue-frames": 256})
        self.a, self.b, self.deaf = (self.join_peer(stack, folder, name) for name in ("a", "b", "deaf"))
        self.a.send(frame(0, dst=ALL, src=A))  # each knows of the other before there is a circle
        hears(self.b, 0)
        self.b.send(frame(0, dst=A, src=B))
        hears(self.a, 0)

    def join_peer(self, stack, folder, name):
        path = os.path.join(folder, name)
        self.join("stream", name, server=True, path=path)
        peer = stack.enter_context(StreamPeer(path))
        self.ctl.wait_port(name, lambda row: row["state"] == "up")
        return peer

    def join(self, kind, name, **keys):
        self.ctl.run("port_add", type=kind, id=name, **keys)
        self.ctl.run("connect", id=name, peer="lan")

    def join_taps(self, **keys):
        """v0 and v1, in one bridge outside."""
        for name in "v0", "v1":
            self.join("tap", name, ifname=name, script="no", downscript="no", **keys)
            self.ns.sysctl("net.ipv6.conf.%s.disable_ipv6" % name, 1)

    def bridge(self, options=""):
        self.ns.run("ip link add br0 type bridge mcast_snooping 0 " + options)
        self.ns.sysctl("net.ipv6.conf.br0.disable_ipv6", 1)
        self.ns.run("ip link set br0 up; for v in v0 v1; do ip link set $v master br0 up; done")

    def counted(self, port, way="rx"):
        return self.ctl.run("query-queues", id=port)[0][way]

    def moves(self):
        return self.ctl.run("query-switches")[0]["moves"]

    def memory(self):
        """Bytes of it that are in use."""
        with open("/proc/%d/status" % self.server.proc.pid) as status:
            return int(re.search(r"VmRSS:\s+(\d+) kB", status.read())[1]) * 1024

    def warnings(self):
        return WARNING.findall(self.server.output())

    def wait_still(self, *ports):
        """Until nothing enters by them any more: a circle takes less than the time between two looks."""
        seen = [None]

        def is_still():
            seen.append([self.counted(port)["frames"] for port in ports])
            return seen[-1] == seen[-2]

        wait_until(is_still)


@pytest.fixture
def lan(ns, folder):
    with contextlib.ExitStack() as stack:
        yield Lan(ns, folder, stack)


def talk(lan, numbers):
    """Between a and b, in the midst of all that they hear besides."""
    for n in numbers:
        lan.b.send(frame(n, dst=A, src=B))
        hears(Ours(lan.a), n)
        lan.a.send(frame(n, dst=B, src=A))
        hears(Ours(lan.b), n)


class Ours:
    """A peer that hears nothing of the storm."""

    def __init__(self, peer):
        self.peer = peer

    def receive(self):
        return self.peer.receive(kind=ETH_TEST)


def storm(lan, src=b"\x02\0\0\0\x09\x09"):
    lan.b.send(frame(0, dst=ALL, src=src, kind=STORM, size=400))


def see_that_nothing_melts(lan, one, other):
    """While frames go in circles from port @one to port @other and back."""
    wait_until(lambda: lan.counted(one)["frames"] > 1000 and lan.counted(other)["frames"] > 1000)
    wait_until(lambda: lan.counted("deaf", "tx")["drops"].get("queue-full", 0) > 1000)
    full = lan.memory()                  # of the port that nobody reads, the queue is full
    before = lan.moves()
    slowest = 0
    end = time.monotonic() + 1
    n = 0
    while time.monotonic() < end or n < 20 or not lan.warnings():
        assert time.monotonic() < end + 20 * PATIENCE, (n, lan.warnings())
        talk(lan, [n])                   # each of them arrives
        began = time.monotonic()
        lan.ctl.run("query-ports")
        slowest = max(slowest, time.monotonic() - began)
        n += 1
    assert lan.moves() > before + 1000   # it went on all the time
    assert slowest < 2 * PATIENCE
    if not SANITIZED:
        assert lan.memory() < full + (2 << 20)
    told = lan.warnings()
    assert set(told[0]) == {one, other}
    assert len(told) <= 6
    assert "spanning tree" in lan.server.output()


def test_two_taps_in_one_bridge(ns, lan):
    lan.join_taps()
    lan.bridge()
    storm(lan)
    see_that_nothing_melts(lan, "v0", "v1")
    ns.run("ip link set v1 nomaster")
    lan.wait_still("v0", "v1")
    talk(lan, range(100, 105))
    with Packets(ns, "br0") as host:     # and the bridge is reached by the one that is left
        lan.b.send(frame(7, dst=ALL, src=B))
        hears(host, 7)


def test_two_streams_that_are_each_others_outside(lan, folder):
    path = os.path.join(folder, "xy")
    lan.join("stream", "x", server=True, path=path)
    lan.join("stream", "y", server=False, path=path)
    for name in "x", "y":
        lan.ctl.wait_port(name, lambda row: row["state"] == "up")
    storm(lan)
    see_that_nothing_melts(lan, "x", "y")
    lan.ctl.run("disconnect", id="y")
    lan.wait_still("x")
    talk(lan, range(100, 105))


# ------------------------------------------------------------------------ what to do about it


def test_a_spanning_tree_outside_cuts_the_circle(ns, lan):
    """Its frames pass through the switch, and the bridge sees itself."""
    lan.join_taps()
    lan.bridge("stp_state 1 forward_delay 200 hello_time 100")

    def states():
        links = ns.links()
        return sorted(links[name]["linkinfo"]["info_slave_data"]["state"] for name in ("v0", "v1"))

    wait_until(lambda: states() == ["blocking", "forwarding"], timeout=20)  # one forwards, the other is blocked
    storm(lan)
    talk(lan, range(20))
    lan.wait_still("v0", "v1")
    assert lan.counted("v0")["frames"] + lan.counted("v1")["frames"] < 100
    assert not lan.warnings()


def test_isolated_ports_are_no_circle(lan):
    lan.join_taps(isolated=True)
    lan.bridge()
    storm(lan)
    talk(lan, range(20))
    lan.wait_still("v0", "v1")
    # each of the two that went out came back by the other, and no further
    assert lan.counted("v0")["frames"] + lan.counted("v1")["frames"] < 20
    assert not lan.warnings()


def test_a_limit_bounds_what_a_circle_takes(ns, lan):
    lan.join_taps()
    for name in "v0", "v1":
        lan.ctl.run("throttle_set", id=name, direction="rx", pps=100)
    lan.bridge()
    storm(lan)
    wait_until(lambda: lan.counted("v0")["frames"] > 50)
    began, first = time.monotonic(), lan.counted("v0")["frames"] + lan.counted("v1")["frames"]
    wait_until(lambda: time.monotonic() > began + 1)
    frames = lan.counted("v0")["frames"] + lan.counted("v1")["frames"] - first
    assert frames < 2 * (100 * (time.monotonic() - began) + 10)
    talk(lan, range(5))
    ns.run("ip link set v1 nomaster")
