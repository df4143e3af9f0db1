# SPDX-License-Identifier: MIT
"""Throttle: how near to its limit does a port come, and several in one loop to each other?"""
import benches
from backend import BackendError
from growth import Library
from plan import WARM_SECS, Plan
from running import ProgramError, lines_of


class ThrottlePlan(Plan):
    """The library of this build, with built-in ports: nothing but the limit is slow."""

    def __init__(self, o, rep, tests):
        super().__init__(o, "throttle", Library, "null to null", rep, tests)
        self.test_secs = o.throttle_secs

    def length(self, o, test):
        before = o.throttle_secs / 2 if test.startswith("change") else WARM_SECS
        return o.throttle_secs + before

    def measure(self, env):
        argv = [env.program("throttle"), "-d", str(self.test_secs), "-w", str(WARM_SECS), *self.tests]
        try:
            for line in lines_of(argv, env.backend_core, self.limit()):
                yield benches.parse(line)
        except ProgramError as e:
            raise BackendError(str(e)) from e
