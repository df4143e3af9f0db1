# SPDX-License-Identifier: MIT
"""Run the vmtap program in a namespace.

    with Vmtap(ns, ["tap,ifname=vm0", "stream,server=on,path=" + path], folder) as v:
        ...                       # it is ready: its devices and sockets exist
    assert v.status == 0

    done = run(ns, "check", "tap,ifname=vm0")           # to its end

The environment variable VMTAP names the program, VMTAP_BUILD the folder of the build;
build/ is the default. VMTAP_ARGS are more options for each connect, as in --workers=2.
"""

import json
import os
import select
import signal
import socket
import time

from netns import PATIENCE, Failed, end

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def build():
    """The folder of the build under test."""
    if os.environ.get("VMTAP_BUILD"):
        return os.path.abspath(os.environ["VMTAP_BUILD"])
    if os.environ.get("VMTAP"):
        return os.path.dirname(os.path.abspath(os.environ["VMTAP"]))
    return os.path.join(TOP, "build")


def program():
    return os.path.abspath(os.environ.get("VMTAP") or os.path.join(build(), "vmtap"))


def run(ns, *args, wrap=(), **kw):
    """vmtap to its end. @wrap goes in front: `unshare -m`, `setpriv`. Returns a
    CompletedProcess with text in stdout and stderr."""
    kw.setdefault("check", False)
    return ns.run([*wrap, program(), *args], **kw)


def line(child, timeout=10):
    """The next line of a command's output, which is a pipe that is not buffered (bufsize=0)."""
    got = b""
    while not got.endswith(b"\n"):
        assert select.select([child.stdout], [], [], timeout)[0], "no line came, only %r" % got
        byte = child.stdout.read(1)
        assert byte, "the output ended with %r" % got
        got += byte
    return got.decode().rstrip("\n")


class Vmtap:
    """vmtap connect, in the background. @folder gets its log and must exist and have a
    short name; @name tells several apart. @wrap goes in front of the program and must end by
    becoming it. With @out, stdout goes to that file and not to the log. @command is connect or serve."""

    def __init__(self, ns, ports, folder, name="vmtap", args=("-v",), timeout=10, wrap=(),
                 out=None, command="connect", **kw):
        self.name = name
        self.log = os.path.join(folder, name + ".log")
        self.out = out or self.log
        self.status = None
        notify = os.path.join(folder, name + ".notify")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock, \
                open(self.log, "ab") as log, open(self.out, "ab") as out_file:
            sock.bind(notify)
            os.chmod(notify, 0o666)
            try:
                more = os.environ.get("VMTAP_ARGS", "").split()
                self.proc = ns.popen([*wrap, program(), *args, *more, command, *ports], stdout=out_file,
                                     stderr=log, env={**os.environ, "NOTIFY_SOCKET": notify}, **kw)
                reason = self._wait_ready(sock, timeout)
            finally:
                os.unlink(notify)
        if reason:
            self.stop()
            raise Failed("%s: %s\n%s" % (name, reason, self.output()))

    def _wait_ready(self, sock, timeout):
        """Until it says READY=1 as a service does. Returns why not, when not."""
        timeout *= PATIENCE
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

    def events(self):
        """Every JSON line that it has written so far."""
        texts = [self.output()]
        if self.out != self.log:
            with open(self.out, errors="replace") as f:
                texts.append(f.read())
        return [json.loads(line) for text in texts for line in text.splitlines()
                if line.startswith("{")]

    def summary(self):
        """After its end, with --log-format json and --stats: the counters of each port."""
        return {e["port"]: e for e in self.events() if e.get("event") == "summary"}

    def wait(self, timeout=10):
        """Until it ends by itself. Returns its exit status."""
        self.status = self.proc.wait(timeout)
        return self.status

    def stop(self, sig=signal.SIGTERM):
        """End it. Returns its exit status, negative for a signal."""
        self.status = end(self.proc, sig=sig)
        return self.status

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.stop()
