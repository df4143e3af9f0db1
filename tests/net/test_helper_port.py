# SPDX-License-Identifier: MIT
"""helper= and the type bridge, seen from vmtap: helpers that behave, and those that do not.

The helpers themselves are in test_bridge_helper.py.
"""

import contextlib
import os
import signal
import time

import pytest

import sandbox
import vmtap
from netns import wait_until
from vmtap import TOP, Vmtap

EVIL = os.path.join(TOP, "tests", "lib", "evil-helper.py")
DEBIAN = "/usr/lib/qemu/qemu-bridge-helper"

RESOURCE, USAGE = 3, 2


def spec(what, options=""):
    return "tap,helper=%s %s%s" % (EVIL, what, options)


def fails(ns, port, code, *says):
    """With one line that says all of it, in bounded time, and no TAP is left."""
    start = time.monotonic()
    done = vmtap.run(ns, "connect", port, "null", timeout=20)
    assert done.returncode == code, done
    for text in says:
        assert text in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert time.monotonic() - start < 15
    wait_until(lambda: not [name for name in ns.links() if name.startswith("evil")])
    return done.stderr


def test_a_helper_makes_the_tap(ns, folder):
    with Vmtap(ns, [spec("good"), "null"], folder):
        assert "evil0" in ns.links()
    assert "evil0" not in ns.links()


def test_what_a_helper_says_is_a_warning(ns, folder):
    with Vmtap(ns, [spec("good_with_words"), "null"], folder) as v:
        assert "warning" in v.output() and "the bridge is nearly full" in v.output()


def test_the_type_bridge_passes_queues_name_and_address(ns, folder):
    port = "bridge,br=lan0,queues=3,ifname=vm7,mac=52:54:00:01:02:03,helper=%s say_arguments" % EVIL
    said = fails(ns, port, RESOURCE, "exit status 1")
    words = said.split("it said: ")[1].split()
    assert words[0] == "--use-vnet" and words[1].startswith("--fd=") and words[2] == "--br=lan0"
    assert {"--queues=3", "--ifname=vm7", "--mac=52:54:00:01:02:03"} <= {w.rstrip(";") for w in words}


def test_several_queues_arrive(ns, folder):
    with Vmtap(ns, ["bridge,queues=4,helper=%s good_queues" % EVIL, "null"], folder) as v:
        assert "4 queues" in v.output()


def test_the_bridge_is_br0_and_one_in_the_command_line_wins(ns):
    assert "--br=br0" in fails(ns, spec("say_arguments"), RESOURCE)
    said = fails(ns, spec("say_arguments --br=mine"), RESOURCE)
    assert "--br=mine" in said and "--br=br0" not in said


def test_a_helper_without_white_space_is_a_program(ns, folder):
    link = os.path.join(folder, "helper")
    with open(link, "w") as f:
        f.write("#!/bin/sh\nexec %s say_arguments \"$@\"\n" % EVIL)
    os.chmod(link, 0o755)
    said = fails(ns, "tap,helper=%s,br=br5" % link, RESOURCE)
    assert "--use-vnet --fd=" in said and "--br=br5" in said


@pytest.mark.parametrize("name", ["br0;touch$IFS/tmp/owned", "$(id)", "`id`", "a|b", "--help"])
def test_a_name_cannot_break_out_of_the_command_line(ns, name, folder):
    port = spec("say_arguments", ",br=" + name)
    done = vmtap.run(ns, "connect", port, "null")
    assert done.returncode in (USAGE, RESOURCE)
    if done.returncode == RESOURCE:
        assert "--br=" + name in done.stderr


@pytest.mark.parametrize("name", ["br/0", "", "a b", "x" * 16])
def test_impossible_bridge_names_reach_no_helper(ns, name):
    done = vmtap.run(ns, "connect", spec("good", ",br=" + name), "null")
    assert done.returncode == USAGE and "it said" not in done.stderr


@pytest.mark.parametrize("what, says", [
    ("nothing", "sent 0 descriptors instead of 1"),
    ("data_only", "sent 0 descriptors instead of 1"),
    ("two", "more descriptors than the 1"),
    ("one_and_one", None),
    ("hundreds", "more descriptors than the 1"),
    ("a_file", "it is no TAP"),
    ("a_tun", "no TAP"),
    ("unattached", "attached to no device"),
    ("fail_after_sending", "exit status 3; it said: something went wrong in two lines"),
    ("die_after_sending", "exit status 137"),  # as the shell puts it
])
def test_a_helper_that_misbehaves_is_refused(ns, folder, what, says):
    if says:
        fails(ns, spec(what), RESOURCE if what not in ("a_file", "a_tun", "unattached") else USAGE, says)
        return
    with Vmtap(ns, [spec(what), "null"], folder):  # the first is enough, the second is closed
        wait_until(lambda: [name for name in ns.links() if name.startswith("evil")] == ["evil0"])


@pytest.mark.parametrize("what", ["hang", "hang_after_sending"])
def test_a_helper_that_hangs_is_given_up(ns, what):
    fails(ns, spec(what, ",helper-timeout-ms=300"), RESOURCE, "did not end within 300 ms", "helper-timeout-ms")


def test_a_signal_ends_the_wait_for_a_helper(ns, folder):
    with open(os.path.join(folder, "log"), "wb") as log:
        proc = ns.popen([vmtap.program(), "connect", spec("hang_after_sending"), "null"], stderr=log)
    wait_until(lambda: "evil0" in ns.links())
    proc.send_signal(signal.SIGTERM)
    assert proc.wait(10) == 0  # ended as asked
    wait_until(lambda: "evil0" not in ns.links())


