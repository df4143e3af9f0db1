# SPDX-License-Identifier: MIT
"""vmtap capture, read by capinfos and tshark.

    vm0 (TAP) <-- vmtap serve --> responder        ping
    vm0 (TAP) <-- vmtap serve --> vm1 (TAP), in another namespace        TCP, in GSO frames
"""

import contextlib
import json
import os
import re
import signal
import subprocess

import pytest

import vmtap
from capture import Capture, capinfos, fields, needs_tshark
from ctl import Refused, Serve
from netns import Netns, wait_until

pytestmark = needs_tshark

TAP = {"type": "tap", "script": "no", "downscript": "no"}


@pytest.fixture
def server(ns, folder):
    with Serve(ns, folder) as made, made.client() as ctl:
        ctl.run("port_add", **TAP, id="vm0", ifname="vm0", up=True)
        ctl.run("port_add", type="responder", id="guest", ip="10.0.0.2")
        ctl.run("connect", id="vm0", peer="guest")
        ns.run("ip addr add 10.0.0.1/24 dev vm0 && sysctl -qw net.ipv6.conf.vm0.disable_ipv6=1")
        yield made


def ping(ns, *args):
    ns.run(["ping", "-n", "-c", "1", "-W", "10", *args, "10.0.0.2"])


def test_a_ping_is_captured_both_ways_and_in_order(ns, server, folder):
    path = folder + "/a.pcapng"
    with Capture(server, "vm0", "-w", path) as capture:
        ping(ns)
        status, said = capture.end()
    assert status == 0 and " 0 dropped" in said
    rows = fields(path, "frame.interface_name", "frame.packet_flags_direction", "icmp.type", only=("icmp",))
    assert [row[0] for row in rows] == ["vm0", "vm0"]
    assert [int(row[1], 0) for row in rows] == [1, 2]
    assert [row[2] for row in rows] == ["8", "0"]
    about = capinfos(path)
    assert "nanoseconds" in about and "vmtap " in about
    assert "Strict time order:   True" in about


def test_a_pipe_is_read_as_frames_come(ns, server):
    with Capture(server, "vm0", "-w", "-", "-f", "icmp", stdout=subprocess.PIPE) as capture:
        reader = subprocess.Popen(["tshark", "-l", "-n", "-r", "-", "-T", "fields", "-e", "icmp.type"],
                                  stdin=capture.proc.stdout, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        capture.proc.stdout.close()
        capture.proc.stdout = None
        ping(ns)
        assert reader.stdout.readline().strip() == "8"  # while it goes on
        assert reader.stdout.readline().strip() == "0"
        assert capture.end()[0] == 0
        assert reader.wait(20) == 0
        reader.stdout.close()


def test_a_reader_that_leaves_ends_the_capture_alone(ns, server):
    with Capture(server, "vm0", "-w", "-", stdout=subprocess.PIPE) as capture:
        capture.proc.stdout.close()
        capture.proc.stdout = None
        ping(ns)
        assert capture.proc.wait(20) == 0
    ping(ns)
    with server.client() as ctl:
        assert ctl.run("query-captures") == []


def test_a_client_that_is_killed_takes_its_capture_along(ns, server, folder):
    with Capture(server, "vm0", "-w", folder + "/a.pcapng") as capture, server.client() as ctl:
        assert len(ctl.run("query-captures")) == 1
        capture.proc.kill()
        ctl.wait_event("CAPTURE_ENDED", port="vm0")
        assert ctl.run("query-captures") == []
    ping(ns)


def test_filters_good_and_bad(ns, server, folder):
    path = folder + "/a.pcapng"
    with Capture(server, "vm0", "-w", path, "-f", "icmp[0] = 8", "-s", "50") as capture:
        ping(ns)
        assert capture.end()[0] == 0
    assert fields(path, "icmp.type", "frame.cap_len", "frame.len") == [["8", "50", "98"]]
    assert "icmp[0] = 8" in capinfos(path)
    done = subprocess.run([vmtap.program(), "--control", server.path, "capture", "vm0", "-w", folder + "/b",
                           "-f", "tcp prt 80"], capture_output=True, text=True, timeout=30)
    assert done.returncode != 0 and "syntax error" in done.stderr
    assert not os.path.exists(folder + "/b")


@pytest.mark.parametrize("path, remedy", [
    ("nosuch/a", "create the folder"),
    ("serve.log/a", "create the folder"),
    (".", "add the name of a file"),
])
def test_a_file_that_cannot_be_opened_is_explained(server, folder, path, remedy):
    open(folder + "/serve.log", "a").close()
    done = subprocess.run([vmtap.program(), "--control", server.path, "capture", "vm0", "-w", folder + "/" + path],
                          capture_output=True, text=True, timeout=30)
    assert done.returncode == 3 and folder in done.stderr and remedy in done.stderr


@pytest.mark.parametrize("way, kind", [("in", "8"), ("out", "0")])
def test_one_direction(ns, server, folder, way, kind):
    path = folder + "/a.pcapng"
    with Capture(server, "vm0", "-w", path, "-Q", way, "-f", "icmp") as capture:
        ping(ns)
        capture.end()
    assert fields(path, "icmp.type") == [[kind]]


def test_a_count_ends_it(ns, server, folder):
    path = folder + "/a.pcapng"
    with Capture(server, "vm0", "-w", path, "-c", "3") as capture:
        ns.run(["ping", "-n", "-c", "5", "-i", "0.01", "10.0.0.2"])
        assert capture.proc.wait(20) == 0
    assert len(fields(path, "frame.number")) == 3


def test_a_full_disk_ends_the_capture_alone(ns, server, folder):
    disk = folder + "/disk"
    os.mkdir(disk)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "none", disk], check=True)
    try:
        with Capture(server, "vm0", "-w", disk + "/a.pcapng") as capture:
            ns.run(["ping", "-q", "-n", "-c", "300", "-i", "0.002", "-s", "1400", "10.0.0.2"])
            status, said = capture.end()
        assert status == 1 and "No space left" in said
        assert len(fields(disk + "/a.pcapng", "frame.number")) > 50  # and its blocks are whole
    finally:
        subprocess.run(["umount", disk], check=True)
    ping(ns)


