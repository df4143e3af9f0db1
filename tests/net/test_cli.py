# SPDX-License-Identifier: MIT
"""The program: exit status, help, logs, counters, readiness, signals, and streams that cannot
be written."""

import json
import os
import re
import select
import signal
import socket
import subprocess

import pytest

import sandbox
import tuntap
import vmtap
from netns import end, wait_until
from peers import StreamPeer
from tuntap import Packets, frame
from vmtap import Vmtap

OK, FAILED, USAGE, RESOURCE = 0, 1, 2, 3
TAP = "tap,ifname=vm0,script=no,downscript=no"
TYPES = ["tap", "bridge", "stream", "dgram", "responder", "null"]


def sh(redirections):
    """Words in front of a command: it runs with these redirections of a shell."""
    return ["sh", "-c", 'exec "$@" ' + redirections, "sh"]


def read_lines(stream, cnt):
    """What comes out of a pipe until it is @cnt lines, within 10 s each."""
    data = b""
    while data.count(b"\n") < cnt:
        assert select.select([stream], [], [], 10)[0], "only this came: %r" % data
        part = os.read(stream.fileno(), 4096)
        assert part, "it ended after %r" % data
        data += part
    return data.decode().splitlines()


# ------------------------------------------------------------------ the command line


@pytest.mark.parametrize("args, says", [
    ([], "a command is missing"),
    (["nosuch"], "no such command"),
    (["--nosuch", "connect"], "--nosuch"),
    (["-x"], "x"),
    (["--stats"], "--stats"),
    (["--stats", "never", "connect", "null", "null"], "not: never"),
    (["--stats", "0", "connect", "null", "null"], "not: 0"),
    (["--stats", "-1", "connect", "null", "null"], "not: -1"),
    (["--stats", "1s", "connect", "null", "null"], "not: 1s"),
    (["--stats", "nan", "connect", "null", "null"], "not: nan"),
    (["--stats", "1e99", "connect", "null", "null"], "not: 1e99"),
    (["--log-format", "xml", "connect", "null", "null"], "text or json, not: xml"),
    (["connect"], "two ports"),
    (["connect", "null"], "two ports"),
    (["connect", "switch", "null"], "two ports"),
    (["connect", "switch,nosuch=1", "null", "null"], "there is no key"),
    (["connect", "switch,vlan=1", "null", "null"], "a key of ports"),
    (["connect", "null", "null", "null,trunk=1+x"], "is no VLAN"),
    (["connect", "null", "null", "null,trunk=30-20"], "is no VLAN"),
    (["connect", "null", "null", "null,vlan=4095"], "vlan"),
    (["connect", "null,vlan=5", "null"], "vlan= says what it may do in a switch"),
    (["connect", "null", "null,trunk=5"], "vmtap connect switch PORT PORT"),
    (["connect", "null", "null,isolated=on"], "isolated=on"),
    (["connect", "null", "null,mcast-flood=on"], "mcast-flood=on says"),
    (["connect", "tap,fd=3x", "null"], "as in fd=3"),
    (["connect", "stream,fd=3x", "null"], "as in fd=3"),
    (["connect", "stream,host=::1,port=1,ipv4=off,ipv6=off", "null"], "leave out one of the two"),
    (["connect", "tap,ifname=vm0,vhost=off,vhostfd=3", "null"], "leave out one of the two"),
    (["connect", "tap,ifname=vm0,br=lo,script=no", "null"], "ip link show type bridge"),
    (["--control", "x" * 120, "stats"], "relative path"),
    (["serve", "-c", "/"], "it is no file; -c names"),
    (["ping"], "vmtap ctl ports lists them"),
    (["connect", "null", "null", "switch,hub=on"], "described before its ports"),
    (["connect", "switch", "null", "null", "switch"], "one switch"),
    (["capture"], "query-ports lists them"),
    (["capture", "a", "b"], "one port's name"),
    (["capture", "a"], "-w FILE"),
    (["capture", "a", "-w", "x", "-C", "5"], "-C 100 -W 10"),
    (["capture", "a", "-w", "x", "-s", "1k"], "-s takes a number"),
    (["check"], "at least one port"),
    (["help", "nosuch"], 'no port type "nosuch"'),
    (["connect", "nosuch", "null"], "no port type"),
], ids=lambda v: " ".join(v)[:40] or "empty" if isinstance(v, list) else "")
def test_a_wrong_command_line_is_explained(ns, args, says):
    done = vmtap.run(ns, *args)
    assert done.returncode == USAGE and done.stdout == ""
    assert says in done.stderr and done.stderr.startswith(("vmtap:", vmtap.program()))


