# SPDX-License-Identifier: MIT
"""vmtap serve and the service manager's store of descriptors: sockets, and the connections of stream ports, that
outlive a restart, and those that are refused. TAPs are in test_fdstore.py."""

import contextlib
import fcntl
import os
import signal
import socket
import struct

import pytest

import tuntap
from manager import Manager
from netns import wait_until
from peers import StreamPeer
from storelab import Lab
from tuntap import Packets, frame


@pytest.fixture
def lab(ns, folder):
    with Manager(folder) as manager:
        yield Lab(ns, manager, folder)


# ------------------------------------------------------------------------------ sockets

STREAM = "[port guest]\ntype = %s\nserver = on\npath = %s\n[link one]\nports = vm0 guest\n"


def stream(lab, kind="stream", path=None):
    lab.write(lab.tap(), STREAM % (kind, path or lab.guest_path), guest=None)


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("abstract", [False, True])
def test_who_connects_to_a_stream_during_the_restart_waits(ns, lab, sig, abstract):
    path = "@vmtap-" + os.path.basename(lab.folder) if abstract else lab.guest_path
    where = path.replace("@", "\0")
    stream(lab, path=path)
    with ns.enter(), lab.start() as service:
        lab.wait_roles(("queue0", "vm0"), ("listener", "guest"))
        with StreamPeer(where) as vm, Packets(ns, "vm0") as kernel:
            vm.send(frame(1))
            assert kernel.receive() == frame(1)
            service.stop(sig)
        with StreamPeer(where) as vm, Packets(ns, "vm0") as kernel:  # nobody runs
            vm.send(frame(2))
            with lab.start() as again:
                assert kernel.receive() == frame(2)
                kernel.send(frame(3))
                assert vm.receive(kind=tuntap.ETH_TEST) == frame(3)
                assert "warning" not in again.output()
    assert abstract or os.path.exists(path)  # the manager has it still


def test_a_front_end_that_connects_during_the_restart_waits(ns, lab):
    stream(lab, "vhost-user")
    with lab.start() as service:
        lab.wait_roles(("queue0", "vm0"), ("listener", "guest"))
        service.stop(signal.SIGKILL)
    with socket.socket(socket.AF_UNIX) as early:
        early.settimeout(20)
        early.connect(lab.guest_path)
        early.sendall(struct.pack("=III", 1, 1, 0))  # VHOST_USER_GET_FEATURES
        with lab.start():
            assert struct.unpack("=III", early.recv(12)) == (1, 5, 8)


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGKILL])
def test_datagrams_wait_for_the_restart(ns, lab, sig):
    with lab.guest() as guest:
        with lab.start() as service, Packets(ns, "vm0") as kernel:
            lab.wait_roles(("queue0", "vm0"), ("bound", "guest"))
            guest.send(frame(1))
            assert kernel.receive() == frame(1)
            service.stop(sig)
        with Packets(ns, "vm0") as kernel:
            guest.send(frame(2), frame(3))
            with lab.start() as again:
                assert [kernel.receive(), kernel.receive()] == [frame(2), frame(3)]
                kernel.send(frame(4))
                assert guest.receive(kind=tuntap.ETH_TEST) == frame(4)
                assert "warning" not in again.output()


def test_a_guest_that_was_replaced_meanwhile_is_heard(lab):
    with lab.guest() as guest, lab.start() as service:
        with Packets(lab.ns, "vm0") as kernel:  # the socket is connected to it
            guest.send(frame(1))
            assert kernel.receive() == frame(1)
        service.stop(signal.SIGKILL)
    with lab.start():  # there is no guest
        lab.moves(2)


def test_a_socket_goes_with_its_port(lab):
    stream(lab)
    with lab.start(), lab.client() as ctl:
        ctl.run("port_del", id="guest")
        lab.wait_roles(("queue0", "vm0"))
        assert not os.path.exists(lab.guest_path)
        with pytest.raises(FileNotFoundError):
            StreamPeer(lab.guest_path)
        ctl.run("reload")
        lab.wait_roles(("queue0", "vm0"), ("listener", "guest"))
        with StreamPeer(lab.guest_path):
            pass


def other_stream(lab):
    sock = socket.socket(socket.AF_UNIX)
    sock.bind(lab.guest_path + ".other")
    sock.listen(1)
    return sock.detach()


def mute_stream(lab):
    sock = socket.socket(socket.AF_UNIX)
    os.unlink(lab.guest_path)
    sock.bind(lab.guest_path)
    return sock.detach()


@pytest.mark.parametrize("make, says", [
    (lambda lab: os.pipe()[0], "no unix socket"),
    (lambda lab: socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).detach(), "no unix socket"),
    (lambda lab: socket.socket(socket.AF_INET).detach(), "no unix socket"),
    (lambda lab: socket.socketpair()[0].detach(), "does not listen"),
    (mute_stream, "does not listen"), (other_stream, "another address")])
