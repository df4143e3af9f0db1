# SPDX-License-Identifier: MIT
"""A vhost-user front end with a virtio-net driver, told what to do: tests/net/vu-front-tool.

    with Front(ns, want=MODERN | MRG) as vm:
        vm.up(path)                       # connect, negotiate, share, start, enable
        vm.send(frame)                    # the guest sends
        vm.receive()                      # a Frame that the guest got, or None
        vm.flood(tx=1000, rx=1000)        # numbered frames, as tuntap.frame() makes them
"""

import collections
import json
import os
import select
import struct
import subprocess
import time

import vmtap
from netns import PATIENCE, end

# device features
CSUM, GUEST_CSUM, GUEST_OFFLOADS, MTU, MAC = (1 << b for b in (0, 1, 2, 3, 5))
GUEST_TSO4, GUEST_TSO6, GUEST_ECN, GUEST_UFO = (1 << b for b in (7, 8, 9, 10))
HOST_TSO4, HOST_TSO6, HOST_ECN, HOST_UFO, MRG, STATUS = (1 << b for b in (11, 12, 13, 14, 15, 16))
CTRL_VQ, CTRL_RX, CTRL_VLAN, ANNOUNCE, MQ, CTRL_MAC = (1 << b for b in (17, 18, 19, 21, 22, 23))
LOG_ALL, ANY_LAYOUT, INDIRECT, EVENT_IDX, PROTOCOL = (1 << b for b in (26, 27, 28, 29, 30))
VERSION_1, PACKED, IN_ORDER = (1 << b for b in (32, 34, 35))
GUEST_USO4, GUEST_USO6, HOST_USO = (1 << b for b in (54, 55, 56))

MODERN = PROTOCOL | VERSION_1
LEGACY = PROTOCOL | ANY_LAYOUT

# protocol features
P_MQ, P_LOG, P_RARP, P_REPLY_ACK, P_MTU, P_BACKEND = (1 << b for b in range(6))
P_CONFIG, P_INFLIGHT, P_RESET, P_SLOTS, P_STATUS = (1 << b for b in (9, 12, 13, 15, 16))

# requests
(GET_FEATURES, SET_FEATURES, SET_OWNER, RESET_OWNER, SET_MEM_TABLE, SET_LOG_BASE, SET_LOG_FD,
 SET_VRING_NUM, SET_VRING_ADDR, SET_VRING_BASE, GET_VRING_BASE, SET_VRING_KICK, SET_VRING_CALL,
 SET_VRING_ERR, GET_PROTOCOL, SET_PROTOCOL, GET_QUEUE_NUM, SET_VRING_ENABLE, SEND_RARP,
 NET_SET_MTU, SET_BACKEND_FD) = range(1, 22)
GET_CONFIG, SET_CONFIG, GET_INFLIGHT, SET_INFLIGHT, RESET_DEVICE = 24, 25, 31, 32, 34
GET_SLOTS, ADD_MEM, REM_MEM, SET_STATUS, GET_STATUS = range(36, 41)

# what it can do with a ring; the second half only with split ones
BREAKAGES = ("address-outside", "address-wraps", "length-outside", "read-after-write",
             "table-outside", "table-empty", "table-odd", "table-too-long", "zero-length")
SPLIT_BREAKAGES = ("loop", "self-loop", "head-outside", "next-outside", "table-loop",
                   "table-in-table", "table-next-outside", "index-ahead")

Frame = collections.namedtuple("Frame", "data hdr chains")
Hdr = collections.namedtuple("Hdr", "flags gso_type hdr_len gso_size csum_start csum_offset buffers")


class Refused(Exception):
    """The tool could not do what it was told."""


def hdr(flags=0, gso_type=0, hdr_len=0, gso_size=0, csum_start=0, csum_offset=0, buffers=0):
    return struct.pack("<BBHHHHH", flags, gso_type, hdr_len, gso_size, csum_start, csum_offset,
                       buffers)


