# SPDX-License-Identifier: MIT
"""vhost-net really gone: its module unloaded, its node without it, and both come again."""

import json
import os
import subprocess

import pytest

import vmtap
import vu
from netns import Failed, wait_until
from test_vhost_behind import CARRIES, VHOST, WANT, up
from vmtap import Vmtap
from vu import MODERN, MRG
from vulab import Lab, front

UNLOADS = True  # see conftest.py
NODE = "/dev/vhost-net"
MODPROBE = "/proc/sys/kernel/modprobe"


def loaded():
    with open("/proc/modules") as f:
        return any(line.startswith("vhost_net ") for line in f)


def unload():
    """Until the last descriptor of a process that has just ended is closed. (modprobe -r would take tun along.)"""
    wait_until(lambda: subprocess.run(["rmmod", "vhost_net"], stderr=subprocess.DEVNULL).returncode == 0)
    assert not loaded() and not os.path.exists(NODE)


@pytest.fixture(scope="module", autouse=True)
def in_a_guest():
    if not os.environ.get("VMTAP_IN_GUEST"):
        pytest.skip("a host's modules are not unloaded; scripts/test-in-guest.sh is the place")


@pytest.fixture
def gone():
    unload()
    yield
    if not os.path.exists(NODE):
        subprocess.run(["modprobe", "vhost_net"], check=True)
    wait_until(lambda: os.path.exists(NODE))


@pytest.fixture
def node(gone):
    """What udev makes before the module is there: opening it loads it."""
    os.mknod(NODE, 0o600 | 0o020000, os.makedev(10, 238))
    yield
    os.unlink(NODE)  # the module's own comes with it
    if loaded():
        unload()


def test_without_the_module_vmtap_carries_the_frames(ns, folder, gone):
    with Lab(ns, folder, tap=",vhost=on") as lab, front(lab, want=MODERN | MRG | vu.PACKED) as vm:
        assert vm.features & vu.PACKED  # everything is offered
        lab.exchange(vm, 200)
        assert "it does not exist" in lab.log() and "modprobe vhost_net" in lab.log()
        assert "vmtap carries the frames itself" in lab.log() and not loaded()


def test_what_the_error_says_helps(ns, folder, gone):
    peer = "vhost-user,server=on,path=%s/s" % folder
    with pytest.raises(Failed, match="it does not exist; load the module: modprobe vhost_net"):
        Vmtap(ns, ["tap,ifname=v0" + VHOST, peer], folder, name="without")
    subprocess.run(["modprobe", "vhost_net"], check=True)
    with Vmtap(ns, ["tap,ifname=v0" + VHOST, peer], folder) as v:
        assert "warning" not in v.output()


def test_what_the_doctor_says_helps(ns, gone):
    def look():
        found = json.loads(vmtap.run(ns, "--json", "doctor", "tap,vhost=on").stdout)
        return [f for f in found if f["check"] == "vhost-net" and f["severity"] != "ok"]
    fault, = look()
    assert fault["severity"] == "warning" and fault["what"] == "the kernel's driver vhost_net is not loaded"
    subprocess.run(fault["remedy"], shell=True, check=True)
    assert loaded() and look() == []


def test_opening_the_node_loads_the_module(ns, folder, node):
    with Lab(ns, folder, tap=VHOST, args=["-v"]) as lab, front(lab, want=WANT) as vm:
        up(lab, vm)
        assert loaded()


def test_a_node_without_a_module_is_a_warning_or_an_error(ns, folder, node):
    """As with a kernel that was updated and not booted: its modules are not there any more."""
    with open(MODPROBE) as f:
        usual = f.read()
    try:
        with open(MODPROBE, "w") as f:
            f.write("/bin/false")
        done = vmtap.run(ns, "check", "tap,ifname=v0" + VHOST)
        assert done.returncode and "this kernel has no vhost-net behind it" in done.stderr, done.stderr
        with Lab(ns, folder, tap=",vhost=on") as lab, front(lab, want=WANT) as vm:
            lab.exchange(vm, 100)
            assert "no vhost-net behind it" in lab.log() and CARRIES not in lab.log()
    finally:
        with open(MODPROBE, "w") as f:
            f.write(usual)
    assert not loaded()


def test_what_is_in_use_is_not_unloaded(ns, folder):
    ns.sysctl("net.ipv6.conf.default.disable_ipv6", 1)
    with Lab(ns, folder, tap=VHOST, args=["-v"]) as lab, front(lab, want=WANT) as vm:
        up(lab, vm)
        done = subprocess.run(["rmmod", "vhost_net"], stderr=subprocess.PIPE, text=True)
        assert done.returncode and "in use" in done.stderr
        lab.exchange(vm, 200)
