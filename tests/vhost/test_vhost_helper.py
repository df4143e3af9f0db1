# SPDX-License-Identifier: MIT
"""vhost-net for a user who may not open it: the bridge helper opens it, by its own right.

    alice: vmtap ── asks ── vmtap-bridge-helper: TAP on br0, descriptors of /dev/vhost-net (root's, mode 600)
"""

import contextlib
import os
import re

import pytest

import bridgehost
import vmtap
import vu
from bridgehost import ALICE, OVERRIDE, SETGID, SETUID, TEAM, as_user, shared_host  # noqa: F401 (a fixture)
from bridgehost import host as plain_host  # noqa: F401 (a fixture)
from netns import end, wait_until
from test_vhost_behind import CARRIES, WANT
from tuntap import GUEST, HOST, Packets, frame
from vmtap import Vmtap
from vu import MQ

RESOURCE = 3
NONE = "vmtap carries the frames itself"


@pytest.fixture
def host(plain_host):  # noqa: F811
    """With the real device, for root alone."""
    plain_host.sysctl("net.ipv6.conf.default.disable_ipv6", 1)
    path = plain_host.path("/dev/vhost-net")
    real = os.stat("/dev/vhost-net").st_rdev
    if os.stat(path).st_rdev != real:
        os.unlink(path)
        os.mknod(path, 0o600 | 0o020000, real)
    os.chmod(path, 0o600)
    os.chown(path, 0, 0)
    plain_host.allow("allow br0", "allow-vhost br0")
    return plain_host


def port(how, options="vhostforce=on", kind="bridge"):
    given = "bridge,helper=/etc/bin/%s" if kind == "bridge" else "tap,helper=/etc/bin/%s"
    return given % how + ",br=br0," + options


@contextlib.contextmanager
def connected(host, folder, spec, queues=1, groups=()):
    """vmtap as alice, and a front end."""
    peer = "vhost-user,id=vm,server=on,path=%s/s,queues=%d" % (folder, queues)
    with Vmtap(host, [spec, peer], folder, args=["-v"], wrap=as_user(ALICE, groups)) as v, \
            vu.Front(host, want=WANT | (MQ if queues > 1 else 0), pairs=queues) as vm:
        vm.up(folder + "/s")
        yield v, vm


def send(host, vm, queues=1):
    """A frame from each queue pair reaches the TAP."""
    tap, = host.taps()
    with Packets(host, tap) as kernel:
        for pair in range(queues):
            vm.send(frame(pair, dst=HOST, src=GUEST), queue=2 * pair + 1)
            wait_until(lambda pair=pair: kernel.receive() == frame(pair, dst=HOST, src=GUEST))


def carried(output, queues=1):
    for pair in range(queues):
        wait_until(lambda pair=pair: "%s %d" % (CARRIES, pair) in output(), what=output())


@pytest.fixture
def as_alice(monkeypatch, public_program):
    """What Vmtap runs is a copy that alice can reach."""
    monkeypatch.setenv("VMTAP_BUILD", vmtap.build())
    monkeypatch.setenv("VMTAP", public_program)
    return public_program


@pytest.mark.parametrize("how, groups", [(OVERRIDE, ()), (SETUID, ()), (SETGID, ())])
def test_an_unprivileged_vmtap_gets_vhost_net_from_the_helper(host, folder, as_alice, how, groups):
    if how == SETGID:
        os.chmod(host.path("/dev/vhost-net"), 0o660)
        os.chown(host.path("/dev/vhost-net"), 0, TEAM)
    with connected(host, folder, port(how)) as (v, vm):
        send(host, vm)
        carried(v.output)
        assert "warning" not in v.output()


@pytest.mark.parametrize("kind, queues", [("bridge", 2), ("tap", 1)])
def test_as_many_as_queues_are_handed_over(host, folder, as_alice, kind, queues):
    options = "vhost=on" + (",queues=%d" % queues if queues > 1 else "")
    with connected(host, folder, port(OVERRIDE, options, kind), queues) as (v, vm):
        send(host, vm, queues)
        carried(v.output, queues)


def test_who_may_open_it_himself_needs_no_line_in_the_list(host, folder, as_alice):
    """Nor a helper that knows of it."""
    host.allow("allow br0")
    os.chmod(host.path("/dev/vhost-net"), 0o660)
    os.chown(host.path("/dev/vhost-net"), 0, TEAM)
    with connected(host, folder, port(bridgehost.CAPS), groups=[TEAM]) as (v, vm):
        send(host, vm)
        carried(v.output)


def test_without_a_line_in_the_list_it_is_a_warning_or_an_error(host, folder, as_alice):
    host.allow("allow br0")
    with connected(host, folder, port(OVERRIDE, "vhost=on")) as (v, vm):
        assert 'the line "allow-vhost br0"' in v.output() and NONE in v.output()
        send(host, vm)
        assert CARRIES not in v.output()
    done = vmtap.run(host, "connect", port(OVERRIDE), "null", wrap=as_user(ALICE))
    assert done.returncode == RESOURCE and 'the line "allow-vhost br0"' in done.stderr, done.stderr


def test_a_helper_without_a_right_to_it_is_a_warning_or_an_error(host, folder, as_alice):
    with connected(host, folder, port(bridgehost.CAPS, "vhost=on")) as (v, vm):
        assert "/dev/vhost-net" in v.output() and NONE in v.output()
        send(host, vm)
    done = vmtap.run(host, "connect", port(bridgehost.CAPS), "null", wrap=as_user(ALICE))
    assert done.returncode == RESOURCE and "Permission denied" in done.stderr, done.stderr


def test_exec_hands_on_what_the_helper_opened(host, folder, as_alice):
    """To a process that is another owner of it than the one that asked for it."""
    command = [as_alice, "-v", "connect", "tap,id=t,fds={fds},vhostfds={vhostfds}",
               "vhost-user,server=on,path=%s/s,queues=2" % folder]
    for wait in [], ["--wait"]:
        log = os.path.join(folder, "log%d" % len(wait))
        with open(log, "wb") as out:
            proc = host.popen([*as_user(ALICE), as_alice, "exec", *wait, port(OVERRIDE, "vhost=on,queues=2"), "--",
                               *command], stdout=out, stderr=out)

        def said():
            with open(log) as f:
                return f.read()
        try:
            wait_until(lambda: os.path.exists(folder + "/s") or proc.poll() is not None)
            assert proc.poll() is None, said()
            with vu.Front(host, want=WANT | MQ, pairs=2) as vm:
                vm.up(folder + "/s")
                send(host, vm, 2)
                carried(said, 2)
        finally:
            end(proc)
        assert not re.search("warning|error", said()), said()
        wait_until(lambda: not host.taps())


def test_exec_without_a_right_to_it_says_so(host, as_alice):
    host.allow("allow br0")
    done = vmtap.run(host, "exec", port(OVERRIDE, "vhost=on"), "--", "echo", "{vhostfds}", wrap=as_user(ALICE))
    assert done.returncode == RESOURCE and done.stdout == ""
    assert 'the line "allow-vhost br0"' in done.stderr and "{vhostfds}" in done.stderr
