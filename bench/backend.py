# SPDX-License-Identifier: MIT
"""The back ends that can be measured: what each is called, and how it is told what to do."""
import os
import re
import shlex
import shutil
import subprocess

TAP = "tap0"
NAMED = re.compile(r"([A-Za-z][A-Za-z0-9_.+-]*)=(.+)", re.S)
DEFAULT = ("raw", "raw-uring", "raw-cold", "qemu", "vde", "bare", "dpdk", "vmtap", "vmtap-poll")
VHOST_NET = "/dev/vhost-net"
POLL_US = 500  # longer than the pauses of the latency tests

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
    "dgram": "dgram,local.type=unix,local.path={sock},remote.type=unix,remote.path={peer}",
    "vhost-user": "vhost-user,server=on,path={sock}"}
# Without hugepages; both of its threads where the back end is to be.
DPDK = ["dpdk-testpmd", "--no-pci", "--no-huge", "-m", "256", "--file-prefix", "be",
        "--lcores", "0@{core},1@{core}", "--main-lcore", "0", "--no-telemetry",
        "--vdev", "net_vhost0,iface={sock},queues=1", "--vdev", "net_tap0,iface={tap}",
        "--", "--nb-cores=1", "--no-mlockall", "--auto-start", "--total-num-mbufs=8192",
        "--stats-period", "1000"]


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


def package(name):
    return run(["dpkg-query", "-W", name]) if shutil.which("dpkg-query") else ""


class Kind:
    """A back end as the user named it: what it can do and how it is called.

    commands:  mode -> list of words with {tap}, {sock}, {peer}, {core}
    reference: something to compare with; required figures are not asked of it
    own_tap:   it makes the TAP itself
    polls:     it looks for work for a while before it sleeps
    """

    def __init__(self, name, commands, version="", reference=False, own_tap=False, polls=False):
        self.name = name
        self.commands = commands
        self.version = version
        self.reference = reference
        self.own_tap = own_tap
        self.polls = polls

    @property
    def modes(self):
        return list(self.commands)


def before_connect(kind):
    """Program and options of a vmtap, for another command than connect."""
    words = kind.commands["vhost-user"]
    return words[:words.index("connect")]


def need(program):
    if not shutil.which(program):
        raise BackendError(f"{program} is not installed; scripts/deps.sh bench")
    return program


def _qemu(_build):
    qemu = need(os.environ.get("QEMU", "qemu-system-x86_64"))
    commands = {m: [qemu, *QEMU_HUB, "-netdev", s] for m, s in QEMU_SOCKET.items()}
    return Kind("qemu", {**commands, "in-qemu": [qemu]}, run([qemu, "--version"]), reference=True)


def _vde(_build):
    need("vde_plug")
    # Its point-to-point plug expects the other end at the same path with a "+".
    return Kind("vde", {"dgram": ["vde_plug", "ptp://{sock}", "tap://{tap}"]}, package("vdeplug"),
                reference=True)


def _dpdk(_build):
    need(DPDK[0])
    return Kind("dpdk", {"vhost-user": DPDK}, package("dpdk-dev"), reference=True, own_tap=True)


def _ours(program, *options):
    """A program of the benchmark's own."""
    def make(build):
        path = os.path.join(build, "bench", program)
        if not os.access(path, os.X_OK):
            raise BackendError(f"{path} is not built")
        mode = {"limit": "raw", "bare": "stream"}[program]
        words = [path, "{tap}", "{sock}"] if program == "bare" else [path]
        return Kind("", {mode: [*words, *options]}, reference=True)
    return make


def _vmtap(path, options=(), polls=False):
    if not os.access(path, os.X_OK):
        raise BackendError(f"{path} is not built")
    commands = {m: [path, *options, "connect", VMTAP_TAP, s] for m, s in VMTAP_SOCKET.items()}
    return Kind("vmtap", commands, run([path, "--version"]), polls=polls)


def _vmtap_poll(build):
    path = os.path.join(build, "vmtap")
    done = subprocess.run([path, "--help"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL, check=False)
    if b"--poll-us" not in done.stdout:
        raise BackendError("this vmtap has no --poll-us")
    kind = _vmtap(path, ["--poll-us", str(POLL_US)], polls=True)
    # What it is for is latency through vhost-user; the rest is measured without.
    kind.commands = {"vhost-user": kind.commands["vhost-user"]}
    return kind


def _vmtap_vhost(build):
    """The kernel carries the frames: bench/vhostnet.sh."""
    if not os.access(VHOST_NET, os.R_OK | os.W_OK):
        raise BackendError(f"{VHOST_NET}: not there, or not for us; bench/vhostnet.sh has a guest with it")
    kind = _vmtap(os.path.join(build, "vmtap"))
    words = kind.commands["vhost-user"]
    kind.commands = {"vhost-user": [w + ",vhostforce=on" if w == VMTAP_TAP else w for w in words]}
    kind.reference = True
    return kind


WORDS = {
    "raw": _ours("limit"), "raw-uring": _ours("limit", "-u"),
    "raw-cold": _ours("limit", "-u", "-m"),
    "qemu": _qemu, "vde": _vde, "dpdk": _dpdk,
    "bare": _ours("bare"), "bare-uring": _ours("bare", "uring"),
    "vmtap": lambda build: _vmtap(os.path.join(build, "vmtap")), "vmtap-poll": _vmtap_poll,
    "vmtap-vhost": _vmtap_vhost}


def _command(name, text):
    mode = "dgram" if "{peer}" in text else "vhost-user" if "vhost" in text else "stream"
    return Kind(name, {mode: shlex.split(text)})


def find(word, build):
    """A Kind from what the user wrote (options.py says what that may be)."""
    named = NAMED.fullmatch(word)
    name, what = named.groups() if named else (None, word)
    if "{sock}" in what and name:
        return _command(name, what)
    program, *options = shlex.split(what) or [""]
    if what in WORDS:
        kind = WORDS[what](build)
        kind.name = what
    elif program == "vmtap" or "/" in program:
        path = os.path.join(build, "vmtap") if program == "vmtap" else os.path.abspath(program)
        kind = _vmtap(path, options, polls="--poll-us" in what)
    else:
        raise BackendError(f"{word}: neither {', '.join(WORDS)}, a path, nor NAME=COMMAND with "
                           "{tap} and {sock} in it")
    kind.name = name or kind.name
    return kind


def find_all(words, build):
    """The back ends to measure, and remarks about those that are not there."""
    kinds, remarks = [], []
    for word in words or DEFAULT:
        try:
            kinds.append(find(word, build))
        except BackendError as e:
            if words:
                raise
            remarks.append(f"{word} left out: {e}")
    names = [k.name for k in kinds]
    if len(set(names)) != len(names):
        raise BackendError("two back ends have the same name; use NAME=...")
    if not kinds:
        raise BackendError("no back end to measure: " + "; ".join(remarks))
    return kinds, remarks
