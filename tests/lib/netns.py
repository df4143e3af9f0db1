# SPDX-License-Identifier: MIT
"""Network namespaces for tests, and the processes that run in them.

Model: a namespace is kept by a holder process that waits for the end of its standard
input. Its other end is here, so that the namespace goes when it is cleaned up and also
when the tests are killed; it has no name that could be left behind.

    with Netns() as ns:
        ns.run("ip link add br0 type bridge")
        tap = ns.popen(["build/vmtap", "connect", ...])
        with ns.enter():                  # this thread's new sockets are in there
            server = socket.create_server(("10.0.0.1", 0))
"""

import contextlib
import ctypes
import json
import os
import re
import select
import shlex
import signal
import subprocess
import time

CLONE_NEWNET = 0x40000000
PR_SET_PDEATHSIG = 1

# Inode numbers of every namespace made here; tests look whether one outlives its time.
made = set()

_libc = ctypes.CDLL(None, use_errno=True)


def _heed_signals():
    """Programs under test inherit what we ignore: a run under nohup, or in the background of a
    script, would have them ignore the very signals that the tests send."""
    for sig in signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM:
        if signal.getsignal(sig) == signal.SIG_IGN:
            signal.signal(sig, signal.default_int_handler if sig == signal.SIGINT else signal.SIG_DFL)


_heed_signals()


class Failed(Exception):
    """A command in a namespace failed; the message has all that it said."""


def setns(fd):
    if _libc.setns(fd, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")


def die_with_parent():
    """For preexec_fn: the child ends when the thread that started it does."""
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def end(proc, timeout=5, sig=signal.SIGTERM):
    """End a process: politely, after @timeout seconds not. Returns its exit status."""
    if proc.poll() is None:
        proc.send_signal(sig)
        try:
            proc.wait(timeout)
        except subprocess.TimeoutExpired:
            proc.kill()
    return proc.wait()


# An emulated machine takes longer for everything. What comes in time is not waited for any longer.
PATIENCE = 6 if os.environ.get("VMTAP_IN_GUEST") else 1


def wait_until(condition, timeout=10, what=None):
    """Ask until @condition() is true, and return what it returned."""
    timeout *= PATIENCE
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise TimeoutError("not within %g s: %s" % (timeout, what or condition))
        select.select([], [], [], 0.02)


class Netns:
    """A network namespace of its own; lo is up and IPv6 addresses are usable at once."""

    def __init__(self):
        self.procs = []
        self.fd = -1
        # A new process group: Ctrl-C reaches us, and we end the holder by closing its input.
        self.holder = subprocess.Popen(
            ["unshare", "--net", "sh", "-c", "echo up; exec cat >/dev/null"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)
        if self.holder.stdout.readline() != b"up\n":
            self.cleanup()
            raise Failed("cannot make a network namespace; is this root, at least of a user namespace?")
        self.pid = self.holder.pid
        self.fd = os.open("/proc/%d/ns/net" % self.pid, os.O_RDONLY | os.O_CLOEXEC)
        made.add(str(os.fstat(self.fd).st_ino))
        self.run("ip link set lo up")
        # The machine's own choice may be bbr, which goes on sending into losses and starves what comes the
        # other way. Reno is allowed in every namespace.
        self.sysctl("net.ipv4.tcp_congestion_control", "reno")
        for where in "all", "default":
            self.sysctl("net.ipv6.conf.%s.accept_dad" % where, 0)
            # Router solicitations and the like of the kernel's own only blur what tests count.
            self.sysctl("net.ipv6.conf.%s.router_solicitations" % where, 0)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.cleanup()

    def command(self, cmd):
        """@cmd (words, or a line for the shell) as words that run it in the namespace."""
        words = ["sh", "-c", cmd] if isinstance(cmd, str) else [str(w) for w in cmd]
        return ["nsenter", "--net=/proc/%d/ns/net" % self.pid, "--"] + words

    def run(self, cmd, check=True, timeout=30, **kw):
        """Run to the end. Returns a CompletedProcess with text in stdout and stderr."""
        kw.setdefault("stdin", subprocess.DEVNULL if "input" not in kw else None)
        if kw["stdin"] is None:
            del kw["stdin"]
        done = subprocess.run(self.command(cmd), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              text=True, timeout=timeout, **kw)
        if check and done.returncode != 0:
            raise Failed("%s: exit status %d\n%s%s" % (
                cmd if isinstance(cmd, str) else shlex.join(map(str, cmd)),
                done.returncode, done.stdout, done.stderr))
        return done

    def popen(self, cmd, **kw):
        """Start in the background; cleanup() ends it if nobody did. The Popen's pid is the
        program's own (nsenter replaces itself)."""
        kw.setdefault("stdin", subprocess.DEVNULL)
        kw.setdefault("preexec_fn", die_with_parent)
        proc = subprocess.Popen(self.command(cmd), **kw)
        self.procs.append(proc)
        return proc

    @contextlib.contextmanager
    def enter(self):
        """This thread is in the namespace meanwhile; sockets made there stay there."""
        before = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        try:
            setns(self.fd)
            try:
                yield self
            finally:
                setns(before)
        finally:
            os.close(before)

    def sysctl(self, name, value):
        with self.enter(), open("/proc/sys/" + name.replace(".", "/"), "w") as f:
            f.write(str(value))

    def links(self):
        """Interfaces by name, as `ip -j -d -s link` describes them."""
        return {i["ifname"]: i for i in json.loads(self.run("ip -j -d -s link").stdout)}

    def settings(self, *dev):
        """What `ip -d link` says of one interface, or of all, but for the state of the link: the kernel works
        that out some time later."""
        said = self.run(["ip", "-d", "link", "show", *dev]).stdout
        return re.sub(r"(NO-CARRIER|LOWER_UP),|,(NO-CARRIER|LOWER_UP)| state \w+| qdisc \w+", "", said)

    def cleanup(self):
        """End what was started here, then the namespace. Any number of times."""
        for proc in self.procs:
            if proc.poll() is None:
                proc.terminate()
        for proc in self.procs:
            end(proc)
            for f in proc.stdin, proc.stdout, proc.stderr:
                if f:
                    f.close()
        self.procs = []
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1
        if self.holder:
            self.holder.stdin.close()
            self.holder.wait()
            self.holder.stdout.close()
            self.holder = None
