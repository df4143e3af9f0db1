# SPDX-License-Identifier: MIT
"""vmtap list and vmtap reap: which TAPs there are, whose they are, and which nobody needs."""

import fcntl
import json
import os
import re
import signal
import struct
import subprocess
import threading
import time

import pytest

import sandbox
import tuntap
import vmtap
from netns import Netns, end, wait_until
from peers import StreamPeer
from tuntap import IFF_MULTI_QUEUE, IFF_NO_PI, IFF_TAP, IFF_VNET_HDR, Packets, frame
from vmtap import Vmtap, line

RESOURCE, USAGE = 3, 2
NO = ",script=no,downscript=no"
TUNSETCARRIER, TUNSETQUEUE = 0x400454E2, 0x400454D9
IFF_DETACH_QUEUE = 0x0400
TAG = re.compile(r"vmtap: user=root program=vmtap pid=(\d+) start=(\d+) ns=(\d+) since=(\d+)")


@pytest.fixture(autouse=True)
def quiet(request):
    """No frame of the kernel's own in the counters."""
    if "ns" in request.fixturenames:
        request.getfixturevalue("ns").sysctl("net.ipv6.conf.default.disable_ipv6", 1)


def start(ns, folder, options, **kw):
    return Vmtap(ns, ["tap," + options + NO, "null"], folder, **kw)


def listed(ns, **kw):
    """The rows of vmtap list --json by name."""
    done = vmtap.run(ns, "list", "--json", **kw)
    assert done.returncode == 0 and done.stderr == "", done
    return {row["name"]: row for row in json.loads(done.stdout)}


def table(ns):
    """The rows of vmtap list, as a list of cells each; without the heading."""
    lines = vmtap.run(ns, "list", check=True).stdout.splitlines()
    assert lines[0].split() == "NAME KIND STATE BRIDGE QUEUES MTU FROM GUEST TO GUEST DROPS " \
        "OPEN IN OWNER".split()
    return [line.split() for line in lines[1:]]


def reap(ns, *args, code=0, **kw):
    done = vmtap.run(ns, "reap", *args, **kw)
    assert done.returncode == code, done
    return done.stdout


def start_of(pid):
    with open("/proc/%d/stat" % pid) as f:
        return int(f.read().rsplit(") ", 1)[1].split()[19])


def pid_namespace():
    return os.stat("/proc/self/ns/pid").st_ino


def tag(pid=None, start=None, ns=None, who="user=root program=vmtap", since=1795000000):
    pid = os.getpid() if pid is None else pid
    return "vmtap: %s pid=%s start=%s ns=%s since=%s" % (
        who, pid, start_of(pid) if start is None else start, ns or pid_namespace(), since)


def tagged(ns, name, alias, options=""):
    """A TAP that nobody has open, with that alias."""
    ns.run("ip tuntap add %s mode tap %s" % (name, options))
    with ns.enter(), open("/proc/self/mounts"):
        subprocess.run(["ip", "link", "set", "dev", name, "alias", alias], check=True)


def alias(ns, name):
    return ns.links()[name].get("ifalias")


# ------------------------------------------------------------------------------ list


def test_a_host_without_any_says_so(ns):
    ns.run("ip link add v0 type veth peer v1; ip tuntap add t0 mode tun")
    assert vmtap.run(ns, "list", check=True).stdout == \
        "no TAP or macvtap in this network namespace\n"
    assert json.loads(vmtap.run(ns, "list", "--json", check=True).stdout) == []
    assert "nothing to reap" in reap(ns) and json.loads(reap(ns, "--json")) == []


@pytest.mark.parametrize("command", ["list", "reap"])
def test_an_argument_is_a_mistake(ns, command):
    done = vmtap.run(ns, command, "vm0")
    assert done.returncode == USAGE and "takes no argument" in done.stderr


