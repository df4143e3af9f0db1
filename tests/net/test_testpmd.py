# SPDX-License-Identifier: MIT
"""A vhost-user port with a front end that is not QEMU: DPDK's virtio-user in dpdk-testpmd.

Its driver has a pair of functions of its own for nearly every kind of ring; each of PATHS is one.

    packet socket ── TAP vm0 ── vmtap ── testpmd: sends back, swallows or makes frames
"""

import os
import re
import shutil
import signal
import tempfile
from collections import namedtuple

import pytest

from netns import Netns, wait_until
from testpmd import PROGRAM, Testpmd
from tuntap import Packets, flows, frame, number_of
from vmtap import Vmtap

pytestmark = pytest.mark.skipif(not shutil.which(PROGRAM), reason=PROGRAM + " is not installed; Debian: dpdk-dev")

TAP = "tap,ifname=vm0,script=no,downscript=no"
SIZES = range(60, 1515)  # without the 4 bytes of the checksum that a wire has
BATCH = 48

Path = namedtuple("Path", "name devargs receive transmit")
PATHS = [
    Path("split", dict(mrg_rxbuf=0, in_order=0), "standard", "standard"),
    Path("split-mergeable", dict(in_order=0), "mergeable buffer", "standard"),
    Path("split-in-order", dict(mrg_rxbuf=0), "inorder", "inorder"),
    Path("split-in-order-mergeable", {}, "inorder", "inorder"),
    Path("split-vectorised", dict(mrg_rxbuf=0, in_order=0, vectorized=1), "vectorized", "standard"),
    Path("packed", dict(packed_vq=1, mrg_rxbuf=0, in_order=0), "packed ring standard", "packed ring standard"),
    Path("packed-mergeable", dict(packed_vq=1, in_order=0), "packed ring mergeable buffer", "packed ring standard"),
    Path("packed-in-order", dict(packed_vq=1, mrg_rxbuf=0), "packed ring standard", "packed ring standard"),
    Path("packed-in-order-mergeable", dict(packed_vq=1), "packed ring mergeable buffer", "packed ring standard"),
    # Only processors with AVX-512 have this one; elsewhere, the driver takes the ordinary functions.
    Path("packed-vectorised", dict(packed_vq=1, mrg_rxbuf=0, vectorized=1), "packed ring vectorized|packed ring standard",
         "packed ring vectorized|packed ring standard"),
    Path("packed-of-odd-size", dict(packed_vq=1, in_order=0, queue_size=255), "packed ring mergeable buffer",
         "packed ring standard"),
]
SPLIT, PACKED = {}, {"packed_vq": 1}
IN_ORDER, MERGEABLE, PACKED_RING = 1 << 35, 1 << 15, 1 << 34

both_rings = pytest.mark.parametrize("ring", [SPLIT, PACKED], ids=["split", "packed"])


def tap_stats(ns):
    """Frames that vmtap wrote into the TAP, frames that it read, and those that came when the
    TAP's queue was full."""
    stats = ns.links()["vm0"]["stats64"]
    return stats["rx"]["packets"], stats["tx"]["packets"], stats["tx"]["dropped"]


class Link:
    """vmtap and testpmd. @vu, @tap: more options of the two ports."""

    def __init__(self, ns, folder, vu="", tap="", **pmd):
        self.ns = ns
        self.folder = folder
        self.path = os.path.join(folder, "s")
        self.pmds = []
        self.vmtap = Vmtap(ns, [TAP + tap, "vhost-user,server=on,path=%s%s" % (self.path, vu)], folder,
                           args=("-v", "--log-format", "json", "--stats", "3600"))
        try:
            self.launch(**pmd)
        except BaseException:
            self.close()
            raise

    def launch(self, **pmd):
        """Another front end."""
        self.pmds.append(Testpmd(self.ns, self.path, self.folder, "testpmd%d" % len(self.pmds), **pmd))

    @property
    def pmd(self):
        return self.pmds[-1]

    def echo(self, sizes, batch=BATCH):
        """Frames of these sizes go to testpmd and come back as they went, in order. (The socket is a
        new one: frames that were flooded meanwhile would fill it.)"""
        frames = [frame(n, size) for n, size in enumerate(sizes)]
        with Packets(self.ns, "vm0") as kernel:
            for at in range(0, len(frames), batch):
                for data in frames[at:at + batch]:
                    kernel.send(data)
                for data in frames[at:at + batch]:
                    assert kernel.receive() == data, "frame %d of %d bytes" % (number_of(data), len(data))

    def drops(self):
        """vmtap ends. Returns what it dropped: {(port, direction): {cause: frames}}, but for what the kernel did
        while a slow guest held the TAP back."""
        assert self.vmtap.stop() == 0, self.vmtap.output()
        drops = {(port, way): {cause: n for cause, n in counted[way]["drops"].items() if cause != "kernel"}
                 for port, counted in self.vmtap.summary().items() for way in ("rx", "tx")}
        return {where: causes for where, causes in drops.items() if causes}

    def close(self):
        for pmd in self.pmds:
            pmd.kill()
        self.vmtap.stop()


