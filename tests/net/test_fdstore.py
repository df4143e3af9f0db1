# SPDX-License-Identifier: MIT
"""vmtap serve and the service manager's store of descriptors: TAPs that outlive a restart, and what is refused."""

import contextlib
import fcntl
import os
import signal
import struct

import pytest

import tuntap
from manager import Manager
from netns import Netns, wait_until
from storelab import Lab
from tuntap import IFF_MULTI_QUEUE, IFF_NO_PI, IFF_TAP, IFF_VNET_HDR, Packets, frame
from vmtap import TOP
from vu import MODERN, MQ, MRG, Front

EVIL = os.path.join(TOP, "tests", "lib", "evil-helper.py")
TUNSETQUEUE, IFF_DETACH_QUEUE = 0x400454D9, 0x0400
QUEUE = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR


@pytest.fixture
def lab(ns, folder):
    with Manager(folder) as manager:
        yield Lab(ns, manager, folder)


# ------------------------------------------------------------------------- what is kept


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGKILL, signal.SIGABRT])
def test_the_interface_outlives_a_restart_and_frames_wait_in_it(ns, lab, sig):
    ns.run("ip link add br0 type bridge; ip link set br0 up")
    lab.write(lab.tap(more="br = br0\n"))
    with lab.start() as service:
        lab.wait_roles(("queue0", "vm0"))
        before = lab.link()
        assert before[2] == "br0" and before[3]
        service.stop(sig)
    with lab.guest() as guest:
        assert lab.link() == before  # nobody runs
        with Packets(ns, "vm0") as kernel:
            for n in range(20):
                kernel.send(frame(n))
        with lab.start() as service:
            assert [guest.receive(kind=tuntap.ETH_TEST) for _ in range(20)] == [frame(n) for n in range(20)]
            assert "went on with vm0" in service.output() and "warning" not in service.output()
            assert lab.link() == before


def test_it_can_be_restarted_many_times(lab):
    index = None
    for n in range(5):
        with lab.start() as service:
            index = index or lab.link()[0]
            lab.moves(2 * n)
            assert lab.link()[0] == index
            service.stop(signal.SIGKILL if n % 2 else signal.SIGTERM)
        assert lab.roles() == [("queue0", "vm0")]


@pytest.mark.parametrize("says", [{"FDSTORE": "0"}, {"FDSTORE": ""}, {"NOTIFY_SOCKET": ""}])
def test_without_a_store_nothing_is_left(lab, says):
    with lab.start(env=says, ready="NOTIFY_SOCKET" not in says):
        wait_until(lambda: os.path.exists(lab.vmtap_path) and os.path.exists(lab.control))
        with lab.client() as ctl:
            ctl.wait_port("vm0", lambda row: row["state"] == "up")
    assert lab.stored(all_of=True) == [] and lab.link() is None
    assert not os.path.exists(lab.vmtap_path)


def test_other_limits_leave_it_the_same_interface(lab):
    with lab.start() as service:
        lab.wait_roles(("queue0", "vm0"))
        before = lab.link()
        lab.write(lab.tap(more="rate = 1G\n"))
        with lab.client() as ctl:
            assert ctl.run("reload")["changed"] == 1
        service.stop(signal.SIGKILL)
    for more in "rate = 1G\n", "rx-pps = 1M\nip-filter = 10.0.0.0/8+fe80::/10\n":
        lab.write(lab.tap(more=more))  # the second time, while nobody runs
        with lab.start() as service:
            assert lab.link() == before
            service.stop(signal.SIGTERM)
    lab.write(lab.tap(more="mtu = 1400\n"))
    with lab.start():
        assert lab.link() != before


