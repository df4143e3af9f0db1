# SPDX-License-Identifier: MIT
"""Options: one syntax, errors that name the key, and the same verdict as QEMU's.

Debian's QEMU is the reference. For each row of the tables below, `-netdev tap,id=n,ROW` and
`vmtap connect tap,ROW` are started in turn. Both must accept it and make the same devices, or
both must refuse it. Where we differ on purpose, the table says why.
"""

import contextlib
import os
import re
import select
import shutil
import subprocess
import tempfile
import time

import pytest

import tuntap
import vmtap
from netns import Netns, end
from tuntap import IFF_MULTI_QUEUE, IFF_NO_PI, IFF_TAP, IFF_VNET_HDR
from vmtap import Vmtap

USAGE, RESOURCE = 2, 3
QEMU = "qemu-system-x86_64"
NO = ",script=no,downscript=no"

# Accepted, with the same meaning.
ACCEPTED = [
    "ifname=q0" + NO,
    NO[1:],
    "ifname=q%d" + NO,
    "script=no,ifname=q0,downscript=no",
    "ifname=q0,script=,downscript=",
    "ifname=q0" + NO + ",",
    "ifname=q0,script={up},downscript={down}",
    "ifname=q0,script={up},downscript=no",
    "ifname=q0,script=no,downscript={down}",
    "ifname=q0,script=no,downscript=/nonexistent",
    "ifname=q0,script={comma},downscript=no",
    "ifname=q0,vnet_hdr=on" + NO,
    "ifname=q0,vnet_hdr=off" + NO,
    "ifname=q0,vnet_hdr=yes" + NO,
    "ifname=q0,vnet_hdr=no" + NO,
    "ifname=q0,vnet_hdr=true" + NO,
    "ifname=q0,vnet_hdr=false" + NO,
    "ifname=q0,vnet_hdr=y" + NO,
    "ifname=q0,vnet_hdr=n" + NO,
    "ifname=q0,vnet_hdr" + NO,
    "ifname=q0,sndbuf=0" + NO,
    "ifname=q0,sndbuf=1" + NO,
    "ifname=q0,sndbuf=1048576" + NO,
    "ifname=q0,sndbuf=64k" + NO,
    "ifname=q0,sndbuf=64K" + NO,
    "ifname=q0,sndbuf=1M" + NO,
    "ifname=q0,sndbuf=1.5M" + NO,
    "ifname=q0,sndbuf=1G" + NO,
    "ifname=q0,sndbuf=8G" + NO,
    "ifname=q0,sndbuf=7E" + NO,
    "ifname=q0,sndbuf=512B" + NO,
    "ifname=q0,sndbuf=0x1000" + NO,
    "ifname=q0,queues=1" + NO,
    "ifname=q0,queues=2" + NO,
    "ifname=q0,queues=0x2" + NO,
    "ifname=q0,queues=010" + NO,
    "ifname=q0,vhost=off" + NO,
    "ifname=q0,vhostforce=off" + NO,
    "ifname=q0,vhost=off,vhostforce=on" + NO,
    "ifname=q0,poll-us=50" + NO,
    "fd={fd}",
    "fds={fds}",
    "fds={fds}:",
    "fd={fd},sndbuf=64k",
    "fd={fd},vhost=off",
]

