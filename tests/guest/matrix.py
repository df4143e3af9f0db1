#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Linux guests over vhost-user, in every combination of what a virtio-net NIC can be.

    matrix.py [--every N] [--tally FILE]

Boots guests with many NICs each, and has each NIC carry everything (Link.check()). Prints how it
goes, what failed, and at the end a table by choice. With --every only one combination in N, spread
over all. FILE gets "PASSED FAILED SKIPPED". Exit status: 0 when nothing failed.
"""

import argparse
import collections
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
for path in os.path.join(TOP, "tests", "lib"), os.path.join(TOP, "scripts", "guest"):
    sys.path.insert(0, path)

import combos  # noqa: E402  (found through the lines above)
from vucombo import NICS_MAX, ComboLab  # noqa: E402


def try_boot(some, failures):
    """One guest with a NIC for each of @some. Adds to @failures: number -> why."""
    folder = tempfile.mkdtemp(prefix="vmtap-")
    lab = None
    try:
        lab = ComboLab(some, folder)
        for number, link in lab.links.items():
            try:
                link.check()
            except Exception:  # whatever it is, the others are still to be tried
                failures[number] = "%s\n%s" % (traceback.format_exc(limit=-2), "".join(t for _, t in link.logs()))
            if lab.guest.proc.poll() is not None:
                raise RuntimeError("QEMU has ended\n" + lab.guest.log_text())
    except Exception as e:
        for number, _ in some:
            failures.setdefault(number, "the guest of %d NICs failed: %s" % (len(some), e))
    finally:
        if lab:
            lab.close()
        shutil.rmtree(folder)


def table(tried, failures):
    rows = collections.Counter()
    bad = collections.Counter()
    for number, combo in tried:
        for choice in combo.items():
            rows[choice] += 1
            bad[choice] += number in failures
    print("\n%-12s %-20s %7s %7s" % ("", "", "passed", "failed"))
    for dimension, values in combos.DIMENSIONS.items():
        for value in values:
            key = dimension, value
            print("%-12s %-20s %7d %7d" % (dimension, value, rows[key] - bad[key], bad[key]))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--every", type=int, default=int(os.environ.get("MATRIX_EVERY", 1)))
    parser.add_argument("--tally")
    args = parser.parse_args()
    subprocess.run([os.path.join(TOP, "scripts", "guest-image.sh")], check=True)
    tried = list(enumerate(combos.every()))
    # Those next to each other are alike; so any part has something of everything.
    random.Random(1).shuffle(tried)
    tried = tried[::args.every]
    failures = {}
    begin = time.monotonic()
    print("%d combinations, %d NICs a guest" % (len(tried), NICS_MAX), flush=True)
    for at in range(0, len(tried), NICS_MAX):
        some = tried[at:at + NICS_MAX]
        try_boot(some, failures)
        for number, combo in some:
            if number in failures:
                print("FAILED: %s\n%s" % (combos.name(combo), failures[number]))
        done = at + len(some)
        spent = time.monotonic() - begin
        print("%5d of %d, %d failed, %d s; about %d min to go" % (
            done, len(tried), len(failures), spent, spent / done * (len(tried) - done) / 60 + 0.5), flush=True)
    table(tried, failures)
    if args.tally:
        with open(args.tally, "w") as f:
            print(len(tried) - len(failures), len(failures), 0, file=f)
    return bool(failures)


if __name__ == "__main__":
    sys.exit(main())
