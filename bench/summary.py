#!/usr/bin/python3 -B
# SPDX-License-Identifier: MIT
"""Tables in Markdown from JSON files of the benchmark, as docs/performance.md has them.

    bench/summary.py FILE.json...

A cell has the median, the least and the most, and the ratio to the first back end of the row.
"""
import json
import sys

from report import COUNTS, METRICS, number

LEFT_OUT = ("last_us",)


def cell(median, first, divisor):
    values = [v / divisor for v in median["values"]]
    text = number(median["median"] / divisor)
    if len(values) > 1:
        text += f" [{number(min(values))} .. {number(max(values))}]"
    compared = median is not first and median["metric"] not in COUNTS
    if compared and median["ratio_to_first"] is not None:
        text += f", **{median['ratio_to_first']:.2f}**"
    return text


def section(medians):
    """One bench in one mode."""
    peers = list(dict.fromkeys(m["peer"] for m in medians))
    rows = {}
    for m in medians:
        rows.setdefault((m["test"], m["metric"]), {})[m["peer"]] = m
    yield "| | " + " | ".join(peers) + " |"
    yield "|---" * (len(peers) + 1) + "|"
    for (test, metric), by_peer in rows.items():
        heading, divisor = METRICS[metric]
        first = next(iter(by_peer.values()))
        cells = [cell(by_peer[p], first, divisor) if p in by_peer else "" for p in peers]
        yield f"| {test}, {heading} | " + " | ".join(cells) + " |"


def summary(data):
    kept = [m for m in data["medians"] if m["metric"] not in LEFT_OUT]
    for bench, mode in dict.fromkeys((m["bench"], m["mode"]) for m in kept):
        yield f"### {bench}, {mode}"
        yield ""
        yield from section([m for m in kept if (m["bench"], m["mode"]) == (bench, mode)])
        yield ""
    machine = data["machine"]
    yield (f"{machine['cpu']}, {machine['cores']} cores, Linux {machine['kernel']}; of all cores' time "
           f"the host took {machine['stolen']:.1%}, other processes {machine['others']:.1%}.")
    yield ""


def main(files):
    if not files or files[0].startswith("-"):
        print(__doc__)
        return 2
    for name in files:
        with open(name, encoding="utf-8") as f:
            print("\n".join(summary(json.load(f))))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
