# SPDX-License-Identifier: MIT
"""What is counted of queue pairs: exact after known traffic, and by cause."""

import json
import re
import socket
import struct
import subprocess
import time

import pytest

import vmtap
from ctl import Refused, Serve
from netns import wait_until
from tuntap import ETH_TEST, SOL_PACKET, Packets, frame
from vu import EVENT_IDX, MODERN, MRG, PACKED, Front
from vulab import PACKET_VNET_HDR, tcp4

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


def run_stats(ctl_path, *args):
    return subprocess.run([vmtap.program(), "--control", ctl_path, "stats", *args], text=True, capture_output=True,
                          stdin=subprocess.DEVNULL, timeout=30)


def test_a_table_for_people(ns, folder):
    with Serve(ns, folder) as server, server.client() as ctl:
        ctl.run("port_add", type="null", id="gen", size=60, count=1000)
        ctl.run("port_add", type="null", id="sink")
        ctl.run("connect", id="gen", peer="sink")
        wait_until(lambda: queues(ctl, "sink")[0]["tx"]["frames"] == 1000)
        done = run_stats(server.path)
        assert (done.returncode, done.stderr) == (0, "")
        lines = done.stdout.splitlines()
        assert lines[0].split()[:5] == ["port", "queue", "frames", "bytes", "GSO"] and len(lines) == 5
        assert lines[1].split()[:4] == ["gen", "0", "in", "1000"] and lines[1].endswith("none")
        assert lines[4].split()[:4] == ["out", "1000", "60.0kB", "0%"]
        assert lines[3].split()[:6] == ["sink", "0", "in", "0", "0B", "-"]
        assert len(lines[0]) <= 80 and max(map(len, lines)) <= 80
        done = run_stats(server.path, "sink", "--json")
        assert json.loads(done.stdout) == queues(ctl, "sink")
        done = run_stats(server.path, "nobody")
        assert done.returncode == 1 and "nobody" in done.stderr and done.stdout.count("\n") <= 1
    assert run_stats(server.path).returncode == 3


def columns(lines, name):
    """What stands in a column that is flush right, below its name."""
    end = lines[0].index(name) + len(name)
    return [line[:end].split()[-1] for line in lines[1:]]


