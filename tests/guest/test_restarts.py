# SPDX-License-Identifier: MIT
"""What goes and comes back: a guest that reboots, a QEMU that is killed, a vmtap that is
started again. The rest stays as it is and carries on.

The guest has three NICs, for the three ways in which a link can come back:
    0  stream, vmtap listens: serves the next QEMU
    1  stream, QEMU listens: vmtap connects again
    2  dgram: there is no connection
"""

import os

import pytest

from guest import Guest, Nic
from netns import Netns, wait_until
from vmtap import Vmtap

PORTS = ["stream,server=on,path={dir}/0.sock",
         "stream,path={dir}/1.sock,reconnect-ms=50",
         "dgram,local.path={dir}/2a.sock,remote.path={dir}/2b.sock"]
NETDEVS = ["stream,server=off,addr.type=unix,addr.path={dir}/0.sock",
           "stream,server=on,addr.type=unix,addr.path={dir}/1.sock",
           "dgram,local.type=unix,local.path={dir}/2b.sock,remote.type=unix,remote.path={dir}/2a.sock"]
MACS = ["52:54:00:0a:00:0%d" % i for i in range(3)]


class Lab:
    def __init__(self, folder):
        self.folder = folder
        self.ns = Netns()
        self.vmtaps = [None] * 3
        self.guests = []
        try:
            for i in range(3):
                self.start_vmtap(i)
        except BaseException:
            self.ns.cleanup()
            raise

    def start_vmtap(self, i):
        ports = ["tap,ifname=vm%d,script=no,downscript=no" % i, PORTS[i].format(dir=self.folder)]
        self.vmtaps[i] = Vmtap(self.ns, ports, self.folder, "vmtap%d" % i)
        self.ns.run("ip addr add 10.10.%d.1/24 dev vm%d" % (i, i))

    def boot(self):
        nics = [Nic(netdev.format(dir=self.folder), mac) for netdev, mac in zip(NETDEVS, MACS)]
        guest = Guest(self.ns, nics, self.folder, "guest%d" % len(self.guests), reboots=True)
        self.guests.append(guest)
        self.configure()

    def configure(self):
        for i, mac in enumerate(MACS):
            eth = self.guest.ifnames[mac]
            self.guest.ok("ip link set %s up && ip addr add 10.10.%d.2/24 dev %s" % (eth, i, eth))

    @property
    def guest(self):
        return self.guests[-1]

    def reachable(self, i):
        """Does the guest answer over link @i, and the host?"""
        return (self.ns.run("ping -n -q -c 1 -W 1 10.10.%d.2" % i, check=False).returncode == 0 and
                self.guest.run("/bin/ping -n -q -c 1 -W 1 10.10.%d.1" % i)[0] == 0)

    def all_reachable(self):
        for i, vmtap in enumerate(self.vmtaps):
            # A link may need a moment to connect again.
            wait_until(lambda i=i: self.reachable(i), what="ping over link %d" % i)
            assert vmtap.proc.poll() is None, vmtap.output()

    def logs(self):
        for guest in self.guests:
            yield from guest.logs()
        for vmtap in self.vmtaps:
            yield vmtap.name, vmtap.output()


@pytest.fixture(scope="module")
def lab(image, folder):
    lab = Lab(folder)
    try:
        lab.boot()
        yield lab
    finally:
        for guest in lab.guests:
            guest.kill()
        lab.ns.cleanup()


def test_vmtap_waits_for_the_guest(lab):
    lab.all_reachable()


def test_guest_that_reboots_is_served_again(lab):
    lab.guest.reboot()
    lab.configure()
    lab.all_reachable()


@pytest.mark.parametrize("i", [1, 2], ids=["stream-vmtap-connects", "dgram"])
def test_vmtap_is_started_again_under_the_guest(lab, i):
    # QEMU 7.2 does not connect a stream again by itself: link 0 cannot come back this way.
    assert lab.vmtaps[i].stop() == 0, lab.vmtaps[i].output()
    assert not lab.reachable(i)
    lab.start_vmtap(i)
    lab.all_reachable()


def test_qemu_that_is_killed_is_served_again(lab):
    lab.guest.kill()
    # What a killed QEMU leaves behind is its own to clear away before the next start.
    for name in "1.sock", "2b.sock":
        if os.path.exists(os.path.join(lab.folder, name)):
            os.unlink(os.path.join(lab.folder, name))
    lab.boot()
    lab.all_reachable()


def test_nothing_is_left(lab):
    """Last in this file: an orderly end with a guest that is already gone."""
    lab.guest.kill()
    for vmtap in lab.vmtaps:
        assert vmtap.stop() == 0, vmtap.output()
    assert list(lab.ns.links()) == ["lo"]
    left = [name for name in os.listdir(lab.folder) if name.endswith(".sock")]
    assert not set(left) & {"0.sock", "2a.sock"}