def test_files_in_turn_keep_the_newest(ns, server, folder):
    path = folder + "/a.pcapng"
    with Capture(server, "vm0", "-w", path, "-C", "1", "-W", "3", "-f", "icmp") as capture:
        ns.run(["ping", "-q", "-n", "-A", "-c", "3000", "-s", "1400", "10.0.0.2"], timeout=120)
        assert capture.end()[0] == 0
    sizes = [os.stat(path + str(i)).st_size for i in range(3)]
    assert all(0 < size <= 1000000 for size in sizes)
    numbers = sorted(int(row[0]) for i in range(3) for row in fields(path + str(i), "icmp.seq", only=("icmp.type == 8",)))
    assert numbers[-1] == 3000 and numbers[0] > 1000
    assert numbers == list(range(numbers[0], 3001))


def test_files_that_it_did_not_come_to_are_not_left(ns, server, folder):
    with Capture(server, "vm0", "-w", folder + "/a", "-C", "1", "-W", "20"):
        pass
    assert [name for name in os.listdir(folder) if name.startswith("a")] == ["a00"]


def test_captures_come_and_go_under_traffic(ns, server, folder):
    flood = ns.popen(["ping", "-q", "-n", "-f", "-W", "10", "10.0.0.2"], stdout=subprocess.PIPE, text=True)
    with server.client() as ctl:
        before = server.descriptors()
        for i in range(200):
            name = ctl.run("capture_start", port="vm0", filename=folder + "/a.pcapng", buffer=262144)["id"]
            ctl.run("capture_stop", id=name)
        wait_until(lambda: ctl.run("query-captures") == [], what="all have ended")
        wait_until(lambda: server.descriptors() == before, what="theirs are closed")
    flood.send_signal(signal.SIGINT)
    said = flood.communicate(timeout=20)[0]
    sent, answered = map(int, re.search(r"(\d+) packets transmitted, (\d+) received", said).groups())
    assert sent > 10 and answered >= sent - 1, said  # it may be ended between a packet and its answer
    ping(ns)


def test_what_ended_with_an_error_can_be_asked_for(ns, server):
    with server.client() as ctl:
        name = ctl.run("capture_start", port="vm0", filename="/dev/full")["id"]
        event = ctl.wait_event("CAPTURE_ENDED", id=name)
        assert "No space left" in json.dumps(event)
        row, = ctl.run("query-captures")
        assert not row["running"] and "No space left" in row["reason"]
        ctl.run("capture_stop", id=name)
        assert ctl.run("query-captures") == []
        with pytest.raises(Refused):
            ctl.run("capture_stop", id=name)
        with pytest.raises(Refused):
            ctl.run("capture_start", port="vm0", filename="/nowhere/a")