def test_another_socket_is_refused(ns, lab, make, says):
    stream(lab)
    lab.crash()
    assert lab.roles()[0] == ("listener", "guest")
    lab.replace(0)
    lab.replace(0, make(lab))
    with lab.start() as service, StreamPeer(lab.guest_path) as vm, Packets(ns, "vm0") as kernel:
        assert says in service.output()
        vm.send(frame(1))
        assert kernel.receive() == frame(1)


def test_a_path_that_somebody_else_took_meanwhile_is_not_touched(lab):
    stream(lab)
    lab.crash()
    os.unlink(lab.guest_path)
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(lab.guest_path)
        other.listen(1)
        with lab.start() as service:
            assert "its path is not its own any more" in service.output()
            assert "is in use by another process" in service.output()
            lab.wait_roles(("queue0", "vm0"))
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(lab.guest_path)


# ------------------------------------------------------------------ connections of a stream

WENT_ON, NO_USE = "went on with the connection to", "the connection that was kept cannot be used"
TCP = ("127.0.0.1", 5000)


@contextlib.contextmanager
def connected(lab, kind="unix", more=""):
    """A service, and the peer that its stream port is connected to: vmtap listens, or connects ("client")."""
    where = {"unix": lab.guest_path, "tcp": TCP, "client": lab.guest_path}[kind]
    key = {"unix": "server = on\npath = " + lab.guest_path, "tcp": "server = on\nhost = %s\nport = %d" % TCP,
           "client": "reconnect-ms = 10\npath = " + lab.guest_path}[kind]
    lab.write(lab.tap(more=more), "[port guest]\ntype = stream\n%s\n[link one]\nports = vm0 guest\n" % key, guest=None)
    with contextlib.ExitStack() as stack:
        stack.enter_context(lab.ns.enter())
        if kind == "client":
            listener = stack.enter_context(socket.socket(socket.AF_UNIX))
            listener.settimeout(10)
            listener.bind(where)
            listener.listen(1)
        service = stack.enter_context(lab.start())
        made = listener.accept()[0] if kind == "client" else None
        vm = stack.enter_context(StreamPeer(where, sock=made))
        with lab.client() as ctl:
            ctl.wait_port("guest", lambda row: row["state"] == "up")
        yield service, vm, stack


def again(lab, stack, service, end="SIGTERM"):
    """The next run, which goes on with the connection that this one left."""
    if end == "quit":
        with lab.client() as ctl:
            ctl.run("quit")
        assert service.proc.wait(20) == 0
    service.stop()
    assert {("connection", "guest"), ("state", "guest")} <= set(lab.roles())
    os.unlink(service.log)
    service = stack.enter_context(lab.start())
    assert WENT_ON in service.output() and "warning" not in service.output()
    assert not {"connection", "state"} & {role for role, _ in lab.roles()}  # used, and stored no more
    return service


def both_ways(lab, vm, number):
    with Packets(lab.ns, "vm0") as kernel:
        vm.send(frame(number))
        assert kernel.receive() == frame(number)
        kernel.send(frame(number + 1))
        assert vm.receive(kind=tuntap.ETH_TEST) == frame(number + 1)


@pytest.mark.parametrize("kind, end", [("unix", "SIGTERM"), ("unix", "quit"), ("tcp", "SIGTERM"), ("client", "SIGTERM")])
def test_a_frame_from_the_peer_may_be_cut_by_a_restart(ns, lab, kind, end):
    ns.run("ip link set lo up")
    with connected(lab, kind) as (service, vm, stack), Packets(ns, "vm0") as kernel:
        for cut in 1, 4, 33, 63:  # the unit test has them all
            data = struct.pack("!I", 60) + frame(cut)
            vm.sock.sendall(data[:cut])
            service = again(lab, stack, service, end)
            vm.sock.sendall(data[cut:])
            assert kernel.receive() == frame(cut)
        both_ways(lab, vm, 100)


def test_what_a_peer_sends_while_nobody_runs_waits(ns, lab):
    with connected(lab) as (service, vm, stack), Packets(ns, "vm0") as kernel:
        service.stop()
        vm.send(frame(1), frame(2))
        again(lab, stack, service)
        assert [kernel.receive(), kernel.receive()] == [frame(1), frame(2)]


def rest_to_send(lab):
    """Bytes of a frame that the state has."""
    name, = (name for name in lab.stored() if "/state/" in name)
    return struct.unpack_from("=I", os.pread(lab.manager.store[name][0], 48, 0), 32)[0]


@pytest.mark.parametrize("kind", ["unix", "tcp"])
def test_a_frame_to_the_peer_may_be_cut_by_a_restart(ns, lab, kind):
    """The peer does not read: frames wait in the socket, and the last of them is there in part."""
    ns.run("ip link set lo up")
    sent, got, cut = 0, [], 0

    def long_frame(number):
        return frame(number, size=1000 + number * 7919 % 50000)

    with connected(lab, kind, "mtu = 60000\n") as (service, vm, stack), Packets(ns, "vm0") as kernel:
        for _ in range(4):
            with lab.client() as ctl:
                while not ctl.run("query-queues", id="guest")[0]["tx"]["held"]:
                    for _ in range(10):
                        kernel.send(long_frame(sent))
                        sent += 1
            service.stop()
            cut += rest_to_send(lab) > 0
            service = again(lab, stack, service)
            for _ in range(4):
                got.append(vm.receive(kind=tuntap.ETH_TEST))
        kernel.send(long_frame(sent))
        while not got or tuntap.number_of(got[-1]) != sent:
            got.append(vm.receive(kind=tuntap.ETH_TEST))
    assert cut  # else nothing was tested
    numbers = [tuntap.number_of(data) for data in got]
    assert numbers == sorted(set(numbers))  # some were in the program's hands when it ended, and are lost as a whole
    assert got == [long_frame(n) for n in numbers]


