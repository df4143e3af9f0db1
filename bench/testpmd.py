# SPDX-License-Identifier: MIT
"""DPDK's dpdk-testpmd with a virtio-user device: a vhost-user front end that polls and is not ours."""
import os
import re
import subprocess

from running import STOP_SECS, Process

PROMPT = "testpmd> "
# Its threads let the generator, which is on the same core, go first.
NICE = 15


class Testpmd(Process):
    """Connected to a back end's socket, from `with` to its end."""

    def __init__(self, sock, tmp, core):
        core = core or 0
        argv = ["stdbuf", "-oL", "dpdk-testpmd", "--no-pci", "--no-huge", "-m", "256",
                "--file-prefix", "fe", "--single-file-segments", "--no-telemetry",
                "--lcores", f"0@{core},1@{core}", "--main-lcore", "0",
                "--vdev", f"net_virtio_user0,path={sock},queues=1,queue_size=1024",
                "--", "-i", "--nb-cores=1", "--no-mlockall", "--total-num-mbufs=8192",
                "--no-flush-rx"]
        super().__init__("the front end", argv, os.path.join(tmp, "front.log"), core)
        self.prompts = 0

    def start(self, **more):
        super().start(stdin=subprocess.PIPE, **more)
        self._wait_prompt()
        # Threads that begin later, there are none.
        for task in os.listdir(f"/proc/{self.process.pid}/task"):
            os.setpriority(os.PRIO_PROCESS, int(task), NICE)

    def _text(self):
        with open(self.log, encoding="utf-8", errors="replace") as f:
            return f.read()

    def _wait_prompt(self):
        self.prompts += 1
        self.until(lambda: self._text().count(PROMPT) >= self.prompts, "gave no prompt")

    def command(self, *lines):
        """Run commands; returns what they said."""
        before = len(self._text())
        for line in lines:
            self.process.stdin.write(line.encode() + b"\n")
            self.process.stdin.flush()
            self._wait_prompt()
        return self._text()[before:]

    def forward(self, mode, size=None):
        """Begin: rxonly, txonly, flowgen (both), io (what comes goes back)."""
        sizes = [f"set txpkts {size}"] if size else []
        self.command(f"set fwd {mode}", *sizes, "clear port xstats all", "start")

    def halt(self):
        """Stop; returns (frames received, frames sent) since it began."""
        self.command("stop")
        return self.counts()

    def received(self):
        return self.counts()[0]

    def counts(self):
        stats = dict(re.findall(r"^(\w+): (\d+)$", self.command("show port xstats 0"), re.M))
        return int(stats["rx_good_packets"]), int(stats["tx_good_packets"])

    def stop(self):
        if self.process and self.process.poll() is None:
            try:
                self.process.stdin.write(b"quit\n")
                self.process.stdin.flush()
                self.process.wait(STOP_SECS)
            except (OSError, subprocess.TimeoutExpired):
                pass
        super().stop()
