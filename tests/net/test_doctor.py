# SPDX-License-Identifier: MIT
"""vmtap doctor: every fault is made for real in namespaces of its own, seen by its name, and
gone after the command that the doctor gave has been run."""

import ctypes
import json
import os
import shutil
import signal
import struct
import subprocess

import pytest

import tuntap
import vmtap
from netns import Netns, wait_until
from room import NOBODY, Room

OK, WARNING, USAGE, ERROR = 0, 1, 2, 3
HELPER = "/opt/vmtap-bridge-helper"
QEMU_HELPER = "/usr/lib/qemu/qemu-bridge-helper"
LIST = "/etc/vmtap/bridge.conf"


class Patient(Room):
    """A room with the doctor in it."""

    def __init__(self, ns):
        super().__init__(ns)
        self.run("mkdir %s/vmtap" % self.folder)
        for name in "vmtap", "libvmtap.so.0":
            self.copy(os.path.join(vmtap.build(), name), "%s/bin/%s" % (self.folder, name))

    def copy(self, source, target, mode=0o755):
        self.run("mkdir -p %s && cp --no-preserve=all %s %s && chmod %o %s" % (
            os.path.dirname(target), source, target, mode, target))

    def ask(self, *args, user=None, wrap=(), **kw):
        """The doctor's findings and its exit status."""
        done = self.run([*wrap, self.bin + "/vmtap", "--json", "doctor", *args], user=user, check=False, **kw)
        assert not done.stderr, done.stderr
        found = json.loads(done.stdout)
        worst = max((["ok", "note", "warning", "error"].index(f["severity"]) for f in found), default=0)
        assert done.returncode == [OK, OK, WARNING, ERROR][worst]
        return found

    def faults(self, check, *args, **kw):
        """Findings of one check that are not "ok"."""
        return [f for f in self.ask(*args, **kw) if f["check"] == check and f["severity"] != "ok"]

    def fault(self, check, *args, severity=None, says="", **kw):
        """The one finding that a check has."""
        found = self.faults(check, *args, **kw)
        assert len(found) == 1, found
        assert severity in (None, found[0]["severity"]), found
        assert says in found[0]["what"], found
        return found[0]

    def mend(self, check, *args, by=None, **kw):
        """The fault is there; after its remedy it is not. Returns the finding."""
        found = self.fault(check, *args, **kw)
        assert found["remedy"]
        self.run(found["remedy"], **(by or {}))
        kw = {k: v for k, v in kw.items() if k not in ("severity", "says")}
        assert self.faults(check, *args, **kw) == []
        return found


@pytest.fixture
def room(ns):
    with Patient(ns) as made:
        yield made


def helper(room, path=HELPER, caps="cap_net_admin+ep"):
    """An installed bridge helper."""
    room.run("mkdir -p /opt; mountpoint -q /opt || mount -t tmpfs -o mode=755 none /opt")
    room.copy(os.path.join(vmtap.build(), "vmtap-bridge-helper"), path)
    if caps:
        room.run(["setcap", caps, path])
    return path


def bridge(room, uplink=True):
    """br0, up, with an uplink whose other end is up."""
    room.run("ip link add br0 type bridge && ip link set br0 up")
    if uplink:
        room.run("ip link add up0 type veth peer far0 && ip link set up0 master br0 up && ip link set far0 up")


def port(options=""):
    return "bridge,br=br0,helper=%s%s" % (HELPER, options)


@pytest.fixture
def healthy(room):
    bridge(room)
    helper(room)
    room.write(LIST, "allow br0\n")
    return room


# --------------------------------------------------------------------- nothing wrong


@pytest.mark.parametrize("user", [None, NOBODY], ids=["root", "user"])
@pytest.mark.parametrize("target", [
    [], ["br0"], [port()], ["tap,ifname=vm0,br=br0"], ["vm0"], ["stream,server=on,path=/tmp/x.sock"],
    ["null"], ["vhost-user,path=/tmp/x.sock"],
], ids=lambda t: t[0].split(",")[0] if t else "host")
def test_a_healthy_host_has_no_finding_above_a_note(healthy, target, user):
    healthy.run("ip tuntap add vm0 mode tap user nobody && ip link set vm0 master br0 up")
    healthy.run("mkdir -p %s; mount --bind %s %s" % (os.path.dirname(QEMU_HELPER), HELPER, QEMU_HELPER))
    found = healthy.ask(*target, user=user)
    assert [f for f in found if f["severity"] in ("warning", "error")] == []
    assert [f for f in found if f["severity"] == "ok"]


