# SPDX-License-Identifier: MIT
"""vmtap capture, and what it wrote as tshark and capinfos read it.

    with Capture(server, "vm0", "-w", path) as capture:
        ...
        status, said = capture.end()
    rows = fields(path, "frame.interface_name", "icmp.type", only=("icmp",))

The environment variable VMTAP_CLIENT names another program than the server's: one under ThreadSanitizer hears no
signal while it waits.
"""

import os
import shutil
import signal
import subprocess

import pytest

import vmtap

needs_tshark = pytest.mark.skipif(not shutil.which("tshark"), reason="tshark is missing (scripts/deps.sh test)")

CHECKS = ["-o", "ip.check_checksum:TRUE", "-o", "tcp.check_checksum:TRUE", "-o", "udp.check_checksum:TRUE"]


class Capture:
    """vmtap capture in the background, begun."""

    def __init__(self, server, *args, stdout=subprocess.DEVNULL):
        program = os.environ.get("VMTAP_CLIENT") or vmtap.program()
        self.proc = subprocess.Popen([program, "--control", server.path, "capture", *args],
                                     stdout=stdout, stderr=subprocess.PIPE, text=True)
        self.first = self.proc.stderr.readline()

    def __enter__(self):
        assert self.first.startswith("capturing on"), self.first
        return self

    def end(self):
        if self.proc.poll() is None:
            self.proc.send_signal(signal.SIGINT)
        said = self.proc.communicate(timeout=20)[1]
        return self.proc.returncode, said

    def __exit__(self, *exc):
        self.end()


def tshark(path, *args):
    done = subprocess.run(["tshark", "-n", "-r", path, *CHECKS, *args], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def fields(path, *names, only=()):
    wanted = [word for name in names for word in ("-e", name)]
    return [line.split("\t") for line in tshark(path, "-T", "fields", *wanted, *only).splitlines()]


def capinfos(path):
    done = subprocess.run(["capinfos", path], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout
