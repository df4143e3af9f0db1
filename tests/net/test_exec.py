# SPDX-License-Identifier: MIT
"""vmtap exec: a TAP handed over to a command that takes vmtap's place, or that vmtap waits for."""

import fcntl
import json
import os
import pty
import re
import select
import signal
import socket
import subprocess
import termios

import pytest

import tuntap
import vmtap
from bridgehost import BridgeHost
from netns import end, wait_until
from tuntap import Packets
from vmtap import line

USAGE, RESOURCE = 2, 3
WAIT = pytest.mark.parametrize("wait", [[], ["--wait"]], ids=["become", "wait"])

# What a command sees: descriptors beyond the usual three, signal mask and ignored signals.
INHERITED = """
import json, os
with open("/proc/self/status") as f:
    status = dict(line.split(":\\t", 1) for line in f.read().splitlines())
fds = {}
for fd in os.listdir("/proc/self/fd"):
    try:
        fds[fd] = os.readlink("/proc/self/fd/" + fd)
    except OSError:
        pass
print(json.dumps({"pid": os.getpid(), "ppid": os.getppid(), "fds": fds, "blocked": status["SigBlk"],
                  "ignored": status["SigIgn"]}))
"""

# Writes the name of every signal that comes, a line each, and ends with the end of its input.
SIGNALS = """
import os, signal, sys
def say(number, frame):
    os.write(1, b"%s\\n" % signal.Signals(number).name.encode())
for sig in set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP, signal.SIGCHLD}:
    signal.signal(sig, say)
os.write(1, b"ready\\n")
while sys.stdin.buffer.raw.read(1):
    pass
"""


def tap(options="ifname=vm0"):
    return "tap,%s,script=no,downscript=no" % options


def run(ns, *command, port=None, args=(), **kw):
    return vmtap.run(ns, "exec", *args, port or tap(), "--", *command, **kw)


def start(ns, *command, port=None, args=(), **kw):
    kw.setdefault("stdin", subprocess.PIPE)
    kw.setdefault("stdout", subprocess.PIPE)
    return ns.popen([vmtap.program(), "exec", *args, port or tap(), "--", *command], bufsize=0, **kw)


def listed(ns):
    return {row["name"]: row
            for row in json.loads(vmtap.run(ns, "list", "--json", check=True).stdout)}


def is_gone(pid):
    try:
        with open("/proc/%d/stat" % pid) as f:
            return " Z " in f.read()
    except FileNotFoundError:
        return True


def down(folder, text="", name="down"):
    """A downscript that notes its argument and whether the device is there still."""
    path = os.path.join(folder, name)
    with open(path, "w") as f:
        f.write("#!/bin/sh\n%s\necho \"$1 $(ip -o link show $1 | cut -d: -f2)\" >>%s/told\n" % (
            text, folder))
    os.chmod(path, 0o755)
    return "tap,ifname=vm0,script=no,downscript=" + path


def told(folder):
    path = os.path.join(folder, "told")
    if not os.path.exists(path):
        return ""
    with open(path) as f:
        return f.read()


# ------------------------------------------------------------------------ the words


@WAIT
def test_words_are_replaced(ns, wait):
    done = run(ns, "echo", "{ifname}", "tap,fd={fd},fds={fds}", "{fd}{fd}", "mac={mac}", "{", "{}",
               "{other}", "{fd", "", args=wait)
    words = done.stdout.rstrip("\n").split(" ")
    fd = words[1].split("=")[-1]
    assert int(fd) > 2 and done.returncode == 0 and done.stderr == ""
    assert words == ["vm0", "tap,fd=%s,fds=%s" % (fd, fd), fd + fd, words[3], "{", "{}", "{other}",
                     "{fd", ""]
    assert re.fullmatch(r"mac=52:54:00(:[0-9a-f]{2}){3}", words[3])


def test_the_commands_own_name_may_be_a_word(ns, folder):
    path = os.path.join(folder, "for-vm0")
    os.symlink("/bin/echo", path)
    assert run(ns, os.path.join(folder, "for-{ifname}"), "hello").stdout == "hello\n"


def test_what_is_put_in_is_not_replaced_again(ns):
    done = run(ns, "echo", "{ifname}", port=tap("ifname={fd}"))
    assert done.stdout == "{fd}\n"


