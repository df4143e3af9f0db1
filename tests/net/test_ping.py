# SPDX-License-Identifier: MIT
"""vmtap ping: probes out of a port, and their answers.

    vm0 (TAP) <-- vmtap serve --> s (stream)        the namespace's kernel answers what leaves by vm0,
                                                    the test what leaves by s, in an order of its own
"""

import contextlib
import json
import signal
import socket
import subprocess
import threading

import pytest

import vmtap
import vu
from ctl import Refused, Serve
from netns import wait_until
from peers import DgramPeer, StreamPeer
from tuntap import ETH_TEST, Packets, frame

TAP = {"type": "tap", "script": "no", "downscript": "no", "up": True}
ARP = 0x0806
PATIENT = ("--timeout", "60")


@pytest.fixture
def server(ns, folder):
    with Serve(ns, folder) as made, made.client() as ctl:
        ctl.run("port_add", **TAP, id="vm0", ifname="vm0")
        ctl.run("port_add", type="stream", id="s", server=True, path=folder + "/s.sock")
        ctl.run("connect", id="vm0", peer="s")
        ns.run("ip addr add 10.0.0.1/24 dev vm0 && ip addr add fd00::1/64 dev vm0 nodad")
        yield made


@pytest.fixture
def peer(server, folder):
    with StreamPeer(folder + "/s.sock") as made, server.client() as ctl:
        ctl.wait_port("s", lambda row: row["state"] == "up")
        yield made


def command(server, *args, options=()):
    return [vmtap.program(), "--control", server.path, *options, "ping", *args]


def ping(server, *args, **kw):
    """To its end. Returns status, the probes, and the summary."""
    done = subprocess.run(command(server, "--json", *args, **kw), capture_output=True, text=True, timeout=60)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert all(line["event"] == "probe" for line in lines[:-1])
    assert not lines or lines[-1]["event"] == "summary", done.stdout
    return done.returncode, lines[:-1], lines[-1] if lines else done.stderr


