# SPDX-License-Identifier: MIT
"""The configuration file read again: what a mistake, a broken port, and what the control socket joined come to."""

import pytest

import vmtap
from ctl import Refused
from test_conffile import device, file, link, rows, serve  # noqa: F401  (file: the fixture)

NULL = "[port %s]\ntype = null\n"
MACVTAP = "[port m]\ntype = macvtap\nparent = %s\n"


def switch(ports, more=""):
    return "[switch lan]\nports = %s\n%s" % (ports, more)


@pytest.mark.parametrize("key", ["rate = 5", "burst = 5", "pps = 5", "mac-filter = 02:00:00:00:00:01"])
def test_a_port_s_key_at_a_switch_is_refused_until_it_is_gone(ns, folder, file, key):
    right = NULL % "a", switch("a")
    file.write(*right)
    with serve(ns, folder, file) as server, server.client() as ctl:
        file.write(NULL % "a", switch("a", key + "\n"))
        for _ in range(2):
            with pytest.raises(Refused, match="vmtap.conf:6: .*a key of ports"):
                ctl.run("reload")
        file.write(*right)
        assert ctl.run("reload") == {"kept": 2, "changed": 0, "opened": 0, "closed": 0}


def nothing_changed(ctl):
    """No port or switch was closed, opened, parted or joined since the last call."""
    ctl.run("query-ports")
    told, ctl.events = [e["event"] for e in ctl.events], []
    assert not [name for name in told if name.startswith(("PORT_", "SWITCH_"))], told


@pytest.mark.parametrize("key", ["max-macs = x", "hub = on\nsnooping = on", "sise = 5", "rate = 5"])
def test_a_wrong_switch_is_found_before_anything_changes(ns, folder, file, key):
    right = file.tap("vm0"), NULL % "a", NULL % "b"
    file.write(*right, switch("vm0 a"))
    with serve(ns, folder, file) as server, server.client() as ctl:
        # A port that changes, one that goes, and the switch itself: all are left alone.
        for wrong in ((file.tap("vm0", "mtu = 1400\n"), NULL % "a", switch("vm0 a", key + "\n")),
                      (*right, switch("vm0 a"), "[switch other]\n%s\n" % key)):
            file.write(*wrong)
            with pytest.raises(Refused, match="vmtap.conf:.*switch "):
                ctl.run("reload")
            nothing_changed(ctl)
    done = vmtap.run(ns, "-c", file.path, "--control", folder + "/x", "serve")
    assert done.returncode == 2 and "vmtap.conf:" in done.stderr, done.stderr


@pytest.mark.parametrize("key", ["vlan = 10", "trunk = 10+20", "isolated = on", "mcast-flood = yes"])
def test_a_link_has_no_place_for_keys_of_a_switch_s_port(ns, folder, file, key):
    file.write(NULL % "a", NULL % "b", link("a", "b"))
    with serve(ns, folder, file) as server, server.client() as ctl:
        file.write(NULL % "a", (NULL % "b") + key + "\n", link("a", "b"))
        with pytest.raises(Refused, match="vmtap.conf:6: "):
            ctl.run("reload")
        nothing_changed(ctl)
    for command in "check", "serve":
        done = vmtap.run(ns, "-c", file.path, "--control", folder + "/x", command)
        assert done.returncode == 2 and "vmtap.conf:6" in done.stderr, done.stderr


def joins(ctl):
    return {frozenset(pair) for pair in rows(ctl) if pair[1]}


def test_what_the_control_socket_joined_is_joined_again(ns, folder, file):
    """When the other end, which is the file's, was closed and opened anew."""
    file.write(NULL % "a", NULL % "b", switch("b"))
    want = {frozenset(pair) for pair in [("a", "mine"), ("b", "lan"), ("guest", "lan"), ("x", "y")]}
    with serve(ns, folder, file) as server, server.client() as ctl:
        for name, peer in ("mine", "a"), ("guest", "lan"), ("x", None), ("y", "x"):
            ctl.run("port_add", type="null", id=name)
            if peer:
                ctl.run("connect", id=name, peer=peer)
        assert joins(ctl) == want
        file.write((NULL % "a") + "size = 70\n", NULL % "b", switch("b", "max-macs = 64\n"))
        assert ctl.run("reload") == {"kept": 1, "changed": 0, "opened": 2, "closed": 2}
        assert joins(ctl) == want
        # The same when what was in force is put in place again.
        two = "[port %s]\ntype = stream\nserver = on\npath = " + folder + "/same\n"
        file.write(NULL % "a", NULL % "b", switch("b"), two % "v", two % "w")
        with pytest.raises(Refused):
            ctl.run("reload")
        assert "is again" in server.output() and joins(ctl) == want
        # The file does not take a port from what it was joined to, and what has no other end is told of.
        file.write(NULL % "a", NULL % "b", link("a", "b"))
        with pytest.raises(Refused, match='was joined to "mine"'):
            ctl.run("reload")
        assert joins(ctl) == want
        file.write(NULL % "b")
        ctl.run("reload")
        assert joins(ctl) == {frozenset("xy")}
        for name, peer in ("guest", "lan"), ("mine", "a"):
            assert "%s: it is joined to nothing now: %s is gone" % (name, peer) in server.output()