def test_it_changes_nothing(healthy):
    """Nor calls a table of the firewall into being by asking for it."""
    def state():
        links = [(i["ifname"], i["mtu"], i.get("master"), i["address"], i.get("ifalias"), "UP" in i["flags"])
                 for i in json.loads(healthy.run("ip -j link").stdout)]
        return links, healthy.run("nft list ruleset; cat /proc/net/ip_tables_names /proc/net/ip6_tables_names; "
                                  "grep . /proc/sys/net/bridge/*; find /etc -newer %s" % LIST).stdout
    before = state()
    for target in [], ["br0"], [port()], ["tap,ifname=vm0,br=br0"], ["macvtap,parent=far0"]:
        healthy.ask(*target)
    assert state() == before


# ------------------------------------------------------------------ /dev/net/tun and others


def test_a_missing_tun_device_is_made(room):
    room.run("rm /dev/net/tun")
    found = room.mend("tun-device", severity="error", says="does not exist")
    assert found["object"] == "/dev/net/tun" and "mknod" in found["remedy"]


def test_something_in_the_place_of_the_tun_device(room):
    room.run("rm /dev/net/tun && echo >/dev/net/tun")
    room.mend("tun-device", severity="error", says="not the character device 10:200")


def test_a_driver_that_is_not_loaded(room):
    """/proc/misc is all that says so; modprobe is stood in for, as this kernel has it built in."""
    room.run("rm /dev/net/tun")
    room.fake("/proc/misc", "229 fuse\n")
    room.stub("modprobe", '[ "$1" = tun ] && umount /proc/misc && mknod -m 666 /dev/net/tun c 10 200')
    room.mend("tun-device", severity="error", says="driver tun is not loaded")


def test_a_tun_device_that_a_user_may_not_open(room):
    room.run("chmod 600 /dev/net/tun")
    assert room.fault("tun-access", severity="note")  # root may, others not
    found = room.mend("tun-access", user=NOBODY, severity="error", says="user nobody may not open it (mode 600")
    assert found["remedy"] == "chmod 666 /dev/net/tun"


def test_vhost_net_whose_device_is_missing(room):
    room.fake("/proc/misc", "238 vhost-net\n200 tun\n")
    assert room.fault("vhost-net")["severity"] == "note"
    assert room.fault("vhost-net", "tap,vhost=on", severity="warning")
    room.mend("vhost-net", "tap,vhostforce=on", severity="error", says="does not exist")


def test_vhost_net_that_a_user_may_not_open(room):
    room.fake("/proc/misc", "238 vhost-net\n200 tun\n")
    room.run("mknod -m 600 /dev/vhost-net c 10 238")
    assert room.faults("vhost-net") == []
    room.mend("vhost-net", "tap,vhost=on", user=NOBODY, severity="warning", says="mode 600, root:root")


def test_vhost_net_that_the_kernel_does_not_have(room):
    room.fake("/proc/misc", "200 tun\n")
    room.fault("vhost-net", "tap,vhost=on", severity="warning", says="driver vhost_net is not loaded")


# --------------------------------------------------------------------- the kernel's limits


def test_io_uring_that_a_sysctl_forbids(room):
    room.fake("/proc/sys/kernel/io_uring_disabled", "2\n")
    room.mend("io-uring", severity="note", says="kernel.io_uring_disabled=2")


def forbid_io_uring():
    """A seccomp filter: io_uring_setup (425) fails with EPERM."""
    class Program(ctypes.Structure):
        _fields_ = [("len", ctypes.c_ushort), ("filter", ctypes.c_void_p)]
    code = b"".join(struct.pack("HBBI", *line) for line in [
        (0x20, 0, 0, 0), (0x15, 0, 1, 425), (0x06, 0, 0, 0x00050001), (0x06, 0, 0, 0x7FFF0000)])
    buf = ctypes.create_string_buffer(code)
    ctypes.CDLL(None).prctl(22, 2, ctypes.byref(Program(4, ctypes.addressof(buf))), 0, 0)