def test_the_table_has_the_share_of_frames_to_be_segmented(ns, folder):
    """Each way by itself, in 80 columns."""
    names = "guest-01", "guest-02"
    with Serve(ns, folder) as server, server.client() as ctl:
        for name in names:
            add_tap(ns, ctl, name)
        ctl.run("connect", id=names[0], peer=names[1])
        with Packets(ns, names[0]) as kernel:
            kernel.sock.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)

            def send(size, cnt, gso):
                """Returns what @names[1] was sent by then."""
                data, fields = tcp4(size, gso=gso)
                parts = "flags", "gso_type", "hdr_len", "gso_size", "csum_start", "csum_offset"
                due = queues(ctl, names[1])[0]["tx"]["frames"] + cnt
                for _ in range(cnt):
                    kernel.send(struct.pack("<BBHHHH", *(fields[part] for part in parts)) + data)
                wait_until(lambda: queues(ctl, names[1])[0]["tx"]["frames"] >= due)
                return queues(ctl, names[1])[0]["tx"]

            def shares():
                lines = run_stats(server.path).stdout.splitlines()
                assert max(map(len, lines)) <= 80
                return columns(lines, "GSO")

            send(20000, 30, gso=True)
            sent = send(1000, 10, gso=False)
            assert sent["gso_frames"] == 30
            share = "%d%%" % (3000 // sent["frames"])
            first, *back, last = shares()
            assert first == last == share and set(back) <= {"-", "0%"}
            for _ in range(30):
                send(1000, 100, gso=False)
            assert shares()[0] == shares()[-1] == "<1%"


SAMPLE = re.compile(r'(?P<name>[a-z_]+)\{port="(?P<port>[^"\\\n]*)",queue="(?P<queue>\d+)"(,cause="(?P<cause>[a-z-]+)")?\} '
                    r"(?P<value>\d+(\.\d+)?)")


def metrics(text):
    # by name, port, queue and cause, as strictly as the format is
    found, family, kind = {}, None, None
    families = set()
    assert text.endswith("\n")
    for line in text.splitlines():
        if line.startswith("# HELP "):
            family = line.split()[2]
            assert family not in families and len(line.split()) > 3
            families.add(family)
            kind = None
        elif line.startswith("# TYPE "):
            assert kind is None and line.split()[2] == family
            kind = line.split()[3]
            assert kind == ("counter" if family.endswith("_total") else "gauge")
        else:
            sample = SAMPLE.fullmatch(line)
            assert sample and sample["name"] == family and kind, line
            key = sample["name"], sample["port"], sample["queue"], sample["cause"]
            assert key not in found
            found[key] = float(sample["value"])
    return found


def test_prometheus(ns, folder):
    with Serve(ns, folder) as server, server.client() as ctl:
        ctl.run("port_add", type="null", id="gen", size=60, count=1000)
        ctl.run("port_add", type="null", id="sink")
        ctl.run("port_add", type="vhost-user", id="g", server=True, path=folder + "/vu.sock")
        ctl.run("connect", id="gen", peer="sink")
        wait_until(lambda: queues(ctl, "sink")[0]["tx"]["frames"] == 1000)
        found = metrics(run_stats(server.path, "--prometheus").stdout)
        assert found["vmtap_port_receive_frames_total", "gen", "0", None] == 1000
        assert found["vmtap_port_transmit_bytes_total", "sink", "0", None] == 60000
        assert found["vmtap_port_receive_ring_kicks_total", "g", "0", None] == 0
        assert ("vmtap_port_receive_ring_kicks_total", "gen", "0", None) not in found
        ctl.run("set_link", name="sink", up=False)
        ctl.run("port_add", type="null", id="more", count=10)
        ctl.run("disconnect", id="gen")
        ctl.run("connect", id="more", peer="sink")
        wait_until(lambda: queues(ctl, "sink")[0]["tx"]["drops"] or queues(ctl, "more")[0]["rx"]["drops"])
        found = metrics(run_stats(server.path, "--prometheus").stdout)
        assert {key[3] for key in found if key[3]} == {"link-down"}
        assert {key[1] for key in metrics(run_stats(server.path, "--prometheus", "g", "g").stdout)} == {"g"}


def test_rates_while_watching(ns, folder):
    with Serve(ns, folder) as server, server.client() as ctl:
        ctl.run("port_add", type="null", id="gen", size=1000)
        ctl.run("port_add", type="null", id="sink")
        ctl.run("connect", id="gen", peer="sink")
        with subprocess.Popen([vmtap.program(), "--control", server.path, "stats", "--watch=0.1", "sink"], text=True,
                              stdout=subprocess.PIPE, stdin=subprocess.DEVNULL) as watch:
            lines = [watch.stdout.readline() for _ in range(7)]
            watch.terminate()
        assert "frames/s" not in lines[0] and "frames/s" in lines[4]
        rates = lines[6].split()
        assert rates[0] == "out" and rates[5][-1] in "kM" and rates[6][-1] in "MG", lines


@pytest.mark.parametrize("text", ["0", "x", "nan", "1s"])
def test_a_time_to_watch_that_cannot_be(ns, text):
    done = vmtap.run(ns, "stats", "--watch=" + text)
    assert done.returncode == 2 and "--watch takes seconds" in done.stderr


def test_rings_of_a_guest(ns, folder, ctl):
    path = folder + "/vu.sock"
    ctl.run("port_add", type="vhost-user", id="g", server=True, path=path)
    ring = queues(ctl, "g")[0]["tx"]["ring"]
    assert not ring["started"] and ring["size"] == ring["kicks"] == ring["calls"] == 0


@pytest.mark.parametrize("kind", [0, PACKED], ids=["split", "packed"])
def test_room_and_frames_in_a_guests_rings(ns, folder, ctl, kind):
    ns.sysctl("net.ipv6.conf.default.disable_ipv6", 1)  # a frame of the kernel's own would take a buffer
    path = folder + "/vu.sock"
    add_tap(ns, ctl, "vm0")
    ctl.run("port_add", type="vhost-user", id="g", server=True, path=path)
    ctl.run("connect", id="vm0", peer="g")

    def room():
        row, = queues(ctl, "g")
        assert not row["in_kernel"] and row["rx"]["ring"]["available"] == 0
        return row["tx"]["ring"]["available"]

    with Front(ns, want=MODERN | MRG | EVENT_IDX | kind, ring_size=16) as vm:
        vm.up(path, post=False)
        vm.do("hold 0 1")
        ring = queues(ctl, "g")[0]["tx"]["ring"]
        assert ring["started"] and ring["enabled"] and (ring["size"], ring["available"]) == (16, 0)
        with Packets(ns, "vm0") as host:
            for round in range(20):
                vm.post(0, 5)
                assert room() == 5
                for n in range(3):
                    host.send(frame(n))
                    assert vm.receive(kind=ETH_TEST).data == frame(n)
                assert room() == 2
                table = run_stats(ctl.sock.getpeername(), "g").stdout.splitlines()
                assert table[1].split()[-2:] == ["0/16", "none"] and table[2].split()[-2:] == ["2/16", "none"]
                for n in range(2):
                    host.send(frame(n))
                    assert vm.receive(kind=ETH_TEST).data == frame(n)
                assert room() == 0
        found = metrics(run_stats(ctl.sock.getpeername(), "--prometheus").stdout)
        assert found["vmtap_port_transmit_ring_entries", "g", "0", None] == 16
        assert found["vmtap_port_transmit_ring_available", "g", "0", None] == 0
    ctl.wait_port("g", lambda row: row["state"] == "waiting")
    assert queues(ctl, "g")[0]["tx"]["ring"]["available"] == 0


def test_256_ports_are_read_quickly(ctl):
    for i in range(256):
        ctl.run("port_add", type="null", id="p%d" % i)
    begun = time.monotonic()
    rows = ctl.run("query-queues")
    took = time.monotonic() - begun
    assert [row["id"] for row in rows] == ["p%d" % i for i in range(256)]
    print("256 ports: %.1f ms" % (took * 1e3))
