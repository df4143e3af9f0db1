# SPDX-License-Identifier: MIT
"""An ordinary user from end to end: alice has an account and no capability, and gets a guest onto
the bridge all the same, through the helper that an administrator allows her."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess

import pytest

import tuntap
import vmtap
from bridgehost import ALICE, BOB, BridgeHost, as_user
from netns import wait_until
from peers import StreamPeer
from tuntap import Packets, frame
from vmtap import Vmtap, line

RESOURCE = 3
DEBIAN = "/usr/lib/qemu/qemu-bridge-helper"
# How the helper got its right: file capability, set-uid, and QEMU's own, set-uid as Debian says.
HELPERS = {"caps": "/etc/bin/caps", "setuid": "/etc/bin/setuid", "debian": "/etc/bin/qemu"}
HELPER = pytest.mark.parametrize("helper", HELPERS)
WAIT = pytest.mark.parametrize("wait", [[], ["--wait"]], ids=["become", "wait"])


@pytest.fixture(scope="module")
def shared():
    if os.geteuid():
        pytest.skip("a host of one's own takes root")
    with BridgeHost() as host:
        shutil.copyfile(DEBIAN, host.path("/etc/bin/qemu"))
        os.chmod(host.path("/etc/bin/qemu"), 0o4755)
        host.run("ip link set br0 type bridge forward_delay 0; ip addr add 10.0.0.1/24 dev br0; "
                 "ip addr add fd00::1/64 dev br0")
        yield host


@pytest.fixture
def host(shared, public_program, monkeypatch):
    """br0 is for everybody, br1 for bob, br2 for nobody."""
    monkeypatch.setenv("VMTAP", public_program)
    for path in "/etc/vmtap/bridge.conf", "/etc/qemu/bridge.conf":
        shared.write(path, "allow br0\ninclude /etc/vmtap/bob.conf\n")
    shared.write("/etc/vmtap/bob.conf", "allow br1\n", mode=0o640, gid=BOB)
    yield shared
    wait_until(lambda: not shared.taps(), what="no TAP is left")


def bridge(helper="caps", options="br=br0"):
    return "bridge,%s,helper=%s" % (options, HELPERS.get(helper, helper))


def run(host, *args, uid=ALICE, wrap=(), **kw):
    return vmtap.run(host, *args, wrap=[*as_user(uid), *wrap], cwd="/", **kw)


class Alice(Vmtap):
    def __init__(self, host, ports, folder, uid=ALICE, **kw):
        super().__init__(host, ports, folder, wrap=as_user(uid), cwd="/", **kw)


def check_ordinary(pid, uid=ALICE):
    """No capability in any set that counts, and nobody else's."""
    with open("/proc/%d/status" % pid) as f:
        status = dict(line.split(":\t", 1) for line in f.read().splitlines())
    assert status["Uid"] == "\t".join([str(uid)] * 4)
    for kind in "Inh", "Prm", "Eff", "Amb":
        assert int(status["Cap" + kind], 16) == 0


# ------------------------------------------------------------------------- connect


@HELPER
def test_frames_pass_between_a_stream_and_the_bridge(host, folder, helper):
    path = os.path.join(folder, "s")
    with Alice(host, [bridge(helper), "stream,server=on,path=" + path], folder) as v, \
            StreamPeer(path) as vm, Packets(host, "br0") as kernel:
        check_ordinary(v.proc.pid)
        tap, = host.ports()
        assert "ifname=%s" % tap in v.output() and "with virtio-net header" in v.output()
        for n, size in enumerate((60, 777, 1414)):
            vm.send(frame(n, size, dst=b"\xff" * 6))
            assert kernel.receive() == frame(n, size, dst=b"\xff" * 6)
            kernel.send(frame(n, size, src=tuntap.GUEST, dst=b"\xff" * 6))
            assert vm.receive(kind=tuntap.ETH_TEST) == frame(n, size, src=tuntap.GUEST, dst=b"\xff" * 6)
    assert v.status == 0
    wait_until(lambda: host.ports() == [])


@HELPER
def test_a_guest_answers_the_host(host, folder, helper):
    with Alice(host, [bridge(helper), "responder,ip=10.0.0.2,ip6=fd00::2"], folder):
        for address in "10.0.0.2", "fd00::2":
            assert " 0% packet loss" in host.run(["ping", "-c3", "-i0.2", address]).stdout


def numbers(vm, most):
    """Of the next frames, at most that many."""
    for _ in range(most):
        data = vm.receive(kind=tuntap.ETH_TEST)
        assert data, "no frame came"
        yield tuntap.number_of(data)