def test_all_queues_are_kept_also_those_that_the_guest_did_not_use(ns, lab):
    lab.write(lab.tap(more="queues = 4\n"), "[port guest]\ntype = vhost-user\nqueues = 4\nserver = on\n"
              "path = %s\n[link one]\nports = vm0 guest\n" % lab.guest_path, guest=None)

    def queues():
        info = ns.links()["vm0"]["linkinfo"]["info_data"]
        return info["numqueues"], info.get("numdisabled", 0)

    with lab.start() as service:
        lab.wait_roles(("listener", "guest"), *(("queue%d" % i, "vm0") for i in range(4)))
        before = lab.link()
        with Front(ns, want=MODERN | MRG | MQ, pairs=2, ring_size=64, need_reply=1) as vm:
            vm.up(lab.guest_path)
            wait_until(lambda: queues() == (2, 2))
            service.stop(signal.SIGKILL)
            assert lab.link()[0] == before[0] and queues() == (2, 2)
    with lab.start() as service:
        assert "went on with vm0, 4 queues" in service.output() and "warning" not in service.output()
        assert lab.link()[0] == before[0] and queues() == (4, 0)  # there is no guest that uses fewer


def test_a_helper_is_not_run_again(ns, lab):
    lab.write("[port vm0]\ntype = tap\nhelper = %s good\n" % EVIL)
    with lab.start() as service:
        lab.wait_roles(("queue0", "vm0"))
        before = lab.link("evil0")
        service.stop(signal.SIGKILL)
    with lab.start():
        assert lab.link("evil0") == before and "evil1" not in ns.links()


def test_a_script_runs_once_for_an_interface(ns, lab):
    """After a crash it has run; after an orderly end the down script has, and it runs again."""
    said = os.path.join(lab.folder, "said")
    for name in "up", "down":
        path = os.path.join(lab.folder, name)
        with open(path, "w", encoding="utf-8") as f:
            f.write("#!/bin/sh\necho %s >> %s\n" % (name, said))
        os.chmod(path, 0o755)
    lab.write(lab.tap(scripts="script = %s/up\ndownscript = %s/down\n" % (lab.folder, lab.folder)))

    def lines():
        with open(said, encoding="utf-8") as f:
            return f.read().split()

    with lab.start() as service:
        index = lab.link()[0]
        service.stop(signal.SIGKILL)
    with lab.start() as service:
        assert lab.link()[0] == index and lines() == ["up"]
        service.stop()
    assert lines() == ["up", "down"] and lab.roles() == [("bare0", "vm0")]
    with lab.start() as service:
        assert lab.link()[0] == index and lines() == ["up", "down", "up"]
        lab.wait_roles(("queue0", "vm0"))
        service.stop(signal.SIGKILL)
    assert lines() == ["up", "down", "up"]
    lab.write(lab.tap(), guest=None)
    with lab.start():
        pass


def test_a_carrier_that_was_off_is_on_again(ns, lab):
    with lab.start() as service, lab.client() as ctl:
        ctl.run("set_link", name="vm0", up=False)
        assert not lab.link()[3]
        service.stop(signal.SIGKILL)
    with lab.start():
        assert lab.link()[3]
        lab.moves(1)


def test_an_interface_that_is_deleted_and_comes_back_is_stored_anew(ns, lab):
    lab.write(lab.tap(more="reconnect-ms = 10\n"))
    with lab.start() as service:
        lab.wait_roles(("queue0", "vm0"))
        ns.run("ip link del vm0")
        lab.wait_roles()
        ns.run("ip tuntap add vm0 mode tap; ip link set vm0 up")
        lab.wait_roles(("queue0", "vm0"))
        index = lab.link()[0]
        service.stop(signal.SIGKILL)
    ns.run("ip tuntap del vm0 mode tap", check=False)
    with lab.start() as service:
        assert lab.link()[0] == index
        lab.moves(1)


# --------------------------------------------------------------------- what is not kept


def test_a_port_that_is_deleted_takes_its_interface_along(ns, lab):
    with lab.start(), lab.client() as ctl:
        lab.wait_roles(("queue0", "vm0"))
        for _ in range(3):  # at once: nobody else has it open then
            ctl.run("port_del", id="vm0")
            assert "vm0" not in ns.links()
            ctl.run("reload")
            assert "vm0" in ns.links()
        lab.wait_roles(("queue0", "vm0"))