def test_a_flood_of_words_is_cut_and_cleaned(ns):
    said = fails(ns, spec("shout"), RESOURCE, "exit status 1")
    assert len(said) < 2000 and "\x1b" not in said


def test_a_child_that_a_helper_leaves_behind_does_not_hold_us_up(ns, folder):
    with Vmtap(ns, [spec("leave_a_child"), "null"], folder):
        assert "evil0" in ns.links()


@pytest.mark.parametrize("option", ["ifname=x", "script=no", "downscript=no", "vnet_hdr=on", "queues=2"])
def test_options_that_do_not_go_with_a_helper_are_named(ns, option):
    fails(ns, spec("good", "," + option), USAGE, option.partition("=")[0], "not together with helper=")


# ------------------------------------------------------------------- vhost-net by the helper

# A node that this user may not open: root is one without its power over files.
SHUT = [*sandbox.mounts("mount -t tmpfs none /dev && mkdir /dev/net && mknod -m 666 /dev/net/tun c 10 200 && "
                        "mknod -m 666 /dev/null c 1 3 && mknod -m 0 /dev/vhost-net c 10 238"),
        "setpriv", "--bounding-set=-dac_override", "--inh-caps=-dac_override"]


@pytest.mark.parametrize("port", [spec("say_arguments", ",%s"), "bridge,%%s,helper=%s say_arguments" % EVIL],
                         ids=["tap", "bridge"])
def test_a_helper_is_asked_for_vhost_net_where_the_user_may_not_open_it(ns, folder, port):
    said = vmtap.run(ns, "connect", port % "vhostforce=on", "null", wrap=SHUT).stderr
    assert " --vhost" in said.split("it said: ")[1], said
    said = vmtap.run(ns, "connect", port % "vhost=off", "null", wrap=SHUT).stderr
    assert "--vhost" not in said.split("it said: ")[1], said


def test_a_helper_is_not_asked_for_what_is_not_there(ns):
    """It could not open it either."""
    missing = [SHUT[0], *(word.replace("mknod -m 0 /dev/vhost-net c 10 238", "true") for word in SHUT[1:])]
    said = vmtap.run(ns, "connect", spec("say_arguments", ",vhost=on"), "null", wrap=missing).stderr
    assert "--vhost" not in said.split("it said: ")[1], said


@pytest.mark.parametrize("what, says", [("good_without_vhost", "no such thing"),
                                        ("good", "sent 1 descriptor instead of 2"),
                                        ("no_vhost_net", "is none of /dev/vhost-net")])
def test_a_helper_without_vhost_net_is_a_warning_or_an_error(ns, folder, what, says):
    with Vmtap(ns, [spec(what, ",vhost=on"), "null"], folder, wrap=SHUT) as v:
        assert says in v.output() and "vmtap carries the frames itself" in v.output()
        assert [name for name in ns.links() if name.startswith("evil")] == ["evil0"]
    done = vmtap.run(ns, "connect", spec(what, ",vhostforce=on"), "null", wrap=SHUT)
    assert done.returncode in (USAGE, RESOURCE) and says in done.stderr
    wait_until(lambda: not [name for name in ns.links() if name.startswith("evil")])


def test_a_helper_that_hangs_is_not_called_twice(ns):
    start = time.monotonic()
    done = vmtap.run(ns, "connect", spec("hang", ",vhost=on,helper-timeout-ms=1500"), "null", wrap=SHUT)
    assert done.returncode == RESOURCE and "did not end within 1500 ms" in done.stderr
    assert time.monotonic() - start < 2.9


def descriptors(v):
    found = []
    for fd in os.listdir("/proc/%d/fd" % v.proc.pid):
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            found.append(os.readlink("/proc/%d/fd/%s" % (v.proc.pid, fd)).partition("[")[0])
    return sorted(found)


def test_no_descriptor_stays_open(ns, folder):
    """Of the socket, the pipe and what was refused: compared with a port that needs no helper.
    Waited for, since a process says that it is ready before it has closed that socket; the one that stays asks
    for the kernel's counters."""
    with Vmtap(ns, ["tap,ifname=vm0,script=no,downscript=no", "null"], folder) as v:
        wait_until(lambda: sum("socket" in fd for fd in descriptors(v)) == 1)
        without = descriptors(v)
    for what in "good", "one_and_one", "leave_a_child":
        with Vmtap(ns, [spec(what), "null"], folder) as v:
            wait_until(lambda: descriptors(v) == without, what=str(without))


@pytest.mark.skipif(not os.path.exists(DEBIAN), reason="Debian's qemu-bridge-helper is not installed")
def test_debians_helper_makes_the_tap(ns, folder):
    """In a mount namespace with an access list of its own."""
    etc = os.path.join(folder, "etc")
    os.makedirs(os.path.join(etc, "qemu"))
    with open(os.path.join(etc, "qemu", "bridge.conf"), "w") as f:
        f.write("allow br0\n")
    os.chmod(os.path.join(etc, "qemu", "bridge.conf"), 0o644)
    ns.run("ip link add br0 type bridge && ip link set br0 up")
    wrap = sandbox.etc(etc)
    for n, port in enumerate(("tap,helper=%s" % DEBIAN, "bridge,helper=%s" % DEBIAN)):
        with Vmtap(ns, [port, "null"], folder, "v%d" % n, wrap=wrap):
            assert "master br0" in ns.run("ip -o link show tap0").stdout
        wait_until(lambda: "tap0" not in ns.links())
    done = vmtap.run(ns, "connect", "bridge,br=br1,helper=" + DEBIAN, "null", wrap=wrap)
    assert done.returncode == RESOURCE
    assert 'line "allow br1"' in done.stderr
