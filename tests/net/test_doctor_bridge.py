# SPDX-License-Identifier: MIT
"""vmtap doctor: bridges, and firewalls that see what they forward. Every fault is made for real in namespaces of its own, seen
by its name, and gone after the command that the doctor gave has been run."""

import shutil

import pytest

from netns import PATIENCE, Netns, wait_until
from patient import ERROR, NOBODY, bridge, leak, room  # noqa: F401


# ---------------------------------------------------------------------------- the bridge


def test_a_bridge_that_does_not_exist_is_made(room):
    room.mend("bridge-exists", "br7", severity="error", says="no interface of that name")
    assert room.faults("bridge-up", "br7") == []


def test_an_interface_that_is_no_bridge(room):
    room.run("ip link add v0 type veth peer v1")
    room.fault("bridge-exists", "v0", severity="error", says='no bridge but of kind "veth"')


def test_a_bridge_that_is_down_is_set_up(room):
    room.run("ip link add br0 type bridge")
    room.mend("bridge-up", "br0", severity="error")


def test_a_name_that_a_shell_would_run(room):
    """The remedy is one word where the name is one."""
    name = "a'b;touch$x"
    room.run(["ip", "link", "add", name, "type", "bridge"])
    room.mend("bridge-up", name, severity="error")
    assert room.run("ls %s/x ./b" % room.folder, check=False).returncode


def test_a_name_with_control_characters_is_shown_without(room):
    room.run("ip link add br0 type bridge; ip link set br0 up")
    name = "a\x1b[2Jb"
    done = room.run([room.bin + "/vmtap", "doctor", name], check=False)
    assert done.returncode == ERROR and "\x1b" not in done.stdout and "a?[2Jb" in done.stdout
    assert room.fault("name", name)["object"] == "bridge a?[2Jb"
    room.run(["ip", "link", "add", name, "type", "veth", "peer", "v1"])  # the kernel allows it
    room.run(["ip", "link", "set", name, "master", "br0"])
    assert "uplink" in room.fault("bridge-uplink", "br0")["what"]


def test_a_bridge_without_an_uplink(room):
    bridge(room, uplink=False)
    room.run("ip tuntap add vm0 mode tap && ip link set vm0 master br0 up; "
             "ip link add eth0 type veth peer far0 && ip link set far0 up")
    room.run("ip addr add 10.9.0.1/24 dev far0")  # so it is in use
    found = room.mend("bridge-uplink", "br0", severity="note", says="no uplink")
    assert found["remedy"] == "ip link set eth0 master br0 up"


def test_an_uplink_that_is_down_or_without_a_cable(room):
    bridge(room)
    room.run("ip link set up0 down")
    room.mend("bridge-uplink", "br0", severity="warning", says="uplink is down")
    room.run("ip link set far0 down")
    room.fault("bridge-uplink", "br0", severity="warning", says="no carrier")


def test_a_port_that_listens(room):
    room.run("ip link add br0 type bridge stp_state 1 && ip link set br0 up")
    room.run("ip link add up0 type veth peer far0 && ip link set up0 master br0 up && ip link set far0 up")
    wait_until(lambda: room.faults("bridge-stp", "br0"))
    found = room.mend("bridge-stp", "br0", severity="warning", says="port up0 is listening")
    assert "stp_state 0" in found["remedy"]


def test_a_full_bridge(room):
    bridge(room)
    names = ["leak%d" % n for n in range(1022)]
    leak(room, names)
    room.write(room.folder + "/batch", "".join("link set %s master br0\n" % n for n in names))
    room.run(["ip", "-batch", room.folder + "/batch"], timeout=600)  # of an emulated machine
    room.run("ip tuntap add over mode tap")
    assert room.run("ip link set over master br0", check=False).returncode  # it is full indeed
    room.mend("bridge-full", "br0", severity="error", says="1023 ports and the kernel allows 1023", timeout=600,
              by={"timeout": 600})
    room.run("ip link set over master br0")