@pytest.fixture
def link(ns, folder):
    """link(...) makes one."""
    made = []

    def make(**kw):
        ns.sysctl("net.ipv6.conf.default.disable_ipv6", 1)  # the kernel itself has nothing to say
        made.append(Link(ns, folder, **kw))
        return made[-1]
    yield make
    for one in made:
        one.close()


# ------------------------------------------------------------------------ every path of the driver


@pytest.fixture(scope="module", params=PATHS, ids=lambda path: path.name)
def path(request):
    return request.param


@pytest.fixture(scope="module")
def driven(path):
    """A link for one of PATHS; the tests below share it, in their order."""
    if os.geteuid():
        pytest.skip("making a network namespace takes root, or `unshare -rn`")
    with Netns() as ns, tempfile.TemporaryDirectory(prefix="vmtap-") as folder:
        ns.sysctl("net.ipv6.conf.default.disable_ipv6", 1)
        link = Link(ns, folder, **path.devargs)
        try:
            yield link
        finally:
            link.close()


def test_driver_takes_its_path(driven, path):
    receive, transmit = driven.pmd.paths()
    assert re.fullmatch(path.receive, receive) and re.fullmatch(path.transmit, transmit)
    features = driven.pmd.features()
    for key, bit, default in ("packed_vq", PACKED_RING, 0), ("in_order", IN_ORDER, 1), ("mrg_rxbuf", MERGEABLE, 1):
        assert bool(features & bit) == bool(path.devargs.get(key, default)), key


def test_frames_of_every_size_come_back_as_they_went(driven):
    driven.pmd.forward("io")
    driven.echo(SIZES)
    driven.pmd.stop_forwarding()


@pytest.mark.parametrize("size", [60, 1514])
def test_every_frame_to_the_driver_arrives(driven, size):
    _, read, full = tap_stats(driven.ns)
    driven.pmd.command("clear port xstats 0")
    driven.pmd.forward("rxonly")
    data = frame(1, size)
    with Packets(driven.ns, "vm0") as kernel:
        for _ in range(3000):
            kernel.send(data)
    wait_until(lambda: sum(tap_stats(driven.ns)[1:]) - read - full == 3000, what="vmtap reads the TAP to its end")
    read = tap_stats(driven.ns)[1] - read
    wait_until(lambda: driven.pmd.xstats()["rx_good_packets"] >= read, what="%d frames to arrive" % read)
    driven.pmd.stop_forwarding()
    stats = driven.pmd.xstats()
    assert stats["rx_good_packets"] == read and stats["rx_good_bytes"] == read * size
    assert stats["rx_errors"] == stats["rx_missed_errors"] == 0


@pytest.mark.parametrize("mode", ["64", "100,200,300", "flowgen"])
def test_every_frame_from_the_driver_arrives(driven, mode):
    """Frames of one piece, of three, and as many as fit into a moment."""
    written = tap_stats(driven.ns)[0]
    driven.pmd.command("clear port xstats 0", "set burst tx delay 50 retry 10000")  # wait for room
    if mode == "flowgen":
        driven.pmd.forward("flowgen retry")
        wait_until(lambda: tap_stats(driven.ns)[0] - written > 3000)
    else:
        driven.pmd.command("set txpkts " + mode)
        driven.pmd.forward("io retry", "start tx_first 100")
    driven.pmd.stop_forwarding()
    sent = driven.pmd.xstats()["tx_good_packets"]
    assert sent == 100 * 32 or mode == "flowgen"
    wait_until(lambda: tap_stats(driven.ns)[0] - written >= sent, what="%d frames to arrive" % sent)
    assert tap_stats(driven.ns)[0] - written == sent


def test_frames_wait_while_the_driver_does_not_look(driven):
    """In the ring and in the TAP's queue, in order."""
    frames = [frame(n) for n in range(600)]  # 256 and 500 would fit
    driven.pmd.command("set burst tx delay 50 retry 10000")
    with Packets(driven.ns, "vm0") as kernel:
        for data in frames:
            kernel.send(data)
        driven.pmd.forward("io retry")
        for data in frames:
            assert kernel.receive() == data
    driven.pmd.stop_forwarding()


def test_nothing_was_dropped(driven):
    """Last on the link: vmtap ends."""
    assert driven.pmd.quit() == 0
    assert driven.drops() == {}


# ---------------------------------------------------------------------------------- other kinds of link