def test_io_uring_that_a_container_forbids(room):
    found = room.fault("io-uring", severity="note", says="seccomp", preexec_fn=forbid_io_uring)
    assert found["remedy"] == ""


def test_user_namespaces_that_are_used_up(room):
    """In a user namespace of its own, whose limit is its own."""
    script = """
        echo 0 >/proc/sys/user/max_user_namespaces
        vmtap --json doctor >%(f)s/1
        sysctl -q -w user.max_user_namespaces=15000
        vmtap --json doctor >%(f)s/2
        exit 0
        """ % {"f": room.folder}
    room.run(["unshare", "--user", "--map-root-user", "sh", "-c", script])
    first, second = [[f for f in json.loads(room.run(["cat", "%s/%d" % (room.folder, n)]).stdout)
                      if f["check"] == "user-namespaces"] for n in (1, 2)]
    assert first[0]["severity"] == "note" and "max_user_namespaces=0" in first[0]["what"]
    assert first[0]["remedy"] == "sysctl -w user.max_user_namespaces=15000"
    assert [f["severity"] for f in second] == ["ok"]


@pytest.mark.parametrize("name, value", [("unprivileged_userns_clone", 0),
                                         ("apparmor_restrict_unprivileged_userns", 1)])
def test_user_namespaces_that_a_distribution_forbids(room, name, value):
    """Sysctls of Debian's and Ubuntu's kernels, laid over this one's."""
    room.run("mount -t tmpfs -o mode=755 none /proc/sys/kernel")
    room.write("/proc/sys/kernel/" + name, "%d\n" % value)
    room.mend("user-namespaces", severity="note", says="%s=%d" % (name, value))


def leak(room, names):
    """TAPs that a process made that has ended."""
    ns = os.stat("/proc/self/ns/pid").st_ino
    tag = "vmtap: user=root program=vmtap pid=%d start=1 ns=%d since=1795000000" % (2 ** 22 - 1, ns)
    room.write(room.folder + "/batch", "".join(
        "tuntap add %s mode tap\nlink set %s alias \"%s\"\n" % (n, n, tag) for n in names))
    room.run(["ip", "-batch", room.folder + "/batch"])


def test_leaked_taps_are_reaped(room):
    leak(room, ["vm0", "vm1"])
    room.run("ip tuntap add mine mode tap")
    room.mend("leaked-taps", severity="warning", says="2 were left behind by a process that has ended: vm0, vm1")
    assert room.run("ip link show mine")


def test_leaked_taps_of_another_bridge_do_not_count(room):
    bridge(room)
    room.run("ip link add br1 type bridge")
    leak(room, ["vm0"])
    room.run("ip link set vm0 master br1")
    assert room.faults("leaked-taps", "br0") == []
    assert room.fault("leaked-taps", "br1")["object"] == "TAPs on bridge br1"


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
    room.run(["ip", "-batch", room.folder + "/batch"])
    room.run("ip tuntap add over mode tap")
    assert room.run("ip link set over master br0", check=False).returncode  # it is full indeed
    room.mend("bridge-full", "br0", severity="error", says="1023 ports and the kernel allows 1023")
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
    return room.a.run("ping -%d -n -c 2 -i 0.2 -W 1 %s" % (version, target), check=False).returncode == 0


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


# ------------------------------------------------------------------------------- the TAP


@pytest.mark.parametrize("name, says", [
    ("a-name-of-17-bytes", "at most 15"), ("a/b", "no '/'"), ("", "empty"), ("..", "is no name")])
def test_names_that_no_interface_can_have(room, name, says):
    if name:
        room.fault("name", name, severity="error", says=says)
        room.fault("name", "macvtap,parent=%s" % name, severity="error", says=says)
    room.fault("name", "tap,ifname=%s" % (name or "%d%d"), severity="error", says=says if name else "%")


