# SPDX-License-Identifier: MIT
"""Peers that stop reading and go on: whatever was full, everything moves again.

Both ends of a link are sockets of the test's own, which behave as QEMU's netdevs do: they write
what fits, a part of a frame if need be, and read now and then, some bytes or some frames at a time.

    end ── stream or dgram ── vmtap ── stream or dgram ── end
"""

import collections
import random
import select
import socket
import struct
import time

import pytest

from tuntap import ETH_TEST, Packets, frame, number_of
from vmtap import Vmtap

ROUNDS = 4
FRAMES = 600  # each way, a round: more than fits between the ends
BUFFER = 32 << 10
DEADLINE = 30
KIND = struct.pack("!H", ETH_TEST)


class StreamEnd:
    """@host: of a TCP socket; None: a unix socket."""

    lossy = False

    def __init__(self, folder, name, host=None, port=0):
        self.address = (host, port) if host else "%s/%s" % (folder, name)
        self.family = socket.AF_UNIX if not host else socket.AF_INET6 if ":" in host else socket.AF_INET
        self.keys = "stream,server=on,id=%s," % name + (
            "host=%s,port=%d" % (host, port) if host else "path=" + self.address)
        self.reads, self.out = b"", b""

    def open(self):
        self.sock = socket.socket(self.family)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER)
        self.sock.connect(self.address)
        self.sock.setblocking(False)

    def write(self, queue):
        while queue or self.out:
            if not self.out:
                data = queue.popleft()
                self.out = struct.pack("!I", len(data)) + data
            try:
                self.out = self.out[self.sock.send(self.out):]
            except BlockingIOError:
                return

    def read(self, some):
        """The frames that are complete now."""
        self.reads += self.sock.recv(1 + some * 700)
        frames = []
        while len(self.reads) >= 4:
            size, = struct.unpack_from("!I", self.reads)
            if len(self.reads) < 4 + size:
                break
            frames.append(self.reads[4:4 + size])
            self.reads = self.reads[4 + size:]
        return frames

    def has_more(self):
        return bool(self.out)


class DgramEnd:
    """@host: of UDP sockets; None: unix sockets."""

    def __init__(self, folder, name, host=None, port=0):
        self.lossy = host is not None
        self.family = socket.AF_INET if host else socket.AF_UNIX
        self.ours = (host, port) if host else "%s/%s.end" % (folder, name)
        self.theirs = (host, port + 1) if host else "%s/%s" % (folder, name)
        self.keys = "dgram,id=%s," % name + "local=%s,remote=%s" % tuple(
            "%s:%d" % a if host else a for a in (self.theirs, self.ours))

    def open(self):
        self.sock = socket.socket(self.family, socket.SOCK_DGRAM)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER)
        self.sock.bind(self.ours)
        self.sock.setblocking(False)

    def write(self, queue):
        while queue:
            try:
                self.sock.sendto(queue[0], self.theirs)
            except BlockingIOError:
                return
            queue.popleft()

    def read(self, some):
        frames = []
        for _ in range(some):
            try:
                frames.append(self.sock.recv(1 << 16))
            except BlockingIOError:
                break
        return frames

    def has_more(self):
        return False


KINDS = {
    "stream-unix": lambda folder: (StreamEnd(folder, "a"), StreamEnd(folder, "b")),
    "stream-tcp4": lambda folder: (StreamEnd(folder, "a", "127.0.0.1", 7001), StreamEnd(folder, "b", "127.0.0.1", 7002)),
    "stream-tcp6": lambda folder: (StreamEnd(folder, "a", "::1", 7001), StreamEnd(folder, "b", "::1", 7002)),
    "dgram-unix": lambda folder: (DgramEnd(folder, "a"), DgramEnd(folder, "b")),
    "dgram-udp": lambda folder: (DgramEnd(folder, "a", "127.0.0.1", 7001), DgramEnd(folder, "b", "127.0.0.1", 7003)),
    "dgram-and-tcp6": lambda folder: (DgramEnd(folder, "a"), StreamEnd(folder, "b", "::1", 7002)),
}


