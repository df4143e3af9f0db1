# SPDX-License-Identifier: MIT
"""vmtap capture on a vhost-user port, whose frames lie in a guest's memory, while everything moves.

    front end (vu-front-tool) ── vhost-user "vm" ── vmtap serve ── TAP v0 (packet socket)
"""

import contextlib
import os
import signal
import struct
import subprocess

import pytest

import vu
from capture import Capture, capinfos, fields, needs_tshark
from ctl import Serve
from netns import wait_until
from tuntap import ETH_TEST, GUEST, HOST, SOL_PACKET, Packets, frame
from vu import CSUM, EVENT_IDX, GUEST_CSUM, GUEST_TSO4, HOST_TSO4, MODERN, MQ, MRG, PACKED, Front
from vulab import PACKET_VNET_HDR, assert_whole, size_of, tcp4

pytestmark = needs_tshark

WORKERS = pytest.mark.parametrize("workers", [(), ("--workers=2",)], ids=["alone", "workers"])
PAIRS = dict(want=MODERN | MRG | MQ | EVENT_IDX, pairs=2, ring_size=64, need_reply=1, timeout_ms=30000)
OURS = "eth.type == 0x88b5"


class Lan:
    """vmtap serve with the TAP v0 and the vhost-user port vm, joined."""

    def __init__(self, ns, folder, queues=1, mtu=1500, workers=()):
        ns.sysctl("net.ipv6.conf.default.disable_ipv6", 1)
        self.ns, self.folder, self.path = ns, folder, folder + "/s"
        self.stack = contextlib.ExitStack()
        self.server = self.stack.enter_context(Serve(ns, folder, *workers))
        self.ctl = self.stack.enter_context(self.server.client())
        self.ctl.run("port_add", type="tap", id="v0", ifname="v0", script="no", downscript="no", up=True, mtu=mtu,
                     queues=queues)
        self.add("vm", self.path, queues)
        self.ctl.run("connect", id="v0", peer="vm")
        ns.run("ip link set v0 txqueuelen 20000")
        self.kernel = self.stack.enter_context(Packets(ns, "v0", rcvbuf=64 << 20))

    def add(self, name, path, queues=1):
        self.ctl.run("port_add", type="vhost-user", id=name, path=path, server=True, queues=queues)

    def front(self, **settings):
        """A front end that is up."""
        made = self.stack.enter_context(Front(self.ns, **settings))
        return made.up(self.path)

    def captures(self):
        return {row["id"]: row for row in self.ctl.run("query-captures")}

    def wait_seen(self, count):
        """Until every capture that runs has seen so many: what a flood has sent may still be in the rings."""
        wait_until(lambda: all(row["seen"] >= count for row in self.captures().values() if row["running"]),
                   timeout=30, what="%d frames are seen" % count)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.stack.close()


@pytest.fixture
def lan(ns, folder):
    with contextlib.ExitStack() as stack:
        yield lambda **how: stack.enter_context(Lan(ns, folder, **how))


def data_of(number, low, high, **how):
    return frame(number, size_of(number, low, high), **how)[14:].hex()


@WORKERS
@pytest.mark.parametrize("ring", [0, PACKED], ids=["split", "packed"])
def test_every_frame_is_there_whole_and_in_order(lan, folder, ring, workers):
    """Of the same frames, two captures, each as its port sees it: what the guest sends comes in there."""
    lan = lan(workers=workers)
    vm = lan.front(want=MODERN | MRG | EVENT_IDX | ring, ring_size=64)
    with Capture(lan.server, "vm", "-w", folder + "/vm") as a, Capture(lan.server, "v0", "-w", folder + "/v0") as b:
        vm.flood_start(tx=300, rx=300, min=60, max=1500)
        for n in range(300):
            lan.kernel.send(frame(n, size_of(n, 60, 1500)))
        assert_whole(vm.answer(), 300, 300)
        lan.wait_seen(600)
        for capture in a, b:
            status, said = capture.end()
            assert status == 0 and " 0 dropped" in said
    for name, sent, got in ("vm", 1, 2), ("v0", 2, 1):
        path = folder + "/" + name
        rows = fields(path, "frame.interface_name", "frame.packet_flags_direction", "frame.len", "data.data", "eth.src",
                      only=(OURS,))
        assert {row[0] for row in rows} == {name} and len(rows) == 600
        ways = {int(row[1], 0) & 3: row[4] for row in rows}
        assert ways == {sent: "02:00:00:00:00:02", got: "02:00:00:00:00:01"}
        for way in sent, got:
            data = [row[3] for row in rows if int(row[1], 0) & 3 == way]
            assert data == [data_of(n, 60, 1500) for n in range(300)]
        about = capinfos(path)
        assert "Strict time order:   True" in about and "nanoseconds" in about


