# SPDX-License-Identifier: MIT
"""vmtap serve with a configuration file: what is read again while frames move, what is refused, and what comes
back after a kill."""

import json
import os
import signal
import socket
import struct

import pytest

import vmtap
from ctl import Refused, Serve
from netns import wait_until
from tuntap import Packets, frame

EVIL = os.path.join(vmtap.TOP, "tests", "lib", "evil-helper.py")
TAP = "type = tap\nscript = no\ndownscript = no\nup = on\n"


class File:
    def __init__(self, folder):
        self.folder, self.path = folder, os.path.join(folder, "vmtap.conf")

    def write(self, *sections):
        with open(self.path + ".new", "w") as f:
            f.write("\n".join(sections))
        os.rename(self.path + ".new", self.path)

    def tap(self, name, more=""):
        return "[port %s]\n%sifname = %s\n%s" % (name, TAP, name, more)

    def socket(self, name):
        return "[port %s]\ntype = stream\nserver = on\npath = %s/%s\n" % (name, self.folder, name)


def device(ns, name):
    return json.loads(ns.run("ip -j link show " + name).stdout)[0]


def link(a, b):
    return "[link %s-%s]\nports = %s %s\n" % (a, b, a, b)


@pytest.fixture
def file(folder):
    return File(folder)


def serve(ns, folder, file, **kw):
    return Serve(ns, folder, "-c", file.path, **kw)


class Guest:
    """The other end of a stream port: frames with their length in front."""

    def __init__(self, path):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(20)
        self.sock.connect(path)

    def receive(self):
        def exactly(n):
            data = b""
            while len(data) < n:
                more = self.sock.recv(n - len(data))
                assert more, "the connection ended"
                data += more
            return data
        return exactly(struct.unpack("!I", exactly(4))[0])

    def wanted(self, frames):
        """Until all of them came, others aside, in this order."""
        for one in frames:
            while self.receive() != one:
                pass

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.sock.close()


def test_ports_and_joins_are_those_of_the_file(ns, folder, file):
    file.write("[serve]\nworkers = 1", file.tap("vm0"), "[port guest]\ntype = responder\nip = 10.0.0.2\n",
               link("vm0", "guest"))
    with serve(ns, folder, file) as server:
        ns.run("ip addr add 10.0.0.1/24 dev vm0")
        ns.run("ping -c 1 -W 5 10.0.0.2")
    assert server.status == 0


def test_a_reload_loses_no_frame_of_what_did_not_change(ns, folder, file):
    same = file.tap("vm0"), file.socket("guest"), link("vm0", "guest")
    file.write(*same, file.tap("vm1"))
    with serve(ns, folder, file) as server, server.client() as ctl, Guest(folder + "/guest") as guest, \
            Packets(ns, "vm0") as kernel:
        ctl.wait_port("guest", lambda row: row["state"] == "up")
        index = device(ns, "vm0")["ifindex"]
        sent = []
        for turn in range(20):
            file.write(*same, file.tap("vm1", "mtu = %d\n" % (1400 + turn)) if turn % 3 else file.tap("vm2"))
            if turn % 2:
                os.kill(server.proc.pid, signal.SIGHUP)
            for i in range(50):
                sent.append(frame(turn * 100 + i))
                kernel.send(sent[-1])
            if turn % 2 == 0:
                done = ctl.run("reload")
                assert done["kept"] >= 2, done
        guest.wanted(sent)
        assert device(ns, "vm0")["ifindex"] == index
        ctl.run("reload")
        assert {row["id"] for row in ctl.run("query-ports")} == {"vm0", "guest", "vm1"}
        assert device(ns, "vm1")["mtu"] == 1419
        stats = {row["id"]: row for row in ctl.run("query-stats")}
        assert stats["vm0"]["rx"]["frames"] >= len(sent)


