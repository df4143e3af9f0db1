# SPDX-License-Identifier: MIT
"""The back ends that can be measured: how each is started, found ready, and stopped."""
import os
import re
import shlex
import shutil
import subprocess
import time

START_SECS = 10
STOP_SECS = 5
TAP = "tap0"
NAMED = re.compile(r"([A-Za-z][A-Za-z0-9_.+-]*)=(.+)", re.S)

QEMU_HUB = [
    "-machine", "none", "-nodefaults", "-display", "none", "-monitor", "none", "-serial", "none",
    "-netdev", "tap,id=t,ifname={tap},script=no,downscript=no,vhost=off",
    "-netdev", "hubport,id=h1,hubid=0,netdev=t", "-netdev", "hubport,id=h2,hubid=0,netdev=s"]
QEMU_SOCKET = {
    "stream": "stream,id=s,server=on,addr.type=unix,addr.path={sock}",
    "dgram": "dgram,id=s,local.type=unix,local.path={sock},remote.type=unix,remote.path={peer}"}
VMTAP_TAP = "tap,ifname={tap},script=no,downscript=no"
VMTAP_SOCKET = {
    "stream": "stream,server=on,path={sock}",
    "dgram": "dgram,local.type=unix,local.path={sock},remote.type=unix,remote.path={peer}"}


class BackendError(Exception):
    """A back end did not start, or did not end, as it should."""


def run(argv):
    """First line of a command's output, or ''."""
    try:
        out = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                             stderr=subprocess.DEVNULL, timeout=10, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return (out.decode(errors="replace").splitlines() or [""])[0].strip()


class Kind:
    """A back end as the user named it: what it can do and how it is called.

    reference: something to compare with; required figures are not asked of it.
    """

    def __init__(self, name, modes, command, version, reference=False):
        self.name = name
        self.modes = modes
        self.command = command  # mode -> list of words with {tap}, {sock}, {peer}
        self.version = version
        self.reference = reference


def need(program):
    if not shutil.which(program):
        raise BackendError(f"{program} is not installed")
    return program


def _qemu():
    qemu = need(os.environ.get("QEMU", "qemu-system-x86_64"))
    commands = {m: [qemu, *QEMU_HUB, "-netdev", s] for m, s in QEMU_SOCKET.items()}
    return Kind("qemu", list(commands), commands, run([qemu, "--version"]), reference=True)


def _vde():
    need("vde_plug")
    # Its point-to-point plug expects the other end at the same path with a "+".
    return Kind("vde", ["dgram"], {"dgram": ["vde_plug", "ptp://{sock}", "tap://{tap}"]},
                run(["dpkg-query", "-W", "vdeplug"]) if shutil.which("dpkg-query") else "",
                reference=True)


def _vmtap(path):
    if not os.access(path, os.X_OK):
        raise BackendError(f"{path} is not built")
    commands = {m: [path, "connect", VMTAP_TAP, s] for m, s in VMTAP_SOCKET.items()}
    return Kind("vmtap", list(commands), commands, run([path, "--version"]))


def find(word, vmtap):
    """A Kind from what the user wrote: qemu, vde, vmtap, PATH-OF-A-VMTAP, each also as NAME=…,
    or NAME=COMMAND with {tap} and {sock}, and {peer} when it speaks datagrams."""
    named = NAMED.fullmatch(word)
    name, what = named.groups() if named else (None, word)
    if "{sock}" in what and name:
        mode = "dgram" if "{peer}" in what else "stream"
        return Kind(name, [mode], {mode: shlex.split(what)}, "")
    if what == "qemu":
        kind = _qemu()
    elif what == "vde":
        kind = _vde()
    elif what == "vmtap":
        kind = _vmtap(vmtap)
    elif "/" in what:
        kind = _vmtap(os.path.abspath(what))
    else:
        raise BackendError(f"{word}: neither qemu, vde, vmtap, a path, nor NAME=COMMAND with "
                           "{tap} and {sock} in it")
    kind.name = name or kind.name
    return kind


def tap_create():
    """A persistent TAP that any back end can attach to."""
    for args in (["tuntap", "add", "dev", TAP, "mode", "tap", "vnet_hdr"],
                 ["link", "set", TAP, "up"]):
        done = subprocess.run(["ip", *args], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                              stderr=subprocess.PIPE, check=False)
        if done.returncode:
            raise BackendError(f"ip {' '.join(args)}: {done.stderr.decode().strip()}")


def tap_delete():
    subprocess.run(["ip", "link", "del", TAP], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                   check=False)


def tree(pid):
    """The process and all below it."""
    pids = [pid]
    try:
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/children", encoding="ascii") as f:
                for child in f.read().split():
                    pids += tree(int(child))
    except OSError:
        pass
    return pids


class Backend:
    """A back end that runs between TAP and sock, from `with` to its end."""

    def __init__(self, kind, mode, tmp, core):
        self.kind, self.mode, self.core = kind, mode, core
        self.sock = os.path.join(tmp, "sock")
        # vde_plug chooses this name itself; the others are told it.
        self.peer = self.sock + "+" if mode == "dgram" else None
        self.log = os.path.join(tmp, "backend.log")
        self.process = None

    def argv(self):
        words = {"tap": TAP, "sock": self.sock, "peer": self.peer or ""}
        argv = []
        for word in self.kind.command[self.mode]:
            for key, value in words.items():
                word = word.replace("{" + key + "}", value)
            argv.append(word)
        return argv

    def __enter__(self):
        for path in (self.sock, self.sock + "+"):
            if os.path.lexists(path):
                os.unlink(path)
        tap_create()
        try:
            self._start()
        except BaseException:
            self._end()
            raise
        return self

    def _start(self):
        def pin():
            if self.core is not None:
                os.sched_setaffinity(0, {self.core})

        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(self.argv(), stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=log, preexec_fn=pin)
        end = time.monotonic() + START_SECS
        while not os.path.exists(self.sock):
            if self.process.poll() is not None:
                raise BackendError(f"{self.kind.name} ended at once{self.said()}")
            if time.monotonic() > end:
                raise BackendError(f"{self.kind.name} made no socket{self.said()}")
            time.sleep(0.01)

    def pids(self):
        return tree(self.process.pid)

    def died(self, secs):
        """Has it ended by itself? Gives it so long to finish ending."""
        try:
            self.process.wait(secs)
        except subprocess.TimeoutExpired:
            return False
        return True

    def said(self):
        """The end of what it wrote, for error messages."""
        try:
            with open(self.log, encoding="utf-8", errors="replace") as f:
                lines = f.read().splitlines()[-8:]
        except OSError:
            lines = []
        return "".join(f"\n    {line}" for line in lines)

    def _end(self):
        try:
            if self.process and self.process.poll() is None:
                self.process.terminate()
                try:
                    self.process.wait(STOP_SECS)
                except subprocess.TimeoutExpired:
                    self.process.kill()
                    self.process.wait()
                    raise BackendError(f"{self.kind.name} did not end on SIGTERM within "
                                       f"{STOP_SECS} s{self.said()}") from None
        finally:
            tap_delete()

    def __exit__(self, kind, error, trace):
        died = self.died(0)
        self._end()
        if died and error is None:
            raise BackendError(f"{self.kind.name} ended by itself ({self.process.returncode})"
                               f"{self.said()}")