def test_a_port_that_is_deleted_ends_its_capture(ns, server, folder):
    with Capture(server, "guest", "-w", folder + "/a.pcapng") as capture, server.client() as ctl:
        ping(ns)
        ctl.run("port_del", id="guest")
        assert capture.proc.wait(20) == 0
    assert len(fields(folder + "/a.pcapng", "frame.number", only=("icmp",))) == 2


def full_pipe():
    """Both ends; nothing more can be written."""
    ends = os.pipe()
    os.set_blocking(ends[1], False)
    try:
        while True:
            os.write(ends[1], bytes(4096))
    except BlockingIOError:
        return ends


def test_the_end_waits_for_all_readers_at_the_same_time(server):
    """Half a second is what each gets that does not read."""
    with contextlib.ExitStack() as stack, server.client() as ctl:
        for i in range(64):
            for fd in (ends := full_pipe()):
                stack.callback(os.close, fd)
            ctl.run("getfd", fdname="p%d" % i, fds=[ends[1]])
            ctl.run("capture_start", port="vm0", fdnames=["p%d" % i], buffer=262144)
        server.proc.send_signal(signal.SIGTERM)
        assert server.wait(20) == 0


# ------------------------------------------------------------------------------ offloads


@pytest.fixture
def two(ns, folder):
    """vm0 here, vm1 in another namespace, and a server that joins them."""
    with Netns() as other, Serve(ns, folder) as server, server.client() as ctl:
        holder = other.popen(["sleep", "1000"])
        for name, at in ("vm0", 1), ("vm1", 2):
            ctl.run("port_add", **TAP, id=name, ifname=name, up=True)
        wait_until(lambda: holder.poll() is None and other.run("true").returncode == 0)
        ns.run("ip link set vm1 netns %d" % holder.pid)
        ctl.run("connect", id="vm0", peer="vm1")
        ns.run("ip addr add 10.0.0.1/24 dev vm0 && ip link set vm0 up")
        other.run("ip addr add 10.0.0.2/24 dev vm1 && ip link set vm1 up")
        yield ns, other, server
        holder.kill()
        holder.wait()


def send_tcp(ns, other, size):
    sink = other.popen(["socat", "-u", "TCP-LISTEN:5000,reuseaddr", "OPEN:/dev/null"])
    wait_until(lambda: ":5000" in other.run("ss -tln").stdout, what="somebody listens")
    ns.run("head -c %d /dev/zero | socat -u - TCP:10.0.0.2:5000" % size, timeout=60)
    assert sink.wait(30) == 0


def check_tcp(path, size, only=()):
    rows = fields(path, "tcp.len", "tcp.checksum.status", "ip.checksum.status", "frame.comment", only=("tcp.dstport == 5000",))
    assert {row[1] for row in rows} == {"1"} and {row[2] for row in rows} == {"1"}, rows[:5]
    assert sum(int(row[0]) for row in rows) >= size
    return rows


def test_gso_frames_are_whole_and_marked(two, folder):
    ns, other, server = two
    path = folder + "/a.pcapng"
    with Capture(server, "vm1", "-w", path) as capture:
        send_tcp(ns, other, 4 << 20)
        assert " 0 dropped" in capture.end()[1]
    rows = check_tcp(path, 4 << 20)
    large = [row for row in rows if int(row[0]) > 1460]
    assert large and all("GSO: TCP over IPv4, gso_type 1, gso_size 1448" in row[3] for row in large)
    assert not any(row[3] for row in rows if int(row[0]) <= 1448)


def test_gso_frames_can_be_cut_into_segments(two, folder):
    ns, other, server = two
    path = folder + "/a.pcapng"
    with Capture(server, "vm0", "-w", path, "--segment") as capture:
        send_tcp(ns, other, 4 << 20)
        assert " 0 dropped" in capture.end()[1]
    rows = check_tcp(path, 4 << 20)
    assert max(int(row[0]) for row in rows) <= 1448 and not any(row[3] for row in rows)
