# SPDX-License-Identifier: MIT
"""Opening the device: names, flags, what an earlier user left behind, and every error."""

import errno
import fcntl
import json
import os
import re
import socket
import struct

import pytest

import sandbox
import tuntap
import vmtap
from netns import Failed
from peers import StreamPeer
from tuntap import IFF_MULTI_QUEUE, IFF_NO_PI, IFF_TAP, IFF_VNET_HDR, Packets, frame
from vmtap import Vmtap

NO_SCRIPT = ",script=no,downscript=no"
USAGE, RESOURCE = 2, 3


def tap(options=""):
    return "tap" + (options and "," + options) + NO_SCRIPT


def start(ns, folder, options="", **kw):
    return Vmtap(ns, [tap(options), "null"], folder, **kw)


def fails(ns, options, code, *says, program=None, wrap=(), command="connect"):
    """The port cannot be opened; nothing is left of the attempt. Returns what was said."""
    before = ns.links().keys()
    args = [command, tap(options)] + (["null"] if command == "connect" else [])
    if program:
        done = ns.run([*wrap, program, *args], check=False, cwd="/")
    else:
        done = vmtap.run(ns, *args, wrap=wrap)
    assert done.returncode == code, done
    for text in says:
        assert text in done.stderr
    assert ns.links().keys() == before
    assert len(done.stderr.splitlines()) == 1
    return done.stderr


def tun_of(ns, name):
    """What `ip -d link` says of the device."""
    return ns.links()[name]["linkinfo"]["info_data"]


# ------------------------------------------------------------------------- names


def test_creates_a_device_of_that_name_and_removes_it(ns, folder):
    with start(ns, folder, "ifname=vm0") as v:
        assert "UP" in ns.links()["vm0"]["flags"]
        assert "created vm0" in v.output()
    assert v.status == 0 and "vm0" not in ns.links()


def test_attaches_to_an_existing_device_and_leaves_it(ns, folder):
    ns.run("ip tuntap add vm0 mode tap")
    index = ns.links()["vm0"]["ifindex"]
    with start(ns, folder, "ifname=vm0") as v:
        assert "attached to vm0" in v.output()
        assert tun_of(ns, "vm0")["persist"] is True
    assert ns.links()["vm0"]["ifindex"] == index


def test_the_kernel_picks_a_name_that_is_reported(ns, folder):
    ns.run("ip tuntap add tap0 mode tap")
    with start(ns, folder) as v:
        assert "tap1" in ns.links()
        assert "created tap1" in v.output() and "ifname=tap1,script=no" in v.output()


def test_a_pattern_is_numbered(ns, folder):
    ns.run("ip tuntap add vm0 mode tap")
    with start(ns, folder, "ifname=vm%d", name="a") as a, \
            start(ns, folder, "ifname=vm%d,queues=2", name="b") as b:
        assert "created vm1" in a.output() and "created vm2" in b.output()
        assert {"vm1", "vm2"} < ns.links().keys()


# ------------------------------------------------------------------------- flags


@pytest.mark.parametrize("options, expected", [
    ("", {"vnet_hdr": True, "multi_queue": False}),
    ("queues=1", {"vnet_hdr": True, "multi_queue": False}),
    ("queues=2", {"vnet_hdr": True, "multi_queue": True, "numqueues": 2}),
    ("vnet_hdr=on", {"vnet_hdr": True, "multi_queue": False}),
    ("vnet_hdr=off", {"vnet_hdr": False, "multi_queue": False}),
    ("vnet_hdr=off,queues=2", {"vnet_hdr": False, "multi_queue": True}),
], ids=lambda v: v if isinstance(v, str) else "")
def test_flags_are_those_that_were_asked_for(ns, folder, options, expected):
    with start(ns, folder, "ifname=vm0," + options if options else "ifname=vm0"):
        data = tun_of(ns, "vm0")
        assert data["type"] == "tap" and data["pi"] is False
        assert {key: data[key] for key in expected} == expected


@pytest.mark.parametrize("vnet_hdr", ["on", "off"])
def test_an_existing_device_gets_the_header_that_was_asked_for(ns, folder, vnet_hdr):
    """Whatever its last user had."""
    os.close(tuntap.open_tap(ns, "vm0", IFF_TAP | IFF_NO_PI |
                             (0 if vnet_hdr == "on" else IFF_VNET_HDR), persist=True))
    with start(ns, folder, "ifname=vm0,vnet_hdr=" + vnet_hdr):
        assert tun_of(ns, "vm0")["vnet_hdr"] is (vnet_hdr == "on")


def test_a_single_queue_on_a_multi_queue_device_is_named(ns):
    ns.run("ip tuntap add vm0 mode tap multi_queue")
    fails(ns, "ifname=vm0", USAGE, "tap vm0", "multi-queue device and queues=1")


