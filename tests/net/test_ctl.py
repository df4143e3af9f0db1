# SPDX-License-Identifier: MIT
"""vmtap serve: ports that come and go over the control socket, events, descriptors, permissions, and
clients that do what they should not."""

import array
import contextlib
import fcntl
import json
import os
import pty
import select
import signal
import socket
import stat
import struct
import subprocess
import sys
import termios
import threading

import pytest

import sandbox
import tuntap
import vmtap
import vu
from ctl import Client, Refused, Serve
from netns import Failed, wait_until
from tuntap import IFF_NO_PI, IFF_TAP, Packets, frame

TAP = {"type": "tap", "script": "no", "downscript": "no"}


@pytest.fixture
def server(ns, folder):
    with Serve(ns, folder) as made:
        yield made


@pytest.fixture
def ctl(server):
    with server.client() as made:
        yield made


def add_tap(ctl, name, **keys):
    return ctl.run("port_add", **{**TAP, "id": name, "ifname": name, **keys})


# ----------------------------------------------------------------------------- ports


def test_ports_are_added_joined_and_deleted(ns, ctl):
    add_tap(ctl, "vm0", up=True)
    ctl.run("netdev_add", type="responder", id="guest", ip="10.0.0.2")
    ctl.run("connect", id="vm0", peer="guest")
    ns.run("ip addr add 10.0.0.1/24 dev vm0")
    ns.run("ping -c 3 -i 0.2 -W 5 10.0.0.2")
    rows = {row["id"]: row for row in ctl.run("query-ports")}
    assert rows["vm0"]["peer"] == "guest" and rows["guest"]["peer"] == "vm0"
    assert rows["vm0"]["ifname"] == "vm0" and rows["vm0"]["state"] == "up"
    assert {row["id"]: row["rx"]["frames"] > 2 for row in ctl.run("query-stats")} == {"vm0": True, "guest": True}
    ctl.run("disconnect", id="guest")
    assert ns.run("ping -c 1 -W 1 10.0.0.2", check=False).returncode != 0
    ctl.run("connect", id="guest", peer="vm0")
    ns.run("ping -c 1 -W 5 10.0.0.2")
    ctl.run("port_del", id="vm0")
    assert "vm0" not in ns.links()
    assert [row["id"] for row in ctl.run("query-ports")] == ["guest"]
    ctl.run("netdev_del", id="guest")
    assert ctl.run("query-ports") == []


def test_a_name_and_a_device_are_free_once_a_deletion_is_answered(ctl):
    requests = [{"execute": "port_add", "arguments": {**TAP, "id": "a", "ifname": "vm0"}, "id": 0}]
    for i in range(20):
        requests += [{"execute": "port_del", "arguments": {"id": "a"}, "id": i},
                     {"execute": "port_add", "arguments": {**TAP, "id": "a", "ifname": "vm0"}, "id": i}]
    ctl.send("".join(map(json.dumps, requests)))
    for request in requests:
        answer = ctl.answer()
        assert "return" in answer and answer["id"] == request["id"], answer


def test_a_guest_is_announced(ns, server, ctl):
    add_tap(ctl, "vm0", up=True)
    path = server.path + ".vu"
    ctl.run("port_add", type="vhost-user", id="guest", path=path, server=True, mac="02:00:00:00:00:42")
    ctl.run("port_add", type="null", id="other")
    ctl.run("connect", id="vm0", peer="guest")
    with pytest.raises(Refused, match="there is none"):
        ctl.run("announce-self", id="guest")
    with pytest.raises(Refused, match="does not know the guest's address"):
        ctl.run("announce-self", id="other")
    assert ctl.run("announce-self") == []
    with vu.Front(ns) as vm, Packets(ns, "vm0", kind=0x8035) as kernel:
        vm.up(path)
        ctl.wait_port("guest", lambda row: row["state"] == "up")
        assert ctl.run("announce-self") == ["guest"]
        got = kernel.receive()
        assert got[:6] == b"\xff" * 6 and got[6:12] == bytes.fromhex("020000000042")


def test_a_link_is_set_down_and_up(ns, ctl):
    add_tap(ctl, "vm0", up=True)
    ctl.run("port_add", type="responder", id="guest", ip="10.0.0.2")
    ctl.run("connect", id="vm0", peer="guest")
    ns.run("ip addr add 10.0.0.1/24 dev vm0")
    ns.run("ping -c 1 -W 5 10.0.0.2")
    ctl.run("set_link", name="guest", up=False)
    assert ns.run("ping -c 1 -W 1 10.0.0.2", check=False).returncode != 0
    assert ctl.wait_event("LINK_CHANGED")["data"] == {"id": "guest", "up": False}
    assert not ctl.run("query-ports", id="guest")[0]["link"]
    ctl.run("set_link", name="guest", up=True)
    ns.run("ping -c 1 -W 5 10.0.0.2")


