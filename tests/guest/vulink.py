# SPDX-License-Identifier: MIT
"""Guests over the vhost-user port.

A Link is one NIC and all that it is joined to, up to the host's address:

    guest eth ── virtqueues ── vmtap ── TAP ── (bridge) ── host
     10.9.N.2                                             10.9.N.1
     fd09:N::2                                            fd09:N::1

QEMU 7.2 without KVM crashes when a vhost-user NIC uses MSI-X, hence vectors=0.
"""

import hashlib
import os
import re
import subprocess

from guest import Nic, Transfer
from vmtap import Vmtap

TWO_CPUS = ["-smp", "2"]

SIZE = 1 << 19
FLOOD = 150
# What the guest does in Link.check(), in one go
CHECK = """
[ -e /tmp/data.sum ] || {{ head -c {size} /dev/urandom >/tmp/data; sha256sum </tmp/data >/tmp/data.sum; }}
cat /tmp/data.sum
ethtool -S {eth}
{transfers}
{pings}
ethtool -S {eth}
"""

# Feature bits (virtio 1.2, 5.1.3 and 6) by QEMU's names of them
BITS = {"csum": 0, "guest_csum": 1, "host_mtu": 3, "guest_tso4": 7, "guest_tso6": 8, "guest_ecn": 9,
        "guest_ufo": 10, "host_tso4": 11, "host_tso6": 12, "host_ecn": 13, "host_ufo": 14,
        "mrg_rxbuf": 15, "status": 16, "guest_announce": 21, "mq": 22, "indirect_desc": 28,
        "event_idx": 29, "version_1": 32, "packed": 34}


def memory(size="256M", share="on"):
    """QEMU's arguments for memory that it can share."""
    return ["-m", size, "-object", "memory-backend-memfd,id=mem,size=%s,share=%s" % (size, share),
            "-machine", "memory-backend=mem"]


def features_in(bits):
    """Names of those that are set in what Linux shows of a virtio device."""
    return {name for name, bit in BITS.items() if bits[bit] == "1"}


class VuNic(Nic):
    """@socket: its path; @listens: QEMU does, and vmtap connects. @options starts with a comma."""

    def __init__(self, socket, mac, options="", queues=1, listens=False):
        super().__init__("vhost-user", mac, ",vectors=0%s%s" % (",mq=on" if queues > 1 else "", options))
        self.chardev = "path=%s,%s" % (socket, "server=on,wait=off" if listens else "reconnect=1")
        self.queues = queues

    def args(self, i):
        return ["-chardev", "socket,id=c%d,%s" % (i, self.chardev),
                "-netdev", "vhost-user,id=n%d,chardev=c%d,queues=%d" % (i, i, self.queues), *self.device(i)]


