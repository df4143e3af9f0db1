# SPDX-License-Identifier: MIT
"""The programs in examples/ do what they say.

    app-port  <-- libvmtap --> responder          (no interface at all)
    app-port  <-- libvmtap --> vm0 (TAP) <--> the kernel of a namespace
    lwip-echo <-- libvmtap --> vm0 (TAP) <--> a TCP client in that namespace
"""

import contextlib
import hashlib
import os
import random
import select
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "lib"))
from netns import Netns, end  # noqa: E402

TOP = Path(__file__).parents[2]
EXAMPLES = Path(os.environ.get("VMTAP_BUILD") or TOP / "build") / "examples"
TAP = "tap,ifname=vm0,script=no,downscript=no"
TIMEOUT = 10


def example(name):
    """The path of an example. Only lwip-echo may be missing, where lwIP is."""
    path = EXAMPLES / name
    if name == "lwip-echo" and not path.exists():
        pytest.skip("%s was not built: it needs liblwip-dev" % path)
    return path


class Program:
    """An example that runs; what it prints is read line by line."""

    def __init__(self, ns, name, *args):
        self.proc = ns.popen([example(name), *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.lines = []
        self.rest = b""

    def wait_for(self, text):
        """Read until a line contains @text, and return the line."""
        deadline = time.monotonic() + TIMEOUT
        fd = self.proc.stdout.fileno()
        while True:
            while b"\n" in self.rest:
                line, self.rest = self.rest.split(b"\n", 1)
                self.lines.append(line.decode())
                if text in self.lines[-1]:
                    return self.lines[-1]
            left = deadline - time.monotonic()
            assert left > 0 and select.select([fd], [], [], left)[0], (
                "%r did not come, only %r" % (text, self.lines))
            data = os.read(fd, 65536)
            assert data, "it ended: %s" % self.proc.stderr.read().decode()
            self.rest += data


@pytest.fixture
def ns():
    with Netns() as made:
        yield made


@contextlib.contextmanager
def running(ns, name, *args):
    """Runs meanwhile; a signal must end it at once and with success."""
    program = Program(ns, name, *args)
    yield program
    assert end(program.proc, TIMEOUT, signal.SIGTERM) == 0


def make_tap(ns):
    """A TAP that is there before the program, so that the kernel's side is ready."""
    ns.run("ip tuntap add vm0 mode tap && ip address add 10.0.0.1/24 dev vm0 && ip link set vm0 up")


def test_app_port_finds_the_responder(ns):
    with running(ns, "app-port", "responder,ip=10.0.0.2,mac=52:54:00:00:00:02", "10.0.0.2") as app:
        app.wait_for("10.0.0.2 is there")
        assert "42 bytes from 52:54:00:00:00:02, type 0x0806" in app.lines


def test_app_port_talks_to_the_kernel_through_a_tap(ns):
    make_tap(ns)
    mac = ns.links()["vm0"]["address"]
    with running(ns, "app-port", TAP, "10.0.0.1") as app:
        app.wait_for("10.0.0.1 is there")
        assert "42 bytes from %s, type 0x0806" % mac in app.lines
        with ns.enter(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.sendto(b"x", ("10.0.0.9", 9))  # makes the kernel ask who that is
        app.wait_for("42 bytes from %s, type 0x0806" % mac)


@pytest.mark.parametrize("spec, says", [
    ("tap,ifnam=vm0", "ifnam"),
    ("tab,ifname=vm0", "tab"),
    ("responder,ip=10.0.0", "ip=10.0.0"),
])
@pytest.mark.parametrize("program", [["app-port"], ["lwip-echo", "10.0.0.2"]], ids=lambda p: p[0])
def test_examples_explain_a_wrong_port(ns, program, spec, says):
    done = ns.run([example(program[0]), spec, *program[1:]], check=False)
    assert done.returncode == 1
    assert says in done.stderr


def echo(address, data):
    """Send @data and read it all back at the same time. Returns what came back."""
    back = bytearray()
    sent = 0
    with socket.create_connection(address, TIMEOUT) as sock:
        sock.setblocking(False)
        while True:
            readable, writable, _ = select.select([sock], [sock] if sent < len(data) else [], [],
                                                  TIMEOUT)
            assert readable or writable, "stuck after %u sent, %u back" % (sent, len(back))
            if writable:
                sent += sock.send(data[sent:sent + 65536])
                if sent == len(data):
                    sock.shutdown(socket.SHUT_WR)
            if readable:
                got = sock.recv(65536)
                if not got:
                    return bytes(back)
                back += got


def test_lwip_echoes_every_byte(ns):
    make_tap(ns)
    data = random.Random(7).randbytes(700 * 1000 + 1)
    with running(ns, "lwip-echo", TAP, "10.0.0.2") as server:
        server.wait_for("echo on 10.0.0.2 port 7")
        with ns.enter():
            for part in data[:1], data[:5000], data:
                back = echo(("10.0.0.2", 7), part)
                assert len(back) == len(part)
                assert hashlib.sha256(back).digest() == hashlib.sha256(part).digest()


def test_lwip_holds_back_a_client_that_does_not_read(ns):
    make_tap(ns)
    data = random.Random(8).randbytes(2 * 1000 * 1000)
    with running(ns, "lwip-echo", TAP, "10.0.0.2") as server:
        server.wait_for("echo on 10.0.0.2 port 7")
        with ns.enter(), socket.socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
            sock.settimeout(TIMEOUT)
            sock.connect(("10.0.0.2", 7))
            sock.setblocking(False)
            sent = 0
            # Until nothing is taken for a while: far less than all of it went into lwIP.
            while sent < len(data) and select.select([], [sock], [], 0.5)[1]:
                sent += sock.send(data[sent:sent + 65536])
            assert 4096 < sent < 1000 * 1000
            # Then it goes on, and nothing is missing.
            back = bytearray()
            while len(back) < sent:
                assert select.select([sock], [], [], TIMEOUT)[0], "stuck at %u" % len(back)
                back += sock.recv(65536)
            assert bytes(back) == data[:sent]
