# SPDX-License-Identifier: MIT
"""TCP that does not end: random data both ways over one connection, for as long as a test
takes things away under it.

    flow = Flow(ns, "10.9.1.1", guest)
    ...                                   # kill, restart, migrate
    flow.goes_on()                        # more data comes, both ways
    flow.stop(guest)                      # both ends have what the other sent, by SHA-256
"""

import hashlib
import os
import socket
import threading

from netns import Failed, wait_until

CHUNK = 1 << 16

# {d} is a folder; nc ends when the host does, the writer when there is a file `stop`.
GUEST = """
mkdir {d} && mkfifo {d}/copy && head -c 1048576 /dev/urandom >{d}/data
sha256sum <{d}/copy >{d}/sent &
(while [ ! -e {d}/stop ]; do cat {d}/data; done | tee {d}/copy | nc {host} {port} |
	sha256sum >{d}/received) >/dev/null 2>&1 &
"""


class Flow:
    def __init__(self, ns, address, guest, timeout=90):
        with ns.enter():
            listener = socket.create_server((address, 0))
        self.timeout = timeout
        self.digest = {"sent": hashlib.sha256(), "received": hashlib.sha256()}
        self.cnt = {"sent": 0, "received": 0}
        self.stopped = threading.Event()
        self.error = None
        port = listener.getsockname()[1]
        self.guest_dir = "/tmp/flow%d" % port
        guest.ok(GUEST.format(d=self.guest_dir, host=address, port=port))
        with listener:
            listener.settimeout(timeout)
            self.sock = listener.accept()[0]
        self.sock.settimeout(timeout)
        # What waits here says nothing about the guest: little of it.
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, CHUNK)
        self.threads = [threading.Thread(target=self._try, args=[way], daemon=True)
                        for way in (self._send, self._receive)]
        for thread in self.threads:
            thread.start()
        self.goes_on()

    def _try(self, way):
        try:
            way()
        except OSError as e:
            self.error = e

    def _count(self, way, data):
        self.digest[way].update(data)
        self.cnt[way] += len(data)

    def _send(self):
        while not self.stopped.is_set():
            data = os.urandom(CHUNK)
            self.sock.sendall(data)
            self._count("sent", data)

    def _receive(self):
        while True:
            data = self.sock.recv(CHUNK)
            if not data:
                break
            self._count("received", data)

    def goes_on(self, size=1 << 18, timeout=30):
        """Wait until @size bytes more have gone each way."""
        goal = {way: cnt + size for way, cnt in self.cnt.items()}
        wait_until(lambda: self.error or all(self.cnt[way] >= goal[way] for way in goal), timeout,
                   "more data both ways: %s" % self.cnt)
        if self.error:
            raise Failed("flow: %s after %s" % (self.error, self.cnt))

    def stop(self, guest):
        """End it, by @guest (which may have moved), and compare what was sent and received."""
        guest.ok("touch %s/stop" % self.guest_dir)
        self.stopped.set()
        for thread in self.threads:
            thread.join(self.timeout)
        if self.error or any(thread.is_alive() for thread in self.threads):
            raise Failed("flow: %s after %s" % (self.error or "no end", self.cnt))
        # Only now: busybox nc ends at once when nothing more can come.
        self.sock.shutdown(socket.SHUT_WR)
        got = guest.ok("cd %s; while [ ! -s received ] || [ ! -s sent ]; do sleep 0.05; done; "
                       "cat sent received" % self.guest_dir).split()
        self.close()
        guest.ok("rm -r " + self.guest_dir)
        assert got[0] == self.digest["received"].hexdigest()
        assert got[2] == self.digest["sent"].hexdigest()

    def close(self):
        self.sock.close()
