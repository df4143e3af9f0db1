# SPDX-License-Identifier: MIT
"""What a front end or its guest may do wrong to the vhost-user port: each ends that connection, says
why, and the port serves the next one; nothing is left behind."""

import signal
import struct

import pytest

import vu
from netns import wait_until
from tuntap import GUEST, HOST, frame
from vu import MODERN, MRG, PACKED
from vulab import Lab, front

U64 = struct.Struct("<Q")
STATE = struct.Struct("<II")
ADDR = struct.Struct("<IIQQQQ")
REGION = struct.Struct("<QQQQ")
UVA = 0x7E0000000000  # VUF_UVA of tests/lib/vu-front.h


@pytest.fixture
def lab(ns, folder):
    with Lab(ns, folder) as made:
        yield made


def serves(lab, count=50, **settings):
    """The port takes a front end, and frames pass."""
    settings.setdefault("want", MODERN | MRG)
    with front(lab, ring_size=64, **settings) as vm:
        lab.exchange(vm, count)


# Leaving

@pytest.mark.parametrize("sig", [None, signal.SIGKILL], ids=["closes", "killed"])
@pytest.mark.parametrize("ring", [0, PACKED], ids=["split", "packed"])
def test_front_end_leaves_at_every_step(lab, sig, ring):
    serves(lab)
    wait_until(lambda: not lab.mappings())
    before = lab.descriptors()
    settings = {"want": MODERN | MRG | ring, "ring_size": 64}
    with lab.front(**settings) as vm:
        steps = sum(1 for step in vm.steps(lab.path) if step[1]() or True)
    for last in range(1, steps + 1):
        with lab.front(**settings) as vm:
            for _, (_, step) in zip(range(last), vm.steps(lab.path)):
                step()
            vm.close(sig)
    serves(lab, want=MODERN | MRG | ring)
    wait_until(lambda: not lab.mappings())
    assert lab.descriptors() == before


@pytest.mark.parametrize("ring", [0, PACKED], ids=["split", "packed"])
def test_front_end_is_killed_in_full_traffic(lab, ring):
    for turn in range(5):
        with front(lab, want=MODERN | MRG | ring, ring_size=64) as vm:
            vm.flood_start(tx=1 << 30, rx=1 << 30)
            lab.give(100)
            assert lab.kernel.receive()
            vm.close(signal.SIGKILL)
        wait_until(lambda: not lab.mappings())
        # what is on its way still: up to a frame that is not of the flood
        with front(lab, want=MODERN | MRG, ring_size=64) as vm:
            last = frame(turn, 61, dst=HOST, src=GUEST)
            vm.send(last)
            while lab.kernel.receive() != last:
                pass
    serves(lab)


def test_a_second_front_end_waits_for_its_turn(lab):
    with front(lab, want=MODERN | MRG, ring_size=64) as first, lab.front(want=MODERN | MRG) as second:
        lab.exchange(first, 50)
        second.ask("connect " + lab.path)  # is refused, or waits
        lab.exchange(first, 50, first=100)
    serves(lab)


# Messages

def slots(vm):
    """A front end that has one region, and knows it."""
    vm.negotiate()
    vm.mem(16 << 20)
    vm.do("share")


def running(vm):
    for name, step in vm.steps("", mem=(16 << 20,)):
        if name != "connect":
            step()


def send(request, payload=b"", **how):
    return lambda vm: vm.message(request, payload, **how)


