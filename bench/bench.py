#!/usr/bin/python3 -B
# SPDX-License-Identifier: MIT
"""The benchmark: vmtap next to the kernel's limit, QEMU, VDE and DPDK.

The back ends are measured in turn (A B A B ...), so that what the machine does meanwhile meets all
of them alike; the table has medians, ranges and ratios to the first back end of each bench.
"""
import contextlib
import os
import signal
import sys
import time

import asked
import backend
import benches
import host
import linuxguest
import publish
import report
import sandbox
from options import options
from plan import Env
from plans import plans

EXIT_MISSED, EXIT_USAGE, EXIT_FAILED, EXIT_TIME = 1, 2, 3, 124
LOAD_FULL = 0.95      # cores; from here on the load is the limit
NEEDED = ("ip",)


class TimeUp(Exception):
    """The benchmark as a whole has taken too long, or was told to stop."""


class Bench:
    """Does what is planned; keeps the results and what went wrong."""

    def __init__(self, o, load_core, backend_core):
        self.env = Env(o, sandbox.TMP, load_core, backend_core)
        self.results = report.Results()
        self.runs = []     # for JSON: every line with its circumstances
        self.odd = {}      # (who, what) -> how often
        self.failed = 0
        self.load_cores = {}  # ((bench, mode, test), peer) -> [cores that the load used]

    def run(self, plan):
        clock, error, lines = host.Clock(), None, []
        try:
            with contextlib.closing(plan.measure(self.env)) as measuring:
                for fields in measuring:
                    lines.append(fields)
        except backend.BackendError as e:
            error = str(e)
        stolen, others = host.Clock().since(clock)
        for fields in lines:
            self.keep(plan, fields, stolen, others)
        if error:
            self.failed += 1
            self.results.note(f"{plan.title()} FAILED: {error}")
        return error

    def keep(self, plan, fields, stolen, others):
        name = benches.test_name(fields)
        for s in benches.samples(plan.bench, plan.mode, plan.peer, plan.rep, fields):
            self.results.add(s)
        for what, count in benches.oddities(fields):
            who = f"{plan.peer}, {plan.mode} {name}"
            self.odd[who, what] = self.odd.get((who, what), 0) + count
        key = ((plan.bench, plan.mode, name), plan.peer)
        self.load_cores.setdefault(key, []).append(fields.get("load_cpu", 0))
        self.runs.append({"bench": plan.bench, "mode": plan.mode, "peer": plan.peer,
                          "rep": plan.rep, "run_stolen": round(stolen, 4),
                          "run_others": round(others, 4), **fields})

    def limited(self):
        """Where the load used up its core in half of the repetitions or more."""
        return {key for key, used in self.load_cores.items()
                if sorted(used)[len(used) // 2] >= LOAD_FULL}

    def disturbed(self):
        runs = {(r["bench"], r["mode"], r["peer"], r["rep"]): r["run_others"] for r in self.runs}
        return sum(1 for share in runs.values() if share > publish.DISTURBED), len(runs)


def duration(secs):
    return f"{secs:.0f} s" if secs < 100 else f"{secs / 60:.0f} minutes"


def measure(bench, todo):
    """Every plan in turn; returns whether the time sufficed."""
    begin, left, done = time.monotonic(), sum(p.secs for p in todo), 0.0
    try:
        for i, plan in enumerate(todo, 1):
            start = time.monotonic()
            print(f"[{i:2}/{len(todo)}] {plan.title()}, repetition {plan.rep} ...", end="",
                  file=sys.stderr, flush=True)
            error = bench.run(plan)
            done += plan.secs
            left -= plan.secs
            # What was estimated, corrected by how it went so far.
            rest = left * (time.monotonic() - begin) / done
            print((f" FAILED: {error}" if error else f" {time.monotonic() - start:.0f} s")
                  + (f", {duration(rest)} left" if left > 0.5 else ""), file=sys.stderr, flush=True)
    except TimeUp as e:
        print(f"\nstopped: {e}", file=sys.stderr)
        bench.results.note("stopped before the end; what follows from fewer repetitions says less")
        return False
    return True


def inside(o, kinds, todo, remarks):
    """In the namespaces: measure and report."""
    stops = (signal.SIGALRM, signal.SIGTERM, signal.SIGHUP, signal.SIGINT)

    def stop(number, _frame):
        for other in stops:  # once: what follows is cleaning up, which takes seconds at most
            signal.signal(other, signal.SIG_IGN)
        raise TimeUp("the time is up" if number == signal.SIGALRM else "told to stop")

    for number in stops:
        signal.signal(number, stop)
    signal.setitimer(signal.ITIMER_REAL, o.timeout)
    try:
        sandbox.sysctl("net/unix/max_dgram_qlen", o.dgram_qlen)
    except OSError as e:
        remarks.append(f"net.unix.max_dgram_qlen left as it is: {e}")
    bench = Bench(o, *host.cores(not o.no_pin))
    for remark in remarks:
        bench.results.note(remark)
    machine = host.describe()
    print(f"{len(todo)} runs, about {duration(sum(p.secs for p in todo))}",
          file=sys.stderr, flush=True)
    clock = host.Clock()
    whole = measure(bench, todo)
    signal.setitimer(signal.ITIMER_REAL, 0)
    stolen, others = host.Clock().since(clock)
    for (who, what), count in bench.odd.items():
        bench.results.note(f"{who}: {count:.0f} {what}")
    candidates = {k.name: k.polls for k in kinds if not k.reference}
    verdicts = report.judge(bench.results, asked.requirements(o.loss_frames, o.links, o.ports), candidates)
    publish.publish(bench, o, kinds, machine, verdicts, stolen, others)
    if not whole:
        return EXIT_TIME
    if bench.failed:
        return EXIT_FAILED
    if o.strict and not (verdicts and all(v.met for v in verdicts)):
        return EXIT_MISSED
    return 0


def check_needs(o):
    if not os.access(o.load, os.X_OK):
        raise backend.BackendError(f"{o.load} is not there; ninja -C {o.build} bench-programs")
    if not os.access("/dev/net/tun", os.R_OK | os.W_OK):
        raise backend.BackendError("/dev/net/tun: not there, or not for us")
    for program in NEEDED:
        backend.need(program)
    for file in filter(None, (o.json, o.svg)):  # not found out after an hour
        open(file, "a", encoding="utf-8").close()


def prepare_benches(o, remarks):
    """Leaves out, aloud, what this machine lacks the means for; unless it was asked for by name."""
    for bench, prepare in (("vhost", lambda: backend.need("dpdk-testpmd")),
                           ("guest", linuxguest.prepare)):
        if bench not in o.bench:
            continue
        try:
            prepare()
        except backend.BackendError as e:
            if o.named:
                raise
            remarks.append(f"{bench} left out: {e}")
            o.bench.remove(bench)


def main(argv):
    o = options(argv)
    try:
        check_needs(o)
        kinds, remarks = backend.find_all(o.peers, o.build)
        prepare_benches(o, remarks)
        todo = plans(o, kinds)
        if not todo:
            raise backend.BackendError(f"none of {', '.join(k.name for k in kinds)} takes part "
                                       f"in {', '.join(o.bench)}")
        for remark in remarks:
            print(f"bench: {remark}", file=sys.stderr)
        sandbox.enter()
    except (backend.BackendError, sandbox.SandboxError, OSError) as e:
        print(f"bench: {e}", file=sys.stderr)
        return EXIT_USAGE
    return inside(o, kinds, todo, remarks)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
