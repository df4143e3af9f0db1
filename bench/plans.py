# SPDX-License-Identifier: MIT
"""What is run: a bench is cut into plans, each one back end under some tests."""
import re
import time

import benches
from backend import TAP, BackendError
from bulk import BulkPlan
from control import ControlPlan
from growth import GrowthPlan
from linuxguest import GuestPlan
from paths import CapturePlan, SwitchPlan, link_of, serve_of, switch_of
from plan import EXTRA_SECS, Plan, common_args
from running import ProgramError, Tap, lines_of, tap_counter
from testpmd import Testpmd
from throttle import ThrottlePlan

LIMIT_WARM_SECS = 0.1
SETTLE_SECS = 0.3


class RelayPlan(Plan):
    """load at the socket and at the TAP."""

    def measure(self, env):
        def tests(running):
            argv = [env.o.load, *common_args(env, running, self.test_secs), "-s", running.sock,
                    "-m", str(env.o.loss_secs)]
            argv += ["-b", running.peer] if running.peer else []
            for line in lines_of([*argv, *self.tests], env.load_core, self.limit()):
                yield benches.parse(line)

        return self.with_backend(env, self.mode, tests)


class LossPlan(RelayPlan):
    def __init__(self, o, *args):
        super().__init__(o, *args)
        self.secs = o.loss_frames / 1.5e5 + EXTRA_SECS
        self.most = o.loss_secs

    def limit(self):
        return self.most + 30


class LimitPlan(Plan):
    """No back end: one thread at the TAP."""

    def measure(self, env):
        argv = [*self.kind.commands["raw"], "-t", TAP, "-d", str(self.test_secs),
                "-w", str(LIMIT_WARM_SECS)]
        if env.load_core is not None:
            argv += ["-c", str(env.backend_core), "-C", str(env.load_core)]
        with Tap():
            try:
                for line in lines_of([*argv, *self.tests], None, self.limit()):
                    yield benches.parse(line)
            except ProgramError as e:
                raise BackendError(str(e)) from e


class VhostPlan(Plan):
    """DPDK's virtio-user is the front end."""

    def __init__(self, *args):
        super().__init__(*args)
        self.secs += 2 + 0.5 * len(self.tests)

    def measure(self, env):
        def tests(running):
            with Testpmd(running.sock, env.tmp, env.load_core) as pmd:
                for test in self.tests:
                    yield self.one(env, running, pmd, test)

        return self.with_backend(env, "vhost-user", tests)

    def load(self, env, running, test):
        """The one line of a test of load's."""
        argv = [env.o.load, *common_args(env, running, self.test_secs), test]
        return benches.parse(list(lines_of(argv, env.load_core, self.limit()))[0])

    def one(self, env, running, pmd, test):
        name, size = test.split(":")[:2]
        if name in ("echo", "idle"):  # the front end returns what comes; nothing does by itself
            pmd.forward("io")
            fields = self.load(env, running, test)
            pmd.halt()
            return fields
        way = {"guest-tap": "txonly", "tap-guest": "rxonly", "both": "flowgen"}[name]
        came = tap_counter("rx_packets")
        pmd.forward(way, size if name != "tap-guest" else None)
        fields = self.load(env, running, f"{'watch' if name == 'guest-tap' else 'blast'}:{size}")
        if name != "guest-tap":
            settle(pmd.received, fields["down_sent"] - fields["tap_dropped"])
        received, sent = pmd.halt()
        if name != "tap-guest":
            settle(lambda: tap_counter("rx_packets"), came + sent)
        self.charge(fields, name, received, sent - (tap_counter("rx_packets") - came))
        return fields

    def charge(self, fields, name, received, up_lost):
        """From what the TAP counted to what came through."""
        if name != "guest-tap":
            offered = fields["down_sent"] - fields["tap_dropped"]
            fields["down_lost"] = offered - received
            arrived = min(1.0, received / offered) if offered else 0.0
            fields["down_pps"] *= arrived
            # The CPU time was spent for those that arrived.
            if name == "tap-guest" and arrived and "us_per_frame" in fields:
                fields["us_per_frame"] /= arrived
        if name != "tap-guest":
            fields["up_lost"] = up_lost
        fields["test"] = name
        fields["pps"] = fields["up_pps"] + fields["down_pps"]
        if name == "both":
            fields["share"] = (min(fields["up_pps"], fields["down_pps"]) / fields["pps"]
                               if fields["pps"] else 0.0)