def test_the_guests_address_is_the_same_at_each_start_and_differs_by_name(ns):
    macs = [run(ns, "echo", "{mac}", port=tap("ifname=" + name)).stdout.strip()
            for name in ("vm0", "vm0", "vm1")]
    assert macs[0] == macs[1] != macs[2]
    assert not int(macs[0].split(":")[0], 16) & 1  # no group's


@WAIT
@pytest.mark.parametrize("queues", [1, 2, 5])
def test_every_queue_is_handed_over(ns, wait, queues):
    command = ["/usr/bin/python3", "-c", "import sys\nprint(sys.argv[1])\n" + INHERITED, "{fds}"]
    done = run(ns, *command, port=tap("ifname=vm0,queues=%d" % queues), args=wait, check=True)
    fds, seen = done.stdout.splitlines()
    assert len(set(fds.split(":"))) == queues
    seen = json.loads(seen)["fds"]
    assert {fd for fd, what in seen.items() if what == "/dev/net/tun"} == set(fds.split(":"))


def test_many_queues_fit(ns):
    done = run(ns, "echo", "{fds}", port=tap("ifname=vm0,queues=256"), check=True)
    assert len(set(done.stdout.strip().split(":"))) == 256


def test_one_word_for_several_queues_is_refused(ns, folder):
    done = run(ns, "echo", "{fd}", port=down(folder) + ",queues=2")
    assert done.returncode == USAGE and done.stdout == ""
    assert "cannot replace {fd}: the port has several queues; write {fds}" in done.stderr
    assert "vm0" not in ns.links() and told(folder) == "vm0  vm0\n"


def test_vhost_descriptors_that_cannot_be_had_are_an_error(ns):
    if os.path.exists("/dev/vhost-net"):
        pytest.skip("this machine has vhost-net")
    done = run(ns, "echo", "{vhostfds}")
    assert done.returncode == RESOURCE and "modprobe vhost_net" in done.stderr
    assert done.stdout == "" and "vm0" not in ns.links()


def test_vhost_descriptors_are_one_a_queue(ns):
    """/dev/null stands in for vhost-net."""
    script = ("mount -t tmpfs none /dev && mkdir /dev/net && mknod -m 666 /dev/net/tun c 10 200 && "
              "mknod -m 666 /dev/null c 1 3 && mknod -m 666 /dev/vhost-net c 1 3\nexec \"$@\"")
    done = vmtap.run(ns, "exec", tap("ifname=vm0,queues=3"), "--", "/usr/bin/python3", "-c",
                     "import sys\nprint(*sys.argv[1:])\n" + INHERITED, "{fds}", "{vhostfds}",
                     wrap=["unshare", "--mount", "--propagation", "private", "sh", "-ec", script, "sh"],
                     check=True)
    words, seen = done.stdout.splitlines()
    fds, vhostfds = (word.split(":") for word in words.split())
    assert len(set(fds + vhostfds)) == 6
    assert {json.loads(seen)["fds"][fd] for fd in vhostfds} == {"/dev/vhost-net"}


def test_without_the_word_vhost_is_not_opened(ns):
    done = run(ns, "/usr/bin/python3", "-c", INHERITED, check=True)
    assert "vhost" not in done.stdout


# ------------------------------------------------------------ what the command is given


@WAIT
def test_it_inherits_the_tap_and_nothing_else(ns, wait):
    child = start(ns, "/usr/bin/python3", "-c", INHERITED, args=wait, stdin=subprocess.DEVNULL)
    out, _ = child.communicate(timeout=10)
    seen = json.loads(out)
    taps = [fd for fd, what in seen["fds"].items() if what == "/dev/net/tun"]
    assert len(taps) == 1 and set(seen["fds"]) == {"0", "1", "2", *taps}
    assert int(seen["blocked"], 16) == 0
    # Python ignores SIGPIPE and SIGXFSZ of its own accord; 32 and 33 are the C library's, out of reach
    others = 1 << signal.SIGPIPE - 1 | 1 << signal.SIGXFSZ - 1 | 3 << 31
    assert int(seen["ignored"], 16) & ~others == 0
    assert (seen["pid"] == child.pid) == (not wait)
    assert (seen["ppid"] == child.pid) == bool(wait)


def test_signals_blocked_before_are_blocked_still(ns):
    def block():
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2])
    done = run(ns, "/usr/bin/python3", "-c", INHERITED, preexec_fn=block, check=True)
    assert int(json.loads(done.stdout)["blocked"], 16) == 1 << signal.SIGUSR2 - 1


