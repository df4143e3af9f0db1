#!/usr/bin/python3 -B
# SPDX-License-Identifier: MIT
"""The benchmark: vmtap next to QEMU and others as a relay between a TAP and a unix socket.

The back ends are measured in turn (A B A B ...), so that what the machine does meanwhile meets all
of them alike; the table has medians, ranges and ratios to the first back end named.
"""
import argparse
import json
import os
import signal
import subprocess
import sys
import time

import backend
import benches
import host
import report
import sandbox

EXIT_MISSED, EXIT_USAGE, EXIT_FAILED, EXIT_TIME = 1, 2, 3, 124
LOAD_FULL = 0.95      # cores; from here on the load is the limit
DISTURBED = 0.05      # share of all cores' time that others took during a run
WARM_SECS, EXTRA_SECS = 0.3, 1.5
NEEDED = ("ip",)

EPILOG = """
benches: relay (frames a second, CPU, latency, idle), share (does a flood one way starve the
other?), loss (is anything lost that the kernel had not dropped?). Default: all.

peers: qemu, vde, vmtap, the path of another vmtap; each also as NAME=...; or NAME=COMMAND with
{tap} and {sock} in it, for a back end that listens on {sock} with QEMU's stream framing, and {peer}
when it speaks datagrams. The first is what the ratios compare with. "again=qemu" beside "qemu"
shows how much two equal back ends differ on this machine.

exit status: 0 measured; 1 a required figure was missed (only with --strict); 2 wrong usage or
something needed is missing; 3 a run failed; 124 the time was up.

The environment sets the defaults: BENCHES PEERS MODES TESTS REPS SECS LOSS_FRAMES LOSS_PEERS JSON
STRICT=1, as in "make bench REPS=5 PEERS='qemu vmtap'"; QEMU names another qemu-system program.
bench/README.md explains the figures.
"""


class TimeUp(Exception):
    """The benchmark as a whole has taken too long, or was told to stop."""