class Link:
    """@port, @tap: more options of vmtap's two ports; @device: of QEMU's NIC; each starts with a
    comma. @mtu: of the TAP and of the guest's NIC. @bridge: the TAP is put on a bridge, which has
    the address. @ns and @folder are where vmtap runs."""

    def __init__(self, number, ns, folder, port="", device="", tap="", queues=1, mtu=1500,
                 listens=False, bridge=False):
        self.number = number
        self.ns = ns
        self.folder = folder
        self.tap = "vm%d" % number
        self.bridge = "br%d" % number if bridge else None
        self.mtu = mtu
        self.queues = queues
        self.host = {4: "10.9.%d.1" % number, 6: "fd09:%d::1" % number}
        self.guest_address = {4: "10.9.%d.2" % number, 6: "fd09:%d::2" % number}
        self.mac = "52:54:00:0b:00:%02x" % number
        self.socket = os.path.join(folder, "%d.sock" % number)
        self.nic = VuNic(self.socket, self.mac, device, queues, listens)
        self.ports = ["tap,ifname=%s,script=no,downscript=no,mtu=%d,queues=%d%s" % (self.tap, mtu, queues, tap),
                      "vhost-user,%s,path=%s,queues=%d%s" % (
                          "reconnect-ms=50" if listens else "server=on", self.socket, queues, port)]
        self.vmtap = self.guest = None
        if bridge:
            ns.run("ip link add %s type bridge && ip link set %s mtu %d up" % (self.bridge, self.bridge, mtu))
            self._address(self.bridge)
            self.ports[0] += ",br=" + self.bridge

    def _address(self, ifname):
        self.ns.run("ip addr replace %s/24 dev %s && ip addr replace %s/64 dev %s" % (
            self.host[4], ifname, self.host[6], ifname))

    def start(self, **kw):
        """Start vmtap."""
        self.vmtap = Vmtap(self.ns, self.ports, self.folder, "vmtap%d" % self.number, **kw)
        if not self.bridge:
            self._address(self.tap)

    def configure(self, guest, before="true"):
        """Set the NIC of the guest up; again after a reboot. Returns what the command @before says,
        which may have {eth} in it."""
        self.guest = guest
        eth = self.eth = guest.ifnames[self.mac]
        return guest.ok(before.format(eth=eth) + "; echo 0 >/proc/sys/net/ipv6/conf/%s/accept_dad; ip link set %s mtu %d up && "
                 "ip addr replace %s/24 dev %s && ip addr replace %s/64 dev %s" % (
                     eth, eth, self.mtu, self.guest_address[4], eth, self.guest_address[6], eth))

    def features(self):
        """What the driver and the device agreed upon: names in BITS."""
        return features_in(self.guest.ok("cat /sys/class/net/%s/device/features" % self.eth))

    # ---------------------------------------------------------------- traffic

    def answers(self):
        """Does one ping get through, each way?"""
        return (self.ns.run("ping -n -q -c 1 -W 1 " + self.guest_address[4], check=False).returncode == 0 and
                self.guest.run("/bin/ping -n -q -c 1 -W 1 " + self.host[4])[0] == 0)

    def _pings(self, address, ping):
        """Commands: packets as large as can be over both IP versions, then many small ones, each as
        soon as the last one was answered. -w: -c alone would hardly wait for the last answer."""
        return "".join("%s -%d -n -q -M do -c 3 -i 0.01 -w 10 -s %d %s; " % (
            ping, version, self.mtu - {4: 28, 6: 48}[version], address[version]) for version in (4, 6)
        ) + "%s -f -n -q -c %d -w 20 -s 18 %s" % (ping, FLOOD, address[4])

    @staticmethod
    def _check_pings(answer):
        received = [int(cnt) for cnt in re.findall(r"(\d+) received", answer)]
        assert len(received) == 3 and received[0] >= 3 and received[1] >= 3 and received[2] >= FLOOD, answer

    def _queue_packets(self, answer):
        """What `ethtool -S` says: [{"rx_queue_0": packets, ...}, ...]"""
        words = re.findall(r"^ +([rt]x_queue_\d+)_packets: (\d+)", answer, re.M)
        one = 2 * self.queues
        return [{name: int(cnt) for name, cnt in words[at:at + one]} for at in range(0, len(words), one)]

    def check(self):
        """Everything that each link has to carry: large and small packets and TCP both ways, over
        both IP versions, in all queues."""
        sends = [Transfer(self.ns, self.host[version], os.urandom(SIZE)) for version in (4, 6)]
        pings = self.ns.popen(self._pings(self.guest_address, "ping"), stdout=subprocess.PIPE, text=True)
        answer = self.guest.ok(CHECK.format(
            size=SIZE, eth=self.eth, pings=self._pings(self.host, "/bin/ping"),
            # The queue is that of the processor.
            transfers="".join("taskset %d nc %s %d </tmp/data | sha256sum; " % (
                1 << i % self.queues, self.host[version], send.port)
                for i, (version, send) in enumerate(zip((4, 6), sends)))))
        self._check_pings(answer)
        self._check_pings(pings.communicate(timeout=40)[0])
        sums = re.findall(r"^([0-9a-f]{64}) ", answer, re.M)
        assert sums[1:] == [hashlib.sha256(send.data).hexdigest() for send in sends]
        assert [send.result() for send in sends] == [sums[0]] * 2
        before, after = self._queue_packets(answer)
        assert len(after) == 2 * self.queues and all(after[q] > before[q] for q in after), (before, after)

    def stop(self):
        """The end of vmtap, which must be an orderly one."""
        assert self.vmtap.stop() == 0, self.vmtap.output()

    def kill(self):
        """The end of vmtap, and then it is not there any more."""
        self.vmtap.proc.kill()
        self.vmtap.proc.wait()

    def logs(self):
        if self.vmtap:
            yield self.vmtap.name, self.vmtap.output()
