# SPDX-License-Identifier: MIT
"""A service manager as far as vmtap serve sees one: it is told things, passes descriptors, and stores some.

    with Manager(folder) as manager, Service(ns, manager, "-c", path) as service:
        manager.wait("READY=1")
"""

import array
import contextlib
import os
import signal
import socket
import sys
import threading

import vmtap
from netns import Failed, end

# Puts the descriptors argv[1] ("7:9") to 3, 4, … and becomes argv[2:], as systemd does.
PASS = """
import os, sys
fds = [os.dup(int(fd)) for fd in sys.argv[1].split(":") if fd]
high = [os.dup2(fd, 500 + i) for i, fd in enumerate(fds)]
for i, fd in enumerate(high):
    os.dup2(fd, 3 + i)
os.closerange(3 + len(high), 1024)
if os.environ.get("LISTEN_PID") == "self":
    os.environ["LISTEN_PID"] = str(os.getpid())
if os.environ.get("WATCHDOG_PID") == "self":
    os.environ["WATCHDOG_PID"] = str(os.getpid())
os.execvp(sys.argv[2], sys.argv[2:])
"""


class Manager:
    """@said: lines that came, in order. @store: name -> descriptors. @deaf: barriers are not answered."""

    def __init__(self, folder):
        self.path = os.path.join(folder, "notify")
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.bind(self.path)
        self.said, self.store = [], {}
        self.deaf, self.barriers = False, []
        self.news = threading.Condition()
        self.thread = threading.Thread(target=self._listen, daemon=True)
        self.thread.start()

    def _listen(self):
        while True:
            data, control, _, _ = self.sock.recvmsg(65536, socket.CMSG_SPACE(256 * 4))
            fds = array.array("i")
            for _, _, payload in control:
                fds.frombytes(payload)
            if data == b"END":
                return
            with self.news:
                self._take(data.decode().split("\n"), list(fds))
                self.news.notify_all()

    def _take(self, lines, fds):
        name = next((line[7:] for line in lines if line.startswith("FDNAME=")), "stored")
        if "FDSTORE=1" in lines:
            self.store.setdefault(name, []).extend(fds)
        elif self.deaf:
            self.barriers += fds
        elif fds:  # BARRIER=1 among them: closing is the answer
            self._close(fds)
        if "FDSTOREREMOVE=1" in lines:
            self._close(self.store.pop(name, []))
        self.said += lines

    @staticmethod
    def _close(fds):
        for fd in fds:
            os.close(fd)

    def wait(self, line, times=1, timeout=10):
        """Until a line that begins like that came so often since the last forget(). Returns the last of them."""
        def found():
            return [said for said in self.said if said.startswith(line)]
        with self.news:
            assert self.news.wait_for(lambda: len(found()) >= times, timeout), \
                "%d times %s did not come, but %s" % (times, line, self.said)
            return found()[-1]

    def wait_stored(self, names, timeout=10):
        """Until exactly these are stored."""
        with self.news:
            assert self.news.wait_for(lambda: set(self.store) == set(names), timeout), self.store

    def forget(self):
        with self.news:
            self.said = []

    def stored(self):
        """Names and descriptors, to be passed."""
        with self.news:
            return [(name, fd) for name, fds in self.store.items() for fd in fds]

    def close(self):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.sendto(b"END", self.path)
        self.thread.join(10)
        self._close(self.barriers)
        self.sock.close()
        os.unlink(self.path)
        for fds in self.store.values():
            self._close(fds)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()


class Service:
    """vmtap serve, started by @manager: @passed are names and descriptors, beside what is stored. @env overrides
    the variables. With @ready it is waited for."""

    def __init__(self, ns, manager, folder, *args, passed=(), env=(), ready=True):
        self.log = os.path.join(folder, "service.log")
        fds = [*passed, *manager.stored()]
        variables = {**os.environ, "NOTIFY_SOCKET": manager.path, "FDSTORE": "4096"}
        if fds:
            variables.update(LISTEN_PID="self", LISTEN_FDS=str(len(fds)),
                             LISTEN_FDNAMES=":".join(name for name, _ in fds))
        variables.update(env)
        numbers = [fd for _, fd in fds]
        manager.forget()
        with open(self.log, "ab") as log:
            self.proc = ns.popen([sys.executable, "-c", PASS, ":".join(map(str, numbers)), vmtap.program(), "-v",
                                  "serve", *args], stdout=log, stderr=log, env=variables, pass_fds=(*numbers, ns.fd))
        if ready:
            try:
                manager.wait("READY=1")
            except AssertionError as error:
                self.stop()
                raise Failed("%s\n%s" % (error, self.output())) from error

    def output(self):
        with open(self.log, errors="replace") as f:
            return f.read()

    def stop(self, sig=signal.SIGTERM):
        return end(self.proc, sig=sig)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.stop()


@contextlib.contextmanager
def listener(path, kind=socket.SOCK_STREAM, listens=True):
    """A unix socket that listens, as a .socket unit has it."""
    with socket.socket(socket.AF_UNIX, kind) as sock:
        sock.bind(path)
        if listens:
            sock.listen(16)
        try:
            yield sock
        finally:
            os.unlink(path)