def test_an_interface_in_the_place_of_the_tap(room):
    room.run("ip link add vm0 type veth peer v1; ip tuntap add vm1 mode tun; ip tuntap add vm2 mode tap")
    room.fault("tap-kind", "tap,ifname=vm0", severity="error", says='no TAP but of kind "veth"')
    room.fault("tap-kind", "tap,ifname=vm1", severity="error", says="TUN device")
    room.fault("tap-kind", port(",ifname=vm2"), severity="error", says="has that name already")
    assert room.faults("tap-kind", "tap,ifname=vm2") == []


def test_a_user_who_may_not_make_a_tap(room):
    bridge(room)
    target = "tap,ifname=vm0,br=br0,queues=2"
    assert room.faults("tap-create", target) == []
    found = room.mend("tap-create", target, user=NOBODY, severity="error", says="user nobody may not make it")
    assert "bridge,br=br0" in found["why"]
    for check in "tap-owner", "tap-queues", "tap-up", "tap-bridge":
        assert room.faults(check, target, user=NOBODY) == []


def test_a_tap_of_another_user(room):
    bridge(room)
    room.run("ip tuntap add vm0 mode tap user 4711")
    assert room.faults("tap-owner", "tap,ifname=vm0,br=br0") == []
    room.mend("tap-owner", "tap,ifname=vm0,br=br0", user=NOBODY, severity="error", says="it is user 4711's")
    room.run("ip link show vm0 | grep 'master br0'")


def test_a_tap_of_a_group(room):
    room.run("groupadd -g 4800 vmteam; ip tuntap add vm0 mode tap group 4800; ip link set vm0 up")
    found = room.fault("tap-owner", "tap,ifname=vm0", user=NOBODY, severity="error", says="for the group vmteam")
    room.run(found["remedy"])
    login = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--init-groups"]
    assert room.faults("tap-owner", "tap,ifname=vm0", wrap=login) == []


@pytest.mark.parametrize("made, asked", [("multi_queue", "queues=1"), ("", "queues=4")])
def test_queues_that_do_not_fit(room, made, asked):
    room.run("ip tuntap add vm0 mode tap %s" % made)
    room.mend("tap-queues", "tap,ifname=vm0,%s" % asked, severity="error", says=asked)


def test_queues_beyond_the_drivers_limit(room, ns):
    fds = [tuntap.open_tap(ns, "vm0", tuntap.IFF_TAP | tuntap.IFF_NO_PI | tuntap.IFF_MULTI_QUEUE)
           for _ in range(255)]
    try:
        room.fault("tap-queues", "tap,ifname=vm0,queues=2", severity="error", says="255 queues open")
    finally:
        for fd in fds:
            os.close(fd)


def test_a_tap_that_is_in_use(room, ns):
    fd = tuntap.open_tap(ns, "vm0", persist=True)
    try:
        found = room.fault("tap-busy", "tap,ifname=vm0", severity="error")
        assert "process %d" % os.getpid() in found["what"]
        assert room.faults("tap-busy", "vm0") == []  # nobody said that it is to be opened
    finally:
        os.close(fd)
    assert room.faults("tap-busy", "tap,ifname=vm0") == []


def test_a_tap_that_is_down_or_on_no_bridge(room):
    bridge(room)
    room.run("ip tuntap add vm0 mode tap user nobody")
    target = "tap,ifname=vm0,br=br0"
    assert room.faults("tap-up", target) == room.faults("tap-bridge", target) == []  # root sees to that
    room.mend("tap-up", target, user=NOBODY, severity="error")
    room.mend("tap-bridge", target, user=NOBODY, severity="error", says="on no bridge")
    room.run("ip link set vm0 nomaster")
    room.fault("tap-bridge", "vm0", severity="note", says="on no bridge")


# ------------------------------------------------------- programs that manage interfaces


def pretend(room, name):
    """A process of that name, which is all that says that the program runs."""
    room.run("cp /usr/bin/sleep %s" % os.path.join(room.folder, name))
    room.popen([os.path.join(room.folder, name), "infinity"])
    wait_until(lambda: room.run("grep -lx %s /proc/*/comm" % name[:15], check=False).stdout)