def test_every_field_of_a_tap_is_shown(ns, folder):
    ns.run("ip link add br0 type bridge mcast_snooping 0 && ip link set br0 mtu 1400 up")
    before = int(time.time())
    with start(ns, folder, "ifname=vm0,br=br0,queues=3,owner=4711,group=4712,persist=on") as v:
        row = listed(ns)["vm0"]
        link = ns.links()["vm0"]
        assert before <= row["owner"].pop("since") <= time.time()
        assert row == {
            "name": "vm0", "kind": "tap", "state": "up", "bridge": "br0", "persist": True,
            "multi_queue": True, "queues": 3, "detached_queues": 0, "mtu": 1400,
            "mac": link["address"], "uid": 4711, "gid": 4712,
            "rx": {"frames": 0, "bytes": 0, "drops": 0},
            "tx": {"frames": 0, "bytes": 0, "drops": 0},
            "owner": {"who": "root, vmtap", "state": "alive", "pid": v.proc.pid},
            "holder": {"program": "vmtap", "pid": v.proc.pid},
        }
        cells, = table(ns)
        assert cells[:11] == ["vm0", "tap", "up", "br0", "3", "1400", "0", "0", "0", "vmtap",
                              str(v.proc.pid)]
        assert cells[11:14] == ["root,", "vmtap", str(v.proc.pid)] and "(" not in cells[-1]


def test_what_nobody_made_or_has_open_is_shown_as_such(ns):
    ns.run("ip tuntap add vm0 mode tap")
    row = listed(ns)["vm0"]
    for key in "owner", "holder", "uid", "gid":
        assert key not in row
    assert (row["queues"], row["state"], row["persist"], row["bridge"]) == (0, "down", True, "")
    cells, = table(ns)
    assert cells == ["vm0", "tap", "down", "-", "0", "1500", "0", "0", "0", "-", "-"]


def test_states_are_told_apart(ns):
    fd = tuntap.open_tap(ns, "vm0", persist=True)
    try:
        assert listed(ns)["vm0"]["state"] == "down"
        ns.run("ip link set vm0 up")
        assert listed(ns)["vm0"]["state"] == "up"
        fcntl.ioctl(fd, TUNSETCARRIER, struct.pack("i", 0))
        assert listed(ns)["vm0"]["state"] == "no-carrier"
    finally:
        os.close(fd)
    assert listed(ns)["vm0"]["state"] == "no-carrier"


def test_detached_queues_are_counted_apart(ns):
    fds = [tuntap.open_tap(ns, "vm0", IFF_TAP | IFF_NO_PI | IFF_MULTI_QUEUE) for _ in range(3)]
    try:
        fcntl.ioctl(fds[1], TUNSETQUEUE, struct.pack("16sH22x", b"", IFF_DETACH_QUEUE))
        row = listed(ns)["vm0"]
        assert (row["queues"], row["detached_queues"]) == (2, 1)
    finally:
        for fd in fds:
            os.close(fd)


@pytest.mark.parametrize("kind", ["tap", "macvtap"])
def test_counters_are_seen_from_the_guest(ns, folder, kind):
    """Rx came from it, and tx went to it; the kernel's names differ between the kinds."""
    ns.run("ip link add v0 type veth peer v1; ip link set v0 up; ip link set v1 up")
    path = os.path.join(folder, "s")
    port = "tap,ifname=vm0" + NO if kind == "tap" else "macvtap,ifname=vm0,parent=v0"
    with Vmtap(ns, [port, "stream,server=on,path=" + path], folder), StreamPeer(path) as vm, \
            Packets(ns, "vm0" if kind == "tap" else "v1") as outside:
        mac = bytes.fromhex(ns.links()["vm0"]["address"].replace(":", ""))
        for n in range(3):
            vm.send(frame(n, 100, dst=b"\xff" * 6, src=mac))
            assert outside.receive()
        for n in range(5):
            outside.send(frame(n, 200, dst=mac))
            assert vm.receive(kind=tuntap.ETH_TEST)
        row = listed(ns)["vm0"]
        assert (row["rx"]["frames"], row["tx"]["frames"]) == (3, 5)
        assert row["rx"]["bytes"] in (300, 300 - 3 * 14)  # a TAP counts without Ethernet's header
        assert row["tx"]["bytes"] in (1000, 1000 - 5 * 14)
        cells, = table(ns)
        assert cells[6:9] == ["3", "5", "0"]


def test_drops_are_counted(ns):
    fd = tuntap.open_tap(ns, "vm0")
    try:
        ns.run("ip link set vm0 txqueuelen 10 up")
        with Packets(ns, "vm0") as kernel:
            for n in range(50):
                kernel.send(frame(n))
        row = listed(ns)["vm0"]
        assert row["tx"]["drops"] == ns.links()["vm0"]["stats64"]["tx"]["dropped"] > 10
        assert table(ns)[0][8] == str(row["tx"]["drops"])
    finally:
        os.close(fd)


