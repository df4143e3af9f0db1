# SPDX-License-Identifier: MIT
"""A host with a bridge, an /etc of its own and installed bridge helpers.

    with BridgeHost() as host:
        host.write("/etc/vmtap/bridge.conf", "allow br0\\n")
        with host.call("--br=br0") as call:          # user alice, file capability
            assert call.status == 0 and len(call.fds) == 1
            assert host.links()[call.ifname()]["master"] == "br0"

Its network and mount namespaces go with the holder process, as those of Netns do.
"""

import contextlib
import os
import shutil
import socket
import subprocess

import pytest
import tuntap
import vmtap
from netns import Failed, Netns, wait_until

ALICE, BOB = 4321, 4322
TEAM = 4400  # a group that alice is in

# Ways to install the helper; /etc/bin is a file system of the host's own, where attributes and
# set-uid count whatever the real /tmp is mounted with.
PLAIN, CAPS, SETUID, SETGID, OVERRIDE, NOSUID = \
    "plain", "caps", "setuid", "setgid", "override", "nosuid/caps"
PRIVILEGED = [CAPS, SETUID, SETGID, OVERRIDE]

_INSTALLED = {  # mode, group, capabilities
    PLAIN: (0o755, 0, None),
    CAPS: (0o755, 0, "cap_net_admin+ep"),
    SETUID: (0o4755, 0, None),
    SETGID: (0o2755, TEAM, "cap_net_admin+ep"),
    OVERRIDE: (0o755, 0, "cap_net_admin,cap_dac_override+ep"),
    NOSUID: (0o755, 0, "cap_net_admin+ep"),
}

# The devices are copies of the real ones, but for vhost-net: a stand-in that only root may open.
VHOST_DEVICE = os.makedev(1, 5)
_SETUP = """
exec 3</etc/ld.so.cache
mount -t tmpfs -o mode=755 none /etc
cat <&3 >/etc/ld.so.cache
exec 3<&-
mkdir -m 755 /etc/vmtap /etc/qemu /etc/bin /etc/bin/nosuid
mount -t tmpfs -o mode=755,nosuid none /etc/bin/nosuid
printf 'root:x:0:0::/:/bin/sh\\nalice:x:%d:%d::/:/bin/sh\\nbob:x:%d:%d::/:/bin/sh\\n' >/etc/passwd
mount -t tmpfs -o mode=755 none /dev
mkdir -m 755 /dev/net
mknod -m 666 /dev/null c 1 3
mknod -m 666 /dev/full c 1 7
mknod -m 666 /dev/net/tun c 10 200
mknod -m 600 /dev/vhost-net c 1 5
umask 022
echo up
exec cat >/dev/null
""" % (ALICE, ALICE, BOB, BOB)


def program():
    """The helper of the build under test."""
    return os.path.join(vmtap.build(), "vmtap-bridge-helper")


def as_user(uid, groups=()):
    """Words in front of a command: an ordinary user who may still run privileged programs."""
    words = ["setpriv", "--reuid=%d" % uid, "--regid=%d" % uid, "--inh-caps=-all"]
    return words + (["--groups=" + ",".join(map(str, groups))] if groups else ["--clear-groups"])


class Call:
    """A call of the helper that is over. @fds: what it sent, closed at the end."""

    def __init__(self, status, out, err, fds):
        self.status, self.out, self.err, self.fds = status, out, err, fds

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    def close(self):
        while self.fds:
            os.close(self.fds.pop())

    def ifname(self, index=0):
        return tuntap.flags(self.fds[index])[1]


def receive(sock, most=200):
    """The descriptors of the one message that is there, if it is; a list."""
    sock.setblocking(False)
    try:
        data, fds, _, _ = socket.recv_fds(sock, 16, most)
    except (BlockingIOError, ConnectionResetError):
        return []
    assert len(data) in (0, 1)
    return fds


