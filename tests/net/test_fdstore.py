# SPDX-License-Identifier: MIT
"""vmtap serve and the service manager's store of descriptors: what outlives a restart, and what is refused."""

import contextlib
import fcntl
import os
import signal
import socket
import struct

import pytest

import tuntap
from ctl import Client
from manager import Manager, Service
from netns import Netns, wait_until
from peers import DgramPeer, StreamPeer
from tuntap import IFF_MULTI_QUEUE, IFF_NO_PI, IFF_TAP, IFF_VNET_HDR, Packets, frame
from vmtap import TOP
from vu import MODERN, MQ, MRG, Front

EVIL = os.path.join(TOP, "tests", "lib", "evil-helper.py")
TUNSETQUEUE, IFF_DETACH_QUEUE = 0x400454D9, 0x0400
QUEUE = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR


class Lab:
    """A manager that starts vmtap serve with a file again and again. The guest of vm0 is a socket of ours."""

    def __init__(self, ns, manager, folder):
        self.ns, self.manager, self.folder = ns, manager, folder
        self.conf = os.path.join(folder, "vmtap.conf")
        self.control = os.path.join(folder, "control.sock")
        self.guest_path, self.vmtap_path = os.path.join(folder, "g"), os.path.join(folder, "v")
        self.write(self.tap())

    def tap(self, name="vm0", more="", scripts="script = no\ndownscript = no\n"):
        return "[port %s]\ntype = tap\nifname = vm0\nup = on\n%s%s\n" % (name, scripts, more)

    def write(self, *ports, guest="vm0"):
        text = "\n".join(ports) + "\n"
        if guest:
            text += "[port guest]\ntype = dgram\nlocal = %s\nremote = %s\n[link one]\nports = %s guest\n" % (
                self.vmtap_path, self.guest_path, guest)
        with open(self.conf, "w", encoding="utf-8") as f:
            f.write(text)

    def start(self, **kw):
        return Service(self.ns, self.manager, self.folder, "-c", self.conf, "--control", self.control, **kw)

    def client(self):
        return Client(self.control)

    def guest(self):
        return DgramPeer(self.guest_path, self.vmtap_path)

    def link(self, name="vm0"):
        """What should survive; None: there is no such interface."""
        link = self.ns.links().get(name)
        return link and (link["ifindex"], link["address"], link.get("master"), "LOWER_UP" in link["flags"])

    def stored(self, all_of=False):
        """Without the socket of a dgram guest, which most tests are not about."""
        with self.manager.news:
            return sorted(name for name in self.manager.store if all_of or not name.startswith("vmtap/bound/"))

    def roles(self, all_of=False):
        """ROLE and PORT of what is stored."""
        return [(name.split("/")[1], name.split("/")[3]) for name in self.stored(all_of)]

    def wait_roles(self, *roles):
        all_of = ("bound", "guest") in roles
        wait_until(lambda: self.roles(all_of) == sorted(roles), what="%s to be %s" % (self.roles(all_of), roles))

    def replace(self, index, *fds):
        """Have the manager pass something else (taken) as the queue of that number."""
        name = self.stored()[index]
        for fd in self.manager.store[name]:
            os.close(fd)
        self.manager.store[name] = list(fds)

    def moves(self, number):
        """A frame each way."""
        with self.guest() as guest, Packets(self.ns, "vm0") as kernel:
            guest.send(frame(number))
            assert kernel.receive() == frame(number)
            kernel.send(frame(number + 1))
            assert guest.receive(kind=tuntap.ETH_TEST) == frame(number + 1)


@pytest.fixture
def lab(ns, folder):
    with Manager(folder) as manager:
        yield Lab(ns, manager, folder)


# ------------------------------------------------------------------------- what is kept


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGKILL, signal.SIGABRT])
def test_the_interface_outlives_a_restart_and_frames_wait_in_it(ns, lab, sig):
    ns.run("ip link add br0 type bridge; ip link set br0 up")
    lab.write(lab.tap(more="br = br0\n"))
    with lab.start() as service:
        lab.wait_roles(("queue0", "vm0"))
        before = lab.link()
        assert before[2] == "br0" and before[3]
        service.stop(sig)
    with lab.guest() as guest:
        assert lab.link() == before  # nobody runs
        with Packets(ns, "vm0") as kernel:
            for n in range(20):
                kernel.send(frame(n))
        with lab.start() as service:
            assert [guest.receive(kind=tuntap.ETH_TEST) for _ in range(20)] == [frame(n) for n in range(20)]
            assert "went on with vm0" in service.output() and "warning" not in service.output()
            assert lab.link() == before


