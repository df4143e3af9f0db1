# SPDX-License-Identifier: MIT
"""TAPs by hand, and raw sockets beside them: the kernel's side of a test.

    with Packets(ns, "vm0") as kernel:
        kernel.send(frame)             # vmtap reads it from the TAP
        kernel.receive()               # what vmtap wrote into the TAP
"""

import fcntl
import os
import select
import socket
import struct
import time

TUNSETIFF, TUNGETIFF, TUNSETPERSIST = 0x400454CA, 0x800454D2, 0x400454CB
TUNSETOWNER, TUNSETGROUP = 0x400454CC, 0x400454CE
TUNSETOFFLOAD, TUNSETVNETHDRSZ, TUNGETVNETHDRSZ = 0x400454D0, 0x400454D8, 0x800454D7
TUNSETSNDBUF, TUNGETSNDBUF = 0x400454D4, 0x800454D3

IFF_TUN, IFF_TAP, IFF_NO_PI = 1, 2, 0x1000
IFF_MULTI_QUEUE, IFF_VNET_HDR, IFF_PERSIST = 0x100, 0x4000, 0x0800
TUN_F_CSUM, TUN_F_TSO4, TUN_F_TSO6 = 1, 2, 4

ETH_P_ALL, ETH_P_8021Q = 3, 0x8100
ETH_TEST = 0x88B5  # for local experiments: nobody else sends it
SOL_PACKET, PACKET_AUXDATA, PACKET_OUTGOING = 263, 8, 4
PACKET_IGNORE_OUTGOING = 23
TP_STATUS_VLAN_VALID = 0x10

HOST, GUEST = bytes.fromhex("020000000001"), bytes.fromhex("020000000002")


def open_tap(ns, name="", flags=IFF_TAP | IFF_NO_PI, persist=None, owner=None, group=None):
    """A new or existing TAP, opened in @ns. Returns the descriptor, ours to close."""
    with ns.enter():  # the namespace counts in which the descriptor is opened
        fd = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
    try:
        fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", name.encode(), flags))
        for request, value in ((TUNSETOWNER, owner), (TUNSETGROUP, group), (TUNSETPERSIST, persist)):
            if value is not None:
                fcntl.ioctl(fd, request, int(value))
    except OSError:
        os.close(fd)
        raise
    return fd


def flags(fd):
    """IFF_* flags and name of the device behind a descriptor."""
    name, bits = struct.unpack("16sH22x", fcntl.ioctl(fd, TUNGETIFF, bytes(40)))
    return bits, name.rstrip(b"\0").decode()


def get_int(fd, request):
    return struct.unpack("i", fcntl.ioctl(fd, request, bytes(4)))[0]


def frame(number, size=60, kind=ETH_TEST, vlans=(), dst=GUEST, src=HOST):
    """A frame of @size bytes that carries a number and a pattern made from it."""
    head = dst + src
    for tag in vlans:
        head += struct.pack("!HH", ETH_P_8021Q, tag)
    head += struct.pack("!H", kind)
    body = struct.pack("!I", number) + bytes((number * 31 + i * 7) & 0xFF for i in range(4, size))
    return (head + body)[:size]


def number_of(data):
    """The number that frame() put in, behind any VLAN tags."""
    at = 12
    while data[at:at + 2] == b"\x81\x00":
        at += 4
    return struct.unpack_from("!I", data, at + 2)[0]


def datagram(number, flow):
    """A numbered UDP datagram of a flow, from an address of the flow's own, by which the kernel
    chooses among the queues of a TAP. Nobody minds its checksums."""
    body = struct.pack("!HHHHI", 1000 + flow, 9, 12 + 14, 0, number) + bytes(14)
    ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(body), 0, 0, 64, 17, 0,
                     bytes([192, 0, 2, flow]), bytes([198, 51, 100, 1]))
    return GUEST + bytes([2, 0, 0, 0, 1, flow]) + b"\x08\0" + ip + body


def flows(cnt, each):
    """Frames of @cnt flows that take turns."""
    return [datagram(n, flow) for n in range(each) for flow in range(cnt)]


class Packets:
    """A packet socket on an interface of a namespace; sees only what others sent there, and
    of that only frames of type @kind (None: all), behind VLAN tags too."""

    def __init__(self, ns, ifname, kind=ETH_TEST, rcvbuf=8 << 20):
        self.kind = kind
        with ns.enter():
            self.sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
            self.sock.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
            self.sock.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
            self.sock.setsockopt(socket.SOL_SOCKET, 33, rcvbuf)  # SO_RCVBUFFORCE
            self.sock.bind((ifname, ETH_P_ALL))

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    def close(self):
        self.sock.close()

    def send(self, data):
        self.sock.send(data)

    def receive(self, timeout=10):
        """The next frame; None when none comes in time."""
        deadline = time.monotonic() + timeout
        while True:
            left = deadline - time.monotonic()
            if left < 0 or not select.select([self.sock], [], [], left)[0]:
                return None
            data, aux, _, _ = self.sock.recvmsg(70000, 256)
            data = self._with_tag(data, aux)
            if self.kind is None or self._type(data) == self.kind:
                return data

    @staticmethod
    def _type(data):
        at = 12
        while data[at:at + 2] == b"\x81\x00":
            at += 4
        return struct.unpack_from("!H", data, at)[0]

    @staticmethod
    def _with_tag(data, aux):
        """The kernel takes the outer VLAN tag out of the frame; put it back."""
        for level, kind, value in aux:
            if (level, kind) == (SOL_PACKET, PACKET_AUXDATA):
                status, _, _, _, _, tci, tpid = struct.unpack_from("IIIHHHH", value)
                if status & TP_STATUS_VLAN_VALID:
                    return data[:12] + struct.pack("!HH", tpid or ETH_P_8021Q, tci) + data[12:]
        return data
