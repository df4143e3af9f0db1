# SPDX-License-Identifier: MIT
"""Closing in order, what is left afterwards, and what the program says of its ports. What needs
callbacks is in tap-close.c."""

import os
import re
import threading

import pytest

import tuntap
import vmtap
from netns import wait_until
from peers import StreamPeer
from tuntap import IFF_MULTI_QUEUE, IFF_NO_PI, IFF_TAP, Packets, frame
from vmtap import Vmtap

NO = ",script=no,downscript=no"


def write_script(path, text):
    with open(path, "w") as f:
        f.write("#!/bin/sh\n" + text)
    os.chmod(path, 0o755)
    return path


def test_the_downscript_sees_the_device_attached_and_the_sockets_gone(ns, folder):
    """Ports close in the reverse order of their opening: nobody can connect any more."""
    down = write_script(folder + "/down", """
        ip -d link show $1 >%s/link
        ls %s/s >%s/socket 2>&1
        ls -l /proc/$PPID/fd >%s/fds
    """ % ((folder,) * 4))
    with Vmtap(ns, ["tap,ifname=vm0,queues=2,script=no,downscript=" + down,
                    "stream,server=on,path=%s/s" % folder], folder) as v:
        StreamPeer(folder + "/s").close()
    assert v.status == 0
    with open(folder + "/link") as f:
        assert re.search("LOWER_UP.*numqueues 2 ", f.read(), re.S)
    with open(folder + "/socket") as f:
        assert "No such file" in f.read()
    with open(folder + "/fds") as f:
        assert f.read().count("/dev/net/tun") == 2


@pytest.mark.parametrize("busy", [False, True], ids=["idle", "flooded"])
@pytest.mark.parametrize("reads", [False, True], ids=["held", "flowing"])
def test_it_ends_at_once_whatever_is_under_way(ns, folder, busy, reads):
    path = os.path.join(folder, "s")
    with Vmtap(ns, ["tap,ifname=vm0" + NO, "stream,server=on,path=" + path], folder) as v, \
            StreamPeer(path) as vm, Packets(ns, "vm0") as kernel:
        stop = threading.Event()

        def flood():
            try:
                while not stop.is_set():
                    kernel.send(frame(1, 1500))
            except OSError:
                pass  # the TAP is gone

        def drain():
            while vm.sock.recv(1 << 20):
                pass

        threads = [threading.Thread(target=f) for f, wanted in ((flood, busy), (drain, reads))
                   if wanted]
        for t in threads:
            t.start()
        try:
            for n in range(1000):
                kernel.send(frame(n, 1500))
            assert v.stop() == 0
        finally:
            stop.set()
            for t in threads:
                t.join()
    assert list(ns.links()) == ["lo"] and not os.path.exists(path)


@pytest.mark.parametrize("options, stays", [("", False), (",persist=off", False),
                                            (",persist=on", True), (",persist=on,queues=2", True)])
def test_a_device_of_ours_stays_only_when_asked_for(ns, folder, options, stays):
    with Vmtap(ns, ["tap,ifname=vm0" + NO + options, "null"], folder) as v:
        pass
    assert v.status == 0 and ("vm0" in ns.links()) is stays


@pytest.mark.parametrize("options, stays", [("", True), (",persist=on", True),
                                            (",persist=off", False)])
def test_a_device_of_others_goes_only_when_asked_for(ns, folder, options, stays):
    ns.run("ip tuntap add vm0 mode tap")
    with Vmtap(ns, ["tap,ifname=vm0" + NO + options, "null"], folder) as v:
        pass
    assert v.status == 0
    wait_until(lambda: ("vm0" in ns.links()) is stays)


def test_a_port_that_could_not_be_opened_leaves_no_persistent_device(ns, folder):
    script = write_script(folder + "/up", "exit 1")
    done = vmtap.run(ns, "connect", "tap,ifname=vm0,persist=on,script=" + script, "null")
    assert done.returncode == 3 and list(ns.links()) == ["lo"]


# ----------------------------------------------------------------- descriptions


@pytest.mark.parametrize("spec, described", [
    ("tap,ifname=vm0" + NO, "ifname=vm0,script=no,downscript=no"),
    ("tap,ifname=vm0,script={up},downscript=no", "ifname=vm0,script={up},downscript=no"),
    ("tap,ifname=vm0,script=no,downscript={up}", "ifname=vm0,script=no,downscript={up}"),
    ("tap,fd={fd}", "fd={fd},ifname=vm1"),
    ("tap,fds={fd}:{fd2}", "fds={fd}:{fd2},ifname=vm1"),
])
def test_each_port_is_described_in_one_line(ns, folder, spec, described):
    fds = [tuntap.open_tap(ns, "vm1", IFF_TAP | IFF_NO_PI | IFF_MULTI_QUEUE) for _ in range(2)]
    values = {"up": write_script(folder + "/up", ""), "fd": fds[0], "fd2": fds[1]}
    try:
        with Vmtap(ns, [spec.format(**values) + ",id=me", "null"], folder, pass_fds=fds) as v:
            assert "vmtap: me: %s\n" % described.format(**values) in v.output()
    finally:
        for fd in fds:
            os.close(fd)