def test_limits_change_while_the_port_goes_on(ns, folder, file):
    same = file.socket("guest"), link("vm0", "guest")
    file.write(*same, file.tap("vm0"))
    with serve(ns, folder, file) as server, server.client() as ctl, Guest(folder + "/guest") as guest, \
            Packets(ns, "vm0") as kernel:
        ctl.wait_port("guest", lambda row: row["state"] == "up")
        index = device(ns, "vm0")["ifindex"]

        def limits():
            row = ctl.run("query-throttle", id="vm0")[0]
            return row["rx"]["rate"], row["rx"]["burst"], row["tx"]["rate"], row["tx"]["pps"]

        def filters():
            return ctl.run("query-filter", id="vm0")[0]["ip"]
        sent = []
        for more, want, ips in [
                ("rate = 100M\nburst = 64k\n", (100000000, 65536, 100000000, 0), ""),
                ("rx-rate = 200M\ntx-pps = 50k\n", (200000000, 1250000, 0, 50000), ""),
                ("ip-filter = 10.0.0.0/8\n", (0, 0, 0, 0), "10.0.0.0/8"),
                ("", (0, 0, 0, 0), "")]:
            file.write(file.tap("vm0", more), *same)
            sent.append(frame(len(sent)))
            if not ips:
                kernel.send(sent[-1])
            else:
                sent.pop()
            assert ctl.run("reload") == {"kept": 2, "changed": 1, "opened": 0, "closed": 0}
            assert limits() == want and filters() == ips
        guest.wanted(sent)
        assert device(ns, "vm0")["ifindex"] == index
        # What the control socket set stays until the file says something else.
        ctl.run("throttle_set", id="vm0", rate=5000000)
        assert ctl.run("reload")["changed"] == 0 and limits()[0] == 5000000
        for wrong in "rate = fast\n", "burst = 5\n", "ip-filter = 10.0.0.300\n":
            file.write(file.tap("vm0", wrong), *same)
            with pytest.raises(Refused, match="vmtap.conf:"):
                ctl.run("reload")
            assert limits()[0] == 5000000
        # What fails later takes the change back.
        two = "[port %s]\ntype = stream\nserver = on\npath = " + folder + "/same\n"
        file.write(file.tap("vm0", "rate = 7M\n"), *same, two % "x", two % "y")
        with pytest.raises(Refused):
            ctl.run("reload")
        assert limits()[0] == 0 and device(ns, "vm0")["ifindex"] == index


@pytest.mark.parametrize("keys", ["type = bridge\nhelper = %s good\n" % EVIL,
                                  "type = null\n", "type = responder\nip = 10.0.0.2\n"],
                         ids=["bridge", "null", "responder"])
def test_limits_of_any_type_change(ns, folder, file, keys):
    file.write("[port p]\n" + keys)
    with serve(ns, folder, file) as server, server.client() as ctl:
        file.write("[port p]\n" + keys + "rate = 5M\n")
        assert ctl.run("reload") == {"kept": 1, "changed": 1, "opened": 0, "closed": 0}
        assert ctl.run("query-throttle", id="p")[0]["tx"]["rate"] == 5000000
    assert server.status == 0


def test_what_the_program_was_started_with_takes_a_restart(ns, folder, file):
    file.write("[serve]\nworkers = 1\npoll-us = 0\n", "[port a]\ntype = null\n")
    with serve(ns, folder, file) as server, server.client() as ctl:
        file.write("[serve]\nworkers = 2\nengine = plain\n", "[port a]\ntype = null\n")
        ctl.run("reload")
        for key in "workers", "poll-us", "engine":
            assert '"%s" of [serve] changed' % key in server.output()
        assert server.output().count("takes a restart") == 3
        ctl.run("reload")
        assert server.output().count("takes a restart") == 3


def rows(ctl):
    return [(row["id"], row.get("peer")) for row in ctl.run("query-ports")]