def test_errors_have_qemus_classes_and_say_what_helps(ctl):
    with pytest.raises(Refused) as no_device:
        ctl.run("port_del", id="nix")
    assert no_device.value.kind == "DeviceNotFound" and "nix" in no_device.value.desc
    with pytest.raises(Refused) as no_command:
        ctl.run("device_add", driver="e1000")
    assert no_command.value.kind == "CommandNotFound" and "query-commands" in no_command.value.desc
    with pytest.raises(Refused) as key:
        ctl.run("netdev_add", type="tap", id="a", ifnam="vm0")
    assert key.value.kind == "GenericError" and "ifname" in key.value.desc


@pytest.mark.parametrize("spec, says", [
    ("tap,ifname=vm0,br=nobr", "nobr"),
    ("macvtap,parent=nope", "nope"),
])
def test_an_interface_that_is_missing_is_no_device_of_the_server(ctl, spec, says):
    with pytest.raises(Refused, match=says) as refused:
        ctl.run("port_add", spec=spec)
    assert refused.value.kind == "GenericError"


def test_many_ports(ctl):
    for i in range(256):
        ctl.run("port_add", type="null", id="p%d" % i)
    for i in range(0, 256, 2):
        ctl.run("connect", id="p%d" % i, peer="p%d" % (i + 1))
    assert [row["id"] for row in ctl.run("query-stats")] == ["p%d" % i for i in range(256)]
    for i in range(256):
        ctl.run("port_del", id="p%d" % i)
    assert ctl.run("query-ports") == []


# ---------------------------------------------------------------------------- events


def test_every_client_hears_what_happens(ns, server, ctl):
    with server.client() as other:
        add_tap(ctl, "vm0")
        ctl.run("port_add", type="stream", id="s", server=True, path=server.path + ".s")
        ctl.run("connect", id="vm0", peer="s")
        for name in "vm0", "s":
            assert other.wait_event("PORT_ADDED", id=name)["data"]["type"] in ("tap", "stream")
        assert other.wait_event("PORT_CONNECTED")["data"] == {"id": "vm0", "peer": "s"}
        with socket.socket(socket.AF_UNIX) as guest:
            guest.connect(server.path + ".s")
            stamp = other.wait_event("PORT_UP", id="s")["timestamp"]
            assert stamp["seconds"] > 10 ** 9 and 0 <= stamp["microseconds"] < 10 ** 6
        other.wait_event("PORT_WAITING", id="s")
        ns.run("ip link del vm0")
        broken = other.wait_event("PORT_BROKEN", id="vm0")["data"]
        assert "vm0" in broken["reason"] and broken["errno"]
        assert ctl.run("query-ports", id="vm0")[0]["state"] == "broken"
        ctl.run("port_del", id="vm0")
        other.wait_event("PORT_DISCONNECTED", id="vm0")
        other.wait_event("PORT_DELETED", id="vm0")
        ctl.run("quit")
        other.wait_event("SHUTDOWN")
        assert other.message() is None
    assert server.wait() == 0


def test_events_begin_with_negotiation(server, ctl):
    with server.client(ready=False) as early:
        ctl.run("port_add", type="null", id="a")
        early.run("qmp_capabilities")
        assert not early.events
        ctl.run("port_del", id="a")
        early.wait_event("PORT_DELETED", id="a")


# ------------------------------------------------------------------------ the protocol


def test_the_greeting_is_as_qemus(server):
    with server.client(ready=False) as early:
        version = early.greeting["QMP"]["version"]
        assert early.greeting["QMP"]["capabilities"] == []
        assert version["qemu"].keys() == {"major", "minor", "micro"} and version["package"].startswith("vmtap")
        with pytest.raises(Refused) as refused:
            early.run("query-ports")
        assert refused.value.kind == "CommandNotFound" and "qmp_capabilities" in refused.value.desc


def test_commands_may_be_cut_anywhere(ctl):
    for byte in json.dumps({"execute": "query-ports", "id": "}{"}).encode():
        ctl.send(bytes([byte]))
    assert ctl.answer() == {"return": [], "id": "}{"}


def test_each_of_several_commands_in_a_packet_is_answered(ctl):
    ctl.send("".join('{"execute":"query-version","id":%d}' % i for i in range(500)))
    assert [ctl.answer()["id"] for _ in range(500)] == list(range(500))