def test_network_manager_about_to_manage_the_tap(room):
    room.run("mkdir -p /etc/NetworkManager/conf.d")
    assert room.faults("network-manager", "tap,ifname=vm0") == []
    pretend(room, "NetworkManager")
    room.stub("nmcli")
    room.mend("network-manager", "tap,ifname=vm0", severity="warning", says="not told to leave it alone")
    assert room.faults("network-manager", "tap,ifname=vm1")
    room.write("/etc/NetworkManager/NetworkManager.conf", "[main]\nplugins=keyfile\n[keyfile]\n"
               "unmanaged-devices=interface-name:vm*;except:interface-name:vm2\n")
    assert room.faults("network-manager", "tap,ifname=vm1") == []
    assert room.faults("network-manager", "tap,ifname=vm2")


def test_network_manager_of_another_network(room):
    other = subprocess.Popen(["sh", "-c", "cp /usr/bin/sleep %s && exec %s infinity" % (
        ("/tmp/NetworkManager",) * 2)])
    try:
        wait_until(lambda: open("/proc/%d/comm" % other.pid).read() == "NetworkManager\n")
        assert room.faults("network-manager", "tap,ifname=vm0") == []
    finally:
        other.kill()
        other.wait()
        os.unlink("/tmp/NetworkManager")


def test_networkd_about_to_manage_the_tap(room):
    room.write("/etc/systemd/network/80-wired.network", "[Match]\nType=ether\nName=!lo\n\n[Network]\nDHCP=yes\n")
    assert room.faults("networkd", "tap,ifname=vm0") == []
    pretend(room, "systemd-networkd")
    room.stub("networkctl")
    found = room.mend("networkd", "tap,ifname=vm0", severity="warning", says="/etc/systemd/network/80-wired.network")
    assert "Unmanaged=yes" in found["remedy"]


# ----------------------------------------------------------------------- the bridge helper


def test_a_helper_that_is_not_there(healthy):
    healthy.fault("helper-found", "bridge,br=br0,helper=/opt/none", severity="error", says="No such file")


def test_a_helper_that_a_user_may_not_run(healthy):
    healthy.run(["chmod", "0750", HELPER])
    assert healthy.faults("helper-access", port()) == []
    healthy.mend("helper-access", port(), user=NOBODY, severity="error", says="user nobody may not run it (mode 0750)")


def test_a_helper_without_privilege(healthy):
    healthy.run(["setcap", "-r", HELPER])
    assert healthy.fault("helper-privilege", port(), severity="note")  # root has enough of it
    found = healthy.mend("helper-privilege", port(), user=NOBODY, severity="error", says="neither CAP_NET_ADMIN")
    assert found["remedy"] == "setcap cap_net_admin+ep " + HELPER


def test_a_helper_with_a_capability_that_is_not_in_force(healthy):
    healthy.run(["setcap", "cap_net_admin+p", HELPER])
    healthy.mend("helper-privilege", port(), user=NOBODY, severity="error", says="not in force")


def test_a_helper_of_the_wrong_owner(healthy):
    healthy.run(["chown", "4711", HELPER])
    healthy.run(["chmod", "4755", HELPER])
    healthy.mend("helper-owner", port(), user=NOBODY, severity="error", says="set-uid and belongs to user")


def test_a_helper_that_others_can_change(healthy):
    healthy.run(["chmod", "0775", HELPER])
    healthy.mend("helper-owner", port(), severity="warning", says="others than its owner can change it")


def test_a_helper_with_capabilities_that_a_user_owns(healthy):
    healthy.run(["chown", "4711", HELPER])
    healthy.run(["setcap", "cap_net_admin+ep", HELPER])
    healthy.mend("helper-owner", port(), severity="warning", says="has capabilities and belongs to user")
    assert healthy.faults("helper-privilege", port(), user=NOBODY) == []


def test_a_helper_on_a_nosuid_mount(healthy):
    healthy.run("mount -o remount,nosuid /opt")
    found = healthy.mend("helper-nosuid", port(), user=NOBODY, severity="error", says="mounted nosuid")
    assert found["remedy"] == "mount -o remount,suid /opt"


@pytest.mark.parametrize("how, says", [("--no-new-privs", "no_new_privs"), ("--bounding-set=-net_admin", "bounding set")])
def test_a_process_that_takes_the_helpers_privilege(healthy, how, says):
    user = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all", how]
    healthy.fault("helper-confined", port(), wrap=user, severity="error", says=says)
    assert healthy.faults("helper-confined", port(), user=NOBODY) == []