# Refused.
REFUSED = [
    "ifname=a/b" + NO,
    "ifname=lo" + NO,
    "ifname=%s" + NO,
    "ifname=q%d%d" + NO,
    "ifname=q0,script=/nonexistent",
    "ifname=q0,script={fails},downscript=no",
    "ifname=q0,vnet_hdr=maybe" + NO,
    "ifname=q0,vnet_hdr=1" + NO,
    "ifname=q0,vnet_hdr=ON" + NO,
    "ifname=q0,vnet_hdr=" + NO,
    "ifname=q0,sndbuf=-1" + NO,
    "ifname=q0,sndbuf=1x" + NO,
    "ifname=q0,sndbuf=1kk" + NO,
    "ifname=q0,sndbuf=" + NO,
    "ifname=q0,sndbuf=lots" + NO,
    "ifname=q0,sndbuf=1.5" + NO,
    "ifname=q0,queues=-1" + NO,
    "ifname=q0,queues=257" + NO,
    "ifname=q0,queues=two" + NO,
    "ifname=q0,queues=2k" + NO,
    "ifname=q0,queues=" + NO,
    "ifname=q0,queues=4294967297" + NO,
    "ifname=q0,nokey=1" + NO,
    "ifname=q0,nokey" + NO,
    "ifname=q0,IFNAME=q1" + NO,
    "fd=99",
    "fd=0",
    "fd=abc",
    "fd=",
    "fd={fd},fds={fds}",
    "fd={fd},ifname=q0",
    "fd={fd},script=no",
    "fd={fd},downscript=no",
    "fd={fd},vnet_hdr=on",
    "fd={fd},queues=1",
    "fd={fd},helper=/bin/false",
    "fds={fds},ifname=q0",
    "fds={fds},script=no",
    "fds={fds},downscript=no",
    "fds={fds},vnet_hdr=on",
    "fds={fds},queues=2",
    "fds={fds},helper=/bin/false",
    "helper=/bin/false",
    "helper=/bin/false,ifname=q0",
    "helper=/bin/false,script=no",
    "helper=/bin/false,downscript=no",
    "helper=/bin/false,vnet_hdr=on",
    "helper=/bin/false,queues=2",
    "vhostfds=3:4" + NO,
    "ifname=q0,vhostfds=3:4,vhost=on" + NO,
    "ifname=q0,vhostfd=99" + NO,
    "ifname=q0,vhost=off,vhostfd=99" + NO,
    "fd={fd},vhostfds=98:99",
    "fds={fds},vhostfd=99",
    "fds={fds},vhostfds=98:99",
    "fds={fds},vhostfds=98",
    "fds={fds},vhostfds=98:99,vhost=off",
]

# We differ: QEMU's verdict, ours, and why.
DIFFERENT = {
    "ifname=" + NO: (True, False, "1.6: an empty name is an error"),
    "ifname=abcdefghijklmnopqrst" + NO: (True, False, "1.6: QEMU cuts the name"),
    "ifname=q0,ifname=q1" + NO: (True, False, "12.2: a repeated key is an error"),
    "ifname=q0,br=lo" + NO: (True, False, "QEMU ignores br= without helper=; ours joins it"),
    "ifname=q0,queues=0" + NO: (False, False, "QEMU asserts; ours explains"),
    "fds=": (False, False, "QEMU asserts; ours explains"),
    "fd={fd},br=br0": (True, False, "2.3: br= is one of the errors"),
    "fds={fds},br=br0": (True, False, "2.3: br= is one of the errors"),
}

# Section 8, where it depends on the kernel: behind a port without rings it must not be.
HAS_VHOST = os.path.exists("/dev/vhost-net")
DIFFERENT["ifname=q0,vhost=on" + NO] = (HAS_VHOST, True, "8.3: a warning")
DIFFERENT["ifname=q0,vhostforce=on" + NO] = (HAS_VHOST, False, "8.3: null has no rings to be served")


class Lab:
    """A namespace, scripts that tell that they ran, and TAPs to inherit."""

    def __init__(self, folder):
        self.folder = str(folder)
        self.ns = Netns()
        self.fds = []
        for name, text in (("up", "echo up $1 >>{0}/told"), ("down", "echo down $1 >>{0}/told"),
                           ("a,b", "echo comma >>{0}/told"), ("fails", "exit 3")):
            path = os.path.join(self.folder, name)
            with open(path, "w") as f:
                f.write("#!/bin/sh\n" + text.format(self.folder) + "\n")
            os.chmod(path, 0o755)

    def row(self, text):
        """The row, with inherited TAPs made afresh where it has them."""
        values = {name: os.path.join(self.folder, name) for name in ("up", "down", "fails")}
        values["comma"] = os.path.join(self.folder, "a,,b")
        if "{fd}" in text:
            values["fd"] = self.open("f0", IFF_TAP | IFF_NO_PI | IFF_VNET_HDR)
        if "{fds}" in text:
            values["fds"] = ":".join(str(self.open("f1", IFF_TAP | IFF_NO_PI | IFF_VNET_HDR |
                                                   IFF_MULTI_QUEUE)) for _ in range(2))
        return text.format(**values)

    def open(self, name, flags):
        self.fds.append(tuntap.open_tap(self.ns, name, flags))
        return self.fds[-1]

    def close_fds(self):
        while self.fds:
            os.close(self.fds.pop())

    def facts(self):
        """What there is now that can be compared."""
        found = {}
        for name, link in self.ns.links().items():
            data = link.get("linkinfo", {}).get("info_data", {})
            found[name] = {key: data.get(key) for key in ("vnet_hdr", "multi_queue", "numqueues")}
        return found

    def told(self):
        try:
            with open(self.folder + "/told") as f:
                return f.read()
        except FileNotFoundError:
            return ""
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.folder + "/told")

    def qemu(self, spec):
        """None when it is refused; else the facts while it ran, and what scripts told."""
        proc = self.ns.popen([QEMU, "-machine", "none", "-nodefaults", "-display", "none",
                              "-monitor", "stdio", "-netdev", spec], pass_fds=self.fds,
                             stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                             stderr=subprocess.DEVNULL)
        said = b""
        deadline = time.monotonic() + 20
        while b"(qemu)" not in said and proc.poll() is None and time.monotonic() < deadline:
            if select.select([proc.stdout], [], [], 1)[0]:
                data = os.read(proc.stdout.fileno(), 4096)
                if not data:
                    break
                said += data
        facts = self.facts() if b"(qemu)" in said else None
        if facts:
            proc.stdin.write(b"quit\n")
            proc.stdin.close()
            assert proc.wait(20) == 0
        end(proc)
        return (facts, self.told()) if facts else (None, self.told() and None)

    def ours(self, spec):
        try:
            v = Vmtap(self.ns, [spec, "null"], self.folder, pass_fds=self.fds)
        except Exception as failed:
            assert re.search("exit status [123]$", str(failed).splitlines()[0]), failed
            self.told()
            return None, None
        facts = self.facts()
        assert v.stop() == 0, v.output()
        return facts, self.told()


