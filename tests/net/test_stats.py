# SPDX-License-Identifier: MIT
"""What is counted of queue pairs: exact after known traffic, and by cause."""

import socket
import time

import pytest

from ctl import Refused, Serve
from netns import wait_until
from tuntap import Packets, frame

TAP = {"type": "tap", "script": "no", "downscript": "no", "up": True}


@pytest.fixture
def ctl(ns, folder):
    with Serve(ns, folder) as server, server.client() as made:
        yield made


def queues(ctl, name):
    return ctl.run("query-queues", id=name)


def add_tap(ns, ctl, name, **keys):
    ctl.run("port_add", **{**TAP, "id": name, "ifname": name, **keys})
    ns.run("sysctl -qw net.ipv6.conf.%s.disable_ipv6=1" % name)


def test_frames_bytes_and_bursts_are_exact(ns, folder, ctl):
    add_tap(ns, ctl, "vm0")
    ctl.run("port_add", type="null", id="n")
    ctl.run("connect", id="vm0", peer="n")
    before = queues(ctl, "vm0")[0]
    with Packets(ns, "vm0") as host:
        for i in range(25):
            host.send(frame(i, size=100 + i))
        wait_until(lambda: queues(ctl, "n")[0]["tx"]["frames"] - before["rx"]["frames"] == 25)
    row = queues(ctl, "vm0")[0]
    assert row["rx"]["bytes"] - before["rx"]["bytes"] == sum(100 + i for i in range(25))
    assert 1 <= row["rx"]["bursts"] - before["rx"]["bursts"] <= 25
    assert 1 <= row["wakeups"] - before["wakeups"] <= 26
    assert row["rx"]["drops"] == row["tx"]["drops"] == {}
    assert row["queue"] == 0 and row["used"] and not row["in_kernel"] and "ring" not in row["rx"]


def test_drops_have_a_cause(ns, ctl):
    add_tap(ns, ctl, "vm0")
    ctl.run("port_add", type="null", id="n")
    ctl.run("connect", id="vm0", peer="n")
    before = queues(ctl, "vm0")[0]["rx"]["drops"].get("link-down", 0)
    ctl.run("set_link", name="n", up=False)
    sent = queues(ctl, "n")[0]["tx"]["frames"]
    with Packets(ns, "vm0") as host:
        host.send(frame(0))
        wait_until(lambda: sum(sum(queues(ctl, port)[0][way]["drops"].values())
                               for port in ("vm0", "n") for way in ("rx", "tx")) > before)
    causes = {cause for port in ("vm0", "n") for way in ("rx", "tx") for cause in queues(ctl, port)[0][way]["drops"]}
    assert causes == {"link-down"}
    assert queues(ctl, "n")[0]["tx"]["frames"] == sent


def test_waiting_for_a_reader_takes_time(ns, folder, ctl):
    path = folder + "/s.sock"
    add_tap(ns, ctl, "vm0")
    ctl.run("port_add", type="stream", id="s", server=True, path=path)
    ctl.run("connect", id="vm0", peer="s")
    with socket.socket(socket.AF_UNIX) as reader, Packets(ns, "vm0") as host:
        reader.connect(path)
        ctl.wait_port("s", lambda row: row["state"] == "up")

        def held():
            host.send(frame(0, size=1514))
            return queues(ctl, "s")[0]["tx"]["held"] and queues(ctl, "vm0")[0]["rx"]["held"]

        wait_until(held)
        first = queues(ctl, "vm0")[0]["rx"]
        wait_until(lambda: queues(ctl, "vm0")[0]["rx"]["held_ns"] > first["held_ns"])
        reader.settimeout(20)
        while queues(ctl, "vm0")[0]["rx"]["held"]:
            assert reader.recv(1 << 20)
        row = queues(ctl, "vm0")[0]["rx"]
        assert row["holds"] >= 1 and row["held_ns"] > first["held_ns"]


def test_each_queue_has_a_row(ns, ctl):
    add_tap(ns, ctl, "vm0", queues=3)
    assert [row["queue"] for row in queues(ctl, "vm0")] == [0, 1, 2]
    with pytest.raises(Refused, match="there is no"):
        queues(ctl, "vm1")


def test_rings_of_a_guest(ns, folder, ctl):
    path = folder + "/vu.sock"
    ctl.run("port_add", type="vhost-user", id="g", server=True, path=path)
    ring = queues(ctl, "g")[0]["tx"]["ring"]
    assert not ring["started"] and ring["size"] == ring["kicks"] == ring["calls"] == 0


def test_256_ports_are_read_quickly(ctl):
    for i in range(256):
        ctl.run("port_add", type="null", id="p%d" % i)
    begun = time.monotonic()
    rows = ctl.run("query-queues")
    took = time.monotonic() - begun
    assert [row["id"] for row in rows] == ["p%d" % i for i in range(256)]
    print("256 ports: %.1f ms" % (took * 1e3))
