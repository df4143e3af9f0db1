# SPDX-License-Identifier: MIT
"""IGMP and MLD snooping of a switch. Members are kernels: sockets that join groups; the querier is the kernel's
bridge.

    10.9.0.1   TAP v1 ─┐                 ┌─ v0 in br0, which asks who is in which group
    10.9.0.2   TAP v2 ─┼─ vmtap, a switch ┘
    10.9.0.3   TAP v3 ─┘  sends

v1, v2 and v3 are each in a namespace of their own. Whether a frame does not come is told by one behind it that does.
"""

import contextlib
import os
import re
import socket
import struct
import time

import pytest

import vmtap
from ctl import Refused, Serve
from netns import Netns, wait_until
from tuntap import Packets
from vmtap import Vmtap

G4, H4, G6 = "239.1.2.3", "239.9.9.9", "ff0e::77"
TAP = {"type": "tap", "script": "no", "downscript": "no"}
LAST = 30


class Host:
    """A kernel with address 10.9.0.@number on the TAP v@number; sees all that comes there."""

    def __init__(self, ns, stack, number, room=None):
        self.number, self.name = number, "v%d" % number
        self.room = room or stack.enter_context(Netns())
        if not room:
            ns.run("ip link set %s netns /proc/%d/ns/net" % (self.name, self.room.pid))
            self.room.run("ip addr add 10.9.0.%d/24 dev %s; ip addr add 2001:db8::%d/64 dev %s; ip link set %s up" %
                          (number, self.name, number, self.name, self.name))
        self.seen = stack.enter_context(Packets(self.room, self.name, kind=None))
        self.members = {}
        self.count = 0

    def index(self):
        with self.room.enter():
            return socket.if_nametoindex(self.name)

    def join(self, group):
        with self.room.enter():
            if ":" in group:
                sock = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP,
                                socket.inet_pton(socket.AF_INET6, group) + struct.pack("I", self.index()))
            else:
                sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
                sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP,
                                struct.pack("4s4si", socket.inet_aton(group), bytes(4), self.index()))
        self.members[group] = sock

    def leave(self, group):
        self.members.pop(group).close()

    def say(self, address):
        """A datagram to a group or to all; what is in it."""
        self.count += 1
        text = b"<%d:%s:%d>" % (self.number, address.encode(), self.count)
        with self.room.enter():
            sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
        with sock:
            if ":" in address:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, self.index())
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 4)
            else:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
                sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 4)
                sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF,
                                struct.pack("4s4si", bytes(4), bytes(4), self.index()))
            sock.sendto(text, (address, 9))
        return text

    def heard(self, mark):
        """All datagrams that came before @mark, which has to come."""
        found = set()
        end = time.monotonic() + LAST
        while mark not in found:
            data = self.seen.receive(max(0, end - time.monotonic()))
            assert data, "%s: %r did not come" % (self.name, mark)
            found.update(re.findall(rb"<\d+:[^<>]+:\d+>", data))
        return found


def goes_to(sender, hosts, address):
    """The numbers of the hosts to which a datagram goes."""
    text = sender.say(address)
    mark = sender.say("10.9.0.255")
    return {host.number for host in hosts if text in host.heard(mark)}


def is_report(data):
    """IGMP, but no query."""
    head = (data[14] & 15) * 4
    return data[12:14] == b"\x08\0" and data[23] == 2 and data[14 + head] != 0x11


class Lan:
    def __init__(self, ns, folder, stack, querier, **keys):
        self.ns = ns
        self.server = stack.enter_context(Serve(ns, folder))
        self.ctl = stack.enter_context(self.server.client())
        self.ctl.run("switch_add", id="lan", snooping=True, **keys)
        ns.run("ip link add br0 type bridge mcast_snooping 1 mcast_querier %d mcast_query_interval 200 "
               "mcast_query_response_interval 100 mcast_startup_query_interval 100 %s; ip link set br0 up" %
               (bool(querier), querier or ""))
        self.add(0)
        ns.run("ip link set v0 master br0; ip link set v0 up")
        self.bridge = Host(ns, stack, 0, room=ns)
        self.hosts = []
        for i in 1, 2, 3:
            self.add(i)
            self.hosts.append(Host(ns, stack, i))

    def add(self, number, **keys):
        name = "v%d" % number
        self.ctl.run("port_add", id=name, ifname=name, **TAP, **keys)
        self.ctl.run("connect", id=name, peer="lan")

    def stats(self):
        return self.ctl.run("query-switches")[0]

    def groups(self):
        found = {}
        for row in self.ctl.run("query-groups", id="lan"):
            assert row["vlan"] == 0 and 0 < row["left-ms"] <= 260000
            found.setdefault(row["group"], set()).add(row["port"])
        return found

    def routers(self):
        return {(row["port"], row["family"]): row["querier"] for row in self.ctl.run("query-routers", id="lan")}

    def settled(self, sender, hosts, address, expected):
        """Until the datagrams go there."""
        def is_so():
            return goes_to(sender, hosts, address) == expected
        wait_until(is_so, LAST, "%s goes to %s" % (address, expected))


