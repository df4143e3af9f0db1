# SPDX-License-Identifier: MIT
"""A guest's traffic through every kind of link that QEMU can make.

One guest has a NIC for each of LINKS; each is joined by a vmtap of its own to a TAP of
its own in the host's namespace:

    guest eth ── QEMU ── stream or dgram socket ── vmtap ── TAP ── host
     10.9.N.2                                                      10.9.N.1
     fd09:N::2                                                     fd09:N::1
"""

import hashlib
import os
import time

import pytest

from guest import Guest, Nic, Transfer
from netns import Netns, end
from notes import note
from standing import Watch
from vmtap import Vmtap

SIZE = 4 << 20
LOSSY = 256 << 10  # over UDP nothing holds a sender back, and what is lost is sent again when a timer says so
JUMBO = 9000
SLOW = 12     # seconds after which a transfer is looked at; the usual ones take three
PATIENT = 90  # seconds that one may take


class Link:
    """@port: vmtap's description; @netdev: QEMU's; {dir} is a folder. @vmtap_first: QEMU can
    only connect to what listens already."""

    def __init__(self, number, name, port, netdev, vmtap_first=True, dhcp=False, jumbo=False, size=SIZE):
        self.name = name
        self.port = port
        self.netdev = netdev
        self.vmtap_first = vmtap_first
        self.dhcp = dhcp
        self.jumbo = jumbo
        self.size = size
        self.tap = "vm%d" % number
        self.mac = "52:54:00:09:00:%02x" % number
        self.bridge = "br%d" % number if dhcp else None
        self.host_if = self.bridge or self.tap
        self.host = {4: "10.9.%d.1" % number, 6: "fd09:%d::1" % number}
        self.guest = {4: "10.9.%d.2" % number, 6: "fd09:%d::2" % number}


LINKS = [
    Link(1, "stream-unix-vmtap-listens", "stream,server=on,path={dir}/1.sock",
         "stream,server=off,addr.type=unix,addr.path={dir}/1.sock", dhcp=True, jumbo=True),
    Link(2, "stream-unix-vmtap-connects", "stream,path={dir}/2.sock,reconnect-ms=50",
         "stream,server=on,addr.type=unix,addr.path={dir}/2.sock", vmtap_first=False),
    Link(3, "stream-tcp4", "stream,server=on,host=127.0.0.1,port=7003",
         "stream,server=off,addr.type=inet,addr.host=127.0.0.1,addr.port=7003"),
    Link(4, "stream-tcp6", "stream,server=on,host=::1,port=7004",
         "stream,server=off,addr.type=inet,addr.host=::1,addr.port=7004"),
    Link(5, "dgram-unix", "dgram,local.path={dir}/5a.sock,remote.path={dir}/5b.sock",
         "dgram,local.type=unix,local.path={dir}/5b.sock,remote.type=unix,remote.path={dir}/5a.sock",
         jumbo=True),
    Link(6, "dgram-udp4", "dgram,local.host=127.0.0.1,local.port=7006,remote.host=127.0.0.1,remote.port=7106",
         "dgram,local.type=inet,local.host=127.0.0.1,local.port=7106,"
         "remote.type=inet,remote.host=127.0.0.1,remote.port=7006", size=LOSSY),
]


