# SPDX-License-Identifier: MIT
"""What the kernel dropped before vmtap could read it: our figure, wherever it is shown, is the kernel's."""

import contextlib
import os
import socket
import subprocess
import threading
import time

import pytest

import tuntap
import vmtap
from ctl import Serve
from netns import Netns, wait_until
from test_path_cost import strace
from test_stats import TAP, metrics, queues, run_stats
from tuntap import IFF_NO_PI, IFF_TAP, IFF_VNET_HDR, Packets, frame
from vmtap import Vmtap


@pytest.fixture
def server(ns, folder):
    ns.sysctl("net.ipv6.conf.default.disable_ipv6", 1)  # nothing of the kernel's own is dropped
    with Serve(ns, folder) as made:
        yield made


@pytest.fixture
def ctl(server):
    with server.client() as made:
        yield made


def in_kernel(ns, ifname="vm0"):
    return ns.links()[ifname]["stats64"]["tx"]["dropped"]


def ours(ctl, name="vm0"):
    drops = queues(ctl, name)[0]["rx"]["drops"]
    assert set(drops) <= {"kernel"}
    assert ctl.run("query-stats", id=name)[0]["rx"]["drops"] == drops
    return drops.get("kernel", 0)


def flood(ns, ifname, more):
    """Until the kernel has dropped @more."""
    enough = in_kernel(ns, ifname) + more
    with Packets(ns, ifname) as host:
        wait_until(lambda: [host.send(frame(n, 1500)) for n in range(300)] and in_kernel(ns, ifname) >= enough)


@contextlib.contextmanager
def held(ctl, folder, **keys):
    """vm0, behind which there is somebody who does not read."""
    path = folder + "/s"
    ctl.run("port_add", type="stream", id="s", server=True, path=path)
    ctl.run("port_add", **{**TAP, "id": "vm0", "ifname": "vm0", **keys})
    ctl.run("connect", id="vm0", peer="s")
    with socket.socket(socket.AF_UNIX) as reader:
        reader.connect(path)
        ctl.wait_port("s", lambda row: row["state"] == "up")
        yield reader


def test_it_is_the_kernels_figure_and_shown_everywhere(ns, folder, server, ctl):
    with held(ctl, folder):
        assert ours(ctl) == in_kernel(ns) == 0
        flood(ns, "vm0", 100)
        cnt = in_kernel(ns)
        assert ours(ctl) == cnt >= 100
        line, = [line for line in run_stats(server.path).stdout.splitlines() if line.startswith("vm0")]
        assert line.split()[2] == "in" and line.endswith(" %d kernel" % cnt)
        found = metrics(run_stats(server.path, "--prometheus").stdout)
        assert found["vmtap_port_receive_drops_total", "vm0", "0", "kernel"] == cnt
        assert [key for key in found if key[3] == "kernel"] == [("vmtap_port_receive_drops_total", "vm0", "0", "kernel")]


def test_top_has_it_among_the_drops(ns, folder, server, ctl):
    with held(ctl, folder):
        flood(ns, "vm0", 1)
        over = threading.Event()

        def go_on():
            with Packets(ns, "vm0") as host:
                while not over.is_set():
                    host.send(frame(0, 1500))

        flooder = threading.Thread(target=go_on)
        flooder.start()
        try:
            done = subprocess.run([vmtap.program(), "--control", server.path, "--watch=0.3", "--once", "top"], text=True,
                                  capture_output=True, stdin=subprocess.DEVNULL, timeout=30)
        finally:
            over.set()
            flooder.join()
        rows = {row.split()[0]: row.split()[8] for row in done.stdout.splitlines()}
        assert rows["port"] == "drop" and rows["vm0"] != "0" and rows["s"] == "0", done.stdout


def test_what_a_device_had_dropped_before_is_not_the_ports(ns, folder, server, ctl):
    fd = tuntap.open_tap(ns, "vm0", persist=True)
    ns.run("ip link set vm0 up")
    flood(ns, "vm0", 50)
    os.close(fd)
    before = in_kernel(ns)
    with held(ctl, folder):
        assert ours(ctl) == in_kernel(ns) - before
        flood(ns, "vm0", 70)
        assert ours(ctl) == in_kernel(ns) - before >= 70


def test_several_queues_are_counted_once(ns, folder, server, ctl):
    with held(ctl, folder, queues=3):
        flood(ns, "vm0", 20)
        assert ours(ctl) == in_kernel(ns)
        assert [row["rx"]["drops"] for row in queues(ctl, "vm0")] == [{"kernel": in_kernel(ns)}, {}, {}]


def test_the_figure_outlives_the_device_and_goes_on_with_the_next(ns, folder, server, ctl):
    with held(ctl, folder, **{"reconnect-ms": 20}):
        flood(ns, "vm0", 20)
        first = ours(ctl)
        ns.run("ip link del vm0")
        ctl.wait_port("vm0", lambda row: row["state"] == "waiting")
        assert ours(ctl) == first
        ns.run("ip tuntap add vm0 mode tap && ip link set vm0 up")
        ctl.wait_port("vm0", lambda row: row["state"] == "up")
        assert ours(ctl) == first + in_kernel(ns)
        flood(ns, "vm0", 20)
        assert ours(ctl) == first + in_kernel(ns) >= first + 20


def test_a_device_that_moves_to_another_namespace_keeps_what_was_seen(ns, folder, server, ctl):
    with held(ctl, folder), Netns() as other:
        flood(ns, "vm0", 20)
        seen = ours(ctl)
        ns.run("ip link set vm0 netns %d" % other.pid)
        ns.run("ip tuntap add vm0 mode tap")  # another one of that name
        assert ours(ctl) == seen


