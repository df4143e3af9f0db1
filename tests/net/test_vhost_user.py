# SPDX-License-Identifier: MIT
"""The vhost-user port moves frames: every kind of ring, layout and size, both ways, with a front end
of the tests' own (tests/lib/vu-front.h), which knows nothing of the port."""

import itertools
import struct

import pytest

import vu
from tuntap import ETH_TEST, GUEST, HOST, Packets, frame
from vu import (ANY_LAYOUT, CSUM, EVENT_IDX, GUEST_CSUM, GUEST_TSO4, HOST_TSO4, IN_ORDER, INDIRECT,
                LEGACY, MODERN, MQ, MRG, PACKED, Front)
from vulab import (DATA_VALID, NEEDS_CSUM, PACKET_VNET_HDR, TCP4, Lab, assert_whole, front,
                   size_of, tcp4, tcp_payload, tcp_sum_is_right)
from netns import wait_until
from vmtap import Vmtap

RINGS = {"split": 0, "packed": PACKED, "in-order": IN_ORDER, "packed-in-order": PACKED | IN_ORDER}
ETH_RARP = 0x8035


@pytest.fixture
def lab(ns, folder):
    with Lab(ns, folder) as made:
        yield made


@pytest.fixture
def big(ns, folder):
    """The TAP takes frames as large as it can."""
    with Lab(ns, folder, mtu=65521) as made:
        yield made


@pytest.mark.parametrize("ring,mrg,event,indirect", itertools.product(
    RINGS, ("", "mergeable"), ("", "event-idx"), ("", "indirect")))
def test_frames_pass_whole_and_in_order(lab, ring, mrg, event, indirect):
    want = (MODERN | RINGS[ring] | (mrg and MRG or 0) | (event and EVENT_IDX or 0)
            | (indirect and INDIRECT or 0))
    with front(lab, want=want, indirect=bool(indirect), ring_size=64) as vm:
        assert vm.features == want
        lab.exchange(vm, 600)


@pytest.mark.parametrize("want", [0, MRG, EVENT_IDX, MRG | EVENT_IDX | INDIRECT],
                         ids=["plain", "mergeable", "event-idx", "all"])
def test_legacy_header_and_rings(lab, want):
    # header in a buffer of its own, as drivers without ANY_LAYOUT have it
    size = "12" if want & MRG else "10"
    with front(lab, want=vu.PROTOCOL | want, ring_size=64, tx_layout=size,
               rx_layout="" if want & MRG else size, indirect=bool(want & INDIRECT)) as vm:
        lab.exchange(vm, 300)
    with front(lab, want=LEGACY | want, ring_size=64, indirect=bool(want & INDIRECT)) as vm:
        lab.exchange(vm, 300)


def test_front_end_without_protocol_features(lab):
    """Rings are enabled from the start then."""
    with front(lab, want=vu.VERSION_1, ring_size=64) as vm:
        assert not vm.protocol
        lab.exchange(vm, 100)


@pytest.mark.parametrize("ring", RINGS)
@pytest.mark.parametrize("size", [2, 4, 16, 128, 1024])
def test_thousands_of_frames_through_a_ring_of_any_size(lab, ring, size):
    with front(lab, want=MODERN | MRG | EVENT_IDX | RINGS[ring], ring_size=size) as vm:
        lab.exchange(vm, 3000, high=300)


@pytest.mark.parametrize("size", [1, 3, 7, 100, 333])
def test_packed_rings_need_no_power_of_two(lab, size):
    with front(lab, want=MODERN | MRG | PACKED, ring_size=size) as vm:
        lab.exchange(vm, 1000, high=300)


def test_largest_ring(lab):
    with front(lab, want=MODERN | MRG, ring_size=32768, how={"mem": (1 << 30,)}) as vm:
        lab.exchange(vm, 2000)


@pytest.mark.parametrize("ring", ["split", "packed"])
@pytest.mark.parametrize("layout", ["12", "1", "11", "13", "5,7,1", "10,2,14", "12,14", "1*",
                                    "20*"])
