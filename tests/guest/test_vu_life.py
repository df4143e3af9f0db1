# SPDX-License-Identifier: MIT
"""What goes and comes back under a guest that is served over vhost-user, in full traffic: vmtap
killed and started again, a TAP deleted and made again, rings stopped and started, QEMU killed.

The guest has a NIC for each way of it; all share one vmtap each:
    1  split rings, vmtap listens
    2  split rings, QEMU listens
    3  split rings, two queue pairs
    4  packed rings
"""

import os
import re

import pytest

from flow import Flow
from guest import Guest
from netns import Netns, wait_until
from vulink import TWO_CPUS, Link, memory

SPLIT, CONNECTS, MQ, PACKED = 1, 2, 3, 4


class Lab:
    def __init__(self, folder):
        self.folder = folder
        self.ns = Netns()
        self.guests = []
        try:
            taps = ",persist=on,reconnect-ms=50"
            self.links = {
                SPLIT: Link(SPLIT, self.ns, folder, tap=taps, bridge=True),
                CONNECTS: Link(CONNECTS, self.ns, folder, tap=taps, bridge=True, listens=True),
                MQ: Link(MQ, self.ns, folder, tap=taps, bridge=True, queues=2),
                PACKED: Link(PACKED, self.ns, folder, tap=taps, bridge=True, device=",packed=on"),
            }
            for link in self.links.values():
                link.start()
        except BaseException:
            self.ns.cleanup()
            raise

    def boot(self):
        nics = [link.nic for link in self.links.values()]
        self.guests.append(Guest(self.ns, nics, self.folder, "guest%d" % len(self.guests),
                                 reboots=True, qemu=memory() + TWO_CPUS))
        self.configure()

    @property
    def guest(self):
        return self.guests[-1]

    def configure(self):
        for link in self.links.values():
            link.configure(self.guest)

    def flow(self, link):
        return Flow(self.ns, link.host[4], self.guest)

    def all_answer(self):
        for link in self.links.values():
            wait_until(link.answers, what="ping over link %d" % link.number)
            assert link.vmtap.proc.poll() is None, link.vmtap.output()

    def carrier(self, link):
        return self.guest.ok("cat /sys/class/net/%s/carrier" % link.eth).strip() == "1"

    def wait_carrier(self, link, up):
        wait_until(lambda: self.carrier(link) == up, what="carrier %s" % up)

    def close(self):
        for guest in self.guests:
            guest.kill()
        for link in self.links.values():
            if self.ns.links().get(link.tap):
                self.ns.run("ip link del " + link.tap)
        self.ns.cleanup()

    def logs(self):
        for guest in self.guests:
            yield from guest.logs()
        for link in self.links.values():
            yield from link.logs()


@pytest.fixture(scope="module")
def lab(image, folder):
    lab = Lab(folder)
    try:
        lab.boot()
        yield lab
    finally:
        lab.close()


def each(*numbers):
    names = {SPLIT: "split", CONNECTS: "vmtap-connects", MQ: "two-queue-pairs", PACKED: "packed"}
    return pytest.mark.parametrize("number", numbers, ids=names.get)


def test_all_links_carry_everything(lab):
    assert "packed" in lab.links[PACKED].features()
    for link in lab.links.values():
        link.check()


@each(SPLIT, CONNECTS, MQ)
def test_transfers_survive_a_vmtap_that_is_killed(lab, number):
    link = lab.links[number]
    flow = lab.flow(link)
    for wait in False, True:
        link.kill()
        if wait:  # until the guest has seen it
            lab.wait_carrier(link, False)
        link.start()
        flow.goes_on()
    lab.wait_carrier(link, True)
    flow.stop(lab.guest)
    link.check()


@each(SPLIT, CONNECTS, MQ, PACKED)
def test_transfers_survive_a_tap_that_is_deleted_and_made_again(lab, number):
    link = lab.links[number]
    flow = lab.flow(link)
    lab.ns.run("ip link del " + link.tap)
    wait_until(lambda: "vanished" in link.vmtap.output() or "is gone" in link.vmtap.output())
    lab.ns.run("ip tuntap add %s mode tap %s && ip link set %s master %s up" % (
        link.tap, "multi_queue" if link.queues > 1 else "", link.tap, link.bridge))
    flow.goes_on()
    flow.stop(lab.guest)
    assert link.vmtap.proc.poll() is None


@each(SPLIT, MQ, PACKED)
def test_transfers_survive_a_vm_that_is_stopped_and_continued(lab, number):
    link = lab.links[number]
    flow = lab.flow(link)
    for _ in range(5):
        lab.guest.qmp.run("stop")
        lab.guest.qmp.run("cont")
        flow.goes_on()
    flow.stop(lab.guest)


@each(SPLIT, MQ, PACKED)
def test_transfers_survive_a_link_that_is_down_for_a_while(lab, number):
    link = lab.links[number]
    flow = lab.flow(link)
    name = "n%d" % (number - 1)
    lab.guest.qmp.run("set_link", name=name, up=False)
    lab.wait_carrier(link, False)
    lab.guest.qmp.run("set_link", name=name, up=True)
    lab.wait_carrier(link, True)
    flow.goes_on()
    flow.stop(lab.guest)


def test_transfers_survive_a_tap_that_is_down_for_a_while(lab):
    link = lab.links[SPLIT]
    flow = lab.flow(link)
    lab.ns.run("ip link set %s down" % link.tap)
    assert not link.answers()
    lab.ns.run("ip link set %s up" % link.tap)
    flow.goes_on()
    flow.stop(lab.guest)


def test_queue_pairs_come_and_go(lab):
    link = lab.links[MQ]
    flow = lab.flow(link)
    for cnt in 1, 2, 1, 2:
        lab.guest.ok("ethtool -L %s combined %d" % (link.eth, cnt))
        flow.goes_on()
    flow.stop(lab.guest)
    link.check()  # both are used again


def test_driver_that_is_unbound_and_bound_is_served_again(lab):
    # With packed rings, QEMU 7.2 does not know where a back end that was killed stopped.
    lab.links[PACKED].kill()
    lab.wait_carrier(lab.links[PACKED], False)
    lab.links[PACKED].start()
    lab.wait_carrier(lab.links[PACKED], True)
    for link in lab.links.values():
        device = os.path.basename(lab.guest.ok("readlink /sys/class/net/%s/device" % link.eth).strip())
        for way in "unbind", "bind":
            lab.guest.ok("echo %s >/sys/bus/virtio/drivers/virtio_net/%s" % (device, way))
        link.configure(lab.guest)
        link.check()


def test_guest_that_reboots_is_served_again(lab):
    lab.guest.reboot()
    lab.configure()
    lab.all_answer()
    lab.links[MQ].check()


def test_qemu_that_is_killed_is_served_again(lab):
    flow = lab.flow(lab.links[SPLIT])
    lab.guest.kill()
    flow.close()
    lab.boot()
    lab.all_answer()
    lab.links[PACKED].check()


def test_nothing_is_left(lab):
    """Last in this file: an orderly end with a guest that is already gone."""
    lab.guest.kill()
    for link in lab.links.values():
        link.stop()
        assert not re.search(r"error|broken", link.vmtap.output()), link.vmtap.output()
    left = [name for name in os.listdir(lab.folder) if name.endswith(".sock")]
    assert set(left) <= {"%d.sock" % CONNECTS}