def test_a_helper_that_is_a_command_line(healthy):
    healthy.fault("helper-found", "bridge,helper=sudo %s" % HELPER, severity="note", says="shell's command line")


def test_for_a_host_the_helper_is_what_users_lack(room):
    bridge(room)
    room.write(LIST, "allow br0\n")
    if not os.path.exists(QEMU_HELPER) or os.stat(QEMU_HELPER).st_mode & 0o4000:
        pytest.skip("QEMU's helper is not installed without privilege, as Debian does")
    assert room.fault("helper-privilege")["severity"] == "note"
    assert room.fault("helper-privilege", user=NOBODY)["severity"] == "warning"


# -------------------------------------------------------------------------- the access list


def test_an_access_list_that_does_not_exist(healthy):
    healthy.run("rm -r /etc/vmtap; rm -rf /etc/qemu")
    found = healthy.mend("access-list", port(), severity="error", says="No such file")
    assert found["remedy"].endswith("echo 'allow br0' >%s" % LIST)
    assert healthy.faults("access-rule", port()) == []


def test_an_access_list_that_a_user_may_not_read(healthy):
    healthy.run("chmod 0600 %s; chmod 0700 /etc/vmtap" % LIST)
    healthy.mend("access-list", port(), user=NOBODY, severity="error", says="ermission denied")


def test_an_access_list_that_others_can_write(healthy):
    healthy.run("chmod 0666 %s; chown 4711 /etc/vmtap" % LIST)
    healthy.mend("access-list", port(), severity="error")


def test_a_folder_as_an_access_list(healthy):
    healthy.run("rm %s; mkdir %s" % (LIST, LIST))
    healthy.fault("access-list", port(), severity="error", says="a folder and no regular file")


@pytest.mark.parametrize("line", ["allow", "alow br0", "allow br0 br1", "include relative"])
def test_a_wrong_line_is_named_with_its_file(healthy, line):
    healthy.write(LIST, "# fine\nallow br0\n%s\n" % line)
    found = healthy.mend("access-list", port(), severity="error", says=LIST + ":3")
    assert found["remedy"] == "sed -i '3s/^/#/' " + LIST
    assert healthy.faults("access-rule", port()) == []


def test_a_wrong_line_of_an_included_file(healthy):
    healthy.write("/etc/vmtap/more.conf", "\nnonsense\n")
    healthy.write(LIST, "include /etc/vmtap/more.conf\nallow br0\n")
    healthy.mend("access-list", port(), severity="error", says="/etc/vmtap/more.conf:2")


@pytest.mark.parametrize("text", ["", "allow br1\n", "allow br1", "# allow br0"])
def test_a_bridge_that_no_line_allows(healthy, text):
    healthy.write(LIST, text)
    healthy.mend("access-rule", port(), severity="error", says="no line of %s allows" % LIST)
    assert healthy.fault("access-rule", "br7", severity="note")
    assert healthy.fault("access-rule", "br7", user=NOBODY, severity="warning")


def test_a_bridge_that_a_line_denies(healthy):
    healthy.write(LIST, "allow all\ndeny br0\n")
    healthy.mend("access-rule", port(), severity="error", says='denied by %s:2 ("deny br0")' % LIST)


@pytest.mark.parametrize("option, line", [("ifname=vm7", "allow-ifname br0 vm7"),
                                          ("mac=52:54:00:00:00:07", "allow-mac br0 52:54:00:00:00:07")])
def test_a_wish_that_no_line_allows(healthy, option, line):
    found = healthy.mend("access-rule", port("," + option), severity="error")
    assert line in found["remedy"]


def test_an_included_file_that_the_user_may_not_read(healthy):
    healthy.write("/etc/vmtap/bob.conf", "allow br0\n", 0o600)
    healthy.write(LIST, "include /etc/vmtap/bob.conf\n")
    assert healthy.faults("access-rule", port()) == []
    found = healthy.fault("access-rule", port(), user=NOBODY, severity="error")
    assert LIST + ":1 includes cannot be opened" in found["why"]


