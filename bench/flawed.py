#!/usr/bin/python3 -B
# SPDX-License-Identifier: MIT
"""A relay between a TAP and a unix datagram socket with a flaw of one's choice.

    flawed.py TAP SOCKET PEER FLAW

The benchmark must find every one of them; test_bench.py sees that it does. "none" has no flaw.
"""
import fcntl
import os
import select
import socket
import struct
import sys

TUNSETIFF = 0x400454CA
IFF_TAP, IFF_NO_PI = 0x0002, 0x1000
EVERY = 101  # a frame in so many meets the flaw


def tap_open(name):
    fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TAP | IFF_NO_PI))
    return fd


class Relay:
    def __init__(self, tap, sock, peer, flaw):
        self.tap = tap_open(tap)
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.bind(sock)
        self.peer = peer
        self.connected = False
        self.flaw = flaw
        self.seen = 0
        self.held = {}          # direction -> a frame that is to come late
        self.waiting = None     # a frame that the socket did not take

    def frames(self, way, frame):
        """What comes out instead of this frame."""
        self.seen += 1
        kind, _, where = self.flaw.partition("-")
        if where != way:
            return [frame]
        if kind == "swap" and way in self.held:
            return [frame, self.held.pop(way)]
        if self.seen % EVERY:
            return [frame]
        if kind == "lose":
            return []
        if kind == "double":
            return [frame, frame]
        if kind == "cut":
            return [frame[:-1]]
        if kind == "swap":
            self.held[way] = frame
            return []
        return [frame]

    def up(self):
        """A burst from the socket; false when there was nothing."""
        for i in range(32):
            try:
                frame = self.sock.recv(2048, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return i > 0
            for out in self.frames("up", frame):
                os.write(self.tap, out)
        return True

    def send(self, frame):
        """False: no room; the frame waits."""
        try:
            if not self.connected:
                self.sock.connect(self.peer)
                self.connected = True
            self.sock.send(frame, 0 if self.flaw == "block-down" else socket.MSG_DONTWAIT)
        except FileNotFoundError:
            pass  # nobody there yet
        except BlockingIOError:
            if self.flaw == "forget-down":
                return True
            self.waiting = frame
            return False
        return True

    def down(self):
        for _ in range(32):
            try:
                frame = os.read(self.tap, 2048)
            except BlockingIOError:
                return
            for out in self.frames("down", frame):
                if not self.send(out):
                    return

    def run(self):
        poll = select.poll()
        while True:
            sock = select.POLLIN | (select.POLLOUT if self.waiting else 0)
            poll.register(self.sock, sock)
            poll.register(self.tap, 0 if self.waiting else select.POLLIN)
            ready = dict(poll.poll(5 if self.flaw == "tick" else None))
            events = ready.get(self.sock.fileno(), 0)
            busy = events & select.POLLIN and self.up()
            if self.waiting and events & select.POLLOUT:
                frame, self.waiting = self.waiting, None
                self.send(frame)
            if self.tap in ready and not (busy and self.flaw == "starve-down"):
                self.down()
            if self.flaw == "die" and self.seen > 2000:
                sys.exit(7)


if __name__ == "__main__":
    Relay(*sys.argv[1:]).run()