def test_it_can_be_restarted_many_times(lab):
    index = None
    for n in range(5):
        with lab.start() as service:
            index = index or lab.link()[0]
            lab.moves(2 * n)
            assert lab.link()[0] == index
            service.stop(signal.SIGKILL if n % 2 else signal.SIGTERM)
        assert lab.roles() == [("queue0", "vm0")]


@pytest.mark.parametrize("says", [{"FDSTORE": "0"}, {"FDSTORE": ""}, {"NOTIFY_SOCKET": ""}])
def test_without_a_store_nothing_is_left(lab, says):
    with lab.start(env=says, ready="NOTIFY_SOCKET" not in says):
        wait_until(lambda: os.path.exists(lab.vmtap_path) and os.path.exists(lab.control))
        with lab.client() as ctl:
            ctl.wait_port("vm0", lambda row: row["state"] == "up")
    assert lab.stored(all_of=True) == [] and lab.link() is None
    assert not os.path.exists(lab.vmtap_path)


def test_other_limits_leave_it_the_same_interface(lab):
    with lab.start() as service:
        lab.wait_roles(("queue0", "vm0"))
        before = lab.link()
        lab.write(lab.tap(more="rate = 1G\n"))
        with lab.client() as ctl:
            assert ctl.run("reload")["changed"] == 1
        service.stop(signal.SIGKILL)
    for more in "rate = 1G\n", "rx-pps = 1M\nip-filter = 10.0.0.0/8+fe80::/10\n":
        lab.write(lab.tap(more=more))  # the second time, while nobody runs
        with lab.start() as service:
            assert lab.link() == before
            service.stop(signal.SIGTERM)
    lab.write(lab.tap(more="mtu = 1400\n"))
    with lab.start():
        assert lab.link() != before


def test_all_queues_are_kept_also_those_that_the_guest_did_not_use(ns, lab):
    lab.write(lab.tap(more="queues = 4\n"), "[port guest]\ntype = vhost-user\nqueues = 4\nserver = on\n"
              "path = %s\n[link one]\nports = vm0 guest\n" % lab.guest_path, guest=None)

    def queues():
        info = ns.links()["vm0"]["linkinfo"]["info_data"]
        return info["numqueues"], info.get("numdisabled", 0)

    with lab.start() as service:
        lab.wait_roles(("listener", "guest"), *(("queue%d" % i, "vm0") for i in range(4)))
        before = lab.link()
        with Front(ns, want=MODERN | MRG | MQ, pairs=2, ring_size=64, need_reply=1) as vm:
            vm.up(lab.guest_path)
            wait_until(lambda: queues() == (2, 2))
            service.stop(signal.SIGKILL)
            assert lab.link()[0] == before[0] and queues() == (2, 2)
    with lab.start() as service:
        assert "went on with vm0, 4 queues" in service.output() and "warning" not in service.output()
        assert lab.link()[0] == before[0] and queues() == (4, 0)  # there is no guest that uses fewer


def test_a_helper_is_not_run_again(ns, lab):
    lab.write("[port vm0]\ntype = tap\nhelper = %s good\n" % EVIL)
    with lab.start() as service:
        lab.wait_roles(("queue0", "vm0"))
        before = lab.link("evil0")
        service.stop(signal.SIGKILL)
    with lab.start():
        assert lab.link("evil0") == before and "evil1" not in ns.links()


def test_a_script_runs_once_for_an_interface(ns, lab):
    """After a crash it has run; after an orderly end the down script has, and it runs again."""
    said = os.path.join(lab.folder, "said")
    for name in "up", "down":
        path = os.path.join(lab.folder, name)
        with open(path, "w", encoding="utf-8") as f:
            f.write("#!/bin/sh\necho %s >> %s\n" % (name, said))
        os.chmod(path, 0o755)
    lab.write(lab.tap(scripts="script = %s/up\ndownscript = %s/down\n" % (lab.folder, lab.folder)))

    def lines():
        with open(said, encoding="utf-8") as f:
            return f.read().split()

    with lab.start() as service:
        index = lab.link()[0]
        service.stop(signal.SIGKILL)
    with lab.start() as service:
        assert lab.link()[0] == index and lines() == ["up"]
        service.stop()
    assert lines() == ["up", "down"] and lab.roles() == [("bare0", "vm0")]
    with lab.start() as service:
        assert lab.link()[0] == index and lines() == ["up", "down", "up"]
        lab.wait_roles(("queue0", "vm0"))
        service.stop(signal.SIGKILL)
    assert lines() == ["up", "down", "up"]
    lab.write(lab.tap(), guest=None)
    with lab.start():
        pass


def test_a_carrier_that_was_off_is_on_again(ns, lab):
    with lab.start() as service, lab.client() as ctl:
        ctl.run("set_link", name="vm0", up=False)
        assert not lab.link()[3]
        service.stop(signal.SIGKILL)
    with lab.start():
        assert lab.link()[3]
        lab.moves(1)


