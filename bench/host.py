# SPDX-License-Identifier: MIT
"""What the machine is, and what else kept it busy meanwhile."""
import json
import os
import platform
import time


def cpu_model():
    with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as f:
        for line in f:
            if line.startswith(("model name", "Model", "cpu model")):
                return line.split(":", 1)[1].strip()
    return platform.machine()


def describe():
    with open("/proc/loadavg", encoding="ascii") as f:
        load = float(f.read().split()[0])
    return {"cpu": cpu_model(), "cores": os.cpu_count(), "kernel": platform.release(),
            "arch": platform.machine(), "load_average_at_start": load,
            "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}


class Clock:
    """The time of all cores at one moment: whole, taken by the host, used by us, used by others.

    Ours is that of this process and of the children it has waited for: take a Clock when none runs.
    """

    def __init__(self):
        hz = os.sysconf("SC_CLK_TCK")
        with open("/proc/stat", encoding="ascii") as f:
            ticks = [int(x) / hz for x in f.readline().split()[1:9]]
        t = os.times()
        self.all = sum(ticks)
        self.stolen = ticks[7]
        self.busy = sum(ticks) - ticks[3] - ticks[4] - ticks[7]
        self.own = t.user + t.system + t.children_user + t.children_system

    def since(self, start):
        """Shares of all cores' time since start: (stolen, other processes)."""
        whole = self.all - start.all
        if whole <= 0:
            return 0.0, 0.0
        others = (self.busy - start.busy) - (self.own - start.own)
        return (self.stolen - start.stolen) / whole, max(others, 0.0) / whole


def cores(pin):
    """(core of the load, core of the back end); None, None: not pinned."""
    usable = sorted(os.sched_getaffinity(0))
    if not pin or len(usable) < 2:
        return None, None
    return usable[0], usable[1]


def build_options(build):
    """Options of a Meson build folder that change what is measured."""
    try:
        with open(os.path.join(build, "meson-info/intro-buildoptions.json"), encoding="utf-8") as f:
            options = {o["name"]: o["value"] for o in json.load(f)}
    except (OSError, ValueError, KeyError):
        return {}
    return {k: options[k] for k in ("buildtype", "optimization", "b_sanitize") if k in options}
