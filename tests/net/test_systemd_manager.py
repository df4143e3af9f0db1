# SPDX-License-Identifier: MIT
"""vmtap serve under a real systemd: what its store of descriptors keeps over restarts, with the settings of our unit.

It is a user's manager in namespaces of its own (network, processes, mounts, cgroups), which all end with the
shell that is the first process there. Its cgroups are below one that we make and remove.
"""

import os
import shlex
import shutil
import signal
import struct
import subprocess

import pytest

import vmtap
from netns import end
from peers import StreamPeer
from tuntap import frame

SYSTEMD = "/lib/systemd/systemd"
UNIT = os.path.join(vmtap.TOP, "systemd", "vmtap.service")
# What of the unit a user's manager can do, and what this is about.
KEYS = ("Type", "Restart", "RestartSec", "FileDescriptorStoreMax", "Environment", "WatchdogSec", "TimeoutStartSec",
        "NoNewPrivileges", "RestrictRealtime", "RestrictSUIDSGID", "RestrictAddressFamilies", "LockPersonality",
        "MemoryDenyWriteExecute", "SystemCallArchitectures", "SystemCallFilter", "SystemCallErrorNumber")

PORTS = """
[port vm0]
type = tap
ifname = vm0
queues = 2
up = on
script = no
downscript = no

[port guest]
type = stream
server = on
path = %s/guest

[link one]
ports = vm0 guest
"""


# Puts itself into the cgroup $2, as seen by mounting at $1, and becomes a shell that sees nothing outside of it.
ENTER = """
set -e
mkdir "$1"
mount -t cgroup2 none "$1"
mkdir "$1$2"
echo $$ >"$1$2/cgroup.procs"
umount "$1"
exec unshare --cgroup bash
"""
LEAVE = 'mount -t cgroup2 none "$1" && find "$1$2" -depth -type d -exec rmdir {} +'


class Host:
    """A shell in there, and the manager that it has started."""

    def __init__(self, folder):
        self.folder = folder
        with open("/proc/self/cgroup") as f:
            own = next((line[3:].strip() for line in f if line.startswith("0::")), "/")
        self.cgroup = [folder + "/cgroup", "%s/vmtap-test-%d" % (own.rstrip("/"), os.getpid())]
        self.proc = subprocess.Popen(
            ["unshare", "--mount", "--net", "--pid", "--fork", "--mount-proc", "bash", "-c", ENTER, "enter",
             *self.cgroup],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True)
        try:
            self._start()
        except BaseException:
            self.close()
            raise

    def _start(self):
        folder = self.folder
        env = {"XDG_RUNTIME_DIR": folder + "/run", "XDG_CONFIG_HOME": folder}
        os.makedirs(folder + "/run", 0o700)
        self.run("unset NOTIFY_SOCKET; export " + " ".join("%s=%s" % item for item in env.items()))
        # it asks for the system's manager, if only for the folder
        self.run("mount -t tmpfs none /run && mkdir -p /run/systemd/system && ip link set lo up")
        # two, since the same once more where it is already would be refused
        self.run("mount -t tmpfs none /sys/fs/cgroup && mount -t cgroup2 none /sys/fs/cgroup")
        self.run("%s --user --unit=vmtap-test.target >%s/manager.log 2>&1 &" % (SYSTEMD, folder))
        self.until("[ -S $XDG_RUNTIME_DIR/systemd/private ]")

    def run(self, line):
        """What it says. Raises when it fails."""
        self.proc.stdin.write("{ %s\n} </dev/null 2>&1; echo \"=$?=\"\n" % line)
        self.proc.stdin.flush()
        said = ""
        while not said.endswith("=\n"):
            got = self.proc.stdout.readline()
            assert got, "the shell ended: " + said
            said += got
        said, _, status = said.rstrip("=\n").rpartition("=")
        if status != "0":
            raise AssertionError("%s: exit status %s\n%s\n%s" % (line, status, said, self.log()))
        return said.rstrip("\n")

    def until(self, condition):
        self.run("for i in $(seq 600); do %s && break; [ $i != 600 ] && sleep 0.05; done" % condition)

    def log(self):
        texts = []
        for name in "manager.log", "vmtap.log":
            path = os.path.join(self.folder, name)
            if os.path.exists(path):
                with open(path, errors="replace") as f:
                    texts.append(f.read())
        return "\n".join(texts)

    def ctl(self, words):
        return self.run("systemctl --user " + words)

    def show(self, key):
        return self.ctl("show -p %s --value vmtap" % key)

    def index(self):
        """Of vm0; None: there is none."""
        return self.run("ip -o link show vm0 2>/dev/null | cut -d: -f1") or None

    def vmtap(self, words):
        return self.run("%s ctl --control %s/control %s" % (shlex.quote(vmtap.program()), self.folder, words))

    def close(self):
        """All of it ends with the shell, and the shell with its input."""
        self.proc.stdin.close()
        try:
            self.proc.wait(20)
        except subprocess.TimeoutExpired:
            end(self.proc, sig=signal.SIGKILL)
        self.proc.stdout.close()
        subprocess.run(["unshare", "--mount", "sh", "-c", LEAVE, "leave", *self.cgroup], check=True)


