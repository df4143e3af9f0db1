# SPDX-License-Identifier: MIT
"""The benches: which tests each runs, what of a line is kept, which figures are asked for."""
from report import Requirement, Sample

FRAME_SIZES = (64, 1500)
TRICKLE_PPS = 10000

TESTS = {
    ("relay", "stream"): ["up:64", "up:1500", "up:64:32", "down:64", "down:1500", "both:64",
                          "ping:64", "ping:64:300", "idle:2"],
    ("relay", "dgram"): ["up:64", "up:1500", "down:64", "down:1500", "both:64", "ping:64",
                         "ping:64:300", "idle:2"],
    ("share", "stream"): [f"trickle-up:64:{TRICKLE_PPS}", f"trickle-down:64:{TRICKLE_PPS}"],
    ("share", "dgram"): [f"trickle-up:64:{TRICKLE_PPS}", f"trickle-down:64:{TRICKLE_PPS}"],
}

KEPT = {
    "up": ("pps", "us_per_frame"),
    "down": ("pps", "us_per_frame"),
    "both": ("up_pps", "down_pps", "share", "us_per_frame"),
    "trickle-up": ("delivered",),
    "trickle-down": ("delivered",),
    "ping": ("rtt_p50", "rtt_p99"),
    "idle": ("cpu", "wakeups", "rss_kib"),
    "loss": ("up_sent", "up_lost", "up_late", "down_sent", "tap_dropped", "down_lost", "down_late",
             "stall_up"),
}

# No figure is asked of these, but they are mentioned when they are not 0.
ODD = {
    "up_lost": "lost on the way up",
    "down_lost": "lost on the way down, not by the kernel",
    "late": "came late (reordered or doubled)",
    "foreign": "came damaged, or were none of ours",
    "lost": "round trips lost",
    "up_foreign": "came damaged on the way up",
    "down_foreign": "came damaged on the way down",
    "up_unseen": "not seen behind the TAP, the meter had no room: their order is not known",
    "up_missing": "counted by the TAP but not seen behind it",
}


def requirements(loss_frames):
    """What is asked for; loss_frames: how many have to be sent each way."""
    for mode, up, down in (("stream", 1.4, 2.0), ("dgram", 1.8, 1.8)):
        for size in FRAME_SIZES:
            for test, limit in ((f"up:{size}", up), (f"down:{size}", down)):
                yield Requirement("relay", mode, test, "pps", ">=", limit, "qemu")
                yield Requirement("relay", mode, test, "us_per_frame", "<", 1.0, "qemu")
    yield Requirement("relay", "", "both:64", "share", ">=", 0.2)
    yield Requirement("relay", "", "idle", "cpu", "<=", 0)
    yield Requirement("relay", "", "idle", "wakeups", "<=", 0)
    yield Requirement("relay", "", "idle", "rss_kib", "<", 4096)
    for test in ("trickle-up:64", "trickle-down:64"):
        yield Requirement("share", "", test, "delivered", ">=", 0.95)
    for metric in ("up_sent", "down_sent"):
        yield Requirement("loss", "", "loss", metric, ">=", loss_frames)
    for metric in ("up_lost", "up_late", "down_lost", "down_late"):
        yield Requirement("loss", "", "loss", metric, "<=", 0)
    yield Requirement("loss", "", "loss", "stall_up", ">=", 0.5)


def parse(line):
    """A line of key=value from the load; numbers where they are."""
    fields = {}
    for word in line.split():
        key, _, value = word.partition("=")
        try:
            fields[key] = float(value)
        except ValueError:
            fields[key] = value
    _derive(fields)
    return fields


def _derive(f):
    if f["test"] == "both":
        both = f["up_pps"] + f["down_pps"]
        f["share"] = min(f["up_pps"], f["down_pps"]) / both if both else 0.0
    if f.get("up_pps") and "stall_up_pps" in f:
        f["stall_up"] = f["stall_up_pps"] / f["up_pps"]
    if f["test"] == "loss":  # everything that the TAP counted must have been seen behind it
        f["up_missing"] = (f["up_sent"] - f["up_lost"] - f["up_seen"] - f["up_foreign"]
                           - f["up_unseen"])


def test_name(f):
    name = f["test"]
    if "size" in f:
        name += f":{f['size']:.0f}"
    if f.get("batch", 1) > 1:
        name += f":{f['batch']:.0f}"
    if f.get("pause_us"):
        name += f":{f['pause_us']:.0f}"
    return name


def samples(bench, mode, peer, rep, fields):
    """What the table keeps of a line."""
    return [Sample(bench, mode, test_name(fields), m, peer, rep, fields[m])
            for m in KEPT[fields["test"]] if m in fields]


def oddities(fields):
    """(what, how many) of a line that should not be."""
    kept = KEPT[fields["test"]]
    return [(text, fields[key]) for key, text in ODD.items() if fields.get(key) and key not in kept]
