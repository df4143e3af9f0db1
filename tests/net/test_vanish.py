# SPDX-License-Identifier: MIT
"""A TAP that is deleted, renamed or made again while it is in use."""

import json
import os
import threading

import pytest

import tuntap
from netns import wait_until
from peers import StreamPeer
from tuntap import IFF_NO_PI, IFF_TAP, IFF_VNET_HDR, Packets, frame
from vmtap import Vmtap

FAILED = 1
NO = ",script=no,downscript=no"


def start(ns, folder, options="", args=("-v",), **kw):
    ns.sysctl("net.ipv6.conf.default.disable_ipv6", 1)
    path = os.path.join(folder, "s")
    return Vmtap(ns, ["tap,ifname=vm0,id=tap" + NO + options, "stream,server=on,id=vm,path=" + path],
                 folder, args=args, **kw)


def check_ended(v, ns, folder):
    assert v.wait() == FAILED
    assert "tap: cannot move frames: the interface is gone" in v.output()
    assert "reconnect-ms" in v.output()
    assert v.output().count("is gone") == 1
    assert not os.path.exists(os.path.join(folder, "s"))
    assert list(ns.links()) == ["lo"]


@pytest.mark.parametrize("options", ["", ",queues=4", ",vnet_hdr=off", ",sndbuf=10k"])
def test_deleting_an_idle_one_is_a_clear_error(ns, folder, options):
    with start(ns, folder, options) as v:
        ns.run("ip link del vm0")
        check_ended(v, ns, folder)


def test_deleting_an_inherited_one_is_a_clear_error(ns, folder):
    fd = tuntap.open_tap(ns, "vm0", IFF_TAP | IFF_NO_PI | IFF_VNET_HDR)
    try:
        with Vmtap(ns, ["tap,id=tap,fd=%d" % fd, "null"], folder, pass_fds=[fd]) as v:
            ns.run("ip link del vm0")
            check_ended(v, ns, folder)
    finally:
        os.close(fd)


def test_the_error_is_one_json_object(ns, folder):
    with start(ns, folder, args=("--log-format", "json")) as v:
        ns.run("ip link del vm0")
        assert v.wait() == FAILED
    error, = map(json.loads, v.output().splitlines())
    assert error["level"] == "error" and error["port"] == "tap" and "is gone" in error["message"]


@pytest.mark.parametrize("options", ["", ",queues=4"])
@pytest.mark.parametrize("way", ["to-the-tap", "from-the-tap", "both"])
def test_deleting_a_busy_one_is_a_clear_error(ns, folder, way, options):
    with start(ns, folder, options) as v, StreamPeer(os.path.join(folder, "s")) as vm, \
            Packets(ns, "vm0") as kernel:
        stop = threading.Event()

        def flood(send):
            try:
                while not stop.is_set():
                    send()
            except OSError:
                pass  # it is gone

        sends = {"to-the-tap": [lambda: vm.send(*[frame(1)] * 50)],
                 "from-the-tap": [lambda: kernel.send(frame(1))]}
        sends["both"] = sends["to-the-tap"] + sends["from-the-tap"]
        threads = [threading.Thread(target=flood, args=(send,)) for send in sends[way]]
        for t in threads:
            t.start()
        try:
            wait_until(lambda: ns.links()["vm0"]["stats64"]["tx" if way == "from-the-tap" else "rx"]
                       ["packets"] > 100)
            ns.run("ip link del vm0")
            check_ended(v, ns, folder)
        finally:
            stop.set()
            for t in threads:
                t.join()


def test_deleting_one_whose_peer_does_not_read_is_a_clear_error(ns, folder):
    with start(ns, folder) as v, StreamPeer(os.path.join(folder, "s")), \
            Packets(ns, "vm0") as kernel:
        while ns.links()["vm0"]["stats64"]["tx"]["dropped"] == 0:
            for n in range(300):
                kernel.send(frame(n, 1500))
        ns.run("ip link del vm0")
        check_ended(v, ns, folder)


def test_one_that_gets_another_name_works_on(ns, folder):
    with start(ns, folder) as v, StreamPeer(os.path.join(folder, "s")) as vm:
        ns.run("ip link set vm0 down; ip link set vm0 name new0; ip link set new0 up")
        with Packets(ns, "new0") as kernel:
            vm.send(frame(1))
            assert kernel.receive() == frame(1)
            kernel.send(frame(2))
            assert vm.receive() == frame(2)
    assert v.status == 0


# ------------------------------------------------------------------ reconnect-ms


def exchange(ns, vm, n):
    with Packets(ns, "vm0") as kernel:
        vm.send(frame(n, 100))
        assert kernel.receive() == frame(n, 100)
        kernel.send(frame(n, 1000))
        assert vm.receive(kind=tuntap.ETH_TEST) == frame(n, 1000)


