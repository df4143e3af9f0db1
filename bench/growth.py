# SPDX-License-Identifier: MIT
"""Growth: so many links in one process; what each costs, at rest and under load."""
import os
import re
import subprocess
import time

import benches
from backend import BackendError
from plan import WARM_SECS, Plan
from running import Process, ProgramError, cpu_of, lines_of

TAPS = "g"  # g0, g1, ...
RING = 256
ADD_SECS = 0.03
CLOSE_SECS = 0.3  # for the kernel to take one TAP away, at most


class Library:
    """Stands for a back end: the library of this build, in a program that opens many links."""
    name = "vmtap"


def status(pid, field):
    with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as f:
        return int(re.search(rf"^{field}:\s*(\d+)", f.read(), re.M).group(1))


def wakeups(pid):
    return sum(status(f"{pid}/task/{task}", "voluntary_ctxt_switches")
               for task in os.listdir(f"/proc/{pid}/task"))


def at_rest(pid, secs):
    """What a process takes that is said to do nothing."""
    time.sleep(WARM_SECS)
    cpu, woken = cpu_of([pid]), wakeups(pid)
    time.sleep(secs)
    return {"cpu": (cpu_of([pid]) - cpu) / secs, "wakeups": (wakeups(pid) - woken) / secs,
            "rss_kib": status(pid, "VmRSS")}


class Links(Process):
    """bench-links, from `with` to its end."""

    def __init__(self, env, cnt, kind, queues):
        self.sock = os.path.join(env.tmp, "s")
        argv = [env.program("links"), str(cnt), kind, TAPS, self.sock, str(queues)]
        super().__init__("links", argv, os.path.join(env.tmp, "links.log"), env.backend_core)
        self.cnt = cnt
        self.added = None
        self.closed = 0.0
        self.stop_secs += CLOSE_SECS * cnt

    def start(self, **more):
        super().start(stdout=subprocess.PIPE, **more)
        line = self.process.stdout.readline().decode()  # or, when it ends, nothing
        if not line:
            self.died(1)
            raise BackendError(f"links ended at once{self.said()}")
        self.added = benches.parse(line)

    def stop(self):
        begin = time.monotonic()
        super().stop()
        self.closed = time.monotonic() - begin
        if self.process:
            self.process.stdout.close()


class GrowthPlan(Plan):
    """Every number of links in turn, each in a process of its own."""

    def __init__(self, o, kind, queues, rep, tests):
        self.links = o.links
        self.port, self.queues = kind, queues
        mode = kind if queues == 1 else f"{kind}, {queues} queue pairs"
        super().__init__(o, "growth", Library, mode, rep, tests)
        self.secs = sum(self.secs + ADD_SECS * n for n in o.links)
        self.least = {}  # test -> (links, fields) of the least number of links

    def measure(self, env):
        for cnt in self.links:
            try:
                with Links(env, cnt, self.port, self.queues) as links:
                    yield links.added
                    for fields in self.under(env, links):
                        yield self.compared(fields, cnt)
                yield {"test": "close", "links": cnt, "close_us": links.closed * 1e6 / cnt}
            except ProgramError as e:
                raise BackendError(f"{cnt} links: {e}") from e

    def under(self, env, links):
        """At rest before anybody has connected, then the load's tests."""
        pid, moving = links.process.pid, []
        for test in self.tests:
            if test.startswith("idle"):
                yield {"test": "idle", "links": links.cnt, **at_rest(pid, float(test.split(":")[1]))}
            else:
                moving.append(test)
        program = env.o.load if self.port == "stream" else env.program("front")
        argv = [program, "-n", str(links.cnt), "-t", TAPS, "-s", links.sock, "-p", str(pid),
                "-d", str(self.test_secs), "-w", str(WARM_SECS)]
        if self.port != "stream":
            argv += ["-q", str(self.queues), "-r", str(RING)]
        if moving:
            for line in lines_of([*argv, *moving], env.load_core, self.limit()):
                yield benches.parse(line)
            yield {"test": "used", "links": links.cnt, "own_kib": self.own_kib(pid)}

    @staticmethod
    def own_kib(pid):
        """Guest memory that is mapped is the guest's."""
        return status(pid, "VmRSS") - status(pid, "RssShmem")

    def compared(self, fields, cnt):
        """With what the first number of links needed."""
        first_cnt, first = self.least.setdefault(fields["test"], (cnt, fields))
        if cnt > first_cnt:
            if first.get("us_per_frame") and "us_per_frame" in fields:
                fields["growth"] = fields["us_per_frame"] / first["us_per_frame"]
            if "own_kib" in fields:
                fields["kib_per_link"] = (fields["own_kib"] - first["own_kib"]) / (cnt - first_cnt)
        return fields