def test_the_schema_describes_what_there_is(server, ctl):
    schema = ctl.run("query-schema")
    names = [c["name"] for c in schema["commands"]]
    assert {"name": "port_add"} in ctl.run("query-commands") and "port_add" in names
    assert sorted(c["name"] for c in ctl.run("query-commands")) == sorted(names)
    done = server.ctl(options=["--schema"])
    assert json.loads(done.stdout) == schema


# ----------------------------------------------------------------------- descriptors


def test_a_descriptor_becomes_a_port(ns, ctl):
    fd = tuntap.open_tap(ns, "vm0", IFF_TAP | IFF_NO_PI)
    try:
        ns.run("ip link set vm0 up")
        ctl.run("getfd", fdname="mine", fds=[fd])
    finally:
        os.close(fd)
    ctl.run("netdev_add", type="tap", id="n0", fd="mine")
    ctl.run("port_add", type="null", id="sink")
    ctl.run("connect", id="n0", peer="sink")
    with Packets(ns, "vm0") as kernel:
        kernel.send(frame(1))
        ctl.wait_port("n0", lambda row: ctl.run("query-stats", id="n0")[0]["rx"]["frames"] >= 1)
    with pytest.raises(Refused, match="mine"):
        ctl.run("netdev_add", type="tap", id="n1", fd="mine")
    ctl.run("netdev_del", id="n0")
    assert "vm0" not in ns.links()


def test_a_descriptor_that_is_closed_cannot_be_used(server, ctl):
    before = server.descriptors()
    with open("/dev/null") as null:
        ctl.run("getfd", fdname="a", fds=[null.fileno()])
        ctl.run("getfd", fdname="a", fds=[null.fileno()])  # in place of the first, as QEMU has it
    assert server.descriptors() == before + 1
    ctl.run("closefd", fdname="a")
    assert server.descriptors() == before
    with pytest.raises(Refused, match="none of that name"):
        ctl.run("closefd", fdname="a")
    with pytest.raises(Refused, match="none came along"):
        ctl.run("getfd", fdname="a")


def test_descriptors_that_nobody_asked_for_are_closed(server, ctl):
    before = server.descriptors()
    with open("/dev/null") as null:
        for cnt in 1, 64, 65, 200, 253:
            ctl.run("query-ports", fds=[null.fileno()] * cnt)
        assert server.descriptors() == before
        ctl.send('{"execute":', fds=[null.fileno()] * 3)  # belongs to a command that is only half there
        wait_until(lambda: server.descriptors() == before + 3)
        ctl.send('"query-ports"}')
        ctl.answer()
        assert server.descriptors() == before
        with server.client() as other:
            other.send('{"execute":', fds=[null.fileno()] * 3)
            wait_until(lambda: server.descriptors() == before + 4)
        wait_until(lambda: server.descriptors() == before)


@pytest.mark.parametrize("commands", [
    ['{"execute":"query-version"}'] * 16,  # as many as are run in a turn
    ['{"execute":"query-schema"}'] * 8,    # answers that wait, and the rest with them
], ids=["many", "long"])
def test_a_descriptor_that_nobody_took_is_not_kept_for_a_later_command(server, ctl, commands):
    before = server.descriptors()
    with open("/dev/null") as null:
        for cnt in range(1, len(commands) + 1):
            ctl.send("".join(commands[:cnt]), fds=[null.fileno()])
            for _ in range(cnt):
                assert "return" in ctl.answer()
            wait_until(lambda: server.descriptors() == before)


def test_a_descriptor_may_come_in_front_of_its_command(server, ctl):
    """As Ganeti sends it: with a blank, in a message of its own."""
    before = server.descriptors()
    with open("/dev/null") as null:
        ctl.send(" ", fds=[null.fileno()])
        wait_until(lambda: server.descriptors() == before + 1)
        ctl.run("getfd", fdname="a")
    ctl.run("closefd", fdname="a")
    assert server.descriptors() == before


def test_a_tap_is_opened_for_a_client(ns, server, ctl):
    said = ctl.run("open_tap", ifname="vm0", queues=2, script="no", downscript="no", id="t0")
    assert (said["id"], said["ifname"], said["fds"], said["vhostfds"]) == ("t0", "vm0", 2, 0)
    assert len(ctl.fds) == 2 and [tuntap.flags(fd)[1] for fd in ctl.fds] == ["vm0", "vm0"]
    ns.run("ip link set vm0 up")
    with Packets(ns, "vm0") as kernel:
        data = frame(7)
        os.write(ctl.fds[0], bytes(tuntap.get_int(ctl.fds[0], tuntap.TUNGETVNETHDRSZ)
                                   if tuntap.flags(ctl.fds[0])[0] & tuntap.IFF_VNET_HDR else 0) + data)
        assert kernel.receive()[:60] == data
    assert ctl.run("query-ports")[0]["id"] == "t0"
    ctl.run("port_del", id="t0")
    assert "vm0" in ns.links()  # the client has it still
    while ctl.fds:
        os.close(ctl.fds.pop())
    assert "vm0" not in ns.links()


