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


def namespaces():
    """Namespaces that Netns made here and that this process still has open. The inode number
    of one that is gone names somebody else's next, so others' processes are none of our business;
    those that we started and forgot are found by their mark."""
    left = []
    for fd in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink("/proc/self/fd/" + fd)
        except OSError:
            continue  # the one that reads the folder
        if target.startswith("net:[") and target[5:-1] in netns.made:
            left.append("namespace %s, descriptor %s" % (target, fd))
    return left


def interfaces():
    """Interfaces outside of all test namespaces."""
    return set(os.listdir("/sys/class/net"))