def test_a_device_of_another_namespace_is_not_mistaken(ns, folder, server, ctl):
    with Netns() as other:
        mine = tuntap.open_tap(ns, "vm0")
        ns.run("ip link set vm0 up")
        fd = tuntap.open_tap(other, "vm0", IFF_TAP | IFF_NO_PI | IFF_VNET_HDR)
        other.sysctl("net.ipv6.conf.vm0.disable_ipv6", 1)
        other.run("ip link set vm0 up")
        ctl.run("getfd", fdname="far", fds=[fd])
        os.close(fd)
        ctl.run("port_add", type="tap", id="vm0", fd="far")
        ctl.run("port_add", type="null", id="n")
        ctl.run("connect", id="vm0", peer="n")
        flood(ns, "vm0", 20)
        assert ours(ctl) == 0
        os.close(mine)


def test_the_summary_has_it(ns, folder):
    ns.sysctl("net.ipv6.conf.default.disable_ipv6", 1)
    path = folder + "/s"
    with Vmtap(ns, ["tap,ifname=vm0,id=tap,script=no,downscript=no", "stream,server=on,id=vm,path=" + path], folder,
               args=("-v", "--stats=3600", "--log-format", "json")) as v, \
            socket.socket(socket.AF_UNIX) as reader:
        wait_until(lambda: os.path.exists(path))
        reader.connect(path)
        wait_until(lambda: "connected to" in v.output())
        flood(ns, "vm0", 20)
        cnt = in_kernel(ns)
        v.stop()
        assert v.summary()["tap"]["rx"]["drops"] == {"kernel": cnt}


MANY = 150  # asked about in several messages, of which the last is not full


@pytest.fixture
def many(ns, ctl):
    """TAPs that nobody reads, t0 to t149, whose queues hold a frame each."""
    ctl.run("port_add", type="null", id="n")  # ports without an interface are among them
    for i in range(MANY):
        ctl.run("port_add", **{**TAP, "id": "t%d" % i, "ifname": "t%d" % i})
    ns.run("for i in $(seq 0 %d); do echo link set t$i txqueuelen 1; done | ip -batch -" % (MANY - 1))
    lose(ns, range(MANY))


def lose(ns, which):
    """Each drops some; how many is the kernel's to say."""
    for i in which:
        with Packets(ns, "t%d" % i) as host:
            for n in range(2 + i % 7):
                host.send(frame(n))


def of_many(answer):
    return {row["id"]: row["rx"]["drops"].get("kernel", 0) for row in answer if row["id"] != "n"}


def of_kernel(ns):
    return {name: link["stats64"]["tx"]["dropped"] for name, link in ns.links().items() if name[0] == "t"}


def test_each_of_many_has_a_figure_of_its_own(ns, ctl, many):
    for i in range(3):
        truth = of_kernel(ns)
        assert len(truth) == MANY and len(set(truth.values())) >= 7
        assert of_many(ctl.run("query-stats")) == of_many(ctl.run("query-queues")) == truth
        lose(ns, range(i, MANY, 3))
    lose(ns, [MANY - 1])
    assert ours(ctl, "t%d" % (MANY - 1)) == of_kernel(ns)["t%d" % (MANY - 1)]


def test_many_are_right_in_whatever_order_they_are_asked(ns, ctl, many):
    ctl.run("port_del", id="t64")
    ctl.run("port_add", **{**TAP, "id": "t64", "ifname": "t64"})  # now the last
    names = ["t%d" % i for i in range(MANY)]
    order = names + names[::-1] + names[::7] * 2 + names[::2] + names[1::2]
    truth = of_kernel(ns)
    ctl.send("".join('{"execute": "query-stats", "arguments": {"id": "%s"}}' % name for name in order))
    for name in order:
        assert of_many(ctl.answer()["return"]) == {name: truth[name]}


def test_those_among_many_that_go_leave_the_others_right(ns, folder, ctl, many):
    first = of_many(ctl.run("query-stats"))
    with Netns() as other:
        fd = tuntap.open_tap(other, "t3", IFF_TAP | IFF_NO_PI | IFF_VNET_HDR)
        ctl.run("getfd", fdname="far", fds=[fd])
        os.close(fd)
        ctl.run("port_add", type="tap", id="far", fd="far")
        lose(ns, range(MANY))
        ns.run("ip link set t10 name renamed")
        ns.run("ip link del t70 && ip link set t99 netns %d" % other.pid)
        truth = of_kernel(ns)
        truth["t10"] = ns.links()["renamed"]["stats64"]["tx"]["dropped"]
        truth.update(t70=first["t70"], t99=first["t99"], far=0)
        assert of_many(ctl.run("query-stats")) == of_many(ctl.run("query-queues")) == truth
        assert truth["t10"] > first["t10"]
        for name in "t70", "t99", "t%d" % (MANY - 1), "far", "t0":
            ctl.run("port_del", id=name)
            del truth[name]
            assert of_many(ctl.run("query-stats")) == truth


def test_256_taps_are_asked_quickly(ns, folder, server, ctl):
    for i in range(256):
        ctl.run("port_add", **{**TAP, "id": "t%d" % i, "ifname": "t%d" % i})
    descriptors = server.descriptors()
    begun = time.monotonic()
    rows = ctl.run("query-queues")
    took = time.monotonic() - begun
    assert len(rows) == 256 and server.descriptors() == descriptors  # one socket for all
    print("256 TAPs: %.1f ms" % (took * 1e3))
    with strace(server, folder) as calls:
        for _ in range(4):
            ctl.run("query-queues")
    assert 4 <= calls["sendto"] <= 4 * 64, calls  # a message for many; more of them when it takes long