@pytest.mark.parametrize("wrong, said", [
    ("[port c]\ntype = null\nsise = 5\n", "vmtap.conf:16"),
    ("[prot c]\n", "did you mean port"),
    ("[port c]\ntype = nul\n", "vmtap.conf:"),
    ("[link x]\nports = d a\n", "no [port d]"),
    ("[port c]\ntype = stream\nserver = on\npath = /nonexistent/x\n", "vmtap.conf:14"),
])
def test_a_wrong_file_changes_nothing(ns, folder, file, wrong, said):
    right = "[port a]\ntype = null\n", file.tap("vm0"), link("a", "vm0")
    file.write(*right)
    with serve(ns, folder, file) as server, server.client() as ctl:
        before = rows(ctl)
        file.write(*right, wrong)
        with pytest.raises(Refused) as refused:
            ctl.run("reload")
        assert said in refused.value.desc
        assert rows(ctl) == before
        os.kill(server.proc.pid, signal.SIGHUP)
        wait_until(lambda: said in server.output())
        assert rows(ctl) == before
    assert vmtap.run(ns, "-c", file.path, "check").returncode in (2, 3)
    if "/nonexistent" not in wrong:  # that is the host's fault, and the others begin without it
        assert vmtap.run(ns, "-c", file.path, "--control", folder + "/x", "serve").returncode == 2


def test_what_fails_midway_is_rolled_back(ns, folder, file):
    file.write("[port a]\ntype = null\n", "[port b]\ntype = null\n", link("a", "b"))
    with serve(ns, folder, file) as server, server.client() as ctl:
        # Both want one path; that shows only when the second is opened.
        two = "[port %s]\ntype = stream\nserver = on\npath = " + folder + "/same\n"
        file.write("[port a]\ntype = null\nsize = 100\n", two % "x", two % "y")
        with pytest.raises(Refused) as refused:
            ctl.run("reload")
        assert "port y" in refused.value.desc or "y" in refused.value.desc
        assert sorted(rows(ctl)) == [("a", "b"), ("b", "a")]
        assert "is again" in server.output()
        assert not os.path.exists(folder + "/same")


def test_what_the_control_socket_made_stays(ns, folder, file):
    file.write("[port a]\ntype = null\n")
    with serve(ns, folder, file) as server, server.client() as ctl:
        ctl.run("port_add", type="null", id="mine")
        ctl.run("connect", id="mine", peer="a")
        assert ctl.run("reload") == {"kept": 1, "changed": 0, "opened": 0, "closed": 0}
        assert sorted(rows(ctl)) == [("a", "mine"), ("mine", "a")]
        file.write("[port a]\ntype = null\n", "[port mine]\ntype = null\nsize = 70\n")
        with pytest.raises(Refused, match="control socket made"):
            ctl.run("reload")
        file.write("[port a]\ntype = null\n", "[port b]\ntype = null\n", link("a", "b"))
        with pytest.raises(Refused, match="was joined to"):
            ctl.run("reload")
        ctl.run("disconnect", id="mine")
        ctl.run("reload")
        assert sorted(rows(ctl)) == [("a", "b"), ("b", "a"), ("mine", None)]


def test_without_a_file_there_is_nothing_to_reload(ns, folder):
    with Serve(ns, folder) as server, server.client() as ctl:
        with pytest.raises(Refused, match="without a configuration file"):
            ctl.run("reload")


def test_after_a_kill_everything_is_there_again(ns, folder, file):
    file.write(file.tap("vm0", "persist = on\n"), file.socket("guest"), link("vm0", "guest"))
    index = None
    for turn in range(3):
        with serve(ns, folder, file) as server, Guest(folder + "/guest") as guest, Packets(ns, "vm0") as kernel, \
                server.client() as ctl:
            ctl.wait_port("guest", lambda row: row["state"] == "up")
            now = device(ns, "vm0")["ifindex"]
            assert index in (None, now)
            index = now
            sent = [frame(i) for i in range(100)]
            for one in sent:
                kernel.send(one)
            guest.wanted(sent)
            for one in sent:
                kernel.send(one)
            server.proc.kill()
            server.proc.wait()
    ns.run("ip link del vm0")


