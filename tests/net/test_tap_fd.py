# SPDX-License-Identifier: MIT
"""Descriptors from elsewhere: fd=N, fds=A:B:C."""

import contextlib
import os
import re
import socket

import pytest

import tuntap
import vmtap
from peers import StreamPeer
from tuntap import IFF_MULTI_QUEUE, IFF_NO_PI, IFF_TAP, IFF_TUN, IFF_VNET_HDR, Packets, frame
from vmtap import Vmtap

USAGE, RESOURCE = 2, 3
TAP = IFF_TAP | IFF_NO_PI
QUEUE = TAP | IFF_MULTI_QUEUE


@contextlib.contextmanager
def taps(ns, *openings, up=True):
    """Descriptors of TAPs: a (name, flags) each."""
    fds = []
    try:
        for name, flags in openings:
            fds.append(tuntap.open_tap(ns, name, flags))
        if up:
            for name in {name for name, _ in openings}:
                ns.run("ip link set %s up" % name)
        yield fds
    finally:
        for fd in fds:
            os.close(fd)


def fails(ns, spec, code, *says, fds=(), command="connect"):
    args = [command, spec] + (["null"] if command == "connect" else [])
    done = vmtap.run(ns, *args, pass_fds=fds)
    assert done.returncode == code, done
    for text in says:
        assert text in done.stderr
    assert len(done.stderr.splitlines()) == 1
    return done.stderr


@pytest.mark.parametrize("flags", [TAP, TAP | IFF_VNET_HDR], ids=["plain", "vnet_hdr"])
def test_an_inherited_tap_is_used_and_its_header_probed(ns, folder, flags):
    path = os.path.join(folder, "s")
    with taps(ns, ("vm0", flags)) as (fd,):
        assert os.get_blocking(fd)
        with Vmtap(ns, ["tap,fd=%d" % fd, "stream,server=on,path=" + path], folder,
                   pass_fds=[fd]) as v, Packets(ns, "vm0") as kernel, StreamPeer(path) as vm:
            for n, size in enumerate((60, 777, 1514)):
                vm.send(frame(n, size))
                assert kernel.receive() == frame(n, size)
                kernel.send(frame(n, size))
                assert vm.receive(kind=tuntap.ETH_TEST) == frame(n, size)
            assert not os.get_blocking(fd)  # the flag belongs to the open file, which is shared
            word = "with" if flags & IFF_VNET_HDR else "without"
            assert re.search("vm0, 1 queue, %s virtio-net header" % word, v.output())
            assert "fd=%d" % fd in v.output()
        assert v.status == 0
        assert tuntap.flags(fd)[1] == "vm0"  # ours is open still


