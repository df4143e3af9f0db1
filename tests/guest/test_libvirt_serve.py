# SPDX-License-Identifier: MIT
"""Two domains on a switch of one vmtap serve, as docs/vhost-user.md has them: one with an interface of type
vhostuser, one with a TAP that libvirt does not manage.

    vm0 ── QEMU ── vm0.sock ── vmtap: vm0 ── switch lan ── lan0 ── br0 ── TAP vm1 ── QEMU ── vm1
    10.0.0.2                                                    10.0.0.1                10.0.0.3
"""

import json
import os
import re
import shlex
import signal
import subprocess
import tempfile
from pathlib import Path

import pytest

import sandbox
import vmtap
from ctl import Client
from domain import Domain, blocks, missing, run_folder
from flow import Flow
from guest import Transfer
from netns import Netns, wait_until
from vmtap import Vmtap

HOST = "10.0.0.1"
ADDRESS = {"vm0": "10.0.0.2", "vm1": "10.0.0.3"}
SIZE = 4 << 20
PORTS = ["vm0", "lan0"]

# The sender goes on until there is a file `stop`; nc ends at the first end that it sees, so the receiver's
# input has none.
RECEIVE = "rm -f /tmp/sum; (sleep 600 | nc -l -p 5000 | sha256sum >/tmp/sum) >/dev/null 2>&1 &"
SEND = """rm -rf /tmp/talk; mkdir /tmp/talk; cd /tmp/talk; mkfifo copy; head -c 1048576 /dev/urandom >data
sha256sum <copy >sent &
until ping -c 1 -W 1 {to} >/dev/null; do :; done
(while [ ! -e stop ]; do cat data; done | tee copy | nc {to} 5000) >/dev/null 2>&1 &"""


class Talk:
    """A TCP connection over which one guest sends to the other until stop()."""

    def __init__(self, sender, receiver, address):
        self.sender, self.receiver = sender, receiver
        receiver.ok(RECEIVE)
        wait_until(lambda: "5000" in receiver.ok("netstat -ltn"))
        sender.ok(SEND.format(to=address))
        self.goes_on()

    def received(self):
        return int(self.receiver.ok("cat /sys/class/net/eth0/statistics/rx_bytes"))

    def goes_on(self, size=1 << 18):
        goal = self.received() + size
        wait_until(lambda: self.received() >= goal, 60, "more data from %s" % self.sender.name)

    def stop(self):
        """Returns the digests of what was sent and received."""
        self.sender.ok("touch /tmp/talk/stop")
        return [guest.ok("until [ -s %s ]; do sleep 0.05; done; cat %s" % (file, file))
                for guest, file in ((self.sender, "/tmp/talk/sent"), (self.receiver, "/tmp/sum"))]


class Lab:
    """@folder is /run/vmtap for those that run in there."""

    def __init__(self, image, folder):
        self.folder = Path(folder)
        self.document = blocks()
        self.ns = Netns()
        self.vmtap = self.ctl = None
        self.domains = {}
        try:
            self.prepare(image)
            self.start_vmtap()
            self.shell("serve_tap")
            for domain in self.domains.values():
                domain.start()
                domain.ok("ip link set eth0 up; ip addr add %s/24 dev eth0" % ADDRESS[domain.name])
        except BaseException:
            self.close()
            raise

    def prepare(self, image):
        a = {name: self.document[name] for name in ("memory", "interface", "override")}
        self.domains["vm0"] = Domain(self.ns, self.folder, image, "vm0", **a)
        self.domains["vm1"] = Domain(self.ns, self.folder, image, "vm1", interface=self.document["serve_interface"])
        conf = self.folder / "etc/vmtap/vmtap.conf"
        conf.parent.mkdir(parents=True)
        conf.write_text(self.document["serve_conf"])
        self.wrap = [*run_folder(self.folder), *sandbox.etc(self.folder / "etc")]
        self.shell("serve_bridge")

    def shell(self, name):
        """Run a block of the document. Returns what it says."""
        env = {**os.environ, "VM_USER": str(sandbox.NOBODY),
               "PATH": os.path.dirname(vmtap.program()) + ":" + os.environ["PATH"]}
        return self.ns.run([*self.wrap, "sh", "-ec", self.document[name]], env=env).stdout

    def start_vmtap(self):
        *args, command = shlex.split(self.document["serve"])[1:]
        self.vmtap = Vmtap(self.ns, [], str(self.folder), args=args, command=command, wrap=self.wrap)
        self.ctl = Client(str(self.folder / "control.sock"))

    def stop_vmtap(self, sig=signal.SIGTERM):
        self.ctl.close()
        return self.vmtap.stop(sig)

    def stats(self):
        """The counters of both ports at one moment, by port."""
        return {row["id"]: row for row in self.ctl.run("query-stats")}

    def reaches(self, name, address):
        return self.domains[name].agent.run("/bin/ping -n -q -c 1 -W 1 " + address)[0] == 0

    def logs(self):
        for domain in self.domains.values():
            yield from domain.logs()
        if self.vmtap:
            yield "vmtap", self.vmtap.output()

    def close(self):
        if self.ctl:
            self.ctl.close()
        for domain in self.domains.values():
            domain.close()
        self.ns.cleanup()


@pytest.fixture(scope="module")
def lab(image):
    if missing():
        pytest.skip(missing())
    with tempfile.TemporaryDirectory(prefix="vmtap-") as folder:
        made = Lab(image, folder)
        try:
            yield made
        finally:
            made.close()


def test_the_domains_are_valid(lab):
    assert {name: domain.validate() for name, domain in lab.domains.items()} == {"vm0": "", "vm1": ""}


