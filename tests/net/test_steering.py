# SPDX-License-Identifier: MIT
"""steering= of the program: where the eBPF program comes from, and what is said when it cannot be used.
On which queue frames come, and when the program goes, is in tap-steering.c."""

import json
import os

import pytest

from netns import wait_until
import vmtap
from tuntap import Packets, frame
from vmtap import Vmtap

QUEUES = 4
TAP = "tap,ifname=vm0,queues=%d,script=no,downscript=no" % QUEUES
BY_NUMBER = "byte:17"  # of tuntap.frame(): the last byte of its number


@pytest.fixture
def bpffs(ns, folder):
    """A place to pin programs, and the words in front of a command that has one there: @kind, @says."""
    ns.sysctl("net.ipv6.conf.default.disable_ipv6", 1)  # the kernel itself has nothing to say
    path = os.path.join(folder, "bpf")
    os.mkdir(path)

    def wrap(kind, says, where, user=()):
        return ["unshare", "--mount", "sh", "-c", "mount -t bpf -o mode=0711 bpf %s && exec \"$@\"" % path, "sh",
                os.path.join(vmtap.build(), "tests", "net", "steer-tool"), kind, says, where, *user]
    probe = ns.run(wrap("filter", "const:0", "9") + ["true"], check=False)
    if probe.returncode:
        pytest.skip("no program may be loaded here: " + probe.stderr)
    wrap.path = os.path.join(path, "prog")
    return wrap


def by_queue(ns):
    """Packets that the kernel handed to each queue."""
    qdiscs = json.loads(ns.run("tc -s -j qdisc show dev vm0").stdout)
    return [q["packets"] for q in sorted(qdiscs, key=lambda q: q.get("parent", "")) if q["kind"] != "mq"]


def send(ns, numbers):
    """Where frames with these numbers were queued."""
    with Packets(ns, "vm0") as kernel:
        before = by_queue(ns)
        for n in numbers:
            kernel.send(frame(n))
        wait_until(lambda: sum(by_queue(ns)) - sum(before) == len(numbers))
        return [b - a for a, b in zip(before, by_queue(ns))]


@pytest.mark.parametrize("where", ["path", "9"])
def test_a_program_is_pinned_or_inherited(ns, folder, bpffs, where):
    where = bpffs.path if where == "path" else where
    with Vmtap(ns, [TAP + ",steering=" + where, "null"], folder,
               wrap=bpffs("filter", BY_NUMBER, where)) as v:
        assert send(ns, [2] * 5 + [3] * 2 + [4] * 3) == [3, 0, 5, 2]
    assert v.status == 0


def test_check_finds_the_program_and_makes_nothing(ns, bpffs):
    for where in bpffs.path, "9":
        done = vmtap.run(ns, "check", TAP + ",steering=" + where, wrap=bpffs("filter", "const:1", where))
        assert done.returncode == 0, done.stderr
    assert "vm0" not in ns.links()


@pytest.mark.parametrize("command", ["connect", "check"])
@pytest.mark.parametrize("kind, steering, why, remedy", [
    ("filter", "{dir}/nothing", "No such file or directory", "bpftool prog load"),
    ("filter", "/etc/passwd", "not in bpffs", "pin a socket filter in bpffs"),
    ("xdp", "{path}", "a program of type 6, and a socket filter (type 1) is needed", "type socket"),
    ("filter", "0", "is no eBPF program", "type socket"),
    ("filter", "77", "is not open", ""),
    ("filter", "somebody", "no descriptor was given the name", "inherited descriptor"),
])
def test_what_cannot_be_used_is_explained(ns, bpffs, command, kind, steering, why, remedy):
    port = TAP + ",steering=" + steering.format(path=bpffs.path, dir=os.path.dirname(bpffs.path))
    done = vmtap.run(ns, command, port, *(["null"] if command == "connect" else []),
                     wrap=bpffs(kind, "const:2", bpffs.path))
    assert done.returncode != 0
    assert why in done.stderr and remedy in done.stderr
    assert "vm0" not in ns.links()


@pytest.mark.parametrize("command", ["connect", "check"])
def test_one_queue_has_nothing_to_steer(ns, command):
    port = "tap,ifname=vm0,script=no,downscript=no,steering=/sys/fs/bpf/prog"
    done = vmtap.run(ns, command, port, *(["null"] if command == "connect" else []))
    assert done.returncode != 0
    assert "nothing to choose with one queue" in done.stderr and "queues=2" in done.stderr


def test_an_inherited_tap_with_one_queue_is_refused(ns, folder, bpffs):
    ns.run("ip tuntap add vm0 mode tap")
    inner = vmtap.run(ns, "exec", "tap,ifname=vm0,script=no,downscript=no", "--", vmtap.program(), "connect",
                      "tap,fd={fd},steering=9", "null", wrap=bpffs("filter", "const:0", "9"))
    assert inner.returncode != 0
    assert "it has a single queue" in inner.stderr


def without_privilege(ns, bpffs, program, mode):
    ns.run("ip tuntap add vm0 mode tap multi_queue user 4711")
    user = ["sh", "-c", "chmod %s %s && exec \"$@\"" % (mode, bpffs.path), "sh",
            "setpriv", "--reuid=4711", "--regid=4711", "--clear-groups"]
    return ns.run([*bpffs("filter", "const:0", bpffs.path, user), program, "check",
                   TAP + ",steering=" + bpffs.path], check=False)


def test_a_program_that_may_not_be_read_is_explained(ns, bpffs, public_program):
    done = without_privilege(ns, bpffs, public_program, "600")
    assert done.returncode != 0
    assert "Permission denied" in done.stderr and "let this user read it" in done.stderr


def test_a_program_that_may_be_read_takes_no_privilege(ns, bpffs, public_program):
    done = without_privilege(ns, bpffs, public_program, "444")
    if "CAP_BPF" in done.stderr:
        pytest.skip("this kernel lets nobody without CAP_BPF use bpf(2)")
    assert done.returncode == 0, done.stderr


def test_exec_hands_over_a_tap_that_is_steered(ns, bpffs):
    script = ("import sys, select; fds = [int(f) for f in sys.argv[1].split(':')];"
              "import socket; s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW);"
              "s.bind(('vm0', 0));"
              "s.send(bytes([2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x88, 0xb5, 0, 0, 0, 2]) + bytes(50));"
              "print(fds.index(select.select(fds, [], [], 10)[0][0]))")
    done = vmtap.run(ns, "exec", TAP + ",steering=9", "--", "/usr/bin/python3", "-c", script, "{fds}",
                     wrap=bpffs("filter", BY_NUMBER, "9"))
    assert done.stdout == "2\n", done.stderr
