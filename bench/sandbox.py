# SPDX-License-Identifier: MIT
"""A place of our own: fresh network, mount and PID namespaces.

No frame leaves them; whatever still runs when the benchmark ends, whichever way it ends, ends with
it; and the temporary files are in a memory file system that disappears as well.
"""
import ctypes
import os
import signal
import sys

CLONE_NEWNS = 0x00020000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000
MS_REC = 0x4000
MS_PRIVATE = 0x40000
PR_SET_PDEATHSIG = 1

TMP = "/dev/shm"
RUN = "/run"  # DPDK leaves files there
libc = ctypes.CDLL(None, use_errno=True)


class SandboxError(Exception):
    """The namespaces cannot be made; the text says why and what to do."""


def _check(result, what):
    if result:
        raise SandboxError(f"cannot {what}: {os.strerror(ctypes.get_errno())}")


def _unshare():
    uid, gid = os.getuid(), os.getgid()
    flags = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET
    if uid:
        flags |= CLONE_NEWUSER
    if libc.unshare(flags):
        raise SandboxError(
            f"cannot make namespaces: {os.strerror(ctypes.get_errno())}; run it as root, or allow "
            "unprivileged user namespaces (sysctl kernel.unprivileged_userns_clone)")
    if uid:
        for name, text in (("setgroups", "deny"), ("uid_map", f"0 {uid} 1"),
                           ("gid_map", f"0 {gid} 1")):
            with open(f"/proc/self/{name}", "w", encoding="ascii") as f:
                f.write(text)


def _mount(kind, where):
    _check(libc.mount(kind.encode(), where.encode(), kind.encode(), 0, None),
           f"mount {kind} on {where}")


def _furnish():
    """In the first process of the new namespaces."""
    _check(libc.mount(None, b"/", None, MS_REC | MS_PRIVATE, None), "keep our mounts to ourselves")
    _mount("proc", "/proc")
    _mount("sysfs", "/sys")
    _mount("tmpfs", TMP)
    _mount("tmpfs", RUN)
    for scope in ("all", "default"):
        try:  # no router solicitations between our frames
            sysctl(f"net/ipv6/conf/{scope}/disable_ipv6", 1)
        except OSError:
            pass  # a kernel without IPv6


def _wait(child):
    """The process outside: hand signals on, end as the one inside ended."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda n, _frame: os.kill(child, n))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal tells both
    _, status = os.waitpid(child, 0)
    sys.stdout.flush()
    os._exit(os.waitstatus_to_exitcode(status) & 0xff)


def enter():
    """Return inside fresh namespaces, as their first process."""
    alive, keep = os.pipe()
    _unshare()
    child = os.fork()
    if child:
        os.close(alive)
        _wait(child)
    os.close(keep)
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    os.set_blocking(alive, False)
    try:
        os.read(alive, 1)
        os._exit(1)  # end of file: our parent died before the line above took effect
    except BlockingIOError:
        os.close(alive)
    _furnish()


def sysctl(name, value):
    with open(f"/proc/sys/{name}", "w", encoding="ascii") as f:
        f.write(str(value))