def test_inherited_queues_are_used(ns, folder):
    """Frames of many flows come out of both queues."""
    path = os.path.join(folder, "s")
    flags = QUEUE | IFF_VNET_HDR
    with taps(ns, ("vm0", flags), ("vm0", flags), ("vm0", flags)) as fds, \
            Vmtap(ns, ["tap,fds=" + ":".join(map(str, fds)), "stream,server=on,path=" + path],
                  folder, pass_fds=fds) as v, Packets(ns, "vm0") as kernel, StreamPeer(path) as vm:
        assert "vm0, 3 queues" in v.output()
        vm.send(frame(1))
        assert kernel.receive() == frame(1)
        ns.run("ip addr add 10.0.0.1/24 dev vm0; ip neigh add 10.0.0.2 lladdr 02:00:00:00:00:02 "
               "dev vm0")
        with ns.enter(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            for port in range(1000, 1100):  # the kernel chooses the queue by the flow
                sock.sendto(b"flow", ("10.0.0.2", port))
        ports = set()
        while len(ports) < 100:
            data = vm.receive(kind=0x0800)
            assert data, "only %d flows arrived" % len(ports)
            if data[23] == 17:
                ports.add(int.from_bytes(data[36:38], "big"))


@pytest.mark.parametrize("spec, command", [(s, c) for c in ("connect", "check")
                                           for s in ("tap,fd=%d", "tap,fds=%d")])
def test_what_is_no_open_descriptor_is_refused(ns, spec, command):
    fails(ns, spec % 99, RESOURCE, "tap fd=99", "it is not open", command=command)


@pytest.mark.parametrize("command", ["connect", "check"])
@pytest.mark.parametrize("path", ["/dev/null", "/etc/passwd"])
def test_what_is_no_tap_is_refused(ns, path, command):
    fd = os.open(path, os.O_RDONLY)
    try:
        fails(ns, "tap,fd=%d" % fd, USAGE, "it is no TAP", fds=[fd], command=command)
    finally:
        os.close(fd)


@pytest.mark.parametrize("command", ["connect", "check"])
def test_a_socket_is_refused(ns, command):
    fails(ns, "tap,fd=0", USAGE, "tap fd=0", "it is no TAP", command=command)


@pytest.mark.parametrize("command", ["connect", "check"])
def test_a_descriptor_without_a_device_is_refused(ns, command):
    fd = os.open("/dev/net/tun", os.O_RDWR)
    try:
        fails(ns, "tap,fd=%d" % fd, USAGE, "attached to no device", fds=[fd], command=command)
    finally:
        os.close(fd)


@pytest.mark.parametrize("command", ["connect", "check"])
@pytest.mark.parametrize("flags, says", [
    (IFF_TUN | IFF_NO_PI, "TUN device (layer 3)"),
    (IFF_TAP, "packet-information prefix"),
], ids=["layer-3", "packet-information"])
def test_another_kind_of_device_is_refused(ns, flags, says, command):
    with taps(ns, ("t0", flags)) as (fd,):
        fails(ns, "tap,fd=%d" % fd, USAGE, says, fds=[fd], command=command)


@pytest.mark.parametrize("command", ["connect", "check"])
def test_queues_of_two_devices_are_refused(ns, command):
    with taps(ns, ("vm0", QUEUE), ("vm1", QUEUE)) as fds:
        fails(ns, "tap,fds=%d:%d" % tuple(fds), USAGE, "belongs to vm1", "to vm0", fds=fds,
              command=command)


@pytest.mark.parametrize("command", ["connect", "check"])
def test_one_descriptor_twice_is_refused(ns, command):
    with taps(ns, ("vm0", QUEUE)) as (fd,):
        fails(ns, "tap,fds=%d:%d" % (fd, fd), USAGE, "%d is given twice" % fd, fds=[fd],
              command=command)


def test_a_bad_one_among_good_ones_is_named(ns):
    with taps(ns, ("vm0", QUEUE), ("vm0", QUEUE)) as fds:
        fails(ns, "tap,fds=%d:0:%d" % tuple(fds), USAGE, "tap fd=0", "it is no TAP", fds=fds)


def test_two_ports_cannot_have_one_descriptor(ns):
    with taps(ns, ("vm0", TAP)) as (fd,):
        done = vmtap.run(ns, "connect", "tap,fd=%d" % fd, "tap,fd=%d" % fd, pass_fds=[fd])
        assert done.returncode in (USAGE, RESOURCE)
        assert "another port" in done.stderr, done.stderr


@pytest.mark.parametrize("text, says", [
    ("", "empty"),
    ("3x", "is no number"),
    ("99999999999999999999", "is no number"),
    ("nobody", 'the name "nobody"'),
    ("-1", 'the name "-1"'),
])
def test_what_is_neither_number_nor_name_is_refused(ns, text, says):
    done = vmtap.run(ns, "connect", "tap,fd=" + text, "null")
    assert done.returncode in (USAGE, RESOURCE) and says in done.stderr


NOT_WITH_FD = {"ifname": "vm0", "script": "no", "downscript": "no", "vnet_hdr": "on",
               "helper": "/bin/false", "br": "br0", "queues": "1"}


@pytest.mark.parametrize("command", ["connect", "check"])
@pytest.mark.parametrize("source", ["fd", "fds"])
@pytest.mark.parametrize("key", NOT_WITH_FD)
def test_each_key_that_does_not_go_with_a_descriptor_is_named(ns, source, key, command):
    with taps(ns, ("vm0", TAP)) as (fd,):
        fails(ns, "tap,%s=%d,%s=%s" % (source, fd, key, NOT_WITH_FD[key]), USAGE,
              "%s: not together with %s=" % (key, source), fds=[fd], command=command)


@pytest.mark.parametrize("source", ["fd", "fds"])
def test_all_keys_that_do_not_go_with_a_descriptor_are_named_as_a_list(ns, source):
    with taps(ns, ("vm0", TAP)) as (fd,):
        keys = ",".join("%s=%s" % item for item in NOT_WITH_FD.items())
        said = fails(ns, "tap,%s,%s=%d" % (keys, source, fd), USAGE, "not together with", fds=[fd])
        named = re.search(r"([\w, ]+): not together with %s=" % source, said).group(1)
        assert set(named.strip().split(", ")) == set(NOT_WITH_FD)


def test_fd_and_fds_together_are_refused(ns):
    fails(ns, "tap,fd=3,fds=4:5", USAGE, "fds: not together with fd=")


def test_the_device_of_a_descriptor_is_left_as_it_is(ns, folder):
    """Who opened it has configured it: neither up nor down, no script, nothing removed."""
    with taps(ns, ("vm0", TAP), up=False) as (fd,):
        with Vmtap(ns, ["tap,fd=%d" % fd, "null"], folder, pass_fds=[fd]) as v:
            assert "UP" not in ns.links()["vm0"]["flags"]
        assert v.status == 0 and "vm0" in ns.links()
        assert "running" not in v.output()