@pytest.mark.parametrize("fault, what", [
    ("ip link set vm0 mtu 1400", "tap vm0"),
    ("ip link set vm0 mtu 9000", "tap vm0"),
    ("ip link set far0 mtu 1400; ip link set up0 mtu 1400; ip link set vm0 mtu 1400; "
     "ip link set br0 mtu 1500", "bridge br0"),
])
def test_mtus_that_do_not_agree(room, fault, what):
    bridge(room)
    room.run("ip tuntap add vm0 mode tap && ip link set vm0 master br0 up")
    assert room.faults("mtu", "br0") == []
    room.run(fault)
    found = room.mend("mtu", "br0", severity="warning", says="its MTU is")
    assert found["object"] == what


def test_an_mtu_that_is_asked_for_and_does_not_agree(room):
    bridge(room)
    room.fault("mtu", "tap,br=br0,mtu=9000", severity="warning", says="mtu=9000 is asked for")


def test_multicast_snooping_without_a_querier(room):
    bridge(room)
    assert room.faults("multicast-querier", "br0") == []  # nobody uses IPv6
    room.run("ip addr add fd00::1/64 dev br0")
    room.mend("multicast-querier", "br0", severity="note", says="nobody asks for them")


# -------------------------------------------------------------------------- the firewall


@pytest.fixture
def pair(room):
    """Two hosts on br0, which is all that joins them."""
    room.run("ip link add br0 type bridge && ip link set br0 up")
    with Netns() as a, Netns() as b:
        for n, other in enumerate((a, b), 1):
            room.run("ip link add p%d type veth peer eth0 netns /proc/%d/ns/net && "
                     "ip link set p%d master br0 up" % (n, other.pid, n))
            other.run("ip addr add 10.9.0.%d/24 dev eth0; ip addr add fd09::%d/64 dev eth0; "
                      "ip link set eth0 up" % (n, n))
        room.a, room.b = a, b
        yield room


def passes(room, version):
    target = "10.9.0.2" if version == 4 else "fd09::2"
    return room.a.run("ping -%d -n -c 2 -i 0.2 -W %d %s" % (version, PATIENCE, target), check=False).returncode == 0


LEGACY = pytest.mark.skipif(not shutil.which("iptables-legacy"), reason="iptables-legacy is not installed")
NFT = pytest.mark.skipif(not shutil.which("iptables-nft"), reason="iptables-nft is not installed")


@pytest.mark.parametrize("version, fault, chain", [
    pytest.param(4, "iptables-legacy -P FORWARD DROP", "iptables-legacy chain FORWARD", marks=LEGACY),
    pytest.param(6, "ip6tables-legacy -P FORWARD DROP", "ip6tables-legacy chain FORWARD", marks=LEGACY),
    pytest.param(4, "iptables-nft -P FORWARD DROP", "ip chain FORWARD", marks=NFT),
    pytest.param(6, "ip6tables-nft -P FORWARD DROP", "ip6 chain FORWARD", marks=NFT),
    pytest.param(4, "iptables-legacy -A FORWARD -j REJECT", "iptables-legacy chain FORWARD", marks=LEGACY),
    pytest.param(4, "iptables-nft -N late && iptables-nft -A FORWARD -i br+ -j late && iptables-nft -A late -j DROP",
                 "ip chain FORWARD", marks=NFT),
    (4, "nft add table inet f && nft 'add chain inet f through { type filter hook forward priority 0; policy drop; }' && "
        "nft add rule inet f through meta nfproto ipv6 accept", "inet chain through"),
    (6, "nft add table inet f && nft 'add chain inet f through { type filter hook forward priority 0; policy drop; }' && "
        "nft add rule inet f through meta nfproto ipv4 accept", "inet chain through"),
    (4, "nft add table ip f && nft 'add chain ip f through { type filter hook forward priority 0; }' && "
        "nft add rule ip f through iifname != docker0 counter reject", "ip chain through"),
])
def test_a_firewall_that_drops_what_the_bridge_forwards(pair, version, fault, chain):
    """What the doctor says is what the kernel does, before and after."""
    wait_until(lambda: passes(pair, version))
    assert pair.faults("bridge-netfilter", "br0") == []
    pair.run(fault)
    assert not passes(pair, version)
    found = pair.mend("bridge-netfilter", "br0", severity="error", says=chain)
    assert "IPv%d" % version in found["what"]
    assert passes(pair, version)


