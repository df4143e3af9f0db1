# SPDX-License-Identifier: MIT
"""vmtap top at a terminal, which gets its modes back, and without one."""

import fcntl
import os
import pty
import re
import select
import signal
import socket
import struct
import subprocess
import termios
import time

import pytest

import vmtap
from ctl import Serve


@pytest.fixture
def serve(ns, folder):
    with Serve(ns, folder) as server, server.client() as client:
        client.run("port_add", type="null", id="sink")
        client.run("port_add", type="null", id="source", size=100)
        client.run("connect", id="source", peer="sink")
        yield server


def command(serve, *options):
    return [vmtap.program(), "--control", serve.path, "--watch=0.1", *options, "top"]


class Terminal:
    """vmtap top with a terminal of that size."""

    def __init__(self, serve, lines=24, columns=80, locale="C.UTF-8"):
        self.fd, self.slave = pty.openpty()
        self.resize(lines, columns)
        self.before = termios.tcgetattr(self.slave)
        self.seen = b""
        self.proc = subprocess.Popen(command(serve), stdin=self.slave, stdout=self.slave, stderr=self.slave,
                                     start_new_session=True, env={**os.environ, "TERM": "xterm", "LC_ALL": locale})

    def resize(self, lines, columns):
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("4H", lines, columns, 0, 0))

    def type(self, keys):
        os.write(self.fd, keys.encode())

    def wait(self, pattern):
        """Until that is written; what came before it is forgotten."""
        deadline = time.monotonic() + 20
        while True:
            found = re.search(pattern.encode(), self.seen)
            if found:
                self.seen = self.seen[found.end():]
                return
            left = deadline - time.monotonic()
            assert left > 0 and select.select([self.fd], [], [], left)[0], "only %r" % self.seen[-500:]
            self.seen += os.read(self.fd, 65536)

    def ended(self):
        """The exit status. What is still written is read, so that nobody waits for room."""
        deadline = time.monotonic() + 20
        while self.proc.poll() is None and time.monotonic() < deadline:
            if select.select([self.fd], [], [], 0.05)[0]:
                self.seen += os.read(self.fd, 65536)
        status = self.proc.wait(timeout=1)
        while select.select([self.fd], [], [], 0)[0]:
            self.seen += os.read(self.fd, 65536)
        assert termios.tcgetattr(self.slave) == self.before
        assert b"\x1b[?1049l" in self.seen  # the screen from before
        return status

    def close(self):
        if self.proc.poll() is None:
            self.proc.kill()
            self.proc.wait()
        os.close(self.fd)
        os.close(self.slave)


@pytest.fixture
def terminal(serve):
    made = []

    def make(**keys):
        made.append(Terminal(serve, **keys))
        return made[-1]
    yield make
    for one in made:
        one.close()


@pytest.mark.parametrize("lines, columns", [(24, 80), (5, 20)])
def test_keys_and_the_end(terminal, lines, columns):
    screen = terminal(lines=lines, columns=columns)
    screen.wait("source")
    assert termios.tcgetattr(screen.slave) != screen.before
    screen.type("s")
    if columns >= 80:
        screen.wait("type")  # in the first line
    screen.type("rh")
    screen.wait("q quit")
    screen.type("q")
    assert screen.ended() == 0


def test_a_filter_and_another_size(terminal):
    screen = terminal()
    screen.wait("source")
    screen.type("/~\n")
    screen.wait("~")
    screen.resize(30, 120)
    screen.proc.send_signal(signal.SIGWINCH)
    screen.wait("0 of 2 ports")  # written anew
    screen.type("q")
    assert screen.ended() == 0


def test_block_characters_where_they_are_known(terminal):
    screen = terminal()
    screen.wait("\u2588")
    plain = terminal(locale="C")
    plain.wait("#")
    assert b"\xe2" not in plain.seen
    for one in screen, plain:
        one.type("q")
        assert one.ended() == 0


@pytest.mark.parametrize("sig", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_restore_the_terminal(terminal, sig):
    screen = terminal()
    screen.wait("source")
    screen.proc.send_signal(sig)
    assert screen.ended() == 0


def crowd(serve):
    """Connections to a server that takes none of them, until it has room for no more."""
    made = []
    while True:
        made.append(socket.socket(socket.AF_UNIX))
        made[-1].setblocking(False)
        try:
            made[-1].connect(serve.path)
        except BlockingIOError:
            return made


@pytest.mark.parametrize("full", [False, True], ids=["silent", "full"])
@pytest.mark.parametrize("by", ["q", signal.SIGTERM])
def test_a_server_that_does_not_answer_holds_nobody(terminal, serve, full, by):
    screen = terminal()
    screen.wait("source")
    serve.proc.send_signal(signal.SIGSTOP)
    others = crowd(serve) if full else []
    try:
        screen.wait("does not answer")
        screen.type("r")
        screen.wait("reversed")  # keys are heard
        if by == "q":
            screen.type("q")
        else:
            screen.proc.send_signal(by)
        assert screen.ended() == 0
    finally:
        serve.proc.send_signal(signal.SIGCONT)
        for sock in others:
            sock.close()


def test_it_goes_on_when_the_server_does(terminal, serve):
    screen = terminal()
    screen.wait("source")
    serve.proc.send_signal(signal.SIGSTOP)
    try:
        screen.wait("does not answer")
    finally:
        serve.proc.send_signal(signal.SIGCONT)
    with serve.client() as client:
        client.run("port_add", type="null", id="later")
    screen.wait("later")
    screen.type("q")
    assert screen.ended() == 0


def test_one_table_without_a_terminal(serve):
    done = subprocess.run(command(serve), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stderr) == (0, "")
    heading, *rows = done.stdout.splitlines()
    assert heading.split() == ["port", "type", "state", "peer", "rx/s", "rxbit", "tx/s", "txbit", "drop"]
    assert [row.split()[:4] for row in rows] == [["sink", "null", "up", "source"], ["source", "null", "up", "sink"]]
    assert rows[0].split()[6] != "0" and rows[1].split()[4] != "0"


def test_what_cannot_be(serve, folder):
    done = subprocess.run([*command(serve), "sink"], capture_output=True, text=True, timeout=30)
    assert done.returncode == 2 and "takes no argument" in done.stderr
    done = subprocess.run([vmtap.program(), "--control", folder + "/none", "top"], capture_output=True, text=True, timeout=30)
    assert done.returncode == 3 and not done.stdout
