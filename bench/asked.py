# SPDX-License-Identifier: MIT
"""The figures that are asked for. A figure is a ratio within one run, or stands for itself."""
from benches import FRAME_SIZES, GSO_SIZE, THROTTLE_SHARES, THROTTLES
from report import Requirement


def _relay():
    for mode, up, up_cpu, down, down_cpu in (("stream", 1.7, 0.6, 2.5, 0.4),
                                             ("dgram", 2.0, 0.5, 2.0, 0.5)):
        for size in FRAME_SIZES:
            for test, faster, cpu in ((f"up:{size}", up, up_cpu), (f"down:{size}", down, down_cpu)):
                yield Requirement("relay", mode, test, "pps", ">=", faster, "qemu")
                yield Requirement("relay", mode, test, "us_per_frame", "<=", cpu, "qemu")
                if mode == "dgram":
                    yield Requirement("relay", mode, test, "pps", ">=", 1.5, "vde")
    # Neither direction gets less than a third of the other.
    yield Requirement("relay", "", "both:64", "share", ">=", 0.25)
    yield Requirement("relay", "", "idle", "cpu", "<=", 0)
    yield Requirement("relay", "", "idle", "wakeups", "<=", 0)
    yield Requirement("relay", "", "idle", "rss_kib", "<", 4096)


def _loss(frames):
    for metric in ("up_sent", "down_sent"):
        yield Requirement("loss", "", "loss", metric, ">=", frames)
    for metric in ("up_lost", "up_late", "down_lost", "down_late"):
        yield Requirement("loss", "", "loss", metric, "<=", 0)
    yield Requirement("loss", "", "loss", "stall_up", ">=", 0.5)


def _vhost():
    for size in FRAME_SIZES:
        up, down = f"guest-tap:{size}", f"tap-guest:{size}"
        yield Requirement("vhost", "", up, "pps", ">=", 0.9, "raw-uring")
        yield Requirement("vhost", "", up, "pps", ">=", 1.3, "dpdk")
        yield Requirement("vhost", "", up, "us_per_frame", "<=", 1.15, "raw-uring")
        yield Requirement("vhost", "", down, "pps", ">=", 0.85, "raw")
        yield Requirement("vhost", "", down, "pps", ">=", 6, "dpdk")
        yield Requirement("vhost", "", down, "us_per_frame", "<=", 1.3, "raw")
    yield Requirement("vhost", "", "both:64", "share", ">=", 0.25)
    yield Requirement("vhost", "", "echo:64:300", "rtt_p50", "<=", 25, "dpdk", plus=True, polls=False)
    yield Requirement("vhost", "", "echo:64:300", "rtt_p50", "<=", 1, "dpdk", polls=True)
    yield Requirement("vhost", "", "idle", "cpu", "<=", 0)
    yield Requirement("vhost", "", "idle", "wakeups", "<=", 0)


def _bulk():
    for way in ("guest-tap", "tap-guest"):
        yield Requirement("bulk", "", f"{way}:{GSO_SIZE}", "gbps", ">=", 0.85, "raw")


def _guest():
    for way in ("up", "down"):
        yield Requirement("guest", "", f"tcp-{way}", "mbps", ">=", 1, "qemu-tap")
        yield Requirement("guest", "", f"tcp-{way}", "cpu_per_gbit", "<", 1, "qemu-tap")
        yield Requirement("guest", "", f"udp-{way}", "pps", ">=", 1, "qemu-tap")
    for metric in ("rtt_p50", "rtt_p99"):
        yield Requirement("guest", "", "ping", metric, "<=", 1, "qemu-tap")


def _growth(links):
    for n in links:
        yield Requirement("growth", "", f"idle:{n}", "wakeups", "<=", 0)
        if n > 1:
            for test in ("add", "used"):
                yield Requirement("growth", "", f"{test}:{n}", "kib_per_link", "<=", 300)
            # Ours: what is not a tenth more is not told from nothing.
            yield Requirement("growth", "", f"one:{n}", "growth", "<=", 1.1)


def _control(ports):
    for command in ("add-tap", "add-guest"):
        yield Requirement("control", "", f"{command}:{ports}", "cmd_p50", "<", 5)
    yield Requirement("control", "", f"query-stats:{ports}", "cmd_p50", "<", 10)
    yield Requirement("control", "", f"idle:{ports}", "cpu", "<=", 0)
    yield Requirement("control", "", f"idle:{ports}", "wakeups", "<=", 0)
    # Two ports are a link.
    yield Requirement("control", "", f"idle:{ports}", "kib_per_port", "<=", 150)


def _throttle():
    for test in (*THROTTLES, *THROTTLE_SHARES[:-1]):
        for metric in ("of_limit_tx", "of_limit_rx"):
            yield Requirement("throttle", "", test, metric, ">=", 0.98)
            yield Requirement("throttle", "", test, metric, "<=", 1.02)
    # Ours: as near to each other as to the limit, also where the loop and not the limit is what holds them back.
    for test in THROTTLE_SHARES:
        yield Requirement("throttle", "", test, "least_share", ">=", 0.98)
        yield Requirement("throttle", "", test, "most_share", "<=", 1.02)


def _paths():
    for way in ("guest-tap", "tap-guest"):
        for size in FRAME_SIZES:
            yield Requirement("switch", "", f"{way}:{size}", "pps", ">=", 0.6, "vmtap-link")
            yield Requirement("capture", "", f"{way}:{size}", "pps", ">=", 0.5, "vmtap-link")


def requirements(loss_frames, links=(), ports=0):
    """What is asked for; loss_frames: how many have to be sent each way."""
    yield from _relay()
    for test in ("trickle-up:64", "trickle-down:64"):
        yield Requirement("share", "", test, "delivered", ">=", 0.95)
    yield from _loss(loss_frames)
    yield from _vhost()
    yield from _bulk()
    yield from _guest()
    yield from _growth(links)
    yield from _control(ports)
    yield from _throttle()
    yield from _paths()