@pytest.fixture
def lan(ns, folder):
    with contextlib.ExitStack() as stack:
        yield lambda querier, **keys: Lan(ns, folder, stack, querier, **keys)


OLD = "mcast_igmp_version 2 mcast_mld_version 1"
NEW = "mcast_igmp_version 3 mcast_mld_version 2"


@pytest.mark.parametrize("versions", [OLD, NEW], ids=["igmp2-mld1", "igmp3-mld2"])
def test_groups_go_to_members_and_the_querier(lan, versions):
    net = lan(versions)
    one, two, sender = net.hosts
    everyone = [net.bridge, one, two]
    one.join(G4)
    one.join(G6)
    wait_until(lambda: {G4, G6} <= set(net.groups()), LAST, "the groups are known")
    wait_until(lambda: set(net.routers()) == {("v0", "ipv4"), ("v0", "ipv6")}, LAST, "the bridge asks")
    assert net.routers()[("v0", "ipv4")] == "0.0.0.0"
    assert net.routers()[("v0", "ipv6")].startswith("fe80::")
    for group in G4, G6:
        net.settled(sender, everyone, group, {0, 1})
    net.settled(sender, everyone, H4, {0})     # nobody is in it
    assert goes_to(sender, everyone, "224.0.0.251") == {0, 1, 2}
    assert goes_to(sender, everyone, "ff02::5") == {0, 1, 2}
    two.join(G4)
    two.join(G6)
    for group in G4, G6:
        net.settled(sender, everyone, group, {0, 1, 2})
        one.leave(group)
        net.settled(sender, everyone, group, {0, 2})
        assert net.groups()[group] == {"v2"}
        two.leave(group)
        net.settled(sender, everyone, group, {0})
        assert group not in net.groups()
    stats = net.stats()
    assert stats["snooping"] and stats["queriers"] == 2 and stats["routers"] == 2 and stats["wrong"] == 0
    assert stats["queries"] > 2 and stats["reports"] > 2 and stats["to-members"] > 2 and stats["to-routers"] > 0


def test_members_stay_while_they_are_asked_again_and_again(lan):
    """Several rounds of queries; the bridge repeats them every two seconds."""
    net = lan(NEW)
    one, two, sender = net.hosts
    one.join(G4)
    net.settled(sender, [net.bridge, one, two], G4, {0, 1})
    before = net.stats()["queries"]
    while net.stats()["queries"] < before + 6:
        assert goes_to(sender, [net.bridge, one, two], G4) == {0, 1}
    assert net.groups()[G4] == {"v1"}


def test_reports_go_to_the_querier_only(lan):
    net = lan(OLD)
    one, two, sender = net.hosts
    net.settled(sender, [net.bridge, one, two], H4, {0})
    two.heard(sender.say("10.9.0.255"))
    one.join(G4)
    wait_until(lambda: G4 in net.groups(), LAST, "it is known")
    mark = sender.say("10.9.0.255")
    while mark not in (data := two.seen.receive()):
        assert not is_report(data), data.hex()


def test_without_a_querier_all_groups_go_to_all(lan):
    net = lan(None)
    one, two, sender = net.hosts
    one.join(G4)
    wait_until(lambda: net.groups().get(G4) == {"v1"}, LAST, "the group is known")
    for group in G4, H4:
        assert goes_to(sender, [net.bridge, one, two], group) == {0, 1, 2}
    assert net.stats()["queriers"] == 0 and net.routers() == {}
    one.leave(G4)


def test_off_by_default_nothing_is_looked_at(ns, folder):
    with Serve(ns, folder) as server, server.client() as ctl:
        ctl.run("switch_add", id="lan")
        row = ctl.run("query-switches")[0]
        assert row["snooping"] is False and "memberships" not in row
        assert ctl.run("query-groups", id="lan") == [] and ctl.run("query-routers", id="lan") == []


def test_a_port_may_want_all(lan):
    net = lan(NEW)
    one, two, sender = net.hosts
    net.settled(sender, [net.bridge, one, two], H4, {0})
    net.ctl.run("port_del", id="v3")
    net.add(4, **{"mcast-flood": True})
    with contextlib.ExitStack() as stack:
        wants = Host(net.ns, stack, 4)
        net.settled(one, [net.bridge, two, wants], H4, {0, 4})
        queries = net.stats()["queries"]
        wait_until(lambda: net.stats()["queries"] > queries + 4, LAST, "it was asked, too")
        assert goes_to(one, [net.bridge, two, wants], H4) == {0, 4}


