# SPDX-License-Identifier: MIT
"""vhost-user in front, vhost-net behind: that it is the kernel that carries the frames, and what
becomes of it when something changes or cannot be.

    front end ── rings, eventfds ── the kernel's vhost-net ── TAP v0 (packet socket)
          └───────── unix socket ── vmtap
"""

import os
import shutil
import signal
import struct
import subprocess
import threading

import pytest

import sandbox
import vmtap
import vu
from netns import Failed, wait_until
from testpmd import PROGRAM, Testpmd
from tuntap import ETH_TEST, GUEST, HOST, Packets, frame
from vmtap import Vmtap
from vu import EVENT_IDX, MODERN, MQ, MRG
from vulab import Lab, assert_whole, front

WANT = MODERN | MRG | EVENT_IDX
CARRIES = "the kernel carries the frames of queue pair"
VHOST = ",vhostforce=on"
RESOURCE = 1
no_vhost_net = sandbox.mounts("mount -t tmpfs none /dev && mkdir /dev/net && mknod -m 666 /dev/net/tun c 10 200 && "
                              "mknod -m 666 /dev/null c 1 3 && mknod -m 666 /dev/urandom c 1 9")


@pytest.fixture
def lab(ns, folder):
    ns.sysctl("net.ipv6.conf.default.disable_ipv6", 1)
    with Lab(ns, folder, tap=VHOST, args=["-v"]) as made:
        yield made


def up(lab, vm):
    """Until the kernel has both rings: the transmit ring is its from the first frame on."""
    vm.send(frame(0, dst=HOST, src=GUEST))
    assert lab.kernel.receive() == frame(0, dst=HOST, src=GUEST)
    lab.wait_for_log(CARRIES)


def count(lab):
    """vmtap ends. Returns the frames that it moved itself."""
    lab.kernel.close()
    assert lab.vmtap.stop() == 0
    counted = lab.vmtap.summary()["vm"]
    return counted["rx"]["frames"] + counted["tx"]["frames"]


def switches(lab):
    """How often vmtap, all of its threads, gave up the processor to wait."""
    total = 0
    for task in os.listdir("/proc/%d/task" % lab.vmtap.proc.pid):
        with open("/proc/%d/task/%s/status" % (lab.vmtap.proc.pid, task)) as f:
            total += sum(int(line.split()[1]) for line in f if line.startswith("voluntary"))
    return total


# ------------------------------------------------------------------------- who carries

@pytest.mark.parametrize("args", [[], ["--workers", "1"]], ids=["", "workers"])
def test_vmtap_is_not_woken_for_frames(ns, folder, args):
    ns.sysctl("net.ipv6.conf.default.disable_ipv6", 1)
    with Lab(ns, folder, tap=VHOST, args=["-v", *args]) as lab, front(lab, want=WANT) as vm:
        up(lab, vm)
        before = switches(lab)
        lab.exchange(vm, 1500)
        assert switches(lab) - before < 20, lab.log()
        assert count(lab) <= 2


def test_no_system_call_is_made_for_frames(lab, folder):
    with front(lab, want=WANT) as vm:
        up(lab, vm)
        out = os.path.join(folder, "strace")
        tracer = subprocess.Popen(["strace", "-f", "-c", "-o", out, "-p", str(lab.vmtap.proc.pid)],
                                  stderr=subprocess.PIPE)
        try:
            assert b"attached" in tracer.stderr.readline()
            lab.exchange(vm, 2000)
        finally:
            tracer.terminate()
            tracer.wait(10)
            tracer.stderr.close()
        with open(out) as f:
            calls = [line.split() for line in f if line.split()[-1:] == ["total"]]
        assert not calls or int(calls[0][-2 if calls[0][-2].isdigit() else -3]) < 30, calls


def test_in_user_space_it_is_woken(ns, folder):
    """What is compared above can tell one from the other."""
    with Lab(ns, folder) as lab, front(lab, want=WANT) as vm:
        before = switches(lab)
        lab.exchange(vm, 1500)
        assert switches(lab) - before > 50
        assert count(lab) >= 3000


def test_every_queue_pair_is_carried(ns, folder):
    ns.sysctl("net.ipv6.conf.default.disable_ipv6", 1)
    with Lab(ns, folder, port=",queues=2", tap=",queues=2" + VHOST, args=["-v"]) as lab, \
            front(lab, want=WANT | MQ, pairs=2, ring_size=64) as vm:
        for pair in 0, 1:
            vm.send(frame(pair, dst=HOST, src=GUEST), queue=2 * pair + 1)
            lab.take(1, first=pair)
            lab.wait_for_log("%s %d" % (CARRIES, pair))
        for pair in 0, 1:
            vm.flood_start(tx=500, pair=pair, first=500 * pair)
            lab.take(500, first=500 * pair)
            assert_whole(vm.answer(), 500, 0)
        assert count(lab) <= 4


