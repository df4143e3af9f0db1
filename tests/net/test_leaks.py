# SPDX-License-Identifier: MIT
"""Nothing is left behind: interfaces, files, processes, descriptors. Memory is what the builds
with sanitizers look at, and descriptors on the library's failing paths are counted in tap-leaks.c."""

import os
import shutil
import signal
import tempfile

import pytest

import leaks
import sandbox
import tuntap
import vmtap
from netns import Netns, end, wait_until
from peers import StreamPeer
from tuntap import IFF_NO_PI, IFF_TAP, Packets, frame
from vmtap import Vmtap

NO = ",script=no,downscript=no"
GOOD = ["tap,ifname=vm0" + NO, "tap,ifname=vm0,queues=4" + NO, "tap" + NO,
        "stream,server=on,path={dir}/s", "dgram,local={dir}/a,remote={dir}/b", "null",
        "responder,ip=10.0.0.2"]
BAD = ["tap,ifname=a/b", "tap,ifname=lo" + NO, "tap,ifname=busy" + NO, "tap,ifname=vm9,br=nosuch",
       "tap,ifname=vm9,script={dir}/fails,downscript=no", "tap,ifname=vm9,script=/nonexistent",
       "tap,ifname=vm9,script={dir}/hangs,script-timeout-ms=100", "tap,ifname=vm9,queues=300",
       "tap,ifname=vm9,mtu=100000" + NO, "tap,ifname=vm9,nosuch=1", "tap,fd=99", "tap,fd=0",
       "tap,ifname=vm9,vhostforce=on" + NO, "tap,helper=/bin/false",
       "stream,server=on,path=/nonexistent/s", "stream,path={dir}/nobody-listens",
       "stream,server=on,path={dir}/in-use", "dgram,local={dir}/x", "dgram,local={dir}/a",
       "responder,ip=nonsense", "null,speed=none", "nosuch", ""]


class Lab:
    def __init__(self, ns, folder):
        self.ns, self.folder = ns, folder
        for name, text in ("fails", "exit 1"), ("hangs", "exec tail -f /dev/null"):
            with open(os.path.join(folder, name), "w") as f:
                f.write("#!/bin/sh\n%s\n" % text)
            os.chmod(os.path.join(folder, name), 0o755)
        self.busy = tuntap.open_tap(ns, "busy", IFF_TAP | IFF_NO_PI)
        self.in_use = Vmtap(ns, ["null", "stream,server=on,path=%s/in-use" % folder], folder,
                            name="in-use")
        self.before = self.state()

    def state(self):
        """All there is, but the log of what was just run."""
        return (sorted(self.ns.links()), sorted(n for n in os.listdir(self.folder) if n != "v.log"),
                sorted(leaks.processes(os.environ["VMTAP_TEST_RUN"])))

    def close(self):
        os.close(self.busy)
        assert self.in_use.stop() == 0


@pytest.fixture(scope="module")
def lab():
    folder = tempfile.mkdtemp(prefix="vmtap-")
    with Netns() as ns:
        lab = Lab(ns, folder)
        yield lab
        lab.close()
    shutil.rmtree(folder)


@pytest.mark.parametrize("spec", BAD)
@pytest.mark.parametrize("first", [False, True], ids=["second", "first"])
def test_a_port_that_cannot_be_opened_leaves_nothing(lab, spec, first):
    """Nor does the one that was open before it."""
    bad, good = spec.format(dir=lab.folder), "tap,ifname=good" + NO
    done = vmtap.run(lab.ns, "connect", *([bad, good] if first else [good, bad]))
    assert done.returncode in (2, 3)
    assert lab.state() == lab.before