def test_a_closed_pipe_ends_it_as_usual(ns):
    """vmtap ignores SIGPIPE itself."""
    done = run(ns, "sh", "-c", "kill -s PIPE $$; echo alive", args=["--wait"])
    assert done.returncode == 128 + signal.SIGPIPE and done.stdout == ""


@WAIT
def test_the_tap_is_ready_to_use(ns, wait):
    child = start(ns, "sh", "-c", "echo {fd}; read line; exit 0", args=wait)
    fd = line(child)
    link = ns.links()["vm0"]
    assert "UP" in link["flags"] and link["operstate"] != "DOWN"
    row = listed(ns)["vm0"]
    assert row["holder"]["pid"] == child.pid and row["owner"]["pid"] == child.pid
    assert fd in os.listdir("/proc/%d/fd" % child.pid)
    child.stdin.close()
    assert child.wait(10) == 0
    assert "vm0" not in ns.links()


FRAMES = """
import os, sys
fd = int(sys.argv[1])
os.set_blocking(fd, True)
os.write(fd, bytes(12) + b"\\xff" * 6 + bytes.fromhex("020000000002") + b"\\x88\\xb5" + b"hello" * 10)
while True:
    frame = os.read(fd, 65536)[12:]
    if frame[12:14] == b"\\x88\\xb5":
        break
sys.stdout.buffer.write(frame)
"""


@WAIT
def test_frames_move_through_the_descriptor(ns, wait):
    """With a virtio-net header of 12 bytes in front, as vmtap leaves it. With --wait, vmtap reads
    none of them."""
    port = tap("ifname=vm0,persist=on")
    ns.run("ip tuntap add vm0 mode tap vnet_hdr && ip link set vm0 up")
    with Packets(ns, "vm0") as kernel:
        child = start(ns, "/usr/bin/python3", "-c", FRAMES, "{fd}", args=wait, port=port)
        assert kernel.receive() == b"\xff" * 6 + tuntap.GUEST + b"\x88\xb5" + b"hello" * 10
        kernel.send(tuntap.frame(7, 100))
        assert child.communicate(timeout=10)[0] == tuntap.frame(7, 100)
        assert child.returncode == 0


# ----------------------------------------------------------------------- exit codes


@WAIT
@pytest.mark.parametrize("status", [0, 1, 7, 126, 127, 255])
def test_the_exit_status_is_the_commands(ns, wait, status):
    done = run(ns, "sh", "-c", "exit %d" % status, args=wait)
    assert done.returncode == status and done.stderr == ""
    assert "vm0" not in ns.links()


@pytest.mark.parametrize("sig", ["KILL", "TERM", "HUP", "SEGV", "ABRT", "RTMAX"])
def test_a_deadly_signal_is_an_exit_status(ns, sig):
    done = run(ns, "sh", "-c", "ulimit -c 0; kill -s %s $$" % sig, args=["--wait"])
    assert done.returncode == 128 + (64 if sig == "RTMAX" else signal.Signals["SIG" + sig])
    assert done.stderr == "" and "vm0" not in ns.links()


@WAIT
@pytest.mark.parametrize("command, status, says", [
    ("/nowhere/qemu", 127, "cannot run the command: No such file"),
    ("no-such-command", 127, "$PATH"),
    ("/etc/passwd", 126, "Permission denied"),
    ("/etc", 126, "Permission denied"),
    ("/etc/passwd/x", 126, "Not a directory"),
    ("", 127, "No such file"),
])
def test_a_command_that_cannot_be_run_is_explained(ns, folder, wait, command, status, says):
    done = run(ns, command, port=down(folder), args=wait)
    assert done.returncode == status and says in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert told(folder) == "vm0  vm0\n" and "vm0" not in ns.links()


@pytest.mark.parametrize("args", [[], ["tap"], ["tap", "--"], ["--wait"]])
def test_a_command_line_that_is_too_short_is_explained(ns, args):
    done = vmtap.run(ns, "exec", *args)
    assert done.returncode == USAGE and "it takes a port and a command" in done.stderr


@pytest.mark.parametrize("port", ["null", "responder,ip=10.0.0.2", "stream,server=on,path=/tmp/none"])
def test_a_port_without_a_tap_is_refused(ns, port):
    done = run(ns, "echo", "ran", port=port)
    assert done.returncode == USAGE and "it has no TAP behind it; use tap" in done.stderr
    assert done.stdout == "" and not os.path.exists("/tmp/none")


