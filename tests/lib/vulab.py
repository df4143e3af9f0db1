# SPDX-License-Identifier: MIT
"""A vhost-user port, its TAP, and front ends: what the tests of that port have in common.

    guest: vu-front-tool ── unix socket, shared memory ── vmtap ── TAP v0 (packet socket)
"""

import contextlib
import os
import random
import struct
import threading

from netns import wait_until
from tuntap import GUEST, HOST, Packets, frame, number_of
from vmtap import Vmtap
from vu import GUEST_CSUM, CSUM, Front

TCP4, TCP6, UDP_L4, ECN = 1, 4, 5, 0x80
NEEDS_CSUM, DATA_VALID = 1, 2
PACKET_VNET_HDR = 15


def size_of(number, low, high):
    """Bytes of a numbered frame, as the tool has it."""
    return low + number * 7919 % (high - low + 1)


class Lab:
    """vmtap with a TAP and a listening vhost-user port. @port, @tap: more options, with commas; @args, @how:
    more of Vmtap's (@wrap, …)."""

    # More options of every lab's TAP, more settings of every front end: tests/vhost has all of this with
    # vhost-net.
    every_tap = ""
    every_front = {}

    def __init__(self, ns, folder, port="", tap="", name="vmtap", mtu=1500,
                 server="on", args=(), **how):
        self.ns, self.folder, self.name = ns, folder, name
        self.args, self.how = args, how
        self.path = os.path.join(folder, "s")
        self.ports = ["tap,ifname=v0,mtu=%d%s%s" % (mtu, tap, self.every_tap),
                      "vhost-user,id=vm,path=%s,server=%s%s" % (self.path, server, port)]
        self.kernel = self.vmtap = None
        self.start()

    @classmethod
    def connecting(cls, ns, folder):
        """The port connects, and tries again."""
        return cls(ns, folder, server="off,reconnect-ms=20")

    def start(self):
        self.vmtap = Vmtap(self.ns, self.ports, self.folder, name=self.name,
                           args=["--log-format", "json", "--stats", "3600", *self.args], **self.how)
        # what the guest does not take yet waits in the TAP, and is not dropped
        self.ns.run("ip link set v0 txqueuelen 20000")
        self.kernel = Packets(self.ns, "v0", rcvbuf=64 << 20)

    def restart(self, sig):
        self.kernel.close()
        self.vmtap.stop(sig)
        self.start()

    def close(self):
        self.kernel.close()
        return self.vmtap.stop()

    def __enter__(self):
        return self

    def __exit__(self, kind, *exc):
        status = self.close()
        assert kind or status == 0, "vmtap: exit status %d\n%s" % (status, self.vmtap.output())

    def front(self, **settings):
        return Front(self.ns, **{**self.every_front, **settings})

    def log(self):
        """Everything that vmtap said, apart from its counters."""
        return "\n".join(str(e) for e in self.vmtap.events() if e.get("event") != "summary")

    def wait_for_log(self, text, since=0):
        wait_until(lambda: text in self.log()[since:], what="%r in the log" % text)

    def descriptors(self):
        return len(os.listdir("/proc/%d/fd" % self.vmtap.proc.pid))

    def mappings(self):
        """Mappings of files that only a front end can have sent."""
        with open("/proc/%d/maps" % self.vmtap.proc.pid) as f:
            return [line for line in f if "memfd:" in line]

    # Frames

    def give(self, count, low=60, high=60, first=0):
        """The kernel sends numbered frames."""
        for n in range(first, first + count):
            self.kernel.send(frame(n, size_of(n, low, high)))

    def take(self, count, low=60, high=60, first=0):
        """The kernel got numbered frames from the guest: all, whole and in order."""
        for n in range(first, first + count):
            got = self.kernel.receive(timeout=10)
            assert got is not None, "frame %d never came" % n
            assert number_of(got) == n, "frame %d came instead of %d" % (number_of(got), n)
            assert got == frame(n, size_of(n, low, high), dst=HOST, src=GUEST), n

    def drain(self):
        """What the kernel got so far is forgotten."""
        while self.kernel.receive(timeout=0.1):
            pass

    def exchange(self, vm, count=600, low=60, high=1400, first=0, timeout=120):
        """Numbered frames both ways at once: all arrive, whole and in order."""
        vm.flood_start(tx=count, rx=count, min=low, max=high, first=first)
        sender = threading.Thread(target=self.give, args=(count, low, high, first))
        sender.start()
        try:
            self.take(count, low, high, first)
        finally:
            sender.join()
            got = vm.answer(timeout)
        assert_whole(got, count, count)
        assert vm.state()["guards_broken"] == 0
        return got


def assert_whole(got, tx, rx):
    """What a flood has to come to."""
    assert not got["closed"], "the back end closed the connection"
    assert (got["bad"], got["disordered"], got["lost"]) == (0, 0, 0), got
    assert (got["sent"], got["received"]) == (tx, rx), got


@contextlib.contextmanager
def front(lab, how=None, **settings):
    """A front end that is up; @how are arguments of Front.up()."""
    with lab.front(**settings) as vm:
        vm.up(lab.path, **(how or {}))
        yield vm


# Large frames

def tcp4(size, gso=True, seed=7, mss=1448):
    """A TCP segment of @size bytes, Ethernet and all, as an offloading sender makes it: the
    checksum field has the pseudo header only. Returns frame, (flags, type, header, mss, ...)."""
    payload = random.Random(seed).randbytes(size - 54)
    ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, size - 14, 1, 0, 64, 6, 0,
                     bytes((10, 7, 0, 1)), bytes((10, 7, 0, 2)))
    ip = ip[:10] + struct.pack("!H", checksum(ip)) + ip[12:]
    pseudo = ip[12:20] + struct.pack("!BBH", 0, 6, size - 34)
    tcp = struct.pack("!HHIIBBHHH", 1000, 2000, 1, 1, 0x50, 0x18, 1000, ~checksum(pseudo) & 0xffff, 0)
    data = GUEST + HOST + b"\x08\x00" + ip + tcp + payload
    return data, dict(flags=NEEDS_CSUM, gso_type=TCP4 if gso else 0, hdr_len=54 if gso else 0,
                      gso_size=mss if gso else 0, csum_start=34, csum_offset=16)


def checksum(data):
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack("!%dH" % (len(data) // 2), data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


def tcp_payload(data):
    """Of an IPv4 TCP frame, without padding."""
    return data[54:14 + struct.unpack_from("!H", data, 16)[0]]


def tcp_sum_is_right(data):
    end = 14 + struct.unpack_from("!H", data, 16)[0]
    pseudo = data[26:34] + struct.pack("!BBH", 0, 6, end - 34)
    return checksum(pseudo + data[34:end]) == 0


OFFLOADS = CSUM | GUEST_CSUM
