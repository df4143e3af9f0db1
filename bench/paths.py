# SPDX-License-Identifier: MIT
"""Paths: what a switch of eight ports, and a capture, make of a plain link's rate."""
import contextlib
import os
import re
import socket

from backend import TAP, VMTAP_SOCKET, VMTAP_TAP, BackendError, Kind, before_connect
from bulk import BulkPlan
from running import Process

SWITCH_PORTS = 8
CAPTURE_MIB = "256"  # of each of the two files that a capture writes in turn
CONF = """[port host]
type = tap
ifname = {tap}
script = no
downscript = no
[port guest]
type = vhost-user
server = on
path = {sock}
[link vm]
ports = host guest
"""


def link_of(kind):
    """What the two are compared with."""
    return Kind(kind.name + "-link", {"vhost-user": kind.commands["vhost-user"]}, kind.version,
                reference=True)


def switch_of(kind):
    """The same two ports, and others that nobody talks to, which swallow what is flooded."""
    silent = ["null"] * (SWITCH_PORTS - 2)
    return Kind(kind.name, {"vhost-user": [*before_connect(kind), "connect", "switch", VMTAP_TAP,
                                           VMTAP_SOCKET["vhost-user"], *silent]}, kind.version)


def serve_of(kind):
    return Kind(kind.name, {"vhost-user": [*before_connect(kind), "--control", "{sock}.control", "-c", "{sock}.conf",
                                           "serve"]}, kind.version)


class SwitchPlan(BulkPlan):
    @contextlib.contextmanager
    def around(self, env, running):
        """The switch learns where the frames' destination is. The first test makes it learn the guest's."""
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as s:
            s.bind((TAP, 0))
            s.send(bytes.fromhex("020000000001" "0200000000fe" "88b5") + bytes(46))
        yield


class Capture(Process):
    """vmtap capture, from `with` to its end, which says what it captured."""

    def __init__(self, env, running):
        self.folder = os.path.join(env.tmp, "capture")
        os.makedirs(self.folder, exist_ok=True)
        argv = [running.argv[0], "--control", running.sock + ".control", "capture", "guest", "-w",
                os.path.join(self.folder, "pcapng"), "-C", CAPTURE_MIB, "-W", "2"]
        super().__init__("capture", argv, os.path.join(env.tmp, "capture.log"))

    def start(self, **more):
        super().start(**more)
        self.until(lambda: "capturing on" in self.said(), "did not begin")

    def result(self):
        """After its end."""
        found = re.search(r"(\d+) frames captured, (\d+) seen, .* (\d+) dropped", self.said())
        if not found:
            raise BackendError(f"the capture does not say how many frames it has{self.said()}")
        captured, seen, dropped = map(float, found.groups())
        return {"test": "capture", "captured": captured, "missed": dropped / seen if seen else 0.0}


class CapturePlan(BulkPlan):
    """Not pinned: the frames and the file are written by two threads of one process."""
    pinned = False

    def measure(self, env):
        with open(os.path.join(env.tmp, "sock.conf"), "w", encoding="ascii") as f:
            f.write(CONF.format(tap=TAP, sock=os.path.join(env.tmp, "sock")))
        yield from super().measure(env)

    def after(self):
        yield self.capture.result()

    @contextlib.contextmanager
    def around(self, env, running):
        self.capture = Capture(env, running)
        with self.capture:
            yield