@pytest.fixture
def host(ns, folder):
    """@ns: for its check that we may."""
    if not os.path.exists(SYSTEMD) or not shutil.which("systemctl"):
        pytest.skip("systemd is not installed")
    with open(UNIT, encoding="utf-8") as f:
        settings = [line for line in f.read().splitlines() if line.partition("=")[0] in KEYS]
    assert len(settings) == len(KEYS)
    os.makedirs(folder + "/systemd/user")
    with open(folder + "/systemd/user/vmtap-test.target", "w", encoding="utf-8") as f:
        f.write("[Unit]\nDescription=nothing\n")
    with open(folder + "/systemd/user/vmtap.service", "w", encoding="utf-8") as f:
        f.write("[Service]\n%s\nExecStart=%s -v -c %s/vmtap.conf serve --control %s/control\n"
                "StandardOutput=append:%s/vmtap.log\nStandardError=inherit\n"
                % ("\n".join(settings), vmtap.program(), folder, folder, folder))
    with open(folder + "/vmtap.conf", "w", encoding="utf-8") as f:
        f.write(PORTS % folder)
    made = Host(folder)
    yield made
    made.close()


def test_the_interface_is_kept_until_the_service_is_stopped(host):
    host.ctl("start vmtap")
    index = host.index()
    assert index and host.show("NFileDescriptorStore") == "3"

    host.ctl("restart vmtap")
    assert host.index() == index and host.show("NFileDescriptorStore") == "3"

    pid = host.show("MainPID")
    host.run("kill -9 " + pid)
    host.until('[ "$(systemctl --user show -p MainPID,ActiveState --value vmtap | tr "\\n" " ")" != "%s active " ] && '
               'systemctl --user is-active -q vmtap' % pid)
    assert host.show("MainPID") not in (pid, "0")
    assert host.index() == index and host.show("NFileDescriptorStore") == "3"
    assert host.log().count("went on with vm0, 2 queues") == 2

    host.ctl("stop vmtap")
    host.until("! ip link show vm0 >/dev/null 2>&1")
    assert host.show("NFileDescriptorStore") == "0"


def test_a_connection_goes_on_in_the_middle_of_a_frame(host):
    """It is in the store from one run to the next, and at no other time."""
    count = host.folder + "/sys/class/net/vm0/statistics/rx_packets"
    host.run("mkdir {0}/sys && mount -t sysfs none {0}/sys".format(host.folder))
    host.ctl("start vmtap")
    with StreamPeer(host.folder + "/guest") as vm:
        host.until('[ "$(grep -c "guest: connected to" %s/vmtap.log)" = 1 ]' % host.folder)
        data = struct.pack("!I", 60) + frame(1)
        for n in range(1, 4):
            vm.sock.sendall(data[:20 * n])
            before = int(host.run("cat " + count))
            host.ctl("restart vmtap")
            assert host.show("NFileDescriptorStore") == "3"
            vm.sock.sendall(data[20 * n:])
            host.until('[ "$(cat %s)" = %d ]' % (count, before + 1))
        assert host.log().count("went on with the connection") == 3 and "warning" not in host.log()

        pid = host.show("MainPID")
        host.run("kill -9 " + pid)
        assert vm.is_disconnected()
        host.until('[ "$(systemctl --user show -p MainPID --value vmtap)" != %s ] && '
                   'systemctl --user is-active -q vmtap' % pid)
    assert host.log().count("the run before left no connection") == 1
    with StreamPeer(host.folder + "/guest") as vm:
        host.until('[ "$(grep -c "guest: connected to" %s/vmtap.log)" = 2 ]' % host.folder)
        host.ctl("stop vmtap")
        assert vm.is_disconnected()
    assert host.show("NFileDescriptorStore") == "0"


def test_a_port_that_is_deleted_is_gone_at_once_and_can_be_opened_again(host):
    host.ctl("start vmtap")
    index = host.index()
    for _ in range(3):
        host.vmtap("port del vm0")
        assert host.index() is None and host.show("NFileDescriptorStore") == "1"
        host.vmtap("reload")
        assert host.index() not in (None, index) and host.show("NFileDescriptorStore") == "3"
        index = host.index()
    host.ctl("stop vmtap")


def test_what_the_file_does_not_say_any_more_goes_with_the_restart(host):
    host.ctl("start vmtap")
    with open(host.folder + "/vmtap.conf", "w", encoding="utf-8") as f:
        f.write("[port other]\ntype = tap\nifname = vm0\nup = on\nscript = no\ndownscript = no\n")
    index = host.index()
    host.ctl("restart vmtap")
    assert host.index() not in (None, index) and host.show("NFileDescriptorStore") == "1"
    host.ctl("stop vmtap")


def test_the_filter_of_system_calls_is_on_and_lets_clients_work(host):
    host.ctl("start vmtap")
    status = host.run("cat /proc/%s/status" % host.show("MainPID"))
    assert "\nSeccomp:\t2\n" in status and "\nNoNewPrivs:\t1\n" in status

    client = "%s --control %s/control " % (shlex.quote(vmtap.program()), host.folder)
    host.run(client + "capture vm0 -w %s/x.pcapng -f arp &" % host.folder)
    host.until("[ -s %s/x.pcapng ]" % host.folder)
    host.run("kill -INT $! && wait $!")
    host.run(client + "stats")
    for words in ("port add null,id=n", "switch add id=sw", "connect n sw", "throttle set vm0 rate=100M", "port del n",
                  "ports", "queues", "reload"):
        host.run(client + "ctl " + words)
    host.run(client + "ping vm0 -c 1 || [ $? = 1 ]")  # nobody answers
    assert "not permitted" not in host.log()
    host.ctl("stop vmtap")