def test_what_the_kernel_cannot_do_is_not_offered_and_said_once(lab):
    with front(lab, want=~0 & (1 << 64) - 1) as vm:
        assert not vm.offered & (vu.PACKED | vu.IN_ORDER | vu.CTRL_RX | vu.CTRL_VLAN | vu.HOST_USO)
        assert vm.offered & MRG and vm.offered & EVENT_IDX and vm.offered & vu.HOST_TSO4
    said = [line for line in lab.log().splitlines() if "not offered" in line]
    assert len(said) == 1 and "packed, in_order" in said[0]


def test_no_more_memory_slots_are_offered_than_the_kernel_takes(lab):
    with front(lab, want=WANT) as vm:
        assert struct.unpack("<Q", vm.message(vu.GET_SLOTS, reply=True))[0] <= 64


# ---------------------------------------------------------------------------- back to the start

@pytest.mark.parametrize("how", ["RESET_DEVICE", "status 0"])
def test_a_reset_takes_the_rings_from_the_kernel(lab, how):
    """In the middle of traffic: they are left alone from then on, and what comes for the guest is dropped and counted.
    Once they are set up again they are the kernel's again, and go on."""
    with front(lab, want=WANT, ring_size=64, need_reply=1) as vm:
        up(lab, vm)
        sender = threading.Thread(target=lab.give, args=(2000,))
        sender.start()
        try:
            for n in range(100):
                assert vm.receive(kind=ETH_TEST).data == frame(n, 60)
            if how == "RESET_DEVICE":
                assert vm.protocol & vu.P_RESET
                vm.message(vu.RESET_DEVICE)
            else:
                vm.status(0)
            vm.settle()
        finally:
            sender.join()
        since = len(lab.log())
        vm.send(frame(1, dst=HOST, src=GUEST))
        taken = 100
        while got := vm.receive(timeout=0, kind=ETH_TEST):
            assert got.data == frame(taken, 60)
            taken += 1
        assert taken < 2000, "the sender was done too early"
        assert vm.receive(timeout=0.2, kind=ETH_TEST) is None and lab.kernel.receive(timeout=0.2) is None
        vm.again(None)
        assert lab.kernel.receive() == frame(1, dst=HOST, src=GUEST)
        lab.wait_for_log(CARRIES, since)
        lab.exchange(vm, 300, first=5000)
        assert count(lab) <= 2
        assert lab.vmtap.summary()["vm"]["tx"]["drops"] == {"peer-gone": 2000 - taken}


# ----------------------------------------------------------------- what goes wrong in a ring

@pytest.mark.parametrize("kind", ["address-outside", "table-outside", "head-outside", "index-ahead"])
def test_a_hostile_chain_breaks_its_ring_alone(lab, kind):
    with front(lab, want=WANT | vu.INDIRECT, need_reply=1) as vm:
        up(lab, vm)
        vm.do("break 1 %s" % kind)
        lab.wait_for_log("queue 1")
        lab.give(20)
        assert_whole(vm.flood(rx=20), 0, 20)
        # set up again it works, and is the kernel's once more
        vm.stop(1)
        since = len(lab.log())
    with front(lab, want=WANT) as vm:
        lab.exchange(vm, 200)
        lab.wait_for_log(CARRIES, since)


def test_a_device_that_vanishes_and_comes_again(ns, folder):
    ns.sysctl("net.ipv6.conf.default.disable_ipv6", 1)
    # only an interface that somebody else made can be found again
    ns.run("ip tuntap add v0 mode tap vnet_hdr && ip link set v0 up")
    with Lab(ns, folder, tap=",reconnect-ms=20" + VHOST, args=["-v"]) as lab, front(lab, want=WANT) as vm:
        up(lab, vm)
        since = len(lab.log())
        ns.run("ip link del v0")
        lab.wait_for_log("is gone", since)
        ns.run("ip tuntap add v0 mode tap vnet_hdr && ip link set v0 up")
        lab.wait_for_log(CARRIES, since)
        with Packets(ns, "v0", rcvbuf=64 << 20) as lab.kernel:
            lab.exchange(vm, 300, first=1000)
        lab.kernel = Packets(ns, "v0")