# name: (how far the front end has come before, what it does then, what the log says of it)
ILLEGAL = {
    "unknown-request": (None, send(200), "200"),
    "request-zero": (None, send(0), ""),
    "reply-flag": (None, send(vu.GET_FEATURES, flags=5), ""),
    "version-0": (None, send(vu.GET_FEATURES, flags=0), ""),
    "version-2": (None, send(vu.GET_FEATURES, flags=2), ""),
    "size-4-GiB": (None, send(vu.SET_FEATURES, bytes(64), size=0xFFFFFFFF), ""),
    "size-too-large": (None, send(vu.SET_FEATURES, bytes(16)), "SET_FEATURES"),
    "size-too-small": (None, send(vu.SET_FEATURES, bytes(4)), "SET_FEATURES"),
    "payload-of-a-question": (None, send(vu.GET_FEATURES, bytes(8)), "GET_FEATURES"),
    "descriptor-too-many": (None, send(vu.GET_FEATURES, fds=1), "GET_FEATURES"),
    "60-descriptors": (None, send(vu.GET_FEATURES, fds=60), ""),
    "rubbish": (None, lambda vm: vm.do("raw " + "fe" * 64), ""),
    "features-not-offered": (None, send(vu.SET_FEATURES, U64.pack(1 << 63)), "SET_FEATURES"),
    "protocol-not-offered": (None, send(vu.SET_PROTOCOL, U64.pack(1 << 63)), "SET_PROTOCOL"),
    "slots-without-the-feature": (None, send(vu.ADD_MEM, bytes(40), fds=1), "ADD_MEM_REG"),
    "status-without-the-feature": (None, send(vu.SET_STATUS, bytes(8)), "SET_STATUS"),
    "config-without-the-feature": (None, send(vu.GET_CONFIG, bytes(24)), "GET_CONFIG"),
    "in-flight-without-the-feature": (None, send(vu.GET_INFLIGHT, bytes(20)), "GET_INFLIGHT_FD"),
    "log-without-the-feature": (None, send(vu.SET_LOG_BASE, bytes(16), fds=1), "SET_LOG_BASE"),

    "table-without-descriptors": (
        None, send(vu.SET_MEM_TABLE, struct.pack("<II", 1, 0) + REGION.pack(0, 4096, UVA, 0)),
        "share=on"),
    "table-of-an-eventfd": (
        None, send(vu.SET_MEM_TABLE, struct.pack("<II", 1, 0) + REGION.pack(0, 4096, UVA, 0), fds=1),
        "SET_MEM_TABLE"),
    "table-of-4-G-regions": (
        None, send(vu.SET_MEM_TABLE, struct.pack("<II", 0xFFFFFFFF, 0) + bytes(64), fds=1),
        "SET_MEM_TABLE"),
    "table-cut-off": (None, send(vu.SET_MEM_TABLE, struct.pack("<II", 2, 0) + bytes(32), fds=2),
                      "SET_MEM_TABLE"),
    "region-that-overlaps": (slots, lambda vm: (vm.do("mem 65536 gpa=4096"), vm.do("mem-add 1")),
                             "ADD_MEM_REG"),
    "region-at-the-end-of-all-addresses": (
        slots, lambda vm: (vm.do("mem 65536 gpa=%d" % ((1 << 64) - 8192)), vm.do("mem-add 1")),
        "ADD_MEM_REG"),
    "region-beyond-its-file": (slots, lambda vm: (vm.mem(1 << 20), vm.do("shrink 1 4096"),
                                                  vm.do("mem-add 1")), "ADD_MEM_REG"),
    "region-without-a-descriptor": (
        slots, send(vu.ADD_MEM, bytes(8) + REGION.pack(1 << 40, 4096, 1 << 40, 0)), "share=on"),

    "ring-index": (slots, send(vu.SET_VRING_NUM, STATE.pack(99, 64)), "SET_VRING_NUM"),
    "ring-index-4-G": (slots, send(vu.SET_VRING_ENABLE, STATE.pack(0xFFFFFFFF, 1)),
                       "SET_VRING_ENABLE"),
    "ring-size-0": (slots, send(vu.SET_VRING_NUM, STATE.pack(0, 0)), "SET_VRING_NUM"),
    "ring-size-65536": (slots, send(vu.SET_VRING_NUM, STATE.pack(0, 65536)), "SET_VRING_NUM"),
    "ring-of-no-power-of-two": (
        slots, lambda vm: (vm.set(ring_size=100), vm.do("queues 2"), vm.do("start 0")), ""),
    "enabled-twice-over": (slots, send(vu.SET_VRING_ENABLE, STATE.pack(0, 2)), "SET_VRING_ENABLE"),
    "kick-without-descriptor": (slots, send(vu.SET_VRING_KICK, U64.pack(0)), "SET_VRING_KICK"),
    "kick-with-two": (slots, send(vu.SET_VRING_KICK, U64.pack(0), fds=2), "SET_VRING_KICK"),
    "no-kick-with-one": (slots, send(vu.SET_VRING_KICK, U64.pack(0x100), fds=1), "SET_VRING_KICK"),
    "call-of-no-ring": (slots, send(vu.SET_VRING_CALL, U64.pack(0xFE), fds=1), "SET_VRING_CALL"),
    "base-of-no-ring": (slots, send(vu.GET_VRING_BASE, STATE.pack(77, 0)), "GET_VRING_BASE"),
    "ring-in-no-memory": (
        slots, lambda vm: (vm.message(vu.SET_VRING_NUM, STATE.pack(0, 64)),
                           vm.message(vu.SET_VRING_BASE, STATE.pack(0, 0)),
                           vm.message(vu.SET_VRING_ADDR, ADDR.pack(0, 0, 4096, 8192, 12288, 0)),
                           vm.message(vu.SET_VRING_KICK, U64.pack(0), fds=1),
                           vm.message(vu.SET_VRING_ENABLE, STATE.pack(0, 1))), ""),
    "ring-that-is-not-aligned": (
        slots, lambda vm: (vm.message(vu.SET_VRING_NUM, STATE.pack(0, 64)),
                           vm.message(vu.SET_VRING_BASE, STATE.pack(0, 0)),
                           vm.message(vu.SET_VRING_ADDR, ADDR.pack(0, 0, UVA + 4097, UVA + 8193,
                                                                   UVA + 12289, 0)),
                           vm.message(vu.SET_VRING_KICK, U64.pack(0), fds=1),
                           vm.message(vu.SET_VRING_ENABLE, STATE.pack(0, 1))), ""),
    "ring-beyond-its-region": (
        slots, lambda vm: (vm.message(vu.SET_VRING_NUM, STATE.pack(0, 32768)),
                           vm.message(vu.SET_VRING_BASE, STATE.pack(0, 0)),
                           vm.message(vu.SET_VRING_ADDR, ADDR.pack(0, 0, UVA + (16 << 20) - 4096,
                                                                   UVA + 8192, UVA + 12288, 0)),
                           vm.message(vu.SET_VRING_KICK, U64.pack(0), fds=1),
                           vm.message(vu.SET_VRING_ENABLE, STATE.pack(0, 1))), ""),

    "size-of-a-ring-that-runs": (running, send(vu.SET_VRING_NUM, STATE.pack(0, 128)),
                                 "SET_VRING_NUM"),
    "base-of-a-ring-that-runs": (running, send(vu.SET_VRING_BASE, STATE.pack(0, 7)),
                                 "SET_VRING_BASE"),
    "place-of-a-ring-that-runs": (
        running, send(vu.SET_VRING_ADDR, ADDR.pack(0, 0, UVA, UVA + 65536, UVA + 131072, 0)),
        "SET_VRING_ADDR"),
    "log-without-descriptor": (running, send(vu.SET_LOG_BASE, struct.pack("<QQ", 4096, 0)),
                               "SET_LOG_BASE"),
    "log-of-an-eventfd": (running, send(vu.SET_LOG_BASE, struct.pack("<QQ", 4096, 0), fds=1),
                          "SET_LOG_BASE"),
    "in-flight-of-an-eventfd": (
        slots, send(vu.SET_INFLIGHT, struct.pack("<QQHH", 65536, 0, 2, 64), fds=1),
        "SET_INFLIGHT_FD"),
    "in-flight-of-65535-queues": (
        slots, send(vu.GET_INFLIGHT, struct.pack("<QQHH", 0, 0, 65535, 65535)), "GET_INFLIGHT_FD"),
    "mtu-of-10": (slots, send(vu.NET_SET_MTU, U64.pack(10)), "NET_SET_MTU"),
    "mtu-of-1-M": (slots, send(vu.NET_SET_MTU, U64.pack(1 << 20)), "NET_SET_MTU"),
}