def test_after_a_crash_the_connection_is_closed(lab):
    with connected(lab) as (service, vm, stack):
        both_ways(lab, vm, 1)
        vm.sock.sendall(b"\0\0")
        service.stop(signal.SIGKILL)
        assert vm.is_disconnected() and lab.roles() == [("listener", "guest"), ("queue0", "vm0")]
        os.unlink(service.log)
        service = stack.enter_context(lab.start())
        assert "the run before left no connection" in service.output() and WENT_ON not in service.output()
        with StreamPeer(lab.guest_path) as other:
            both_ways(lab, other, 3)


def test_a_crash_after_the_restart_finds_nothing(lab):
    with connected(lab) as (service, vm, stack):
        service = again(lab, stack, service)
        both_ways(lab, vm, 1)
        service.stop(signal.SIGKILL)
        assert vm.is_disconnected() and lab.roles() == [("listener", "guest"), ("queue0", "vm0")]


def swap(lab, role, fd):
    """Have the manager pass something else (taken; None: nothing) as that role of the guest, which has a connection."""
    index = lab.roles().index((role, "guest"))
    name = lab.stored()[index]
    lab.replace(index, *([] if fd is None else [fd]))
    if fd is None:
        del lab.manager.store[name]


def used(lab):
    """A state that the next run reads, as a manager would have it that does not remove it."""
    name, = (name for name in lab.stored() if "/state/" in name)
    fd = os.dup(lab.manager.store[name][0])
    os.truncate(fd, 0)
    return fd


def damaged(lab):
    name, = (name for name in lab.stored() if "/state/" in name)
    data = bytearray(os.pread(lab.manager.store[name][0], 1 << 20, 0))
    data[-1] ^= 1
    fd = os.memfd_create("vmtap-connection", os.MFD_ALLOW_SEALING)
    os.write(fd, data)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
    return fd


@pytest.mark.parametrize("role, make, says", [
    ("state", None, "which bytes were on the way is not known"), ("connection", None, "its state is there"),
    ("state", used, "its state was used before"), ("state", damaged, "its state is damaged"),
    ("state", lambda lab: os.memfd_create("x"), "none that vmtap wrote"),
    ("state", lambda lab: os.pipe()[1], "none that vmtap wrote"),
    ("connection", lambda lab: socket.socketpair()[0].detach(), "another address"),
    ("connection", lambda lab: os.open("/dev/null", os.O_RDWR), "no connection of this kind")])
def test_a_connection_that_does_not_go_with_its_state_is_closed(lab, role, make, says):
    with connected(lab) as (service, vm, stack):
        service.stop()
        swap(lab, role, make(lab) if make else None)
        service = stack.enter_context(lab.start())
        assert NO_USE in service.output() and says in service.output() and WENT_ON not in service.output()
        assert vm.is_disconnected()
        lab.wait_roles(("listener", "guest"), ("queue0", "vm0"))
        with StreamPeer(lab.guest_path) as other:
            both_ways(lab, other, 1)


def test_a_state_that_comes_back_is_not_used_again(lab):
    """A manager that forgets to remove it, and then a crash."""
    with connected(lab) as (service, vm, stack):
        service.stop()
        old = {name: [os.dup(fd) for fd in fds] for name, fds in lab.manager.store.items()
               if "/state/" in name or "/connection/" in name}
        service = again(lab, stack, service)
        both_ways(lab, vm, 1)
        service.stop(signal.SIGKILL)
        lab.manager.store.update(old)
        service = stack.enter_context(lab.start())
        assert "its state was used before" in service.output()
        assert vm.is_disconnected()


def test_a_connection_of_a_port_that_is_described_otherwise_is_closed(lab):
    with connected(lab) as (service, vm, stack):
        service.stop()
        lab.write(lab.tap(), (STREAM % ("stream", lab.guest_path)).replace("path", "mode = 660\npath"), guest=None)
        service = stack.enter_context(lab.start())
        assert "belongs to no port of the file" in service.output() and WENT_ON not in service.output()
        assert vm.is_disconnected()
        lab.wait_roles(("listener", "guest"), ("queue0", "vm0"))


def test_a_peer_that_left_meanwhile_has_left(lab):
    with connected(lab) as (service, vm, stack), Packets(lab.ns, "vm0") as kernel:
        service.stop()
        vm.send(frame(1))
        vm.close()
        service = stack.enter_context(lab.start())
        assert kernel.receive() == frame(1)
        wait_until(lambda: "the peer closed the connection" in service.output())
        with StreamPeer(lab.guest_path) as other:
            both_ways(lab, other, 2)
