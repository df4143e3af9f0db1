# SPDX-License-Identifier: MIT
"""Several queues of one TAP. What is done with single ones at run time is in tap-queues.c."""

import json
import os
import socket

import pytest

from netns import wait_until
import tuntap
import vmtap
from peers import StreamPeer
from tuntap import Packets, frame
from vmtap import Vmtap

FLOWS, EACH = 64, 10


@pytest.fixture
def wire(ns, folder):
    path = os.path.join(folder, "s")
    ns.sysctl("net.ipv6.conf.default.disable_ipv6", 1)  # the kernel itself has nothing to say
    with Vmtap(ns, ["tap,ifname=vm0,queues=4,script=no,downscript=no",
                    "stream,server=on,path=" + path], folder) as v, StreamPeer(path) as vm:
        ns.run("ip addr add 10.0.0.1/24 dev vm0; ip neigh add 10.0.0.2 "
               "lladdr 02:00:00:00:00:02 dev vm0")
        yield v, vm
    assert v.status == 0


def sent_by_queue(ns):
    """Packets that the kernel handed to each queue."""
    qdiscs = json.loads(ns.run("tc -s -j qdisc show dev vm0").stdout)
    return [q["packets"] for q in qdiscs if q["kind"] != "mq"]


def test_queues_are_of_one_device(ns, wire):
    data = ns.links()["vm0"]["linkinfo"]["info_data"]
    assert data["multi_queue"] and (data["numqueues"], data["numdisabled"]) == (4, 0)


def test_flows_from_every_queue_arrive_in_order(ns, wire):
    _, vm = wire
    with ns.enter():
        socks = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(FLOWS)]
    for n in range(EACH):
        for i, sock in enumerate(socks):
            sock.sendto(bytes([n]), ("10.0.0.2", 1000 + i))
    seen = {1000 + i: [] for i in range(FLOWS)}
    while sum(map(len, seen.values())) < FLOWS * EACH:
        data = vm.receive(kind=0x0800)
        assert data, "frames are missing"
        if data[23] == 17:
            seen[int.from_bytes(data[36:38], "big")].append(data[42])
    for sock in socks:
        sock.close()
    assert all(numbers == list(range(EACH)) for numbers in seen.values())
    used = [n for n in sent_by_queue(ns) if n]
    assert len(used) == 4 and sum(used) >= FLOWS * EACH


def test_frames_to_a_multi_queue_tap_arrive_in_order(ns, wire):
    _, vm = wire
    with Packets(ns, "vm0") as kernel:
        vm.send(*(frame(n) for n in range(500)))
        for n in range(500):
            assert kernel.receive() == frame(n)


def test_a_peer_that_does_not_read_holds_every_queue(ns, wire):
    v, vm = wire
    with Packets(ns, "vm0") as kernel:
        ns.run("ip link set vm0 txqueuelen 100")
        sent = 0
        while ns.links()["vm0"]["stats64"]["tx"]["dropped"] == 0:
            for _ in range(500):
                kernel.send(frame(sent, 1500))
                sent += 1
        dropped = ns.links()["vm0"]["stats64"]["tx"]["dropped"]
        for _ in range(sent - dropped):
            assert vm.receive(kind=0x88B5)
        kernel.send(frame(sent, 60))
        assert vm.receive(kind=0x88B5) == frame(sent, 60)


def test_all_queues_go_with_the_device(ns, folder):
    with Vmtap(ns, ["tap,ifname=vm0,queues=8,script=no,downscript=no", "null"], folder) as v:
        pass
    assert v.status == 0
    wait_until(lambda: "vm0" not in ns.links())


@pytest.mark.parametrize("command", ["connect", "check"])
@pytest.mark.parametrize("theirs, option", [(0, "off"), (tuntap.IFF_VNET_HDR, "on")])
def test_a_device_that_others_have_in_another_mode_is_busy(ns, theirs, option, command):
    """The kernel would attach us, and take our headers for frames or our frames for headers."""
    port = "tap,ifname=vm0,queues=2,script=no,downscript=no"
    fd = tuntap.open_tap(ns, "vm0", tuntap.IFF_TAP | tuntap.IFF_NO_PI | tuntap.IFF_MULTI_QUEUE | theirs)
    other = ",vnet_hdr=" + ("on" if option == "off" else "off")
    done = vmtap.run(ns, command, port + other, *(["null"] if command == "connect" else []))
    assert done.returncode == 3 and "take vnet_hdr=%s, end that process" % option in done.stderr
    assert ns.links()["vm0"]["linkinfo"]["info_data"]["numqueues"] == 1
    assert vmtap.run(ns, "check", port + ",vnet_hdr=" + option).returncode == 0
    os.close(fd)