def test_a_port_that_cannot_be_opened_runs_nothing(ns, folder):
    done = run(ns, "touch", os.path.join(folder, "ran"), port="tap,ifname=lo")
    assert done.returncode == USAGE and "lo exists and is no TAP" in done.stderr
    assert not os.path.exists(os.path.join(folder, "ran"))


def test_options_of_the_command_are_its_own(ns):
    """Also when the environment says that options stand in front only."""
    for env in {}, {"POSIXLY_CORRECT": "1"}:
        done = run(ns, "echo", "--wait", "-h", "--", "--version", env={**os.environ, **env})
        assert done.stdout == "--wait -h -- --version\n", done


# -------------------------------------------------------------------------- --wait


@pytest.mark.parametrize("how", ["exit 0", "exit 3", "kill -s KILL $$", "kill -s TERM $$",
                                 "kill -s INT $$"])
def test_the_downscript_runs_however_the_command_ends(ns, folder, how):
    run(ns, "sh", "-c", how, port=down(folder), args=["--wait"])
    assert told(folder) == "vm0  vm0\n" and "vm0" not in ns.links()


def test_without_wait_no_downscript_runs(ns, folder):
    """Nobody is left to run it; that is said in the manual."""
    run(ns, "true", port=down(folder), check=True)
    assert told(folder) == "" and "vm0" not in ns.links()


def test_a_tap_that_persists_stays(ns):
    run(ns, "true", port=tap("ifname=vm0,persist=on"), args=["--wait"], check=True)
    assert "vm0" in ns.links()


def test_children_that_the_command_left_keep_the_tap_until_they_end(ns):
    """The TAP goes with its last descriptor, which is not vmtap's."""
    left = start(ns, "sh", "-c", "(echo; read line) <&9 & exit 5", args=["--wait"],
                 preexec_fn=lambda: os.dup2(0, 9), pass_fds=[9])
    assert line(left) == ""
    assert left.wait(10) == 5
    assert "vm0" in ns.links()
    left.stdin.close()
    wait_until(lambda: "vm0" not in ns.links())


PASSED = ["HUP", "INT", "QUIT", "USR1", "USR2", "ALRM", "TERM", "CONT", "WINCH"]


def test_signals_are_passed_on_once_each(ns):
    child = start(ns, "/usr/bin/python3", "-c", SIGNALS, args=["--wait"])
    assert line(child) == "ready"
    for name in PASSED * 2:
        child.send_signal(signal.Signals["SIG" + name])
        assert line(child) == "SIG" + name
    child.stdin.close()
    assert child.wait(10) == 0 and child.stdout.read() == b""
    assert "vm0" not in ns.links()


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_that_ends_the_command_ends_all_in_order(ns, folder, sig):
    child = start(ns, "sh", "-c", "echo; exec tail -f /dev/null", port=down(folder), args=["--wait"])
    line(child)
    child.send_signal(sig)
    assert child.wait(10) == 128 + sig
    assert told(folder) == "vm0  vm0\n" and "vm0" not in ns.links()


def test_signals_that_come_too_late_do_not_end_the_downscript(ns, folder):
    """As when a service manager signals both, and once more."""
    pid_file = os.path.join(folder, "pid")
    child = start(ns, "sh", "-c", "echo $$ >%s.new; mv %s.new %s; exec tail -f /dev/null" % (
        (pid_file,) * 3), port=down(folder), args=["--wait"])
    wait_until(lambda: os.path.exists(pid_file))
    with open(pid_file) as f:
        pid = int(f.read())
    os.kill(child.pid, signal.SIGSTOP)
    wait_until(lambda: open("/proc/%d/stat" % child.pid).read().split(") ")[1][0] == "T")
    os.kill(pid, signal.SIGTERM)
    wait_until(lambda: is_gone(pid))
    for sig in signal.SIGINT, signal.SIGTERM, signal.SIGHUP:
        os.kill(child.pid, sig)
    os.kill(child.pid, signal.SIGCONT)
    assert child.wait(10) == 128 + signal.SIGTERM
    assert told(folder) == "vm0  vm0\n" and "vm0" not in ns.links()


