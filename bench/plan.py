# SPDX-License-Identifier: MIT
"""What a run is, whichever back end and bench it belongs to."""
import os

from backend import TAP, BackendError
from running import Backend, ProgramError

WARM_SECS, EXTRA_SECS = 0.3, 1.5


class Env:
    """What every plan needs to know: options, cores, a folder for sockets and logs."""

    def __init__(self, o, tmp, load_core, backend_core):
        self.o, self.tmp = o, tmp
        self.load_core, self.backend_core = load_core, backend_core

    def program(self, name):
        return os.path.join(self.o.build, "bench", name)


class Plan:
    """One run: a back end, a mode, a list of tests.

    measure(env) yields the fields of one line after the other, and raises BackendError.
    """
    pinned = True

    def __init__(self, o, bench, kind, mode, rep, tests):
        self.bench, self.kind, self.mode, self.rep = bench, kind, mode, rep
        self.peer = kind.name
        self.tests = tests
        self.test_secs = o.secs
        self.secs = sum(self.length(o, t) for t in tests) + EXTRA_SECS  # estimated

    def length(self, o, test):
        """A test's length, about."""
        if test.startswith("idle"):
            return float((test.split(":") + ["2"])[1]) + WARM_SECS
        return o.secs + WARM_SECS + 0.1

    def limit(self):
        """More seconds than it can take."""
        return self.secs + 30 + 3 * len(self.tests)

    def title(self):
        return f"{self.bench} {self.mode} {self.peer}"

    def with_backend(self, env, mode, tests):
        """What tests(running) yields, with the back end around it."""
        error = None
        try:
            core = env.backend_core if self.pinned else None
            with Backend(self.kind, mode, env.tmp, core) as running:
                try:
                    yield from tests(running)
                except ProgramError as e:
                    running.died(0.5)
                    error = f"{e}{running.said()}"
        except BackendError as e:
            raise BackendError(f"{error}; {e}" if error else str(e)) from e
        if error:
            raise BackendError(error)


def common_args(env, running, secs):
    return ["-t", TAP, "-p", ",".join(map(str, running.pids())), "-d", str(secs),
            "-w", str(WARM_SECS)]