def test_a_tap_that_cannot_be_handed_over_is_closed(ns, server, ctl):
    if os.path.exists("/dev/vhost-net"):
        pytest.skip("there is a vhost-net here")
    before = server.descriptors()
    with pytest.raises(Refused, match="vhost"):
        ctl.run("open_tap", ifname="vm0", script="no", downscript="no", vhostfds=True)
    assert "vm0" not in ns.links() and ctl.run("query-ports") == [] and server.descriptors() == before


# ----------------------------------------------------------------- who may do what


def as_nobody(server, *words):
    return server.ns.run([*sandbox.user(), vmtap.program(), "--control", server.path, "ctl", *words], check=False)


@pytest.fixture
def public(monkeypatch, public_program):
    """The program where any user can reach it."""
    monkeypatch.setenv("VMTAP", public_program)


def test_the_socket_is_its_users_alone(ns, folder, public):
    with Serve(ns, folder) as server:
        assert stat.S_IMODE(os.stat(server.path).st_mode) == 0o600
        done = as_nobody(server, "ports")
        assert done.returncode == 3 and "--control-group" in done.stderr


def test_others_who_are_let_in_may_look_only(ns, folder, public):
    with Serve(ns, folder, "--control-mode", "666") as server:
        assert stat.S_IMODE(os.stat(server.path).st_mode) == 0o666
        assert server.ctl("port", "add", "null,id=a").returncode == 0
        assert "null" in as_nobody(server, "ports").stdout
        for words in ["quit"], ["port", "del", "a"], ["port", "add", "null"], ["set_link", "a", "off"]:
            done = as_nobody(server, *words)
            assert done.returncode == 1 and "may only look" in done.stderr, words
        assert "port_add" not in as_nobody(server, "commands").stdout


def test_members_of_the_group_may_do_everything(ns, folder, public):
    with Serve(ns, folder, "--control-group", str(sandbox.NOBODY)) as server:
        mode = os.stat(server.path)
        assert stat.S_IMODE(mode.st_mode) == 0o660 and mode.st_gid == sandbox.NOBODY
        done = as_nobody(server, "port", "add", "null,id=a")
        assert done.returncode == 0, done.stderr


# Connects as often as it is told, says how often it was greeted and what else was said, and stays.
CROWD = """
import json, socket, sys
socks = [socket.socket(socket.AF_UNIX) for _ in range(int(sys.argv[2]))]
for s in socks:
    s.connect(sys.argv[1])
said = [json.loads(s.makefile().readline()) for s in socks]
greeted = ["QMP" in m for m in said].count(True)
print(greeted, [m for m in said if "QMP" not in m][:1], flush=True)
sys.stdin.read()
"""


def test_those_who_may_only_look_leave_room_for_the_others(ns, folder, public):
    with Serve(ns, folder, "--control-mode", "666") as server:
        crowd = ns.popen([*sandbox.user(), sys.executable, "-c", CROWD, server.path, "140"], stdin=subprocess.PIPE,
                         stdout=subprocess.PIPE, bufsize=0)
        try:
            said = vmtap.line(crowd, 20)
            assert said.startswith("96 ") and "may only look" in said
            with contextlib.ExitStack() as stack:
                mine = [stack.enter_context(server.client()) for _ in range(32)]
                assert mine[-1].run("query-ports") == []
                assert "too many" in server_greeting(server)["error"]["desc"]
        finally:
            crowd.stdin.close()
            assert crowd.wait(10) == 0
        wait_until(lambda: as_nobody(server, "ports").returncode == 0)


def test_a_group_of_others_is_refused_to_who_is_not_root(ns, folder, public):
    os.chmod(folder, 0o777)
    done = ns.run([*sandbox.user(), vmtap.program(), "--control", folder + "/s", "--control-group", "0", "serve"], check=False)
    assert done.returncode == 3 and "id -Gn" in done.stderr
    assert not os.path.exists(folder + "/s")


@pytest.mark.parametrize("args, says", [
    (["--control-mode", "888"], "octal"),
    (["--control-mode", "1777"], "octal"),
    (["--control-group", "no such group"], "no such group"),
    (["extra"], "control socket"),
])
def test_options_that_are_wrong_are_refused(ns, folder, args, says):
    done = vmtap.run(ns, "--control", folder + "/s", *args[:-1 if args == ["extra"] else None], "serve",
                     *args[len(args) - 1 if args == ["extra"] else len(args):])
    assert done.returncode == 2 and says in done.stderr