@pytest.mark.parametrize("rules", [
    pytest.param("iptables-legacy -P FORWARD DROP; iptables-legacy -N user; iptables-legacy -A FORWARD -j user; "
                 "iptables-legacy -A user -m physdev --physdev-is-bridged -j ACCEPT", marks=LEGACY),
    pytest.param("iptables-legacy -P FORWARD DROP; iptables-legacy -A FORWARD -i docker0 -j DROP; "
                 "iptables-legacy -A FORWARD -i br+ ! -o docker0 -j ACCEPT", marks=LEGACY),
    pytest.param("iptables-nft -P FORWARD DROP; iptables-nft -N user; iptables-nft -A FORWARD -j user; "
                 "iptables-nft -A user -m physdev --physdev-is-bridged -j ACCEPT", marks=NFT),
    pytest.param("iptables-nft -P FORWARD DROP; iptables-nft -A FORWARD -g user 2>/dev/null; "
                 "iptables-nft -A FORWARD -i br+ ! -o docker0 -m comment --comment x -j ACCEPT", marks=NFT),
    "nft add table ip f; nft 'add chain ip f through { type filter hook forward priority 0; policy drop; }'; "
    "nft add chain ip f user; nft add rule ip f through iifname \"docker*\" drop; nft add rule ip f through goto user; "
    "nft add rule ip f user iif br0 counter log accept",
])
def test_a_rule_that_lets_the_bridge_pass_is_understood(pair, rules):
    pair.run(rules)
    assert passes(pair, 4)
    assert pair.faults("bridge-netfilter", "br0") == []


@pytest.mark.parametrize("rules", [
    pytest.param("iptables-legacy -P FORWARD DROP; iptables-legacy -A FORWARD -s 10.9.0.0/24 -j ACCEPT", marks=LEGACY),
    pytest.param("iptables-nft -P FORWARD DROP; iptables-nft -A FORWARD -s 10.9.0.0/24 -j ACCEPT", marks=NFT),
    "nft add table ip f; nft 'add chain ip f through { type filter hook forward priority 0; policy drop; }'; "
    "nft add rule ip f through iifname '{ \"br0\", \"br1\" }' accept",
    "nft add table ip f; nft 'add chain ip f through { type filter hook forward priority 0; policy drop; }'; "
    "nft add chain ip f user; nft add rule ip f user accept; nft add rule ip f through ct state new,established jump user",
])
def test_what_may_pass_is_a_warning(pair, rules):
    pair.run(rules)
    assert passes(pair, 4)
    pair.mend("bridge-netfilter", "br0", severity="warning", says="except what other rules of it accept")


def test_a_firewall_that_does_not_see_the_bridge(pair):
    """Without br_netfilter; but the bridge can have it for itself."""
    pair.run("nft add table ip f; nft 'add chain ip f through { type filter hook forward priority 0; policy drop; }'")
    pair.run("sysctl -q -w net.bridge.bridge-nf-call-iptables=0")
    assert passes(pair, 4) and pair.faults("bridge-netfilter", "br0") == []
    pair.run("ip link set br0 type bridge nf_call_iptables 1")
    assert not passes(pair, 4)
    pair.mend("bridge-netfilter", "br0", severity="error")
    assert passes(pair, 4)


def test_arp_that_a_firewall_drops(pair):
    if pair.run("arptables-legacy -P FORWARD DROP", check=False).returncode:
        pytest.skip("arptables-legacy is not installed, or this kernel has no arptables")
    assert not passes(pair, 4)
    pair.mend("bridge-netfilter", "br0", severity="error", says="ARP")
    assert passes(pair, 4)


def test_chains_of_the_bridge_itself(pair):
    pair.run("nft add table bridge f; nft 'add chain bridge f through { type filter hook forward priority 0; policy drop; }'")
    assert not passes(pair, 4)
    found = pair.fault("bridge-netfilter", "br0", severity="error", says="bridge chain through")
    assert "ibrname" in found["remedy"]
    pair.run("nft insert rule bridge f through accept")
    assert passes(pair, 4) and pair.faults("bridge-netfilter", "br0") == []


def test_who_may_not_look_at_the_firewall_is_told(room):
    bridge(room)
    found = room.fault("bridge-netfilter", "br0", user=NOBODY, severity="note", says="only root may read")
    assert found["remedy"] == "sudo vmtap doctor br0"
