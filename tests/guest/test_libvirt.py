# SPDX-License-Identifier: MIT
"""The domain of docs/vhost-user.md, run by libvirt as it stands there.

    guest ── QEMU ── /run/vmtap/vm0.sock ── vmtap ── TAP vm0 ── host
"""

import hashlib
import os
import shlex
import tempfile
from pathlib import Path

import pytest

from domain import Domain, blocks, missing, run_folder
from guest import Transfer
from netns import Netns, wait_until
from vmtap import Vmtap

MAC = "52:54:00:00:00:02"
SIZE = 4 << 20


class Host:
    """vmtap, libvirt and the guest. @folder is /run/vmtap for those that run in there."""

    def __init__(self, image, folder):
        self.folder = Path(folder)
        self.domain = None
        self.ns = Netns()
        try:
            parts = {name: blocks()[name] for name in ("memory", "interface", "override")}
            self.domain = Domain(self.ns, folder, image, "vm0", **parts)
            self.start_vmtap()
            self.domain.start()
        except BaseException:
            self.close()
            raise

    def start_vmtap(self):
        words = shlex.split(blocks()["vmtap"].replace("\\\n", ""))
        assert words[:3] == ["vmtap", "-v", "connect"]
        self.vmtap = Vmtap(self.ns, words[3:], str(self.folder), wrap=run_folder(self.folder))
        self.ns.run("ip addr add 10.0.0.1/24 dev vm0")

    def ok(self, command):
        return self.domain.ok(command)

    def logs(self):
        yield from self.domain.logs()
        yield "vmtap", self.vmtap.output()

    def close(self):
        if self.domain:
            self.domain.close()
        self.ns.cleanup()


@pytest.fixture(scope="module")
def host(image):
    if missing():
        pytest.skip(missing())
    with tempfile.TemporaryDirectory(prefix="vmtap-") as folder:
        made = Host(image, folder)
        try:
            yield made
        finally:
            made.close()


def test_the_domain_is_valid(host):
    assert host.domain.validate() == ""


def test_the_guest_has_the_nic_with_its_link_up(host):
    host.ok("ip link set eth0 up; ip addr add 10.0.0.2/24 dev eth0")
    assert host.ok("cat /sys/class/net/eth0/address").strip() == MAC
    wait_until(lambda: host.ok("cat /sys/class/net/eth0/carrier").strip() == "1")


def test_ping_both_ways(host):
    ping = "ping -n -q -c 5 -i 0.02 -w 10 -M do -s 1472 "
    host.ns.run(ping + "10.0.0.2")
    host.ok("/bin/" + ping + "10.0.0.1")


def test_tcp_both_ways_is_intact(host):
    data = os.urandom(SIZE)
    digest = host.ok("head -c %d /dev/urandom >/tmp/data; sha256sum </tmp/data" % SIZE).split()[0]
    transfer = Transfer(host.ns, "10.0.0.1", data)
    answer = host.ok("nc 10.0.0.1 %d </tmp/data | sha256sum" % transfer.port)
    assert transfer.result() == digest
    assert answer.split()[0] == hashlib.sha256(data).hexdigest()


def test_vmtap_is_restarted_under_the_domain(host):
    """What the domain says of reconnecting is heeded."""
    assert host.vmtap.stop() == 0, host.vmtap.output()
    wait_until(lambda: host.ok("cat /sys/class/net/eth0/carrier").strip() == "0")
    host.start_vmtap()
    wait_until(lambda: host.ns.run("ping -n -q -c 5 -i 0.02 -w 2 10.0.0.2", check=False).returncode == 0, 60)


def test_nothing_is_left(host):
    """Last in this file: the domain ends, and then vmtap."""
    assert host.domain.end() == 0, host.domain.text(".libvirt")
    wait_until(lambda: "disconnected" in host.vmtap.output().rpartition("ready")[2])
    assert host.vmtap.stop() == 0, host.vmtap.output()
    assert list(host.ns.links()) == ["lo"]
    assert not (host.folder / "vm0.sock").exists()