@pytest.fixture(scope="module")
def lab():
    if not shutil.which(QEMU):
        pytest.skip("QEMU is the reference, and %s is not installed" % QEMU)
    folder = tempfile.mkdtemp(prefix="vmtap-")
    lab = Lab(folder)
    yield lab
    lab.ns.cleanup()
    shutil.rmtree(folder)


@pytest.fixture(autouse=True)
def no_descriptors(request):
    yield
    if "lab" in request.fixturenames:
        request.getfixturevalue("lab").close_fds()


@pytest.mark.parametrize("row", ACCEPTED)
def test_what_qemu_accepts_means_the_same(lab, row):
    theirs = lab.qemu("tap,id=n," + lab.row(row))
    lab.close_fds()
    ours = lab.ours("tap,id=n," + lab.row(row))
    assert theirs[0], "QEMU refuses it"
    assert ours == theirs


@pytest.mark.parametrize("row", REFUSED)
def test_what_qemu_refuses_is_refused(lab, row):
    assert lab.qemu("tap,id=n," + lab.row(row))[0] is None
    lab.close_fds()
    assert lab.ours("tap,id=n," + lab.row(row))[0] is None


# What only the attempt shows: a program that fails when it is run.
UNSEEN = ["ifname=q0,script={fails},downscript=no"]


@pytest.mark.parametrize("row", ACCEPTED + REFUSED)
def test_check_has_the_same_verdict(lab, row):
    """All but the scripts that are missing, of which the downscript would only be reported."""
    done = vmtap.run(lab.ns, "check", "tap,id=n," + lab.row(row), pass_fds=lab.fds)
    ok = row in ACCEPTED and "/nonexistent" not in row or row in UNSEEN
    assert (done.returncode == 0) is ok, done.stderr


@pytest.mark.parametrize("row", DIFFERENT)
def test_where_we_differ_from_qemu_on_purpose(lab, row):
    theirs, ours, _ = DIFFERENT[row]
    assert (lab.qemu("tap,id=n," + lab.row(row))[0] is not None) is theirs
    lab.close_fds()
    assert (lab.ours("tap,id=n," + lab.row(row))[0] is not None) is ours