def guest_sends(lan, vm, data, header):
    vm.send(data, header=vu.hdr(**header))


def kernel_sends(lan, vm, data, header):
    with Packets(lan.ns, "v0") as sender:
        sender.sock.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
        names = "flags", "gso_type", "hdr_len", "gso_size", "csum_start", "csum_offset"
        sender.send(struct.pack("<BBHHHH", *(header[n] for n in names)) + data)


@pytest.mark.parametrize("port", ["vm", "v0"])
@pytest.mark.parametrize("send, way", [(guest_sends, "in"), (kernel_sends, "out")], ids=["guest", "kernel"])
def test_a_frame_to_be_segmented_is_marked_or_cut(lan, folder, port, send, way):
    """And its checksum, which is still to be filled in, is."""
    lan = lan(mtu=65521)
    way = way if port == "vm" else {"in": "out", "out": "in"}[way]
    vm = lan.front(want=MODERN | MRG | CSUM | GUEST_CSUM | GUEST_TSO4 | HOST_TSO4, rx_len=4096)
    large, small = tcp4(20000), tcp4(1000, gso=False)
    options = ["-Q", way, "-f", "tcp"]
    with Capture(lan.server, port, "-w", folder + "/marked", *options) as a, \
            Capture(lan.server, port, "-w", folder + "/cut", "--segment", *options) as b, \
            Capture(lan.server, port, "-w", folder + "/short", "-s", "100", *options) as c:
        for data, header in large, small:
            send(lan, vm, data, header)
        wait_until(lambda: all(row["written"] >= 2 for row in lan.captures().values()), timeout=30)
        for capture in a, b, c:
            assert capture.end()[0] == 0

    def read(name):
        rows = fields(folder + "/" + name, "frame.len", "tcp.checksum.status", "ip.checksum.status", "frame.comment",
                      "tcp.payload", "frame.cap_len")
        for row in rows:
            if row[5] == row[0]:
                assert row[1:3] == ["1", "1"], row
        return rows

    rows = read("marked")
    assert [int(row[0]) for row in rows] == [20000, 1000]
    assert "GSO: TCP over IPv4, gso_type 1, gso_size 1448" in rows[0][3] and not rows[1][3]
    assert bytes.fromhex(rows[0][4]) == large[0][54:]
    rows = read("cut")
    assert all(int(row[0]) <= 1448 + 54 and not row[3] for row in rows)
    assert bytes.fromhex("".join(row[4] for row in rows)) == large[0][54:] + small[0][54:]
    rows = read("short")
    assert [(row[0], row[5]) for row in rows] == [("20000", "100"), ("1000", "100")]


@WORKERS
def test_captures_come_and_go_while_queue_pairs_carry_all_they_can(lan, folder, workers):
    lan = lan(queues=2, workers=workers)
    vm = lan.front(**PAIRS)
    before = lan.server.descriptors()
    vm.flood_start(tx=1 << 30, all=1, max=1400)
    count = lan.ctl.run("query-stats", id="vm")[0]["rx"]["frames"]
    for i in range(60):
        port = ("vm", "v0")[i % 2]
        path = "%s/c%d" % (folder, i % 6)
        name = lan.ctl.run("capture_start", port=port, filename=path, buffer=262144, snaplen=64)["id"]
        if i >= 58:  # the last ones see something
            wait_until(lambda name=name: lan.captures()[name]["written"], timeout=30)
        lan.ctl.run("capture_stop", id=name)
        lan.ctl.wait_event("CAPTURE_ENDED", id=name)
    assert lan.captures() == {}
    assert lan.ctl.run("query-stats", id="vm")[0]["rx"]["frames"] > count
    assert lan.server.descriptors() == before
    for i in range(6):
        capinfos("%s/c%d" % (folder, i))
    for i in 4, 5:
        rows = fields("%s/c%d" % (folder, i), "frame.packet_flags_direction", only=(OURS,))
        assert rows and {int(row[0], 0) & 3 for row in rows} == {1 + i % 2}
    vm.close(signal.SIGKILL)


