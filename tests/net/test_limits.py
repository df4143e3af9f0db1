# SPDX-License-Identifier: MIT
"""Limits and filters of ports, with frames of the kernel's."""

import os
import re
import socket

import pytest

import vmtap
from ctl import Refused, Serve
from peers import StreamPeer
from vmtap import Vmtap

TAP = "tap,ifname=vm0,script=no,downscript=no"
MAC = "02:00:00:00:00:09"
TIMEOUT = 20


def frame(source=MAC, number=0):
    return bytes.fromhex("ffffffffffff" + source.replace(":", "") + "88b5") + number.to_bytes(4, "big") + bytes(82)


def arp(sender, ip):
    mac = bytes.fromhex(sender.replace(":", ""))
    return b"\xff" * 6 + mac + bytes.fromhex("0806 0001 0800 06 04 0001") + mac + socket.inet_aton(ip) + bytes(6) + \
        socket.inet_aton("10.0.0.1") + bytes(18)


@pytest.fixture
def linked(ns, folder):
    """A TAP and a stream that we are the other end of."""
    started = []

    def start(tap_keys="", stream_keys=""):
        path = os.path.join(folder, "s")
        v = Vmtap(ns, [TAP + tap_keys, "stream,server=on,path=%s%s" % (path, stream_keys)], folder,
                  args=("-v", "--stats", "3600"))
        started.append(v.__enter__())
        peer = StreamPeer(path)
        started.append(peer)
        ns.run("sysctl -qw net.ipv6.conf.vm0.disable_ipv6=1; ip link set vm0 up")
        return v, peer
    yield start
    for thing in reversed(started):
        thing.__exit__(None, None, None)


def listen(ns, kind=0x88B5):
    with ns.enter():
        sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(kind))
    sock.bind(("vm0", kind))
    sock.settimeout(TIMEOUT)
    return sock


def numbers(sock, cnt):
    return [int.from_bytes(sock.recv(2048)[14:18], "big") for _ in range(cnt)]


@pytest.mark.parametrize("tap, stream", [("", ",rx-pps=500"), ("", ",rx-rate=400k,rx-burst=200"), (",tx-pps=500", ""),
                                         (",rate=400k", ",pps=1000")])
def test_what_is_held_back_all_comes_in_order(ns, linked, tap, stream):
    _, peer = linked(tap, stream)
    with listen(ns) as sock:
        for start in range(0, 300, 50):  # from the frames' own number on
            peer.send(*[frame(number=start + i) for i in range(50)])
        assert numbers(sock, 300) == list(range(300))


def test_frames_that_are_longer_than_the_burst_pass(ns, linked):
    _, peer = linked(stream_keys=",rx-rate=1M,rx-burst=1")
    with listen(ns) as sock:
        peer.send(*[frame(number=i) + bytes(1400) for i in range(20)])
        assert numbers(sock, 20) == list(range(20))


def test_other_senders_are_dropped_and_counted(ns, linked):
    v, peer = linked(stream_keys=",id=guest,mac-filter=%s+02:00:00:00:00:0a" % MAC)
    with listen(ns) as sock:
        peer.send(frame("02:00:00:00:00:0b", 0), frame(MAC, 1), frame("02:00:00:00:00:0c", 2), frame("02:00:00:00:00:0a", 3))
        assert numbers(sock, 2) == [1, 3]
    v.__exit__(None, None, None)
    assert re.search(r"guest +in .* 2 filtered", v.output()), v.output()


def test_arp_of_other_addresses_is_dropped(ns, linked):
    _, peer = linked(stream_keys=",ip-filter=10.0.0.2")
    with listen(ns, 0x0806) as sock:
        peer.send(arp(MAC, "10.0.0.1"), arp(MAC, "10.0.0.3"), arp(MAC, "10.0.0.2"))
        assert sock.recv(2048)[28:32] == socket.inet_aton("10.0.0.2")


@pytest.mark.parametrize("keys, says", [
    ("rate=1.5", "a fraction of a bit"),
    ("rate=-1", "it is negative"),
    ("pps=2G", "above 1000000000"),
    ("burst=1k", "burst= is given without a rate"),
    ("rx-rate=1M,tx-burst=1k", "tx-burst= is given without a rate"),
    ("mac-filter=52:54", "52:54"),
    ("mac-filter=ff:ff:ff:ff:ff:ff", "group"),
    ("ip-filter=10.0.0.1/24", "bits behind its prefix"),
    ("ip-filter=10.0.0.1+fe80::x", "fe80::x"),
])
def test_wrong_values_are_explained(ns, keys, says):
    for command in ["check", "null," + keys], ["connect", "null," + keys, "null"]:
        done = vmtap.run(ns, *command)
        assert done.returncode in (2, 3)
        assert says in done.stderr


