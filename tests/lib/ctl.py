# SPDX-License-Identifier: MIT
"""vmtap serve, and a client of its control socket.

    with Serve(ns, folder) as server, server.client() as ctl:
        ctl.run("port_add", type="null", id="a")
        ctl.wait_event("PORT_UP", id="a")
"""

import array
import json
import os
import socket
import subprocess
import time

import vmtap
from vmtap import Vmtap


class Refused(Exception):
    """The server's error; its class and the line that it says."""

    def __init__(self, error):
        super().__init__("%s: %s" % (error["class"], error["desc"]))
        self.kind, self.desc = error["class"], error["desc"]


class Serve(Vmtap):
    """vmtap serve, ready. @args go in front, options of serve among them."""

    def __init__(self, ns, folder, *args, name="serve", **kw):
        self.ns = ns
        self.path = os.path.join(folder, name + ".ctl")
        super().__init__(ns, [], folder, name=name, command="serve",
                         args=("-v", "--control", self.path, *args), **kw)

    def client(self, **kw):
        return Client(self.path, **kw)

    def ctl(self, *words, options=(), **kw):
        """vmtap ctl with these words. Returns a CompletedProcess."""
        return subprocess.run([vmtap.program(), "--control", self.path, *options, "ctl", *words], text=True,
                              stdin=subprocess.DEVNULL, capture_output=True, timeout=30, **kw)

    def descriptors(self):
        return len(os.listdir("/proc/%d/fd" % self.proc.pid))


class Client:
    """A connection. @ready: capabilities are agreed on. Events are kept in @events."""

    def __init__(self, path, ready=True, timeout=20):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(timeout)
        self.sock.connect(path)
        self.data = b""
        self.fds = []
        self.events = []
        self.greeting = self.message()
        if ready and "QMP" in self.greeting:
            self.run("qmp_capabilities")

    def message(self):
        """The next one, of whatever kind; None at the end. Descriptors are added to @fds."""
        while b"\n" not in self.data:
            data, control, _, _ = self.sock.recvmsg(65536, socket.CMSG_SPACE(256 * 4))
            for level, kind, payload in control:
                assert (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS)
                fds = array.array("i")
                fds.frombytes(payload)
                self.fds += fds
            if not data:
                return None
            self.data += data
        line, _, self.data = self.data.partition(b"\n")
        assert line.endswith(b"\r"), line
        return json.loads(line)

    def send(self, text, fds=()):
        data = text.encode() if isinstance(text, str) else text
        control = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        sent = self.sock.sendmsg([data], control)
        if sent < len(data):
            self.sock.sendall(data[sent:])

    def answer(self):
        """The next message that is no event."""
        while True:
            message = self.message()
            assert message is not None, "the server has closed the connection"
            if "event" not in message:
                return message
            self.events.append(message)

    def run(self, command, *, fds=(), **arguments):
        """Returns what the command returns, or raises Refused."""
        self.send(json.dumps({"execute": command, "arguments": arguments}), fds)
        answer = self.answer()
        if "error" in answer:
            raise Refused(answer["error"])
        return answer["return"]

    def wait_event(self, name, **data):
        """The first event of this name with these data, which is forgotten together with those before it."""
        while True:
            while self.events:
                event = self.events.pop(0)
                if event["event"] == name and data.items() <= event.get("data", {}).items():
                    return event
            message = self.message()
            assert message is not None, "the server has closed the connection"
            assert "event" in message, message
            self.events.append(message)

    def wait_port(self, name, condition, timeout=10):
        """Until a port's row in query-ports is as wanted."""
        deadline = time.monotonic() + timeout
        while True:
            row = self.run("query-ports", id=name)[0]
            if condition(row):
                return row
            assert time.monotonic() < deadline, row

    def close(self):
        self.sock.close()
        for fd in self.fds:
            os.close(fd)
        self.fds = []

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()