def test_an_interface_that_is_deleted_and_comes_back_is_stored_anew(ns, lab):
    lab.write(lab.tap(more="reconnect-ms = 10\n"))
    with lab.start() as service:
        lab.wait_roles(("queue0", "vm0"))
        ns.run("ip link del vm0")
        lab.wait_roles()
        ns.run("ip tuntap add vm0 mode tap; ip link set vm0 up")
        lab.wait_roles(("queue0", "vm0"))
        index = lab.link()[0]
        service.stop(signal.SIGKILL)
    ns.run("ip tuntap del vm0 mode tap", check=False)
    with lab.start() as service:
        assert lab.link()[0] == index
        lab.moves(1)


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
    crashed(lab)
    assert lab.roles()[0] == ("listener", "guest")
    lab.replace(0)
    lab.replace(0, make(lab))
    with lab.start() as service, StreamPeer(lab.guest_path) as vm, Packets(ns, "vm0") as kernel:
        assert says in service.output()
        vm.send(frame(1))
        assert kernel.receive() == frame(1)


def test_a_path_that_somebody_else_took_meanwhile_is_not_touched(lab):
    stream(lab)
    crashed(lab)
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


# --------------------------------------------------------------------- what is not kept


def test_a_port_that_is_deleted_takes_its_interface_along(ns, lab):
    with lab.start(), lab.client() as ctl:
        lab.wait_roles(("queue0", "vm0"))
        for _ in range(3):  # at once: nobody else has it open then
            ctl.run("port_del", id="vm0")
            assert "vm0" not in ns.links()
            ctl.run("reload")
            assert "vm0" in ns.links()
        lab.wait_roles(("queue0", "vm0"))


def test_a_broken_port_is_not_kept(ns, lab):
    with lab.start():
        lab.wait_roles(("queue0", "vm0"))
        ns.run("ip link del vm0")
        lab.wait_roles()


def test_a_reload_that_changes_the_port_stores_it_anew(ns, lab):
    with lab.start() as service, lab.client() as ctl:
        before = lab.stored()
        lab.write(lab.tap(more="mtu = 1400\n"))
        ctl.run("reload")
        wait_until(lambda: lab.stored() and lab.stored() != before)
        index = lab.link()[0]
        service.stop(signal.SIGKILL)
    with lab.start():
        assert lab.link()[0] == index


@pytest.mark.parametrize("name, more", [("vm0", "mtu = 1400\n"), ("other", ""), ("vm0", "queues = 2\n")])
def test_what_the_file_describes_differently_now_is_opened_anew(ns, lab, name, more):
    with lab.start() as service:
        before = lab.link()
        service.stop(signal.SIGKILL)
    lab.write(lab.tap(name, more), guest=name)
    with lab.start() as service:
        assert lab.link()[0] != before[0]
        assert "belongs to no port of the file" in service.output()
        assert {port for _, port in lab.roles()} == {name}
        lab.moves(1)


def test_what_is_in_the_file_no_more_goes(ns, lab):
    with lab.start() as service:
        service.stop(signal.SIGKILL)
    lab.write(guest=None)
    with lab.start():
        lab.wait_roles()
        wait_until(lambda: "vm0" not in ns.links())


def test_ports_of_the_control_socket_are_not_stored(ns, lab):
    lab.write(guest=None)
    with lab.start(), lab.client() as ctl:
        ctl.run("port_add", type="tap", id="vm1", ifname="vm1", script="no", downscript="no")
        lab.manager.wait("STATUS=1 port")
        assert lab.stored() == []


def test_a_port_that_fails_to_open_lets_go(ns, lab):
    ns.run("ip link add br0 type bridge")
    lab.write(lab.tap(more="br = br0\n"))
    with lab.start() as service:
        service.stop(signal.SIGKILL)
    ns.run("ip link del br0")
    with lab.start() as service, lab.client() as ctl:
        assert "there is no interface br0" in service.output()
        lab.wait_roles()
        assert "vm0" not in ns.links()
        ns.run("ip link add br0 type bridge")
        ctl.run("reload")
        lab.wait_roles(("queue0", "vm0"))


# ------------------------------------------------------------- what a store may do wrong


def refused(lab, *says, moves=True):
    """The next start warns, and has an interface of its own."""
    with lab.start() as service:
        text = service.output()
        for say in says:
            assert say in text, text
        assert "warning" in text
        names = lab.stored()
        assert names and all(len(lab.manager.store[name]) == 1 for name in names)
        if moves:
            lab.moves(1)
    os.unlink(service.log)


def crashed(lab):
    with lab.start() as service:
        assert lab.stored()  # they come before READY=1
        service.stop(signal.SIGKILL)
    os.unlink(service.log)