def test_every_field_of_a_macvtap_is_shown(ns, folder):
    ns.run("ip link add v0 type veth peer v1; ip link set v0 up; ip link set v1 up")
    with Vmtap(ns, ["macvtap,parent=v0,ifname=vm0,queues=2", "null"], folder) as v:
        row = listed(ns)["vm0"]
        expected = {"kind": "macvtap", "state": "up", "bridge": "v0", "persist": True, "queues": 2,
                    "mtu": 1500, "mac": ns.links()["vm0"]["address"],
                    "holder": {"program": "vmtap", "pid": v.proc.pid}}
        assert {key: row[key] for key in expected} == expected
        assert row["owner"]["state"] == "alive" and row["owner"]["pid"] == v.proc.pid
        assert "uid" not in row and "gid" not in row
        assert table(ns)[0][:6] == ["vm0", "macvtap", "up", "v0", "2", "1500"]


def many(ns, cnt):
    lines = "".join("tuntap add t%d mode tap\n" % i for i in range(1, cnt + 1))
    ns.run(["ip", "-batch", "-"], input=lines, timeout=300)


def test_many_are_listed(ns):
    many(ns, 200)
    assert len(listed(ns)) == 200


def test_interfaces_that_come_and_go_meanwhile_do_no_harm(ns):
    """The kernel says that its list is of no moment in particular; it is asked again."""
    many(ns, 100)
    busy = ns.popen("trap exit TERM; while :; do ip link add x0 type bridge; ip link del x0; done",
                    stderr=subprocess.DEVNULL)
    try:
        for _ in range(30):
            assert set(listed(ns)) == {"t%d" % i for i in range(1, 101)}
    finally:
        end(busy)


@pytest.mark.parametrize("name", [b"\x1b[31mred", b"a\x7fb", b"\xff\xfe", b"caf\xc3\xa9", b'"\\x'])
def test_any_name_is_listed_and_none_reaches_the_terminal_raw(ns, name):
    os.close(tuntap.open_tap(ns, name.decode("latin-1"), persist=True) if name.isascii() else
             open_raw(ns, name))
    done = vmtap.run(ns, "list", "--json", check=True)
    row, = json.loads(done.stdout)
    assert row["name"].encode() == name or b"\xff" in name
    out = vmtap.run(ns, "list", check=True).stdout
    assert out.replace("\n", "").isprintable() and out.isascii()


def open_raw(ns, name):
    with ns.enter():
        fd = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
    fcntl.ioctl(fd, tuntap.TUNSETIFF, struct.pack("16sH22x", name, IFF_TAP | IFF_NO_PI))
    fcntl.ioctl(fd, tuntap.TUNSETPERSIST, 1)
    return fd


def test_the_holder_of_one_of_the_same_name_elsewhere_is_not_ours(ns, folder):
    """A namespace may have a vm0 of its own."""
    with Netns() as other, start(other, folder, "ifname=vm0"):
        ns.run("ip tuntap add vm0 mode tap")
        assert "holder" not in listed(ns)["vm0"]
        assert "holder" in listed(other)["vm0"]
        fd = tuntap.open_tap(ns, "vm0")
        try:
            assert listed(ns)["vm0"]["holder"]["pid"] == os.getpid()
        finally:
            os.close(fd)


def test_an_ordinary_user_may_look(ns, folder, public_program):
    with start(ns, folder, "ifname=vm0") as v:
        done = ns.run([*sandbox.user(), public_program, "list", "--json"], cwd="/")
        row, = json.loads(done.stdout)
        assert row["owner"]["pid"] == v.proc.pid and row["owner"]["state"] == "alive"
        assert "holder" not in row  # root's descriptors are root's business


# ------------------------------------------------------------------------------- tags


@pytest.mark.parametrize("port", ["tap,ifname=vm0", "tap,ifname=vm0,queues=2", "tap,ifname=vm%d",
                                  "tap,ifname=vm0,persist=on", "macvtap,ifname=vm0,parent=v0"])
def test_what_vmtap_makes_is_tagged(ns, folder, port):
    ns.run("ip link add v0 type veth peer v1")
    before = int(time.time())
    with Vmtap(ns, [port + (NO if port[0] == "t" else ""), "null"], folder) as v:
        match = TAG.fullmatch(alias(ns, "vm0"))
        assert match, alias(ns, "vm0")
        pid, started, namespace, since = map(int, match.groups())
        assert (pid, started, namespace) == (v.proc.pid, start_of(v.proc.pid), pid_namespace())
        assert before <= since <= time.time()