def test_two_guests_of_two_users_reach_each_other(host, folder):
    a, b = (os.path.join(folder, name) for name in "ab")
    with Alice(host, [bridge(), "stream,server=on,path=" + a], folder, name="alice"), \
            Alice(host, [bridge(), "stream,server=on,path=" + b], folder, name="bob", uid=BOB), \
            StreamPeer(a) as alice, StreamPeer(b) as bob:
        # whose frame was heard on the bridge, is connected
        with Packets(host, "br0") as kernel:
            for n, vm in enumerate((alice, bob)):
                vm.send(frame(n, dst=b"\xff" * 6))
                assert kernel.receive() == frame(n, dst=b"\xff" * 6)
        alice.send(frame(2, dst=b"\xff" * 6))
        assert 2 in numbers(bob, 2)
        bob.send(frame(3, src=tuntap.GUEST, dst=tuntap.HOST))
        assert 3 in numbers(alice, 2)


@pytest.mark.parametrize("queues", [2, 4])
def test_several_queues_are_had(host, folder, queues):
    with Alice(host, [bridge(options="br=br0,queues=%d" % queues), "responder,ip=10.0.0.2"], folder):
        tap, = host.ports()
        assert host.links()[tap]["linkinfo"]["info_data"]["numqueues"] == queues
        assert " 0% packet loss" in host.run(["ping", "-c3", "-i0.2", "10.0.0.2"]).stdout


def test_a_killed_one_leaves_nothing(host, folder):
    with Alice(host, [bridge(), "null"], folder) as v:
        assert host.ports()
        v.stop(signal.SIGKILL)
    wait_until(lambda: not host.taps())


def test_a_tap_that_root_made_for_her_is_used(host, folder):
    host.run("ip tuntap add vm0 mode tap user %d && ip link set vm0 master br0 up" % ALICE)
    try:
        with Alice(host, ["tap,ifname=vm0", "responder,ip=10.0.0.2"], folder) as v:
            check_ordinary(v.proc.pid)
            assert " 0% packet loss" in host.run(["ping", "-c3", "-i0.2", "10.0.0.2"]).stdout
        done = run(host, "connect", "tap,ifname=vm0", "null", uid=BOB)
        assert done.returncode == RESOURCE and "used by user alice" in done.stderr
    finally:
        host.run("ip link del vm0")


@pytest.mark.parametrize("helper", ["caps", "setuid"])
def test_what_is_not_allowed_is_refused_with_the_line_that_would(host, helper):
    host.run("ip link add br1 type bridge; ip link add br2 type bridge")
    try:
        for name in "br1", "br2", "br3":
            done = run(host, "connect", bridge(helper, "br=" + name), "null")
            assert done.returncode == RESOURCE and "allow " + name in done.stderr, done.stderr
        done = run(host, "exec", bridge(helper, "br=br1"), "--", "true", uid=BOB)
        assert done.returncode == 0  # his own list
    finally:
        host.run("ip link del br1; ip link del br2")


def test_a_helper_without_its_right_is_explained(host):
    done = run(host, "connect", bridge("/etc/bin/plain"), "null")
    assert done.returncode == RESOURCE and "CAP_NET_ADMIN" in done.stderr, done.stderr


def test_where_no_new_privileges_are_to_be_had_is_explained(host):
    """As in a service with NoNewPrivileges=yes."""
    done = run(host, "connect", bridge(), "null", wrap=["setpriv", "--no-new-privs"])
    assert done.returncode == RESOURCE and "no_new_privs" in done.stderr, done.stderr


def test_what_needs_root_says_so(host):
    for port in "tap,ifname=vm0", "tap,br=br0", "macvtap,parent=br0":
        done = run(host, "connect", port, "null")
        assert done.returncode == RESOURCE and "CAP_NET_ADMIN" in done.stderr, done.stderr


# --------------------------------------------------------------------------- exec


@HELPER
@WAIT
def test_exec_hands_the_tap_to_her_command(host, helper, wait):
    child = host.popen([*as_user(ALICE), vmtap.program(), "exec", *wait, bridge(helper), "--", "sh",
                        "-c", "echo {ifname} {fds}; exec cat"], cwd="/", stdin=subprocess.PIPE,
                       stdout=subprocess.PIPE, bufsize=0)
    ifname, fd = line(child).split()
    check_ordinary(child.pid)
    assert host.links()[ifname]["master"] == "br0"
    assert os.readlink("/proc/%d/fd/%s" % (child.pid, fd)) == "/dev/net/tun"
    child.stdin.close()
    assert child.wait(10) == 0
    wait_until(lambda: not host.taps())