def test_several_queues_on_a_single_queue_device_are_named(ns):
    ns.run("ip tuntap add vm0 mode tap")
    fails(ns, "ifname=vm0,queues=2", USAGE, "tap vm0", "single-queue device and several queues")


def test_descriptors_are_nonblocking_and_close_on_exec(ns, folder):
    with start(ns, folder, "ifname=vm0,queues=2") as v:
        found = 0
        for fd in os.listdir("/proc/%d/fd" % v.proc.pid):
            try:
                with open("/proc/%d/fdinfo/%s" % (v.proc.pid, fd)) as f:
                    info = f.read()
            except FileNotFoundError:
                continue  # the one that told us that it is ready
            flags = int(re.search(r"^flags:\s*(\d+)", info, re.M).group(1), 8)
            if "iff:\tvm0" in info:
                found += 1
                assert flags & os.O_NONBLOCK
            assert int(fd) < 3 or flags & os.O_CLOEXEC, "descriptor %s stays open" % fd
        assert found == 2


# --------------------------------------------------- what an earlier user left behind


def test_leavings_of_an_earlier_user_do_no_harm(ns, folder):
    """An odd header length and offloads would garble or swell frames."""
    fd = tuntap.open_tap(ns, "vm0", IFF_TAP | IFF_NO_PI | IFF_VNET_HDR, persist=True)
    fcntl.ioctl(fd, tuntap.TUNSETVNETHDRSZ, struct.pack("i", 20))
    fcntl.ioctl(fd, tuntap.TUNSETOFFLOAD, tuntap.TUN_F_CSUM | tuntap.TUN_F_TSO4)
    fcntl.ioctl(fd, tuntap.TUNSETSNDBUF, struct.pack("i", 2048))
    os.close(fd)
    path = os.path.join(folder, "s")
    with Vmtap(ns, [tap("ifname=vm0,up=on"), "stream,server=on,path=" + path], folder), \
            Packets(ns, "vm0") as kernel, StreamPeer(path) as vm:
        vm.send(frame(1, 300))
        assert kernel.receive() == frame(1, 300)
        kernel.send(frame(2, 300))
        assert vm.receive(kind=tuntap.ETH_TEST) == frame(2, 300)
        # UDP of the kernel's own leaves its checksum to a device that takes them unfinished.
        ns.run("ip addr add 10.0.0.1/24 dev vm0 && ip neigh add 10.0.0.2 lladdr "
               "02:00:00:00:00:02 dev vm0")
        with ns.enter(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.sendto(b"complete", ("10.0.0.2", 9))
        data = vm.receive(kind=0x0800)
        assert data[42:50] == b"complete" and udp_sum(data) == 0xFFFF


def udp_sum(data):
    """Sum over the pseudo-header and the datagram; 0xffff when the checksum is right."""
    ip, udp = data[14:34], data[34:]
    words = ip[12:20] + struct.pack("!HH", 17, len(udp)) + udp + b"\0" * (len(udp) % 2)
    total = sum(struct.unpack("!%dH" % (len(words) // 2), words))
    while total >> 16:
        total = (total >> 16) + (total & 0xFFFF)
    return total


# ------------------------------------------------------------------------ errors


@pytest.mark.parametrize("command", ["connect", "check"])
def test_no_tun_device_is_explained(ns, command):
    fails(ns, "ifname=vm0", RESOURCE, "cannot open /dev/net/tun: No such file", "modprobe tun",
          wrap=sandbox.device(None), command=command)


@pytest.mark.parametrize("command", ["connect", "check"])
def test_a_tun_device_that_may_not_be_opened_is_explained(ns, public_program, command):
    fails(ns, "ifname=vm0", RESOURCE, "cannot open /dev/net/tun: Permission denied", "run as root",
          wrap=[*sandbox.device(0o600), *sandbox.user()], program=public_program, command=command)


@pytest.mark.parametrize("command", ["connect", "check"])
def test_creating_without_the_capability_is_explained(ns, public_program, command):
    fails(ns, "ifname=vm0", RESOURCE, "cannot create the device", "CAP_NET_ADMIN",
          "ip tuntap add vm0 mode tap user 65534",
          wrap=[*sandbox.device(0o666), *sandbox.user()], program=public_program, command=command)


@pytest.mark.parametrize("command", ["connect", "check"])
@pytest.mark.parametrize("whose, says", [
    ("user 0", "used by user root"),
    ("user 4711", "used by user 4711"),
    ("group 4712", "used by group 4712"),
    ("user 4711 group 4712", "used by user 4711 and group 4712"),
])
def test_somebody_elses_device_is_explained(ns, public_program, whose, says, command):
    ns.run("ip tuntap add vm0 mode tap " + whose)
    fails(ns, "ifname=vm0", RESOURCE, "tap vm0", says, "you are user 65534",
          wrap=[*sandbox.device(0o666), *sandbox.user()], program=public_program, command=command)


@pytest.mark.parametrize("whose", ["user 65534", "group 65534"])
def test_an_ordinary_user_may_use_a_device_of_theirs(ns, folder, public_program, whose,
                                                     monkeypatch):
    monkeypatch.setenv("VMTAP", public_program)
    ns.run("ip tuntap add vm0 mode tap %s && ip link set vm0 up" % whose)
    path = os.path.join(folder, "s")
    with Vmtap(ns, [tap("ifname=vm0"), "stream,server=on,path=" + path], folder,
               wrap=[*sandbox.device(0o666), *sandbox.user()]) as v, \
            Packets(ns, "vm0") as kernel, StreamPeer(path) as vm:
        vm.send(frame(1))
        assert kernel.receive() == frame(1)
        assert "CapEff:\t0000000000000000" in open("/proc/%d/status" % v.proc.pid).read()
    assert v.status == 0


@pytest.mark.parametrize("command", ["connect", "check"])
@pytest.mark.parametrize("name, says", [
    ("", "ifname"),
    ("sixteen-letters-", "has 16 characters and an interface name at most 15"),
    ("x" * 5000, "has 5000 characters"),
    ("a/b", "no '/'"),
    ("/", "no '/'"),
    (".", '"." is no name'),
    ("..", '".." is no name'),
    ("a b", "white space"),
    ("a:b", "':'"),
    ("vm%s", "%d"),
    ("vm%", "%d"),
    ("vm%d%d", "%d"),
], ids=lambda v: v[:20] or "empty")
def test_impossible_names_are_explained(ns, name, says, command):
    fails(ns, "ifname=" + name, USAGE, "tap", says, command=command)


@pytest.mark.parametrize("command", ["connect", "check"])
@pytest.mark.parametrize("make, name, says", [
    (None, "lo", "the interface lo exists and is no TAP"),
    ("ip link add v0 type veth peer v1", "v0", 'is no TAP but of kind "veth"'),
    ("ip link add br0 type bridge", "br0", 'is no TAP but of kind "bridge"'),
    ("ip tuntap add t0 mode tun", "t0", "t0 is a TUN device (layer 3)"),
], ids=["lo", "veth", "bridge", "tun"])
def test_a_name_of_no_tap_is_explained(ns, make, name, says, command):
    if make:
        ns.run(make)
    fails(ns, "ifname=" + name, USAGE, says, "choose another ifname=", command=command)


@pytest.mark.parametrize("command", ["connect", "check"])
def test_a_busy_device_is_explained(ns, command):
    fd = tuntap.open_tap(ns, "vm0")
    try:
        fails(ns, "ifname=vm0", RESOURCE, "tap vm0", "has the device open",
              command=command)
    finally:
        os.close(fd)


def test_the_queue_limit_is_explained(ns):
    flags = IFF_TAP | IFF_NO_PI | IFF_MULTI_QUEUE | tuntap.IFF_VNET_HDR
    fds = [tuntap.open_tap(ns, "vm0", flags) for _ in range(250)]
    try:
        fails(ns, "ifname=vm0,queues=10", RESOURCE, "256 queues open", "limit is 256")
    finally:
        for fd in fds:
            os.close(fd)


def test_more_queues_than_any_device_has_are_refused(ns):
    fails(ns, "ifname=vm0,queues=257", USAGE, "queues", "256")


def test_the_most_queues_work(ns, folder):
    with start(ns, folder, "ifname=vm0,queues=256"):
        assert tun_of(ns, "vm0")["numqueues"] == 256


def test_a_pattern_that_is_used_up_is_explained(ns, folder):
    """The kernel numbers a pattern until its name would be too long."""
    fails(ns, "ifname=sixteen-letter%d", USAGE, "characters")
    ns.run("; ".join("ip tuntap add fourteenletrs%d mode tap" % n for n in range(100)))
    fails(ns, "ifname=fourteenletrs%d", RESOURCE, "cannot create the device")


def test_an_error_is_json_when_asked_for(ns):
    done = vmtap.run(ns, "--log-format", "json", "connect", tap("ifname=lo"), "null")
    error = json.loads(done.stderr)
    assert error["level"] == "error" and error["object"] == "tap lo" and error["errno"] == errno.EMEDIUMTYPE
    assert error["action"] and error["reason"] and error["remedy"]


def test_failing_does_not_disturb_a_running_one(ns, folder):
    with start(ns, folder, "ifname=vm0") as v:
        for _ in range(3):
            fails(ns, "ifname=vm0", RESOURCE, "has the device open")
        assert v.proc.poll() is None and "vm0" in ns.links()


def test_wrong_ports_are_told_by_the_helper():
    """The helpers of these tests notice a program that does not become ready."""
    from netns import Netns
    with Netns() as ns, pytest.raises(Failed):
        Vmtap(ns, ["tap,ifname=lo", "null"], "/tmp", name="vmtap-never-ready")
    os.unlink("/tmp/vmtap-never-ready.log")


