# SPDX-License-Identifier: MIT
"""What comes of it: the table on stdout, JSON and a picture in files."""
import json

import host
import plot
import report

DISTURBED = 0.05      # share of all cores' time that others took during a run


def machine_line(machine, stolen, others, disturbed):
    n, runs = disturbed
    line = (f"machine: {machine['cpu']}, {machine['cores']} cores, Linux {machine['kernel']}; "
            f"of all cores' time the host took {stolen:.1%}, other processes {others:.1%}")
    if n:
        line += f"; in {n} of {runs} runs others took more than {DISTURBED:.0%}: measure again"
    return line


def publish(bench, o, kinds, machine, verdicts, stolen, others):
    print(report.table(bench.results, verdicts, bench.limited()))
    line = machine_line(machine, stolen, others, bench.disturbed())
    print("\n" + line)
    for kind in kinds:
        if kind.version:
            print(f"  {kind.name}: {kind.version}")
    met = sum(v.met for v in verdicts)
    if verdicts:
        print(f"required figures: {met} of {len(verdicts)} met")
    if o.json:
        write_json(bench, o, kinds, machine, verdicts, stolen, others)
    if o.svg:
        plot.write(o.svg, bench.results, line)
    written = [file for file in (o.json, o.svg) if file]
    if written:
        print("written: " + ", ".join(written))


def write_json(bench, o, kinds, machine, verdicts, stolen, others):
    r = bench.results
    medians = [{"bench": k[0], "mode": k[1], "test": k[2], "metric": k[3], "peer": p,
                "median": r.median(k, p), "values": list(r.values(k, p).values()),
                "ratio_to_first": (r.ratio(k, p, r.first(k)) or [None])[0]}
               for k in r.keys() for p in r.peers(k)]
    data = {
        "format": 2,
        "machine": {**machine, "stolen": round(stolen, 4), "others": round(others, 4)},
        "options": {k: v for k, v in vars(o).items() if k not in ("json", "svg", "load", "build", "named")},
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
