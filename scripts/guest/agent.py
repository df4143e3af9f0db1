#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Run commands in the test guest, through the socket behind its second serial port.

As a program:  agent.py SOCKET --ready            wait until the guest has booted
               agent.py SOCKET COMMAND...         print what it prints, exit as it does
               agent.py -t SECONDS SOCKET ...     give up after that long (default 60)
As a module:   Agent(sock).wait_ready(deadline); status, output = agent.run("ip addr")

The protocol is described in scripts/guest/init.
"""

import base64
import os
import select
import socket
import sys
import time

READY = b"vmtap-guest ready\n"


class AgentError(Exception):
    """The guest went away, did not answer in time, or answered nonsense."""


class Agent:
    """One end of the conversation; takes a connected socket over.

    @alive: called when the guest is silent, to raise when it cannot answer any more
    """

    def __init__(self, sock, alive=None):
        self.sock = sock
        self.alive = alive
        self.buf = b""
        # Another client may have left an answer unread: no two use the same numbers.
        self.next_id = os.getpid() * 100000 + time.monotonic_ns() % 90000

    def close(self):
        self.sock.close()

    def _fill(self, deadline):
        """Receive something, or raise."""
        left = deadline - time.monotonic()
        if left <= 0:
            raise AgentError("the guest did not answer in time; so far: %r" % self.buf[-400:])
        if not select.select([self.sock], [], [], left)[0]:
            return
        data = self.sock.recv(65536)
        if not data:
            raise AgentError("the guest's serial port was closed: QEMU has ended")
        self.buf += data

    def _line(self, deadline):
        while b"\n" not in self.buf:
            self._fill(deadline)
        line, _, self.buf = self.buf.partition(b"\n")
        return line

    def _bytes(self, length, deadline):
        while len(self.buf) < length:
            self._fill(deadline)
        data, self.buf = self.buf[:length], self.buf[length:]
        return data

    def wait_ready(self, timeout=60):
        """Wait for the guest to have booted. Noise before its greeting is skipped."""
        deadline = time.monotonic() + timeout
        while READY not in self.buf:
            self._fill(deadline)
        self.buf = self.buf.split(READY, 1)[1]

    def send(self, command, timeout=60):
        """Start a command without waiting for its end. Returns its number."""
        self.next_id += 1
        text = base64.b64encode(command.encode()).decode()
        self.sock.sendall(b"%d %d %s\n" % (self.next_id, max(1, int(timeout)), text.encode()))
        return self.next_id

    def run(self, command, timeout=60):
        """Run shell commands in the guest. Returns (exit status, what they printed)."""
        number = self.send(command, timeout)
        # The guest itself ends a command at its time; this is for a guest that hangs.
        deadline = time.monotonic() + timeout + 10
        while True:
            words = self._line(deadline).split()
            if len(words) != 3 or not all(w.isdigit() for w in words):
                continue
            data = self._bytes(int(words[2]), deadline)
            if int(words[0]) == number:
                return int(words[1]), data.decode(errors="replace")


def connect(path, timeout=10):
    """Connect to QEMU's chardev at @path, which may be about to appear."""
    deadline = time.monotonic() + timeout
    while True:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.connect(path)
            return sock
        except (FileNotFoundError, ConnectionRefusedError):
            sock.close()
            if time.monotonic() > deadline:
                raise
            select.select([], [], [], 0.02)


def main(args):
    timeout = 60
    if args[:1] == ["-t"] and len(args) > 1:
        timeout = int(args[1])
        args = args[2:]
    if len(args) < 2 or args[0] in ("-h", "--help"):
        print(__doc__)
        return 0 if args[:1] in (["-h"], ["--help"]) else 2
    try:
        agent = Agent(connect(args[0]))
        if args[1] == "--ready":
            agent.wait_ready(timeout)
            return 0
        status, output = agent.run(" ".join(args[1:]), timeout)
    except (AgentError, OSError) as e:
        print("agent: %s: %s" % (args[0], e), file=sys.stderr)
        return 125
    sys.stdout.write(output)
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
