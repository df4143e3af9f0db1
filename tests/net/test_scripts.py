# SPDX-License-Identifier: MIT
"""script= and downscript=: when they run, with what, and what happens when they fail."""

import os
import re
import signal

import pytest

import sandbox
import tuntap
import vmtap
from netns import end, wait_until
from peers import StreamPeer
from tuntap import IFF_MULTI_QUEUE, IFF_NO_PI, IFF_TAP, Packets, frame
from vmtap import Vmtap

RESOURCE = 3
HANG = "exec tail -f /dev/null"
FDS = "exec >{out}; ls -l /proc/$$/fd"


def write(path, text, mode=0o755, head="#!/bin/sh\n"):
    with open(path, "w") as f:
        f.write(head + text)
    os.chmod(path, mode)
    return path


def read(path):
    with open(path) as f:
        return f.read()


@pytest.fixture
def script(folder):
    """Make a script. Returns its path."""
    return lambda name, text, **kw: write(os.path.join(folder, name), text, **kw)


def tap(up="no", down="no", options=""):
    return "tap,ifname=vm0,script=%s,downscript=%s%s" % (up, down, options and "," + options)


def fails(ns, spec, *says, code=RESOURCE, **kw):
    done = vmtap.run(ns, "connect", spec, "null", **kw)
    assert done.returncode == code, done
    for text in says:
        assert text in done.stderr
    assert "vm0" not in ns.links()
    return done.stderr


def is_gone(pid):
    """Also when only its parent's leave is missing, who is init here."""
    try:
        return " Z " in read("/proc/%d/stat" % pid)
    except FileNotFoundError:
        return True


def children(pid):
    return read("/proc/%d/task/%d/children" % (pid, pid)).split()


# -------------------------------------------------------------------------- runs


def test_both_are_run_with_the_name_while_the_device_exists(ns, folder, script):
    tell = 'echo "%s $# $1 $(ip -o link show $1 | cut -d: -f2)" >>' + folder + "/told"
    with Vmtap(ns, [tap(script("up", tell % "up"), script("down", tell % "down")), "null"],
               folder) as v:
        assert read(folder + "/told") == "up 1 vm0  vm0\n"
        assert children(v.proc.pid) == []  # no zombie
    assert v.status == 0
    assert read(folder + "/told") == "up 1 vm0  vm0\ndown 1 vm0  vm0\n"
    assert "vm0" not in ns.links()


def test_the_chosen_name_is_told(ns, folder, script):
    up = script("up", "echo $1 >%s/told" % folder)
    with Vmtap(ns, ["tap,ifname=x%%d,script=%s,downscript=no" % up, "null"], folder):
        assert read(folder + "/told") == "x0\n"


@pytest.mark.parametrize("value", ["no", ""])
def test_no_and_empty_mean_none(ns, folder, script, value):
    etc = os.path.join(folder, "etc")
    os.mkdir(etc)
    for name in "qemu-ifup", "qemu-ifdown":
        write(os.path.join(etc, name), "touch %s/ran" % folder)
    with Vmtap(ns, [tap(value, value), "null"], folder, wrap=sandbox.etc(etc)) as v:
        pass
    assert v.status == 0 and not os.path.exists(folder + "/ran")


def test_the_systems_scripts_are_the_default(ns, folder):
    etc = os.path.join(folder, "etc")
    os.mkdir(etc)
    for name in "qemu-ifup", "qemu-ifdown":
        write(os.path.join(etc, name), "echo %s $1 >>%s/told" % (name, folder))
    with Vmtap(ns, ["tap,ifname=vm0", "null"], folder, wrap=sandbox.etc(etc)) as v:
        assert read(folder + "/told") == "qemu-ifup vm0\n"
    assert v.status == 0
    assert read(folder + "/told") == "qemu-ifup vm0\nqemu-ifdown vm0\n"


def hidden(folder):
    etc = os.path.join(folder, "etc")
    os.mkdir(etc)
    for name in "qemu-ifup", "qemu-ifdown":
        try:
            os.mknod(os.path.join(etc, name), 0o20000, 0)  # overlayfs: it is not there
        except PermissionError:
            pytest.skip("%s is on an overlay itself, which has no such files" % folder)
    return sandbox.etc(etc)


def test_without_the_systems_scripts_none_is_run(ns, folder):
    with Vmtap(ns, ["tap,ifname=vm0", "null"], folder, wrap=hidden(folder)) as v:
        assert "running" not in v.output()
    assert v.status == 0 and "running" not in v.output()


def test_a_script_of_the_system_that_cannot_be_run_is_an_error(ns, folder):
    """It is there, so somebody relies on it."""
    etc = os.path.join(folder, "etc")
    os.mkdir(etc)
    write(os.path.join(etc, "qemu-ifup"), "", mode=0o644)
    fails(ns, "tap,ifname=vm0", "/etc/qemu-ifup", "Permission denied", "chmod +x",
          wrap=sandbox.etc(etc))


