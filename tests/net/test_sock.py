# SPDX-License-Identifier: MIT
"""The stream and dgram ports against QEMU's own, over every kind of socket.

QEMU is a relay here, without a machine: a hub joins its -netdev stream or dgram to a TAP.

    10.7.0.1   TAP v0 ── vmtap ── socket ── QEMU ── TAP q0   10.7.0.2
    fd07::1    (namespace here)                (namespace there)   fd07::2
"""

import contextlib
import hashlib
import os
import random
import shutil
import socket
import threading

import pytest

from netns import Netns, end, wait_until
from peers import DgramPeer, StreamPeer
from tuntap import GUEST, frame, number_of
from vmtap import Vmtap, run

QEMU = "qemu-system-x86_64"
RELAY = [QEMU, "-machine", "none", "-nodefaults", "-display", "none", "-monitor", "none",
         "-serial", "none", "-netdev", "tap,id=t,ifname=q0,script=no,downscript=no,vhost=off",
         "-netdev", "hubport,id=h1,hubid=0,netdev=t",
         "-netdev", "hubport,id=h2,hubid=0,netdev=s", "-netdev"]
SIZE = 4 << 20
MTU = 9000

# name: vmtap's port, QEMU's netdev, whether vmtap starts first. {dir} is a folder.
KINDS = {
    "unix-listening": (
        "stream,server=on,path={dir}/s",
        "stream,id=s,addr.type=unix,addr.path={dir}/s", True),
    "unix-connecting": (
        "stream,path={dir}/s",
        "stream,id=s,server=on,addr.type=unix,addr.path={dir}/s", False),
    "unix-waiting": (
        "stream,path={dir}/s,reconnect-ms=20",
        "stream,id=s,server=on,addr.type=unix,addr.path={dir}/s", True),
    "abstract-listening": (
        "stream,server=on,path=@vmtap-test",
        "stream,id=s,addr.type=unix,addr.path=vmtap-test,addr.abstract=on", True),
    "abstract-connecting-padded": (
        "stream,addr.type=unix,addr.path=vmtap-test,addr.abstract=on,addr.tight=off",
        "stream,id=s,server=on,addr.type=unix,addr.path=vmtap-test,addr.abstract=on,addr.tight=off",
        False),
    "tcp4-listening": (
        "stream,server=on,host=127.0.0.1,port=7001",
        "stream,id=s,addr.type=inet,addr.host=127.0.0.1,addr.port=7001", True),
    "tcp4-connecting": (
        "stream,port=7001",
        "stream,id=s,server=on,addr.type=inet,addr.host=127.0.0.1,addr.port=7001", False),
    "tcp6-listening": (
        "stream,server=on,host=::1,port=7001",
        "stream,id=s,addr.type=inet,addr.host=::1,addr.port=7001", True),
    "tcp6-waiting": (
        "stream,addr.type=inet,addr.host=::1,addr.port=7001,reconnect-ms=20",
        "stream,id=s,server=on,addr.type=inet,addr.host=::1,addr.port=7001,addr.ipv6=on", True),
    "dgram-unix": (
        "dgram,local={dir}/a,remote={dir}/b",
        "dgram,id=s,local.type=unix,local.path={dir}/b,remote.type=unix,remote.path={dir}/a", True),
    "dgram-udp": (
        "dgram,local=127.0.0.1:7001,remote=127.0.0.1:7002",
        "dgram,id=s,local.type=inet,local.host=127.0.0.1,local.port=7002,"
        "remote.type=inet,remote.host=127.0.0.1,remote.port=7001", True),
    "dgram-multicast": (
        "dgram,remote=239.7.0.1:7001,local=127.0.0.1",
        "dgram,id=s,remote.type=inet,remote.host=239.7.0.1,remote.port=7001,"
        "local.type=inet,local.host=127.0.0.1,local.port=7001", True),
}

needs_qemu = pytest.mark.skipif(not shutil.which(QEMU), reason=QEMU + " is not installed")


