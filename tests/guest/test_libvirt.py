# SPDX-License-Identifier: MIT
"""The domain of docs/vhost-user.md, run by libvirt as it stands there.

virt-qemu-run is libvirt without a daemon: it starts one domain and ends with it. It runs as an
ordinary user, in a namespace where /run is the test's own.

    guest ── QEMU ── /run/vmtap/vm0.sock ── vmtap ── TAP vm0 ── host
"""

import hashlib
import os
import re
import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

import agent
import sandbox
from guest import Transfer
from netns import Failed, Netns, end, wait_until
from vmtap import Vmtap

TOP = Path(__file__).parents[2]
MAC = "52:54:00:00:00:02"
SIZE = 4 << 20
BLOCK = re.compile(r"^<!-- libvirt: (\w+) -->\n```\w+\n(.*?)^```$", re.M | re.S)

# What the document leaves to the reader; the guest's kernel is in @image.
DOMAIN = """<domain type="qemu" xmlns:qemu="http://libvirt.org/schemas/domain/qemu/1.0">
<name>vm0</name>
<memory unit="MiB">256</memory>
%(memory)s
<vcpu>1</vcpu>
<os>
  <type arch="x86_64" machine="pc">hvm</type>
  <kernel>%(folder)s/vmlinuz</kernel>
  <initrd>%(folder)s/initrd</initrd>
  <cmdline>console=ttyS0 quiet panic=-1 mitigations=off audit=0 apparmor=0 no_timer_check tsc=reliable</cmdline>
</os>
<features><acpi/></features>
<devices>
  <emulator>/usr/bin/qemu-system-x86_64</emulator>
  %(interface)s
  <serial type="file"><source path="%(folder)s/console"/></serial>
  <serial type="unix"><source mode="bind" path="%(folder)s/agent.sock"/></serial>
</devices>
%(override)s
</domain>
"""

# No daemon for logs, no security labels, no cgroups: nothing that takes privilege.
CONF = """stdio_handler = "file"
security_driver = "none"
namespaces = []
cgroup_controllers = []
"""


def blocks():
    return dict(BLOCK.findall((TOP / "docs/vhost-user.md").read_text()))


class Host:
    """vmtap, libvirt and the guest. @folder is /run/vmtap for those that run in there."""

    def __init__(self, image, folder):
        self.folder = Path(folder)
        self.root = self.folder / "root"
        self.agent = self.virt = None
        self.ns = Netns()
        try:
            self.prepare(image)
            self.start()
        except BaseException:
            self.close()
            raise

    def prepare(self, image):
        (self.root / "etc").mkdir(parents=True)
        (self.root / "etc/qemu.conf").write_text(CONF)
        for name in "vmlinuz", "initrd":
            shutil.copy(os.path.join(image, name), self.folder)
        for path in self.folder, self.root, self.root / "etc":
            path.chmod(0o755)
            os.chown(path, sandbox.NOBODY, sandbox.NOBODY)
        for name in "vmlinuz", "initrd", "root/etc/qemu.conf":
            (self.folder / name).chmod(0o644)
        self.xml = self.folder / "vm0.xml"
        self.xml.write_text(DOMAIN % {**blocks(), "folder": self.folder})

    def run_folder(self):
        """Words for a /run of one's own, with the folder in it."""
        return sandbox.mounts("mount -t tmpfs none /run; mkdir /run/vmtap; mount --bind %s /run/vmtap" % self.folder)

    def start_vmtap(self):
        words = shlex.split(blocks()["vmtap"].replace("\\\n", ""))
        assert words[:3] == ["vmtap", "-v", "connect"]
        self.vmtap = Vmtap(self.ns, words[3:], str(self.folder), wrap=self.run_folder())
        self.ns.run("ip addr add 10.0.0.1/24 dev vm0")

    def start(self):
        self.start_vmtap()
        env = {**os.environ, **dict.fromkeys(["HOME", "XDG_RUNTIME_DIR", "XDG_CACHE_HOME", "XDG_CONFIG_HOME"],
                                             str(self.root))}
        with open(self.folder / "libvirt.log", "wb") as log:
            self.virt = self.ns.popen([*self.run_folder(), *sandbox.user(), "virt-qemu-run", "-r", self.root, self.xml],
                                      stdout=log, stderr=log, env=env)
        wait_until(lambda: (self.folder / "agent.sock").exists() or self.virt.poll() is not None, 60, "the domain")
        if self.virt.poll() is not None:
            raise Failed("virt-qemu-run: exit status %d\n%s" % (self.virt.returncode, self.text("libvirt.log")))
        self.agent = agent.Agent(agent.connect(str(self.folder / "agent.sock")))
        self.agent.wait_ready(90)

    def ok(self, command):
        status, output = self.agent.run(command)
        assert status == 0, output
        return output

    def text(self, name):
        path = self.folder / name
        return path.read_text(errors="replace")[-6000:] if path.exists() else ""

    def logs(self):
        for name in "libvirt.log", "root/log/qemu/vm0.log", "console", "vmtap.log":
            yield name, self.text(name)

    def close(self):
        if self.agent:
            self.agent.close()
        if self.virt:
            end(self.virt, timeout=20)
        self.ns.cleanup()


@pytest.fixture(scope="module")
def host(image):
    if not shutil.which("virt-qemu-run"):
        pytest.skip("virt-qemu-run is not installed; Debian: libvirt-daemon-driver-qemu")
    with tempfile.TemporaryDirectory(prefix="vmtap-") as folder:
        made = Host(image, folder)
        try:
            yield made
        finally:
            made.close()


def test_the_domain_is_valid(host):
    done = subprocess.run(["virt-xml-validate", host.xml, "domain"], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, timeout=30)
    assert done.returncode == 0, done.stdout


def test_the_guest_has_the_nic_with_its_link_up(host):
    host.ok("ip link set eth0 up; ip addr add 10.0.0.2/24 dev eth0")
    assert host.ok("cat /sys/class/net/eth0/address").strip() == MAC
    wait_until(lambda: host.ok("cat /sys/class/net/eth0/carrier").strip() == "1")


def test_ping_both_ways(host):
    ping = "ping -n -q -c 5 -i 0.02 -w 10 -M do -s 1472 "
    for answer in host.ns.run(ping + "10.0.0.2").stdout, host.ok("/bin/" + ping + "10.0.0.1"):
        assert "5 received" in answer, answer


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
    wait_until(lambda: "5 received" in host.ns.run("ping -n -q -c 5 -i 0.02 -w 2 10.0.0.2", check=False).stdout)


def test_nothing_is_left(host):
    """Last in this file: the domain ends, and then vmtap."""
    assert end(host.virt, timeout=20) == 0, host.text("libvirt.log")
    wait_until(lambda: "disconnected" in host.vmtap.output().rpartition("ready")[2])
    assert host.vmtap.stop() == 0, host.vmtap.output()
    assert list(host.ns.links()) == ["lo"]
    assert not (host.folder / "vm0.sock").exists()