@pytest.mark.parametrize("make, options", [
    ("ip tuntap add vm0 mode tap", ""),
    ("ip tuntap add vm0 mode tap vnet_hdr", ",vnet_hdr=off"),
    ("ip tuntap add vm0 mode tap multi_queue", ",queues=3"),
])
def test_it_waits_and_carries_on(ns, folder, make, options):
    with start(ns, folder, options + ",reconnect-ms=20",
               args=("-v", "--stats", "3600", "--log-format", "json")) as v, \
            StreamPeer(os.path.join(folder, "s")) as vm:
        exchange(ns, vm, 1)
        for n in range(2, 4):
            ns.run("ip link del vm0")
            wait_until(lambda: v.output().count("looking for it every 20 ms") == n - 1)
            vm.send(frame(0), frame(0))  # nobody takes them
            ns.run(make + " && ip link set vm0 up")
            wait_until(lambda: v.output().count("attached to vm0 again") == n - 1)
            exchange(ns, vm, n)
    assert v.status == 0
    s = v.summary()
    assert s["vm"]["rx"]["frames"] == 3 + 4
    assert s["tap"]["tx"]["frames"] == 3 + s["vm"]["rx"]["frames"] - 3 - \
        s["tap"]["tx"]["drops"].get("peer-gone", 0)
    assert "vm0" in ns.links()  # made by somebody else, so left to them


def test_what_was_asked_for_is_set_again(ns, folder):
    """Bridge, MTU, address and script: the new interface has none of it."""
    script = os.path.join(folder, "up")
    with open(script, "w") as f:
        f.write("#!/bin/sh\necho up $1 >>%s/told; ip addr add 10.0.0.1/24 dev $1\n" % folder)
    os.chmod(script, 0o755)
    ns.run("ip link add br0 type bridge && ip link set br0 up")
    path = os.path.join(folder, "s")
    port = "tap,ifname=vm0,br=br0,mtu=1400,mac=02:00:00:00:00:77,script=%s,downscript=no" \
        ",reconnect-ms=20" % script
    with Vmtap(ns, [port, "stream,server=on,path=" + path], folder) as v:
        for n in 1, 2:
            link = ns.links()["vm0"]
            assert (link["master"], link["mtu"], link["address"]) == (
                "br0", 1400, "02:00:00:00:00:77")
            assert "10.0.0.1" in ns.run("ip addr show vm0").stdout
            with open(folder + "/told") as f:
                assert f.read() == "up vm0\n" * n
            if n == 1:
                ns.run("ip link del vm0 && ip tuntap add vm0 mode tap")
                wait_until(lambda: "attached to vm0 again" in v.output())
    assert v.status == 0 and "vm0" in ns.links()


def test_a_failing_script_is_tried_again(ns, folder):
    script = os.path.join(folder, "up")
    with open(script, "w") as f:
        f.write("#!/bin/sh\n[ ! -e %s/broken ]\n" % folder)
    os.chmod(script, 0o755)
    path = os.path.join(folder, "s")
    with Vmtap(ns, ["tap,ifname=vm0,reconnect-ms=20,downscript=no,script=" + script,
                    "stream,server=on,path=" + path], folder) as v, StreamPeer(path) as vm:
        open(folder + "/broken", "w").close()
        ns.run("ip link del vm0 && ip tuntap add vm0 mode tap && ip link set vm0 up")
        wait_until(lambda: "exit status 1" in v.output())
        assert v.proc.poll() is None
        os.unlink(folder + "/broken")
        wait_until(lambda: "attached to vm0 again" in v.output())
        exchange(ns, vm, 1)
    assert v.status == 0


@pytest.mark.parametrize("make, says", [
    ("ip tuntap add vm0 mode tun", "TUN device"),
    ("ip link add vm0 type bridge", "no TAP"),
    ("ip tuntap add vm0 mode tap multi_queue", "multi-queue"),
])
def test_something_else_of_that_name_is_said_and_waited_out(ns, folder, make, says):
    with start(ns, folder, ",reconnect-ms=20") as v, StreamPeer(os.path.join(folder, "s")) as vm:
        ns.run("ip link del vm0 && " + make)
        wait_until(lambda: says in v.output())
        ns.run("ip link del vm0 && ip tuntap add vm0 mode tap && ip link set vm0 up")
        wait_until(lambda: "attached to vm0 again" in v.output())
        exchange(ns, vm, 1)
        assert v.output().count(says) <= 6  # rate-limited


def test_it_can_be_ended_while_it_waits(ns, folder):
    with start(ns, folder, ",reconnect-ms=3600000") as v:
        ns.run("ip link del vm0")
        wait_until(lambda: "looking for it" in v.output())
        assert v.stop() == 0
    assert not os.path.exists(os.path.join(folder, "s"))


def test_waiting_takes_no_descriptors(ns, folder):
    with start(ns, folder, ",reconnect-ms=1,queues=4") as v:
        ns.run("ip link del vm0")
        wait_until(lambda: "looking for it" in v.output())
        ns.run("ip tuntap add vm0 mode tun")  # many attempts, all of which fail
        wait_until(lambda: "TUN device" in v.output())
        counts = {len(os.listdir("/proc/%d/fd" % v.proc.pid)) for _ in range(200)}
        assert max(counts) - min(counts) <= 2  # one at a time
        ns.run("ip link del vm0 && ip tuntap add vm0 mode tap multi_queue && ip link set vm0 up")
        wait_until(lambda: "attached to vm0 again" in v.output())
        assert ns.links()["vm0"]["linkinfo"]["info_data"]["numqueues"] == 4
