# SPDX-License-Identifier: MIT
"""Run the vmtap program in a namespace.

    with Vmtap(ns, ["tap,ifname=vm0", "stream,server=on,path=" + path], folder) as v:
        ...                       # it is ready: its devices and sockets exist
    assert v.status == 0

The environment variable VMTAP names the program; build/vmtap is the default.
"""

import os
import select
import signal
import socket
import time

from netns import Failed, end

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def program():
    return os.path.abspath(os.environ.get("VMTAP") or os.path.join(TOP, "build", "vmtap"))


class Vmtap:
    """vmtap connect, in the background. @folder gets its log and must exist and have a
    short name; @name tells several apart."""

    def __init__(self, ns, ports, folder, name="vmtap", args=("-v",), timeout=10):
        self.name = name
        self.log = os.path.join(folder, name + ".log")
        self.status = None
        notify = os.path.join(folder, name + ".notify")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock, open(self.log, "ab") as log:
            sock.bind(notify)
            try:
                self.proc = ns.popen([program(), *args, "connect", *ports], stdout=log, stderr=log,
                                     env={**os.environ, "NOTIFY_SOCKET": notify})
                reason = self._wait_ready(sock, timeout)
            finally:
                os.unlink(notify)
        if reason:
            self.stop()
            raise Failed("%s: %s\n%s" % (name, reason, self.output()))

    def _wait_ready(self, sock, timeout):
        """Until it says READY=1 as a service does. Returns why not, when not."""
        deadline = time.monotonic() + timeout
        pid_fd = os.pidfd_open(self.proc.pid)
        try:
            while True:
                left = max(0, deadline - time.monotonic())
                ready = select.select([sock, pid_fd], [], [], left)[0]
                if sock in ready:
                    if b"READY=1" in sock.recv(4096).split(b"\n"):
                        return None
                elif pid_fd in ready:
                    return "exit status %d" % self.proc.wait()
                else:
                    return "not ready after %g s" % timeout
        finally:
            os.close(pid_fd)

    def output(self):
        with open(self.log, errors="replace") as f:
            return f.read()

    def stop(self, sig=signal.SIGTERM):
        """End it. Returns its exit status, negative for a signal."""
        self.status = end(self.proc, sig=sig)
        return self.status

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.stop()