class Pair:
    """vmtap and QEMU, joined by a socket; @here is the namespace of both, @there has q0."""

    def __init__(self, here, there, folder, port, netdev, fds=()):
        self.here, self.there, self.folder = here, there, folder
        self.port, self.netdev = port.format(dir=folder), netdev.format(dir=folder)
        self.fds = fds
        self.vmtap = self.qemu = None

    def start_vmtap(self):
        self.vmtap = Vmtap(self.here, ["tap,ifname=v0,mtu=%d" % MTU, self.port + ",id=s"],
                           self.folder, args=["--log-format", "json", "--stats", "3600"],
                           pass_fds=self.fds)
        self.here.run("ip addr replace 10.7.0.1/24 dev v0; ip addr replace fd07::1/64 dev v0")

    def start_qemu(self):
        self.qemu = self.here.popen(RELAY + [self.netdev], pass_fds=self.fds)
        wait_until(lambda: self.here.run("ip link show q0", check=False).returncode == 0)
        self.here.run("ip link set q0 netns /proc/%d/ns/net" % self.there.pid)
        # the same address each time: nobody has to forget an old one
        self.there.run("ip link set q0 up mtu %d address 02:00:00:00:07:02;"
                       "ip addr add 10.7.0.2/24 dev q0; ip addr add fd07::2/64 dev q0" % MTU)

    def wait_for_qemu(self):
        """What a port that connects without reconnect-ms needs: QEMU listens."""
        wait_until(lambda: run(self.here, "check", self.port).returncode == 0)

    def end_qemu(self):
        end(self.qemu)
        wait_until(lambda: self.there.run("ip link show q0", check=False).returncode)

    def pings(self, args=""):
        return self.here.run("ping -c 1 -W 1 %s 10.7.0.2" % args, check=False).returncode == 0

    def wait_for_ping(self):
        wait_until(self.pings, timeout=20, what="a ping through " + self.port)


@pytest.fixture
def there():
    with Netns() as made:
        yield made


@contextlib.contextmanager
def joined(here, there, folder, kind):
    port, netdev, vmtap_first = KINDS[kind]
    pair = Pair(here, there, folder, port, netdev)
    if vmtap_first:
        pair.start_vmtap()
    pair.start_qemu()
    if not vmtap_first:
        if "tcp" in kind:
            wait_until(lambda: "7001" in here.run("ss -ltn").stdout)
        pair.wait_for_qemu()
        pair.start_vmtap()
    pair.wait_for_ping()
    yield pair
    pair.vmtap.stop()


def tcp_is_intact(sender, receiver, family, address):
    """Send SIZE random bytes; what arrives has the same hash."""
    data = random.Random(1).randbytes(SIZE)
    got = hashlib.sha256()

    def serve(server):
        conn, _ = server.accept()
        with conn:
            conn.settimeout(30)
            for part in iter(lambda: conn.recv(1 << 16), b""):
                got.update(part)

    with receiver.enter():
        server = socket.create_server((address, 0), family=family)
    with server:
        server.settimeout(10)
        thread = threading.Thread(target=serve, args=[server])
        thread.start()
        with sender.enter(), socket.create_connection(server.getsockname()[:2], 10) as client:
            client.settimeout(30)
            client.sendall(data)
        thread.join(30)
    assert got.hexdigest() == hashlib.sha256(data).hexdigest()


@needs_qemu
@pytest.mark.parametrize("kind", KINDS)
def test_talks_with_qemu(ns, there, folder, kind):
    with joined(ns, there, folder, kind) as pair:
        assert pair.pings("-s 1400")
        assert pair.pings("-M do -s %d" % (MTU - 28))
        ns.run("ping -c 1 -W 5 fd07::2")
        tcp_is_intact(ns, there, socket.AF_INET, "10.7.0.2")
        tcp_is_intact(there, ns, socket.AF_INET, "10.7.0.1")
        tcp_is_intact(ns, there, socket.AF_INET6, "fd07::2")
    assert pair.vmtap.status == 0
    counted = pair.vmtap.summary()["s"]
    assert counted["rx"]["frames"] > 100 and counted["tx"]["frames"] > 100
    assert not any(counted["rx"]["drops"].values())
    assert not os.path.exists(folder + "/a")


@needs_qemu
def test_talks_with_qemu_over_an_inherited_pair(ns, there, folder):
    ours, theirs = socket.socketpair()
    with ours, theirs:
        pair = Pair(ns, there, folder, "stream,fd=%d" % ours.fileno(),
                    "stream,id=s,addr.type=fd,addr.str=%d" % theirs.fileno(),
                    (ours.fileno(), theirs.fileno()))
        pair.start_qemu()
        pair.start_vmtap()
    pair.wait_for_ping()
    tcp_is_intact(ns, there, socket.AF_INET, "10.7.0.2")
    pair.vmtap.stop()


@needs_qemu
@pytest.mark.parametrize("kind", ["unix-listening", "unix-waiting", "tcp4-listening",
                                  "tcp6-waiting", "dgram-unix", "dgram-udp"])
