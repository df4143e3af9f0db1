# SPDX-License-Identifier: MIT
"""A host that is ill, and the doctor in it.

    found = room.mend("bridge-up", "br0", severity="error")   # there, its remedy run, gone
"""

import json
import os

import pytest

import vmtap
from room import NOBODY, Room  # noqa: F401  (tests take NOBODY from here)

OK, WARNING, USAGE, ERROR = 0, 1, 2, 3
HELPER = "/opt/vmtap-bridge-helper"
QEMU_HELPER = "/usr/lib/qemu/qemu-bridge-helper"
LIST = "/etc/vmtap/bridge.conf"


class Patient(Room):
    """A room with the doctor in it."""

    def __init__(self, ns):
        super().__init__(ns)
        self.run("mkdir %s/vmtap" % self.folder)
        for name in "vmtap", "libvmtap.so.0":
            self.copy(os.path.join(vmtap.build(), name), "%s/bin/%s" % (self.folder, name))

    def copy(self, source, target, mode=0o755):
        self.run("mkdir -p %s && cp --no-preserve=all %s %s && chmod %o %s" % (
            os.path.dirname(target), source, target, mode, target))

    def ask(self, *args, user=None, wrap=(), **kw):
        """The doctor's findings and its exit status."""
        done = self.run([*wrap, self.bin + "/vmtap", "--json", "doctor", *args], user=user, check=False, **kw)
        assert not done.stderr, done.stderr
        found = json.loads(done.stdout)
        worst = max((["ok", "note", "warning", "error"].index(f["severity"]) for f in found), default=0)
        assert done.returncode == [OK, OK, WARNING, ERROR][worst]
        return found

    def faults(self, check, *args, **kw):
        """Findings of one check that are not "ok"."""
        return [f for f in self.ask(*args, **kw) if f["check"] == check and f["severity"] != "ok"]

    def fault(self, check, *args, severity=None, says="", **kw):
        """The one finding that a check has."""
        found = self.faults(check, *args, **kw)
        assert len(found) == 1, found
        assert severity in (None, found[0]["severity"]), found
        assert says in found[0]["what"], found
        return found[0]

    def mend(self, check, *args, by=None, **kw):
        """The fault is there; after its remedy it is not. Returns the finding."""
        found = self.fault(check, *args, **kw)
        assert found["remedy"]
        self.run(found["remedy"], **(by or {}))
        kw = {k: v for k, v in kw.items() if k not in ("severity", "says")}
        assert self.faults(check, *args, **kw) == []
        return found


@pytest.fixture
def room(ns):
    with Patient(ns) as made:
        yield made


def helper(room, path=HELPER, caps="cap_net_admin+ep"):
    """An installed bridge helper."""
    room.run("mkdir -p /opt; mountpoint -q /opt || mount -t tmpfs -o mode=755 none /opt")
    room.copy(os.path.join(vmtap.build(), "vmtap-bridge-helper"), path)
    if caps:
        room.run(["setcap", caps, path])
    return path


def bridge(room, uplink=True):
    """br0, up, with an uplink whose other end is up."""
    room.run("ip link add br0 type bridge && ip link set br0 up")
    if uplink:
        room.run("ip link add up0 type veth peer far0 && ip link set up0 master br0 up && ip link set far0 up")


def port(options=""):
    return "bridge,br=br0,helper=%s%s" % (HELPER, options)


@pytest.fixture
def healthy(room):
    bridge(room)
    helper(room)
    room.write(LIST, "allow br0\n")
    return room


def leak(room, names):
    """TAPs that a process made that has ended."""
    ns = os.stat("/proc/self/ns/pid").st_ino
    tag = "vmtap: user=root program=vmtap pid=%d start=1 ns=%d since=1795000000" % (2 ** 22 - 1, ns)
    room.write(room.folder + "/batch", "".join(
        "tuntap add %s mode tap\nlink set %s alias \"%s\"\n" % (n, n, tag) for n in names))
    room.run(["ip", "-batch", room.folder + "/batch"], timeout=600)
