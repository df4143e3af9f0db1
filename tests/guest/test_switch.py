# SPDX-License-Identifier: MIT
"""A Linux guest on a switch of vmtap serve, beside a TAP and a front end that is ours and takes no offloads.

    guest eth ── virtqueues ── vhost-user "a" ─┐
    vu-front-tool ──────────── vhost-user "b" ─┴─ switch "lan" ── TAP v0 ── host
    10.9.1.2                                                             10.9.1.1
"""

import hashlib
import os

import pytest

from capture import Capture, capinfos, fields, needs_tshark
from ctl import Serve
from flow import Flow
from guest import Guest, Transfer
from netns import Netns, wait_until
from vu import EVENT_IDX, MODERN, MRG, Front
from vulink import VuNic, memory

SIZE = 2 << 20
MAC = "52:54:00:0d:00:01"
HOST, GUEST = "10.9.1.1", "10.9.1.2"
ETH_ARP = 0x0806
CONF = """
[switch lan]
ports = v0 a b

[port v0]
type = tap
ifname = v0
script = no
downscript = no
up = on
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


class Lab:
    def __init__(self, folder):
        self.folder = folder
        self.ns = Netns()
        self.server = self.guest = self.other = None
        with open(folder + "/conf", "w") as f:
            f.write(CONF.format(folder=folder))
        try:
            self.start()
            self.ns.run("ip addr add %s/24 dev v0" % HOST)
            self.guest = Guest(self.ns, [VuNic(folder + "/a", MAC)], folder, qemu=memory())
            eth = self.guest.ifnames[MAC]
            self.guest.ok("ip link set %s up && ip addr add %s/24 dev %s && head -c %d /dev/urandom >/tmp/data" % (
                eth, GUEST, eth, SIZE))
            self.other = Front(self.ns, want=MODERN | MRG | EVENT_IDX, ring_size=256)
            self.other.up(folder + "/b")
        except BaseException:
            self.close()
            raise

    def start(self):
        self.server = Serve(self.ns, self.folder, "-c", self.folder + "/conf", timeout=30)

    def restart(self):
        self.server.proc.kill()
        self.server.proc.wait()
        self.start()

    def rows(self, command, **arguments):
        with self.server.client() as ctl:
            return ctl.run(command, **arguments)

    def ping(self):
        answer = self.ns.run(["ping", "-n", "-q", "-c", "3", "-i", "0.05", "-w", "20", GUEST]).stdout
        assert "3 received" in answer, answer
        answer = self.guest.ok("/bin/ping -n -q -c 3 -i 0.05 -w 20 " + HOST)
        assert "3 received" in answer, answer

    def transfer(self):
        """Both ways at once; intact."""
        data = os.urandom(SIZE)
        host = Transfer(self.ns, HOST, data)
        answer = self.guest.ok("sha256sum </tmp/data; nc %s %d </tmp/data | sha256sum" % (HOST, host.port)).split()
        assert host.result() == answer[0]
        assert hashlib.sha256(data).hexdigest() == answer[2]

    def close(self):
        if self.other:
            self.other.close()
        if self.guest:
            self.guest.kill()
        if self.server:
            self.server.stop()
        self.ns.cleanup()

    def logs(self):
        if self.guest:
            yield from self.guest.logs()
        if self.server:
            yield "vmtap serve", self.server.output()


@pytest.fixture(scope="module")
def lab(image, folder):
    lab = Lab(folder)
    yield lab
    lab.close()


def test_guest_and_host_talk_and_their_addresses_are_learned(lab):
    lab.ping()
    lab.transfer()
    macs = {row["mac"]: row["port"] for row in lab.rows("query-macs", id="lan")}
    assert macs[MAC] == "a" and "v0" in macs.values()


def test_the_third_port_sees_broadcasts_and_nothing_else(lab):
    lab.ping()  # so that the addresses are known
    while lab.other.receive(timeout=0.2):
        pass
    before = lab.rows("query-stats", id="b")[0]["tx"]["frames"]
    lab.transfer()
    lab.guest.run("/bin/ping -n -c 1 -w 1 10.9.1.77")  # whose address nobody knows
    got = lab.other.receive(kind=ETH_ARP)
    assert got and got.data[:6] == b"\xff" * 6 and got.data[6:12] == bytes.fromhex(MAC.replace(":", ""))
    assert not got.hdr.flags and not got.hdr.gso_type
    # a transfer has hundreds of frames; what comes to all is a few
    assert lab.rows("query-stats", id="b")[0]["tx"]["frames"] - before < 50


def test_large_frames_stay_large_between_those_that_take_them(lab):
    before = lab.rows("query-queues", id="a")[0]
    lab.transfer()
    now = lab.rows("query-queues", id="a")[0]
    assert now["rx"]["gso_frames"] > before["rx"]["gso_frames"]
    assert now["tx"]["gso_frames"] > before["tx"]["gso_frames"]


@needs_tshark
def test_what_a_guest_sends_and_gets_is_captured(lab, folder):
    with Capture(lab.server, "a", "-w", folder + "/cap", "--segment", "-f", "tcp") as capture:
        lab.transfer()
        status, said = capture.end()
    assert status == 0
    capinfos(folder + "/cap")
    rows = fields(folder + "/cap", "frame.packet_flags_direction", "tcp.len", "tcp.checksum.status", "ip.checksum.status")
    assert {row[2] for row in rows} == {"1"} and {row[3] for row in rows} == {"1"}
    assert max(int(row[1]) for row in rows) <= 1460
    if " 0 dropped" in said:
        for way in 1, 2:
            assert sum(int(row[1]) for row in rows if int(row[0], 0) & 3 == way) >= SIZE


def test_a_connection_survives_kills_of_the_server(lab):
    flow = Flow(lab.ns, HOST, lab.guest)
    try:
        for _ in range(2):
            lab.restart()
            wait_until(lambda: lab.rows("query-ports", id="a")[0]["state"] == "up", timeout=60)
            flow.goes_on(timeout=90)
        flow.stop(lab.guest)
    finally:
        flow.close()
    assert lab.other.is_closed()
    lab.other.again(lab.folder + "/b")
    lab.ping()