@pytest.mark.parametrize("make", [
    lambda: os.pipe()[0], lambda: os.open("/dev/net/tun", os.O_RDWR), lambda: os.open("/dev/null", os.O_RDWR),
    lambda: os.open("/etc/passwd", os.O_RDONLY), lambda: os.memfd_create("x")],
    ids=["pipe", "unattached", "null", "file", "memfd"])
def test_what_is_no_tap_is_refused(lab, make):
    crashed(lab)
    lab.replace(0, make())
    refused(lab, "it is no TAP" if "tun" not in str(make.__code__.co_consts) else "attached to no device")


@pytest.mark.parametrize("name, flags, says", [
    ("vm9", QUEUE, "another interface"),
    ("vm0", IFF_TAP | IFF_NO_PI, "no virtio-net header"),
    ("vm0", IFF_TAP | IFF_VNET_HDR, "packet-information prefix"),
    ("vm9", QUEUE | IFF_MULTI_QUEUE, "another kind of queues"),
])
def test_another_tap_is_refused(ns, lab, name, flags, says):
    crashed(lab)
    lab.replace(0)
    wait_until(lambda: "vm0" not in ns.links())  # whoever had the last descriptor may still be closing it
    lab.replace(0, tuntap.open_tap(ns, name, flags))
    refused(lab, says)


def test_a_tap_of_another_network_namespace_is_refused_and_not_touched(lab):
    crashed(lab)
    with Netns() as other:
        mine = tuntap.open_tap(other, "vm0", QUEUE)
        other.run("ip link set vm0 up")
        lab.replace(0, os.dup(mine))
        refused(lab, "another network namespace")
        assert tuntap.flags(mine)[1] == "vm0" and "vm0" in other.links()
        os.close(mine)


def test_queues_that_are_missing_or_there_twice_are_refused(lab):
    lab.write(lab.tap(more="queues = 3\n"))
    crashed(lab)
    lab.replace(1)
    refused(lab, "some of the queues are missing")
    lab.write(lab.tap(more="queues = 3\n"))
    crashed(lab)
    lab.replace(1, os.dup(lab.manager.store[lab.stored()[0]][0]))
    refused(lab, "one of the queues is there twice")


def test_a_detached_queue_of_another_interface_is_refused(ns, lab):
    lab.write(lab.tap(more="queues = 2\n"))
    crashed(lab)
    mine = tuntap.open_tap(ns, "vm9", QUEUE | IFF_MULTI_QUEUE)
    theirs = tuntap.open_tap(ns, "vm9", QUEUE | IFF_MULTI_QUEUE)
    fcntl.ioctl(theirs, TUNSETQUEUE, struct.pack("16sH22x", b"", IFF_DETACH_QUEUE))
    lab.replace(1, theirs)
    refused(lab, "belongs to vm9")
    assert ns.links()["vm9"]["linkinfo"]["info_data"]["numqueues"] == 1
    os.close(mine)


def test_a_device_that_is_gone_is_opened_anew(ns, lab):
    crashed(lab)
    ns.run("ip link del vm0")
    refused(lab, "attached to no device")


def test_names_that_nobody_uses_are_removed(lab):
    crashed(lab)
    spare = lab.stored()[0].replace("queue0", "queue7")
    for name in "vmtap/", "vmtap/queue0", "vmtap//x/vm0", spare, "stored", "vmtap/queue0/0/vm0":
        lab.manager.store[name] = [os.open("/dev/null", os.O_RDWR)]
    with lab.start() as service:
        lab.wait_roles(("queue0", "vm0"))
        assert "was not used" in service.output() and "has no use here" in service.output()
        lab.moves(1)


def test_a_name_with_several_descriptors_is_refused(lab):
    crashed(lab)
    lab.manager.store[lab.stored()[0]].append(os.open("/dev/null", os.O_RDWR))
    refused(lab, "is there more than once")


def test_a_name_cannot_say_anything_to_the_manager(lab):
    crashed(lab)
    with contextlib.ExitStack() as stack:
        null = os.open("/dev/null", os.O_RDWR)
        stack.callback(os.close, null)
        with lab.start(passed=[("vmtap/x\nSTATUS=evil", null), ("y\nSTATUS=evil", null)]):
            lab.moves(1)
            assert not [line for line in lab.manager.said if "evil" in line]


def test_a_manager_that_does_not_answer_is_not_waited_for_again(ns, lab):
    lab.write(lab.tap(), "[port vm1]\ntype = tap\nifname = vm1\nscript = no\ndownscript = no\n")
    with lab.start() as service, lab.client() as ctl:
        lab.manager.deaf = True
        ctl.run("port_del", id="vm0")
        ctl.run("port_del", id="vm1")
        assert service.output().count("does not answer") == 1
        lab.manager.deaf = False
