# SPDX-License-Identifier: MIT
"""The type macvtap: interfaces of guests on a parent interface.

    far                     ns
     v1 ==== veth ==== v0 (the parent)
                        |- mv0, mv1, ... = vmtap = the test, or a responder

What leaves a macvtap goes to the far namespace; the host's own v0 is no way there.
"""

import hashlib
import json
import os
import signal
import socket
import subprocess
import threading

import pytest

import sandbox
import tuntap
import vmtap
from netns import Netns, wait_until
from peers import StreamPeer
from tuntap import Packets, frame
from vmtap import Vmtap, line

FAILED, USAGE, RESOURCE = 1, 2, 3
BROADCAST = b"\xff" * 6
MACS = ["02:00:00:00:01:%02x" % n for n in range(4)]


def raw(mac):
    return bytes.fromhex(mac.replace(":", ""))


@pytest.fixture
def far(ns):
    """The namespace at the other end of the wire."""
    with Netns() as other:
        # No address of the kernel's own blurs what the tests count.
        for end_of_wire in ns, other:
            end_of_wire.sysctl("net.ipv6.conf.default.disable_ipv6", 1)
        ns.run("ip link add v0 type veth peer v1 && ip link set v1 netns %d && ip link set v0 up"
               % other.pid)
        other.run("ip link set v1 up")
        wait_until(lambda: ns.links()["v0"]["operstate"] == "UP")
        yield other


def macvtap(options=""):
    return "macvtap" + (options and "," + options)


def start(ns, folder, options, **kw):
    return Vmtap(ns, [macvtap(options), "null"], folder, **kw)


class Guest:
    """A macvtap with a stream to this test behind it."""

    def __init__(self, ns, folder, name, options="", **kw):
        path = os.path.join(folder, name)
        self.vmtap = Vmtap(ns, [macvtap("ifname=%s,%s" % (name, options)),
                                "stream,server=on,path=" + path], folder, name="log-" + name, **kw)
        self.peer = StreamPeer(path)
        self.mac = raw(ns.links()[name]["address"])
        # before that, what comes for the guest is dropped
        wait_until(lambda: "connected to" in self.vmtap.output())

    def send(self, number, dst=BROADCAST, size=60):
        self.peer.send(frame(number, size, dst=dst, src=self.mac))

    def receive(self):
        data = self.peer.receive(kind=tuntap.ETH_TEST)
        assert data, "no frame came"
        return tuntap.number_of(data)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.peer.close()
        self.vmtap.stop()


def info(ns, name):
    link = ns.links()[name]
    assert link["linkinfo"]["info_kind"] == "macvtap"
    return link["link"], link["linkinfo"]["info_data"]["mode"]


def listed(ns, name):
    """What vmtap list says of the interface."""
    rows = json.loads(vmtap.run(ns, "list", "--json", check=True).stdout)
    row, = [row for row in rows if row["name"] == name]
    return row


def fails(ns, options, code, *says, program=None, wrap=(), command="connect"):
    """The port cannot be opened; nothing is changed by the attempt. Returns what was said."""
    before = ns.settings()
    args = [command, macvtap(options)] + (["null"] if command == "connect" else [])
    if program:
        done = ns.run([*wrap, program, *args], check=False, cwd="/")
    else:
        done = vmtap.run(ns, *args, wrap=wrap)
    assert done.returncode == code, done
    for text in says:
        assert text in done.stderr, done.stderr
    assert ns.settings() == before
    assert len(done.stderr.splitlines()) == 1, done.stderr
    return done.stderr


both = pytest.mark.parametrize("command", ["connect", "check"])


# ------------------------------------------------------------------------ its life


def test_is_made_on_the_parent_and_removed_at_the_end(ns, far, folder):
    with start(ns, folder, "parent=v0,ifname=mv0") as v:
        assert info(ns, "mv0") == ("v0", "bridge")
        assert {"UP", "ALLMULTI"} < set(ns.links()["mv0"]["flags"])
        assert "created mv0 on v0, mode bridge, 1 queue, with virtio-net header" in v.output()
        assert "ifname=mv0,parent=v0,mode=bridge" in v.output()
        assert "WARNING" not in v.output() and v.output().count("taken over") == 0
    assert v.status == 0 and "mv0" not in ns.links()


@pytest.mark.parametrize("options, name", [
    ("", "macvtap1"), ("ifname=vm%d", "vm1"), ("ifname=%dvm", "1vm"), ("ifname=a%db", "a1b"),
])
def test_a_free_name_is_found(ns, far, folder, options, name):
    taken = name.replace("1", "0")
    ns.run("ip link add link v0 name %s type macvtap" % taken)
    with start(ns, folder, "parent=v0," + options) as v:
        assert "created %s on v0" % name in v.output()
        assert {taken, name} < ns.links().keys()
    assert taken in ns.links() and name not in ns.links()


