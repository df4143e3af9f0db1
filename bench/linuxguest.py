# SPDX-License-Identifier: MIT
"""A Linux guest in QEMU: iperf3 both ways, small UDP packets, pings, and what all that costs."""
import json
import os
import re
import socket
import subprocess
import sys
import time

from backend import TAP, BackendError
from plan import Plan
from running import Process, Tap, cpu_of, cpu_secs, ip

SCRIPTS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "scripts")
sys.path.insert(0, os.path.join(SCRIPTS, "guest"))
import agent  # noqa: E402 pylint: disable=wrong-import-position

HOST, GUEST = "10.77.0.1", "10.77.0.2"
BOOT_SECS = 90
LONGER = 4          # than the tests without a guest
PINGS, PING_SECS = 500, 0.002
UDP_PAYLOAD = 22    # 64 bytes a frame
UDP_RATE = "10M"    # offered to the guest: more than it takes
MEMORY = ["-object", "memory-backend-memfd,id=mem,size=256M,share=on",
          "-machine", "memory-backend=mem"]
NETDEV = {
    "in-qemu": [f"tap,id=n0,ifname={TAP},script=no,downscript=no,vhost=off"],
    "stream": ["stream,id=n0,server=off,addr.type=unix,addr.path={sock}"],
    "vhost-user": ["vhost-user,id=n0,chardev=c0", "-chardev", "socket,id=c0,path={sock}", *MEMORY]}


def prepare():
    """Make the guest's image, outside of any namespace: it may have to be fetched."""
    done = subprocess.run([os.path.join(SCRIPTS, "guest-image.sh")], stdin=subprocess.DEVNULL,
                          stdout=sys.stderr, stderr=subprocess.PIPE, check=False)
    if done.returncode:
        raise BackendError("the guest's image cannot be made: "
                           + done.stderr.decode(errors="replace").strip())


class Guest(Process):
    """QEMU with the guest, from `with` to its end; takes commands once it is there."""

    def __init__(self, mode, sock, tmp):
        netdev, *more = (word.replace("{sock}", sock) for word in NETDEV[mode])
        # QEMU 7.2 without KVM crashes when a vhost-user NIC uses MSI-X; the same for all, then.
        device = "virtio-net-pci,romfile=,netdev=n0,vectors=0"
        self.theirs = None
        self.agent = None
        super().__init__("QEMU", [os.path.join(SCRIPTS, "guest-boot.sh"), "-no-reboot",
                                  "-serial", f"file:{tmp}/console", *more, "-netdev", netdev,
                                  "-device", device], os.path.join(tmp, "qemu.log"))

    def start(self, **more):
        ours, theirs = socket.socketpair()
        fd = theirs.fileno()
        self.argv += ["-chardev", f"socket,id=agent,fd={fd}", "-serial", "chardev:agent"]
        with theirs:
            super().start(pass_fds=[fd], **more)
        self.agent = agent.Agent(ours)
        try:
            self.agent.wait_ready(BOOT_SECS)
            self.ok(f"ip link set eth0 up; ip addr add {GUEST}/24 dev eth0; "
                    f"for i in 1 2 3 4 5 6 7 8 9; do /bin/ping -c 1 -W 1 {HOST} && break; done")
        except (agent.AgentError, OSError) as e:
            raise BackendError(f"the guest: {e}{self.said()}") from e

    def ok(self, command, timeout=60):
        status, output = self.agent.run(command, timeout)
        if status:
            raise BackendError(f"the guest: {command}: {output.strip()[-400:]}")
        return output

    def main_secs(self):
        """CPU time of QEMU's main thread: what is not the emulated processor."""
        pid = self.process.pid
        return cpu_secs(f"/proc/{pid}/task/{pid}/stat")

    def stop(self):
        super().stop()
        if self.agent:
            self.agent.close()


class GuestPlan(Plan):
    """One guest, all tests."""
    pinned = False

    def __init__(self, o, kind, mode, peer, rep, tests):
        super().__init__(o, "guest", kind, "emulated", rep, tests)
        self.netdev, self.peer = mode, peer
        self.test_secs = o.secs * LONGER
        self.secs = self.test_secs * len(tests) + 15

    def measure(self, env):
        if self.netdev == "in-qemu":
            return self.alone(env)
        return self.with_backend(env, self.netdev, lambda running: self.guest(env, running))

    def alone(self, env):
        with Tap():
            yield from self.guest(env, None)

    def guest(self, env, running):
        ip("addr", "add", f"{HOST}/24", "dev", TAP)
        with Process("iperf3", ["iperf3", "-s", "-B", HOST], os.path.join(env.tmp, "iperf.log")):
            with Guest(self.netdev, running.sock if running else "", env.tmp) as guest:
                for test in self.tests:
                    yield self.one(guest, running, test)

    def one(self, guest, running, test):
        begin = time.monotonic()
        main, back = guest.main_secs(), cpu_of(running.pids()) if running else 0.0
        fields = {"test": test, **getattr(self, test.replace("-", "_"))(guest)}
        main = guest.main_secs() - main
        back = cpu_of(running.pids()) - back if running else 0.0
        secs = time.monotonic() - begin
        fields.update(cpu=back / secs, cpu_main=main / secs)
        if fields.get("mbps"):
            fields["cpu_per_gbit"] = (main + back) / (fields["mbps"] * fields["secs"] / 1e3)
        if fields.get("pps"):
            fields["us_per_frame"] = (main + back) * 1e6 / (fields["pps"] * fields["secs"])
        return fields

    def idle(self, _guest):
        time.sleep(self.test_secs / 2)
        return {}

    def iperf(self, guest, args):
        # The server may still be busy with the end of the last test.
        secs = max(1, round(self.test_secs))
        out = guest.ok(f"for i in 1 2 3 4 5; do iperf3 -J -c {HOST} -t {secs} {args} >/tmp/o && "
                       "break; sleep 0.2; done; cat /tmp/o", secs + 30)
        end = json.loads(out).get("end", {})
        if not end.get("sum_received") and not end.get("sum"):
            raise BackendError(f"iperf3 in the guest: {json.loads(out).get('error', out[-400:])}")
        return end

    def tcp(self, guest, args):
        got = self.iperf(guest, args)["sum_received"]
        return {"mbps": got["bits_per_second"] / 1e6, "secs": got["seconds"]}

    def udp(self, guest, args):
        got = self.iperf(guest, f"-u -l {UDP_PAYLOAD} {args}")["sum"]
        came = got["packets"] - got["lost_packets"]
        return {"pps": came / got["seconds"], "secs": got["seconds"],
                "sent_pps": got["packets"] / got["seconds"]}

    def tcp_up(self, guest):
        return self.tcp(guest, "")

    def tcp_down(self, guest):
        return self.tcp(guest, "-R")

    def udp_up(self, guest):
        return self.udp(guest, "-b 0")

    def udp_down(self, guest):
        return self.udp(guest, f"-b {UDP_RATE} -R")

    def ping(self, guest):
        cnt = min(PINGS, max(20, round(PINGS * self.test_secs / LONGER)))
        out = guest.ok(f"/bin/ping -n -c {cnt} -i {PING_SECS} -w 20 {HOST}")
        times = sorted(float(t) * 1e3 for t in re.findall(r"time=([\d.]+) ms", out))
        if not times:
            raise BackendError("the guest: no ping came back")
        return {"rtt_p50": times[len(times) // 2], "rtt_p99": times[len(times) * 99 // 100],
                "lost": cnt - len(times)}