def test_flush_begins_again(lan):
    net = lan(NEW)
    one, two, sender = net.hosts
    one.join(G4)
    net.settled(sender, [net.bridge, one, two], G4, {0, 1})
    net.ctl.run("switch_flush", id="lan")
    net.settled(sender, [net.bridge, one, two], G4, {0, 1})
    assert net.groups()[G4] == {"v1"}


def test_one_guest_cannot_take_the_whole_table(lan):
    """Who joins group after group leaves room, and what did not fit goes to all."""
    net = lan(NEW, **{"max-memberships": 64})
    one, two, sender = net.hosts
    everyone = [net.bridge, one, two]
    one.join(G4)
    net.settled(sender, everyone, G4, {0, 1})
    for i in range(200):
        two.join("239.200.0.%d" % i)
    wait_until(lambda: net.stats()["unfit"] > 100, LAST, "it is too many")
    stats = net.stats()
    assert stats["memberships"] <= 64 == stats["memberships-max"]
    assert goes_to(sender, everyone, G4) == {0, 1}
    had = net.groups()  # reports of many groups come in no order
    left_out = next(group for group in ("239.200.0.%d" % i for i in range(200)) if group not in had)
    assert goes_to(sender, everyone, left_out) == {0, 1, 2}
    wait_until(lambda: "max-memberships=" in net.server.output(), LAST, "it says so")
    sender.join("239.77.7.7")
    wait_until(lambda: net.groups().get("239.77.7.7") == {"v3"}, LAST, "there is room for others")
    assert net.server.output().count("max-memberships=") == 1


def test_wrong_messages_are_counted_and_dropped(lan):
    net = lan(NEW)
    one, two, sender = net.hosts
    net.settled(sender, [net.bridge, one, two], H4, {0})
    before = net.groups()
    good = bytes.fromhex("01005e010203" "020000000001" "0800" "46c0002000004000" "0102" "42f3" "0a090001" "ef010203"
                         "94040000" "16000000ef010203")
    two.seen.send(good)    # but for its checksums
    wait_until(lambda: net.stats()["wrong"] == 1, LAST, "it was counted")
    assert net.groups() == before


def test_the_file_and_the_words(ns, folder):
    path = os.path.join(folder, "vmtap.conf")
    with open(path, "w") as f:
        f.write("[port a]\ntype = null\n\n[port b]\ntype = null\nmcast-flood = on\n\n"
                "[switch lan]\nports = a b\nsnooping = on\nmax-memberships = 100\n")
    with Serve(ns, folder, "-c", path) as server:
        with server.client() as ctl:
            assert ctl.run("query-switches")[0]["memberships-max"] == 100
        done = server.ctl("query-groups", "id=lan")
        assert done.returncode == 0, done.stderr
        done = server.ctl("query-switches", options=("--json",))
        assert '"snooping": true' in done.stdout or '"snooping":true' in done.stdout


def test_a_hub_does_not_snoop(ns, folder):
    done = vmtap.run(ns, "connect", "switch,hub=on,snooping=on", "null", "null")
    assert done.returncode != 0 and "a hub sends everything to all" in done.stderr
    with Serve(ns, folder) as server, server.client() as ctl:
        with pytest.raises(Refused, match="a hub sends everything"):
            ctl.run("switch_add", id="lan", hub=True, snooping=True)
        for wrong in 0, 65537:
            with pytest.raises(Refused, match="max-memberships"):
                ctl.run("switch_add", id="lan", **{"max-memberships": wrong})


def test_connect_snoops_too(ns, folder):
    """Without a control socket."""
    with contextlib.ExitStack() as stack:
        taps = ["tap,ifname=v%d,script=no,downscript=no" % i for i in range(4)]
        running = stack.enter_context(Vmtap(ns, ["switch,snooping=on"] + taps, folder))
        ns.run("ip link add br0 type bridge mcast_snooping 1 mcast_querier 1 mcast_query_interval 200 "
               "mcast_query_response_interval 100; ip link set br0 up; ip link set v0 master br0; ip link set v0 up")
        bridge = Host(ns, stack, 0, room=ns)
        one, two, sender = [Host(ns, stack, i) for i in (1, 2, 3)]
        one.join(G4)
        wait_until(lambda: goes_to(sender, [bridge, one, two], G4) == {0, 1}, LAST, "it goes to members only")
        assert running.stop() == 0, running.output()