def test_a_socket_that_was_left_behind_is_taken(ns, folder):
    with Serve(ns, folder) as first:
        first.stop(signal.SIGKILL)
        assert os.path.exists(first.path)
        with Serve(ns, folder) as second, second.client() as ctl:
            ctl.run("query-ports")
        assert not os.path.exists(first.path)


def test_a_living_servers_socket_is_not_taken(ns, server, ctl):
    done = vmtap.run(ns, "--control", server.path, "serve")
    assert done.returncode == 3 and "in use" in done.stderr
    ctl.run("query-ports")
    with server.client() as other:
        other.run("query-ports")


def test_a_file_that_is_no_socket_is_not_taken(ns, folder):
    path = os.path.join(folder, "file")
    with open(path, "w") as f:
        f.write("mine")
    done = vmtap.run(ns, "--control", path, "serve")
    assert done.returncode == 3 and "no socket" in done.stderr
    assert open(path).read() == "mine"


# ------------------------------------------------------------------- hostile and slow


WRONG = [
    ("no JSON", "hello\n", "no JSON object"),
    ("a bracket", "}\n", "no JSON object"),
    ("an array", "[]", "no JSON object"),
    ("brackets that do not fit", "{]", "no JSON"),
    ("a NUL", "\0\n", "no JSON object"),
    ("a byte that is no UTF-8", b"\xff\n", "no JSON object"),
    ("a string that is no UTF-8", b'{"execute":"\xff\xfe"}', "no JSON"),
    ("a NUL in a string", '{"execute":"a\\u0000b"}', "no JSON"),
    ("a bare NUL in a string", '{"execute":"a\0b"}\n', "no JSON"),
    ("a line's end in a string", '{"execute":"a\nb"}\n', "no JSON"),
    ("deeper than allowed", "[" * 65 + "]" * 65, "deeper than 64"),
    ("very deep", '{"a":' * 100000 + "1" + "}" * 100000, "deeper than 64"),
    ("10 MB", '{"execute":"query-ports","arguments":{"id":"%s"}}' % ("x" * 10_000_000), "longer than"),
    ("too large a number", '{"execute":"query-ports","id":1e999}', "no JSON"),
]


@pytest.mark.parametrize("text, says", [row[1:] for row in WRONG], ids=[row[0] for row in WRONG])
def test_what_is_wrong_is_refused_and_the_connection_goes_on(ctl, text, says):
    ctl.send(text)
    answer = ctl.answer()
    assert says in answer["error"]["desc"], answer
    if text == '{"execute":"a\nb"}\n':  # what is left of the line is one more
        assert "error" in ctl.answer()
    assert ctl.run("query-ports") == []


def test_half_a_command_holds_nobody_up(server, ctl):
    with server.client() as half:
        half.send('{"execute":"query-po')
        assert ctl.run("query-ports") == []
    with server.client() as half:
        half.send('{"execute":"quit"')
        half.sock.shutdown(socket.SHUT_WR)
        assert half.message() is None
    assert ctl.run("query-ports") == []


def test_what_was_asked_before_the_end_is_answered(server):
    with server.client() as ctl:
        ctl.send('{"execute":"query-ports"}' * 100)
        ctl.sock.shutdown(socket.SHUT_WR)
        for _ in range(100):
            assert ctl.message() == {"return": []}
        assert ctl.message() is None


def test_a_client_that_reads_no_events_is_cut_off(server, ctl):
    ctl.run("port_add", type="null", id="a")
    with server.client() as deaf:
        poll = select.poll()
        poll.register(deaf.sock, select.POLLHUP)
        for i in range(100_000):
            ctl.run("set_link", name="a", up=i % 2 == 1)
            ctl.events.clear()
            if i % 100 == 0 and poll.poll(0):
                break
        else:
            pytest.fail("it is still there")
    assert "does not read its events" in server.output()


def test_commands_wait_for_a_client_that_does_not_read(server, ctl):
    """Answers do not pile up: the server stops reading, and forgets nothing."""
    with server.client() as slow:
        request = b'{"execute":"query-schema"}'
        slow.sock.setblocking(False)
        sent = 0
        with contextlib.suppress(BlockingIOError):
            while sent < 50_000_000:
                sent += slow.sock.send(request * 100)
        assert sent < 50_000_000
        with open("/proc/%d/statm" % server.proc.pid) as f:
            assert int(f.read().split()[1]) * os.sysconf("SC_PAGESIZE") < 1_000_000_000  # what waits would be much more; sanitizers take some
        ctl.run("query-ports")
        slow.sock.settimeout(20)
        for _ in range(20):
            assert "return" in slow.answer()


