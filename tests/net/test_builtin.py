# SPDX-License-Identifier: MIT
"""The built-in ports against the kernel of a namespace.

    responder <-- vmtap connect --> vm0 (TAP) <--> ping, neighbour tables
    null      <-- vmtap connect --> vm0 (TAP) <--> a packet socket
"""

import json
import os
import select
import shutil
import socket
import struct
import sys
import tempfile
import time
from pathlib import Path

import pytest
from scapy.layers.inet import ICMP, IP
from scapy.layers.inet6 import ICMPv6EchoRequest, ICMPv6ND_NS, IPv6
from scapy.layers.l2 import ARP, Dot1Q, Ether

sys.path.insert(0, str(Path(__file__).parents[1] / "lib"))
from netns import Netns, wait_until  # noqa: E402
from vmtap import Vmtap  # noqa: E402

TAP = "tap,ifname=vm0,script=no,downscript=no"
MAC = "52:54:00:00:00:02"
LINK_LOCAL = "fe80::5054:ff:fe00:2%vm0"
TIMEOUT = 10

# <linux/if_packet.h>, <linux/if_ether.h>
SOL_PACKET, PACKET_AUXDATA, TP_STATUS_VLAN_VALID = 263, 8, 0x10
ETH_P_ALL = 3


@pytest.fixture
def ns():
    """With a TAP that is there before vmtap, so that the kernel's side is ready."""
    with Netns() as made:
        made.run("ip tuntap add vm0 mode tap && ip link set vm0 up mtu 65521 &&"
                 "ip address add 10.0.0.1/24 dev vm0 && ip address add fd00::1/64 dev vm0")
        yield made


@pytest.fixture
def connect(ns):
    """connect(spec): vmtap joins vm0 to that port; it must end well.

    The kernel learns of the carrier some time after vmtap is ready, and meanwhile throws IPv6
    packets away without a word. That time is over when vm0 has its link-local address."""
    folder = tempfile.mkdtemp(prefix="vmtap-")
    started = []

    def is_ready():
        addresses = ns.run("ip -6 address show dev vm0 scope link").stdout
        return "fe80:" in addresses and "tentative" not in addresses

    def start(spec):
        started.append(Vmtap(ns, [TAP, spec], folder))
        wait_until(is_ready, TIMEOUT, "vm0 has its link-local address")
        return started[-1]

    yield start
    for v in started:
        assert v.stop() == 0, v.output()
    shutil.rmtree(folder)


def ping(ns, address, *options):
    """Three, one after the other: ping's own receive buffer has room for one that is this long."""
    for _ in range(3):
        done = ns.run(["ping", "-n", "-c", "1", "-W", str(TIMEOUT), *options, address], check=False)
        assert " 1 received" in done.stdout, done.stdout + done.stderr


@pytest.mark.parametrize("size", [0, 56, 1472, 9000, 65000])
@pytest.mark.parametrize("address", ["10.0.0.2", "fd00::2", LINK_LOCAL])
def test_responder_answers_ping(ns, connect, address, size):
    connect("responder,ip=10.0.0.2/24,ip6=fd00::2/64,mac=" + MAC)
    ping(ns, address, "-s", str(size))


def test_responder_is_in_the_neighbour_table(ns, connect):
    connect("responder,ip=10.0.0.2,ip6=fd00::2,mac=" + MAC)
    for address in "10.0.0.2", "fd00::2":
        ping(ns, address)
        known = json.loads(ns.run(["ip", "-j", "neigh", "show", address]).stdout)
        assert [n["lladdr"] for n in known] == [MAC]


def tag_of(ancillary):
    """VLAN tag of a received frame: the kernel keeps it beside the frame (PACKET_AUXDATA)."""
    status, tci, tpid = struct.unpack("=I12xHH", ancillary[0][2][:20])
    return (tpid, tci) if status & TP_STATUS_VLAN_VALID else None


@pytest.mark.parametrize("layers", [
    ARP(psrc="10.0.0.1", pdst="10.0.0.2"),
    IP(src="10.0.0.1", dst="10.0.0.2") / ICMP() / b"to and fro",
    IPv6(src="fd00::1", dst="fd00::2") / ICMPv6EchoRequest(data=b"to and fro"),
    IPv6(src="fd00::1", dst="fd00::2", hlim=255) / ICMPv6ND_NS(tgt="fd00::2"),
], ids=["arp", "ping", "ping6", "neighbour"])
def test_responder_answers_with_the_vlan_tag(ns, connect, layers):
    """By hand: no interface has the VLAN, so no kernel needs to know how to make one."""
    connect("responder,ip=10.0.0.2,ip6=fd00::2,mac=" + MAC)
    with ns.enter():
        sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    with sock:
        sock.bind(("vm0", ETH_P_ALL))
        sock.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
        sock.settimeout(TIMEOUT)
        sock.send(bytes(Ether(src="02:00:00:00:00:09", dst=MAC) / Dot1Q(vlan=5, prio=3) / layers))
        while True:
            frame, ancillary, _, sender = sock.recvmsg(65536, 256)
            if sender[2] != socket.PACKET_OUTGOING and frame[:6] == bytes.fromhex("020000000009"):
                break
        assert tag_of(ancillary) == (0x8100, 3 << 13 | 5)
        assert Ether(frame).src == MAC


