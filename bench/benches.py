# SPDX-License-Identifier: MIT
"""The benches: which tests each runs, and what of a line is kept."""
from report import Sample

SOCKET_MODES = ("stream", "dgram")
NAMES = ("limit", "relay", "share", "loss", "vhost", "bulk", "guest", "growth", "control",
         "throttle", "switch", "capture")
FRAME_SIZES = (64, 1500)
THROTTLES = ("rate-1M", "rate-10M", "rate-100M", "rate-1G", "rate-10G", "pps-1k", "pps-1M",
             "change-1G-10M", "change-10M-1G")
THROTTLE_SHARES = ("share-2-1G", "share-8-100M", "share-32-10G")  # the last is more than a core carries
# Of vmtap serve: what adds and closes ports, and what asks for something about all of them.
COMMANDS = ("add-tap", "add-guest", "connect", "query-stats", "query-queues", "query-ports", "del-tap", "del-guest")
GSO_SIZE = 65226  # what 45 segments of 1448 bytes make with their headers
SWEEP = (64, 256, 1500, 4096, 16384, GSO_SIZE, 65535)
TRICKLE_PPS = 10000

_SHARE = [f"trickle-up:64:{TRICKLE_PPS}", f"trickle-down:64:{TRICKLE_PPS}"]

# By bench, or by bench and mode.
TESTS = {
    "limit": [f"{way}:{size}" for way in ("write", "read") for size in (*FRAME_SIZES, GSO_SIZE)],
    ("relay", "stream"): ["up:64", "up:1500", "up:64:32", "down:64", "down:1500", "both:64",
                          "ping:64", "ping:64:300", "idle:2"],
    ("relay", "dgram"): ["up:64", "up:1500", "down:64", "down:1500", "both:64", "ping:64",
                         "ping:64:300", "idle:2"],
    "share": _SHARE,
    "vhost": ["idle:1", "guest-tap:64", "guest-tap:1500", "tap-guest:64", "tap-guest:1500",
              "both:64", "echo:64", "echo:64:300"],
    "bulk": [f"{way}:{size}" for way in ("guest-tap", "tap-guest") for size in SWEEP],
    "guest": ["idle", "tcp-up", "tcp-down", "udp-up", "udp-down", "ping"],
    "growth": ["idle:1", "one:64", "spread:64"],
    "control": ["idle:1", "query-stats", "query-queues", "query-ports"],
    "throttle": [*THROTTLES, *THROTTLE_SHARES],
    "switch": [f"{way}:{size}" for way in ("guest-tap", "tap-guest") for size in (64, 1500, GSO_SIZE)],
    "capture": [f"{way}:{size}" for way in ("guest-tap", "tap-guest") for size in FRAME_SIZES],
}

# CPU time comes first: it holds still where rates do not.
KEPT = {
    "write": ("us_per_frame", "pps", "gbps"),
    "read": ("us_per_frame", "pps", "gbps"),
    "up": ("us_per_frame", "pps"),
    "down": ("us_per_frame", "pps"),
    "guest-tap": ("us_per_frame", "pps", "gbps"),
    "tap-guest": ("us_per_frame", "pps", "gbps"),
    "both": ("us_per_frame", "up_pps", "down_pps", "share"),
    "trickle-up": ("delivered",),
    "trickle-down": ("delivered",),
    "ping": ("rtt_p50", "rtt_p99"),
    "echo": ("rtt_p50", "rtt_p99"),
    "idle": ("cpu", "wakeups", "rss_kib", "kib_per_port"),
    "loss": ("up_sent", "up_lost", "up_late", "down_sent", "tap_dropped", "down_lost", "down_late",
             "stall_up"),
    "tcp-up": ("cpu_per_gbit", "mbps"),
    "tcp-down": ("cpu_per_gbit", "mbps"),
    "udp-up": ("us_per_frame", "pps"),
    "udp-down": ("us_per_frame", "pps"),
    "add": ("kib_per_link", "add_us", "last_us"),
    "used": ("kib_per_link",),
    "close": ("close_us",),
    "one": ("us_per_frame", "growth"),
    "spread": ("us_per_frame", "pps"),
    **{test: ("cmd_cpu", "cmd_p50", "cmd_max") for test in COMMANDS},
    "capture": ("captured", "missed"),
    **{test: ("of_limit_tx", "of_limit_rx", "mbps", "cpu", "stopped_ms") for test in THROTTLES},
    **{test: ("least_share", "most_share", "of_limit_tx", "of_limit_rx", "mbps", "cpu", "stopped_ms")
       for test in THROTTLE_SHARES},
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
    if f["test"] == "both" and "share" not in f:
        both = f["up_pps"] + f["down_pps"]
        f["share"] = min(f["up_pps"], f["down_pps"]) / both if both else 0.0
    if f.get("up_pps") and "stall_up_pps" in f:
        f["stall_up"] = f["stall_up_pps"] / f["up_pps"]
    if f["test"] == "loss":  # everything that the TAP counted must have been seen behind it
        f["up_missing"] = (f["up_sent"] - f["up_lost"] - f["up_seen"] - f["up_foreign"]
                           - f["up_unseen"])


def test_name(f):
    name = f["test"]
    if "size" in f and "links" not in f:
        name += f":{f['size']:.0f}"
    if f.get("batch", 1) > 1:
        name += f":{f['batch']:.0f}"
    for many in ("links", "ports"):
        if many in f:
            name += f":{f[many]:.0f}"
    if f.get("pause_us"):
        name += f":{f['pause_us']:.0f}"
    return name


def tests(bench, mode):
    return TESTS.get((bench, mode)) or TESTS[bench]


def kept(fields):
    """Small frames are told by their number, large ones by their bits."""
    names = KEPT[fields["test"]]
    if "gbps" in names:
        without = "pps" if fields.get("size", 0) > 1514 else "gbps"
        names = [n for n in names if n != without]
    return [n for n in names if n in fields]


def samples(bench, mode, peer, rep, fields):
    """What the table keeps of a line."""
    return [Sample(bench, mode, test_name(fields), m, peer, rep, fields[m]) for m in kept(fields)]


def oddities(fields):
    """(what, how many) of a line that should not be."""
    names = kept(fields)
    return [(text, fields[key]) for key, text in ODD.items()
            if fields.get(key) and key not in names]