def test_a_device_that_vanishes_in_full_traffic_and_comes_again(ns, folder):
    """To the kernel that is a frame that cannot be sent, and it says so as if something were wrong in the ring. vmtap
    is held until both have happened, and hears of the two in different threads."""
    ns.sysctl("net.ipv6.conf.default.disable_ipv6", 1)
    made = "ip tuntap add v0 mode tap vnet_hdr && ip link set v0 up"
    ns.run(made)
    with Lab(ns, folder, tap=",reconnect-ms=20" + VHOST, args=["-v", "--workers", "1"]) as lab, \
            front(lab, want=WANT) as vm:
        up(lab, vm)
        vm.flood_start(tx=1 << 30, first=1)
        for _ in range(2):
            wait_until(lambda: ns.links()["v0"]["stats64"]["rx"]["packets"] > 100)
            since = len(lab.log())
            lab.vmtap.proc.send_signal(signal.SIGSTOP)
            ns.run("ip link del v0")
            lab.vmtap.proc.send_signal(signal.SIGCONT)
            lab.wait_for_log("is gone", since)
            ns.run(made)
            lab.wait_for_log(CARRIES, since)
        vm.close(signal.SIGKILL)


# ------------------------------------------------------------------------------- fall-backs

def test_without_the_device_vmtap_carries_the_frames(ns, folder):
    lab = Lab(ns, folder, tap=",vhost=on", wrap=no_vhost_net)
    with lab, front(lab, want=MODERN | MRG | vu.PACKED) as vm:
        assert vm.features & vu.PACKED  # everything is offered
        lab.exchange(vm, 200)
        assert "vhost-net cannot be had; vmtap carries the frames itself" in lab.log()
        assert "modprobe vhost_net" in lab.log()


def test_a_device_that_may_not_be_opened_is_a_warning(ns, folder, public_program):
    """The node is there, for root alone; the TAP is the user's own."""
    ns.run("ip tuntap add v0 mode tap vnet_hdr user %d && ip link set v0 up" % sandbox.NOBODY)
    hidden = sandbox.mounts("mount -t tmpfs none /dev && mkdir /dev/net && mknod -m 666 /dev/net/tun c 10 200 && "
                            "mknod -m 666 /dev/null c 1 3 && mknod -m 600 /dev/vhost-net c 10 238")
    ports = ["tap,ifname=v0,script=no,downscript=no,vhost=on", "vhost-user,server=on,path=%s/s" % folder]
    done = vmtap.run(ns, "check", ports[0].replace("vhost=", "vhostforce="), wrap=[*hidden, *sandbox.user()])
    assert done.returncode and "this user may not" in done.stderr and "vhostfd=" in done.stderr
    with Vmtap(ns, ports, folder, wrap=[*hidden, *sandbox.user()]) as v, vu.Front(ns, want=WANT) as vm:
        vm.up(folder + "/s")
        assert "this user may not" in v.output()
        vm.send(frame(1, dst=HOST, src=GUEST))


@pytest.mark.parametrize("spec", ["vhostforce=on", "vhostfd=99", "vhostfd=0"])
def test_where_it_must_be_it_is_an_error(ns, folder, spec):
    for command in "check", "connect":
        args = ["tap,ifname=v0," + spec] + (["null"] if command == "connect" else [])
        done = vmtap.run(ns, command, *args, wrap=no_vhost_net)
        assert done.returncode and "vhost-net" in done.stderr, done.stderr
    assert "v0" not in ns.links()


def test_a_peer_without_rings_is_a_warning_or_an_error(ns, folder):
    with Vmtap(ns, ["tap,ifname=v0,vhost=on", "null"], folder) as v:
        assert "has no rings that the kernel could serve" in v.output()
    with pytest.raises(Failed, match="has no rings that the kernel could serve.*leave vhostforce="):
        Vmtap(ns, ["tap,ifname=v0,vhostforce=on", "null"], folder, name="must")


def test_another_number_of_queue_pairs_is_a_warning_or_an_error(ns, folder):
    peer = "vhost-user,server=on,path=%s/s" % folder
    with Vmtap(ns, ["tap,ifname=v0,queues=2,vhost=on", peer], folder) as v:
        assert "another number of queue pairs" in v.output()
    with pytest.raises(Failed, match="give both the same queues="):
        Vmtap(ns, ["tap,ifname=v0,queues=2,vhostforce=on", peer], folder, name="must")


def test_a_ring_that_the_kernel_refuses_stays_here(ns, folder):
    """Without a kick descriptor there is nothing that the kernel could wait for."""
    with Lab(ns, folder, tap=",vhost=on", args=["-v"]) as lab, front(lab, want=WANT, no_kick=1) as vm:
        lab.exchange(vm, 100)
        assert CARRIES not in lab.log()


