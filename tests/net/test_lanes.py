# SPDX-License-Identifier: MIT
"""A TAP and a guest with as many queue pairs: which of the TAP's queues are attached follows what the
guest uses, and nothing is lost when that changes."""

import signal

import pytest

from netns import wait_until
from tuntap import HOST, GUEST, Packets, flows, frame
from vu import MODERN, MQ, MRG
from vulab import Lab, front

ETH_IP = 0x0800
PAIRS = dict(want=MODERN | MRG | MQ, pairs=2, ring_size=64, need_reply=1)


@pytest.fixture
def lab(ns, folder):
    ns.sysctl("net.ipv6.conf.default.disable_ipv6", 1)  # the kernel itself has nothing to say
    with Lab(ns, folder, port=",queues=2", tap=",queues=2,reconnect-ms=20,script=no,downscript=no") as made:
        yield made


def queues(ns):
    """Of the TAP: attached, detached."""
    data = ns.links()["v0"]["linkinfo"]["info_data"]
    return data["numqueues"], data["numdisabled"]


def wait_for_queues(ns, *expected):
    wait_until(lambda: queues(ns) == expected, what="queues attached, detached: %d, %d" % expected)


def receive_all(vm, cnt):
    """@cnt datagrams that came to the guest. Returns how many of them each pair had."""
    got = [0, 0]
    while sum(got) < cnt:
        for pair in 0, 1:
            while vm.receive(queue=2 * pair, timeout=0, kind=ETH_IP):
                got[pair] += 1
        if sum(got) < cnt and not vm.receive(queue=0, timeout=0.02, kind=ETH_IP):
            assert vm.do("closed 0")["closed"] is False
            receive_all.idle += 1
            assert receive_all.idle < 500, "%d of %d frames came" % (sum(got), cnt)
        elif sum(got) < cnt:
            got[0] += 1
    return got


receive_all.idle = 0


def send_flows(lab, cnt=32, each=10):
    for data in flows(cnt, each):
        lab.kernel.send(data)
    return cnt * each


def use(vm, pair, on):
    for q in 2 * pair, 2 * pair + 1:
        vm.enable(q, on)


def test_flows_take_both_pairs_or_the_one_that_is_used(lab):
    with front(lab, **PAIRS) as vm:
        assert all(receive_all(vm, send_flows(lab)))
        for _ in range(3):
            use(vm, 1, False)
            wait_for_queues(lab.ns, 1, 1)
            assert receive_all(vm, send_flows(lab)) == [320, 0]
            use(vm, 1, True)
            wait_for_queues(lab.ns, 2, 0)
            assert all(receive_all(vm, send_flows(lab)))


def test_a_pair_whose_ring_breaks_is_given_up_and_the_device_stays(lab):
    """It is found broken while the TAP's queue, which has several bursts, is being read."""
    with front(lab, how={"post": False}, **PAIRS) as vm:
        vm.post(0)
        vm.do("break 2 address-outside")
        lab.vmtap.proc.send_signal(signal.SIGSTOP)
        send_flows(lab, each=30)
        lab.vmtap.proc.send_signal(signal.SIGCONT)
        assert vm.do("err 2 5000")["signalled"]
        lab.wait_for_log("queue 2 is broken")
        wait_for_queues(lab.ns, 1, 1)
        while vm.receive(queue=0, timeout=0.2):
            pass
        assert receive_all(vm, send_flows(lab)) == [320, 0]
        assert "is gone" not in lab.log()


def test_frames_wait_in_every_queue_while_memory_changes(lab):
    with front(lab, how={"post": False}, **PAIRS) as vm:
        sent = send_flows(lab, each=30)
        for _ in range(3):
            vm.do("mem-add %d" % vm.mem(1 << 20))
            vm.do("share")
        for q in 0, 2:
            vm.post(q)
        assert all(receive_all(vm, sent))


def make_again(lab, used, wait=lambda: None):
    """The TAP is deleted, @wait() is called, and somebody makes another; pairs 0 to @used are used."""
    ns = lab.ns
    count = lab.log().count("is gone")
    ns.run("ip link del v0")
    wait_until(lambda: lab.log().count("is gone") == count + 1)
    wait()
    ns.run("ip tuntap add v0 mode tap multi_queue vnet_hdr && ip link set v0 up txqueuelen 20000")
    wait_for_queues(ns, 1 + used, 1 - used)
    lab.kernel.close()
    lab.kernel = Packets(ns, "v0")


def test_a_device_that_comes_again_has_the_queues_that_are_used(lab):
    with front(lab, **PAIRS) as vm:
        for used in 0, 1:
            use(vm, 1, used)
            wait_for_queues(lab.ns, 1 + used, 1 - used)
            make_again(lab, used)
            assert all(receive_all(vm, send_flows(lab))) == bool(used)


def test_a_guest_may_change_its_mind_while_the_device_is_away(lab):
    with front(lab, **PAIRS) as vm:
        for used in 0, 1, 0:
            make_again(lab, used, lambda used=used: use(vm, 1, used))
            assert all(receive_all(vm, send_flows(lab))) == bool(used)


def test_what_the_guest_sends_on_a_pair_without_a_queue_reaches_the_network(lab):
    with front(lab, **PAIRS) as vm:
        vm.enable(2, False)
        wait_for_queues(lab.ns, 1, 1)
        for n in range(100):  # its transmit ring is still enabled
            vm.send(frame(n, dst=HOST, src=GUEST), queue=1 + 2 * (n & 1))
        got = [lab.kernel.receive() for _ in range(100)]
        assert sorted(got) == sorted(frame(n, dst=HOST, src=GUEST) for n in range(100))