@pytest.mark.parametrize("mode", ["bridge", "private", "vepa", "passthru"])
def test_the_mode_is_the_one_asked_for(ns, far, folder, mode):
    with start(ns, folder, "parent=v0,ifname=mv0,mode=" + mode):
        assert info(ns, "mv0") == ("v0", mode)


def test_settings_are_those_asked_for(ns, far, folder):
    with start(ns, folder, "parent=v0,ifname=mv0,mac=02:11:22:33:44:55,mtu=1400,up=off"):
        link = ns.links()["mv0"]
        assert (link["address"], link["mtu"]) == ("02:11:22:33:44:55", 1400)
        assert "UP" not in link["flags"]


def test_the_mtu_follows_the_parent_when_made(ns, far, folder):
    ns.run("ip link set v0 mtu 9000")
    with start(ns, folder, "parent=v0,ifname=mv0"):
        assert ns.links()["mv0"]["mtu"] == 9000


def test_persist_keeps_it_and_the_next_start_takes_it_over(ns, far, folder):
    with start(ns, folder, "parent=v0,ifname=mv0,persist=on,mac=" + MACS[0]) as v:
        pass
    assert v.status == 0 and ns.links()["mv0"]["address"] == MACS[0]
    with start(ns, folder, "parent=v0,ifname=mv0") as v:
        assert "attached to mv0 on v0" in v.output() and "is taken over" in v.output()
        assert ns.links()["mv0"]["address"] == MACS[0]
    assert "mv0" not in ns.links()  # this time nobody asked to keep it


def test_one_of_somebody_else_is_used_and_left_as_it_is(ns, far, folder):
    ns.run("ip link add link v0 name mv0 address %s type macvtap mode private" % MACS[0])
    ns.run("ip link set mv0 up")
    before = ns.settings("mv0")
    for options in "ifname=mv0", "ifname=mv0,parent=v0", "ifname=mv0,mode=private,persist=off":
        with start(ns, folder, options, name=hashlib.md5(options.encode()).hexdigest()) as v:
            assert "attached to mv0 on v0, mode private" in v.output()
            assert listed(ns, "mv0")["holder"]["pid"] == v.proc.pid
            assert "owner" not in listed(ns, "mv0")
        assert v.status == 0
        assert ns.settings("mv0") == before


def test_the_parent_may_be_a_macvtap(ns, far, folder):
    """The kernel then puts the new one beside it."""
    ns.run("ip link add link v0 name mv0 type macvtap mode bridge")
    with start(ns, folder, "parent=mv0,ifname=mv1,persist=on"):
        assert info(ns, "mv1") == ("v0", "bridge")
    with start(ns, folder, "parent=mv0,ifname=mv1"):
        pass
    assert "mv1" not in ns.links()


def test_a_parent_that_is_down_is_warned_about(ns, far, folder):
    ns.run("ip link set v0 down")
    with start(ns, folder, "parent=v0", args=()) as v:
        assert "v0, which carries its frames, is down; ip link set v0 up" in v.output()
    assert v.status == 0


def test_one_that_is_down_is_warned_about(ns, far, folder):
    ns.run("ip link add link v0 name mv0 type macvtap")
    with start(ns, folder, "ifname=mv0", args=()) as v:
        assert "the interface mv0 is down and drops every frame" in v.output()


# ------------------------------------------------------------------------- traffic


@pytest.mark.parametrize("options", ["", ",vnet_hdr=off", ",queues=3", ",sndbuf=64k"])
def test_frames_pass_both_ways(ns, far, folder, options):
    with Guest(ns, folder, "mv0", "parent=v0" + options) as guest, Packets(far, "v1") as wire:
        for n, size in enumerate((60, 61, 777, 1514)):
            guest.send(n, size=size)
            got = wire.receive()
            assert got == frame(n, size, dst=BROADCAST, src=guest.mac)
            wire.send(frame(n, size, dst=guest.mac))
            assert guest.peer.receive(kind=tuntap.ETH_TEST) == frame(n, size, dst=guest.mac)
        word = "without" if "off" in options else "with"
        assert "%s virtio-net header" % word in guest.vmtap.output()