def test_the_list_of_qemus_helper_is_another(healthy):
    healthy.copy(HELPER, "/opt/qemu-bridge-helper")
    healthy.run("mkdir -p /etc/qemu; echo allow br5 >/etc/qemu/bridge.conf")
    found = healthy.mend("access-rule", "bridge,br=br0,helper=/opt/qemu-bridge-helper", severity="error")
    assert found["remedy"].endswith(">>/etc/qemu/bridge.conf")


def test_what_the_doctor_says_is_what_the_helper_does(healthy):
    """Two programs, one reader."""
    for text, allowed in [("allow br0\n", True), ("deny br0\nallow all\n", False), ("allow br0\nx\n", False)]:
        healthy.write(LIST, text)
        done = healthy.run([HELPER, "--check", "--br=br0"], user=NOBODY, check=False)
        found = healthy.faults("access-rule", port(), user=NOBODY) + healthy.faults("access-list", port(), user=NOBODY)
        assert (done.returncode == 0) == allowed == (not found)


# ------------------------------------------------------------------------------- macvtap


def test_parents_of_a_macvtap(room):
    room.fault("macvtap-parent", "macvtap,parent=eth9", severity="error", says="no interface of that name")
    room.run("ip link add eth0 type veth peer eth1; ip link set eth1 up")
    room.mend("macvtap-parent", "macvtap,parent=eth0", severity="error", says="it is down")
    bridge(room)
    room.mend("macvtap-parent", "macvtap,parent=up0", severity="error", says="it is a port of br0")


def test_a_macvtap_that_a_user_may_not_make(room):
    room.run("mount -t devtmpfs none /dev")  # where the kernel puts the device of a macvtap
    room.run("ip link add eth0 type veth peer far0; ip link set far0 up; ip link set eth0 up")
    target = "macvtap,parent=eth0,ifname=vm0"
    assert room.faults("macvtap-device", target) == []
    found = room.fault("macvtap-device", target, user=NOBODY, severity="error", says="user nobody may not make it")
    room.run(found["remedy"])
    assert room.faults("macvtap-device", target, user=NOBODY) == []
    assert room.faults("macvtap-device", "vm0", user=NOBODY) == []
    room.run("chown root /dev/tap$(cat /sys/class/net/vm0/ifindex)")
    room.mend("macvtap-device", target, user=NOBODY, severity="error", says="user nobody may not open its device")


def test_a_macvtap_whose_device_is_missing(room):
    """As in a container, whose /dev is its own."""
    room.run("ip link add eth0 type veth peer far0; ip link set far0 up; ip link set eth0 up")
    room.run("ip link add link eth0 name vm0 type macvtap mode bridge; ip link set vm0 up")
    room.mend("macvtap-device", "macvtap,ifname=vm0", severity="error", says="does not exist")


def test_the_limit_between_host_and_macvtap(room):
    room.run("ip link add eth0 type veth peer far0; ip link set far0 up; ip link set eth0 up")
    found = room.mend("macvtap-host", "macvtap,parent=eth0", severity="note", says="do not reach each other")
    assert "macvlan" in found["remedy"]


# ---------------------------------------------------------------------- sockets and memory


def test_socket_paths_that_cannot_be_used(room):
    room.mend("socket-path", "stream,server=on,path=/etc/none/x.sock", severity="error", says="No such file")
    room.fault("socket-path", "stream,path=/etc/x.sock", user=NOBODY, severity="error", says="may not make it in its folder")
    room.fault("socket-path", "stream,path=/" + "x" * 120, severity="error", says="at most 107")
    room.write("/etc/file", "")
    room.fault("socket-path", "vhost-user,path=/etc/file", severity="error", says="no socket")
    room.run("""/usr/bin/python3 -c 'import socket; socket.socket(1).bind("/etc/none/s")' && chmod 600 /etc/none/s""")
    room.mend("socket-path", "stream,path=/etc/none/s", user=NOBODY, severity="error", says="may not connect")


QEMU = "qemu-system-x86_64 -machine none -display none -nodefaults -m 64"


