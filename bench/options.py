# SPDX-License-Identifier: MIT
"""The benchmark's command line."""
import argparse
import os

import benches

EPILOG = """
benches, all by default: limit (what the kernel lets one thread do with a TAP), relay (a unix
socket: frames a second, CPU, latency, idle), share (does a flood one way starve the other?),
loss (is anything lost that the kernel had not dropped?), vhost (vhost-user, DPDK is the front
end), bulk (vhost-user, frames of 64 bytes to 64 KiB with segmentation left to the receiver), guest
(a Linux guest in QEMU), growth (1 to 256 links in one process), control (commands of vmtap serve
with 256 ports), throttle (how near does a port come to its limit, and do several alike?), switch and
capture (what a switch of 8 ports, and a capture to a file, leave of a plain link's rate).

peers: raw, raw-uring and raw-cold (no back end: the limit of one thread, with a system call a frame,
with io_uring, and with io_uring and memory that is in no cache), qemu, vde, bare and bare-uring
(the least relay there can be), dpdk, vmtap, vmtap-poll (with busy polling), vmtap-vhost (the kernel's
vhost-net carries the frames; not by default, and see bench/vhostnet.sh), the path of another vmtap;
each also as NAME=..., and a vmtap with options, as in "NAME=vmtap --engine plain"; or NAME=COMMAND
with {tap} and {sock} in it, for a back end that listens on {sock} with QEMU's stream
framing, with {peer} when it speaks datagrams, with "vhost" in it when it speaks vhost-user. Each
takes part where it can. Ratios are to the first that does. "again=qemu" beside "qemu" shows how
much two equal back ends differ on this machine.

exit status: 0 measured; 1 a required figure was missed (only with --strict); 2 wrong usage or
something needed is missing; 3 a run failed; 124 the time was up.

The environment sets the defaults: BENCHES PEERS MODES TESTS REPS SECS LOSS_FRAMES LOSS_PEERS LINKS
PORTS JSON SVG STRICT=1, as in "make bench REPS=5 PEERS='qemu vmtap'"; QEMU names another qemu-system
program. bench/README.md explains the figures.
"""


def parser():
    env = os.environ.get
    p = argparse.ArgumentParser(
        prog="bench/run.sh", epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter,
        description="vmtap next to the kernel's limit, QEMU, VDE and DPDK, measured in turn.")
    p.add_argument("bench", nargs="*", help="names of benches, before the options")
    p.add_argument("--peers", nargs="+", metavar="PEER",
                   help="back ends, in turn (default: all that are there)")
    p.add_argument("--modes", nargs="+", choices=benches.SOCKET_MODES,
                   help="for relay, share, loss; default: both")
    p.add_argument("--tests", nargs="+", metavar="TEST",
                   help="instead of the usual ones of the one bench named; README.md lists them")
    p.add_argument("--reps", type=int, default=env("REPS", "3"), help="repetitions (%(default)s)")
    p.add_argument("--secs", type=float, default=env("SECS"),
                   help="length of a test (1; in throttle 10); in a guest four times that")
    p.add_argument("--loss-frames", type=float, default=env("LOSS_FRAMES", "1e7"),
                   help="frames each way in loss (%(default)s)")
    p.add_argument("--loss-secs", type=float, default=600,
                   help="most that loss may take for one back end and mode (%(default)s)")
    p.add_argument("--loss-peers", nargs="+", metavar="NAME",
                   help="back ends in loss, by name (default: those that figures are asked of)")
    p.add_argument("--links", nargs="+", type=int, metavar="N",
                   default=[int(n) for n in env("LINKS", "1 8 64 256").split()],
                   help="numbers of links in growth (1 8 64 256)")
    p.add_argument("--ports", type=int, metavar="N", default=env("PORTS", "256"),
                   help="number of ports in control (%(default)s)")
    p.add_argument("--json", metavar="FILE", default=env("JSON"),
                   help="write everything there as well")
    p.add_argument("--svg", metavar="FILE", default=env("SVG"), help="draw it there as well")
    p.add_argument("--strict", action="store_true", default=env("STRICT", "0") not in ("", "0"),
                   help="fail when a required figure is missed")
    p.add_argument("--build", default="build", help="Meson's build folder (%(default)s)")
    p.add_argument("--load", help="the load generator (default: BUILD/bench/load)")
    p.add_argument("--no-pin", action="store_true", help="let the scheduler place the processes")
    p.add_argument("--dgram-qlen", type=int, default=10,
                   help="net.unix.max_dgram_qlen; a new namespace has %(default)s, the default; "
                        "systemd sets 512 for a whole host")
    p.add_argument("--timeout", type=float, default=7200, help="seconds for all (%(default)s)")
    return p


def options(argv):
    env = os.environ.get
    p = parser()
    o = p.parse_args(argv)
    for name, known in (("bench", benches.NAMES), ("modes", benches.SOCKET_MODES)):
        variable = "BENCHES" if name == "bench" else name.upper()
        value = getattr(o, name) or env(variable, "").split()
        unknown = [v for v in value if v not in known]
        if unknown:
            p.error(f"{' '.join(unknown)}: not one of {', '.join(known)}")
        if name == "bench":
            o.named = bool(value)
        setattr(o, name, value or list(known))
    for name in ("peers", "tests", "loss_peers"):
        setattr(o, name, getattr(o, name) or env(name.upper(), "").split())
    o.throttle_secs = 10 if o.secs is None else o.secs
    o.secs = 1 if o.secs is None else o.secs
    if o.reps < 1 or not 0.05 <= o.secs <= 600 or o.loss_frames < 1:
        p.error("--reps, --secs or --loss-frames is out of range")
    if min(o.links) < 1 or max(o.links) > 1024:
        p.error("--links: from 1 to 1024")
    if not 2 <= o.ports <= 2048 or o.ports % 2:
        p.error("--ports: an even number from 2 to 2048")
    if o.tests and len(o.bench) != 1:
        p.error("--tests: name one bench")
    o.loss_frames = int(o.loss_frames)
    o.build = os.path.abspath(o.build)
    o.load = os.path.abspath(o.load or os.path.join(o.build, "bench/load"))
    return o