def test_a_signal_ends_a_downscript_that_hangs(ns, folder):
    child = start(ns, "true", port=down(folder, "echo >>%s/hangs; exec tail -f /dev/null" % folder),
                  args=["--wait"], stderr=subprocess.PIPE)
    wait_until(lambda: os.path.exists(os.path.join(folder, "hangs")))
    child.send_signal(signal.SIGTERM)
    assert child.wait(10) == 0
    assert b"downscript" in child.stderr.read()
    assert "vm0" not in ns.links()


@WAIT
def test_a_signal_during_the_upscript_runs_nothing(ns, folder, wait):
    """Neither the command nor the downscript."""
    up = os.path.join(folder, "up")
    with open(up, "w") as f:
        f.write("#!/bin/sh\n>%s/hangs; exec tail -f /dev/null\n" % folder)
    os.chmod(up, 0o755)
    port = down(folder).replace("script=no", "script=" + up)
    child = start(ns, "touch", os.path.join(folder, "ran"), port=port, args=wait,
                  stderr=subprocess.PIPE)
    wait_until(lambda: os.path.exists(os.path.join(folder, "hangs")))
    child.send_signal(signal.SIGTERM)
    assert child.wait(10) == 128 + signal.SIGTERM
    assert not os.path.exists(os.path.join(folder, "ran")) and told(folder) == ""
    assert "vm0" not in ns.links()


@WAIT
def test_a_signal_right_behind_the_upscript_ends_it_in_order(ns, folder, wait):
    """It came while signals were blocked: nothing is left behind all the same."""
    up = os.path.join(folder, "up")
    with open(up, "w") as f:
        f.write("#!/bin/sh\n(>%s/hangs; read line <%s/go)\n" % (folder, folder))
    os.chmod(up, 0o755)
    os.mkfifo(os.path.join(folder, "go"))
    port = down(folder).replace("script=no", "script=" + up)
    child = start(ns, "sh", "-c", "exit 9", port=port, args=wait)
    wait_until(lambda: os.path.exists(os.path.join(folder, "hangs")))
    child.send_signal(signal.SIGUSR1)  # a script goes on in spite of that one
    with open(os.path.join(folder, "go"), "w") as f:
        f.write("\n")
    assert child.wait(10) in (9, 128 + signal.SIGUSR1)
    assert told(folder) == "vm0  vm0\n" and "vm0" not in ns.links()


def test_it_waits_also_where_children_are_ignored(ns, folder):
    """Who ignores SIGCHLD passes that on to the programs it starts."""
    def ignore():
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    done = run(ns, "sh", "-c", "exit 7", port=down(folder), args=["--wait"], preexec_fn=ignore,
               timeout=10)
    assert done.returncode == 7 and told(folder) == "vm0  vm0\n"


def test_a_failing_script_counts_also_where_children_are_ignored(ns, folder):
    def ignore():
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    done = run(ns, "echo", "ran", port="tap,ifname=vm0,script=/bin/false,downscript=no",
               preexec_fn=ignore)
    assert done.returncode == RESOURCE and "exit status 1" in done.stderr and done.stdout == ""


class Terminal:
    """A terminal whose foreground is @command."""

    def __init__(self, ns, command):
        self.master, slave = pty.openpty()

        def session():
            os.setsid()
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)
        self.proc = ns.popen(command, stdin=slave, stdout=slave, stderr=slave, preexec_fn=session)
        os.close(slave)
        self.text = ""

    def wait_for(self, text, times=1):
        def arrived():
            if select.select([self.master], [], [], 0)[0]:
                try:
                    self.text += os.read(self.master, 4096).decode()
                except OSError:  # the other side is closed
                    pass
            return self.text.count(text) >= times
        wait_until(arrived, what="%r in %r" % (text, self.text))

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        end(self.proc, sig=signal.SIGKILL)
        os.close(self.master)


def test_ctrl_c_reaches_the_command_once(ns, folder):
    """The terminal signals both of them; vmtap is not to add one."""
    with Terminal(ns, [vmtap.program(), "exec", "--wait", down(folder), "--", "/usr/bin/python3",
                       "-c", SIGNALS]) as terminal:
        terminal.wait_for("ready")
        for n in range(1, 4):
            os.write(terminal.master, b"\x03")
            terminal.wait_for("SIGINT", n)
            # what vmtap passes on comes behind what it might have passed on before
            terminal.proc.send_signal(signal.SIGUSR1)
            terminal.wait_for("SIGUSR1", n)
            assert terminal.text.count("SIGINT") == n
        os.write(terminal.master, b"\x1c")
        terminal.wait_for("SIGQUIT")
        assert terminal.text.count("SIGQUIT") == 1
        os.write(terminal.master, b"\n\x04")
        assert terminal.proc.wait(10) == 0
    assert told(folder) == "vm0  vm0\n"