def test_too_many_clients_are_refused(server, ctl):
    clients = []
    try:
        for _ in range(1000):
            clients.append(server.client(ready=False))
        greeted = [c for c in clients if "QMP" in c.greeting]
        refused = [c for c in clients if "error" in c.greeting]
        assert len(greeted) == 127 and len(refused) == 873
        assert "too many" in refused[0].greeting["error"]["desc"] and refused[0].message() is None
        assert ctl.run("query-ports") == []
    finally:
        for c in clients:
            c.close()
    wait_until(lambda: "QMP" in server_greeting(server))


def server_greeting(server):
    with server.client(ready=False) as one:
        return one.greeting


def test_without_descriptors_it_goes_on(ns, folder):
    with Serve(ns, folder, wrap=["prlimit", "--nofile=40:40"]) as server, server.client() as ctl:
        clients = [Client(server.path, ready=False) for _ in range(60)]
        refused = [c for c in clients if "error" in c.greeting]
        assert refused and "no descriptor" in refused[0].greeting["error"]["desc"]
        assert ctl.run("query-ports") == []
        for c in clients:
            c.close()
        wait_until(lambda: "QMP" in server_greeting(server))


# -------------------------------------------------------------------------- the end


@pytest.mark.parametrize("how", ["quit", signal.SIGTERM, signal.SIGINT])
def test_ports_are_closed_the_last_one_first(ns, folder, how):
    script = os.path.join(folder, "down")
    with open(script, "w") as f:
        f.write('#!/bin/sh\necho "$1" >>%s/order\n' % folder)
    os.chmod(script, 0o755)
    with Serve(ns, folder) as server, server.client() as ctl:
        for name in "vm0", "vm1", "vm2":
            add_tap(ctl, name, downscript=script)
        ctl.run("port_add", type="null", id="n")
        ctl.run("connect", id="vm1", peer="n")
        if how == "quit":
            ctl.run("quit")
        else:
            server.proc.send_signal(how)
        ctl.wait_event("SHUTDOWN")
        assert server.wait() == 0
        assert not os.path.exists(server.path)
    with open(os.path.join(folder, "order")) as f:
        assert f.read().split() == ["vm2", "vm1", "vm0"]


# ---------------------------------------------------------------------------- races


def test_clients_that_race_for_the_same_ports(ns, server, ctl):
    """Four clients add, join and delete the same ports while frames move; each command succeeds or is refused."""
    ctl.run("port_add", type="null", id="gen", generate=True)
    outcomes = {"ok": 0, "refused": 0}
    wrong = []

    def race(number):
        try:
            with server.client() as mine:
                for i in range(60):
                    for command, arguments in [
                            ("port_add", {**TAP, "id": "t", "ifname": "vm0"}),
                            ("port_add", {"type": "null", "id": "s%d" % (i % 2)}),
                            ("connect", {"id": "t", "peer": "s%d" % (i % 2)}),
                            ("connect", {"id": "gen", "peer": "t" if number % 2 else "s0"}),
                            ("set_link", {"name": "t", "up": bool(i % 2)}),
                            ("query-stats", {}),
                            ("disconnect", {"id": "t"}),
                            ("port_del", {"id": "t"}),
                            ("port_del", {"id": "s%d" % (i % 2)})]:
                        try:
                            mine.run(command, **arguments)
                            outcomes["ok"] += 1
                        except Refused:
                            outcomes["refused"] += 1
                        mine.events.clear()
        except Exception as e:  # pylint: disable=broad-except
            wrong.append(e)

    threads = [threading.Thread(target=race, args=(i,)) for i in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong, server.output() + str(server.proc.poll())
    assert outcomes["ok"] > 100 and outcomes["refused"] > 100
    assert ctl.run("query-ports", id="gen")[0]["state"] == "up"


# ---------------------------------------------------------------------------- words


def test_a_person_types_it(ns, server):
    def ok(*words, **kw):
        done = server.ctl(*words, **kw)
        assert done.returncode == 0 and not done.stderr, done.stderr
        return done.stdout

    assert ok("port", "add", "tap,ifname=vm0,script=no,downscript=no,id=vm0") == "id: vm0\n"
    assert ok("port", "add", "type=null", "id=n") == "id: n\n"
    assert ok("connect", "vm0", "n") == ""
    table = [line.split() for line in ok("ports").splitlines()]
    assert table[0][:3] == ["id", "type", "state"] and [row[0] for row in table[1:]] == ["vm0", "n"]
    assert [row["id"] for row in json.loads(ok("ports", options=["--json"]))] == ["vm0", "n"]
    assert json.loads(ok("stats", "n", options=["--json"]))[0]["rx"]["frames"] == 0
    assert ok("set", "link", "n", "down") == ""
    assert ok("throttle", "set", "n", "both", "20M", "burst=64k", "pps=3k") == ""
    assert json.loads(ok("throttle", "n", options=["--json"]))[0]["rx"] == {
        "rate": 20000000, "burst": 65536, "pps": 3000}
    assert ok("port", "del", "n") == "" and ok("netdev_del", "vm0") == ""
    assert ok("ports") == "[]\n" or ok("ports") == ""
    assert "port add" in ok("help") and "netdev" not in ok("help", "port", "add")


@pytest.mark.parametrize("words", [
    ["open", "tap", "ifname=vm0", "script=no", "downscript=no"],
    ["port", "add", "type=stream", "server=on", "host=127.0.0.1", "port=5000"],
    ["port", "add", "trunk=10", "burst=64k", "rate=5", "size=70", "type=null"],
    ["switch", "add", "snooping=on", "queue-size=262144", "max-macs=64"],
])
def test_a_value_is_of_its_key_s_kind(server, words):
    server.ns.run("ip link set lo up")
    done = server.ctl(*words)
    assert done.returncode == 0 and not done.stderr, done.stderr


@pytest.mark.parametrize("columns, blocks", [(60, True), (1000, False), (0, False)])
def test_what_is_wider_than_the_terminal_stands_in_blocks(server, columns, blocks):
    for name in "a", "b":
        assert server.ctl("switch", "add", "id=" + name, "snooping=on").returncode == 0
    master, slave = pty.openpty()
    try:
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("4H", 25, columns, 0, 0))
        subprocess.run([vmtap.program(), "--control", server.path, "ctl", "switches"], stdout=slave, check=True,
                       stdin=subprocess.DEVNULL, timeout=30)
        said = os.read(master, 65536).decode().splitlines()
    finally:
        os.close(master)
        os.close(slave)
    if blocks:
        assert [line.split()[1] for line in said if line.startswith("id ")] == ["a", "b"]
        assert "  max-macs" not in said[0] and all(len(line) <= columns for line in said)
        assert [line.split() for line in said].count(["macs-max", "4096"]) == 2
    else:
        assert len(said) == 3 and said[0].split()[:2] == ["id", "ports"]