class Front:
    """@ns may be None: right here. Settings are those of the command `set`, with _ for -."""

    def __init__(self, ns=None, **settings):
        command = [os.path.join(vmtap.build(), "tests", "net", "vu-front-tool")]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "bufsize": 0}
        self.proc = ns.popen(command, **pipes) if ns else subprocess.Popen(command, **pipes)
        self.buffer = b""
        self.region_cnt = 0
        self.told = {"pairs": 1, "ring_size": 256}
        self.set(**settings)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    def close(self, sig=None):
        """With @sig, the front end is killed by it."""
        if sig is not None and self.proc.poll() is None:
            self.proc.send_signal(sig)
        self.proc.stdin.close()
        try:
            self.proc.wait(5)
        except subprocess.TimeoutExpired:
            pass
        end(self.proc)
        self.proc.stdout.close()

    def ask(self, command, timeout=60):
        """One command line. Returns the answer, whether "ok" or not."""
        self.start(command)
        return self.answer(timeout)

    def start(self, command):
        """A command whose answer() is asked for later."""
        self.proc.stdin.write(command.encode() + b"\n")

    def answer(self, timeout=60):
        deadline = time.monotonic() + timeout
        while b"\n" not in self.buffer:
            left = max(0, deadline - time.monotonic())
            assert select.select([self.proc.stdout], [], [], left)[0], "the front end hangs"
            data = os.read(self.proc.stdout.fileno(), 1 << 18)
            assert data, "the front end ended with status %s" % self.proc.wait(5)
            self.buffer += data
        text, self.buffer = self.buffer.split(b"\n", 1)
        return json.loads(text)

    def do(self, command, timeout=60):
        """As ask(), and it has to succeed."""
        got = self.ask(command, timeout)
        if not got["ok"]:
            raise Refused("%s: %s" % (command[:60], got["why"]))
        return got

    def set(self, **settings):
        if settings:
            self.told.update(settings)
            self.do("set " + " ".join("%s=%s" % (k.replace("_", "-"),
                                                 int(v) if isinstance(v, bool) else v)
                                      for k, v in settings.items()))

    # Setting up: in steps, so that tests can stop anywhere

    def steps(self, path, mem=(256 << 20,), post=True, enable=True, ctrl=False):
        """What up() does, one step after the other."""
        queues = 2 * self.told["pairs"]
        rings = queues + ctrl
        yield "connect", lambda: self.do("connect %s" % path)
        yield "negotiate", self.negotiate
        for size in mem:
            yield "mem", lambda size=size: self.mem(size)
        yield "queues", lambda: self.do("queues %d" % rings)
        yield "share", lambda: self.do("share")
        if self.protocol & P_STATUS:
            yield "status", lambda: self.status(0x0f)
        for q in range(rings):
            yield "start", lambda q=q: self.do("start %d" % q)
        if enable and self.features & PROTOCOL:
            for q in range(rings):
                yield "enable", lambda q=q: self.enable(q)
        if post:
            for q in range(0, queues, 2):
                yield "post", lambda q=q: self.post(q)

    def up(self, path, **how):
        for _, step in self.steps(path, **how):
            step()
        self.settle()
        return self

    def settle(self):
        """Until the back end has carried out everything that it was told: messages are answered in order."""
        self.message(GET_FEATURES, reply=True)

    def mem(self, size, offset=0, sealed=False):
        """A region behind the others. Returns its number."""
        return self.do("mem %d offset=%d sealed=%d" % (size, offset, sealed))["region"]

    def again(self, path, inflight=False):
        """Connect (@path None: that is done), and go on with memory and rings as they are."""
        if path:
            self.do("connect %s" % path)
        self.negotiate()
        self.do("share")
        if inflight:
            self.do("inflight-set")
        if self.protocol & P_STATUS:
            self.status(0x0f)
        queues = 2 * self.told["pairs"]
        for q in range(queues):
            self.do("start %d" % q)
        for q in range(queues if self.features & PROTOCOL else 0):
            self.enable(q)
        self.settle()

    def negotiate(self):
        got = self.do("negotiate")
        self.offered, self.features = got["offered"], got["features"]
        self.protocol_offered, self.protocol = got["protocol_offered"], got["protocol"]
        self.queue_max = got["queue_max"]
        return got

    def enable(self, queue, on=True):
        self.do("enable %d %d" % (queue, on))

    def post(self, queue=0, count=1 << 16):
        return self.do("post %d %d" % (queue, count))["posted"]

    def stop(self, queue):
        """GET_VRING_BASE. Returns the device's base, and the driver's."""
        got = self.do("stop %d" % queue)
        return got["base"], got["driver"]

    def status(self, value):
        self.message(SET_STATUS, struct.pack("<Q", value))

    # Messages

    def message(self, request, payload=b"", reply=False, **how):
        """A raw message; @how: size, flags, fds. Returns the reply's payload."""
        text = "msg %d payload=%s reply=%d" % (request, payload.hex(), reply)
        got = self.do(text + "".join(" %s=%d" % item for item in how.items()))
        return bytes.fromhex(got["payload"]) if reply else None

    def is_closed(self, timeout_ms=5000):
        return self.do("closed %d" % timeout_ms)["closed"]

    # Frames

    def send(self, data, queue=1, header=b""):
        self.do("send %d %s hdr=%s" % (queue, data.hex(), header.hex()))

    def burst(self, count, queue=1, **what):
        """Numbered frames with one kick, until the device used all. @what: size, first."""
        self.do("burst %d %d" % (queue, count) + "".join(" %s=%d" % item for item in what.items()))

    def receive(self, queue=0, timeout=10, kind=None):
        """The next frame, of EtherType @kind if given; None when none comes in time."""
        deadline = time.monotonic() + timeout
        while True:
            left = max(0, deadline - time.monotonic())
            got = self.do("receive %d %d" % (queue, int(left * 1000)))
            if not got.get("frame"):
                return None
            data = bytes.fromhex(got["frame"])
            if kind is None or struct.unpack_from("!H", data, 12)[0] == kind:
                fields = struct.unpack("<BBHHHHH", bytes.fromhex(got["hdr"]))
                return Frame(data, Hdr(*fields), got["chains"])

    def flood(self, timeout=120, **what):
        """@what: pair or all, tx, rx, first, min, max, idle_ms; change ("pairs", "memory", "rings") after
        each @every frames that were sent. Returns what became of it."""
        self.flood_start(**what)
        return self.answer(timeout)

    def flood_start(self, **what):
        if PATIENCE > 1:
            what.setdefault("idle_ms", 5000 * PATIENCE)
        self.start("flood x" + "".join(" %s=%s" % (k.replace("_", "-"), v)
                                       for k, v in what.items()))

    def state(self):
        return self.do("state")