def test_every_type_takes_them(ns):
    for spec in "tap,ifname=vm0", "stream,server=on,path=x", "dgram,local=x", "vhost-user,path=x", "responder,ip=10.0.0.2", \
            "null":
        done = vmtap.run(ns, "check", spec + ",rate=1M,burst=10k,pps=1k,rx-rate=2M,tx-pps=5,mac-filter=%s,ip-filter=::1"
                         % MAC)
        assert "there is no key" not in done.stderr, done.stderr


def test_help_explains_them(ns):
    text = vmtap.run(ns, "help", "port").stdout
    for key in "rate", "burst", "pps", "rx-rate", "tx-burst", "mac-filter", "ip-filter":
        assert "\n    %s " % key in text


# --------------------------------------------------------------------------- while it runs


@pytest.fixture
def ctl(ns, folder):
    with Serve(ns, folder) as server, server.client() as client:
        yield client


NONE = {"rate": 0, "burst": 0, "pps": 0}


def test_limits_are_set_while_frames_wait_for_the_old_ones(ns, ctl):
    ctl.run("port_add", type="tap", id="vm0", ifname="vm0", script="no", downscript="no", up=True)
    ctl.run("port_add", type="null", id="gen", count=200, size=60, pps=1)  # which would take minutes
    with listen(ns) as sock:
        ctl.run("connect", id="gen", peer="vm0")
        sock.recv(2048)
        assert ctl.run("query-throttle", id="gen") == [{"id": "gen", "rx": {**NONE, "pps": 1}, "tx": {**NONE, "pps": 1}}]
        ctl.run("throttle_set", id="gen", direction="rx", rate=1000000, burst=100, pps=0)
        for _ in range(199):
            sock.recv(2048)
    row, = ctl.run("query-throttle", id="gen")
    assert row["rx"] == {"rate": 1000000, "burst": 100, "pps": 0} and row["tx"]["pps"] == 1
    ctl.run("throttle_set", id="gen", rate=0, pps=0, burst=0)
    assert ctl.run("query-throttle", id="gen") == [{"id": "gen", "rx": NONE, "tx": NONE}]


def test_filters_are_set_while_frames_move(ns, ctl):
    ctl.run("port_add", type="tap", id="vm0", ifname="vm0", script="no", downscript="no", up=True)
    ctl.run("port_add", type="responder", id="guest", ip="10.0.0.2", **{"ip-filter": ["10.0.0.2", "10.1.0.0/16"]})
    ctl.run("connect", id="guest", peer="vm0")
    ns.run("ip addr add 10.0.0.1/24 dev vm0; ping -c 1 -W 5 10.0.0.2")
    assert ctl.run("query-filter", id="guest") == [{"id": "guest", "mac": "", "ip": "10.0.0.2+10.1.0.0/16"}]
    ctl.run("filter_set", id="guest", ip="10.0.0.3")
    ns.run("ip neigh flush dev vm0")
    assert ns.run("ping -c 1 -W 1 10.0.0.2", check=False).returncode != 0
    assert ctl.run("query-stats", id="guest")[0]["rx"]["drops"]["filtered"] > 0
    with pytest.raises(Refused, match="no MAC address"):
        ctl.run("filter_set", id="guest", mac="x")
    assert ctl.run("query-filter", id="guest") == [{"id": "guest", "mac": "", "ip": "10.0.0.3"}]
    ctl.run("filter_set", id="guest", ip="")
    ns.run("ping -c 1 -W 5 10.0.0.2")


def test_wrong_limits_are_refused(ctl):
    ctl.run("port_add", type="null", id="a")
    for args, says in ({"burst": 7}, "no rate"), ({"pps": -1}, "pps"), ({"direction": "up"}, "direction"):
        with pytest.raises(Refused, match=says):
            ctl.run("throttle_set", id="a", **args)
    with pytest.raises(Refused, match="nonesuch"):
        ctl.run("throttle_set", id="nonesuch", pps=1)
