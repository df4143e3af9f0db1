# SPDX-License-Identifier: MIT
"""What a test run may have left behind, of its own and nobody else's: processes are
known by a mark in their environment, namespaces because Netns counts those it makes."""

import os

import netns


def _pids():
    return [p for p in os.listdir("/proc") if p.isdigit() and int(p) != os.getpid()]


def processes(mark):
    """Processes that inherited @mark in their environment."""
    left = []
    for pid in _pids():
        try:
            with open("/proc/%s/environ" % pid, "rb") as f:
                if mark.encode() not in f.read():
                    continue
            with open("/proc/%s/cmdline" % pid, "rb") as f:
                left.append("process %s (%s)" % (pid, f.read().replace(b"\0", b" ").decode(errors="replace")))
        except OSError:
            continue  # ended meanwhile, or not ours to look at
    return left


def _holds(pid, inodes):
    """The namespace among @inodes that a process is in or has open."""
    links = ["/proc/%s/ns/net" % pid]
    try:
        links += ["/proc/%s/fd/%s" % (pid, fd) for fd in os.listdir("/proc/%s/fd" % pid)]
    except OSError:
        pass
    for link in links:
        try:
            target = os.readlink(link)
        except OSError:
            continue
        if target.startswith("net:[") and target[5:-1] in inodes:
            return target
    return None


def namespaces():
    """Namespaces that Netns made here and that something still holds."""
    return ["namespace %s, held by process %s" % (ns, pid)
            for pid in _pids() + ["self"] for ns in [_holds(pid, netns.made)] if ns]


def interfaces():
    """Interfaces outside of all test namespaces."""
    return set(os.listdir("/sys/class/net"))