def options(argv):
    env = os.environ.get
    p = argparse.ArgumentParser(prog="bench/run.sh", description=__doc__, epilog=EPILOG,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("bench", nargs="*", help="relay, share, loss; name them before the options")
    p.add_argument("--peers", nargs="+", metavar="PEER",
                   help="back ends, in turn (default: qemu vmtap vde, as far as they are there)")
    p.add_argument("--modes", nargs="+", choices=["stream", "dgram"], help="default: both")
    p.add_argument("--tests", nargs="+", metavar="TEST",
                   help="for relay, instead of the usual: up:SIZE[:BATCH], down:SIZE, both:SIZE, "
                        "ping:SIZE[:PAUSE_US], idle:SECS")
    p.add_argument("--reps", type=int, default=env("REPS", "3"), help="repetitions (%(default)s)")
    p.add_argument("--secs", type=float, default=env("SECS", "1"),
                   help="length of a test (%(default)s)")
    p.add_argument("--loss-frames", type=float, default=env("LOSS_FRAMES", "1e7"),
                   help="frames each way in loss (%(default)s)")
    p.add_argument("--loss-secs", type=float, default=600,
                   help="most that loss may take for one back end and mode (%(default)s)")
    p.add_argument("--loss-peers", nargs="+", metavar="NAME",
                   help="back ends in loss, by name (default: those that figures are asked of)")
    p.add_argument("--json", metavar="FILE", default=env("JSON"),
                   help="write everything there as well")
    p.add_argument("--strict", action="store_true", default=env("STRICT", "0") not in ("", "0"),
                   help="fail when a required figure is missed")
    p.add_argument("--build", default="build", help="Meson's build folder (%(default)s)")
    p.add_argument("--load", help="the load generator (default: BUILD/bench/load)")
    p.add_argument("--no-pin", action="store_true", help="let the scheduler place the processes")
    p.add_argument("--dgram-qlen", type=int, default=10,
                   help="net.unix.max_dgram_qlen; a new namespace has %(default)s, the default; "
                        "systemd sets 512 for a whole host")
    p.add_argument("--timeout", type=float, default=2700, help="seconds for all (%(default)s)")
    o = p.parse_args(argv)
    for name, known in (("bench", ["relay", "share", "loss"]), ("modes", ["stream", "dgram"])):
        variable = "BENCHES" if name == "bench" else name.upper()
        value = getattr(o, name) or env(variable, "").split() or known
        unknown = [v for v in value if v not in known]
        if unknown:
            p.error(f"{' '.join(unknown)}: not one of {', '.join(known)}")
        setattr(o, name, value)
    for name in ("peers", "tests", "loss_peers"):
        setattr(o, name, getattr(o, name) or env(name.upper(), "").split())
    if o.reps < 1 or not 0.05 <= o.secs <= 600 or o.loss_frames < 1:
        p.error("--reps, --secs or --loss-frames is out of range")
    o.loss_frames = int(o.loss_frames)
    o.load = o.load or os.path.join(o.build, "bench/load")
    return o


def find_peers(o):
    """The back ends to measure, and remarks about those that are not there."""
    kinds, remarks = [], []
    for word in o.peers or ["qemu", "vmtap", "vde"]:
        try:
            kinds.append(backend.find(word, os.path.join(os.path.abspath(o.build), "vmtap")))
        except backend.BackendError as e:
            if o.peers:
                raise
            remarks.append(f"{word} left out: {e}")
    names = [k.name for k in kinds]
    if len(set(names)) != len(names):
        raise backend.BackendError("two back ends have the same name; use NAME=...")
    if not kinds:
        raise backend.BackendError("no back end to measure: " + "; ".join(remarks))
    return kinds, remarks


class Plan:
    """One run: a back end, a mode, a list of tests."""

    def __init__(self, bench, kind, mode, rep, tests, secs):
        self.bench, self.kind, self.mode, self.rep = bench, kind, mode, rep
        self.tests = tests
        self.secs = secs  # estimated

    def title(self):
        return f"{self.bench} {self.mode} {self.kind.name}"


def test_secs(o, test):
    """A test's length, about."""
    if test.startswith("idle"):
        return float((test.split(":") + ["2"])[1]) + WARM_SECS
    return o.secs + WARM_SECS + 0.1


def loss_peers(o, kinds):
    if o.loss_peers:
        return [k for k in kinds if k.name in o.loss_peers]
    return [k for k in kinds if not k.reference] or kinds


def plans(o, kinds):
    out = []
    for bench in o.bench:
        reps = 1 if bench == "loss" else o.reps
        for rep in range(1, reps + 1):
            for mode in o.modes:
                for kind in loss_peers(o, kinds) if bench == "loss" else kinds:
                    if mode not in kind.modes:
                        continue
                    if bench == "loss":
                        tests, secs = [f"loss:{o.loss_frames}"], o.loss_frames / 1.5e5
                    else:
                        tests = benches.TESTS[bench, mode]
                        if bench == "relay" and o.tests:
                            tests = o.tests
                        secs = sum(test_secs(o, t) for t in tests)
                    out.append(Plan(bench, kind, mode, rep, tests, secs + EXTRA_SECS))
    return out


class Bench:
    """Does what is planned; keeps the results and what went wrong."""

    def __init__(self, o, load_core, backend_core):
        self.o = o
        self.load_core, self.backend_core = load_core, backend_core
        self.results = report.Results()
        self.runs = []     # for JSON: every line with its circumstances
        self.odd = {}      # (who, what) -> how often
        self.failed = 0
        self.load_cores = {}  # ((bench, mode, test), peer) -> [cores that the load used]

    def load_argv(self, plan, running):
        argv = [os.path.abspath(self.o.load), "-t", backend.TAP, "-s", running.sock,
                "-p", ",".join(map(str, running.pids())), "-d", str(self.o.secs),
                "-w", str(WARM_SECS), "-m", str(self.o.loss_secs)]
        if running.peer:
            argv += ["-b", running.peer]
        return argv + plan.tests

    def load(self, plan, running):
        """The load's lines."""
        def pin():
            if self.load_core is not None:
                os.sched_setaffinity(0, {self.load_core})

        limit = self.o.loss_secs if plan.bench == "loss" else plan.secs
        done = subprocess.run(self.load_argv(plan, running), stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=pin,
                              timeout=limit + 30 + 3 * len(plan.tests), check=False)
        if done.returncode:
            running.died(0.5)
            said = done.stderr.decode(errors="replace").strip()
            return done.stdout.decode(), said + running.said()
        return done.stdout.decode(), None

    def run(self, plan):
        clock, error, text = host.Clock(), None, ""
        try:
            with backend.Backend(plan.kind, plan.mode, sandbox.TMP, self.backend_core) as running:
                text, error = self.load(plan, running)
        except subprocess.TimeoutExpired as e:
            error, text = "the load took too long", (e.stdout or b"").decode()
        except backend.BackendError as e:
            error = f"{error}; {e}" if error else str(e)
        stolen, others = host.Clock().since(clock)
        for line in text.splitlines():
            self.keep(plan, line, stolen, others)
        if error:
            self.failed += 1
            self.results.note(f"{plan.title()} FAILED: {error}")
        return error

    def keep(self, plan, line, stolen, others):
        fields = benches.parse(line)
        name = benches.test_name(fields)
        for s in benches.samples(plan.bench, plan.mode, plan.kind.name, plan.rep, fields):
            self.results.add(s)
        for what, count in benches.oddities(fields):
            who = f"{plan.kind.name}, {plan.mode} {name}"
            self.odd[who, what] = self.odd.get((who, what), 0) + count
        key = ((plan.bench, plan.mode, name), plan.kind.name)
        self.load_cores.setdefault(key, []).append(fields.get("load_cpu", 0))
        self.runs.append({"bench": plan.bench, "mode": plan.mode, "peer": plan.kind.name,
                          "rep": plan.rep, "run_stolen": round(stolen, 4),
                          "run_others": round(others, 4), **fields})

    def limited(self):
        """Where the load used up its core in half of the repetitions or more."""
        return {key for key, used in self.load_cores.items()
                if sorted(used)[len(used) // 2] >= LOAD_FULL}

    def disturbed(self):
        runs = {(r["bench"], r["mode"], r["peer"], r["rep"]): r["run_others"] for r in self.runs}
        return sum(1 for share in runs.values() if share > DISTURBED), len(runs)


def measure(bench, todo):
    """Every plan in turn; returns whether the time sufficed."""
    try:
        for i, plan in enumerate(todo, 1):
            begin = time.monotonic()
            print(f"[{i:2}/{len(todo)}] {plan.title()}, repetition {plan.rep} ...", end="",
                  file=sys.stderr, flush=True)
            error = bench.run(plan)
            print(f" FAILED: {error}" if error else f" {time.monotonic() - begin:.0f} s",
                  file=sys.stderr, flush=True)
    except TimeUp as e:
        print(f"\nstopped: {e}", file=sys.stderr)
        bench.results.note("stopped before the end; what follows from fewer repetitions says less")
        return False
    return True


def machine_line(machine, stolen, others, disturbed):
    n, runs = disturbed
    line = (f"machine: {machine['cpu']}, {machine['cores']} cores, Linux {machine['kernel']}; "
            f"of all cores' time the host took {stolen:.1%}, other processes {others:.1%}")
    if n:
        line += f"; in {n} of {runs} runs others took more than {DISTURBED:.0%}: measure again"
    return line


def publish(bench, o, kinds, machine, verdicts, stolen, others):
    first = kinds[0].name
    print(report.table(bench.results, first, verdicts, bench.limited()))
    print("\n" + machine_line(machine, stolen, others, bench.disturbed()))
    for kind in kinds:
        if kind.version:
            print(f"  {kind.name}: {kind.version}")
    met = sum(v.met for v in verdicts)
    if verdicts:
        print(f"required figures: {met} of {len(verdicts)} met")
    if o.json:
        write_json(bench, o, kinds, machine, verdicts, stolen, others)


def write_json(bench, o, kinds, machine, verdicts, stolen, others):
    r = bench.results
    medians = [{"bench": k[0], "mode": k[1], "test": k[2], "metric": k[3], "peer": p,
                "median": r.median(k, p), "values": list(r.values(k, p).values()),
                "ratio_to_first": (r.ratio(k, p, kinds[0].name) or [None])[0]}
               for k in r.keys() for p in r.peers() if r.values(k, p)]
    data = {
        "format": 1,
        "machine": {**machine, "stolen": round(stolen, 4), "others": round(others, 4)},
        "options": {k: v for k, v in vars(o).items() if k not in ("json", "load", "build")},
        "build": host.build_options(o.build),
        "peers": {k.name: {"version": k.version, "modes": k.modes, "reference": k.reference}
                  for k in kinds},
        "medians": medians,
        "required": [{"bench": v.requirement.bench, "mode": v.mode, "test": v.requirement.test,
                      "metric": v.requirement.metric, "peer": v.peer,
                      "required": v.requirement.text(), "value": v.value, "met": v.met}
                     for v in verdicts],
        "noticed": r.notes,
        "runs": bench.runs,
    }
    with open(o.json, "w", encoding="utf-8") as f:
        json.dump(data, f, indent=1)
        f.write("\n")


def inside(o, kinds, remarks):
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
    todo = plans(o, kinds)
    machine = host.describe()
    print(f"{len(todo)} runs, about {sum(p.secs for p in todo) / 60:.0f} minutes",
          file=sys.stderr, flush=True)
    clock = host.Clock()
    whole = measure(bench, todo)
    signal.setitimer(signal.ITIMER_REAL, 0)
    stolen, others = host.Clock().since(clock)
    for (who, what), count in bench.odd.items():
        bench.results.note(f"{who}: {count:.0f} {what}")
    candidates = [k.name for k in kinds if not k.reference]
    verdicts = report.judge(bench.results, benches.requirements(o.loss_frames), candidates)
    publish(bench, o, kinds, machine, verdicts, stolen, others)
    if not whole:
        return EXIT_TIME
    if bench.failed:
        return EXIT_FAILED
    if o.strict and not (verdicts and all(v.met for v in verdicts)):
        return EXIT_MISSED
    return 0


def main(argv):
    o = options(argv)
    try:
        if not os.access(o.load, os.X_OK):
            raise backend.BackendError(f"{o.load} is not there; ninja -C {o.build} bench-load")
        if not os.access("/dev/net/tun", os.R_OK | os.W_OK):
            raise backend.BackendError("/dev/net/tun: not there, or not for us")
        for program in NEEDED:
            backend.need(program)
        if o.json:  # not found out after an hour
            open(o.json, "a", encoding="utf-8").close()
        kinds, remarks = find_peers(o)
        sandbox.enter()
    except (backend.BackendError, sandbox.SandboxError, OSError) as e:
        print(f"bench: {e}", file=sys.stderr)
        return EXIT_USAGE
    return inside(o, kinds, remarks)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