class Pinging:
    """vmtap ping in the background."""

    def __init__(self, server, *args):
        self.proc = subprocess.Popen(command(server, *args), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        if self.proc.poll() is None:
            self.proc.kill()
        self.proc.communicate()

    def end(self, signo=None):
        if signo:
            self.proc.send_signal(signo)
        out, err = self.proc.communicate(timeout=30)
        return self.proc.returncode, out, err


def answer(request, mac):
    """To an ARP request, by the host with this address."""
    assert request[12:14] == b"\x08\x06" and request[20:22] == b"\0\1"
    return (request[6:12] + mac + request[12:20] + b"\0\2" + mac + request[38:42] + request[22:32]).ljust(60, b"\0")


def mac(number):
    return bytes([0x52, 0x54, 0, 0, 0, number])


@pytest.mark.parametrize("address, method", [
    (None, "ICMPv6 echo requests to ff02::1"),
    ("10.0.0.1", "ARP requests for 10.0.0.1"),
    ("fd00::1", "neighbour solicitations for fd00::1"),
])
def test_the_kernel_behind_a_tap_answers(ns, server, peer, address, method):
    status, probes, summary = ping(server, "vm0", *[address] if address else [], "-c", "5", "-i", "0.05", *PATIENT)
    assert status == 0 and summary["method"] == method
    assert summary["answered"] == 5 and summary["lost"] == 0
    assert sorted(p["seq"] for p in probes) == [1, 2, 3, 4, 5]
    own = json.loads(ns.run("ip -j link show vm0").stdout)[0]["address"]
    for p in probes:
        assert p["fate"] == "answered" and p["mac"] == own
        assert p["wait_ns"] >= 0 and p["hand_over_ns"] > 0 and p["outside_ns"] >= 0
        assert address is None and p["address"].startswith("fe80::") or p["address"] == address
    assert summary["total_ns"]["min"] <= summary["total_ns"]["median"] <= summary["total_ns"]["max"]
    assert "%" in summary["verdict"]


def test_nothing_of_it_reaches_the_peer_and_other_frames_do(ns, server, peer):
    with Pinging(server, "vm0", "-i", "0.01", *PATIENT) as pinging, Packets(ns, "vm0") as host:
        for i in range(20):
            line = pinging.proc.stdout.readline()
            assert i == 0 and line.startswith("PING vm0") or "seq=" in line, line
            host.send(frame(i))
        for i in range(20):
            assert peer.receive(kind=ETH_TEST) == frame(i)
        status, out, _ = pinging.end(signal.SIGINT)
    assert status == 0 and "ping statistics" in out
    while True:
        data = peer.receive(timeout=0)
        if data is None:
            break
        # no reply to an echo, and nobody asked for the probe's address, which the server has for itself
        assert data[12:14] != b"\x86\xdd" or data[20] != 58 or data[54] not in (129, 135), data.hex()


def test_answers_in_another_order(server, peer):
    with Pinging(server, "--json", "s", "10.0.0.9", "-c", "3", "-i", "0.01", *PATIENT) as pinging:
        asked = [peer.receive(kind=ARP) for _ in range(3)]
        for n in (2, 0, 1):
            peer.send(answer(asked[n], mac(n)))
        status, out, _ = pinging.end()
    rows = [json.loads(line) for line in out.splitlines()]
    assert status == 0
    assert sorted((r["seq"], r["mac"]) for r in rows[:3]) == [(i + 1, "52:54:00:00:00:0%d" % i) for i in range(3)]
    assert rows[3]["answered"] == 3 and rows[3]["duplicates"] == 0


def test_duplicates_and_others_are_counted(server, peer):
    with Pinging(server, "--json", "s", "10.0.0.9", "-c", "2", "-i", "0.01", *PATIENT) as pinging:
        asked = [peer.receive(kind=ARP) for _ in range(2)]
        first = answer(asked[0], mac(1))
        peer.send(first, first, answer(asked[0], mac(2)), first[:41], first[:20], b"\xff" * 14, answer(asked[1], mac(1)))
        status, out, _ = pinging.end()
    summary = json.loads(out.splitlines()[-1])
    assert status == 0 and summary["answered"] == 2
    assert (summary["duplicates"], summary["others"]) == (1, 1)


def test_a_ping_that_nobody_answers_fails(server, peer):
    status, probes, summary = ping(server, "s", "10.0.0.9", "-c", "3", "-i", "0.01", "--timeout", "0.05")
    assert status == 1
    assert [p["fate"] for p in probes] == ["lost"] * 3 and summary["lost"] == 3
    assert "nobody answered" in summary["verdict"] and "total_ns" not in summary


def test_a_port_without_anybody_drops_it(server):
    status, probes, summary = ping(server, "s", "10.0.0.9", "-c", "1")
    assert status == 1 and probes[0]["fate"] == "dropped" and probes[0]["cause"] == "peer-gone"
    assert "peer-gone" in summary["verdict"]


def test_a_reader_that_does_not_read_holds_it(ns, server, peer):
    with server.client() as ctl, Packets(ns, "vm0") as host:
        def full():
            host.send(frame(0, size=1514))
            return ctl.run("query-queues", id="s")[0]["tx"]["held"]

        wait_until(full)
        status, probes, summary = ping(server, "s", "10.0.0.9", "-c", "1", "--timeout", "0.1")
        assert status == 1 and probes[0]["fate"] == "held" and "takes nothing" in summary["verdict"]
        # the next waits until there is room
        with Pinging(server, "--json", "s", "10.0.0.9", "-c", "1", *PATIENT) as pinging:
            wait_until(lambda: ctl.run("query-pings"))
            peer.send(answer(peer.receive(timeout=30, kind=ARP), mac(1)))
            status, out, _ = pinging.end()
        assert status == 0
        assert json.loads(out.splitlines()[0])["hand_over_ns"] > 0


@contextlib.contextmanager
def answering(peer):
    """All that comes is read, and ARP requests are answered."""
    end = threading.Event()

    def read():
        while not end.is_set():
            came = peer.receive(timeout=0.1)
            if came and came[12:14] == b"\x08\x06":
                peer.send(answer(came, mac(1)))
    thread = threading.Thread(target=read)
    thread.start()
    try:
        yield
    finally:
        end.set()
        thread.join()


@pytest.mark.parametrize("limit", [{}, {"rate": "10M"}], ids=["slow-reader", "limit"])
def test_those_who_keep_a_port_full_let_it_through(ns, folder, limit):
    with Serve(ns, folder) as server, server.client() as ctl:
        ctl.run("port_add", type="null", id="n", size=1500)
        ctl.run("port_add", type="stream", id="s", server=True, path=folder + "/s.sock", **limit)
        ctl.run("connect", id="n", peer="s")
        with StreamPeer(folder + "/s.sock") as peer, answering(peer):
            status, _, summary = ping(server, "s", "10.0.0.9", "-c", "5", "-i", "0.02", "--timeout", "20")
        assert status == 0 and summary["answered"] == 5


@pytest.mark.parametrize("kind", ["unix", "udp"])
def test_out_of_a_dgram_port(ns, folder, kind):
    with Serve(ns, folder) as server, server.client() as ctl:
        ctl.run("port_add", **TAP, id="vm0", ifname="vm0")
        at = [folder + "/d.sock", folder + "/p.sock"] if kind == "unix" else ["127.0.0.1:7001", "127.0.0.1:7002"]
        ctl.run("port_add", type="dgram", id="d", local=at[0], remote=at[1])
        ctl.run("connect", id="vm0", peer="d")
        with ns.enter():
            peer = DgramPeer(at[1], at[0])
        with peer, answering(peer):
            status, probes, summary = ping(server, "d", "10.0.0.9", "-c", "20", "-i", "0.01", *PATIENT)
        assert status == 0 and summary["answered"] == 20
        assert probes[0]["mac"] == "52:54:00:00:00:01"
        if kind == "unix":
            status, probes, _ = ping(server, "d", "10.0.0.9", "-c", "1")
            assert status == 1 and probes[0]["fate"] == "dropped" and probes[0]["cause"] == "peer-gone"


def test_deleting_the_port_ends_it(server, peer):
    with Pinging(server, "vm0", "-i", "0.01", *PATIENT) as pinging, server.client() as ctl:
        assert pinging.proc.stdout.readline().startswith("PING vm0")
        assert "seq=1" in pinging.proc.stdout.readline()
        ctl.run("port_del", id="vm0")
        status, out, err = pinging.end()
        assert ctl.run("query-pings") == []
    assert status == 1 and "the port was closed" in err and "ping statistics" in out


def test_a_client_that_is_killed_takes_its_ping_along(server, peer):
    with Pinging(server, "vm0", "-i", "0.01") as pinging, server.client() as ctl:
        wait_until(lambda: ctl.run("query-pings"))
        pinging.proc.kill()
        wait_until(lambda: not ctl.run("query-pings"))


def test_the_end_of_the_server_is_told(server, peer):
    with Pinging(server, "vm0", "-i", "0.01", *PATIENT) as pinging, server.client() as ctl:
        assert pinging.proc.stdout.readline().startswith("PING vm0")
        assert "seq=1" in pinging.proc.stdout.readline()
        ctl.run("quit")
        status, out, err = pinging.end()
    assert status == 1 and "server" in err and "ping statistics" in out


def test_events_are_for_whoever_asked(server, peer):
    with server.client() as ctl, server.client() as other:
        assert ctl.run("ping_start", port="vm0", id="p", count=2, interval=10, timeout=60000)["id"] == "p"
        assert ctl.wait_event("PING_PROBE", seq=1)["data"]["port"] == "vm0"
        assert ctl.wait_event("PING_ENDED", id="p")["data"]["answered"] == 2
        other.run("query-pings")
        assert not [e for e in other.events if e["event"].startswith("PING")]
        ctl.run("ping_start", port="vm0", id="p", interval=10)
        with pytest.raises(Refused, match="another ping"):
            other.run("ping_start", port="vm0", id="p")
        other.run("ping_stop", id="p")  # by whoever may
        ctl.wait_event("PING_ENDED", id="p")
        with pytest.raises(Refused, match="no ping"):
            ctl.run("ping_stop", id="p")


def test_there_are_not_more_than_64(server, peer):
    with server.client() as ctl:
        for i in range(64):
            ctl.run("ping_start", port="s", address="10.0.0.9", interval=3600000)
        with pytest.raises(Refused, match="64 already"):
            ctl.run("ping_start", port="s")
        rows = ctl.run("query-pings")
        assert len({row["id"] for row in rows}) == 64
    with server.client() as ctl:
        wait_until(lambda: not ctl.run("query-pings"))


@pytest.mark.parametrize("args, status, why", [
    ([], 2, "port's name"),
    (["vm0", "-i", "0"], 2, "seconds"),
    (["vm0", "-c", "0"], 2, "number of probes"),
    (["vm0", "--timeout", "61"], 2, "seconds"),
    (["vm0", "--vlan", "4095"], 2, "a VLAN, 1 to 4094"),
    (["nobody"], 3, "nobody"),
    (["vm0", "10.0.0.256"], 3, "neither an IPv4 nor an IPv6 address"),
    (["vm0", "fe80::1", "--source", "10.0.0.1"], 3, "source"),
    (["alone"], 3, "connect it"),
])
def test_what_cannot_be_is_refused(server, args, status, why):
    with server.client() as ctl:
        ctl.run("port_add", type="null", id="alone")
    done = subprocess.run(command(server, *args), capture_output=True, text=True, timeout=30)
    assert done.returncode == status and why in done.stderr and not done.stdout


def test_who_is_heard_is_asked_when_nobody_answers(server, peer):
    with Pinging(server, "s", "-i", "0.05", "--timeout", "0.05") as pinging:
        assert "ff02::1" in pinging.proc.stdout.readline()
        assert "seq=1 lost" in pinging.proc.stdout.readline()
        peer.send((b"\xff" * 6 + mac(1) + bytes.fromhex("08060001080006040001") + mac(1) + bytes([10, 0, 0, 9])).ljust(60, b"\0"))
        while (line := pinging.proc.stdout.readline()) != "PING s: ARP requests for 10.0.0.9\n":
            assert "lost" in line
        while "10.0.0.9 (52:54:00:00:00:01): seq=" not in line:
            peer.send(answer(peer.receive(kind=ARP), mac(1)))
            line = pinging.proc.stdout.readline()
        assert pinging.end(signal.SIGINT)[0] == 0


def test_arp_with_a_source(server, peer):
    with Pinging(server, "s", "10.0.0.9", "--source", "10.0.0.7", "-c", "1", *PATIENT) as pinging:
        asked = peer.receive(kind=ARP)
        assert asked[28:32] == socket.inet_aton("10.0.0.7")
        peer.send(answer(asked, mac(1)))
        assert pinging.end()[0] == 0


@pytest.mark.parametrize("trunk", [False, True], ids=["link", "trunk"])
def test_in_a_vlan(ns, folder, trunk):
    tag = b"\x81\0\0\x07"
    with Serve(ns, folder) as server, server.client() as ctl:
        ctl.run("port_add", type="stream", id="t", server=True, path=folder + "/t.sock",
                **({"trunk": "7+8"} if trunk else {}))
        if trunk:
            ctl.run("switch_add", id="lan")
            ctl.run("port_add", type="null", id="n", vlan=7)
            ctl.run("connect", id="n", peer="lan")
        else:
            ctl.run("port_add", type="null", id="lan")
        ctl.run("connect", id="t", peer="lan")
        with StreamPeer(folder + "/t.sock") as peer:
            ctl.wait_port("t", lambda row: row["state"] == "up")
            with Pinging(server, "--json", "t", "10.0.0.9", "--vlan", "7", "-c", "1", *PATIENT) as pinging:
                asked = peer.receive()
                assert asked[12:16] == tag
                got = answer(asked[:12] + asked[16:], mac(1))
                peer.send(got, got[:12] + b"\x81\0\0\x08" + got[12:], got[:12] + tag + got[12:])
                status, out, _ = pinging.end()
        lines = [json.loads(line) for line in out.splitlines()]
        assert status == 0 and lines[-1]["answered"] == 1 and lines[-1]["duplicates"] == 0
        assert lines[-1]["method"] == "ARP requests for 10.0.0.9 in VLAN 7"


def test_on_a_switch(ns, server, folder):
    with server.client() as ctl:
        ctl.run("switch_add", id="lan")
        for name in "a", "b":
            ctl.run("port_add", **TAP, id=name, ifname=name)
            ctl.run("connect", id=name, peer="lan")
        ns.run("ip addr add 10.1.0.1/24 dev a")
        for address in "10.1.0.1", None:
            status, _, summary = ping(server, "a", *[address] if address else [], "-c", "5", "-i", "0.02", *PATIENT)
            assert status == 0 and summary["answered"] == 5
        # the switch has learned nothing of it
        kernels = {row["address"] for row in json.loads(ns.run("ip -j link").stdout)}
        assert {row["mac"] for row in ctl.run("query-macs", id="lan")} <= kernels


@pytest.mark.parametrize("ring", [0, vu.PACKED], ids=["split", "packed"])
@pytest.mark.parametrize("workers", ["0", "2"])
def test_a_guest_behind_vhost_user(ns, folder, ring, workers):
    path = folder + "/g.sock"
    with Serve(ns, folder, "--workers", workers, name="g") as server, server.client() as ctl, \
            vu.Front(ns, want=vu.MODERN | vu.MRG | ring, ring_size=16) as guest:
        ctl.run("port_add", **TAP, id="vm0", ifname="vm0")
        ns.run("sysctl -qw net.ipv6.conf.vm0.disable_ipv6=1")
        ctl.run("port_add", type="vhost-user", id="g", server=True, path=path)
        ctl.run("connect", id="vm0", peer="g")
        status, probes, _ = ping(server, "g", "10.0.0.9", "-c", "1")
        assert status == 1 and probes[0]["cause"] == "peer-gone"
        guest.up(path)
        ctl.wait_port("g", lambda row: row["state"] == "up")
        with Pinging(server, "--json", "g", "10.0.0.9", "-c", "40", "-i", "0.01", *PATIENT) as pinging, \
                Packets(ns, "vm0", kind=None) as host:
            for i in range(40):
                guest.send(answer(guest.receive(kind=ARP).data, mac(1)))
                guest.send(frame(i))
                assert host.receive() == frame(i)  # the answer in front of it went no further
            status, out, _ = pinging.end()
        rows = [json.loads(line) for line in out.splitlines()]
        assert status == 0 and rows[-1]["answered"] == 40 and rows[-1]["duplicates"] == 0
        assert [row["seq"] for row in rows[:-1]] == list(range(1, 41))
        # a guest that leaves while it is asked
        with Pinging(server, "--json", "g", "10.0.0.9", "-i", "0.01", "--timeout", "0.05") as pinging:
            guest.receive(kind=ARP)
            guest.close()
            fates = set()
            while "dropped" not in fates:
                fates.add(json.loads(pinging.proc.stdout.readline())["fate"])
            assert pinging.end(signal.SIGINT)[0] == 1


def test_with_workers(ns, folder):
    with Serve(ns, folder, "--workers", "2", name="w") as server, server.client() as ctl:
        for name in "a", "b":
            ctl.run("port_add", **TAP, id=name, ifname=name, queues=2)
        ctl.run("connect", id="a", peer="b")
        ns.run("ip addr add 10.1.0.1/24 dev a")
        status, probes, summary = ping(server, "a", "10.1.0.1", "-c", "20", "-i", "0.01", *PATIENT)
        assert status == 0 and summary["answered"] == 20
        assert {p["queue"] for p in probes} == {0, 1}
        # while lanes come and go
        with Pinging(server, "a", "10.1.0.1", "-i", "0.01", *PATIENT) as pinging:
            for _ in range(10):
                ctl.run("disconnect", id="a")
                ctl.run("connect", id="a", peer="b")
            done = [pinging.proc.stdout.readline() for _ in range(5)]
            assert done[0].startswith("PING a")
            assert pinging.end(signal.SIGINT)[0] == 0