class Lab:
    """The host's namespace, a vmtap for each link, the guest."""

    def __init__(self, image, folder):
        self.image = image
        self.folder = folder
        self.vmtaps = {}
        self.pictures = set()
        self.ns = Netns()
        try:
            self._start()
        except BaseException:
            self.ns.cleanup()
            raise

    def _start(self):
        for link in LINKS:
            if link.vmtap_first:
                self._start_vmtap(link)
        nics = [Nic(link.netdev.format(dir=self.folder), link.mac) for link in LINKS]
        self.guest = Guest(self.ns, nics, self.folder)
        # Addresses are static from here on: no duplicate to look for.
        self.guest.ok("echo 0 >/proc/sys/net/ipv6/conf/default/accept_dad")
        for link in LINKS:
            if not link.vmtap_first:
                self._start_vmtap(link)
            self._address(link)
        self.guest.ok("head -c %d /dev/urandom >/tmp/data" % SIZE)
        self.digest = {size: self.guest.ok("head -c %d /tmp/data | sha256sum" % size).split()[0]
                       for size in (SIZE, LOSSY)}

    def _start_vmtap(self, link):
        tap = "tap,ifname=%s,script=no,downscript=no" % link.tap
        if link.bridge:
            self.ns.run("ip link add %s type bridge && ip link set %s up" % (link.bridge, link.bridge))
            tap += ",br=" + link.bridge
        self.vmtaps[link.name] = Vmtap(self.ns, [tap, link.port.format(dir=self.folder)], self.folder, link.name)
        self.ns.run("ip addr add %s/24 dev %s && ip addr add %s/64 dev %s" % (
            link.host[4], link.host_if, link.host[6], link.host_if))

    def _address(self, link):
        eth = link.eth = self.guest.ifnames[link.mac]
        self.guest.ok("for i in default %s; do echo 0 >/proc/sys/net/ipv6/conf/$i/accept_dad; done;"
                      "ip link set %s up && ip addr add %s/64 dev %s" % (eth, eth, link.guest[6], eth))
        if link.dhcp:
            self._dhcp(link)
        else:
            self.guest.ok("ip addr add %s/24 dev %s" % (link.guest[4], eth))

    def _dhcp(self, link):
        """The guest gets its address from a server on the bridge, by broadcasts."""
        conf = os.path.join(self.folder, "udhcpd.conf")
        with open(conf, "w") as f:
            f.write("start %s\nend %s\ninterface %s\nlease_file %s\npidfile %s\noption subnet 255.255.255.0\n" % (
                link.guest[4], link.guest[4], link.host_if, conf + ".leases", conf + ".pid"))
        open(conf + ".leases", "w").close()
        with open(conf + ".log", "wb") as log:
            server = self.ns.popen([self.busybox(), "udhcpd", "-f", conf], stdout=log, stderr=log)
        self.guest.ok("udhcpc -n -q -t 10 -T 1 -i " + link.eth)
        end(server)

    def busybox(self):
        return os.path.join(self.image, "busybox")

    def mtu(self, link, mtu):
        """The MTU of everything between the two ends' network stacks."""
        self.ns.run("ip link set %s mtu %d" % (link.tap, mtu))
        if link.bridge:
            self.ns.run("ip link set %s mtu %d" % (link.bridge, mtu))
        self.guest.ok("ip link set %s mtu %d" % (link.eth, mtu))

    def ping(self, link, version, size):
        """Packets of @size bytes, header and all, in both directions."""
        payload = size - {4: 28, 6: 48}[version]
        # -w: until five are answered, and a failure if they are not; -c alone would hardly wait for the last one.
        ping = "ping -%d -n -q -M do -c 5 -i 0.02 -w 10 -s %d " % (version, payload)
        self.ns.run(ping + link.guest[version])
        self.guest.ok("/bin/" + ping + link.host[version])

    def transfer(self, link, version, up, down):
        """@up, @down: is there data in this direction?"""
        begun = time.monotonic()
        with Watch(self.ns, self.vmtaps[link.name], self.guest, link.tap, SLOW,
                   lambda picture: self.slow(link, picture)) as watch:
            try:
                self._transfer(link, version, up, down)
            finally:
                took = time.monotonic() - begun
        if watch.picture:
            note("%s, IPv%d%s%s: %d KiB took %.1f s" % (
                link.name, version, ", up" if up else "", ", down" if down else "", link.size >> 10, took))

    def slow(self, link, picture):
        """A transfer goes on for long: the first of a link is worth a look."""
        if link.name not in self.pictures:
            self.pictures.add(link.name)
            note("%s:\n%s" % (link.name, picture))

    def _transfer(self, link, version, up, down):
        data = os.urandom(link.size) if down else b""
        host = Transfer(self.ns, link.host[version], data, PATIENT)
        answer = self.guest.ok("%s | nc %s %d | sha256sum" % (
            "head -c %d /tmp/data" % link.size if up else ":", link.host[version], host.port), PATIENT)
        assert host.result() == (self.digest[link.size] if up else hashlib.sha256(b"").hexdigest())
        assert answer.split()[0] == hashlib.sha256(data).hexdigest()

    def logs(self):
        yield from self.guest.logs()
        for name, vmtap in self.vmtaps.items():
            yield name, vmtap.output()


@pytest.fixture(scope="module")
def lab(image, folder):
    lab = Lab(image, folder)
    try:
        yield lab
    finally:
        lab.guest.stop()
        lab.ns.cleanup()


every_link = pytest.mark.parametrize("link", LINKS, ids=lambda link: link.name)
both_versions = pytest.mark.parametrize("version", [4, 6], ids=["ipv4", "ipv6"])


def test_guest_gets_its_address_by_dhcp(lab):
    link = next(link for link in LINKS if link.dhcp)
    assert "inet %s/24" % link.guest[4] in lab.guest.ok("ip addr show dev " + link.eth)


@both_versions
@every_link
def test_ping_both_ways(lab, link, version):
    lab.ping(link, version, 84)
    lab.ping(link, version, 1500)


@both_versions
@every_link
def test_tcp_up_is_intact(lab, link, version):
    lab.transfer(link, version, up=True, down=False)


@both_versions
@every_link
def test_tcp_down_is_intact(lab, link, version):
    lab.transfer(link, version, up=False, down=True)


@both_versions
@every_link
def test_tcp_both_ways_at_once_is_intact(lab, link, version):
    lab.transfer(link, version, up=True, down=True)


@both_versions
@pytest.mark.parametrize("link", [link for link in LINKS if link.jumbo], ids=lambda link: link.name)
def test_jumbo_frames(lab, link, version):
    lab.mtu(link, JUMBO)
    try:
        lab.ping(link, version, JUMBO)
        lab.transfer(link, version, up=True, down=True)
    finally:
        lab.mtu(link, 1500)


def test_orderly_end(lab):
    """Last in this file: SIGTERM ends every vmtap well, and its TAP and sockets go."""
    for link in LINKS:
        vmtap = lab.vmtaps[link.name]
        assert vmtap.stop() == 0, vmtap.output()
    assert not [name for name in lab.ns.links() if name.startswith("vm")]
    left = [name for name in os.listdir(lab.folder) if name.endswith(".sock")]
    # What QEMU listens on is QEMU's to remove.
    assert sorted(left) == ["2.sock", "5b.sock"]