def test_only_the_three_and_the_tap_are_inherited(ns, folder, script):
    up = script("up", FDS.format(out=folder + "/up.fds"))
    down = script("down", FDS.format(out=folder + "/down.fds"))
    extra = os.open("/dev/zero", os.O_RDONLY)
    try:
        ports = ["stream,server=on,path=%s/s" % folder, tap(up, down)]
        with Vmtap(ns, ports, folder, pass_fds=[extra]) as v:
            pass
        assert v.status == 0
    finally:
        os.close(extra)
    for name in "up", "down":
        fds = dict(re.findall(r"(\d+) -> (.*)", read("%s/%s.fds" % (folder, name))))
        fds = {fd: to for fd, to in fds.items() if to != os.path.join(folder, name)}
        taps = [fd for fd, to in fds.items() if to == "/dev/net/tun"]
        assert set(fds) == {"0", "1", "2", *taps} and len(taps) == 1


def test_signals_are_as_a_program_expects_them(ns, folder, script):
    up = script("up", "grep ^Sig /proc/self/status >%s/signals" % folder)
    with Vmtap(ns, [tap(up), "null"], folder):
        signals = dict(line.split(":\t") for line in read(folder + "/signals").splitlines())
    own = 3 << 31  # 32 and 33 are the C library's, out of reach
    assert int(signals["SigBlk"], 16) & ~own == 0 and int(signals["SigIgn"], 16) & ~own == 0


def test_frames_wait_for_the_script(ns, folder, script):
    gate = os.path.join(folder, "gate")
    os.mkfifo(gate)
    up = script("up", "ip link set $1 up; : >%s/here; read line <%s" % (folder, gate))
    path = os.path.join(folder, "s")
    proc = ns.popen([vmtap.program(), "connect", "stream,server=on,path=" + path, tap(up)])
    wait_until(lambda: os.path.exists(folder + "/here"))
    with Packets(ns, "vm0") as kernel, StreamPeer(path) as vm:
        vm.send(frame(1))
        assert kernel.receive(timeout=0.3) is None
        write(gate, "go\n", head="")
        assert kernel.receive() == frame(1)
    assert end(proc) == 0


@pytest.mark.parametrize("up", ["no", None], ids=["without-a-script", "with-one"])
def test_queues_share_one_run(ns, folder, script, up):
    tell = "echo $0 >>%s/told" % folder
    up = up or script("up", tell)
    with Vmtap(ns, [tap(up, script("down", tell), "queues=4"), "null"], folder) as v:
        pass
    assert v.status == 0
    told = [os.path.basename(line) for line in read(folder + "/told").split()]
    assert told == ["down"] if up == "no" else ["up", "down"]


def test_a_path_of_any_length_works(ns, folder, script):
    path = folder
    while len(path) < 1500:
        path = os.path.join(path, "d" * 200)
        os.mkdir(path)
    up = write(os.path.join(path, "up"), "echo $0 >%s/told" % folder)
    with Vmtap(ns, [tap(up), "null"], folder):
        assert read(folder + "/told") == up + "\n"


def test_a_comma_in_the_path_is_doubled(ns, folder, script):
    script("up,now", ": >%s/ran" % folder)
    with Vmtap(ns, [tap(folder + "/up,,now"), "null"], folder):
        assert os.path.exists(folder + "/ran")


def test_what_a_script_leaves_running_holds_nobody_up(ns, folder, script):
    up = script("up", "tail -f /dev/null >/dev/null 2>&1 & echo $! >%s/pid" % folder)
    with Vmtap(ns, [tap(up), "null"], folder) as v:
        pid = int(read(folder + "/pid"))
        assert children(v.proc.pid) == []
    assert v.status == 0
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: is_gone(pid))


# ------------------------------------------------------------------------- fails


@pytest.mark.parametrize("text, says", [
    ("exit 7", "it ended with exit status 7"),
    ("kill -SEGV $$", "it was killed by signal 11"),
    ("kill -KILL $$", "it was killed by signal 9"),
])
def test_a_script_that_fails_closes_the_device(ns, script, text, says):
    up = script("up", text)
    down = script("down", "touch $0.ran")
    fails(ns, tap(up, down), "tap vm0", "cannot run the script " + up[:20], says)
    assert not os.path.exists(down + ".ran")  # what did not come up is not taken down


def test_a_device_that_was_there_survives_a_script_that_fails(ns, script):
    ns.run("ip tuntap add vm0 mode tap")
    done = vmtap.run(ns, "connect", tap(script("up", "exit 1")), "null")
    assert done.returncode == RESOURCE and "vm0" in ns.links()