def test_qemu_may_be_restarted(ns, there, folder, kind):
    with joined(ns, there, folder, kind) as pair:
        for _ in range(2):
            pair.end_qemu()
            assert not pair.pings()
            pair.start_qemu()
            pair.wait_for_ping()
    assert pair.vmtap.status == 0


@needs_qemu
@pytest.mark.parametrize("kind", ["dgram-unix", "dgram-udp"])
def test_vmtap_may_be_restarted(ns, there, folder, kind):
    with joined(ns, there, folder, kind) as pair:
        for _ in range(2):
            pair.vmtap.stop()
            pair.start_vmtap()
            pair.wait_for_ping()


@needs_qemu
def test_ends_with_an_error_when_qemu_leaves(ns, there, folder):
    with joined(ns, there, folder, "unix-connecting") as pair:
        pair.end_qemu()
        assert pair.vmtap.wait() == 1
        assert "reconnect-ms" in pair.vmtap.output()


# ------------------------------------------------------------------------ without QEMU

def test_socket_is_gone_after_the_end(ns, folder):
    path = folder + "/s"
    with Vmtap(ns, ["null", "stream,server=on,mode=600,path=" + path], folder):
        assert os.stat(path).st_mode & 0o777 == 0o600
    assert not os.path.exists(path)


def test_path_in_use_is_not_taken(ns, folder):
    path = folder + "/s"
    with Vmtap(ns, ["null", "stream,server=on,path=" + path], folder):
        before = os.stat(path).st_ino
        for spec in "stream,server=on,path=" + path, "dgram,local=%s,remote=./x" % path:
            done = run(ns, "connect", "null", spec)
            assert done.returncode == 3
            assert "in use by another process" in done.stderr
        assert os.stat(path).st_ino == before


def test_path_of_a_killed_process_is_taken(ns, folder):
    path = folder + "/s"
    with Vmtap(ns, ["null", "stream,server=on,path=" + path], folder) as v:
        v.proc.kill()
        v.proc.wait()
    assert os.path.exists(path)
    with Vmtap(ns, ["null", "stream,server=on,path=" + path], folder, name="again"):
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(path)
    assert not os.path.exists(path)


@pytest.mark.skipif(not shutil.which("nft"), reason="nft is not installed")
def test_frame_that_a_firewall_drops_is_lost_alone(ns, folder):
    """The kernel says so of the frame, not of where it was going."""
    bad = b"\x06" + GUEST[1:]
    ns.run("nft -f -", input="table ip t { chain o { type filter hook output priority 0; "
           "udp dport 7002 @th,64,8 6 drop; }; }")
    ports = ["stream,id=s,server=on,path=%s/s" % folder, "dgram,id=d,local=127.0.0.1:7001,remote=127.0.0.1:7002"]
    with ns.enter():
        there = DgramPeer("127.0.0.1:7002", "127.0.0.1:7001")
    with there, Vmtap(ns, ports, folder, args=("--log-format", "json", "--stats", "3600")) as v:
        with StreamPeer(folder + "/s") as here:
            here.send(*(frame(n, dst=GUEST if n % 10 else bad) for n in range(100)))
            for n in range(100):
                if n % 10:
                    assert number_of(there.receive()) == n
        v.stop()
    assert v.summary()["d"]["tx"]["drops"] == {"refused": 10}
    assert v.summary()["d"]["tx"]["frames"] == 90


@pytest.mark.parametrize("spec,status,says", [
    ("stream", 2, "path=PATH"),
    ("stream,path={dir}/none", 3, "start the other side first, or add reconnect-ms=1000"),
    ("stream,server=on,path={dir}/none/s", 3, "there is no folder"),
    ("stream,server=on,path={dir}/file", 3, "exists and is no socket"),
    ("stream,server=on,path={dir}/" + "x" * 108, 2, "at most 107"),
    ("stream,port=1", 3, "Connection refused"),
    ("stream,server=on,host=192.0.2.1,port=5", 3, "no such address"),
    ("dgram,local={dir}/a,remote=127.0.0.1:5", 2, "is a unix socket and the other is for UDP"),
    ("dgram,remote={dir}/a", 2, "a local address is needed"),
    ("dgram,local=192.0.2.1:5,remote=192.0.2.2:5", 3, "no such address"),
    ("stream,fd=99", 3, "fd=99 is not open"),
])
def test_mistakes_are_explained(ns, folder, spec, status, says):
    open(folder + "/file", "w").close()
    done = run(ns, "connect", "null", spec.format(dir=folder))
    assert says in done.stderr
    assert done.returncode == status