# ------------------------------------------------------------------- what has to see frames

SEEN = ["rate=100M", "tx-pps=1000", "mac-filter=02:00:00:00:00:02", "ip-filter=192.0.2.1"]


@pytest.mark.parametrize("key", SEEN)
def test_what_has_to_see_frames_is_refused(ns, folder, key):
    """At the port itself when it is opened, at its peer when they are joined: not ignored."""
    says = "vhost=on: the kernel carries the frames.*leave vhost= out where frames have to be seen"
    peer = "vhost-user,id=vm,server=on,path=%s/s" % folder
    for ports in ["tap,id=t,ifname=v0,vhost=on," + key, peer], ["tap,id=t,ifname=v0,vhost=on", peer + "," + key]:
        with pytest.raises(Failed, match="(?s)t has " + says):
            Vmtap(ns, ports, folder)
    assert "v0" not in ns.links()


@pytest.mark.parametrize("key", SEEN)
def test_where_the_kernel_cannot_what_has_to_see_frames_does(ns, folder, key):
    """vhost=on is a wish."""
    peer = "vhost-user,id=vm,server=on,path=%s/s" % folder
    with Vmtap(ns, ["tap,ifname=v0,vhost=on," + key, peer], folder, wrap=no_vhost_net) as v:
        assert "vmtap carries the frames itself" in v.output()


# --------------------------------------------------------------- descriptors instead of a right

def test_descriptors_that_are_handed_over_need_no_right(ns, folder, public_program):
    """Root opens the TAP and vhost-net; who uses them is nobody, and has no /dev/vhost-net."""
    os.chmod(folder, 0o777)
    path = folder + "/s"
    command = [*no_vhost_net, *sandbox.user(), public_program, "-v", "connect",
               "tap,id=t,fds={fds},vhostfds={vhostfds}", "vhost-user,server=on,path=%s,queues=2" % path]
    with open(folder + "/log", "wb") as log:
        proc = ns.popen([vmtap.program(), "exec", "tap,ifname=v0,queues=2", "--", *command], stdout=log, stderr=log)
    wait_until(lambda: os.path.exists(path) or proc.poll() is not None)

    def said():
        with open(folder + "/log") as f:
            return f.read()
    assert proc.poll() is None, said()
    with vu.Front(ns, want=WANT | MQ, pairs=2) as vm, Packets(ns, "v0") as kernel:
        vm.up(path)
        for pair in 0, 1:
            vm.send(frame(pair, dst=HOST, src=GUEST), queue=2 * pair + 1)
            wait_until(lambda pair=pair: kernel.receive() == frame(pair, dst=HOST, src=GUEST))
            wait_until(lambda pair=pair: "%s %d" % (CARRIES, pair) in said(), what=said())


# -------------------------------------------------------------------------- another front end

@pytest.mark.skipif(not shutil.which(PROGRAM), reason=PROGRAM + " is not installed; Debian: dpdk-dev")
@pytest.mark.parametrize("devargs", [{}, {"mrg_rxbuf": 0}], ids=["mergeable", "large-buffers"])
def test_dpdk_echoes_through_the_kernel_over_a_bridge(ns, folder, devargs):
    """packet socket ── veth ── bridge ── TAP ── vhost-net ── testpmd, which sends back what comes."""
    ns.sysctl("net.ipv6.conf.default.disable_ipv6", 1)
    ns.run("ip link add br0 type bridge && ip link set br0 up && ip link add h0 type veth peer name h1 && "
           "ip link set h1 master br0 && ip link set h1 up && ip link set h0 up")
    # a bridge does not send back to the port that a frame's sender is behind
    ns.run("ip link set br0 type bridge ageing_time 0")
    path = folder + "/s"
    with Vmtap(ns, ["tap,ifname=v0,br=br0" + VHOST, "vhost-user,id=vm,server=on,path=" + path], folder,
               args=["-v", "--log-format", "json", "--stats", "3600"]) as v:
        with Testpmd(ns, path, folder, wait=False, **devargs) as pmd, Packets(ns, "h0") as kernel:
            pmd.wait_ready(60)
            pmd.forward("io")
            wait_until(lambda: (kernel.send(frame(0)), kernel.receive(1) == frame(0))[1], 30)
            for n in range(1, 300):
                kernel.send(frame(n, 60 + 4 * n))
                assert kernel.receive() == frame(n, 60 + 4 * n), n
            wait_until(lambda: CARRIES in v.output(), what=v.output())
        assert v.stop() == 0
        counted = v.summary()["vm"]
        assert counted["rx"]["frames"] + counted["tx"]["frames"] < 100