class Traffic:
    """Numbered frames both ways. A direction is named by the end where it leaves vmtap."""

    def __init__(self, ends):
        self.ends = ends
        self.queues = [collections.deque(), collections.deque()]  # to be sent by that end
        self.came = [[], []]
        self.next = [0, 0]

    def put(self, rng, cnt):
        for i, queue in enumerate(self.queues):
            for _ in range(cnt):
                queue.append(frame(self.next[i], rng.choice((60, 60, 590, 1514, 9000))))
                self.next[i] += 1

    def step(self, rng, reading):
        """Return: whether anything moved."""
        socks = [e.sock for e in self.ends]
        writers = [s for s, e, q in zip(socks, self.ends, self.queues) if q or e.has_more()]
        can_read, can_write, _ = select.select([s for s, r in zip(socks, reading) if r], writers, [], 0.01)
        before = [len(q) for q in self.queues]
        for i, end in enumerate(self.ends):
            if end.sock in can_write:
                end.write(self.queues[i])
            if end.sock in can_read:
                self.came[i] += map(number_of, end.read(rng.randint(1, 100)))
        return bool(can_read) or before != [len(q) for q in self.queues]

    def settle(self, rng, is_done):
        deadline = time.monotonic() + DEADLINE
        while not is_done():
            self.step(rng, (True, True))
            assert time.monotonic() < deadline, "stuck: %d and %d frames came of %d and %d, %d and %d wait" % (
                len(self.came[0]), len(self.came[1]), self.next[1], self.next[0],
                len(self.queues[0]), len(self.queues[1]))


def all_came(traffic):
    return all(len(traffic.came[i]) == traffic.next[1 - i] for i in range(2))


def last_came(traffic):
    return all(traffic.came[i][-1:] == [traffic.next[1 - i] - 1] for i in range(2))


def open_those(ns, ends, kind):
    for end in ends:
        if isinstance(end, kind):
            with ns.enter():
                end.open()


@pytest.mark.parametrize("more", ["", ",rate=1G"], ids=["", "limited"])
@pytest.mark.parametrize("kind", KINDS)
def test_all_moves_again(ns, folder, kind, more):
    rng = random.Random(kind + more)
    ends = KINDS[kind](folder)
    lossy = any(e.lossy for e in ends)
    open_those(ns, ends, DgramEnd)
    with Vmtap(ns, [e.keys + more for e in ends], folder) as vmtap:
        open_those(ns, ends, StreamEnd)
        traffic = Traffic(ends)
        for _ in range(ROUNDS):
            traffic.put(rng, FRAMES)
            reading = rng.choice([(False, False), (True, False), (False, True)])
            while traffic.step(rng, reading):
                pass
            for _ in range(40):  # by fits and starts
                traffic.step(rng, (rng.random() < 0.4, rng.random() < 0.4))
            if lossy:
                traffic.settle(rng, lambda: not any(traffic.queues))
                while traffic.step(rng, (True, True)):
                    pass
                traffic.put(rng, 1)  # for which there is room now
                traffic.settle(rng, lambda: last_came(traffic))
            else:
                traffic.settle(rng, lambda: all_came(traffic))
        for i in range(2):
            assert traffic.came[i] == sorted(set(traffic.came[i]))
        for end in ends:
            end.sock.close()
    assert vmtap.status == 0


@pytest.mark.parametrize("engine", ["plain", "auto"])
@pytest.mark.parametrize("kind", ["stream-unix", "stream-tcp6", "dgram-unix", "dgram-udp"])
def test_a_tap_moves_again(ns, folder, kind, engine):
    """The kernel's side takes everything at any time, and drops what finds no room."""
    rng = random.Random(kind + engine)
    end = KINDS[kind](folder)[0]
    open_those(ns, [end], DgramEnd)
    with Vmtap(ns, ["tap,ifname=vm0,mtu=9000,up=on", end.keys], folder, args=("--engine", engine)), \
            Packets(ns, "vm0") as kernel:
        open_those(ns, [end], StreamEnd)
        number = 0
        for _ in range(2):
            queue = collections.deque(frame(number + i, rng.choice((60, 1514, 9000))) for i in range(FRAMES))
            for _ in range(1200):  # nobody reads; the TAP's queue has 1000
                kernel.send(frame(number, 1514))
            end.write(queue)
            deadline = time.monotonic() + DEADLINE
            wanted, came, back = number + FRAMES, 0, -1
            while came < FRAMES or back != wanted:
                assert time.monotonic() < deadline, "stuck: %d frames came, and back %d" % (came, back)
                if select.select([end.sock], [end.sock] if queue or end.has_more() else [], [], 0.01)[0]:
                    for data in end.read(rng.randint(1, 100)):
                        back = max(back, number_of(data)) if data[12:14] == KIND else back
                else:
                    kernel.send(frame(wanted, 60))
                    if end.lossy and not queue:
                        queue.append(frame(wanted - 1))
                end.write(queue)
                while came < FRAMES and (data := kernel.receive(timeout=0.005)):
                    assert end.lossy or number_of(data) == number + came, "%d came" % came
                    came = number_of(data) - number + 1
            number = wanted + 1
        end.sock.close()