@pytest.mark.parametrize("mode", ["bridge", "private", "vepa", "passthru"])
def test_a_responder_answers_the_far_end(ns, far, folder, mode):
    for name in "all", "default", "v1":
        far.sysctl("net.ipv6.conf.%s.disable_ipv6" % name, 0)
    far.run("ip addr add 10.0.0.1/24 dev v1; ip addr add fd00::1/64 dev v1")
    with Vmtap(ns, ["macvtap,parent=v0,mode=%s,mac=%s" % (mode, MACS[0]),
                    "responder,ip=10.0.0.2,ip6=fd00::2,mac=" + MACS[0]], folder):
        for address in "10.0.0.2", "fd00::2":
            assert " 0% packet loss" in far.run(["ping", "-c3", "-i0.2", address]).stdout


def test_guests_in_mode_bridge_reach_each_other(ns, far, folder):
    with Guest(ns, folder, "mv0", "parent=v0") as a, Guest(ns, folder, "mv1", "parent=v0") as b, \
            Packets(far, "v1") as wire:
        a.send(1, dst=b.mac)
        assert b.receive() == 1
        b.send(2, dst=a.mac)
        assert a.receive() == 2
        a.send(3)
        assert b.receive() == 3
        assert tuntap.number_of(wire.receive()) == 3  # the first of them to leave by the wire


@pytest.mark.parametrize("mode", ["private", "vepa"])
def test_guests_in_other_modes_do_not(ns, far, folder, mode):
    """What one sends leaves by the wire; the first that the other sees comes from there."""
    with Guest(ns, folder, "mv0", "parent=v0,mode=" + mode) as a, \
            Guest(ns, folder, "mv1", "parent=v0,mode=" + mode) as b, Packets(far, "v1") as wire:
        a.send(1, dst=b.mac)
        a.send(2)
        assert [tuntap.number_of(wire.receive()) for _ in range(2)] == [1, 2]
        wire.send(frame(3, dst=b.mac))
        assert b.receive() == 3


def test_mode_passthru_takes_frames_of_any_address(ns, far, folder):
    with Guest(ns, folder, "mv0", "parent=v0,mode=passthru") as guest, Packets(far, "v1") as wire:
        for n, mac in enumerate(MACS):
            wire.send(frame(n, dst=raw(mac)))
            assert guest.receive() == n


@pytest.mark.parametrize("mode", ["bridge", "private", "vepa", "passthru"])
def test_multicast_reaches_the_guest(ns, far, folder, mode):
    """Without a word of the guest's about which it wants."""
    with Guest(ns, folder, "mv0", "parent=v0,mode=" + mode) as guest, Packets(far, "v1") as wire:
        for n in range(20):
            wire.send(frame(n, dst=bytes([0x33, 0x33, 0xFF, n, 7, n])))
            assert guest.receive() == n


def test_one_that_takes_little_multicast_is_warned_about(ns, far, folder):
    ns.run("ip link add link v0 name mv0 type macvtap && ip link set mv0 up")
    with start(ns, folder, "ifname=mv0", args=()) as v:
        assert "IPv6 may not work; ip link set mv0 allmulticast on" in v.output()
        assert "ALLMULTI" not in ns.links()["mv0"]["flags"]
    ns.run("ip link set mv0 allmulticast on")
    with start(ns, folder, "ifname=mv0", args=(), name="again") as v:
        assert v.output() == ""


def test_other_modes_take_frames_for_the_guest_only(ns, far, folder):
    with Guest(ns, folder, "mv0", "parent=v0,mac=" + MACS[0]) as guest, Packets(far, "v1") as wire:
        wire.send(frame(1, dst=raw(MACS[1])))
        wire.send(frame(2, dst=raw(MACS[0])))
        assert guest.receive() == 2


