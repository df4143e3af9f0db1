# SPDX-License-Identifier: MIT
"""Frames through the program, byte by byte.

    test --packet socket--> vm0 (TAP) <--> vmtap <--> unix socket <--> test, as QEMU would be

and, for what the kernel itself makes and takes:

    TCP in namespace A <--> vm0 <--> vmtap <--> test (looks at each frame) <--> vmtap <--> vm0 <--> TCP in B
"""

import contextlib
import hashlib
import os
import random
import select
import socket
import struct
import threading

import pytest

from netns import Netns, wait_until
from peers import DgramPeer, StreamPeer
from tuntap import Packets, frame, number_of
from vmtap import Vmtap

JSON = ("-v", "--log-format", "json", "--stats", "3600")
SIZES = [14, 15, 42, 59, 60, 61, 127, 128, 511, 512, 513, 514, 1000, 1500, 1514, 1518, 2048, 4096,
         8999, 9000]


class Wire:
    """A TAP, vmtap, and the other end of its socket."""

    def __init__(self, ns, folder, kind, options="", mtu=9000, args=JSON):
        self.ns = ns
        ns.sysctl("net.ipv6.conf.default.disable_ipv6", 1)  # the kernel itself has nothing to say
        paths = [os.path.join(folder, name) for name in ("s", "a", "b")]
        port = {"stream": "stream,server=on,id=vm,path=%s" % paths[0],
                "dgram": "dgram,id=vm,local=%s,remote=%s" % (paths[1], paths[2])}[kind]
        tap = "tap,ifname=vm0,id=tap,mtu=%d,script=no,downscript=no%s" % (mtu, options)
        self.vmtap = Vmtap(ns, [tap, port], folder, args=args)
        self.vm = StreamPeer(paths[0]) if kind == "stream" else DgramPeer(paths[2], paths[1])
        self.kernel = Packets(ns, "vm0")

    def stats(self):
        return self.ns.links()["vm0"]["stats64"]

    def receive(self):
        return self.vm.receive(kind=None)

    def close(self):
        self.vm.close()
        self.kernel.close()
        assert self.vmtap.stop() == 0, self.vmtap.output()
        return self.vmtap.summary()


@contextlib.contextmanager
def wire(*args, **kw):
    made = Wire(*args, **kw)
    try:
        yield made
    finally:
        made.vm.close()
        made.kernel.close()
        made.vmtap.stop()


@pytest.fixture(params=["stream", "dgram"])
def kind(request):
    return request.param


# ------------------------------------------------------------------- every byte


@pytest.mark.parametrize("header", ["on", "off"])
def test_frames_of_every_size_pass_unchanged(ns, folder, kind, header):
    with wire(ns, folder, kind, ",vnet_hdr=" + header) as w:
        for n, size in enumerate(SIZES):
            w.vm.send(frame(n, size))
            assert w.kernel.receive() == frame(n, size)
            w.kernel.send(frame(n, size))
            assert w.receive() == frame(n, size)
        s = w.close()
        assert s["tap"]["tx"]["frames"] == s["tap"]["rx"]["frames"] == len(SIZES)
        assert s["tap"]["tx"]["bytes"] == s["vm"]["tx"]["bytes"] == sum(SIZES)
        for port in s.values():
            assert port["rx"]["drops"] == port["tx"]["drops"] == {}


def test_frames_with_vlan_tags_pass_unchanged(ns, folder, kind):
    with wire(ns, folder, kind) as w:
        for n, vlans in enumerate([(5,), (0x2FFF,), (100, 200), (1, 2, 3)]):
            for size in 60, 1518, 9004:
                data = frame(n, size, vlans=vlans)
                w.vm.send(data)
                assert w.kernel.receive() == data
                w.kernel.send(data)
                assert w.receive() == data


@pytest.mark.parametrize("kind", ["stream"])
def test_the_largest_frame_passes(ns, folder, kind):
    """64 KiB with headers: more than any Ethernet has, as much as a GSO frame."""
    with wire(ns, folder, kind, mtu=65521) as w:
        data = frame(1, 65535)
        w.vm.send(data)
        assert w.kernel.receive() == data
        w.kernel.send(data)
        assert w.receive() == data


def test_any_bytes_pass(ns, folder, kind):
    """Whatever they look like: a length prefix, a header, an IP packet that lies."""
    rnd = random.Random(5)
    with wire(ns, folder, kind) as w:
        w.kernel.kind = None
        for _ in range(100):
            data = rnd.randbytes(rnd.randrange(60, 1500))
            data = bytes([data[0] & 0xFE]) + data[1:12] + b"\x99" + data[13:]  # nobody's protocol
            w.vm.send(data)
            assert w.kernel.receive() == data
            w.kernel.send(data)
            assert w.receive() == data