def test_help_teaches_every_type_and_key(ns):
    done = vmtap.run(ns, "--help")
    assert done.returncode == OK and done.stderr == ""
    for name in TYPES:
        assert re.search("^%s - " % name, done.stdout, re.M)
    for word in ("connect", "check", "--stats", "--log-format", "Exit status", "script-timeout-ms",
                 "reconnect-ms", "vnet_hdr", "For example"):
        assert word in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 100
    assert vmtap.run(ns, "help").stdout == done.stdout
    assert vmtap.run(ns, "-h").stdout == done.stdout


@pytest.mark.parametrize("name", TYPES)
def test_help_for_a_type_is_a_part_of_it(ns, name):
    whole, part = vmtap.run(ns, "--help").stdout, vmtap.run(ns, "help", name)
    assert part.returncode == OK and part.stdout.startswith(name + " - ")
    assert part.stdout in whole and "Keys:" in part.stdout and "    id " in part.stdout


def test_the_version_is_the_headers(ns):
    with open(os.path.join(vmtap.TOP, "include/vmtap/vmtap.h")) as f:
        version = re.search('define VMTAP_VERSION "(.*)"', f.read()).group(1)
    done = vmtap.run(ns, "--version")
    assert (done.returncode, done.stdout, done.stderr) == (OK, "vmtap %s\n" % version, "")


@pytest.mark.parametrize("args", [["--help"], ["--version"], ["help", "tap"], ["help"],
                                  ["check", "null"]], ids=" ".join)
def test_output_that_cannot_be_written_is_an_error(ns, args):
    done = vmtap.run(ns, *args, wrap=sh(">/dev/full"))
    assert done.returncode == FAILED and "No space left on device" in done.stderr


# ------------------------------------------------------------------------- check


def test_check_says_ok_and_changes_nothing(ns, folder):
    ns.run("ip link add br0 type bridge && ip link set br0 up")
    before = ns.run("ip address; bridge link").stdout
    specs = ["tap,ifname=vm0,br=br0,mtu=1400,mac=02:00:00:00:00:05,persist=on,script=no",
             "stream,server=on,path=%s/s" % folder,
             "dgram,local=%s/a,remote=%s/b" % (folder, folder), "responder,ip=10.0.0.2", "null"]
    done = vmtap.run(ns, "check", *specs)
    assert done.returncode == OK and done.stderr == ""
    assert done.stdout == "".join("ok: %s\n" % s for s in specs)
    assert ns.run("ip address; bridge link").stdout == before
    assert os.listdir(folder) == []


def test_check_tries_all_and_fails_with_the_first(ns):
    done = vmtap.run(ns, "check", "null", "tap,ifname=a/b", "null,nokey=1",
                     "tap,ifname=vm0,br=nosuch")
    assert done.returncode == USAGE and done.stdout == "ok: null\n"
    assert [("a/b" in line or "'/'" in line) + 2 * ("nokey" in line) + 4 * ("nosuch" in line)
            for line in done.stderr.splitlines()] == [1, 2, 4]


# -------------------------------------------------------------------------- logs


def test_without_options_a_good_run_is_silent(ns, folder):
    with Vmtap(ns, [TAP, "null"], folder, args=()) as v:
        pass
    assert v.status == OK and v.output() == ""


def test_quiet_leaves_out_warnings(ns, folder):
    ns.run("ip tuntap add vm0 mode tap")
    for args, warned in ((), True), (("-q",), False):
        with Vmtap(ns, [TAP, "null"], folder, name="v%d" % warned, args=args) as v:
            pass
        assert ("the interface vm0 is down" in v.output()) is warned


def test_verbose_tells_the_life_of_the_ports(ns, folder):
    with Vmtap(ns, [TAP + ",id=left", "null"], folder) as v:
        assert "vmtap: left: created vm0" in v.output()
        assert "vmtap: left: ifname=vm0,script=no,downscript=no" in v.output()
        assert v.output().endswith("vmtap: ready\n")