def test_responder_answers_record_route_without_options(ns, connect):
    connect("responder,ip=10.0.0.2")
    ping(ns, "10.0.0.2", "-R")


def test_responder_answers_to_all_nodes(ns, connect):
    connect("responder,mac=" + MAC)
    done = ns.run(["ping", "-n", "-c", "3", "-i", "0.05", "ff02::1%vm0"])
    assert "from " + LINK_LOCAL.split("%")[0] in done.stdout


def test_responder_defends_its_ipv6_address(ns, connect):
    connect("responder,ip6=fd00::2")
    ns.sysctl("net.ipv6.conf.vm0.accept_dad", 1)
    ns.run("ip address add fd00::2/64 dev vm0")
    wait_until(lambda: "dadfailed" in ns.run("ip -6 address show dev vm0").stdout, TIMEOUT,
               "the kernel finds that the address is taken")


def test_responder_keeps_up_with_a_ping_flood(ns, connect):
    connect("responder,ip=10.0.0.2")
    done = ns.run("ping -n -f -q -c 20000 -l 64 10.0.0.2")
    assert " 20000 received" in done.stdout, done.stdout


def test_responder_announces_itself(ns, connect):
    with ns.enter(), socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0806)) as sock:
        sock.bind(("vm0", 0x0806))
        connect("responder,ip=10.0.0.2,mac=" + MAC)
        sock.settimeout(TIMEOUT)
        frame = sock.recv(2048)
    mac, ip = bytes.fromhex(MAC.replace(":", "")), bytes([10, 0, 0, 2])
    assert frame[:42] == (b"\xff" * 6 + mac + b"\x08\x06\0\1\x08\0\6\4\0\1" + mac + ip + bytes(6) + ip)


def listen(ns, size=1 << 24):
    """A packet socket on vm0 that gets what `null` generates."""
    with ns.enter():
        sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x88B5))
    sock.setsockopt(socket.SOL_SOCKET, 33, size)  # SO_RCVBUFFORCE
    sock.bind(("vm0", 0x88B5))
    sock.setblocking(False)
    return sock


def test_null_generates_what_was_asked_for(ns, connect):
    with listen(ns) as sock:
        v = connect("null,count=3000,size=200,dst=02:00:00:00:00:02,src=02:00:00:00:00:01")
        last = 0
        for seq in range(3000):
            assert select.select([sock], [], [], TIMEOUT)[0], "only %u came" % seq
            frame = sock.recv(2048)
            assert len(frame) == 200
            assert frame[:14] == bytes.fromhex("020000000002 020000000001 88b5")
            assert int.from_bytes(frame[14:22], "big") == seq
            sent = int.from_bytes(frame[22:30], "big")
            assert last <= sent <= time.monotonic_ns()
            last = sent
            assert frame[30:] == b"vmtapgen" + bytes(162)
    assert "generated all 3000 frames" in v.output()


def test_null_keeps_its_rate(ns, connect):
    """By the frames' own time stamps: the kernel's clock and the generator's are one."""
    with listen(ns) as sock:
        connect("null,speed=5000,count=5001,size=60")
        times = []
        while len(times) < 5001:
            assert select.select([sock], [], [], TIMEOUT)[0], "only %u came" % len(times)
            times.append(int.from_bytes(sock.recv(2048)[22:30], "big"))
    # 5000 intervals of 200 us. What this machine takes from the generator in between, it makes
    # up for, if that was less than a tenth of a second, and forgives if it was more.
    assert 0.89 < (times[-1] - times[0]) / 1e9 < 2


def test_null_counts_what_a_null_sends(ns, connect):
    """null -> TAP -> bridge -> TAP -> null, through two programs."""
    ns.run("ip link add br0 type bridge mcast_snooping 0 && ip link set br0 up &&"
           "ip link set vm0 master br0 && ip tuntap add vm1 mode tap &&"
           "ip link set vm1 master br0 up")
    folder = tempfile.mkdtemp(prefix="vmtap-")
    with Vmtap(ns, [TAP.replace("vm0", "vm1"), "null,id=sink"], folder, name="sink") as sink:
        v = connect("null,count=1000,speed=20000,dst=ff:ff:ff:ff:ff:ff")

        def forwarded():
            return ns.links()["vm1"]["stats64"]["tx"]["packets"] >= 1000

        wait_until(lambda: "generated all" in v.output() and forwarded(), TIMEOUT)
    assert sink.status == 0
    assert "sink: received 1000 generated frames, 0 lost, 0 reordered" in sink.output()
    shutil.rmtree(folder)


@pytest.mark.parametrize("spec, says", [
    ("responder,ip=10.0.0.300", "ip=10.0.0.300 is not the address of a host"),
    ("responder,ip6=ff02::1", "ip6=ff02::1 is not the address of a host"),
    ("responder,ipv4=10.0.0.2", "ipv4"),
    ("responder,mac=33:33:00:00:00:01", "mac"),
    ("null,size=59", "size"),
    ("null,generate=off,speed=7", "speed: not together with generate=off"),
])
def test_bad_options_are_explained(ns, spec, says):
    program = os.environ.get("VMTAP") or str(Path(__file__).parents[2] / "build" / "vmtap")
    done = ns.run([program, "check", spec], check=False)
    assert done.returncode != 0
    assert says in done.stderr