def test_a_broken_port_is_not_kept(ns, lab):
    with lab.start():
        lab.wait_roles(("queue0", "vm0"))
        ns.run("ip link del vm0")
        lab.wait_roles()


def test_a_reload_that_changes_the_port_stores_it_anew(ns, lab):
    with lab.start() as service, lab.client() as ctl:
        before = lab.stored()
        lab.write(lab.tap(more="mtu = 1400\n"))
        ctl.run("reload")
        wait_until(lambda: lab.stored() and lab.stored() != before)
        index = lab.link()[0]
        service.stop(signal.SIGKILL)
    with lab.start():
        assert lab.link()[0] == index


@pytest.mark.parametrize("name, more", [("vm0", "mtu = 1400\n"), ("other", ""), ("vm0", "queues = 2\n")])
def test_what_the_file_describes_differently_now_is_opened_anew(ns, lab, name, more):
    with lab.start() as service:
        before = lab.link()
        service.stop(signal.SIGKILL)
    lab.write(lab.tap(name, more), guest=name)
    with lab.start() as service:
        assert lab.link()[0] != before[0]
        assert "belongs to no port of the file" in service.output()
        assert {port for _, port in lab.roles()} == {name}
        lab.moves(1)


def test_what_is_in_the_file_no_more_goes(ns, lab):
    with lab.start() as service:
        service.stop(signal.SIGKILL)
    lab.write(guest=None)
    with lab.start():
        lab.wait_roles()
        wait_until(lambda: "vm0" not in ns.links())


def test_ports_of_the_control_socket_are_not_stored(ns, lab):
    lab.write(guest=None)
    with lab.start(), lab.client() as ctl:
        ctl.run("port_add", type="tap", id="vm1", ifname="vm1", script="no", downscript="no")
        lab.manager.wait("STATUS=1 port")
        assert lab.stored() == []


def test_a_port_that_fails_to_open_lets_go(ns, lab):
    ns.run("ip link add br0 type bridge")
    lab.write(lab.tap(more="br = br0\n"))
    with lab.start() as service:
        service.stop(signal.SIGKILL)
    ns.run("ip link del br0")
    with lab.start() as service, lab.client() as ctl:
        assert "there is no interface br0" in service.output()
        lab.wait_roles()
        assert "vm0" not in ns.links()
        ns.run("ip link add br0 type bridge")
        ctl.run("reload")
        lab.wait_roles(("queue0", "vm0"))


# ------------------------------------------------------------- what a store may do wrong


def refused(lab, *says, moves=True):
    """The next start warns, and has an interface of its own."""
    with lab.start() as service:
        text = service.output()
        for say in says:
            assert say in text, text
        assert "warning" in text
        names = lab.stored()
        assert names and all(len(lab.manager.store[name]) == 1 for name in names)
        if moves:
            lab.moves(1)
    os.unlink(service.log)


@pytest.mark.parametrize("make", [
    lambda: os.pipe()[0], lambda: os.open("/dev/net/tun", os.O_RDWR), lambda: os.open("/dev/null", os.O_RDWR),
    lambda: os.open("/etc/passwd", os.O_RDONLY), lambda: os.memfd_create("x")],
    ids=["pipe", "unattached", "null", "file", "memfd"])
def test_what_is_no_tap_is_refused(lab, make):
    lab.crash()
    lab.replace(0, make())
    refused(lab, "it is no TAP" if "tun" not in str(make.__code__.co_consts) else "attached to no device")