def test_header_and_frame_are_cut_anywhere(lab, ring, layout):
    with front(lab, want=MODERN | RINGS[ring], ring_size=256, tx_layout=layout,
               rx_layout=layout) as vm:
        lab.exchange(vm, 200, high=1000)


def test_a_table_holds_the_pieces_too(lab):
    for ring in "split", "packed":
        with front(lab, want=MODERN | INDIRECT | RINGS[ring], ring_size=4, indirect=1,
                   tx_layout="3*", rx_layout="7,7*") as vm:
            lab.exchange(vm, 200, high=200)


@pytest.mark.parametrize("ring", ["split", "packed"])
@pytest.mark.parametrize("rx_len", [128, 1526, 4096, 65562])
def test_frames_of_any_length_spread_over_buffers(big, ring, rx_len):
    with front(big, want=MODERN | MRG | RINGS[ring], ring_size=1024, rx_len=rx_len) as vm:
        got = big.exchange(vm, 200, low=60, high=65535)
        spread = sum(-(-(size_of(n, 60, 65535) + 12) // rx_len) for n in range(200))
        assert got["chains"] == spread


@pytest.mark.parametrize("size", [14, 15, 17, 18, 59, 60, 1513, 1514])
def test_lengths_of_a_single_frame(lab, size):
    with front(lab, want=MODERN | MRG) as vm:
        sent = frame(5, size, dst=HOST, src=GUEST)
        vm.send(sent)
        assert lab.kernel.receive() == sent
        if size > 14:  # a packet socket sends nothing without contents
            lab.kernel.send(frame(6, size))
            assert vm.receive(kind=ETH_TEST).data == frame(6, size)


def test_a_frame_that_no_buffer_holds_is_dropped_and_the_next_one_comes(big):
    with front(big, want=MODERN, rx_len=1526) as vm:
        big.kernel.send(frame(1, 4000))
        big.kernel.send(frame(2, 1000))
        assert vm.receive(kind=ETH_TEST).data == frame(2, 1000)


# Offloads

def test_guest_leaves_segmentation_to_the_host(big):
    data, fields = tcp4(20000)
    with Packets(big.ns, "v0", kind=0x0800) as kernel, \
            front(big, want=MODERN | MRG | CSUM | HOST_TSO4, tx_layout="12,54") as vm:
        vm.send(data, header=vu.hdr(**fields))
        got = b""
        while len(got) < len(tcp_payload(data)):
            part = kernel.receive(timeout=5)
            assert part, "%d of %d bytes came" % (len(got), len(data) - 54)
            got += tcp_payload(part)
        assert got == tcp_payload(data)


def test_guest_leaves_a_checksum_to_the_host(lab):
    data, fields = tcp4(1000, gso=False)
    with Packets(lab.ns, "v0", kind=0x0800) as kernel, front(lab, want=MODERN | CSUM) as vm:
        vm.send(data, header=vu.hdr(**fields))
        got = kernel.receive()
        assert tcp_payload(got) == tcp_payload(data)


def kernel_sends_gso(lab, data, fields):
    with Packets(lab.ns, "v0") as sender:
        sender.sock.setsockopt(263, PACKET_VNET_HDR, 1)
        names = "flags", "gso_type", "hdr_len", "gso_size", "csum_start", "csum_offset"
        sender.send(struct.pack("<BBHHHH", *(fields[n] for n in names)) + data)


@pytest.mark.parametrize("ring", ["split", "packed"])
@pytest.mark.parametrize("mrg", [MRG, 0], ids=["mergeable", "large-buffers"])
def test_guest_takes_segments_uncut(big, ring, mrg):
    data, fields = tcp4(30000)
    with front(big, want=MODERN | mrg | GUEST_CSUM | GUEST_TSO4 | RINGS[ring],
               rx_len=1526 if mrg else 65562) as vm:
        kernel_sends_gso(big, data, fields)
        got = vm.receive(kind=0x0800)
        assert got.data == data
        assert (got.hdr.gso_type, got.hdr.gso_size) == (TCP4, 1448)
        assert got.hdr.flags & NEEDS_CSUM
        assert (got.hdr.csum_start, got.hdr.csum_offset) == (34, 16)
        assert got.hdr.buffers == got.chains == (-(-30012 // 1526) if mrg else 1)


def test_guest_without_offloads_gets_finished_segments(big):
    data, fields = tcp4(30000)
    with front(big, want=MODERN | MRG, rx_len=1526) as vm:
        kernel_sends_gso(big, data, fields)
        got = b""
        while len(got) < len(data) - 54:
            part = vm.receive(kind=0x0800, timeout=5)
            assert part, "%d of %d bytes came" % (len(got), len(data) - 54)
            assert len(part.data) <= 1448 + 54
            assert part.hdr.gso_type == 0 and not part.hdr.flags & NEEDS_CSUM
            assert tcp_sum_is_right(part.data)
            got += tcp_payload(part.data)
        assert got == tcp_payload(data)


# Back-pressure and notification

@pytest.mark.parametrize("ring", ["split", "packed"])
def test_nothing_is_lost_while_the_guest_has_no_buffers(lab, ring):
    with front(lab, want=MODERN | MRG | EVENT_IDX | RINGS[ring], ring_size=64,
               how={"post": False}) as vm:
        lab.give(700)
        assert vm.receive(timeout=0.1) is None
        vm.post(0)
        assert_whole(vm.flood(rx=700), 0, 700)


def test_a_guest_that_posts_one_buffer_at_a_time_gets_all(quiet):
    lab = quiet  # or a frame of the kernel's own would take a buffer
    with front(lab, want=MODERN | MRG | EVENT_IDX, ring_size=16, how={"post": False}) as vm:
        vm.do("hold 0 1")
        lab.give(40)
        for n in range(40):
            assert vm.post(0, 1) == 1
            assert vm.receive(kind=ETH_TEST).data == frame(n, 60)


def test_large_frames_wait_for_enough_buffers(big):
    with front(big, want=MODERN | MRG, ring_size=64, rx_len=1000, how={"post": False}) as vm:
        vm.do("hold 0 1")
        big.kernel.send(frame(1, 10000))
        vm.post(0, 5)
        assert vm.receive(timeout=0.2) is None
        vm.post(0, 6)
        got = vm.receive()
        assert got.data == frame(1, 10000) and got.chains == 11


@pytest.mark.parametrize("ring", ["split", "packed"])
@pytest.mark.parametrize("missing", [("no_kick",), ("no_call",), ("no_kick", "no_call")],
                         ids="+".join)
def test_descriptors_for_kick_and_call_may_be_missing(lab, ring, missing):
    with front(lab, want=MODERN | MRG | RINGS[ring], ring_size=64,
               **{name: 1 for name in missing}) as vm:
        lab.exchange(vm, 1000)
        state = vm.state()["queues"]
        assert not ("no_kick" in missing and state[1]["kicks"])
        assert not ("no_call" in missing and state[0]["calls"])


def test_two_front_ends_through_one_vmtap(ns, folder):
    """No kernel in between, so nothing at all may be lost: one side's ring is eight times the other's."""
    paths = [folder + "/a", folder + "/b"]
    ports = ["vhost-user,server=on,path=" + path for path in paths]
    with Vmtap(ns, ports, folder), \
            Front(ns, want=MODERN | MRG | PACKED | EVENT_IDX, ring_size=32) as a, \
            Front(ns, want=MODERN | MRG | INDIRECT, ring_size=256, indirect=1) as b:
        a.up(paths[0])
        b.up(paths[1])
        # both are up before the first frame is sent, or it would be sent to nobody
        wait_until(lambda: (a.send(frame(0)), b.receive(timeout=0.2, kind=ETH_TEST))[1])
        wait_until(lambda: (b.send(frame(0)), a.receive(timeout=0.2, kind=ETH_TEST))[1])
        for vm in a, b:
            vm.flood_start(tx=20000, rx=20000, max=9000, first=1)
        for vm in a, b:
            assert_whole(vm.answer(), 20000, 20000)


# Queues that come and go

def test_two_queue_pairs(ns, folder):
    with Lab(ns, folder, port=",queues=2", tap=",queues=2") as lab, \
            front(lab, want=MODERN | MRG | MQ, pairs=2, ring_size=64) as vm:
        assert vm.queue_max >= 2
        for pair in 0, 1:
            vm.flood_start(tx=500, pair=pair, first=500 * pair)
            lab.take(500, first=500 * pair)
            assert_whole(vm.answer(), 500, 0)
        lab.give(300)
        got = vm.flood(rx=300)
        assert (got["received"], got["bad"], got["lost"]) == (300, 0, 0), got


def test_a_disabled_pair_gets_nothing_and_the_other_everything(ns, folder):
    with Lab(ns, folder, port=",queues=2", tap=",queues=2") as lab, \
            front(lab, want=MODERN | MRG | MQ, pairs=2, ring_size=64, need_reply=1) as vm:
        for off, on in (0, 1), (1, 0):
            vm.enable(2 * off, False)
            vm.enable(2 * off + 1, False)
            lab.give(200)
            for n in range(200):
                got = vm.receive(queue=2 * on, kind=ETH_TEST)
                assert got and got.data == frame(n, 60)
            assert vm.receive(queue=2 * off, timeout=0, kind=ETH_TEST) is None
            vm.enable(2 * off)
            vm.enable(2 * off + 1)


@pytest.mark.parametrize("ring", RINGS)
def test_a_ring_that_was_stopped_goes_on_where_it_was(lab, ring):
    with front(lab, want=MODERN | MRG | EVENT_IDX | RINGS[ring], ring_size=32) as vm:
        for turn in range(8):
            lab.exchange(vm, 100 + turn, first=1000 * turn)
            base, driver = vm.stop(1)
            assert base == driver
            vm.stop(0)
            vm.do("start 0")
            vm.do("start 1")
            vm.enable(0)
            vm.enable(1)
            vm.settle()


def test_a_stopped_ring_is_left_alone(lab):
    with front(lab, want=MODERN | MRG, ring_size=32) as vm:
        lab.exchange(vm, 50)
        for q in 0, 1:
            vm.stop(q)
        vm.send(frame(77, dst=HOST, src=GUEST))
        lab.give(1)
        assert lab.kernel.receive(timeout=0.2) is None
        assert vm.receive(timeout=0, kind=ETH_TEST) is None


def test_a_disabled_pair_discards_what_is_sent_and_keeps_what_it_gets(lab):
    with front(lab, want=MODERN | MRG, ring_size=32, need_reply=1, how={"enable": False}) as vm:
        vm.send(frame(7, dst=HOST, src=GUEST))
        wait_until(lambda: vm.do("reap 1")["reaped"])
        lab.give(5)
        assert vm.receive(timeout=0.2, kind=ETH_TEST) is None
        vm.enable(0)
        vm.enable(1)
        vm.send(frame(8, dst=HOST, src=GUEST))
        assert lab.kernel.receive() == frame(8, dst=HOST, src=GUEST)


# Memory

def test_many_regions_with_buffers_across(lab):
    # regions of odd sizes; files with something else in front
    with lab.front(want=MODERN | MRG, ring_size=64, tx_layout="3000*") as vm:
        for i in range(30):
            vm.do("connect " + lab.path) if not i else None
            vm.mem((300 + i) << 12, offset=i << 12, sealed=bool(i & 1))
        vm.negotiate()
        vm.do("queues 2")
        vm.do("share")
        for q in 0, 1:
            vm.do("start %d" % q)
            vm.enable(q)
        vm.status(0x0f)
        vm.settle()
        vm.post(0)
        lab.exchange(vm, 500)


def test_a_table_without_memory_slots(lab):
    with front(lab, want=MODERN | MRG, want_protocol=~vu.P_SLOTS & (1 << 64) - 1, need_reply=1,
               how={"mem": (16 << 20, 64 << 20)}) as vm:
        assert not vm.protocol & vu.P_SLOTS
        lab.exchange(vm, 100)
        vm.do("share")  # once more, while rings run
        lab.exchange(vm, 100, first=500)


def test_memory_is_plugged_and_unplugged_while_frames_flow(lab):
    with front(lab, want=MODERN | MRG, need_reply=1, how={"mem": (64 << 20,)}) as vm:
        for turn in range(5):
            lab.exchange(vm, 200, first=1000 * turn)
            region = vm.mem(16 << 20)
            gpa = vm.do("mem-add %d" % region)["gpa"]
            assert len(lab.mappings()) == 2
            lab.exchange(vm, 200, first=1000 * turn + 500)
            if turn == 0:  # the guest uses it for a while
                vm.set(alloc_min=gpa + (1 << 20), ring_size=16)
            vm.do("mem-del %d" % region)
            assert len(lab.mappings()) == 1


def test_buffers_may_be_in_memory_that_came_later(lab):
    with front(lab, want=MODERN | MRG, ring_size=64, need_reply=1) as vm:
        region = vm.mem(32 << 20)
        vm.set(alloc_min=vm.do("mem-add %d" % region)["gpa"])
        vm.do("move 1")
        lab.exchange(vm, 300)


# Migration

@pytest.fixture
def quiet(ns, folder):
    """The kernel sends nothing of its own: the log can be emptied when nothing is written."""
    ns.sysctl("net.ipv6.conf.default.disable_ipv6", 1)
    with Lab(ns, folder) as made:
        yield made


def log_on(vm):
    """As QEMU does it, while rings run."""
    assert vm.protocol & vu.P_LOG and vm.offered & vu.LOG_ALL
    vm.do("log-start")
    vm.do("features log=1")
    for q in 0, 1:
        vm.do("addr %d log=1" % q)


@pytest.mark.parametrize("event", [0, EVENT_IDX], ids=["", "event-idx"])
@pytest.mark.parametrize("ring", RINGS)
def test_what_is_written_to_the_guest_is_in_the_dirty_log(quiet, ring, event):
    # the rings have several pages, and the log is emptied again and again
    with front(quiet, want=MODERN | MRG | event | RINGS[ring], ring_size=1024, need_reply=1) as vm:
        quiet.exchange(vm, 200)
        log_on(vm)
        for n in range(300):
            vm.do("log-clear")
            quiet.give(1)
            assert vm.receive(kind=ETH_TEST)
            vm.send(frame(n))
        quiet.drain()
        for turn in range(20):
            vm.do("log-clear")
            quiet.exchange(vm, 100, first=1000 * turn)
        state = vm.state()
        assert state["log_checked"] > 2000 and state["log_missing"] == 0, state


def test_only_what_is_written_is_in_the_dirty_log(quiet):
    with front(quiet, want=MODERN | MRG, ring_size=64, need_reply=1) as vm:
        log_on(vm)
        quiet.exchange(vm, 300)
        # two rings, 64 receive buffers, perhaps each on the border of a page
        assert 0 < vm.do("log-count")["pages"] <= 2 * 64 + 2
        vm.do("features log=0")
        vm.do("log-clear")
        quiet.exchange(vm, 100, first=1000)
        assert vm.do("log-count")["pages"] == 0


def test_announce_reaches_the_network(lab):
    mac = bytes.fromhex("020000000042")
    with Packets(lab.ns, "v0", kind=ETH_RARP) as kernel, front(lab, want=MODERN | MRG) as vm:
        assert vm.protocol & vu.P_RARP
        vm.message(vu.SEND_RARP, mac + bytes(2))
        got = kernel.receive()
        assert got and got[6:12] == mac and got[:6] == b"\xff" * 6
        assert got[22:28] == mac


@pytest.mark.parametrize("sig", [9, 15])
@pytest.mark.parametrize("ring", RINGS)
def test_the_back_end_is_restarted_under_a_front_end(lab, ring, sig):
    with front(lab, want=MODERN | MRG | RINGS[ring], ring_size=64) as vm:
        lab.exchange(vm, 200)
        lab.restart(sig)
        assert vm.is_closed()
        vm.again(lab.path)
        lab.exchange(vm, 200, first=1000)


@pytest.mark.parametrize("ring", ["split", "packed"])
def test_killed_in_full_traffic_it_goes_on_with_what_was_in_flight(lab, ring):
    with lab.front(want=MODERN | MRG | RINGS[ring], ring_size=64) as vm:
        for name, step in vm.steps(lab.path):
            step()
            if name == "share":
                vm.do("inflight-get")
                vm.do("inflight-set")
        for turn in range(5):
            vm.flood_start(tx=1 << 30, first=1 << 20)
            assert lab.kernel.receive()
            lab.restart(9)
            assert vm.answer()["closed"]
            vm.again(lab.path, inflight=True)
            vm.send(frame(turn, 100, dst=HOST, src=GUEST))
            wait_until(lambda: lab.kernel.receive() == frame(turn, 100, dst=HOST, src=GUEST))
            lab.exchange(vm, 200)


# The device

def test_configuration_space(ns, folder):
    with Lab(ns, folder, port=",mac=02:00:00:00:00:77,mtu=1400,queues=2", tap=",queues=2") as lab, \
            front(lab, want=MODERN | MRG, need_reply=1) as vm:
        assert vm.protocol & vu.P_CONFIG
        got = vm.message(vu.GET_CONFIG, struct.pack("<III", 0, 12, 0) + bytes(12), reply=True)
        assert struct.unpack_from("<III", got) == (0, 12, 0)
        mac, status, pairs, mtu = struct.unpack_from("<6sHHH", got, 12)
        assert mac == bytes.fromhex("020000000077")
        assert status & 1 and pairs == 2 and mtu == 1400
        got = vm.message(vu.GET_CONFIG, struct.pack("<III", 10, 2, 0) + bytes(2), reply=True)
        assert struct.unpack_from("<H", got, 12)[0] == 1400


@pytest.mark.parametrize("how", ["RESET_DEVICE", "status 0"])
def test_after_a_reset_what_is_in_the_rings_waits_until_they_are_enabled(quiet, how):
    """However slowly, as after a connection; the front end starts each ring before it enables any."""
    with front(quiet, want=MODERN | MRG | EVENT_IDX, ring_size=64, need_reply=1) as vm:
        quiet.exchange(vm, 100)
        if how == "RESET_DEVICE":
            assert vm.protocol & vu.P_RESET
            vm.message(vu.RESET_DEVICE)
        else:
            vm.status(0)
        vm.settle()
        vm.send(frame(1, dst=HOST, src=GUEST))
        assert quiet.kernel.receive(timeout=0.2) is None
        vm.again(None)
        assert quiet.kernel.receive() == frame(1, dst=HOST, src=GUEST)
        quiet.exchange(vm, 100, first=1000)


def test_mtu_that_the_front_end_sets(lab):
    with front(lab, want=MODERN | MRG, need_reply=1) as vm:
        assert vm.protocol & vu.P_MTU
        vm.message(vu.NET_SET_MTU, struct.pack("<Q", 1400), flags=9, reply=True)
        lab.exchange(vm, 20)


@pytest.mark.parametrize("more", ["", ",queues=2"])
def test_control_queue(ns, folder, more):
    """Behind the first pair for a front end that knows of no other."""
    with Lab(ns, folder, port=",mac=02:00:00:00:00:77" + more) as lab, \
            front(lab, how={"ctrl": True}, want=MODERN | MRG | vu.CTRL_VQ | vu.CTRL_RX) as vm:
        assert vm.features & vu.CTRL_VQ
        assert vm.do("ctrl 2 000001")["ack"] == 0  # promiscuous
        assert vm.do("ctrl 2 00ff01")["ack"] == 1  # no such command
        lab.exchange(vm, 50)
        assert vm.do("ctrl 2 000000")["ack"] == 0
        lab.give(5)  # for somebody else
        for n, dst in enumerate((bytes.fromhex("020000000077"), b"\xff" * 6)):
            lab.kernel.send(frame(100 + n, dst=dst))
            assert vm.receive(kind=ETH_TEST).data == frame(100 + n, dst=dst)


def test_status_is_kept(lab):
    with front(lab, want=MODERN | MRG) as vm:
        assert vm.protocol & vu.P_STATUS
        vm.status(0x0f)
        assert vm.message(vu.GET_STATUS, reply=True)[0] == 0x0f
