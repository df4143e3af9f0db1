# SPDX-License-Identifier: MIT
"""Two guests over one vmtap. VMMs that do it wrong come to its second port, one after the other, and
the first one does not notice; then comes one that does it right.

    guest a ── vhost-user ── vmtap ── vhost-user ── guest b
    10.9.1.1                                       10.9.1.2
"""

import pytest

from guest import Guest
from netns import Netns, wait_until
from vmtap import Vmtap
from vulink import VuNic, memory

SIZE = 4 << 20


class Pair:
    """@mac, @address: of each guest."""

    mac = {name: "52:54:00:0c:00:0" + name for name in "ab"}
    address = {"a": "10.9.1.1", "b": "10.9.1.2"}

    def __init__(self, folder):
        self.folder = folder
        self.ns = Netns()
        self.guests = {}
        self.old = []
        try:
            self.vmtap = Vmtap(self.ns, ["vhost-user,id=%s,server=on,path=%s/%s.sock" % (name, folder, name)
                                         for name in "ab"], folder)
            self.boot("a", memory())
        except BaseException:
            self.close()
            raise

    def boot(self, name, qemu):
        nic = VuNic("%s/%s.sock" % (self.folder, name), self.mac[name])
        guest = Guest(self.ns, [nic], self.folder, "guest-%s%d" % (name, len(self.old)), qemu=qemu)
        self.guests[name] = guest
        eth = guest.ifnames[self.mac[name]]
        guest.ok("ip link set %s up && ip addr add %s/24 dev %s" % (eth, self.address[name], eth))

    def kill(self, name):
        self.guests[name].kill()
        self.old.append(self.guests.pop(name))
        wait_until(lambda: self.connected(name) == "disconnected")

    def connected(self, name):
        """What vmtap said last: "connected" or "disconnected"."""
        lines = [line for line in self.vmtap.output().splitlines() if " %s: " % name in line]
        return [word for line in lines for word in ("disconnected", "connected") if " %s: %s" % (name, word) in line][-1]

    def ping(self):
        for name, other in ("a", "b"), ("b", "a"):
            self.guests[name].ok("/bin/ping -n -q -c 3 -i 0.01 -w 10 " + self.address[other])

    def transfer(self):
        """A file from each to the other, one after the other."""
        for name, other in ("a", "b"), ("b", "a"):
            # nc ends at the first end that it sees, so that of its input must not come.
            self.guests[other].ok("rm -f /tmp/sum; (sleep 60 | nc -l -p 5000 | sha256sum >/tmp/sum) >/dev/null 2>&1 &")
            sent = self.guests[name].ok(
                "head -c %d /dev/urandom >/tmp/data; sha256sum </tmp/data; "
                "until nc %s 5000 </tmp/data; do sleep 0.05; done" % (SIZE, self.address[other]))
            got = self.guests[other].ok("until [ -s /tmp/sum ]; do sleep 0.05; done; cat /tmp/sum")
            assert got == sent

    def close(self):
        for guest in [*self.old, *self.guests.values()]:
            guest.kill()
        self.ns.cleanup()

    def logs(self):
        for guest in [*self.old, *self.guests.values()]:
            yield from guest.logs()
        yield "vmtap", self.vmtap.output()


@pytest.fixture(scope="module")
def pair(image, folder):
    pair = Pair(folder)
    yield pair
    pair.close()


@pytest.mark.parametrize("qemu", [[], memory(share="off")], ids=["no-backend", "share-off"])
def test_memory_that_is_not_shared_is_said_to_be_so(pair, qemu):
    before = len(pair.vmtap.output())
    pair.boot("b", qemu)
    wait_until(lambda: "share=on" in pair.vmtap.output()[before:], what="the remedy")
    assert " b: " in next(line for line in pair.vmtap.output()[before:].splitlines() if "share=on" in line)
    pair.kill("b")


def test_guest_is_served_after_those_and_the_two_talk(pair):
    pair.boot("b", memory())
    pair.ping()
    pair.transfer()


def test_other_port_did_not_notice(pair):
    assert pair.connected("a") == "connected"
    assert pair.vmtap.output().count(" a: connected") == 1
    assert not [line for line in pair.vmtap.output().splitlines() if "warning" in line and " a: " in line]


def test_nothing_is_left(pair):
    """Last in this file."""
    pair.kill("b")
    pair.kill("a")
    assert pair.vmtap.stop() == 0, pair.vmtap.output()
