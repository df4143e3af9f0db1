# SPDX-License-Identifier: MIT
"""What the interface is set to: br=, mac=, mtu=, up=, owner=, group=."""

import os

import pytest

import sandbox
import vmtap
from peers import StreamPeer
from tuntap import Packets, frame
from vmtap import Vmtap

USAGE, RESOURCE = 2, 3
NO = ",script=no,downscript=no"


def start(ns, folder, options="", **kw):
    return Vmtap(ns, ["tap,ifname=vm0" + NO + options, "null"], folder, **kw)


@pytest.fixture
def br0(ns):
    ns.run("ip link add br0 type bridge && ip link set br0 address 02:00:00:00:00:aa mtu 1400 up")


def test_it_joins_the_bridge_and_takes_its_mtu(ns, folder, br0):
    with start(ns, folder, ",br=br0"):
        link = ns.links()["vm0"]
        assert (link["master"], link["mtu"]) == ("br0", 1400) and "UP" in link["flags"]
        assert link["address"].startswith("fe:")  # the highest: it never becomes the bridge's
        assert ns.links()["br0"]["address"] == "02:00:00:00:00:aa"
        assert ns.links()["br0"]["mtu"] == 1400


def test_the_bridges_address_stays_when_a_tap_joins(ns, folder):
    """Without an address of its own it has the lowest of its ports'."""
    ns.run("ip link add br0 type bridge && ip link add v0 type veth peer v1 && "
           "ip link set v0 address 02:00:00:00:00:01 master br0 && ip link set br0 up")
    before = ns.links()["br0"]["address"]
    with start(ns, folder, ",br=br0"):
        assert ns.links()["br0"]["address"] == before == "02:00:00:00:00:01"


def test_frames_cross_the_bridge(ns, folder, br0):
    path = folder + "/s"
    ns.run("ip link add v0 type veth peer v1 && ip link set v0 master br0 up && ip link set v1 up")
    with Vmtap(ns, ["tap,ifname=vm0,br=br0", "stream,server=on,path=" + path], folder), \
            StreamPeer(path) as vm, Packets(ns, "v1") as far:
        vm.send(frame(1))
        assert far.receive() == frame(1)
        far.send(frame(2))
        assert vm.receive(kind=0x88B5) == frame(2)


def test_options_win_over_the_bridge(ns, folder, br0):
    with start(ns, folder, ",br=br0,mtu=1300,mac=02:00:00:00:00:05"):
        link = ns.links()["vm0"]
        assert (link["mtu"], link["address"]) == (1300, "02:00:00:00:00:05")


def test_no_script_of_the_system_runs_beside_a_bridge(ns, folder, br0):
    """It would put the TAP on a bridge of its own choice."""
    etc = folder + "/etc"
    os.mkdir(etc)
    with open(etc + "/qemu-ifup", "w") as f:
        f.write("#!/bin/sh\ntouch %s/ran\n" % folder)
    os.chmod(etc + "/qemu-ifup", 0o755)
    with Vmtap(ns, ["tap,ifname=vm0,br=br0", "null"], folder, wrap=sandbox.etc(etc)):
        assert not os.path.exists(folder + "/ran")


def test_a_device_that_is_there_keeps_its_address(ns, folder, br0):
    ns.run("ip tuntap add vm0 mode tap && ip link set vm0 address 02:00:00:00:00:33")
    with start(ns, folder, ",br=br0"):
        link = ns.links()["vm0"]
        assert (link["address"], link["master"]) == ("02:00:00:00:00:33", "br0")
        assert "UP" in link["flags"]


@pytest.mark.parametrize("command", ["connect", "check"])
@pytest.mark.parametrize("make, br, code, says", [
    (None, "nosuch", RESOURCE, "there is no interface nosuch"),
    (None, "lo", USAGE, "lo is no bridge"),
    (None, "a/b", USAGE, "no '/'"),
    (None, "", USAGE, "empty"),
])
def test_a_wrong_bridge_is_explained(ns, make, br, code, says, command):
    done = vmtap.run(ns, command, "tap,ifname=vm0,br=" + br,
                     *(["null"] if command == "connect" else []))
    assert done.returncode == code and says in done.stderr, done
    assert list(ns.links()) == ["lo"]


@pytest.mark.parametrize("options, up", [("", True), (",up=on", True), (",up=off", False)])
def test_a_new_device_is_up_unless_asked_otherwise(ns, folder, options, up):
    with start(ns, folder, options):
        assert ("UP" in ns.links()["vm0"]["flags"]) is up


@pytest.mark.parametrize("was", ["up", "down"])
@pytest.mark.parametrize("options, expected", [("", None), (",up=on", True), (",up=off", False)])
def test_a_device_that_is_there_stays_as_it_is_unless_asked_otherwise(ns, folder, options, expected,
                                                                      was):
    ns.run("ip tuntap add vm0 mode tap && ip link set vm0 " + was)
    with start(ns, folder, options) as v:
        up = "UP" in ns.links()["vm0"]["flags"]
        assert up is (was == "up" if expected is None else expected)
        assert ("ip link set vm0 up" in v.output()) is (was == "down" and expected is None)


@pytest.mark.parametrize("mtu", [68, 1500, 9000, 65521])
def test_mtus(ns, folder, mtu):
    with start(ns, folder, ",mtu=%d" % mtu):
        assert ns.links()["vm0"]["mtu"] == mtu


def test_owner_and_group_by_name_and_number(ns, folder):
    for n, (options, user, group) in enumerate([(",owner=nobody,group=nogroup", "nobody", "nogroup"),
                                                (",owner=4711", "4711", None),
                                                (",group=0", None, "root")]):
        with start(ns, folder, options, name="v%d" % n):
            data = ns.links()["vm0"]["linkinfo"]["info_data"]
            assert str(data.get("user", None)) == str(user)
            assert str(data.get("group", None)) == str(group)


def test_what_root_makes_persistent_a_user_may_use(ns, folder, public_program, monkeypatch):
    with start(ns, folder, ",persist=on,owner=65534"):
        pass
    monkeypatch.setenv("VMTAP", public_program)
    with Vmtap(ns, ["tap,ifname=vm0" + NO, "null"], folder, name="user",
               wrap=[*sandbox.device(0o666), *sandbox.user()]) as v:
        pass
    assert v.status == 0


@pytest.mark.parametrize("options, says", [
    (",mtu=1400", "set the MTU"), (",mac=02:00:00:00:00:05", "set the address"),
    (",up=off", "set the interface down"), (",br=br0", "join the bridge"),
])
def test_what_a_user_may_not_change_is_explained(ns, folder, public_program, br0, options, says):
    ns.run("ip tuntap add vm0 mode tap user 65534 && ip link set vm0 up mtu 1400")
    done = ns.run([*sandbox.device(0o666), *sandbox.user(), public_program, "connect",
                   "tap,ifname=vm0" + NO + options, "null"], check=False, cwd="/")
    assert done.returncode == RESOURCE
    assert "cannot %s: Operation not permitted" % says in done.stderr
    assert "CAP_NET_ADMIN" in done.stderr
