#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""How long do the commands of vmtap serve take with many ports?

usage: bench/control.py [PORTS]

Opens PORTS null ports (256), one command each, joins them in pairs, asks for all statistics, and closes them.
Prints microseconds: the median, and the slowest. The program is build/vmtap, or $VMTAP.
"""

import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


class Control:
    """A connection; timed() has a command run and keeps how long it took."""

    def __init__(self, path):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(path)
        self.file = self.sock.makefile("rb")
        self.times = {}
        self.file.readline()
        self.timed("qmp_capabilities")

    def timed(self, command, **arguments):
        start = time.perf_counter()
        self.sock.sendall(json.dumps({"execute": command, "arguments": arguments}).encode())
        while True:
            line = self.file.readline()
            if not line.startswith(b'{"event"'):
                break
        self.times.setdefault(command, []).append((time.perf_counter() - start) * 1e6)
        answer = json.loads(line)
        assert "return" in answer, answer


def measure(path, ports):
    ctl = Control(path)
    for i in range(ports):
        ctl.timed("port_add", type="null", id="p%d" % i)
    for i in range(0, ports - 1, 2):
        ctl.timed("connect", id="p%d" % i, peer="p%d" % (i + 1))
    for _ in range(100):
        ctl.timed("query-stats")
        ctl.timed("query-ports")
    for i in range(ports):
        ctl.timed("port_del", id="p%d" % i)
    ctl.timed("quit")
    return ctl.times


def main(args):
    ports = int(args[0]) if args else 256
    with tempfile.TemporaryDirectory(prefix="vmtap-") as folder:
        path = os.path.join(folder, "control.sock")
        program = os.environ.get("VMTAP") or os.path.join(TOP, "build", "vmtap")
        with subprocess.Popen([program, "-v", "serve", "--control", path], stderr=subprocess.PIPE) as server:
            while b"ready" not in server.stderr.readline():
                assert server.poll() is None, "vmtap serve ended"
            times = measure(path, ports)
    print("%d ports, microseconds: median, slowest" % ports)
    for command in "port_add", "connect", "query-stats", "query-ports", "port_del":
        print("  %-12s %8.0f %8.0f" % (command, statistics.median(times[command]), max(times[command])))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