def test_what_is_joined_to_a_broken_port_is_joined_again(ns, folder, file):
    file.write(file.tap("vm0"))
    with serve(ns, folder, file) as server, server.client() as ctl:
        ctl.run("port_add", type="null", id="mine")
        ctl.run("connect", id="mine", peer="vm0")
        ns.run("ip link del vm0")
        ctl.wait_port("vm0", lambda row: row["state"] == "broken")
        ctl.run("reload")
        assert joins(ctl) == {frozenset(("mine", "vm0"))} and device(ns, "vm0")


@pytest.mark.parametrize("was, now", [("", "queues = 2\n"), ("queues = 2\n", "")])
def test_a_device_of_the_port_itself_is_not_in_its_way(ns, folder, file, was, now):
    same = NULL % "a", link("a", "vm0")
    file.write(file.tap("vm0", was), *same)
    with serve(ns, folder, file) as server, server.client() as ctl:
        file.write(file.tap("vm0", now), *same)
        assert ctl.run("reload") == {"kept": 1, "changed": 0, "opened": 1, "closed": 1}
        assert joins(ctl) == {frozenset(("a", "vm0"))}
        assert ctl.run("reload")["kept"] == 2


@pytest.mark.parametrize("make, keys, says", [
    ("ip link set lo up", "br = lo\n", "lo is no bridge"),
    ("ip tuntap add vm0 mode tap multi_queue", "", "multi-queue device and queues=1"),
    ("ip tuntap add vm0 mode tap", "queues = 2\n", "single-queue device"),
    ("ip link add vm0 type veth peer name v0", "", "is no TAP"),
    ("ip link set lo up", MACVTAP % "lo", "is the loopback interface"),
    ("ip link add v0 mtu 1400 type veth peer name v1", (MACVTAP % "v0") + "mtu = 1500\n", "mtu=1500 is more"),
])
def test_an_interface_of_the_wrong_kind_keeps_no_other_port_away(ns, folder, file, make, keys, says):
    """It is the host's, and not wrong in the file."""
    ns.run(make)
    file.write(NULL % "a", file.tap("vm0", keys))
    done = vmtap.run(ns, "-c", file.path, "check")
    assert done.returncode == 2 and says in done.stderr, done.stderr
    with serve(ns, folder, file) as server, server.client() as ctl:
        assert ("a", None) in rows(ctl)
        assert says in server.output() and "it is missing now" in server.output()
        with pytest.raises(Refused, match=says):
            ctl.run("reload")
        nothing_changed(ctl)


def test_what_a_port_lacks_is_found_before_another_is_closed(ns, folder, file):
    """Also of a port that broke, which keeps its reason."""
    ns.run("ip link add br0 type bridge")
    vm0, changed = file.tap("vm0", "br = br0\n"), (NULL % "b") + "size = 70\n"
    file.write(vm0, NULL % "b", link("vm0", "b"))
    with serve(ns, folder, file) as server, server.client() as ctl:
        for wrong in file.tap("vm1", "br = br9\n"), "[port s]\ntype = stream\nserver = on\npath = /nonexistent/s\n":
            file.write(vm0, changed, wrong, link("vm0", "b"))
            with pytest.raises(Refused, match="br9|nonexistent"):
                ctl.run("reload")
            nothing_changed(ctl)
        ns.run("ip link del br0 && ip link del vm0")
        broken = ctl.wait_port("vm0", lambda row: row["state"] == "broken")
        ctl.wait_event("PORT_BROKEN", id="vm0")
        file.write(vm0, changed, link("vm0", "b"))
        with pytest.raises(Refused, match="no interface br0"):
            ctl.run("reload")
        nothing_changed(ctl)
        assert ctl.run("query-ports", id="vm0") == [broken]
        ns.run("ip link add br0 type bridge")
        assert ctl.run("reload") == {"kept": 0, "changed": 0, "opened": 2, "closed": 2}
        assert joins(ctl) == {frozenset(("vm0", "b"))} and device(ns, "vm0")["master"] == "br0"