@pytest.mark.parametrize("text", [None, "the guest of bob", "vmtap", "vmtap: mine, hands off"])
def test_what_an_administrator_made_is_left_alone(ns, folder, text):
    ns.run("ip tuntap add vm0 mode tap && ip link set vm0 up")
    if text:
        ns.run(["ip", "link", "set", "dev", "vm0", "alias", text])
    before = ns.settings("vm0")
    with start(ns, folder, "ifname=vm0"):
        assert alias(ns, "vm0") == text and "owner" not in listed(ns)["vm0"]
    assert ns.settings("vm0").replace("vnet_hdr on", "vnet_hdr off") == before
    assert "nothing to reap" in reap(ns, "--yes") and "vm0" in ns.links()


def test_the_users_and_the_programs_name_stand_in_the_tag(ns, folder):
    """Whatever they are, the tag stays one: the program calls itself what it likes."""
    path = os.path.join(folder, "a =\n\x1b[1m~")
    os.symlink(vmtap.program(), path)
    user = ["setpriv", "--reuid=4711", "--inh-caps=+net_admin", "--ambient-caps=+net_admin"]
    child = ns.popen([*sandbox.device(0o666), *user, path, "exec", "tap,ifname=vm0" + NO, "--", "sh", "-c",
                      "echo; read line"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                     env={**os.environ, "LD_LIBRARY_PATH": vmtap.build()}, bufsize=0)
    assert line(child) == ""
    row = listed(ns)["vm0"]
    assert row["owner"] == {**row["owner"], "who": "4711, a_=__[1m~", "state": "alive",
                            "pid": child.pid}
    child.stdin.close()


def test_an_owner_that_was_not_waited_for_is_gone(ns, folder):
    """A zombie has no descriptors; that its parent does not look is no reason to keep the TAP."""
    with start(ns, folder, "ifname=vm0,persist=on") as v:
        os.kill(v.proc.pid, signal.SIGKILL)
        wait_until(lambda: " Z " in open("/proc/%d/stat" % v.proc.pid).read())
        assert listed(ns)["vm0"]["owner"]["state"] == "gone"


# ------------------------------------------------------------------------------- reap


def leak(ns, folder, options="ifname=vm0,persist=on"):
    with start(ns, folder, options, name="leaky") as v:
        v.stop(signal.SIGKILL)
    return v.proc.pid


@pytest.mark.parametrize("options", ["ifname=vm0,persist=on", "ifname=vm0,persist=on,queues=2",
                                     "ifname=vm0,persist=on,vnet_hdr=off", "ifname=vm0,persist=on,br=br0"])
def test_what_a_killed_one_left_is_removed_when_that_is_said(ns, folder, options):
    ns.run("ip link add br0 type bridge; ip tuntap add mine mode tap")
    pid = leak(ns, folder, options)
    for _ in range(2):
        out = reap(ns)
        assert re.fullmatch(r"would remove vm0: owner root, vmtap %d since .* \(gone\)\n"
                            r"nothing was removed; vmtap reap --yes does it\n" % pid, out), out
        row, = json.loads(reap(ns, "--json"))
        assert row["name"] == "vm0" and row["owner"]["state"] == "gone"
        assert "vm0" in ns.links()
    assert re.fullmatch(r"removing vm0: owner root, vmtap %d .*\n" % pid, reap(ns, "--yes"))
    assert "vm0" not in ns.links() and "mine" in ns.links()
    assert "nothing to reap" in reap(ns, "-y")


def test_all_of_several_are_removed(ns, folder):
    for n in range(5):
        leak(ns, folder, "ifname=vm%d,persist=on")
    rows = json.loads(reap(ns, "--yes", "--json"))
    assert [row["name"] for row in rows] == ["vm%d" % n for n in range(5)]
    assert ns.links().keys() == {"lo"}


def test_one_whose_owner_lives_stays(ns):
    """Though nobody has it open."""
    tagged(ns, "vm0", tag())
    assert listed(ns)["vm0"]["owner"]["state"] == "alive"
    assert "nothing to reap" in reap(ns, "--yes") and "vm0" in ns.links()


def test_a_process_id_that_is_used_again_is_no_owner(ns):
    tagged(ns, "vm0", tag(start=start_of(os.getpid()) + 1))
    assert listed(ns)["vm0"]["owner"]["state"] == "gone"
    assert "removing vm0" in reap(ns, "--yes") and "vm0" not in ns.links()


@pytest.mark.parametrize("flags", [0, IFF_MULTI_QUEUE, IFF_VNET_HDR, IFF_MULTI_QUEUE | IFF_VNET_HDR],
                         ids=["single", "multi", "header", "multi-header"])
@pytest.mark.parametrize("carrier", [1, 0])
def test_one_that_somebody_has_open_stays(ns, flags, carrier):
    """Also when they took its carrier away."""
    tagged(ns, "vm0", tag(start=1), "multi_queue" if flags & IFF_MULTI_QUEUE else "")
    fd = tuntap.open_tap(ns, "vm0", IFF_TAP | IFF_NO_PI | flags)
    try:
        fcntl.ioctl(fd, TUNSETCARRIER, struct.pack("i", carrier))
        assert listed(ns)["vm0"]["owner"]["state"] == "gone"
        assert "nothing to reap" in reap(ns, "--yes") and "vm0" in ns.links()
    finally:
        os.close(fd)
    assert "removing vm0" in reap(ns, "--yes") and "vm0" not in ns.links()


def test_one_whose_only_queue_is_detached_stays(ns):
    tagged(ns, "vm0", tag(start=1), "multi_queue")
    fd = tuntap.open_tap(ns, "vm0", IFF_TAP | IFF_NO_PI | IFF_MULTI_QUEUE)
    try:
        fcntl.ioctl(fd, TUNSETQUEUE, struct.pack("16sH22x", b"", IFF_DETACH_QUEUE))
        assert "nothing to reap" in reap(ns, "--yes") and "vm0" in ns.links()
    finally:
        os.close(fd)
    assert "removing vm0" in reap(ns, "--yes")


def test_one_that_is_open_where_we_may_not_look_stays(ns):
    """The kernel is asked: it lets nobody attach to a device that is in use."""
    tagged(ns, "vm0", tag(start=1))
    fd = tuntap.open_tap(ns, "vm0")
    try:
        fcntl.ioctl(fd, TUNSETCARRIER, struct.pack("i", 0))
        done = vmtap.run(ns, "reap", "--yes", wrap=["setpriv", "--bounding-set=-sys_ptrace"])
        assert "vm0" in ns.links()
        if "nothing to reap" not in done.stdout:  # it could not see us
            assert done.returncode == RESOURCE and "has it open" in done.stderr
        else:
            pytest.fail("the test hides nothing: " + done.stdout)
    finally:
        os.close(fd)


def test_one_of_another_pid_namespace_stays(ns, folder):
    """Its process's number means nothing here."""
    inner = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc", "--propagation", "private"]
    done = vmtap.run(ns, "exec", "tap,ifname=vm0,persist=on" + NO, "--", "true", wrap=inner)
    assert done.returncode == 0
    row = listed(ns)["vm0"]
    assert row["owner"]["state"] == "unknown" and row["owner"]["pid"] < 10
    assert "(unknown)" in vmtap.run(ns, "list").stdout
    assert "nothing to reap" in reap(ns, "--yes") and "vm0" in ns.links()
    # and the other way round; vm0's namespace has ended, and another one may have its number now
    tagged(ns, "vm1", tag(start=1))
    done = vmtap.run(ns, "reap", "--yes", wrap=inner)
    assert "vm1" not in done.stdout and "vm1" in ns.links()


def test_where_proc_is_of_another_pid_namespace_nobody_is_taken_for_gone(ns):
    tagged(ns, "vm0", tag(start=1))
    inner = ["unshare", "--pid", "--fork", "--kill-child"]
    done = vmtap.run(ns, "reap", "--yes", wrap=inner)
    assert "nothing to reap" in done.stdout and "vm0" in ns.links()
    # what is made there is tagged, and is not to be reaped from there
    script = "%s exec %s -- true; %s reap --yes" % (vmtap.program(), "tap,ifname=vm1,persist=on" + NO,
                                                    vmtap.program())
    assert "nothing to reap" in ns.run([*inner, "sh", "-c", script]).stdout
    assert "vm1" in ns.links()


def test_without_proc_nobody_is_taken_for_gone(ns):
    with open(os.path.join(vmtap.build(), "libvmtap.so"), "rb") as f:
        if b"__asan_init" in f.read():
            pytest.skip("a sanitizer's leak checker needs /proc, even to read its options")
    tagged(ns, "vm0", tag(start=1))
    kw = {"wrap": sandbox.mounts("mount -t tmpfs none /proc"),
          # $ORIGIN needs /proc, and so does the search for leaks
          "env": {**os.environ, "LD_LIBRARY_PATH": vmtap.build(), "ASAN_OPTIONS": "detect_leaks=0"}}
    assert listed(ns, **kw)["vm0"]["owner"]["state"] == "unknown"
    assert "nothing to reap" in reap(ns, "--yes", **kw) and "vm0" in ns.links()


def test_an_ordinary_user_removes_nothing(ns, folder, public_program):
    leak(ns, folder)
    wrap = [*sandbox.device(0o666), *sandbox.user()]
    done = ns.run([*wrap, public_program, "reap", "--yes"], check=False, cwd="/")
    assert done.returncode == RESOURCE and "cannot remove the interface" in done.stderr
    assert "run as root" in done.stderr and "vm0" in ns.links()


def test_what_cannot_be_removed_does_not_keep_the_others(ns, folder):
    """Here, a single-queue device that somebody attaches to, out of sight."""
    for n in range(3):
        tagged(ns, "vm%d" % n, tag(start=1))
    fd = tuntap.open_tap(ns, "vm1")
    try:
        fcntl.ioctl(fd, TUNSETCARRIER, struct.pack("i", 0))
        done = vmtap.run(ns, "reap", "--yes", wrap=["setpriv", "--bounding-set=-sys_ptrace"])
        assert done.returncode == RESOURCE and "vm1: cannot remove" in done.stderr
        assert ns.links().keys() == {"lo", "vm1"}
    finally:
        os.close(fd)


def test_reaping_where_there_is_no_tun_device_is_explained(ns, folder):
    leak(ns, folder)
    done = vmtap.run(ns, "reap", "--yes", wrap=sandbox.device(None))
    assert done.returncode == RESOURCE and "cannot remove the interface" in done.stderr
    assert "vm0" in ns.links()


# -------------------------------------------------------------------- forged, and hostile

HUGE = "9" * 40
HOSTILE = [
    "vmtap: ", "vmtap:", "vmtap: pid=1", tag(start=1)[:60], tag(start=1).replace("pid", "user=x pid"),
    tag(start=1, who="program=vmtap user=root"), tag(start=1, who="user=root"), tag(start=1, who=""),
    "vmtap: " + "x" * 248, "vmtap: " + "pid=1 " * 41,
    tag(pid=0, start=1), tag(pid=-1, start=1), tag(pid=HUGE, start=1), tag(pid=2**31, start=1),
    tag(pid=2**32 + 1, start=1), tag(pid="1e3", start=1), tag(pid=" 1", start=1),
    tag(pid="0x1", start=1), tag(start=HUGE), tag(start=-1), tag(start="1x"), tag(ns=HUGE),
    tag(start=2**64), tag(since=HUGE), tag(since=-1), tag(since=2**63), tag(start=0),
    tag(start=1)[:-len("1795000000")], tag(start=1).replace(" ", "  "), tag(start=1).replace(" ", "\t"),
    tag(start=1).replace("vmtap: ", "Vmtap: "), " " + tag(start=1), tag(start=1).replace("=", " = "),
    tag(ns=1), "vmtap: user=\x1b[2J program=\x07 pid=x", "vmtap: %s%n%n%n", "\xff" * 100,
]


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_a_forged_tag_that_names_nobody_is_harmless(ns, text):
    tagged(ns, "vm0", text)
    owner = listed(ns)["vm0"].get("owner", {"state": "none"})
    assert owner["state"] in ("none", "unknown")
    assert vmtap.run(ns, "list", check=True).stdout.replace("\n", "").isprintable()
    assert "nothing to reap" in reap(ns, "--yes")
    assert "vm0" in listed(ns)  # ip -j does not stand control characters


@pytest.mark.parametrize("who, shown", [
    ("user=\x1b[2J program=\x07\x07", "?[2J, ??"),
    ("user=%s%n program=%d", "%s%n, %d"),
    ("user=" + "u" * 60 + " program=" + "p" * 60, "u" * 29 + ", " + "p" * 25),
    ("user= program=", ", "),
    ("user=\u202egnp program=x", "???gnp, x"),
    ('user="}, program=\\', '"},, \\'),
])
def test_what_a_tag_says_is_shown_harmlessly(ns, folder, who, shown):
    tagged(ns, "vm0", tag(who=who))
    assert listed(ns)["vm0"]["owner"]["who"] == shown
    out = vmtap.run(ns, "list", check=True).stdout
    assert shown in out and out.replace("\n", "").isprintable()


@pytest.mark.parametrize("since", [0, 2**31, 2**40, 2**62, 2**63 - 1])
def test_any_time_is_shown(ns, since):
    tagged(ns, "vm0", tag(since=since))
    assert listed(ns)["vm0"]["owner"]["since"] == since
    assert "since " in vmtap.run(ns, "list", check=True).stdout


# ---------------------------------------------------------------------------- taking over


@pytest.mark.parametrize("options", ["", ",queues=2", ",br=br0"])
def test_a_restart_takes_over_what_a_killed_one_left(ns, folder, options):
    ns.run("ip link add br0 type bridge && ip link set br0 up")
    options = "ifname=vm0,persist=on" + options
    pid = leak(ns, folder, options)
    index = ns.links()["vm0"]["ifindex"]
    with start(ns, folder, options) as v:
        assert "vm0 was left behind by root, vmtap, process %d, and is taken over" % pid in v.output()
        row = listed(ns)["vm0"]
        assert (row["owner"]["pid"], row["owner"]["state"]) == (v.proc.pid, "alive")
        assert row["state"] == "up" and ns.links()["vm0"]["ifindex"] == index
        assert "nothing to reap" in reap(ns, "--yes")
    assert v.status == 0 and "vm0" in ns.links()


def test_one_without_persist_goes_with_its_process(ns, folder):
    with start(ns, folder, "ifname=vm0") as v:
        v.stop(signal.SIGKILL)
    wait_until(lambda: "vm0" not in ns.links())
    with start(ns, folder, "ifname=vm0", name="again") as v:
        assert "created vm0" in v.output()


def test_a_second_user_of_a_living_owners_does_not_take_its_tag(ns, folder):
    with start(ns, folder, "ifname=vm0,queues=2") as first, \
            start(ns, folder, "ifname=vm0,queues=2", name="second") as second:
        assert listed(ns)["vm0"]["owner"]["pid"] == first.proc.pid
        assert "taken over" not in second.output() and listed(ns)["vm0"]["queues"] == 4


@pytest.mark.parametrize("command", ["connect", "check"])
def test_a_busy_device_names_who_has_it(ns, folder, command):
    """The VMM that got it, also when the vmtap that made it is long gone."""
    fd = tuntap.open_tap(ns, "vm0", persist=True)
    vm = ns.popen(["sh", "-c", "read line"], stdin=subprocess.PIPE, pass_fds=[fd])
    os.close(fd)
    ns.run(["ip", "link", "set", "dev", "vm0", "alias", tag(start=1)])
    args = [command, "tap,ifname=vm0" + NO] + (["null"] if command == "connect" else [])
    done = vmtap.run(ns, *args)
    assert done.returncode == RESOURCE
    assert "process %d (sh) has the device open; end that process" % vm.pid in done.stderr
    vm.stdin.close()
    vm.wait(10)
    assert vmtap.run(ns, "check", "tap,ifname=vm0" + NO).returncode == 0


def test_two_ports_of_one_program_cannot_share_a_device(ns):
    done = vmtap.run(ns, "connect", "tap,ifname=vm0" + NO, "tap,ifname=vm0" + NO)
    assert done.returncode == RESOURCE and "another port has the device open" in done.stderr


def test_listing_while_a_link_carries_traffic_does_not_disturb_it(ns, folder):
    path = os.path.join(folder, "s")
    with Vmtap(ns, ["tap,ifname=vm0,queues=2" + NO, "stream,server=on,path=" + path], folder), \
            StreamPeer(path) as vm, Packets(ns, "vm0") as kernel:
        stop = threading.Event()

        def look():
            while not stop.is_set():
                listed(ns)
                reap(ns, "--yes")
        thread = threading.Thread(target=look)
        thread.start()
        try:
            for n in range(2000):
                vm.send(frame(n))
                assert kernel.receive() == frame(n)
        finally:
            stop.set()
            thread.join()
