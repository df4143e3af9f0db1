# SPDX-License-Identifier: MIT
"""From single values to medians, ranges, ratios and verdicts, and a table of them."""
import statistics
from dataclasses import dataclass

# What the table shows, in its order: metric -> (heading, divisor).
METRICS = {
    "us_per_frame": ("us CPU/frame", 1),
    "cpu_per_gbit": ("CPU s/Gbit", 1),
    "pps": ("kframes/s", 1e3),
    "up_pps": ("kframes/s up", 1e3),
    "down_pps": ("kframes/s down", 1e3),
    "share": ("smaller share", 1),
    "delivered": ("delivered", 1),
    "rtt_p50": ("us p50", 1),
    "rtt_p99": ("us p99", 1),
    "cpu": ("cores", 1),
    "wakeups": ("wake-ups/s", 1),
    "rss_kib": ("resident KiB", 1),
    "up_sent": ("sent up", 1),
    "up_lost": ("lost up", 1),
    "up_late": ("late up", 1),
    "down_sent": ("sent down", 1),
    "tap_dropped": ("kernel dropped", 1),
    "down_lost": ("lost down", 1),
    "down_late": ("late down", 1),
    "stall_up": ("up in a pause", 1),
    "gbps": ("Gbit/s", 1),
    "mbps": ("Mbit/s", 1),
    "kib_per_link": ("KiB a link", 1),
    "add_us": ("us to add one", 1),
    "last_us": ("us for the last", 1),
    "close_us": ("us to close one", 1),
    "growth": ("CPU to that of 1", 1),
    "kib_per_port": ("KiB a port", 1),
    "cmd_cpu": ("ms CPU", 1),
    "cmd_p50": ("ms, median", 1),
    "cmd_max": ("ms, slowest", 1),
    "of_limit_tx": ("of limit, out", 1),
    "of_limit_rx": ("of limit, in", 1),
    "least_share": ("least, to mean", 1),
    "most_share": ("most, to mean", 1),
    "stopped_ms": ("ms stopped", 1),
    "captured": ("captured", 1),
    "missed": ("share missed", 1),
}
RATES = ("pps", "up_pps", "down_pps", "gbps", "mbps")
COUNTS = ("up_sent", "up_lost", "up_late", "down_sent", "tap_dropped", "down_lost", "down_late")


@dataclass(frozen=True)
class Requirement:
    """A figure that is asked for: of a ratio to `to`, or (to None) of the median itself.

    plus:  not of the ratio, but of how much more it is
    polls: of those that do, or do not, poll for a while; None: of all
    """
    bench: str
    mode: str  # '' any
    test: str
    metric: str
    sign: str  # '>=', '<=', '<'
    limit: float
    to: str | None = None
    plus: bool = False
    polls: bool | None = None

    def text(self):
        if self.plus:
            return f"{self.sign} {self.to} + {self.limit:g}"
        return f"{self.sign} {self.limit:g}" + (f" x {self.to}" if self.to else "")

    def met(self, value):
        if value is None:
            return False
        return {">=": value >= self.limit, "<=": value <= self.limit,
                "<": value < self.limit}[self.sign]


@dataclass(frozen=True)
class Sample:
    bench: str
    mode: str
    test: str
    metric: str
    peer: str
    rep: int
    value: float


class Results:
    """All single values; answers with medians and ratios."""

    def __init__(self):
        self.samples = []
        self.notes = []

    def add(self, sample):
        self.samples.append(sample)

    def note(self, text):
        if text not in self.notes:
            self.notes.append(text)

    def keys(self):
        """(bench, mode, test, metric): tests in order of appearance, metrics in that of METRICS."""
        found = dict.fromkeys((s.bench, s.mode, s.test, s.metric) for s in self.samples)
        sections = list(dict.fromkeys(key[:2] for key in found))
        tests = list(dict.fromkeys(key[:3] for key in found))
        metrics = list(METRICS)
        return sorted(found, key=lambda key: (sections.index(key[:2]), tests.index(key[:3]),
                                              metrics.index(key[3])))

    def peers(self, key=None):
        """In order of appearance; of one key, a bench and mode, or all."""
        return list(dict.fromkeys(
            s.peer for s in self.samples
            if key in (None, (s.bench, s.mode), (s.bench, s.mode, s.test, s.metric))))

    def first(self, key):
        """The back end that others are compared with."""
        return self.peers(key)[0]

    def values(self, key, peer):
        """rep -> value"""
        return {s.rep: s.value for s in self.samples
                if (s.bench, s.mode, s.test, s.metric) == key and s.peer == peer}

    def median(self, key, peer):
        values = self.values(key, peer)
        return statistics.median(values.values()) if values else None

    def ratio(self, key, peer, to):
        """Ratio of the medians, and the least and most of those of single repetitions."""
        a, b = self.median(key, peer), self.median(key, to)
        if a is None or not b:
            return None
        ours, theirs = self.values(key, peer), self.values(key, to)
        pairs = [ours[r] / theirs[r] for r in ours if theirs.get(r)]
        return a / b, min(pairs, default=a / b), max(pairs, default=a / b)