def test_no_qemu_has_a_privilege(lab):
    for domain in lab.domains.values():
        children = subprocess.run(["pgrep", "-f", "guest=%s,.*%s" % (domain.name, lab.folder)],
                                  stdout=subprocess.PIPE, text=True).stdout.split()
        assert children
        for pid in children:
            status = Path("/proc/%s/status" % pid).read_text()
            assert re.search(r"^Uid:\t%d\t%d" % (sandbox.NOBODY, sandbox.NOBODY), status, re.M)
            assert re.search(r"^CapEff:\t0+$", status, re.M)


def test_everybody_reaches_everybody(lab):
    ping = "ping -n -q -c 5 -i 0.02 -w 20 -M do -s 1472 "
    for address in ADDRESS.values():
        lab.ns.run(ping + address)
    for name, domain in lab.domains.items():
        for address in {HOST, *ADDRESS.values()} - {ADDRESS[name]}:
            domain.ok("/bin/" + ping + address)


@pytest.mark.parametrize("name", ADDRESS)
def test_tcp_with_the_host_is_intact(lab, name):
    before = lab.stats()
    data = os.urandom(SIZE)
    sent = lab.domains[name].ok("head -c %d /dev/urandom >/tmp/data; sha256sum </tmp/data" % SIZE).split()[0]
    transfer = Transfer(lab.ns, HOST, data)
    got = lab.domains[name].ok("nc %s %d </tmp/data | sha256sum" % (HOST, transfer.port)).split()[0]
    assert transfer.result() == sent
    assert got == subprocess.run(["sha256sum"], input=data, stdout=subprocess.PIPE).stdout.split()[0].decode()
    # What the second guest has with the host does not pass vmtap.
    now = lab.stats()
    for way in "rx", "tx":
        moved = now["vm0"][way]["bytes"] - before["vm0"][way]["bytes"]
        assert moved >= SIZE if name == "vm0" else moved < SIZE // 10


@pytest.mark.parametrize("sender, receiver", [("vm0", "vm1"), ("vm1", "vm0")])
def test_what_goes_between_the_two_is_intact_and_counted(lab, sender, receiver):
    def moved():
        """By port and way, since the start of this test."""
        now = lab.stats()
        return {(port, way): {key: now[port][way][key] - before[port][way][key]
                              for key in ("frames", "bytes", "gso_frames")} for port in PORTS for way in ("rx", "tx")}

    def drops(rows):
        return [rows[port][way]["drops"] for port in PORTS for way in ("rx", "tx")]

    before = lab.stats()
    talk = Talk(lab.domains[sender], lab.domains[receiver], ADDRESS[receiver])
    talk.goes_on(SIZE)
    sent, received = talk.stop()
    assert sent == received
    # The switch has two ports: what enters by one leaves by the other.
    wait_until(lambda: moved()["vm0", "rx"] == moved()["lan0", "tx"] and moved()["vm0", "tx"] == moved()["lan0", "rx"],
               60, "the counters of both ports agree")
    there = "rx" if sender == "vm0" else "tx"
    assert moved()["vm0", there]["bytes"] >= SIZE
    assert moved()["vm0", there]["gso_frames"] > 0  # nobody had to cut them
    assert drops(lab.stats()) == drops(before)


def test_the_eyes_agree(lab):
    """What the document has one look at; its numbers are those of query-stats."""
    text = lab.shell("serve_look")
    assert re.search(r"^vm0 .*vhost-user", text, re.M) and re.search(r"^lan0 .*tap", text, re.M), text
    done = lab.ns.run([*lab.wrap, vmtap.program(), "stats", "--json", *PORTS])
    said = {row["id"]: row for row in json.loads(done.stdout)}
    for port, row in lab.stats().items():
        for way in "rx", "tx":
            assert 0 < said[port][way]["bytes"] <= row[way]["bytes"]


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGKILL])
def test_vmtap_is_started_again_under_both(lab, sig):
    """With two connections, from the host to the first guest and between the guests, which go on."""
    a, b = lab.domains["vm0"], lab.domains["vm1"]
    device = lab.ns.links()["lan0"]["ifindex"]
    flow = Flow(lab.ns, HOST, a)
    talk = Talk(a, b, ADDRESS["vm1"])
    assert lab.stop_vmtap(sig) == (0 if sig == signal.SIGTERM else -sig)
    assert lab.reaches("vm1", HOST) and not lab.reaches("vm1", ADDRESS["vm0"])
    lab.start_vmtap()
    lab.ctl.wait_port("vm0", lambda row: row["state"] == "up", 60)
    assert lab.ns.links()["lan0"]["ifindex"] == device
    for _ in range(2):
        flow.goes_on(timeout=60)
        talk.goes_on()
    flow.stop(a)
    sent, received = talk.stop()
    assert sent == received
    rows = lab.stats()
    assert all(rows[port][way]["bytes"] > 1 << 18 for port in PORTS for way in ("rx", "tx"))


def test_nothing_is_left(lab):
    """Last in this file: the domains end, their TAP stays; then vmtap."""
    for domain in lab.domains.values():
        assert domain.end() == 0, domain.text(".libvirt")
    lab.ctl.wait_port("vm0", lambda row: row["state"] == "waiting", 60)
    links = lab.ns.links()
    assert links["vm1"]["master"] == "br0" and links["vm1"]["linkinfo"]["info_data"]["persist"]
    assert lab.stop_vmtap() == 0, lab.vmtap.output()
    assert sorted(lab.ns.links()) == ["br0", "lan0", "lo", "vm1"]
    assert not list(lab.folder.glob("*.sock"))
