# SPDX-License-Identifier: MIT
"""Combinations of what a vhost-user NIC can be: all of them, or a sample.

Words: a *dimension* is something to choose (the form of the rings, an offload that is off); a
*combination* is a value of each, as a dict.
"""

import itertools
import random

OFFLOADS = ["csum", "guest_csum", "host_tso4", "host_tso6", "host_ecn", "host_ufo",
            "guest_tso4", "guest_tso6", "guest_ecn", "guest_ufo"]
# What cannot be without another (virtio 1.2, 5.1.3.1).
NEED = {"csum": {"host_tso4", "host_tso6", "host_ecn", "host_ufo"},
        "guest_csum": {"guest_tso4", "guest_tso6", "guest_ecn", "guest_ufo"}}

DIMENSIONS = {
    "ring": ["split", "packed"],
    "buffers": ["mergeable", "plain"],
    "event_idx": [True, False],
    "indirect": [True, False],
    "driver": ["modern", "legacy"],
    "queues": [1, 2],
    # of the receive and of the transmit ring
    "sizes": [(256, 512), (512, 1024), (1024, 256)],
    # 1500; 9000 that the device tells; 9000 that is set in the guest
    "mtu": ["1500", "9000-told", "9000-set"],
    # which offloads are off
    "off": ["nothing", "everything", *OFFLOADS],
}


def off(combo):
    """The offloads that a combination goes without."""
    name = combo["off"]
    if name == "nothing":
        return set()
    if name == "everything":
        return set(OFFLOADS)
    return {name} | NEED.get(name, set())


def is_possible(combo):
    """There are no packed rings for legacy drivers; Linux posts receive buffers of more than a
    1500 byte frame only if something tells it to."""
    if combo["driver"] == "legacy" and combo["ring"] == "packed":
        return False
    large = combo["buffers"] == "mergeable" or not {"guest_tso4", "guest_tso6"} <= off(combo)
    return combo["mtu"] != "9000-set" or large


def every():
    """All that are possible."""
    for values in itertools.product(*DIMENSIONS.values()):
        combo = dict(zip(DIMENSIONS, values))
        if is_possible(combo):
            yield combo


def pairs_of(combo):
    return itertools.combinations(combo.items(), 2)


def sample():
    """A few, in which every two values that can meet do so; the same ones each time."""
    rnd = random.Random(1)
    combos = list(every())
    rnd.shuffle(combos)
    missing = {pair: None for combo in combos for pair in pairs_of(combo)}
    chosen = []
    while missing:
        first = next(iter(missing))
        candidates = (c for c in combos if all(c[k] == v for k, v in first))
        best = max(itertools.islice(candidates, 60), key=lambda c: sum(p in missing for p in pairs_of(c)))
        for pair in pairs_of(best):
            missing.pop(pair, None)
        chosen.append(best)
    return chosen


def name(combo):
    """Short, and different for each."""
    return "-".join([combo["ring"], combo["buffers"], *(k for k in ("event_idx", "indirect") if combo[k]),
                     combo["driver"], "%dq" % combo["queues"], "rx%d" % combo["sizes"][0],
                     "mtu" + combo["mtu"].replace("-", "_"),
                     {"nothing": "offloads", "everything": "no_offloads"}.get(combo["off"], "no_" + combo["off"])])
