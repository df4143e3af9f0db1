# SPDX-License-Identifier: MIT
"""vmtap capture on ports that are sockets, both ways; the other end speaks frames itself.

    peer ── stream or dgram "s" ── vmtap serve ── TAP v0 (packet socket)
"""

import os
import socket
import struct

import pytest

from capture import Capture, capinfos, fields, needs_tshark
from ctl import Serve
from netns import wait_until
from tuntap import GUEST, HOST, SOL_PACKET, Packets, frame, number_of
from vulab import PACKET_VNET_HDR, tcp4, tcp_payload, tcp_sum_is_right

pytestmark = needs_tshark

OURS = "eth.type == 0x88b5"


class StreamEnd:
    """Frames with their length in front."""

    keys = {"type": "stream", "server": True}

    def __init__(self, folder):
        self.path = folder + "/s"
        self.options = {**self.keys, "path": self.path}

    def open(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(20)
        self.sock.connect(self.path)
        self.file = self.sock.makefile("rb")

    def send(self, data):
        self.sock.sendall(struct.pack("!I", len(data)) + data)

    def receive(self):
        return self.file.read(struct.unpack("!I", self.file.read(4))[0])

    def close(self):
        self.file.close()
        self.sock.close()


class DgramEnd:
    def __init__(self, folder):
        self.ours, self.theirs = folder + "/ours", folder + "/s"
        self.options = {"type": "dgram", "local.path": self.theirs, "remote.path": self.ours}
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.settimeout(20)
        self.sock.bind(self.ours)

    def open(self):
        self.sock.connect(self.theirs)

    def send(self, data):
        self.sock.send(data)

    def receive(self):
        return self.sock.recv(1 << 17)

    def close(self):
        self.sock.close()


@pytest.fixture(params=[StreamEnd, DgramEnd], ids=["stream", "dgram"])
def lan(ns, folder, request):
    """The server with its ports joined, a client of its, the other end, and the kernel's side."""
    ns.sysctl("net.ipv6.conf.default.disable_ipv6", 1)
    end = request.param(folder)
    with Serve(ns, folder) as server, server.client() as ctl:
        ctl.run("port_add", type="tap", id="v0", ifname="v0", script="no", downscript="no", up=True, mtu=65521)
        ctl.run("port_add", id="s", **end.options)
        ctl.run("connect", id="v0", peer="s")
        end.open()
        ctl.wait_port("s", lambda row: row["state"] == "up", timeout=30)
        with Packets(ns, "v0", kind=None) as kernel:
            yield server, ctl, end, kernel
        end.close()


def test_frames_of_both_ways_are_whole_and_in_order(lan, folder):
    server, _, end, kernel = lan
    with Capture(server, "s", "-w", folder + "/a") as capture:
        for n in range(200):
            end.send(frame(n, 60 + n, dst=HOST, src=GUEST))
            assert number_of(kernel.receive()) == n
            kernel.send(frame(n, 400 - n))
            assert end.receive() == frame(n, 400 - n)
        status, said = capture.end()
        assert status == 0 and " 0 dropped" in said
    assert "Strict time order:   True" in capinfos(folder + "/a")
    rows = fields(folder + "/a", "frame.packet_flags_direction", "data.data", only=(OURS,))
    wanted = [row for n in range(200) for row in ((1, frame(n, 60 + n)), (2, frame(n, 400 - n)))]
    assert [(int(way, 0) & 3, data) for way, data in rows] == [(way, data[14:].hex()) for way, data in wanted]


def test_large_frames_are_cut_before_a_socket_and_whole_at_the_tap(lan, folder):
    """Those that the kernel leaves to be segmented; a socket's port takes finished frames only."""
    server, ctl, end, kernel = lan
    data, fields_of = tcp4(20000)
    names = "flags", "gso_type", "hdr_len", "gso_size", "csum_start", "csum_offset"
    with Capture(server, "s", "-w", folder + "/s.cap", "-f", "tcp") as a, \
            Capture(server, "v0", "-w", folder + "/v0.cap", "-f", "tcp") as b:
        kernel.sock.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
        kernel.send(struct.pack("<BBHHHH", *(fields_of[n] for n in names)) + data)
        got = b""
        while len(got) < len(data) - 54:
            part = end.receive()
            assert tcp_sum_is_right(part)
            got += tcp_payload(part)
        assert got == tcp_payload(data)
        wait_until(lambda: all(row["written"] for row in ctl.run("query-captures")), timeout=30)
        assert a.end()[0] == b.end()[0] == 0
    for name in "s", "v0":
        rows = fields("%s/%s.cap" % (folder, name), "tcp.payload", "tcp.checksum.status", "ip.checksum.status",
                      "frame.packet_flags_direction")
        assert {(row[1], row[2]) for row in rows} == {("1", "1")}
        assert {int(row[3], 0) & 3 for row in rows} == {2 if name == "s" else 1}
        assert bytes.fromhex("".join(row[0] for row in rows)) == data[54:]
        assert max(len(row[0]) // 2 for row in rows) <= 1448 or name == "v0"


def test_a_peer_that_leaves_and_comes_again_is_captured_on(lan, folder):
    server, ctl, end, kernel = lan
    with Capture(server, "s", "-w", folder + "/a") as capture:
        end.send(frame(1, dst=HOST, src=GUEST))
        assert number_of(kernel.receive()) == 1
        if isinstance(end, StreamEnd):
            end.close()
            ctl.wait_port("s", lambda row: row["state"] != "up", timeout=30)
            end.open()
            ctl.wait_port("s", lambda row: row["state"] == "up", timeout=30)
        end.send(frame(2, dst=HOST, src=GUEST))
        assert number_of(kernel.receive()) == 2
        assert capture.end()[0] == 0
    assert [row[0] for row in fields(folder + "/a", "data.data", only=(OURS,))] == [
        frame(n, 60)[14:].hex() for n in (1, 2)]