def test_ctrl_c_that_ends_the_command_still_runs_the_downscript(ns, folder):
    with Terminal(ns, [vmtap.program(), "exec", "--wait", down(folder), "--", "sh", "-c",
                       "echo ready; exec tail -f /dev/null"]) as terminal:
        terminal.wait_for("ready")
        os.write(terminal.master, b"\x03")
        assert terminal.proc.wait(10) == 128 + signal.SIGINT
    assert told(folder) == "vm0  vm0\n" and "vm0" not in ns.links()


def test_the_command_survives_a_killed_vmtap(ns, folder):
    """A guest is not ended because something went wrong with what waited for it."""
    child = start(ns, "sh", "-c", "echo $$; read line; echo got $line", port=down(folder),
                  args=["--wait"])
    pid = int(line(child))
    child.kill()
    child.wait(10)
    row = listed(ns)["vm0"]
    assert row["owner"]["state"] == "gone" and row["holder"]["pid"] == pid
    assert "nothing to reap" in vmtap.run(ns, "reap", "--yes").stdout
    done = run(ns, "true")
    assert done.returncode == RESOURCE and "process %d (sh) has the device open" % pid in done.stderr
    child.stdin.write(b"on\n")
    child.stdin.close()
    assert line(child) == "got on"
    wait_until(lambda: "vm0" not in ns.links())
    assert told(folder) == ""


# ---------------------------------------------------------------------------- QEMU


class Qemu:
    """QEMU as the command, its first boot device the network. @monitor: its QMP."""

    def __init__(self, ns, folder, port, netdev, device="virtio-net-pci,netdev=n0,mac={mac}",
                 args=(), program=None, wrap=()):
        path = os.path.join(folder, "qmp")
        self.log = os.path.join(folder, "qemu.log")
        with open(self.log, "wb") as log:
            self.proc = ns.popen(
                [*wrap, program or vmtap.program(), "exec", *args, port, "--", "qemu-system-x86_64",
                 "-nodefaults", "-machine", "pc,accel=tcg", "-m", "32", "-display", "none",
                 "-boot", "n", "-qmp", "unix:%s,server=on,wait=off" % path, "-netdev", netdev,
                 "-device", device], stderr=log, stdout=log)
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(20)

        def connected():
            assert self.proc.poll() is None, self.said()
            try:
                self.sock.connect(path)
                return True
            except OSError:
                return False
        wait_until(connected, what="QEMU")
        self.lines = self.sock.makefile()
        assert "QMP" in json.loads(self.lines.readline())
        self.call("qmp_capabilities")

    def said(self):
        with open(self.log, errors="replace") as f:
            return f.read()

    def call(self, execute, **arguments):
        self.sock.sendall(json.dumps({"execute": execute, "arguments": arguments}).encode() + b"\n")
        while True:
            answer = json.loads(self.lines.readline())
            if "event" not in answer:
                return answer["return"]

    def network(self):
        return self.call("human-monitor-command", **{"command-line": "info network"})

    def quit(self):
        self.call("quit")
        return self.proc.wait(20)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.lines.close()
        self.sock.close()
        end(self.proc)


def dhcp_source(kernel):
    """The address from which the guest's firmware asks for one."""
    while True:
        data = kernel.receive(30)
        assert data, "the guest sent nothing"
        if data[12:14] == b"\x08\x00" and data[23] == 17 and data[34:38] == b"\0\x44\0\x43":
            return data[6:12].hex(":")