def test_a_runt_is_dropped_and_counted(ns, folder, kind):
    with wire(ns, folder, kind) as w:
        for size in 1, 13:
            w.vm.send(frame(1)[:size])
        w.vm.send(frame(2))
        assert w.kernel.receive() == frame(2)
        s = w.close()
        assert s["vm"]["rx"]["drops"] == {"runt": 2} and s["tap"]["tx"]["frames"] == 1


# ----------------------------------------------------------- order, and no loss


def test_bursts_stay_in_order(ns, folder, kind):
    with wire(ns, folder, kind) as w:
        ns.run("ip link set vm0 txqueuelen 5000")
        for n in range(3000):
            w.kernel.send(frame(n, 60 + n % 1000))
            if n % 300 == 299:  # the socket behind vmtap holds that many; the test reads, too
                for m in range(n - 299, n + 1):
                    assert w.receive() == frame(m, 60 + m % 1000)
        for start in range(0, 3000, 100):
            w.vm.send(*(frame(n, 60 + n % 1000) for n in range(start, start + 100)))
            for n in range(start, start + 100):
                assert w.kernel.receive() == frame(n, 60 + n % 1000)


def test_a_peer_that_does_not_read_loses_only_what_the_kernel_dropped(ns, folder, kind):
    """vmtap stops reading the TAP; when its queue is full, the kernel drops and says so."""
    with wire(ns, folder, kind) as w:
        ns.run("ip link set vm0 txqueuelen 300")
        sent = 0
        while w.stats()["tx"]["dropped"] < 50:
            for _ in range(300):
                w.kernel.send(frame(sent, 1500))
                sent += 1
            assert sent < 20000
        got, dropped = [], w.stats()["tx"]["dropped"]
        while len(got) + dropped < sent:
            data = w.receive()
            assert data, "%d of %d" % (len(got), sent)
            assert data == frame(number_of(data), 1500)
            got.append(number_of(data))
        assert got == sorted(set(got))
        # Full again and empty again: it goes on.
        w.kernel.send(frame(sent, 60))
        assert w.receive() == frame(sent, 60)
        dropped = w.stats()["tx"]["dropped"]
        s = w.close()
        assert s["tap"]["rx_holds"] > 0 and s["tap"]["rx"]["drops"] == {"kernel": dropped}
        assert s["vm"]["tx"]["drops"] == {}


def test_a_flood_one_way_leaves_room_for_the_other(ns, folder):
    """The kernel's queue is never empty, and the peer's frames get through all the same."""
    with wire(ns, folder, "stream") as w:
        stop = threading.Event()

        def flood():
            while not stop.is_set():
                w.kernel.send(frame(0, 1500))

        def drain():
            while not stop.is_set() and select.select([w.vm.sock], [], [], 1)[0]:
                w.vm.sock.recv(1 << 20)

        threads = [threading.Thread(target=f) for f in (flood, drain)]
        with Packets(ns, "vm0") as kernel:
            for t in threads:
                t.start()
            try:
                wait_until(lambda: w.stats()["tx"]["packets"] > 1000, timeout=60)
                for n in range(100):
                    w.vm.send(frame(n))
                    assert kernel.receive(timeout=20) == frame(n)
            finally:
                stop.set()
                for t in threads:
                    t.join()


# ------------------------------------------------------------- nobody to take it


def test_frames_for_a_stream_without_a_client_are_dropped_and_counted(ns, folder):
    ns.sysctl("net.ipv6.conf.default.disable_ipv6", 1)
    path = os.path.join(folder, "s")
    with Vmtap(ns, ["tap,ifname=vm0,id=tap,script=no,downscript=no",
                    "stream,server=on,id=vm,path=" + path], folder, args=JSON) as v, \
            Packets(ns, "vm0") as kernel:
        for n in range(5):
            kernel.send(frame(n))
        wait_until(lambda: ns.links()["vm0"]["stats64"]["tx"]["packets"] == 5)  # they were read
        with StreamPeer(path) as vm:
            vm.send(frame(6))
            assert kernel.receive() == frame(6)  # so the connection is there
            kernel.send(frame(7))
            assert vm.receive() == frame(7)
    assert v.status == 0
    s = v.summary()["vm"]["tx"]
    assert s["drops"] == {"peer-gone": 5} and s["frames"] == 1


