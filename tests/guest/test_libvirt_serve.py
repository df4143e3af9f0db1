# SPDX-License-Identifier: MIT
"""Domains on a switch of one vmtap serve, as docs/vhost-user.md has them: one with an interface of type
vhostuser, one with a TAP and one with a macvtap that libvirt does not manage.

    vm0 ── QEMU ── vm0.sock ── vmtap: vm0 ── switch lan ── lan0 ── br0 ── TAP vm1 ── QEMU ── vm1
    10.0.0.2                                     │              10.0.0.1                10.0.0.3
                                                vm2 ── TAP vm2 ── macvtap mv2 ────── QEMU ── vm2
                                                                                        10.0.0.4
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
from ctl import Client, Refused
from domain import Domain, blocks, missing, run_folder
from flow import Flow
from guest import Transfer
from netns import Netns, wait_until
from vmtap import Vmtap

HOST = "10.0.0.1"
ADDRESS = {"vm0": "10.0.0.2", "vm1": "10.0.0.3", "vm2": "10.0.0.4"}
PORT = {"vm0": "vm0", "vm1": "lan0", "vm2": "vm2"}
SIZE = 4 << 20

# Folders of our own, where a host has one of each: /run/vmtap; /etc/vmtap; /sys, which shows the network namespace;
# /dev, where devices of another namespace with the same number would be in the way.
MOUNTS = """mount -t sysfs none /sys
mkdir %(folder)s/dev
mount -t tmpfs none %(folder)s/dev
for name in null zero full random urandom tty net/tun; do
	mkdir -p $(dirname %(folder)s/dev/$name)
	cp -a /dev/$name %(folder)s/dev/$name