@WAIT
@pytest.mark.parametrize("port, queues", [(tap(), 1), (tap("ifname=vm0,queues=2"), 2)])
def test_qemu_drives_a_nic_with_what_it_is_given(ns, folder, wait, port, queues):
    """Its firmware asks for an address over it."""
    mac = run(ns, "echo", "{mac}").stdout.strip()
    ns.run("ip tuntap add vm0 mode tap vnet_hdr %s && ip link set vm0 up" % (
        "multi_queue" if queues > 1 else ""))
    mq = ",mq=on,vectors=6" if queues > 1 else ""
    with Packets(ns, "vm0", kind=None) as kernel, \
            Qemu(ns, folder, port, "tap,id=n0," + ("fds={fds}" if queues > 1 else "fd={fd}"),
                 "virtio-net-pci,netdev=n0,mac={mac}" + mq, args=wait) as vm:
        assert dhcp_source(kernel) == mac
        assert vm.network().count("index=") == 2 * queues and vm.said() == ""
        row = listed(ns)["vm0"]
        # the guest has not asked for its second queue
        assert row["queues"] + row["detached_queues"] == queues and row["rx"]["frames"] > 0
        assert row["holder"]["program"] in ("qemu-system-x86", "vmtap")
        assert vm.proc.poll() is None
        assert vm.quit() == 0


@WAIT
def test_qemu_drives_a_macvtap(ns, folder, wait):
    ns.sysctl("net.ipv6.conf.default.disable_ipv6", 1)
    ns.run("ip link add v0 type veth peer v1; ip link set v0 up; ip link set v1 up")
    with Packets(ns, "v1", kind=None) as wire, \
            Qemu(ns, folder, "macvtap,parent=v0,ifname=vm0,queues=2", "tap,id=n0,fds={fds}",
                 "virtio-net-pci,netdev=n0,mac={mac},mq=on,vectors=6", args=wait) as vm:
        assert dhcp_source(wire) == ns.links()["vm0"]["address"]
        assert listed(ns)["vm0"]["queues"] == 2
        assert vm.quit() == 0
    assert ("vm0" in ns.links()) == (not wait)


def test_a_killed_qemu_leaves_no_tap(ns, folder):
    with Qemu(ns, folder, down(folder), "tap,id=n0,fd={fd}", args=["--wait"]) as vm:
        pid, = open("/proc/%d/task/%d/children" % (vm.proc.pid, vm.proc.pid)).read().split()
        os.kill(int(pid), signal.SIGKILL)
        assert vm.proc.wait(10) == 128 + signal.SIGKILL
    assert told(folder) == "vm0  vm0\n" and "vm0" not in ns.links()


# ------------------------------------------------------------------------- by a helper


@pytest.fixture(scope="module")
def host():
    if os.geteuid():
        pytest.skip("a host of one's own takes root")
    with BridgeHost() as made:
        made.write("/etc/qemu/bridge.conf", "allow br0\n")
        made.allow("allow br0")
        yield made


@WAIT
@pytest.mark.parametrize("helper, queues", [("/usr/lib/qemu/qemu-bridge-helper", 1),
                                            ("/etc/bin/plain", 1), ("/etc/bin/plain", 3)],
                         ids=["debian", "ours", "ours-3"])
def test_a_tap_of_a_helper_is_handed_over(host, helper, queues, wait):
    port = "bridge,br=br0,helper=%s,queues=%d" % (helper, queues)
    child = start(host, "sh", "-c", "echo {ifname} {fds}; read line; exit 0", port=port, args=wait)
    ifname, fds = line(child).split()
    assert len(set(fds.split(":"))) == queues
    link = host.links()[ifname]
    assert link["master"] == "br0" and "UP" in link["flags"]
    assert link["linkinfo"]["info_data"].get("numqueues", 1) == queues
    child.stdin.close()
    assert child.wait(10) == 0
    wait_until(lambda: not host.taps())


@pytest.mark.parametrize("helper", ["/usr/lib/qemu/qemu-bridge-helper", "/etc/bin/plain"],
                         ids=["debian", "ours"])
def test_qemu_drives_a_nic_of_a_helpers_tap(host, folder, helper):
    with Packets(host, "br0", kind=None) as kernel, \
            Qemu(host, folder, "bridge,br=br0,helper=" + helper, "tap,id=n0,fd={fd}",
                 args=["--wait"]) as vm:
        assert dhcp_source(kernel).startswith("52:54:00:")
        assert vm.quit() == 0
    wait_until(lambda: not host.taps())


def test_a_bridge_that_is_not_allowed_runs_nothing(host, folder):
    host.run("ip link add br1 type bridge")
    done = run(host, "touch", os.path.join(folder, "ran"), port="bridge,br=br1,helper=/etc/bin/plain")
    assert done.returncode == RESOURCE and "allow br1" in done.stderr
    assert not os.path.exists(os.path.join(folder, "ran")) and not host.taps()