@pytest.mark.parametrize("helper, queues", [("caps", 1), ("caps", 2), ("debian", 1)])
@WAIT
def test_exec_gives_her_qemu_a_nic_on_the_bridge(host, folder, helper, queues, wait):
    """Its firmware asks for an address, and that is heard on the bridge."""
    path = os.path.join(folder, "qmp")
    mq = ",mq=on,vectors=6" if queues > 1 else ""
    with Packets(host, "br0", kind=None) as kernel:
        vm = host.popen([*as_user(ALICE), vmtap.program(), "exec", *wait,
                         bridge(helper, "br=br0" + (",queues=%d" % queues if queues > 1 else "")),
                         "--", "qemu-system-x86_64", "-nodefaults", "-machine", "pc,accel=tcg", "-m", "32",
                         "-display", "none", "-boot", "n", "-qmp", "unix:%s,server=on,wait=off" % path,
                         "-netdev", "tap,id=n0,fds={fds}" if queues > 1 else "tap,id=n0,fd={fd}",
                         "-device", "virtio-net-pci,netdev=n0,mac={mac}" + mq],
                        cwd="/", stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        data = b""
        while not (data[12:14] == b"\x08\x00" and data[34:38] == b"\0\x44\0\x43"):
            data = kernel.receive(30)
            assert data, "the guest sent nothing"
        assert data[6:9] == b"\x52\x54\x00"
        assert vm.poll() is None
        with socket.socket(socket.AF_UNIX) as qmp:
            qmp.connect(path)
            qmp.sendall(b'{"execute": "qmp_capabilities"}{"execute": "quit"}')
            assert vm.wait(20) == 0
            assert vm.stdout.read() == b""
    wait_until(lambda: not host.taps())


# ------------------------------------------------------------------ list, reap, check, doctor


def test_list_shows_her_what_is_there_and_what_is_hers(host, folder):
    with Alice(host, [bridge(), "null"], folder, name="alice") as v, \
            Alice(host, [bridge(), "null"], folder, name="bob", uid=BOB) as other:
        done = run(host, "list", "--json", check=True)
        rows = {row["name"]: row for row in json.loads(done.stdout)}
        mine, = (row for row in rows.values() if row.get("holder", {}).get("pid") == v.proc.pid)
        theirs, = (row for row in rows.values() if row is not mine)
        assert mine["bridge"] == theirs["bridge"] == "br0" and mine["state"] == "up"
        assert "holder" not in theirs  # bob's descriptors are not hers to see
        # the helper, which made them, says for whom
        assert (mine["owner"]["who"], mine["owner"]["pid"]) == ("alice, vmtap", v.proc.pid)
        assert (theirs["owner"]["who"], theirs["owner"]["pid"]) == ("bob, vmtap", other.proc.pid)
        assert mine["owner"]["state"] == theirs["owner"]["state"] == "alive"
        assert re.search(r"^tap\d+ +tap +up +br0 ", run(host, "list", check=True).stdout, re.M)
        assert "nothing to reap" in run(host, "reap", "--yes", check=True).stdout


def test_check_tells_beforehand(host):
    assert run(host, "check", bridge(), bridge("setuid", "br=br0,queues=3")).returncode == 0
    for port, says in (bridge("/nowhere/helper"), "No such file"), (bridge("/etc/passwd"), "denied"), \
            (bridge(options="br=br9"), "ip link add br9 type bridge"):
        done = run(host, "check", port)
        assert done.returncode == RESOURCE and says in done.stderr, done
    assert host.taps() == []


def test_the_doctor_finds_nothing_wrong(host):
    done = run(host, "doctor", "--json", bridge())
    assert done.returncode == 0, done
    found = json.loads(done.stdout)
    assert found and [f for f in found if f["severity"] in ("warning", "error")] == []


def test_the_doctor_gives_the_line_that_is_missing(host):
    host.write("/etc/vmtap/bridge.conf", "allow br7\n")
    done = run(host, "doctor", bridge())
    assert done.returncode != 0 and "allow br0" in done.stdout, done.stdout
    host.allow("allow br0")
    assert run(host, "doctor", bridge()).returncode == 0


# ----------------------------------------------------------- with nothing from anybody


def test_in_a_user_namespace_of_her_own_she_needs_nobody(host, folder):
    """There she is root, over its own network only."""
    done = host.run([*as_user(ALICE), "unshare", "--user", "--map-root-user", "--net", vmtap.program(),
                     "exec", "--wait", "tap,ifname=vm0,queues=2", "--", "sh", "-c",
                     "ip -o link show {ifname} && " + vmtap.program() + " list"], check=False, cwd="/")
    if "unshare" in done.stderr and "not permitted" in done.stderr:
        pytest.skip("ordinary users may not make user namespaces here")
    assert done.returncode == 0, done
    assert "vm0" in done.stdout and "vmtap" in done.stdout