done
mount --move %(folder)s/dev /dev
mount -t overlay -o lowerdir=%(folder)s/etc:/etc none /etc
mount -t tmpfs none /run
mkdir /run/vmtap
mount --bind %(folder)s /run/vmtap
echo up
exec cat >/dev/null"""

# What udev does.
NODE = """for tap in /sys/class/net/*/macvtap/tap*; do mknod -m 600 /dev/${tap##*/} c $(tr : ' ' <$tap/dev); done"""

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
            self.mount()
            self.prepare(image)
            self.shell(self.document["serve_bridge"])
            self.start_vmtap()
            self.shell(self.document["serve_tap"])
            macvtap, *rest = self.document["serve_macvtap"].splitlines()
            self.shell(macvtap)
            self.shell(NODE)
            self.shell("\n".join(rest))
            for domain in self.domains.values():
                domain.start()
                domain.ok("ip link set eth0 up; ip addr add %s/24 dev eth0" % ADDRESS[domain.name])
        except BaseException:
            self.close()
            raise

    def mount(self):
        """A mount namespace, which is there as long as its holder's input."""
        conf = self.folder / "etc/vmtap/vmtap.conf"
        conf.parent.mkdir(parents=True)
        conf.write_text(self.document["serve_conf"])
        holder = self.ns.popen(["unshare", "--mount", "--propagation", "private", "sh", "-ec",
                                MOUNTS % {"folder": self.folder}], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert holder.stdout.readline() == b"up\n"
        self.wrap = ["nsenter", "--mount=/proc/%d/ns/mnt" % holder.pid, "--"]

    def prepare(self, image):
        first = {name: self.document[name] for name in ("memory", "interface", "override")}
        for name, parts in ("vm0", first), ("vm1", {"interface": self.document["serve_interface"]}), \
                ("vm2", {"interface": self.document["serve_own"]}):
            self.domains[name] = Domain(self.ns, self.folder, image, name, wrap=self.wrap, **parts)

    def shell(self, script):
        """Run lines of the document. Returns what they say."""
        env = {**os.environ, "VM_USER": str(sandbox.NOBODY),
               "PATH": os.path.dirname(vmtap.program()) + ":" + os.environ["PATH"]}
        return self.ns.run([*self.wrap, "sh", "-ec", script], env=env).stdout

    def start_vmtap(self):
        *args, command = shlex.split(self.document["serve"])[1:]
        self.vmtap = Vmtap(self.ns, [], str(self.folder), args=args, command=command, wrap=self.wrap)
        self.ctl = Client(str(self.folder / "control.sock"))

    def stop_vmtap(self, sig=signal.SIGTERM):
        self.ctl.close()
        return self.vmtap.stop(sig)

    def stats(self):
        """The counters of all ports at one moment, by port."""
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
    assert {name: domain.validate() for name, domain in lab.domains.items()} == dict.fromkeys(ADDRESS, "")


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
    # What vm1 has with the host stays in the bridge.
    now = lab.stats()
    for way in "rx", "tx":
        moved = now[PORT[name]][way]["bytes"] - before[PORT[name]][way]["bytes"]
        assert moved < SIZE // 10 if name == "vm1" else moved >= SIZE


@pytest.mark.parametrize("sender, receiver", [("vm0", "vm1"), ("vm1", "vm0"), ("vm0", "vm2"), ("vm2", "vm1")])
def test_what_goes_between_two_is_intact_and_counted(lab, sender, receiver):
    def moved(name, way, key="bytes"):
        """Since the start of this test."""
        return now[PORT[name]][way][key] - before[PORT[name]][way][key]

    def drops(rows):
        return {(name, way): rows[port][way]["drops"] for name, port in PORT.items() for way in ("rx", "tx")}

    before = lab.stats()
    talk = Talk(lab.domains[sender], lab.domains[receiver], ADDRESS[receiver])
    talk.goes_on(SIZE)
    sent, received = talk.stop()
    assert sent == received
    now = lab.stats()
    assert moved(sender, "rx") >= SIZE and moved(receiver, "tx") >= SIZE
    assert abs(moved(sender, "rx") - moved(receiver, "tx")) < SIZE // 100
    assert moved(sender, "rx", "gso_frames") > 0 and moved(receiver, "tx", "gso_frames") > 0  # nobody had to cut them
    (third,) = ADDRESS.keys() - {sender, receiver}
    assert moved(third, "tx") < SIZE // 100  # the switch knows who is where
    assert drops(now) == drops(before)


def test_another_address_than_its_own_takes_a_guest_nowhere(lab):
    """The filter of its port."""
    def address(mac):
        domain.ok("ip link set eth0 down; ip link set eth0 address %s; ip link set eth0 up" % mac)

    domain, before = lab.domains["vm2"], lab.stats()["vm2"]["rx"]["drops"]
    own = domain.ok("cat /sys/class/net/eth0/address").strip()
    address("52:54:00:00:00:99")
    assert not lab.reaches("vm2", HOST)
    assert lab.stats()["vm2"]["rx"]["drops"]["filtered"] > before.get("filtered", 0)
    address(own)
    wait_until(lambda: lab.reaches("vm2", HOST), 60)


def test_a_tap_that_is_open_is_not_a_port_as_well(lab):
    keys = {"type": "tap", "id": "more", "ifname": "vm1", "script": "no", "downscript": "no"}
    with pytest.raises(Refused, match="qemu.* has the device open"):
        lab.ctl.run("port_add", **keys)
    assert lab.reaches("vm1", HOST)


def test_the_eyes_agree(lab):
    """What the document has one look at; its numbers are those of query-stats."""
    text = lab.shell(lab.document["serve_look"])
    for port, kind in ("vm0", "vhost-user"), ("lan0", "tap"), ("vm2", "tap"):
        assert re.search(r"^%s .*%s" % (port, kind), text, re.M), text
    done = lab.ns.run([*lab.wrap, vmtap.program(), "stats", "--json"])
    said = {row["id"]: row for row in json.loads(done.stdout)}
    for port, row in lab.stats().items():
        for way in "rx", "tx":
            assert 0 < said[port][way]["bytes"] <= row[way]["bytes"]


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGKILL])
def test_vmtap_is_started_again_under_all(lab, sig):
    """With connections between the host and a guest, and between guests, which go on."""
    vm0, vm1, vm2 = lab.domains.values()
    taps = {name: lab.ns.links()[name]["ifindex"] for name in ("lan0", "vm2")}
    flow = Flow(lab.ns, HOST, vm0)
    talk = Talk(vm2, vm1, ADDRESS["vm1"])
    assert lab.stop_vmtap(sig) == (0 if sig == signal.SIGTERM else -sig)
    assert lab.reaches("vm1", HOST) and not lab.reaches("vm1", ADDRESS["vm0"])
    lab.start_vmtap()
    lab.ctl.wait_port("vm0", lambda row: row["state"] == "up", 60)
    assert {name: lab.ns.links()[name]["ifindex"] for name in taps} == taps
    for _ in range(2):
        flow.goes_on(timeout=60)
        talk.goes_on()
    flow.stop(vm0)
    sent, received = talk.stop()
    assert sent == received
    rows = lab.stats()
    for name, way in ("vm0", "rx"), ("vm0", "tx"), ("vm1", "rx"), ("vm1", "tx"), ("vm2", "rx"):
        assert rows[PORT[name]][way]["bytes"] > 1 << 18


def test_nothing_is_left(lab):
    """Last in this file: the domains end, their devices stay; then vmtap."""
    for domain in lab.domains.values():
        assert domain.end() == 0, domain.text(".libvirt")
    lab.ctl.wait_port("vm0", lambda row: row["state"] == "waiting", 60)
    assert lab.ns.links()["vm1"]["master"] == "br0"
    assert lab.stop_vmtap() == 0, lab.vmtap.output()
    assert sorted(lab.ns.links()) == ["br0", "lan0", "lo", "mv2", "vm1", "vm2"]
    assert not list(lab.folder.glob("*.sock"))
    for name in "vm1", "vm2", "lan0":
        lab.ns.run("ip link delete " + name)
    assert sorted(lab.ns.links()) == ["br0", "lo"]
