# SPDX-License-Identifier: MIT
"""Domains of libvirt, with interfaces as docs/vhost-user.md has them.

virt-qemu-run is libvirt without a daemon: it starts one domain and ends with it. It runs as an
ordinary user, in a mount namespace where /run/vmtap is a folder of the test's own.
"""

import os
import re
import shutil
import subprocess
from pathlib import Path

import agent
import sandbox
from netns import Failed, end, wait_until

TOP = Path(__file__).parents[2]
BLOCK = re.compile(r"^<!-- libvirt: (\w+) -->\n```\w+\n(.*?)^```$", re.M | re.S)

# What the document leaves to the reader; the guest's kernel is in @folder.
DOMAIN = """<domain type="qemu" xmlns:qemu="http://libvirt.org/schemas/domain/qemu/1.0">
<name>%(name)s</name>
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
  <serial type="file"><source path="%(folder)s/%(name)s.console"/></serial>
  <serial type="unix"><source mode="bind" path="%(folder)s/%(name)s.agent"/></serial>
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


def missing():
    """Why no domain can be run, if so."""
    return None if shutil.which("virt-qemu-run") else \
        "virt-qemu-run is not installed; Debian: libvirt-daemon-driver-qemu"


def blocks():
    """What the document has for a domain and its surroundings, by name."""
    return dict(BLOCK.findall((TOP / "docs/vhost-user.md").read_text()))


def run_folder(folder):
    """Words for a /run of one's own, with @folder as /run/vmtap."""
    return sandbox.mounts("mount -t tmpfs none /run; mkdir /run/vmtap; mount --bind %s /run/vmtap" % folder)


class Domain:
    """A domain that can be started, and the guest in it. @folder is for its files and its logs; @wrap goes in front
    of libvirt, run_folder() if nothing else; @parts are what stands in DOMAIN: interface, and where it takes them
    memory and override."""

    def __init__(self, ns, folder, image, name, wrap=None, **parts):
        self.ns, self.folder, self.name = ns, Path(folder), name
        self.wrap = wrap or run_folder(folder)
        self.root = self.folder / (name + ".root")
        self.xml = self.folder / (name + ".xml")
        self.agent = self.virt = None
        (self.root / "etc").mkdir(parents=True)
        (self.root / "etc/qemu.conf").write_text(CONF)
        for file in "vmlinuz", "initrd":
            if not (self.folder / file).exists():
                shutil.copy(os.path.join(image, file), self.folder)
                (self.folder / file).chmod(0o644)
        self.xml.write_text(DOMAIN % {"memory": "", "override": "", **parts, "folder": folder, "name": name})
        for path in self.folder, self.root, self.root / "etc":
            path.chmod(0o755)
            os.chown(path, sandbox.NOBODY, sandbox.NOBODY)

    def start(self):
        """Until the guest takes commands."""
        env = {**os.environ, **dict.fromkeys(["HOME", "XDG_RUNTIME_DIR", "XDG_CACHE_HOME", "XDG_CONFIG_HOME"],
                                             str(self.root))}
        socket = self.folder / (self.name + ".agent")
        with open(self.folder / (self.name + ".libvirt"), "wb") as log:
            self.virt = self.ns.popen([*self.wrap, *sandbox.user(), "virt-qemu-run", "-r", self.root, self.xml],
                                      stdout=log, stderr=log, env=env)
        wait_until(lambda: socket.exists() or self.virt.poll() is not None, 60, "the domain")
        if self.virt.poll() is not None:
            raise Failed("virt-qemu-run: exit status %d\n%s" % (self.virt.returncode, self.text(".libvirt")))
        self.agent = agent.Agent(agent.connect(str(socket)))
        self.agent.wait_ready(90)

    def validate(self):
        """What is wrong with it, by libvirt's schema; nothing when it is valid."""
        done = subprocess.run(["virt-xml-validate", self.xml, "domain"], stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, timeout=30)
        return done.stdout if done.returncode else ""

    def ok(self, command, timeout=60):
        status, output = self.agent.run(command, timeout)
        assert status == 0, output
        return output

    def text(self, suffix):
        path = self.folder / (self.name + suffix)
        return path.read_text(errors="replace")[-6000:] if path.exists() else ""

    def logs(self):
        for suffix in ".libvirt", ".root/log/qemu/%s.log" % self.name, ".console":
            yield self.name + suffix, self.text(suffix)

    def end(self):
        """Returns libvirt's exit status."""
        return end(self.virt, timeout=20)

    def close(self):
        if self.agent:
            self.agent.close()
        if self.virt:
            self.end()