@pytest.mark.parametrize("spec", BAD + GOOD)
def test_check_leaves_nothing(lab, spec):
    done = vmtap.run(lab.ns, "check", spec.format(dir=lab.folder))
    assert done.returncode in (0, 2, 3)
    assert lab.state() == lab.before


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP], ids=lambda s: s.name)
@pytest.mark.parametrize("spec", GOOD)
def test_an_orderly_end_leaves_nothing(lab, spec, sig):
    with Vmtap(lab.ns, [spec.format(dir=lab.folder), "null"], lab.folder, name="v") as v:
        assert v.stop(sig) == 0
    assert lab.state() == lab.before


@pytest.mark.parametrize("spec", GOOD)
def test_a_killed_one_leaves_no_interface_and_no_process(lab, spec):
    with Vmtap(lab.ns, [spec.format(dir=lab.folder), "null"], lab.folder, name="v") as v:
        v.stop(signal.SIGKILL)
    wait_until(lambda: lab.state()[0] == lab.before[0])
    assert lab.state()[2] == lab.before[2]
    for name in set(lab.state()[1]) - set(lab.before[1]):
        os.unlink(os.path.join(lab.folder, name))  # a socket, which its next user would take over


def test_a_killed_one_takes_its_script_along(lab):
    """The script is told to end, so that nobody waits for it for ever."""
    spec = "tap,ifname=vm9,script-timeout-ms=0,script=%s/hangs" % lab.folder
    proc = lab.ns.popen([vmtap.program(), "connect", spec, "null"])
    wait_until(lambda: any("tail" in p for p in leaks.processes(os.environ["VMTAP_TEST_RUN"])))
    assert end(proc, sig=signal.SIGKILL) == -signal.SIGKILL
    wait_until(lambda: lab.state() == lab.before)


# ------------------------------------------------------------ a process that runs on


def fds(v):
    """How many descriptors it has."""
    return len(os.listdir("/proc/%d/fd" % v.proc.pid))


def test_clients_that_come_and_go_take_no_descriptors(ns, folder):
    path = os.path.join(folder, "s")
    with Vmtap(ns, ["tap,ifname=vm0" + NO, "stream,server=on,path=" + path], folder) as v, \
            Packets(ns, "vm0") as kernel:
        counts = []
        for n in range(50):
            with StreamPeer(path) as vm:
                vm.send(frame(n))
                assert kernel.receive() == frame(n)
                counts.append(fds(v))
        assert counts[0] == counts[-1] == max(counts)


def test_devices_that_come_and_go_take_no_descriptors(ns, folder):
    with Vmtap(ns, ["tap,ifname=vm0,queues=3,reconnect-ms=5" + NO, "null"], folder) as v:
        counts = []
        for n in range(1, 11):
            ns.run("ip link del vm0 && ip tuntap add vm0 mode tap multi_queue")
            wait_until(lambda n=n: v.output().count("attached to vm0 again") == n)
            counts.append(fds(v))
        assert counts == counts[:1] * 10


def test_an_instance_needs_few_descriptors(ns, folder):
    with Vmtap(ns, ["tap,ifname=vm0" + NO, "null"], folder, wrap=sandbox.mounts("ulimit -n 16")):
        assert "vm0" in ns.links()


@pytest.mark.parametrize("limit", range(3, 16))
def test_too_few_descriptors_are_an_error_and_nothing_is_left(ns, folder, limit):
    wrap = ["sh", "-c", 'ulimit -n %d; exec "$@"' % limit, "sh"]
    # A leak checker needs descriptors of its own.
    env = {**os.environ, "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0"}
    proc = ns.popen([*wrap, vmtap.program(), "-v", "connect", "tap,ifname=vm0,queues=4" + NO,
                     "stream,server=on,path=%s/s" % folder], stderr=open(folder + "/err", "w"), env=env)
    wait_until(lambda: proc.poll() is not None or "ready" in open(folder + "/err").read())
    if proc.poll() is None:
        assert limit > 10 and end(proc) == 0
    else:
        assert proc.returncode in (3, 127), open(folder + "/err").read()
        assert "Too many open files" in open(folder + "/err").read() or proc.returncode == 127
    assert list(ns.links()) == ["lo"] and os.listdir(folder) == ["err"]