def test_frames_for_an_interface_that_is_down_are_dropped_and_counted(ns, folder, kind):
    with wire(ns, folder, kind) as w:
        w.vm.send(frame(1))
        assert w.kernel.receive() == frame(1)
        ns.run("ip link set vm0 down")
        w.vm.send(*(frame(n) for n in range(20)))
        wait_until(lambda: "is down and drops frames" in w.vmtap.output())
        ns.run("ip link set vm0 up")
        w.kernel.close()
        w.kernel = Packets(ns, "vm0")
        w.vm.send(frame(2))
        while (data := w.kernel.receive()) != frame(2):
            assert data is not None
        s = w.close()
        dropped = s["tap"]["tx"]["drops"]["interface-down"]
        assert 0 < dropped <= 20 and s["tap"]["tx"]["frames"] == 22 - dropped
        warnings = [e for e in w.vmtap.events() if e.get("level") == "warning"]
        assert 1 <= len(warnings) <= 5  # not one for each frame


# ------------------------------------------------- what a peer without headers sees


def ones_sum(data):
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack("!%dH" % (len(data) // 2), data))
    while total >> 16:
        total = (total >> 16) + (total & 0xFFFF)
    return total


def check_complete(data, mtu):
    """No longer than the MTU, and with every checksum filled in."""
    assert len(data) <= mtu + 14
    kind, = struct.unpack_from("!H", data, 12)
    if kind == 0x0800:
        head = 14 + (data[14] & 15) * 4
        end = 14 + struct.unpack_from("!H", data, 16)[0]
        assert ones_sum(data[14:head]) == 0xFFFF
        proto, pseudo = data[23], data[26:34] + struct.pack("!HH", data[23], end - head)
    elif kind == 0x86DD:
        head, end = 54, 54 + struct.unpack_from("!H", data, 18)[0]
        proto, pseudo = data[20], data[22:54] + struct.pack("!II", end - head, data[20])
    else:
        return None
    if proto in (6, 17, 58):
        assert ones_sum(pseudo + data[head:end]) == 0xFFFF
    return proto


class Inspector(threading.Thread):
    """Carries frames between two peers and looks at each."""

    def __init__(self, peers, mtu):
        super().__init__()
        self.peers, self.mtu = peers, mtu
        self.seen = {}
        self.failure = None
        self.quit_rd, self.quit_wr = os.pipe()

    def run(self):
        try:
            self.carry()
        except Exception as failure:  # told by stop(), in the test's own thread
            self.failure = failure

    def carry(self):
        a, b = self.peers
        other = {a.sock: (a, b), b.sock: (b, a)}
        while True:
            ready = select.select([a.sock, b.sock, self.quit_rd], [], [])[0]
            if self.quit_rd in ready:
                return
            for sock in ready:
                giver, taker = other[sock]
                data = giver.receive()
                while data:
                    proto = check_complete(data, self.mtu)
                    self.seen[proto] = self.seen.get(proto, 0) + 1
                    taker.send(data)
                    data = giver.receive(timeout=0)

    def stop(self):
        os.close(self.quit_wr)
        self.join()
        os.close(self.quit_rd)
        if self.failure:
            raise self.failure


@pytest.mark.parametrize("mtu", [1500, 9000])
@pytest.mark.parametrize("address", ["10.0.0.%d", "fd00::%d"], ids=["ipv4", "ipv6"])
def test_the_kernels_tcp_arrives_complete_and_checksummed(folder, kind, address, mtu):
    """TSO and checksum offload are off towards a peer that knows nothing of headers."""
    data = random.Random(6).randbytes(1500 * 1000)
    with contextlib.ExitStack() as stack:
        spaces, peers = [], []
        for n in 1, 2:
            ns = stack.enter_context(Netns())
            sub = os.path.join(folder, str(n))
            os.mkdir(sub)
            w = stack.enter_context(wire(ns, sub, kind, mtu=mtu))
            ns.sysctl("net.ipv6.conf.vm0.disable_ipv6", 0)
            ns.run("ip addr add %s/64 dev vm0 nodad" % address % n if ":" in address else
                   "ip addr add %s/24 dev vm0" % address % n)
            spaces.append(ns)
            peers.append(w.vm)
        inspector = Inspector(peers, mtu)
        inspector.start()
        try:
            got = transfer(spaces, address % 2, data)
        finally:
            inspector.stop()
        assert got == hashlib.sha256(data).digest()
        assert inspector.seen[6] > len(data) / mtu


def transfer(spaces, address, data):
    """Send @data from the first namespace to @address in the second. Returns its hash there."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with spaces[1].enter():
        server = socket.create_server((address, 5000), family=family)
    with spaces[0].enter():
        client = socket.socket(family)
    with server, client:
        client.settimeout(20)
        client.connect((address, 5000))
        conn, _ = server.accept()
        sender = threading.Thread(target=lambda: (client.sendall(data), client.shutdown(1)))
        sender.start()
        conn.settimeout(20)
        digest = hashlib.sha256()
        with conn:
            while part := conn.recv(1 << 16):
                digest.update(part)
        sender.join()
    return digest.digest()