class BridgeHost(Netns):
    def __init__(self):
        self.mounts = None
        super().__init__()
        self.mounts = subprocess.Popen(
            ["nsenter", "--net=/proc/%d/ns/net" % self.pid, "--", "unshare", "--mount",
             "--propagation", "private", "sh", "-ec", _SETUP],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)
        if self.mounts.stdout.readline() != b"up\n":
            self.cleanup()
            raise Failed("cannot make a mount namespace with an /etc of its own")
        for how in _INSTALLED:
            self._install(how)
        self.run("ip link add br0 type bridge && ip link set br0 mtu 1400 up")

    def _install(self, how):
        path = self.path("/etc/bin/" + how)
        mode, group, capabilities = _INSTALLED[how]
        shutil.copyfile(program(), path)
        os.chown(path, 0, group)
        os.chmod(path, mode)
        if capabilities:
            subprocess.run(["setcap", capabilities, path], check=True)

    def path(self, path):
        """How a file of the host is called from outside."""
        return "/proc/%d/root%s" % (self.mounts.pid, path)

    def write(self, path, text, mode=0o644, uid=0, gid=0):
        """A file of the host, made anew; its folder too."""
        outside = self.path(path)
        os.makedirs(os.path.dirname(outside), mode=0o755, exist_ok=True)
        with open(outside, "wb") as f:
            f.write(text if isinstance(text, bytes) else text.encode())
        os.chown(outside, uid, gid)
        os.chmod(outside, mode)

    def allow(self, *lines):
        """The access list, line by line."""
        self.write("/etc/vmtap/bridge.conf", "".join(line + "\n" for line in lines))

    def command(self, cmd):
        words = super().command(cmd)
        if self.mounts:
            words.insert(1, "--mount=/proc/%d/ns/mnt" % self.mounts.pid)
        return words

    def words(self, *args, how=CAPS, uid=ALICE, groups=(), wrap=()):
        """The command that runs the helper installed that way as that user; uid 0: as root."""
        user = as_user(uid, groups) if uid else []
        return [*user, *wrap, "/etc/bin/" + how, *args]

    def call(self, *args, kind=socket.SOCK_STREAM, fd=None, sock=None, pass_fds=(), timeout=20,
             stdin=subprocess.DEVNULL, **how):
        """The helper to its end, with one of a new socketpair for --fd. With @fd: with that, and
        what it sends is received from @sock, if given. @how: see words()."""
        pair = socket.socketpair(socket.AF_UNIX, kind) if fd is None else ()
        if pair:
            fd, sock = pair[1].fileno(), pair[0]
            pass_fds = (*pass_fds, fd)
        try:
            done = subprocess.run(self.command(self.words(*args, "--fd=%s" % fd, **how)), stdin=stdin,
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                  pass_fds=pass_fds, timeout=timeout)
            return Call(done.returncode, done.stdout, done.stderr, receive(sock) if sock else [])
        finally:
            for end in pair:
                end.close()

    def check(self, *args, **how):
        """The helper with --check. Returns what it said on stdout and stderr, and its status."""
        done = self.run(self.words("--check", *args, **how), check=False)
        return done.stdout, done.stderr, done.returncode

    def start(self, *args, pass_fds=(), stderr=subprocess.PIPE, **how):
        """The helper in the background; a Popen, whose pid is the helper's own."""
        return self.popen(self.words(*args, **how), pass_fds=pass_fds, stderr=stderr)

    def taps(self):
        """Names of the TAPs there are."""
        return sorted(name for name, link in self.links().items()
                      if link.get("linkinfo", {}).get("info_kind") == "tun")

    def ports(self, bridge="br0"):
        return sorted(name for name, link in self.links().items() if link.get("master") == bridge)

    def cleanup(self):
        super().cleanup()
        if self.mounts:
            self.mounts.stdin.close()
            self.mounts.wait()
            self.mounts.stdout.close()
            self.mounts = None


@pytest.fixture(scope="module")
def shared_host():
    with open("/proc/self/uid_map") as f:
        if os.geteuid() or f.read().split() != ["0", "0", "4294967295"]:
            pytest.skip("installing a privileged program takes root, and not only in a user namespace")
    with BridgeHost() as made:
        yield made


@pytest.fixture
def host(shared_host):
    """Without a list; no TAP, and no bridge but br0, may be left."""
    for path in "/etc/vmtap/bridge.conf", "/etc/qemu/bridge.conf":
        with contextlib.suppress(FileNotFoundError):
            os.unlink(shared_host.path(path))
    yield shared_host
    wait_until(lambda: not shared_host.taps(), what="no TAP is left")


def refused(call, *texts):
    """It failed, sent nothing, and said why in one line."""
    assert call.status == 1 and call.fds == []
    assert call.out == ""
    lines = call.err.splitlines()
    assert len(lines) == 1 and lines[0].startswith("vmtap-bridge-helper: "), call.err
    for text in texts:
        assert text in lines[0]