def settle(count, enough):
    """Wait until so many frames have come, or no more come for a while."""
    last, until = None, 0.0
    while (now := count()) < enough:
        if now != last:
            last, until = now, time.monotonic() + SETTLE_SECS
        if time.monotonic() > until:
            return
        time.sleep(0.01)


KINDS_OF = {"limit": LimitPlan, "relay": RelayPlan, "share": RelayPlan, "loss": LossPlan,
            "vhost": VhostPlan, "bulk": BulkPlan}


def socket_plans(o, bench, kinds, rep):
    if bench == "loss":
        named = [k for k in kinds if k.name in o.loss_peers]
        kinds = named or [k for k in kinds if not k.reference] or kinds
    for mode in o.modes:
        for kind in kinds:
            if mode in kind.commands:
                tests = [f"loss:{o.loss_frames}"] if bench == "loss" else tests_of(o, bench, mode)
                yield KINDS_OF[bench](o, bench, kind, mode, rep, tests)


def tests_of(o, bench, mode=""):
    return o.tests or benches.tests(bench, mode)


def vhost_plans(o, bench, kinds, rep):
    """Without a back end, what it is compared with: only what has a counterpart there."""
    tests = tests_of(o, bench)
    moving = [t for t in tests if re.match("guest-tap|tap-guest", t)]
    for kind in kinds:
        if "raw" in kind.commands and moving:
            yield LimitPlan(o, bench, kind, "vhost-user", rep, moving)
        elif "vhost-user" in kind.commands and not (bench == "bulk" and kind.own_tap):
            yield KINDS_OF[bench](o, bench, kind, "vhost-user", rep, tests)


def limit_plans(o, bench, kinds, rep):
    for kind in kinds:
        if "raw" in kind.commands:
            yield LimitPlan(o, bench, kind, "one thread", rep, tests_of(o, bench))


def guest_plans(o, bench, kinds, rep):
    """Each of QEMU and vmtap takes part in two ways."""
    for kind in kinds:
        for mode, name in (("in-qemu", "{}-tap"), ("vhost-user", "{}"),
                           ("stream", "{}-hub" if "in-qemu" in kind.commands else "{}-stream")):
            if mode in kind.commands and not kind.own_tap and kind.name[:4] != "bare":
                yield GuestPlan(o, kind, mode, name.format(kind.name), rep, tests_of(o, bench))


def growth_plans(o, bench, kinds, rep):
    """The library of this build, whatever back ends are named."""
    if any(not k.reference for k in kinds):
        for mode, queues in (("vhost-user", 1), ("vhost-user", 2), ("stream", 1)):
            yield GrowthPlan(o, mode, queues, rep, tests_of(o, bench))


def control_plans(o, bench, kinds, rep):
    for kind in kinds:
        if not kind.reference and not kind.polls and "connect" in kind.commands.get("vhost-user", ()):
            for port in ("vhost-user", "stream"):
                yield ControlPlan(o, kind, port, rep, tests_of(o, bench))


def throttle_plans(o, bench, kinds, rep):
    if any(not k.reference for k in kinds):
        yield ThrottlePlan(o, rep, tests_of(o, bench))


def path_plans(o, bench, kinds, rep):
    """A plain link, and beside it what it is compared with."""
    maker, plan, mode = {"switch": (switch_of, SwitchPlan, "8 ports"),
                         "capture": (serve_of, CapturePlan, "to a file")}[bench]
    for kind in kinds:
        if not kind.reference and "connect" in kind.commands.get("vhost-user", ()):
            tests = tests_of(o, bench)
            link = BulkPlan(o, bench, link_of(kind), mode, rep, tests)
            link.pinned = plan.pinned
            yield link
            yield plan(o, bench, maker(kind), mode, rep, tests)


MAKERS = {"limit": limit_plans, "relay": socket_plans, "share": socket_plans,
          "loss": socket_plans, "vhost": vhost_plans, "bulk": vhost_plans, "guest": guest_plans,
          "growth": growth_plans, "control": control_plans, "throttle": throttle_plans,
          "switch": path_plans, "capture": path_plans}


def plans(o, kinds):
    out = []
    for bench in o.bench:
        for rep in range(1, 2 if bench == "loss" else o.reps + 1):
            out += MAKERS[bench](o, bench, kinds, rep)
    return out