@pytest.mark.parametrize("name", ILLEGAL)
def test_an_illegal_message_ends_the_connection_and_says_why(lab, name):
    before, act, said = ILLEGAL[name]
    with lab.front(want=MODERN | MRG, ring_size=64) as vm:
        vm.do("connect " + lab.path)
        if before:
            before(vm)
        descriptors, mark = lab.descriptors(), len(lab.vmtap.events())
        try:
            act(vm)
        except vu.Refused:
            pass  # the tool found it closed already
        assert vm.is_closed(), "the connection goes on"
        words = [e for e in lab.vmtap.events()[mark:] if e.get("level") in ("error", "warning")]
        assert len(words) == 1, words
        assert said in str(words[0]), words[0]
        assert "disconnected: " in words[0]["message"], words[0]
        assert lab.descriptors() <= descriptors
    serves(lab)


def test_a_request_that_is_refused_and_asks_for_an_answer_gets_one(lab):
    with lab.front(want=MODERN | MRG) as vm:
        vm.do("connect " + lab.path)
        vm.negotiate()
        got = vm.message(vu.SET_VRING_NUM, STATE.pack(0, 0), flags=9, reply=True)
        assert U64.unpack(got)[0] != 0
        assert vm.is_closed()


def test_every_request_that_asks_is_answered(lab):
    with front(lab, want=MODERN | MRG, need_reply=1) as vm:
        for request, payload in (
                (vu.SET_OWNER, b""), (vu.SET_FEATURES, U64.pack(vm.features)),
                (vu.SET_PROTOCOL, U64.pack(vm.protocol)), (vu.SEND_RARP, bytes(8)),
                (vu.NET_SET_MTU, U64.pack(1400)), (vu.SET_STATUS, U64.pack(15)),
                (vu.SET_VRING_ENABLE, STATE.pack(0, 1)), (vu.SET_VRING_CALL, U64.pack(0x101))):
            got = vm.message(request, payload, flags=9, reply=True)
            assert U64.unpack(got) == (0,), request