@pytest.mark.parametrize("offered", [2, 4])
@both_rings
def test_frames_of_many_flows_take_both_queues_and_stay_in_order(link, ring, offered):
    """Two queue pairs in use, of as many as are offered."""
    wire = link(vu=",queues=%d" % offered, tap=",queues=2", queues=2, **ring)
    wire.pmd.forward("io")
    frames = flows(32, 20)
    came = {}
    with Packets(wire.ns, "vm0", kind=0x0800) as kernel:
        for at in range(0, len(frames), BATCH):
            for data in frames[at:at + BATCH]:
                kernel.send(data)
            for _ in frames[at:at + BATCH]:
                data = kernel.receive()
                assert data, "frames are missing"
                came.setdefault(data[6:12], []).append(data)
    wire.pmd.stop_forwarding()
    stats = wire.pmd.xstats()
    for way in "rx", "tx":
        used = [stats["%s_q%d_good_packets" % (way, q)] for q in (0, 1)]
        assert all(used) and sum(used) == len(frames), used
    for source, got in came.items():
        assert got == [data for data in frames if data[6:12] == source]
    assert wire.pmd.quit() == 0
    assert wire.drops() == {}


@both_rings
def test_every_frame_from_two_queues_arrives(link, ring):
    wire = link(vu=",queues=2", tap=",queues=2", queues=2, **ring)
    wire.pmd.command("set burst tx delay 50 retry 10000")
    wire.pmd.forward("io retry", "start tx_first 100")
    wire.pmd.stop_forwarding()
    stats = wire.pmd.xstats()
    assert stats["tx_q0_good_packets"] == stats["tx_q1_good_packets"] == 3200
    wait_until(lambda: tap_stats(wire.ns)[0] >= 6400, what="6400 frames to arrive")
    assert tap_stats(wire.ns)[0] == 6400


@pytest.mark.parametrize("ring", [dict(in_order=0), {}, PACKED], ids=["split", "split-in-order", "packed"])
def test_jumbo_frames_come_back_over_mergeable_buffers(link, ring):
    """Each takes up to five buffers on its way in, and is a chain of as many on its way out."""
    wire = link(args=["--max-pkt-len=9018", "--enable-scatter", "--tx-offloads=0x8000"], **ring)
    wire.ns.run("ip link set vm0 mtu 9000")
    wire.pmd.forward("io")
    wire.echo(range(1515, 9015, 41), batch=16)
    wire.echo([9014] * 100, batch=16)
    wire.pmd.stop_forwarding()
    assert wire.pmd.quit() == 0
    assert wire.drops() == {}


# ------------------------------------------------------------------------------------- ends and beginnings


def flood(pmd, ns):
    """testpmd sends as fast as it can; it is seen at the TAP."""
    before = tap_stats(ns)[0]
    pmd.forward("txonly")
    wait_until(lambda: tap_stats(ns)[0] > before + 1000, what="testpmd's frames")


@both_rings
def test_driver_that_is_killed_in_full_traffic_is_served_again(link, ring):
    wire = link(**ring)
    for _ in range(2):
        wire.pmd.forward("io")
        wire.echo(range(60, 1515, 17))
        wire.pmd.stop_forwarding()
        flood(wire.pmd, wire.ns)
        wire.pmd.kill()
        wait_until(lambda: wire.vmtap.output().count("disconnected") == len(wire.pmds))
        wire.launch(**ring)
    wire.pmd.forward("io")
    wire.echo(range(60, 1515, 17))
    assert wire.vmtap.proc.poll() is None


class Server:
    """testpmd listens; vmtap comes and goes."""

    def __init__(self, ns, folder, **ring):
        self.ns = ns
        self.folder = folder
        self.path = os.path.join(folder, "s")
        self.vmtap = None
        ns.sysctl("net.ipv6.conf.default.disable_ipv6", 1)
        self.pmd = Testpmd(ns, self.path, folder, server=True, wait=False, **ring)

    def start_vmtap(self):
        self.vmtap = Vmtap(self.ns, [TAP, "vhost-user,reconnect-ms=50,path=" + self.path], self.folder)

    def answers(self):
        """Does a frame come back?"""
        with Packets(self.ns, "vm0") as kernel:
            kernel.send(frame(1))
            return kernel.receive(timeout=0.2) == frame(1)

    echo = Link.echo


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL], ids=["term", "kill"])
@both_rings
def test_vmtap_that_is_restarted_serves_the_same_driver(ns, folder, ring, how):
    """In full traffic, several times."""
    wire = Server(ns, folder, **ring)
    wire.start_vmtap()
    wire.pmd.wait_ready()
    for _ in range(3):
        flood(wire.pmd, ns)
        wire.vmtap.stop(how)
        wait_until(lambda: "vm0" not in ns.links())
        wire.pmd.stop_forwarding()
        wire.start_vmtap()
        wire.pmd.forward("io")
        wait_until(wire.answers, what="a frame that comes back")
        wire.echo(range(60, 1515, 17))
        wire.pmd.stop_forwarding()
    assert wire.pmd.quit() == 0
    assert wire.vmtap.stop() == 0