@pytest.mark.parametrize("line", [
    QEMU + " -chardev socket,id=c,path=x -netdev vhost-user,id=n,chardev=c",
    QEMU + " -object memory-backend-file,id=m,size=64M,mem-path=/dev/shm -machine memory-backend=m "
           "-netdev type=vhost-user,id=n,chardev=c",
    QEMU + " -object memory-backend-ram,id=m,size=64M -numa node,memdev=m -netdev vhost-user,id=n,chardev=c",
    "cloud-hypervisor --memory size=1G --net vhost_user=true,socket=x",
])
def test_memory_that_is_not_shared(room, line):
    """The options that the doctor gives, put in place of those that were there, are right."""
    found = room.fault("shared-memory", "--cmdline", line, severity="error", says="its memory is not shared")
    for old in "-object ", "--memory ":
        if old in found["remedy"] and old in line:
            kept = line.split(old)[1].split(" ", 1)
            line = line.split(old)[0] + (kept[1] if len(kept) > 1 else "")
    assert room.faults("shared-memory", "--cmdline", line + " " + found["remedy"]) == []


def test_a_running_vmm_whose_memory_is_not_shared(room):
    """QEMU waits for the back end, as vmtap would find it."""
    path = room.folder + "/vu.sock"
    qemu = room.popen([*QEMU.split(), "-chardev", "socket,id=c,server=on,path=" + path,
                       "-netdev", "vhost-user,id=n,chardev=c"])
    wait_until(lambda: b"vhost-user" in open("/proc/%d/cmdline" % qemu.pid, "rb").read())
    found = room.fault("shared-memory", "--pid", str(qemu.pid), severity="error")
    assert found["object"] == "process %d (qemu-system-x86_64)" % qemu.pid
    assert found["remedy"].startswith("-object memory-backend-memfd,id=mem0,size=64M,share=on")
    assert room.fault("shared-memory", "vhost-user,path=" + path)["object"] == found["object"]
    assert room.faults("shared-memory", "vhost-user,path=/other.sock") == []


@pytest.mark.parametrize("args, status, says", [
    (["--pid", "1x"], USAGE, "not the number of one"), (["--pid", "4194305"], ERROR, "there is none"),
    (["--pid", str(os.getpid())], USAGE, "no VMM that vmtap knows"), (["--cmdline", "'x"], USAGE, "quote"),
    (["br0", "br1"], USAGE, "one bridge or port"), (["br0", "--pid", "1"], USAGE, "one bridge or port"),
    (["tap,nonsense=1"], USAGE, "nonsense"), (["nonsense,x=1"], USAGE, "no port type"),
])
def test_wrong_usage(room, args, status, says):
    done = room.run([room.bin + "/vmtap", "doctor", *args], check=False)
    assert done.returncode == status and says in done.stderr and not done.stdout


# ------------------------------------------------------------------------------- for people


def test_the_report_for_people(healthy):
    healthy.run("ip link set br0 down")
    plain = healthy.run([healthy.bin + "/vmtap", "doctor", "br0"], check=False)
    assert plain.returncode == ERROR
    lines = plain.stdout.splitlines()
    at = lines.index("bridge br0")
    assert lines[at + 1].split() == ["error", "it", "is", "down"]
    assert lines[at + 3].strip() == "ip link set br0 up"
    assert lines[-1].startswith("1 error, ") and not any(l.startswith("  ok ") for l in lines)
    wordy = healthy.run([healthy.bin + "/vmtap", "-v", "doctor", "br0"], check=False)
    assert any(l.startswith("  ok ") for l in wordy.stdout.splitlines())
    titles = [l for l in wordy.stdout.splitlines()[:-1] if not l.startswith(" ")]
    assert len(titles) == len(set(titles))
    healthy.run("ip link set br0 up")
    fine = healthy.run([healthy.bin + "/vmtap", "doctor", "br0"])
    assert fine.stdout.splitlines()[-1].startswith("nothing stands in the way")


def test_an_output_that_cannot_be_written(room):
    """That is a failure, whatever was found."""
    with open("/dev/full", "w") as full:
        done = subprocess.run(room.command([room.bin + "/vmtap", "doctor"]), stdout=full,
                              stderr=subprocess.PIPE, text=True)
    assert done.returncode == 1 and done.stderr