@pytest.mark.parametrize("command", ["connect", "check"])
@pytest.mark.parametrize("make, says", [
    (None, "No such file or directory"),
    (dict(mode=0o644), "Permission denied"),
    ("folder", "Permission denied"),
], ids=["missing", "not-executable", "folder"])
def test_a_script_that_cannot_be_run_is_explained(ns, folder, script, make, says, command):
    path = os.path.join(folder, "up")
    if make == "folder":
        os.mkdir(path)
    elif make:
        script("up", "", **make)
    done = vmtap.run(ns, command, tap(path), *(["null"] if command == "connect" else []))
    assert done.returncode == RESOURCE, done
    assert path in done.stderr and says in done.stderr and "vm0" not in ns.links()


@pytest.mark.parametrize("head, says", [
    ("", "begin it with a line such as #!/bin/sh"),
    ("#!/nonexistent/sh\n", "No such file or directory"),
], ids=["no-interpreter", "wrong-interpreter"])
def test_a_script_without_its_interpreter_is_explained(ns, script, head, says):
    fails(ns, tap(script("up", "exit 0", head=head)), "run the script", says)


def test_what_a_script_says_reaches_the_user(ns, script):
    assert "cannot find the bridge" in fails(
        ns, tap(script("up", "echo cannot find the bridge >&2; exit 1")), "exit status 1")


def test_a_script_that_hangs_is_given_up(ns, folder, script):
    up = script("up", "echo $$ >%s/pid; %s" % (folder, HANG))
    fails(ns, tap(up, options="script-timeout-ms=200"), "did not end within 200 ms",
          "script-timeout-ms=", timeout=10)
    assert not os.path.exists("/proc/" + read(folder + "/pid").strip())


def test_children_of_a_script_that_hangs_end_too(ns, folder, script):
    up = script("up", "tail -f /dev/null & echo $! >%s/pid; wait" % folder)
    fails(ns, tap(up, options="script-timeout-ms=200"), "did not end within 200 ms")
    pid = int(read(folder + "/pid"))
    wait_until(lambda: is_gone(pid))


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_a_script_that_hangs(ns, folder, script, sig):
    """And with it vmtap, in order: as asked, so with success."""
    up = script("up", "echo $$ >%s/pid; : >%s/here; %s" % (folder, folder, HANG))
    first = "tap,ifname=first,script=no,downscript=" + script("down", ": >%s/down.ran" % folder)
    proc = ns.popen([vmtap.program(), "connect", first, tap(up, options="script-timeout-ms=0")])
    wait_until(lambda: os.path.exists(folder + "/here"))
    assert end(proc, sig=sig) == 0
    assert not os.path.exists("/proc/" + read(folder + "/pid").strip())
    assert list(ns.links()) == ["lo"]
    assert os.path.exists(folder + "/down.ran")  # of the port that was open already


@pytest.mark.parametrize("text, says", [
    ("exit 9", "exit status 9"),
    ("kill -KILL $$", "killed by signal 9"),
    (HANG, "did not end within 200 ms"),
    (None, "No such file or directory"),
], ids=["status", "signal", "hangs", "missing"])
def test_a_downscript_that_fails_is_reported_and_nothing_more(ns, folder, script, text, says):
    down = script("down", text) if text else folder + "/missing"
    limit = 200 if text == HANG else 20000
    with Vmtap(ns, [tap(down=down, options="script-timeout-ms=%d" % limit), "null"], folder) as v:
        pass
    assert v.status == 0
    assert "warning" in v.output() and "downscript" in v.output() and says in v.output()
    assert list(ns.links()) == ["lo"]


def test_a_second_signal_ends_a_downscript_that_hangs(ns, folder, script):
    down = script("down", ": >%s/here; %s" % (folder, HANG))
    with Vmtap(ns, [tap(down=down, options="script-timeout-ms=0"), "null"], folder) as v:
        v.proc.send_signal(signal.SIGTERM)
        wait_until(lambda: os.path.exists(folder + "/here"))
        assert v.stop() == 0
    assert "it was interrupted" in v.output() and list(ns.links()) == ["lo"]


def test_the_downscript_runs_also_when_a_port_failed(ns, folder, script):
    """An exit with an error is an exit."""
    fd = tuntap.open_tap(ns, "busy", IFF_TAP | IFF_NO_PI)
    try:
        done = vmtap.run(ns, "connect", tap(down=script("down", ": >%s/ran" % folder)),
                         "tap,ifname=busy,script=no,downscript=no")
        assert done.returncode == RESOURCE and os.path.exists(folder + "/ran")
    finally:
        os.close(fd)


def test_no_script_is_run_for_an_inherited_tap(ns, folder):
    etc = os.path.join(folder, "etc")
    os.mkdir(etc)
    write(os.path.join(etc, "qemu-ifup"), "touch %s/ran" % folder)
    fd = tuntap.open_tap(ns, "vm0", IFF_TAP | IFF_NO_PI | IFF_MULTI_QUEUE)
    try:
        with Vmtap(ns, ["tap,fd=%d" % fd, "null"], folder, wrap=sandbox.etc(etc), pass_fds=[fd]):
            assert not os.path.exists(folder + "/ran")
    finally:
        os.close(fd)