@pytest.mark.parametrize("name, flags, says", [
    ("vm9", QUEUE, "another interface"),
    ("vm0", IFF_TAP | IFF_NO_PI, "no virtio-net header"),
    ("vm0", IFF_TAP | IFF_VNET_HDR, "packet-information prefix"),
    ("vm9", QUEUE | IFF_MULTI_QUEUE, "another kind of queues"),
])
def test_another_tap_is_refused(ns, lab, name, flags, says):
    lab.crash()
    lab.replace(0)
    wait_until(lambda: "vm0" not in ns.links())  # whoever had the last descriptor may still be closing it
    lab.replace(0, tuntap.open_tap(ns, name, flags))
    refused(lab, says)


def test_a_tap_of_another_network_namespace_is_refused_and_not_touched(lab):
    lab.crash()
    with Netns() as other:
        mine = tuntap.open_tap(other, "vm0", QUEUE)
        other.run("ip link set vm0 up")
        lab.replace(0, os.dup(mine))
        refused(lab, "another network namespace")
        assert tuntap.flags(mine)[1] == "vm0" and "vm0" in other.links()
        os.close(mine)


def test_queues_that_are_missing_or_there_twice_are_refused(lab):
    lab.write(lab.tap(more="queues = 3\n"))
    lab.crash()
    lab.replace(1)
    refused(lab, "some of the queues are missing")
    lab.write(lab.tap(more="queues = 3\n"))
    lab.crash()
    lab.replace(1, os.dup(lab.manager.store[lab.stored()[0]][0]))
    refused(lab, "one of the queues is there twice")


def test_a_detached_queue_of_another_interface_is_refused(ns, lab):
    lab.write(lab.tap(more="queues = 2\n"))
    lab.crash()
    mine = tuntap.open_tap(ns, "vm9", QUEUE | IFF_MULTI_QUEUE)
    theirs = tuntap.open_tap(ns, "vm9", QUEUE | IFF_MULTI_QUEUE)
    fcntl.ioctl(theirs, TUNSETQUEUE, struct.pack("16sH22x", b"", IFF_DETACH_QUEUE))
    lab.replace(1, theirs)
    refused(lab, "belongs to vm9")
    assert ns.links()["vm9"]["linkinfo"]["info_data"]["numqueues"] == 1
    os.close(mine)


def test_a_device_that_is_gone_is_opened_anew(ns, lab):
    lab.crash()
    ns.run("ip link del vm0")
    refused(lab, "attached to no device")


def test_names_that_nobody_uses_are_removed(lab):
    lab.crash()
    spare = lab.stored()[0].replace("queue0", "queue7")
    for name in "vmtap/", "vmtap/queue0", "vmtap//x/vm0", spare, "stored", "vmtap/queue0/0/vm0":
        lab.manager.store[name] = [os.open("/dev/null", os.O_RDWR)]
    with lab.start() as service:
        lab.wait_roles(("queue0", "vm0"))
        assert "was not used" in service.output() and "has no use here" in service.output()
        lab.moves(1)


def test_a_name_with_several_descriptors_is_refused(lab):
    lab.crash()
    lab.manager.store[lab.stored()[0]].append(os.open("/dev/null", os.O_RDWR))
    refused(lab, "is there more than once")


def test_a_name_cannot_say_anything_to_the_manager(lab):
    lab.crash()
    with contextlib.ExitStack() as stack:
        null = os.open("/dev/null", os.O_RDWR)
        stack.callback(os.close, null)
        with lab.start(passed=[("vmtap/x\nSTATUS=evil", null), ("y\nSTATUS=evil", null)]):
            lab.moves(1)
            assert not [line for line in lab.manager.said if "evil" in line]


def test_a_manager_that_does_not_answer_is_not_waited_for_again(ns, lab):
    lab.write(lab.tap(), "[port vm1]\ntype = tap\nifname = vm1\nscript = no\ndownscript = no\n")
    with lab.start() as service, lab.client() as ctl:
        lab.manager.deaf = True
        ctl.run("port_del", id="vm0")
        ctl.run("port_del", id="vm1")
        assert service.output().count("does not answer") == 1
        lab.manager.deaf = False