def test_every_queue_is_read(ns, far, folder):
    """The kernel chooses the queue by the flow."""
    far.run("ip addr add 10.0.0.1/24 dev v1; ip neigh add 10.0.0.2 lladdr %s dev v1" % MACS[0])
    with Guest(ns, folder, "mv0", "parent=v0,queues=4,mac=" + MACS[0]) as guest, \
            far.enter(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        assert "4 queues" in guest.vmtap.output() and listed(ns, "mv0")["queues"] == 4
        for port in range(1000, 1100):
            sock.sendto(b"flow", ("10.0.0.2", port))
        ports = set()
        while len(ports) < 100:
            data = guest.peer.receive(kind=0x0800)
            assert data, "only %d flows arrived" % len(ports)
            ports.add(int.from_bytes(data[36:38], "big"))


def test_bursts_stay_in_order(ns, far, folder):
    with Guest(ns, folder, "mv0", "parent=v0") as guest, Packets(far, "v1") as wire:
        guest.peer.send(*(frame(n, src=guest.mac, dst=BROADCAST) for n in range(300)))
        assert [tuntap.number_of(wire.receive()) for _ in range(300)] == list(range(300))
        for n in range(300):
            wire.send(frame(n, dst=guest.mac))
        assert [guest.receive() for _ in range(300)] == list(range(300))


def test_a_peer_that_does_not_read_gets_all_of_it_later(ns, far, folder):
    """The device holds txqueuelen frames and drops what comes then; nothing else may be lost."""
    args = "-v", "--log-format", "json", "--stats", "3600"
    with Guest(ns, folder, "mv0", "parent=v0,id=mv", args=args) as guest, Packets(far, "v1") as wire:
        ns.run("ip link set mv0 txqueuelen 50")
        sent = 0
        while ns.links()["mv0"]["stats64"]["rx"]["dropped"] == 0:
            for _ in range(500):
                wire.send(frame(sent, 1500, dst=guest.mac))
                sent += 1
        kept = sent - ns.links()["mv0"]["stats64"]["rx"]["dropped"]
        numbers = [guest.receive() for _ in range(kept)]
        assert numbers == sorted(set(numbers))
        wire.send(frame(sent, dst=guest.mac))
        assert guest.receive() == sent
        dropped = ns.links()["mv0"]["stats64"]["rx"]["dropped"]
        guest.vmtap.stop()
        assert guest.vmtap.summary()["mv"]["rx"]["drops"] == {"kernel": dropped}


# ------------------------------------------------------------------------ offloads


def transfer(server_ns, client_ns, address, size):
    """TCP from client to server. Returns whether what arrived is what was sent."""
    data = os.urandom(1 << 16) * (size >> 16)
    with server_ns.enter():
        listener = socket.create_server((address, 0))
    got = hashlib.sha256()

    def serve():
        conn = listener.accept()[0]
        with conn:
            conn.settimeout(20)
            while chunk := conn.recv(1 << 20):
                got.update(chunk)

    thread = threading.Thread(target=serve)
    thread.start()
    with client_ns.enter(), socket.create_connection((address, listener.getsockname()[1]), 20) as c:
        c.sendall(data)
    thread.join(30)
    listener.close()
    return got.digest() == hashlib.sha256(data).digest()


@pytest.mark.parametrize("queues", [1, 2])
def test_a_peer_that_takes_offloads_gets_large_frames(ns, far, folder, queues):
    """Linked to a TAP, whose own address stands for the guest: TCP is cut and summed nowhere.
    The peer's header has 12 bytes, in every queue."""
    far.run("ip addr add 10.0.0.1/24 dev v1")
    with Vmtap(ns, ["macvtap,id=mv,parent=v0,queues=%d,mac=%s" % (queues, MACS[0]),
                    "tap,id=tap,ifname=t0,mac=%s,script=no,downscript=no" % MACS[0]], folder,
               args=("--stats", "1000", "--log-format", "json")) as v:
        ns.run("ip addr add 10.0.0.2/24 dev t0")
        for n in range(4):
            assert transfer(ns, far, "10.0.0.2", 1 << 20)
            assert transfer(far, ns, "10.0.0.1", 1 << 20)
    stats = v.summary()["mv"]
    assert stats["rx"]["gso_frames"] > 10 and stats["tx"]["gso_frames"] > 10


def check_complete(far, guest):
    """UDP of the kernel's own leaves its checksum to whoever takes it unfinished."""
    far.run("ip addr replace 10.0.0.1/24 dev v1; "
            "ip neigh replace 10.0.0.2 lladdr %s dev v1" % guest.mac.hex(":"))
    with far.enter(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.sendto(b"complete", ("10.0.0.2", 9))
    data = guest.peer.receive(kind=0x0800)
    assert data[42:50] == b"complete"
    words = data[26:34] + bytes([0, 17]) + data[38:40] + data[34:]
    assert sum(int.from_bytes(words[i:i + 2], "big") for i in range(0, len(words), 2)) % 65535 == 0


@pytest.mark.parametrize("header", ["on", "off"])
def test_a_peer_that_takes_none_gets_complete_frames(ns, far, folder, header):
    with Guest(ns, folder, "mv0", "parent=v0,vnet_hdr=" + header) as guest:
        check_complete(far, guest)


def test_leavings_of_an_earlier_user_do_no_harm(ns, far, folder):
    """Offloads belong to the interface, and stay with it."""
    ns.run("ip link add link v0 name mv0 type macvtap && ip link set mv0 up")
    with Vmtap(ns, ["macvtap,ifname=mv0", "tap,ifname=t0,script=no,downscript=no"], folder) as v:
        v.stop(signal.SIGKILL)
    with Guest(ns, folder, "mv0") as guest:
        check_complete(far, guest)


# --------------------------------------------------------------- when it goes, or moves


@pytest.mark.parametrize("victim", ["mv0", "v0"])
@pytest.mark.parametrize("queues", [1, 2])
def test_deleting_it_or_its_parent_is_a_clear_error(ns, far, folder, victim, queues):
    with start(ns, folder, "parent=v0,ifname=mv0,queues=%d" % queues) as v:
        ns.run("ip link del " + victim)
        assert v.wait() == FAILED
    assert "the interface is gone; it was deleted while in use" in v.output()
    assert "left behind" not in v.output() and "reconnect-ms" not in v.output()


def test_what_other_interfaces_do_is_no_matter(ns, far, folder):
    ns.run("ip link add br0 type bridge")
    with Guest(ns, folder, "mv0", "parent=v0") as guest, Packets(far, "v1") as wire:
        many = range(50)
        ns.run("ip -batch -", timeout=120, input="".join(
            "tuntap add t%d mode tap\nlink set t%d master br0\n" % (i, i) for i in many))
        ns.run("ip -batch -", timeout=120, input="".join(
            "link set t%d nomaster\nlink del t%d\n" % (i, i) for i in many))
        guest.send(1)
        assert tuntap.number_of(wire.receive()) == 1


def test_renaming_it_is_no_matter(ns, far, folder):
    with Guest(ns, folder, "mv0", "parent=v0") as guest, Packets(far, "v1") as wire:
        if ns.run("ip link set mv0 name other", check=False).returncode:
            pytest.skip("what is up can be renamed since Linux 6.2")
        guest.send(1)
        assert tuntap.number_of(wire.receive()) == 1
    assert guest.vmtap.status == 0 and "other" not in ns.links()


def test_moving_it_elsewhere_is_no_matter(ns, far, folder):
    with Netns() as third, Guest(ns, folder, "mv0", "parent=v0") as guest, \
            Packets(far, "v1") as wire:
        ns.run("ip link set mv0 netns %d" % third.pid)
        third.run("ip link set mv0 up")
        guest.send(1)
        assert tuntap.number_of(wire.receive()) == 1
        wire.send(frame(2, dst=guest.mac))
        assert guest.receive() == 2


def test_a_namespace_with_the_same_index_is_not_confused(ns, far, folder):
    """Both devices would be /dev/tapN of the same N; that file is the first one's."""
    with Netns() as ns2, Netns() as far2:
        ns2.run("ip link add v0 type veth peer v1 && ip link set v1 netns %d && ip link set v0 up"
                % far2.pid)
        far2.run("ip link set v1 up")
        for space in ns, ns2:
            space.run("ip link add link v0 name mv0 index 77 type macvtap && ip link set mv0 up")
        os.mkdir(os.path.join(folder, "2"))
        with Guest(ns, folder, "mv0") as one, Packets(far, "v1") as wire1, \
                Guest(ns2, os.path.join(folder, "2"), "mv0") as two, Packets(far2, "v1") as wire2:
            one.send(1)
            two.send(2)
            assert tuntap.number_of(wire1.receive()) == 1
            assert tuntap.number_of(wire2.receive()) == 2
            wire1.send(frame(3, dst=one.mac))
            wire2.send(frame(4, dst=two.mac))
            assert one.receive() == 3 and two.receive() == 4


def test_it_works_without_a_file_in_dev(ns, far, folder):
    with Guest(ns, folder, "mv0", "parent=v0",
               wrap=sandbox.mounts("mount -t tmpfs none /dev; mknod -m 666 /dev/null c 1 3")) as g, \
            Packets(far, "v1") as wire:
        g.send(1)
        assert tuntap.number_of(wire.receive()) == 1


# ------------------------------------------------------------------ kill and start again


@pytest.mark.parametrize("options", ["", ",persist=on", ",queues=2,mode=private,mac=" + MACS[1]])
def test_a_killed_one_is_taken_over_by_the_next(ns, far, folder, options):
    with Guest(ns, folder, "mv0", "parent=v0" + options) as first:
        before = ns.links()["mv0"]
        first.vmtap.stop(signal.SIGKILL)
        assert listed(ns, "mv0")["owner"]["state"] == "gone"
    with Guest(ns, folder, "mv0", "parent=v0" + options) as guest, Packets(far, "v1") as wire:
        assert "left behind by root, vmtap, process %d" % first.vmtap.proc.pid in \
            guest.vmtap.output()
        assert ns.links()["mv0"]["ifindex"] == before["ifindex"]
        assert ns.links()["mv0"]["address"] == before["address"]
        row = listed(ns, "mv0")
        assert row["owner"] == {**row["owner"], "state": "alive", "pid": guest.vmtap.proc.pid}
        guest.send(1)
        assert tuntap.number_of(wire.receive()) == 1
        wire.send(frame(2, dst=guest.mac))
        assert guest.receive() == 2
    assert ("mv0" in ns.links()) == ("persist" in options)


def test_a_killed_one_is_reaped(ns, far, folder):
    ns.run("ip link add link v0 name mine type macvtap")
    with start(ns, folder, "parent=v0,ifname=mv0") as v:
        assert "nothing to reap" in vmtap.run(ns, "reap", "--yes").stdout
        v.stop(signal.SIGKILL)
    assert "would remove mv0" in vmtap.run(ns, "reap").stdout and "mv0" in ns.links()
    done = vmtap.run(ns, "reap", "--yes", check=True)
    assert "removing mv0" in done.stdout
    assert "mv0" not in ns.links() and "mine" in ns.links()


def test_a_killed_one_that_another_process_has_open_is_not_reaped(ns, far, folder):
    """As with a VMM that went on in the background."""
    out = os.path.join(folder, "out")
    script = "echo {ifname} >%s.new; mv %s.new %s; read line" % (out, out, out)
    vm = ns.popen([vmtap.program(), "exec", macvtap("parent=v0,ifname=mv0"), "--",
                   "sh", "-c", "( %s ) <&9 & exec 9<&-" % script.replace("read", "exec >&- 2>&-; read")],
                  stdin=subprocess.PIPE, preexec_fn=lambda: os.dup2(0, 9), pass_fds=[9])
    wait_until(lambda: os.path.exists(out))
    assert vm.wait(10) == 0
    row = listed(ns, "mv0")
    assert row["owner"]["state"] == "gone" and row["queues"] == 1 and row["holder"]["pid"] != vm.pid
    assert "nothing to reap" in vmtap.run(ns, "reap", "--yes").stdout
    fails(ns, "parent=v0,ifname=mv0", RESOURCE, "process %d (%s) has it open" % (
        row["holder"]["pid"], row["holder"]["program"]))
    vm.stdin.close()  # the last one ends
    wait_until(lambda: "holder" not in listed(ns, "mv0"))
    assert "removing mv0" in vmtap.run(ns, "reap", "--yes").stdout


def test_what_cannot_be_taken_over_as_it_is_is_explained(ns, far, folder):
    with start(ns, folder, "parent=v0,ifname=mv0") as v:
        v.stop(signal.SIGKILL)
    fails(ns, "parent=v0,ifname=mv0,mode=vepa", RESOURCE, "in mode bridge instead of vepa",
          "vmtap reap --yes")


def test_a_port_that_cannot_be_opened_leaves_none(ns, far, folder):
    for options in "mtu=1501", "mac=" + ns.links()["v0"]["address"], "persist=on,mtu=1501":
        fails(ns, "parent=v0,ifname=mv0," + options, USAGE if "mtu" in options else RESOURCE)
    done = vmtap.run(ns, "connect", "macvtap,parent=v0,ifname=mv0", "stream,path=/nowhere/s")
    assert done.returncode == RESOURCE and "mv0" not in ns.links()


# ------------------------------------------------------------------------------ exec


CHILD = """
import fcntl, os, struct, sys
fds = [int(fd) for fd in sys.argv[1].split(":")]
for fd in fds:
    name, flags = struct.unpack("16sH22x", fcntl.ioctl(fd, 0x800454d2, bytes(40)))
    os.set_blocking(fd, True)
    print(name.rstrip(b"\\0").decode(), hex(flags), fcntl.ioctl(fd, 0x800454d7, bytes(4)))
print(*sys.argv[2:], flush=True)
hdr = bytes(12)
os.write(fds[0], hdr + b"\\xff" * 6 + bytes.fromhex(sys.argv[3].replace(":", "")) +
         bytes.fromhex("88b5") + bytes([0, 0, 0, 1]) + bytes(42))
sys.stdin.read()
"""


@pytest.mark.parametrize("wait", [[], ["--wait"]])
@pytest.mark.parametrize("queues", [1, 3])
def test_exec_hands_the_queues_over(ns, far, wait, queues):
    with Packets(far, "v1") as wire:
        vm = ns.popen([vmtap.program(), "exec", *wait,
                       macvtap("parent=v0,ifname=mv0,queues=%d,mac=%s" % (queues, MACS[2])), "--",
                       "/usr/bin/python3", "-c", CHILD, "{fds}", "{ifname}", "{mac}"],
                      stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
        lines = [line(vm).split(maxsplit=2) for _ in range(queues + 1)]
        bits = tuntap.IFF_TAP | tuntap.IFF_NO_PI | tuntap.IFF_VNET_HDR | \
            (tuntap.IFF_MULTI_QUEUE if queues > 1 else 0)
        assert lines[:-1] == [["mv0", hex(bits), repr(b"\x0c\0\0\0")]] * queues
        assert lines[-1] == ["mv0", MACS[2]]  # the guest uses the interface's own address
        assert tuntap.number_of(wire.receive()) == 1
        assert listed(ns, "mv0")["owner"]["state"] == "alive"
        vm.stdin.close()
        assert vm.wait(10) == 0
    if wait:
        assert "mv0" not in ns.links()
    else:
        assert listed(ns, "mv0")["owner"]["state"] == "gone"


def test_exec_that_finds_no_command_leaves_none(ns, far):
    done = vmtap.run(ns, "exec", "macvtap,parent=v0,ifname=mv0", "--", "/nowhere/vmm")
    assert done.returncode == 127 and "mv0" not in ns.links()


# ---------------------------------------------------------------------------- errors


@both
@pytest.mark.parametrize("options, code, says", [
    ("", USAGE, ["neither parent= nor ifname=", "parent=eth0"]),
    ("parent=v9", RESOURCE, ["there is no interface v9", "ip link"]),
    ("parent=" + "x" * 300, RESOURCE, ["there is no interface xxx"]),
    ("ifname=mv9", RESOURCE, ["macvtap mv9", "there is no interface mv9", "parent=eth0"]),
    ("ifname=vm%d", RESOURCE, ["parent=eth0"]),
    ("parent=lo", USAGE, ["lo is the loopback interface", "Ethernet interface as parent="]),
    ("parent=v0,ifname=sixteen-letters-", USAGE, ["macvtap", "16 characters"]),
    ("parent=v0,ifname=a/b", USAGE, ["no '/'"]),
    ("parent=v0,ifname=v0", USAGE, ['v0 exists and is no macvtap but of kind "veth"']),
    ("parent=v0,ifname=lo", USAGE, ["lo exists and is no macvtap"]),
    ("parent=v0,mode=source", USAGE, ["mode", "passthru"]),
    ("parent=v0,queues=0", USAGE, ["queues"]),
    ("parent=v0,queues=257", USAGE, ["queues", "256"]),
    ("parent=v0,mac=01:00:00:00:00:01", USAGE, ["mac"]),
    ("parent=v0,mtu=67", USAGE, ["mtu"]),
    ("parent=v0,mtu=1501", USAGE, ["mtu=1501 is more than the 1500 of v0", "ip link set v0 mtu 1501"]),
    ("parent=v0,br=br0", USAGE, ["br", "parent"]),
])
def test_a_wrong_description_is_explained(ns, far, options, code, says, command):
    fails(ns, options, code, *says, command=command)


@both
def test_a_port_of_a_bridge_is_no_parent(ns, far, command):
    ns.run("ip link add br0 type bridge && ip link set v0 master br0")
    fails(ns, "parent=v0", RESOURCE, "v0 is a port of br0", "tap,br=br0", "ip link set v0 nomaster",
          command=command)


@both
@pytest.mark.parametrize("first, second, says", [
    ("passthru", "passthru", "v0 has mv0 in mode passthru"),
    ("passthru", "bridge", "v0 has mv0 in mode passthru"),
    ("bridge", "passthru", "mode=passthru wants v0 for itself, and mv0 is on it"),
])
def test_passthru_is_alone(ns, far, first, second, says, command):
    ns.run("ip link add link v0 name mv0 type macvtap mode " + first)
    fails(ns, "parent=v0,mode=" + second, USAGE, says, "ip link del mv0", command=command)


@both
def test_another_parent_or_mode_is_a_mismatch(ns, far, command):
    ns.run("ip link add link v0 name mv0 type macvtap mode vepa; ip link add v8 type veth peer v9")
    fails(ns, "parent=v8,ifname=mv0", RESOURCE, "on v0 instead of v8", command=command)
    fails(ns, "parent=v0,ifname=mv0,mode=bridge", RESOURCE, "in mode vepa instead of bridge",
          command=command)


@both
def test_a_busy_one_names_its_holder(ns, far, folder, command):
    with start(ns, folder, "parent=v0,ifname=mv0") as v:
        for options in "ifname=mv0", "ifname=mv0,parent=v0,queues=2":
            fails(ns, options, RESOURCE, "process %d (vmtap) has it open" % v.proc.pid,
                  command=command)
        assert v.proc.poll() is None


def test_two_ports_cannot_have_one(ns, far):
    ns.run("ip link add link v0 name mv0 type macvtap")
    done = vmtap.run(ns, "connect", "macvtap,ifname=mv0", "macvtap,ifname=mv0")
    assert done.returncode == RESOURCE and "another port has it open" in done.stderr


def test_an_address_in_use_is_explained(ns, far):
    fails(ns, "parent=v0,mac=" + ns.links()["v0"]["address"], RESOURCE,
          "its address is that of v0 itself or of another macvtap", "choose another mac=")


def test_the_queue_limit_is_explained(ns, far, folder):
    ns.run("ip link add link v0 name mv0 type macvtap && ip link set mv0 up")
    with start(ns, folder, "ifname=mv0,queues=256") as v:
        assert "256 queues" in v.output()
        assert listed(ns, "mv0")["queues"] == 256


# ------------------------------------------------------------------ without privilege


def visible(node=None):
    """/sys of this namespace, and in /dev only what is needed and @node, a mode for mv0's."""
    script = ("mount -t sysfs none /sys\nmount -t tmpfs none /dev\nmknod -m 666 /dev/null c 1 3\n"
              "d=$(echo /sys/class/net/mv0/macvtap/tap*)\n")
    if node:
        script += "mknod -m %o /dev/${d##*/} c $(tr : ' ' <$d/dev)\n" % node
    return [*sandbox.mounts(script), *sandbox.user()]


@both
def test_making_one_without_the_capability_is_explained(ns, far, public_program, command):
    fails(ns, "parent=v0", RESOURCE, "cannot create the interface", "CAP_NET_ADMIN",
          "ip link add link v0 name vm0 type macvtap", "chown 65534 /dev/tap",
          wrap=sandbox.user(), program=public_program, command=command)


@both
@pytest.mark.parametrize("node, code, says", [
    (None, RESOURCE, ["the file is not there", "mknod -m 600 /dev/tap"]),
    (0o600, RESOURCE, ["user 65534 may not (Permission denied)", "chown 65534 /dev/tap",
                       'udev rule: SUBSYSTEM=="macvtap", OWNER="65534"']),
], ids=["none", "forbidden"])
def test_a_device_that_may_not_be_opened_is_explained(ns, far, public_program, node, code, says,
                                                      command):
    ns.run("ip link add link v0 name mv0 type macvtap && ip link set mv0 up")
    fails(ns, "ifname=mv0", code, "cannot open its device /dev/tap%d" % ns.links()["mv0"]["ifindex"],
          *says, wrap=visible(node), program=public_program, command=command)


@both
def test_a_device_of_another_namespace_is_not_opened(ns, far, public_program, command):
    """/dev/tapN exists and everybody may open it, but it is somebody else's."""
    ns.run("ip link add link v0 name mv0 type macvtap && ip link set mv0 up")
    wrap = visible()
    wrap[wrap.index("-ec") + 1] = wrap[wrap.index("-ec") + 1].replace(
        '\nexec "$@"', '\nmknod -m 666 /dev/${d##*/} c 1 3\nexec "$@"')
    fails(ns, "ifname=mv0", RESOURCE, "it is another network namespace's", wrap=wrap,
          program=public_program, command=command)


@both
def test_a_sysfs_of_another_namespace_is_not_believed(ns, far, public_program, command):
    ns.run("ip link add link v0 name mv0 type macvtap && ip link set mv0 up")
    fails(ns, "ifname=mv0", RESOURCE, "/sys shows another network namespace",
          wrap=sandbox.user(), program=public_program, command=command)


def test_an_ordinary_user_may_use_one_whose_device_they_may_open(ns, far, folder, public_program,
                                                                 monkeypatch):
    monkeypatch.setenv("VMTAP", public_program)
    ns.run("ip link add link v0 name mv0 type macvtap && ip link set mv0 up")
    with Guest(ns, folder, "mv0", "queues=2", wrap=visible(0o666)) as guest, \
            Packets(far, "v1") as wire:
        assert "CapEff:\t0000000000000000" in open("/proc/%d/status" % guest.vmtap.proc.pid).read()
        guest.send(1)
        assert tuntap.number_of(wire.receive()) == 1
        wire.send(frame(2, dst=guest.mac))
        assert guest.receive() == 2
    assert guest.vmtap.status == 0 and "mv0" in ns.links()


def test_help_tells_of_the_limit(ns):
    text = vmtap.run(ns, "help", "macvtap", check=True).stdout
    assert "The host itself and its guests on macvtaps do not reach each other" in text
    assert max(map(len, text.splitlines())) < 100