def test_configuration_beyond_its_end_is_answered_by_nothing(lab):
    with front(lab, want=MODERN | MRG) as vm:
        ask = struct.pack("<III", 250, 200, 0) + bytes(200)
        assert vm.message(vu.GET_CONFIG, ask, reply=True) == b""
        lab.exchange(vm, 10)


def test_regions_may_be_added_and_removed_twice(lab):
    """As QEMU does it, once for each queue pair."""
    with front(lab, want=MODERN | MRG, ring_size=64, need_reply=1) as vm:
        vm.do("mem-add 0")
        region = vm.mem(1 << 20)
        for command in "mem-add", "mem-add", "mem-del", "mem-del":
            vm.do("%s %d" % (command, region))
        lab.exchange(vm, 50)


@pytest.mark.parametrize("size", [1, 11, 12, 15])
def test_a_message_may_come_in_pieces_or_never_end(lab, size):
    whole = struct.pack("<III", vu.SET_FEATURES, 1, 8) + U64.pack(MODERN)
    with lab.front() as vm:
        vm.do("connect " + lab.path)
        for at in range(0, len(whole), size):
            vm.do("raw " + whole[at:at + size].hex())
        vm.negotiate()
        vm.do("raw " + whole[:size].hex())
    serves(lab)


def test_a_front_end_that_reads_no_replies_is_left(lab):
    question = struct.pack("<III", vu.GET_FEATURES, 1, 0).hex()
    with lab.front() as vm:
        vm.do("connect " + lab.path)
        with pytest.raises(vu.Refused):
            for _ in range(1000):
                vm.do("raw " + question * 1000)
    serves(lab)


# Memory that goes

@pytest.mark.parametrize("ring", [0, PACKED], ids=["split", "packed"])
@pytest.mark.parametrize("left", [0, 64 << 10], ids=["nothing-left", "rings-left"])
def test_a_memory_file_that_is_shrunk_ends_one_connection_only(lab, ring, left):
    with front(lab, want=MODERN | MRG | ring, ring_size=64, no_kick=1) as vm:
        lab.exchange(vm, 50)
        vm.do("shrink 0 %d" % left)
        lab.give(200)
        assert vm.is_closed()
    assert lab.vmtap.proc.poll() is None
    assert "memory" in lab.log()
    serves(lab)


def test_a_region_that_was_removed_is_used_no_more(lab):
    with front(lab, want=MODERN | MRG, ring_size=64, need_reply=1) as vm:
        region = vm.mem(32 << 20)
        vm.set(alloc_min=vm.do("mem-add %d" % region)["gpa"])
        vm.do("move 1")
        lab.exchange(vm, 50)
        vm.do("mem-del %d" % region)
        assert len(lab.mappings()) == 1
        vm.send(frame(1))
        assert vm.do("err 1 5000")["signalled"]
    serves(lab)


# Rings