@WORKERS
def test_front_ends_and_ports_go_while_they_are_captured(lan, folder, workers):
    """A front end that is killed leaves the capture going; the port that is deleted ends it."""
    lan = lan(queues=2, workers=workers)
    with Capture(lan.server, "vm", "-w", folder + "/a", "-s", "64") as capture:
        for turn in range(4):
            vm = lan.front(**PAIRS)
            seen = [row["written"] for row in lan.captures().values()][0]
            vm.flood_start(tx=1 << 30, all=1, first=turn, max=1400)
            wait_until(lambda seen=seen: [row["written"] > seen + 100 for row in lan.captures().values()][0], timeout=30)
            vm.close(signal.SIGKILL)
        vm = lan.front(**PAIRS)
        vm.flood_start(tx=1 << 30, all=1, max=1400)
        lan.ctl.run("port_del", id="vm")
        assert capture.proc.wait(20) == 0
    capinfos(folder + "/a")
    vm.close(signal.SIGKILL)
    lan.add("vm", lan.path, 2)
    lan.ctl.run("connect", id="v0", peer="vm")
    vm = lan.front(**PAIRS)
    vm.send(frame(7, dst=HOST, src=GUEST))
    wait_until(lambda: (lan.kernel.receive(0.1) or b"")[14:18] == b"\0\0\0\7")


@WORKERS
def test_a_full_disk_ends_that_capture_alone(lan, folder, workers):
    lan = lan(queues=2, workers=workers)
    vm = lan.front(**PAIRS)
    disk = folder + "/disk"
    os.mkdir(disk)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "none", disk], check=True)
    try:
        with Capture(lan.server, "vm", "-w", disk + "/a") as full, \
                Capture(lan.server, "vm", "-w", folder + "/b") as other:
            got = vm.flood(tx=2000, all=1, max=1400)
            assert got["sent"] == 2000 and not got["closed"]
            assert full.proc.wait(20) == 1
            assert "No space left" in full.proc.stderr.read()
            row, = lan.captures().values()
            assert row["running"]
            assert_whole(vm.flood(tx=100, first=2000), 100, 0)
            lan.wait_seen(2100)
            status, said = other.end()
            assert status == 0
        assert len(fields(disk + "/a", "frame.number")) > 50  # and its blocks are whole
        dropped = int(said.split(" dropped")[0].split()[-1])
        assert len(fields(folder + "/b", "frame.number", only=(OURS,))) + dropped >= 2100
    finally:
        subprocess.run(["umount", disk], check=True)


@WORKERS
def test_a_reader_that_is_killed_ends_the_capture_alone(lan, workers):
    """Once in the middle of frames, and once while it has read nothing for long and the pipe is full."""
    lan = lan(queues=2, workers=workers)
    vm = lan.front(**PAIRS)
    for stuck in False, True:
        with Capture(lan.server, "vm", "-w", "-", stdout=subprocess.PIPE) as capture:
            reader = subprocess.Popen(["sleep", "1000"] if stuck else ["cat"], stdin=capture.proc.stdout,
                                      stdout=subprocess.DEVNULL)
            capture.proc.stdout.close()
            capture.proc.stdout = None
            vm.flood_start(tx=3000, all=1, max=1400)
            wait_until(lambda: [row["seen"] > 500 for row in lan.captures().values()][0], timeout=30)
            reader.kill()
            reader.wait()
            assert capture.proc.wait(20) == 0
            got = vm.answer()
            assert got["sent"] == 3000 and not got["closed"]
        assert lan.captures() == {}
    vm.send(frame(7, dst=HOST, src=GUEST))
    wait_until(lambda: (lan.kernel.receive(0.1) or b"")[14:18] == b"\0\0\0\7")


def test_frames_that_the_guest_does_not_take_are_not_captured_before_it_does(lan, folder):
    lan = lan()
    vm = lan.stack.enter_context(Front(lan.ns, want=MODERN | MRG, ring_size=64))
    vm.up(lan.path, post=False)
    with Capture(lan.server, "vm", "-w", folder + "/a") as capture:
        for n in range(40):
            lan.kernel.send(frame(n))
        wait_until(lambda: lan.ctl.run("query-queues", id="vm")[0]["tx"]["held"])
        assert [row["seen"] for row in lan.captures().values()] == [0]
        vm.post(0)
        for n in range(40):
            assert vm.receive(kind=ETH_TEST).data == frame(n)
        assert capture.end()[0] == 0
    rows = fields(folder + "/a", "data.data", only=(OURS,))
    assert [row[0] for row in rows] == [frame(n)[14:].hex() for n in range(40)]
