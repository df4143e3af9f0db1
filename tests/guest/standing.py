# SPDX-License-Identifier: MIT
"""Where everything stands on a link that hardly moves: what a slow or stuck transfer leaves to look at.

    with Watch(ns, vmtap, guest, "vm6", 12, note) as watch:
        ...                        # the transfer
    watch.picture                  # None: it was over before
"""

import collections
import re
import subprocess
import threading

MOMENT = 1  # seconds that are looked at
CALLS = "recvmmsg,sendmmsg,recvfrom,sendto,recvmsg,sendmsg,read,write,readv,writev,epoll_wait,ppoll,io_uring_enter"
WIDTH = 400


def _output(ns, line):
    done = ns.run(line, check=False)
    return (done.stdout + done.stderr).strip()


def _calls(pid):
    """The system calls of a moment: how often each with which result, and the first ones as they came."""
    done = subprocess.run(["timeout", "-s", "INT", str(MOMENT), "strace", "-f", "-r", "-s", "0", "-e", "trace=" + CALLS,
                           "-p", str(pid)], capture_output=True, text=True, timeout=30, check=False)
    lines = [line for line in done.stderr.splitlines() if "(" in line]
    counts = collections.Counter()
    for line in lines:
        name = re.search(r"(\w+)\(", line)
        result = re.search(r"= (-?\d+)( E\w+)?", line)
        if name and result:
            value = int(result[1])
            counts["%s=%s" % (name[1], result[2].strip() if result[2] else "1" if value == 1 else "%d digits" % len(
                result[1]))] += 1
    first = [re.sub(r"\s+", " ", line)[:120] for line in lines[:12]]
    return " ".join("%s:%d" % item for item in counts.most_common()) or done.stderr[-200:], first


class Watch:
    """After @after seconds @tell is called, with @picture: what stands where."""

    def __init__(self, ns, vmtap, guest, tap, after, tell):
        self.ns, self.vmtap, self.guest, self.tap = ns, vmtap, guest, tap
        self.tell = tell
        self.picture = None
        self.timer = threading.Timer(after, self._look)

    def __enter__(self):
        self.timer.start()
        return self

    def __exit__(self, *exc):
        self.timer.cancel()
        self.timer.join()

    def _look(self):
        lines = []
        try:
            self._add(lines)
        except Exception as e:  # an incomplete picture is better than none
            lines.append("no more, since %r" % e)
        self.picture = "\n".join(line[:WIDTH] for line in lines)
        self.tell(self.picture)

    def _add(self, lines):
        ns = self.ns
        _output(ns, "nstat -n")
        seen = subprocess.Popen(ns.command("timeout %d tcpdump -i %s -l -n -tt -q -c 2000 2>/dev/null" % (
            2 * MOMENT, self.tap)), stdout=subprocess.PIPE, text=True)
        for who, pid in ("vmtap", self.vmtap.proc.pid), ("QEMU", self.guest.proc.pid):
            counts, first = _calls(pid)
            lines.append("%s in %d s: %s" % (who, MOMENT, counts))
            lines += ["    " + line for line in first]
        frames = seen.communicate()[0].splitlines()
        lines.append("%d frames on %s in %d s" % (len(frames), self.tap, 2 * MOMENT))
        lines += ["    " + re.sub(r"^(\d+)(\d{4}\.\d{6})", r"\2", line) for line in frames[:12]]
        lines.append("counters of %d s: %s" % (2 * MOMENT, re.sub(r"\s+", " ", " ".join(
            line.rsplit(None, 1)[0] for line in _output(ns, "nstat").splitlines()[1:]))))
        for what in "ss -uanmO", "ss -tinmO state established", "ip -s link show dev " + self.tap:
            lines += [re.sub(r"\s+", " ", line) for line in _output(ns, what).splitlines()[1:]
                      if " reno" not in line or re.search("unacked|notsent|unsent", line)]
        lines.append(_output(ns, "sysctl net.core.rmem_default net.core.rmem_max net.ipv4.tcp_congestion_control;"
                                 "cat /proc/loadavg; head -1 /proc/pressure/cpu").replace("\n", "; "))