@pytest.mark.parametrize("queue", [0, 1], ids=["receive", "transmit"])
@pytest.mark.parametrize("ring,kind", [("split", k) for k in vu.BREAKAGES + vu.SPLIT_BREAKAGES]
                         + [("packed", k) for k in vu.BREAKAGES])
def test_a_hostile_chain_breaks_its_ring_alone(lab, ring, kind, queue):
    want = MODERN | MRG | vu.INDIRECT | (PACKED if ring == "packed" else 0)
    with front(lab, want=want, ring_size=256, how={"post": False}) as vm:
        vm.do("break %d %s" % (queue, kind))
        if queue == 0:
            lab.give(1)  # receive buffers are looked at when there is something to receive
        assert vm.do("err %d 5000" % queue)["signalled"]
        lab.wait_for_log("queue %d is broken" % queue)
        # the other ring of the pair goes on
        if queue == 0:
            vm.send(frame(9, dst=HOST, src=GUEST))
            assert lab.kernel.receive() == frame(9, dst=HOST, src=GUEST)
    serves(lab)


def test_a_broken_ring_is_logged_once(lab):
    with front(lab, want=MODERN | MRG, ring_size=64) as vm:
        vm.do("break 1 address-outside")
        assert vm.do("err 1 5000")["signalled"]
        for _ in range(50):
            vm.do("kick 1")
        words = [e for e in lab.vmtap.events() if e.get("level") in ("error", "warning")]
        assert len(words) == 1 and "queue 1 is broken" in words[0]["message"], words


def test_a_broken_ring_works_again_after_a_new_start(lab):
    with front(lab, want=MODERN | MRG, ring_size=64, how={"post": False}) as vm:
        vm.do("break 1 address-outside")
        assert vm.do("err 1 5000")["signalled"]
        vm.stop(0)
        vm.do("stop 1")
        vm.do("queues 2")
        for q in 0, 1:
            vm.do("start %d" % q)
            vm.enable(q)
        vm.post(0)
        lab.exchange(vm, 100)


@pytest.mark.parametrize("header", [
    vu.hdr(flags=1, csum_start=60000, csum_offset=2), vu.hdr(flags=1, csum_start=65535, csum_offset=65535),
    vu.hdr(gso_type=1, gso_size=0), vu.hdr(gso_type=99, gso_size=100), vu.hdr(gso_type=1, gso_size=1),
    vu.hdr(flags=0xff), b"\xff" * 12])
def test_an_impossible_header_harms_nobody(lab, header):
    with front(lab, want=MODERN | MRG | vu.CSUM | vu.HOST_TSO4, ring_size=64) as vm:
        for size in 60, 1400:
            vm.send(frame(1, size), header=header)
        good = frame(2, 100, dst=HOST, src=GUEST)
        vm.send(good)
        wait_until(lambda: lab.kernel.receive() == good)
        assert vm.state()["queues"][1]["free"] <= 64
    serves(lab)


# Nothing is left

def test_nothing_leaks(lab):
    def visit(ring):
        with lab.front(want=MODERN | MRG | ring, ring_size=64) as vm:
            for name, step in vm.steps(lab.path, mem=(16 << 20,) * 3):
                step()
                if name == "share":
                    vm.do("inflight-get")
                    vm.do("inflight-set")
            vm.do("log-start")
            vm.do("channel")
            lab.exchange(vm, 20)

    def settled():
        wait_until(lambda: not lab.mappings())
        with open("/proc/%d/maps" % lab.vmtap.proc.pid) as f:
            return lab.descriptors(), len(f.readlines())

    for ring in 0, PACKED:
        visit(ring)
    before = settled()
    for turn in range(20):
        visit(PACKED if turn & 1 else 0)
    assert settled()[0] == before[0]
    assert settled()[1] <= before[1] + 2  # the heap may have grown by a mapping


def test_connecting_port_comes_back(ns, folder):
    """server=off: vmtap connects, again and again."""
    with Lab.connecting(ns, folder) as lab, lab.front(want=MODERN | MRG, ring_size=64) as vm:
        vm.do("listen " + lab.path)
        for turn in range(3):
            vm.do("accept")
            if turn == 0:
                running(vm)
            else:
                vm.again(None)
            lab.exchange(vm, 50, first=100 * turn)
            vm.do("disconnect")
