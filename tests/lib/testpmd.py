# SPDX-License-Identifier: MIT
"""DPDK's dpdk-testpmd with its virtio-user device: a vhost-user front end that is not QEMU.

    with Testpmd(ns, path, folder, packed_vq=1, mrg_rxbuf=0) as pmd:
        pmd.forward("io")                     # what comes is sent back as it is
        pmd.stop_forwarding()
        pmd.xstats()["rx_good_packets"]

It needs no hugepages, and no privilege but that of the network namespace. It polls: keep it
short. It has a /run of its own, since it leaves files there.
"""

import os
import re
import subprocess

import sandbox
from netns import Failed, end, wait_until

PROGRAM = "dpdk-testpmd"
PROMPT = "testpmd> "


class Testpmd:
    """@path: the socket; @server: testpmd is the one that listens. @queues: queue pairs. @devargs:
    more of the device (packed_vq, in_order, mrg_rxbuf, vectorized, queue_size, ...); @args: more
    of testpmd itself. @wait: until it takes commands, which as server it does once it was called."""

    __test__ = False  # for pytest

    def __init__(self, ns, path, folder, name="testpmd", queues=1, server=False, args=(), wait=True, **devargs):
        self.name = name
        # The prompt is written letter by letter: what other threads say must not come in between.
        self.out = os.path.join(folder, name + ".out")
        self.log = os.path.join(folder, name + ".log")
        self.prompts = 0
        vdev = "net_virtio_user0,path=%s,queues=%d" % (path, queues)
        vdev += "".join(",%s=%s" % item for item in {"queue_size": 256, "server": int(server), **devargs}.items())
        # One thread takes commands and one polls; they share a processor, the others are vmtap's.
        core = min(os.sched_getaffinity(0))
        cmd = [*sandbox.mounts("mount -t tmpfs none /run"), "stdbuf", "-oL", PROGRAM,
               "--no-huge", "-m", "128", "--single-file-segments", "--no-pci", "--no-telemetry",
               "--lcores", "0@%d,1@%d" % (core, core), "--log-level", "pmd.net.virtio.init:debug", "--vdev", vdev,
               "--", "-i", "--nb-cores=1", "--no-mlockall", "--total-num-mbufs=4096", "--no-flush-rx",
               "--mask-event=intr_lsc", "--rxq=%d" % queues, "--txq=%d" % queues, *args]
        with open(self.out, "wb") as out, open(self.log, "wb") as log:
            self.proc = ns.popen(cmd, stdin=subprocess.PIPE, stdout=out, stderr=log)
        if wait:
            self.wait_ready()

    @staticmethod
    def _text(path):
        with open(path, errors="replace") as f:
            return f.read()

    def output(self):
        """What it logged, and then what it said to commands."""
        return self._text(self.log) + self._text(self.out)

    def _prompted(self):
        if self.proc.poll() is not None:
            raise Failed("%s: exit status %d\n%s" % (self.name, self.proc.returncode, self.output()))
        return self._text(self.out).count(PROMPT) > self.prompts

    def wait_ready(self, timeout=15):
        """Until it takes commands."""
        try:
            wait_until(self._prompted, timeout, "testpmd's prompt")
        except TimeoutError as e:
            raise Failed("%s: no prompt\n%s" % (self.name, self.output()[-4000:])) from e
        self.prompts += 1

    def command(self, *lines):
        """Run commands. Returns what they said."""
        start = len(self._text(self.out))
        for line in lines:
            self.proc.stdin.write(line.encode() + b"\n")
            self.proc.stdin.flush()
            self.wait_ready()
        return self._text(self.out)[start:]

    def forward(self, mode, start="start"):
        """Begin to forward: io, rxonly, txonly, flowgen, "io retry" (wait for room), ..."""
        out = self.command("set fwd " + mode, start)
        assert out.count("%s packet forwarding" % mode.split()[0]) > 1, out

    def stop_forwarding(self):
        assert "Done." in self.command("stop")

    def xstats(self):
        """Every counter of the device."""
        out = self.command("show port xstats 0")
        return {name: int(value) for name, value in re.findall(r"^(\w+): (\d+)$", out, re.M)}

    def paths(self):
        """The receive and the transmit function that the driver chose, as it calls them."""
        return tuple(re.findall(r"virtio: using (.*) %s path" % way, self.output())[-1] for way in ("Rx", "Tx"))

    def features(self):
        """The feature bits that were negotiated."""
        return int(re.findall(r"features after negotiate = (\w+)", self.output())[-1], 16)

    def kill(self):
        """The end, as of a VMM that crashes."""
        self.proc.kill()
        self.proc.wait()

    def quit(self):
        """Returns its exit status."""
        self.proc.stdin.write(b"quit\n")
        self.proc.stdin.flush()
        return self.proc.wait(10)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        end(self.proc)