def test_json_lines_are_objects_with_time_and_level(ns, folder):
    with Vmtap(ns, [TAP + ",id=left", "null"], folder, args=("-v", "--log-format", "json")) as v:
        pass
    events = v.events()
    assert len(events) == len(v.output().splitlines()) >= 3
    for e in events:
        assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$", e["time"])
        assert e["level"] in ("info", "warning") and e["message"]
    assert {e.get("port") for e in events} >= {"left", None}


@pytest.mark.parametrize("name", ["x" * 250, '"\\' * 125, "\u00e4\u20ac" * 50, "\u20ac" * 80],
                         ids=["plain", "quotes", "umlauts", "wide"])
@pytest.mark.parametrize("status", [0, 1], ids=["works", "fails"])
def test_json_stays_whole_however_long_its_texts(ns, folder, name, status):
    """Escapes make them longer still, and a cut may fall into a character."""
    script = folder
    for _ in range(8):
        script = os.path.join(script, name)
        os.mkdir(script)
    script = os.path.join(script, "up")
    with open(script, "w") as f:
        f.write("#!/bin/sh\nexit %d" % status)
    os.chmod(script, 0o755)
    proc = ns.popen([vmtap.program(), "-v", "--log-format", "json", "connect", "null",
                     "tap,ifname=vm0,downscript=no,script=" + script], stderr=subprocess.PIPE)
    lines = read_lines(proc.stderr, 2)
    assert end(proc) == (RESOURCE if status else OK)
    running, then = map(json.loads, lines[:2])
    assert running["port"] == "tap#1" and running["message"].startswith("running /")
    assert "?" not in running["message"]
    if status:
        assert then["object"] == "tap vm0" and "exit status 1" in then["reason"]
        assert then["action"].startswith("run the script /")
        assert then["action"].isascii() == name.isascii()
    else:
        assert "created vm0" in then["message"]


# ---------------------------------------------------------------------- counters


def exchange(ns, path, frames):
    """@frames frames of 100 bytes each way."""
    with Packets(ns, "vm0") as kernel, StreamPeer(path) as vm:
        for n in range(frames):
            vm.send(frame(n, 100))
            assert kernel.receive() == frame(n, 100)
            kernel.send(frame(n, 100))
            assert vm.receive(kind=tuntap.ETH_TEST) == frame(n, 100)


def test_the_summary_counts_what_moved(ns, folder):
    out = os.path.join(folder, "out")
    path = os.path.join(folder, "s")
    ns.sysctl("net.ipv6.conf.default.disable_ipv6", 1)
    with Vmtap(ns, [TAP + ",id=left", "stream,server=on,id=right,path=" + path], folder, out=out,
               args=("--stats", "3600", "--log-format", "json")) as v:
        exchange(ns, path, 20)
        with StreamPeer(path) as vm:
            vm.send(b"runt", frame(1, 100))
            wait_until(lambda: ns.links()["vm0"]["stats64"]["rx"]["packets"] == 21)
    assert v.status == OK
    s = v.summary()
    for port, way in (("left", "tx"), ("right", "rx")):
        c = s[port][way]
        assert (c["frames"], c["bytes"], c["gso_frames"]) == (21, 2100, 0)
    assert (s["left"]["rx"]["frames"], s["left"]["rx"]["bytes"]) == (20, 2000)
    assert s["right"]["rx"]["drops"] == {"runt": 1}
    assert s["left"]["tx"]["drops"] == {}
    assert s["left"]["rx_holds"] == s["left"]["tx_holds"] == 0


def test_the_summary_is_a_table_for_people(ns, folder):
    out, path = os.path.join(folder, "out"), os.path.join(folder, "s")
    with Vmtap(ns, [TAP + ",id=left", "stream,server=on,id=right,path=" + path], folder, out=out,
               args=("--stats", "3600")):
        exchange(ns, path, 5)
    with open(out) as f:
        head, *rows = [line for line in f.read().splitlines() if line]
    assert head.split()[:3] == ["port", "frames", "bytes"] and "drops" in head
    assert [row.split()[0] for row in rows] == ["left", "out", "right", "out"]
    assert re.match(r"right +in +5 +500B +0 +0 +none$", rows[2])