@pytest.mark.parametrize("spec, accepted", [
    ("type=tap,id=n,ifname=q0" + NO, True),
    ("id=n,type=tap,ifname=q0" + NO, True),
    ('{"type":"tap","id":"n","ifname":"q0","script":"no","downscript":"no"}', True),
    ('{"type":"tap","id":"n","ifname":"q0","script":"no","downscript":"no","vnet_hdr":false,'
     '"queues":2,"sndbuf":1024}', True),
    ('{"type":"tap","id":"n","ifname":"q0","script":"no","downscript":"no","queues":"2"}', False),
    ('{"type":"tap","id":"n","ifname":"q0","script":"no","downscript":"no","vnet_hdr":"on"}',
     False),
    ('{"type":"tap","id":"n","ifname":"q0","script":"no","downscript":"no","nokey":1}', False),
    ('{"type":"tap","id":"n","ifname":"q0"', False),
    ("tap,id=1n,ifname=q0" + NO, False),
    ("tap,id=n,,ifname=q0" + NO, False),
    ("nosuch,id=n", False),
], ids=lambda v: v[:40] if isinstance(v, str) else "")
def test_whole_descriptions_get_the_same_verdict(lab, spec, accepted):
    theirs, ours = lab.qemu(spec), lab.ours(spec)
    if accepted:
        assert theirs[0] and ours == theirs
    else:
        assert theirs[0] is None and ours[0] is None


# -------------------------------------------------------------- without a reference


def refused(ns, spec, *says, command="check"):
    done = vmtap.run(ns, command, spec)
    assert done.returncode == USAGE, done
    assert len(done.stderr.splitlines()) == 1
    for text in says:
        assert text in done.stderr
    return done.stderr


def test_an_unknown_key_is_named_with_the_valid_ones(ns):
    said = refused(ns, "tap,ifnam=vm0", "ifnam", "did you mean ifname")
    keys = re.findall(r"[\w-]+", said)
    assert {"ifname", "script", "downscript", "fd", "fds", "queues", "vnet_hdr", "sndbuf", "br",
            "mac", "mtu", "persist", "owner", "group", "up", "reconnect-ms"} <= set(keys)


@pytest.mark.parametrize("spec, says", [
    ("tap,ifname=vm0,ifname=vm0", ["ifname", "twice"]),
    ("tap,ifname=vm0,queues=two", ["queues", "two", "not a number"]),
    ("tap,ifname=vm0,queues=0", ["queues", "below 1"]),
    ("tap,ifname=vm0,vnet_hdr=2", ["vnet_hdr", "neither on nor off"]),
    ("tap,ifname=vm0,mac=12:34", ["mac", "12:34"]),
    ("tap,ifname=vm0,mtu=10", ["mtu", "below 68"]),
    ("tap,ifname=vm0,owner=nobody-of-this-name", ["owner=nobody-of-this-name", "no such user"]),
    ("tap,ifname=vm0,group=nobody-of-this-name", ["group=nobody-of-this-name", "no such group"]),
    ("tap,ifname", ["ifname"]),
    ("", ["description is empty", "TYPE,KEY=VALUE"]),
    ("nosuch,ifname=vm0", ["nosuch", "the types are", "tap", "stream", "dgram", "responder"]),
    ('{"type":"tap","ifname":7}', ["ifname"]),
    ('{"type":"tap","queues":"2"}', ["queues"]),
    ('{"type":"tap","ifname":"vm0","ifname":"vm1"}', ["ifname"]),
], ids=lambda v: v[:30] if isinstance(v, str) else "")
def test_mistakes_name_the_key(ns, spec, says):
    refused(ns, spec, *says)


@pytest.mark.parametrize("spec, says", [
    ("dgram,local=/tmp/x/y", "remote"),
    ("dgram", "no address is given"),
    ("stream,server=on", "path"),
])
def test_what_is_missing_is_named(ns, spec, says):
    refused(ns, spec, spec.split(",")[0], says)


def test_a_description_is_the_same_as_text_and_as_json(ns, folder):
    seen = []
    for n, spec in enumerate(["tap,ifname=vm0,queues=2,vnet_hdr=off,mtu=1400,up=no" + NO,
                              '{"type":"tap","ifname":"vm0","queues":2,"vnet_hdr":false,'
                              '"mtu":1400,"up":false,"script":"no","downscript":"no"}']):
        with Vmtap(ns, [spec, "null"], folder, name="v%d" % n):
            link = ns.links()["vm0"]
            seen.append((link["linkinfo"]["info_data"], link["mtu"], "UP" in link["flags"]))
    assert seen[0] == seen[1] and seen[0][1:] == (1400, False)


@pytest.mark.parametrize("text", ["\x01", "\x1b[31m", "\x7f", "\udcff", "a\nb"])
def test_what_no_terminal_should_see_is_not_shown(ns, text):
    done = vmtap.run(ns, "check", "tap,ifname=" + text)
    assert done.returncode == USAGE
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f]", done.stderr)
    assert len(done.stderr.splitlines()) == 1