@pytest.mark.parametrize("words, status, says", [
    ([], 2, "missing"),
    (["nix"], 2, "nix"),
    (["port"], 2, "port"),
    (["connect", "a"], 2, "peer"),
    (["connect", "a", "b", "c"], 2, "too many; vmtap ctl help"),
    (["port", "del", "nix"], 1, "nix"),
    (["port", "add", "tap,nosuch=1"], 1, "nosuch"),
    (["port", "add", "null", "id=n"], 1, "or type=null id=n"),
    (["switch", "add", "switch", "id=n"], 1, "or id=lan alone"),
    (["throttle", "set", "n", "rate=fast"], 2, "it takes: integer, as in 100 or 100M"),
    (["throttle", "set", "n", "rate=1.5M"], 2, "rate cannot be"),
    (["throttle", "set", "n", "rate=9999999T"], 2, "rate"),
    (["throttle", "set", "n", "rate=99999999999T"], 2, "rate cannot be"),
    (["throttle", "set", "n", "rate=5MM"], 2, "rate cannot be"),
    (["throttle", "set", "n", "rate=M"], 2, "rate cannot be"),
])
def test_words_that_are_wrong(server, words, status, says):
    done = server.ctl(*words)
    assert done.returncode == status and says in done.stderr


@pytest.mark.parametrize("words, remedy", [
    (["connect", "a", "a"], "name two ports"),
    (["connect", "broken", "a"], "open one anew"),
    (["connect", "a", "b"], "disconnect it first"),
    (["connect", "b", "lan"], "disconnect it first"),
    (["connect", "e", "a"], "disconnect it first"),
    (["disconnect", "a"], "query-ports"),
    (["port", "add", "null,id=a"], "choose another id="),
    (["switch", "add", "id=a"], "choose another id="),
    (["capture", "start", "a"], "name a file"),
    (["capture", "start", "a", "filename=/tmp/nosuch/x"], "create the folder"),
    (["capture", "start", "a", "filename=/"], "add the name of a file"),
    (["capture", "start", "a", "filename={}/fifo"], "start what reads it first"),
    (["capture", "start", "a", "filename={}/x", "file-size=1M"], "give both"),
    (["capture", "start", "a", "filename={}/null", "files=2", "file-size=1M"], "ask for one file"),
    (["ping", "start", "b", "address=guest"], "as in 10.0.0.2 or fd00::2"),
    (["ping", "start", "b", "address=fd00::2", "source=10.0.0.1"], "both in numbers and of IPv4"),
], ids=lambda v: " ".join(v) if isinstance(v, list) else "")
def test_who_is_refused_is_told_what_to_do(ns, folder, server, ctl, words, remedy):
    for name in "a", "b", "c", "d", "e":
        ctl.run("port_add", type="null", id=name)
    add_tap(ctl, "broken", ifname="vm0")
    ctl.run("switch_add", id="lan")
    ctl.run("connect", id="e", peer="lan")
    ctl.run("connect", id="b", peer="c")
    ctl.run("connect", id="broken", peer="d")
    ns.run("ip link del vm0")
    ctl.wait_port("broken", lambda row: row["state"] == "broken")
    os.mkfifo(folder + "/fifo")
    for n in "01":
        os.symlink("/dev/null", folder + "/null" + n)
    before = sorted(os.listdir(folder))
    done = server.ctl(*(word.format(folder) for word in words))
    reason, _, told = done.stderr.partition("; ")
    assert done.returncode == 1 and remedy in told, done
    assert sorted(os.listdir(folder)) == before