@pytest.mark.parametrize("args", [(), ("--log-format", "json")], ids=["text", "json"])
def test_live_lines_come_at_their_time(ns, folder, args):
    path = os.path.join(folder, "s")
    proc = ns.popen([vmtap.program(), *args, "--stats", "0.1", "connect", TAP + ",id=left",
                     "stream,server=on,id=right,path=" + path], stdout=subprocess.PIPE)
    wait_until(lambda: os.path.exists(path))
    exchange(ns, path, 5)
    lines = read_lines(proc.stdout, 6)
    if args:
        events = [json.loads(line) for line in lines[:6]]
        assert [e["port"] for e in events] == ["left", "right"] * 3
        assert {e["event"] for e in events} == {"stats"}
        assert events[-1]["rx"]["frames"] <= 5
    else:
        assert [line.split()[0] for line in lines[:6]] == ["left", "right"] * 3
        assert all(re.search(r" in +\S+ frames/s +\S+bit/s.* out +\S+ frames/s", line)
                   for line in lines[:6])
    assert end(proc) == OK
    proc.stdout.close()


def test_the_live_line_shows_a_rate(ns, folder):
    out = os.path.join(folder, "out")
    with Vmtap(ns, ["null,id=left,speed=1000,size=100", "null,id=right"], folder, out=out,
               args=("--stats", "0.5")):
        def rates():
            with open(out) as f:
                return re.findall(r"^left +in +(\S+) frames/s +(\S+)bit/s", f.read(), re.M)
        wait_until(lambda: len(rates()) >= 3)
    frames, bits = rates()[2]
    assert 500 < float(frames.replace("k", "")) * (1000 if "k" in frames else 1) < 1500
    assert bits.endswith("k")


# --------------------------------------------------------------------- readiness


@pytest.mark.parametrize("abstract", [False, True], ids=["path", "abstract"])
def test_the_service_manager_is_told(ns, folder, abstract):
    name = "@vmtap-test-%d" % os.getpid() if abstract else os.path.join(folder, "n")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        if abstract:
            with ns.enter():  # abstract names belong to a network namespace
                sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        sock.bind(name.replace("@", "\0"))
        sock.settimeout(10)
        proc = ns.popen([vmtap.program(), "connect", TAP, "null"],
                        env={**os.environ, "NOTIFY_SOCKET": name})
        assert sock.recv(100) == b"READY=1"
        assert "vm0" in ns.links()  # not before everything is there
        proc.send_signal(signal.SIGTERM)
        assert sock.recv(100) == b"STOPPING=1"
        assert proc.wait(10) == OK
        sock.close()


@pytest.mark.parametrize("name", ["", "relative", "/nonexistent/socket", "/" + "x" * 200, "@"])
def test_a_useless_notify_socket_does_no_harm(ns, folder, name):
    proc = ns.popen([vmtap.program(), "-v", "connect", TAP, "null"], stderr=subprocess.PIPE,
                    env={**os.environ, "NOTIFY_SOCKET": name})
    assert "vmtap: ready" in read_lines(proc.stderr, 4)
    assert end(proc) == OK


# ----------------------------------------------------------------------- signals