@dataclass
class Verdict:
    requirement: Requirement
    peer: str
    mode: str
    value: float | None
    met: bool


def judge(results, requirements, candidates):
    """Every requirement of every candidate (name -> does it poll?) that was measured for it."""
    requirements, verdicts = list(requirements), []
    for bench, mode, test, metric in results.keys():
        for r in requirements:
            if (r.bench, r.test, r.metric) != (bench, test, metric) or r.mode not in ("", mode):
                continue
            key = (bench, mode, test, metric)
            for peer, polls in candidates.items():
                if not results.values(key, peer) or r.polls not in (None, polls):
                    continue
                value = _compared(results, key, peer, r)
                verdicts.append(Verdict(r, peer, mode, value, r.met(value)))
    return verdicts


def _compared(results, key, peer, requirement):
    """The value that the requirement is about; None: there is nothing to compare with."""
    ours = results.median(key, peer)
    if not requirement.to:
        return ours
    if requirement.plus:
        theirs = results.median(key, requirement.to)
        return None if theirs is None else ours - theirs
    ratio = results.ratio(key, peer, requirement.to)
    return ratio[0] if ratio else None


def number(x):
    if abs(x) >= 1000:
        return f"{x:.0f}"
    return f"{x:.1f}" if abs(x) >= 100 else f"{x:.3g}"


def _verdict_text(verdicts, key, peer):
    texts = []
    for v in verdicts:
        r = v.requirement
        if (r.bench, v.mode, r.test, r.metric) == key and v.peer == peer:
            state = "met" if v.met else "not compared" if v.value is None else "MISSED"
            if v.value is not None and r.to:
                state += f" ({number(v.value)})"
            texts.append(f"{r.text()}  {state}")
    return "; ".join(texts)


LINE = "  {:<19} {:<15} {:<12} {:>9}{:1} {:<20} {:>2}  {:<21} {}"


def _rows(results, key, verdicts, limited):
    test, metric = key[2:]
    heading, divisor = METRICS[metric]
    rows, first = [], results.first(key)
    for peer in results.peers(key):
        values = list(results.values(key, peer).values())
        median = number(statistics.median(values) / divisor)
        spread = f"[{number(min(values) / divisor)} .. {number(max(values) / divisor)}]"
        compared = peer != first and metric not in COUNTS
        ratio = results.ratio(key, peer, first) if compared else None
        to_first = f"{ratio[0]:.2f} [{ratio[1]:.2f} .. {ratio[2]:.2f}]" if ratio else ""
        mark = "*" if metric in RATES and (key[:3], peer) in limited else ""
        rows.append(LINE.format(test if not rows else "", heading if not rows else "", peer, median,
                                mark, spread, len(values), to_first,
                                _verdict_text(verdicts, key, peer)).rstrip())
    return rows


def table(results, verdicts, limited):
    """limited: ((bench, mode, test), peer) where the load was the limit."""
    lines, section = [], None
    for key in results.keys():
        if key[3] not in METRICS:
            continue
        if key[:2] != section:
            section = key[:2]
            peers = results.peers(section)
            to_first = f"to {peers[0]} (by rep.)" if len(peers) > 1 else ""
            lines += ["", f"{section[0]}, {section[1]}",
                      LINE.format("test", "metric", "back end", "median", "", "[least .. most]",
                                  "n", to_first, "required")]
        lines += _rows(results, key, verdicts, limited)
    if any("* [" in line for line in lines):
        lines += ["", "* the load itself was the limit (a full core): compare us CPU/frame"]
    if results.notes:
        lines += ["", "noticed:"] + [f"  {n}" for n in results.notes]
    return "\n".join(lines)