def test_check_says_whether_a_file_can_be_used(ns, folder, file):
    file.write("[port a]\ntype = null\n")
    done = vmtap.run(ns, "-c", file.path, "check")
    assert (done.returncode, done.stdout) == (0, "ok: %s\n" % file.path)
    file.write("[serve]\nworkers = many\n")
    done = vmtap.run(ns, "-c", file.path, "check")
    assert done.returncode == 2 and "vmtap.conf:2" in done.stderr
    for key, status in ("age-s = soon", 2), ("age-s = 0", 0), ("hub = maybe", 2), ("rate = 5", 2):
        file.write("[port a]\ntype = null\n", "[switch lan]\nports = a\n%s\n" % key)
        done = vmtap.run(ns, "-c", file.path, "check")
        assert done.returncode == status, done.stderr
        assert ("vmtap.conf:" in done.stderr) == bool(status)


def test_the_command_line_goes_first(ns, folder, file):
    file.write("[serve]\nworkers = 2\n", "[port a]\ntype = null\n")
    for args, threads in ([], 3), (["--workers", "0"], 1), (["--workers", "1"], 2):
        with Serve(ns, folder, *args, "-c", file.path) as server, server.client() as ctl:
            ctl.run("query-ports")
            assert len(os.listdir("/proc/%d/task" % server.proc.pid)) == threads


def test_a_file_that_is_not_there_is_named(ns, folder):
    for args in ["check"], ["--control", folder + "/c", "serve"]:
        done = vmtap.run(ns, "-c", folder + "/nosuch.conf", *args)
        assert done.returncode == 3 and "nosuch.conf" in done.stderr and "vmtap.conf(5)" in done.stderr


def test_a_switch_of_the_file_stays_while_ports_come_and_go(ns, folder, file):
    def switch(ports, more=""):
        return "[switch lan]\nports = %s\n%s" % (ports, more)
    guest = "[port g]\ntype = responder\nip = 10.0.0.2\n"
    file.write(file.tap("vm0"), guest, switch("vm0 g"))
    with serve(ns, folder, file) as server, server.client() as ctl:
        ns.run("ip addr add 10.0.0.1/24 dev vm0")
        ns.run("ping -c 1 -W 5 10.0.0.2")
        file.write(file.tap("vm0"), guest, file.tap("vm1"), switch("vm0 g vm1"))
        assert ctl.run("reload") == {"kept": 3, "changed": 0, "opened": 1, "closed": 0}
        assert sorted(rows(ctl)) == [("g", "lan"), ("vm0", "lan"), ("vm1", "lan")]
        ns.run("ping -c 1 -W 5 10.0.0.2")
        file.write(file.tap("vm0"), guest, switch("vm0 g", "sise = 5\n"))
        with pytest.raises(Refused):
            ctl.run("reload")
        assert sorted(rows(ctl)) == [("g", "lan"), ("vm0", "lan"), ("vm1", "lan")]
        file.write(file.tap("vm0"), guest, link("vm0", "g"))
        assert ctl.run("reload") == {"kept": 2, "changed": 0, "opened": 0, "closed": 2}
        ns.run("ping -c 1 -W 5 10.0.0.2")


def test_what_cannot_be_had_at_the_start_is_missing_and_the_rest_runs(ns, folder, file):
    file.write(file.tap("vm0"), file.tap("vm1", "br = br9\n"), file.socket("s"), file.socket("t"),
               link("vm0", "s"), link("vm1", "t"))
    with serve(ns, folder, file) as server, server.client() as ctl:
        assert set(rows(ctl)) == {("vm0", "s"), ("s", "vm0"), ("t", None)}
        assert "br9" in server.output() and "missing" in server.output()
        ns.run("ip link add br9 type bridge && ip link set br9 up")
        ctl.run("reload")
        assert ("vm1", "t") in rows(ctl)
    file.write(file.tap("vm0", "colour = red\n"))
    done = vmtap.run(ns, "--control", os.path.join(folder, "c"), "-c", file.path, "serve")
    assert done.returncode == 2 and "vmtap.conf:7" in done.stderr, done.stderr
