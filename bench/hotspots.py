#!/usr/bin/python3 -B
# SPDX-License-Identifier: MIT
"""Where a back end's time goes: perf's samples of its processor time, under full load.

    bench/hotspots.py [BUILD [PEER]] [TEST...]

BUILD is Meson's folder (default build), PEER as bench.py has it (default vmtap). A TEST is one of
front's (guest-tap:64, tap-guest:65226, ...) or of load's over a stream (up:64, down:64, ...). It
needs perf (Debian: linux-perf), which may count the clock where the hardware's counters cannot be had.
"""
import os
import re
import subprocess
import sys
import time

import backend
import sandbox
from running import Backend, pin_to

TESTS = ["guest-tap:64", "guest-tap:1500", "guest-tap:65226", "tap-guest:64", "tap-guest:1500",
         "tap-guest:65226", "up:64", "up:64:32", "down:64"]
SECS = 2.0
SYMBOLS = 8
CORES = (0, 1)


def record(pid, data):
    subprocess.run(["perf", "record", "-q", "-e", "cpu-clock", "-F", "4000", "-p", str(pid), "-o",
                    data, "--", "sleep", str(SECS)], stdin=subprocess.DEVNULL,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)


def shares(data, sort):
    """[(share, what)]"""
    out = subprocess.run(["perf", "report", "-i", data, "--stdio", "--sort", sort],
                         stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                         stderr=subprocess.DEVNULL, check=True, text=True).stdout
    found = re.findall(r"^ +([\d.]+)% +(.*?) *$", out, re.M)
    return [(float(share), re.sub(r"\s+(-\s*)*$", "", what)) for share, what in found]


def one(build, kind, test):
    data = os.path.join(sandbox.TMP, "perf.data")
    ours = re.match("guest-tap|tap-guest|both", test)
    mode = "vhost-user" if ours else "stream"
    with Backend(kind, mode, sandbox.TMP, CORES[1]) as running:
        argv = [os.path.join(build, "bench", "front" if ours else "load"), "-t", backend.TAP,
                "-s", running.sock, "-d", str(SECS + 1), *(["-r", "1024"] if ours else []), test]
        load = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                preexec_fn=pin_to(CORES[0]))
        time.sleep(0.6)  # it has connected, and warms up
        record(running.process.pid, data)
        load.communicate(timeout=30)
    by_file = [f"{what.split('.so')[0]} {share:.0f} %" for share, what in shares(data, "dso")[:3]]
    print(f"{test}: " + ", ".join(by_file))
    for share, what in shares(data, "symbol")[:SYMBOLS]:
        print(f"    {share:4.1f} %  {re.sub(r'^.[.k]. ', '', what)}")
    sys.stdout.flush()


def main(args):
    if args and args[0] in ("-h", "--help"):
        print(__doc__)
        return 0
    rest = [a for a in args if not re.search(r":\d", a)]
    build = os.path.abspath(rest[0] if rest else "build")
    kind = backend.find(rest[1] if len(rest) > 1 else "vmtap", build)
    backend.need("perf")
    sandbox.enter()
    for test in [a for a in args if re.search(r":\d", a)] or TESTS:
        one(build, kind, test)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