@pytest.mark.parametrize("sig", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_closes_in_order(ns, folder, sig):
    down = os.path.join(folder, "down")
    with open(down, "w") as f:
        f.write("#!/bin/sh\nip link show $1 >/dev/null && touch %s/ran\n" % folder)
    os.chmod(down, 0o755)
    path = os.path.join(folder, "s")
    with Vmtap(ns, ["tap,ifname=vm0,script=no,downscript=" + down,
                    "stream,server=on,path=" + path], folder) as v:
        assert os.path.exists(path)
        assert v.stop(sig) == OK
    assert os.path.exists(folder + "/ran")
    assert not os.path.exists(path) and "vm0" not in ns.links()


def test_nohup_keeps_it_running(ns, folder):
    """A HUP that counted would be answered with the end before the next counters."""
    out = os.path.join(folder, "out")
    with Vmtap(ns, [TAP, "null"], folder, wrap=["sh", "-c", 'trap "" HUP; exec "$@"', "sh"],
               args=("--stats", "0.1"), out=out) as v:
        v.proc.send_signal(signal.SIGHUP)
        size = os.path.getsize(out)
        wait_until(lambda: os.path.getsize(out) > size + 200)
        assert v.proc.poll() is None
    assert v.status == OK


def test_a_killed_one_leaves_no_interface(ns, folder):
    with Vmtap(ns, [TAP, "null"], folder) as v:
        assert v.stop(signal.SIGKILL) == -signal.SIGKILL
    wait_until(lambda: "vm0" not in ns.links())


def test_a_stale_socket_of_a_killed_one_is_taken(ns, folder):
    path = os.path.join(folder, "s")
    ports = ["null", "stream,server=on,path=" + path]
    with Vmtap(ns, ports, folder) as v:
        v.stop(signal.SIGKILL)
    assert os.path.exists(path)
    with Vmtap(ns, ports, folder) as v:
        StreamPeer(path).close()
    assert v.status == OK and not os.path.exists(path)


# ------------------------------------------------- streams that cannot be used


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams_do_no_harm(ns, folder, closed):
    """Nothing that is logged or printed gets into a socket or a TAP of the same number."""
    path = os.path.join(folder, "s")
    with Vmtap(ns, [TAP, "stream,server=on,path=" + path], folder, wrap=sh(closed),
               args=("-vv", "--stats", "0.1")) as v:
        exchange(ns, path, 5)
        for fd in range(3):
            target = os.readlink("/proc/%d/fd/%d" % (v.proc.pid, fd))
            assert target == "/dev/null" or target.startswith(folder)
    assert v.status == OK


@pytest.mark.parametrize("where", ["2>/dev/full", ">/dev/full", ">/dev/full 2>/dev/full"])
def test_streams_on_a_full_device_do_no_harm(ns, folder, where):
    path = os.path.join(folder, "s")
    with Vmtap(ns, [TAP, "stream,server=on,path=" + path], folder, wrap=sh(where),
               args=("-vv", "--stats", "0.1")) as v:
        exchange(ns, path, 20)
    assert v.status == OK and "vm0" not in ns.links()


def test_a_reader_that_leaves_does_no_harm(ns, folder):
    path = os.path.join(folder, "s")
    proc = ns.popen([vmtap.program(), "-vv", "--stats", "0.1", "connect", TAP,
                     "stream,server=on,path=" + path], stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE)
    wait_until(lambda: os.path.exists(path))
    read_lines(proc.stdout, 1)
    proc.stdout.close()
    proc.stderr.close()
    exchange(ns, path, 20)
    assert end(proc) == OK


def test_a_full_disk_does_no_harm(ns, folder):
    """Log and counters on a file system of one page; when there is room again, they go on."""
    disk, path = os.path.join(folder, "disk"), os.path.join(folder, "s")
    os.mkdir(disk)
    wrap = sandbox.mounts("mount -t tmpfs -o size=8k none %s; "
                          "dd if=/dev/zero of=%s/fill bs=4k count=1 2>/dev/null; "
                          "dd if=/dev/zero of=%s/log bs=4000 count=1 2>/dev/null; "
                          "exec >>%s/log 2>&1" % ((disk,) * 4))
    with Vmtap(ns, [TAP, "stream,server=on,path=" + path], folder, wrap=wrap,
               args=("-vv", "--stats", "0.1")) as v:
        exchange(ns, path, 10)
        inside = "/proc/%d/root%s" % (v.proc.pid, disk)
        wait_until(lambda: os.path.getsize(inside + "/log") == 4096)
        exchange(ns, path, 10)
        os.unlink(inside + "/fill")
        wait_until(lambda: os.path.getsize(inside + "/log") > 4096)
        exchange(ns, path, 10)
    assert v.status == OK


# ------------------------------------------------------------------- exit status


def test_a_port_that_fails_while_running_is_status_1(ns, folder):
    with Vmtap(ns, [TAP, "null"], folder) as v:
        ns.run("ip link del vm0")
        assert v.wait() == FAILED


def test_a_port_that_cannot_be_opened_is_status_3(ns):
    done = vmtap.run(ns, "connect", "stream,server=on,path=/nonexistent/s", "null")
    assert done.returncode == RESOURCE


def test_the_first_port_is_closed_when_the_second_cannot_be_opened(ns, folder):
    path = os.path.join(folder, "s")
    done = vmtap.run(ns, "connect", "stream,server=on,path=" + path, "tap,ifname=lo,script=no")
    assert done.returncode == USAGE and not os.path.exists(path)