def test_without_a_server_it_says_so(ns, folder):
    for path, says in (folder + "/s", "No such file"), (folder, "nobody listens"):
        if path == folder:
            path = folder + "/stale"
            with socket.socket(socket.AF_UNIX) as s:
                s.bind(path)
        done = vmtap.run(ns, "--control", path, "ctl", "ports")
        assert done.returncode == 3 and says in done.stderr and "vmtap serve" in done.stderr


def test_events_are_printed_as_they_happen(ns, server, ctl):
    child = ns.popen([vmtap.program(), "--control", server.path, "--json", "ctl", "events"], stdout=-1, bufsize=0)
    wait_until(lambda: server.descriptors() and len(ctl.run("query-commands")) and
               any_event(ctl, child))
    ctl.run("quit")
    rest = child.stdout.read().decode().splitlines()
    assert json.loads(rest[-1])["event"] == "SHUTDOWN"
    assert child.wait(10) == 0


def any_event(ctl, child):
    ctl.run("port_add", type="null", id="e")
    ctl.run("port_del", id="e")
    return select.select([child.stdout], [], [], 0)[0]


# ------------------------------------------------------------------------- switches


def test_a_switch_is_made_joined_and_removed(ns, ctl):
    ctl.run("switch_add", id="lan")
    add_tap(ctl, "vm0", up=True)
    ns.run("ip addr add 10.0.0.1/24 dev vm0")
    for i in 2, 3:
        ctl.run("port_add", type="responder", id="g%d" % i, ip="10.0.0.%d" % i, mac="02:00:00:00:00:0%d" % i)
        ctl.run("connect", id="g%d" % i, peer="lan")
    ctl.run("connect", id="lan", peer="vm0")  # in either order
    for i in 2, 3:
        ns.run("ping -c 1 -W 5 10.0.0.%d" % i)
    row = ctl.run("query-switches")[0]
    assert row["id"] == "lan" and row["ports"] == ["g2", "g3", "vm0"] and row["forwarded"] >= 2
    assert {r["mac"]: r["port"] for r in ctl.run("query-macs", id="lan")}["02:00:00:00:00:03"] == "g3"
    assert ctl.run("query-ports", id="g2")[0]["peer"] == "lan"
    ctl.run("switch_flush", id="lan")
    assert ctl.run("query-macs", id="lan") == []
    ctl.run("disconnect", id="g3")
    ctl.run("port_del", id="g2")
    assert ctl.run("query-switches")[0]["ports"] == ["vm0"]
    ctl.run("switch_del", id="lan")
    ctl.wait_event("PORT_DISCONNECTED", id="vm0", peer="lan")
    ctl.wait_event("SWITCH_DELETED", id="lan")
    ctl.run("connect", id="vm0", peer="g3")
    ns.run("ping -c 1 -W 5 10.0.0.3")


def test_a_port_and_a_switch_have_no_name_in_common(ctl):
    ctl.run("switch_add", id="a")
    ctl.run("port_add", type="null", id="b")
    for command, arguments in [("switch_add", {"id": "a"}), ("switch_add", {"id": "b"}),
                               ("port_add", {"type": "null", "id": "a"})]:
        with pytest.raises(Refused, match="name"):
            ctl.run(command, **arguments)
    with pytest.raises(Refused) as twice:
        ctl.run("connect", id="a", peer="a")
    assert twice.value.kind == "DeviceNotFound"
    for command in "switch_del", "switch_flush", "query-macs":
        with pytest.raises(Refused) as refused:
            ctl.run(command, id="b")
        assert refused.value.kind == "DeviceNotFound"
    assert [row["id"] for row in ctl.run("query-ports")] == ["b"]
