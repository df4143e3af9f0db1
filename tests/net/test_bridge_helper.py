# SPDX-License-Identifier: MIT
"""vmtap-bridge-helper: what it makes, what it refuses and how it says so."""

import contextlib
import fcntl
import json
import os
import re
import socket
import subprocess

import bridgehost
import pytest
import tuntap
import vmtap
from bridgehost import ALICE, BOB, CAPS, NOSUID, OVERRIDE, PLAIN, PRIVILEGED, SETGID, SETUID, TEAM, \
    BridgeHost, host, refused, shared_host  # noqa: F401 (host and shared_host are fixtures)
from netns import end, wait_until

CALLERS = [(PLAIN, 0)] + [(how, ALICE) for how in PRIVILEGED]


# --------------------------------------------------------------------------- what it makes


@pytest.mark.parametrize("how,uid", CALLERS)
def test_makes_a_tap_on_the_bridge(host, how, uid):
    host.allow("allow br0")
    with host.call("--br=br0", how=how, uid=uid) as call:
        assert (call.status, call.err, call.out, len(call.fds)) == (0, "", "", 1)
        assert re.fullmatch(r"tap\d+", call.ifname())
        link = host.links()[call.ifname()]
        assert link["master"] == "br0" and link["mtu"] == 1400 and "UP" in link["flags"]
        assert link["address"].startswith("fe:")
        data = link["linkinfo"]["info_data"]
        assert data["type"] == "tap" and not data["pi"]
        assert not data["vnet_hdr"] and not data["multi_queue"] and not data["persist"]
        assert "user" not in data and "group" not in data
    assert host.ports() == []


def test_a_header_comes_with_use_vnet(host):
    host.allow("allow br0")
    with host.call("--use-vnet", "--br=br0") as call:
        assert tuntap.flags(call.fds[0])[0] & tuntap.IFF_VNET_HDR


def test_the_descriptor_blocks_as_that_of_qemus_helper(host):
    host.allow("allow br0")
    with host.call("--br=br0") as call:
        assert os.get_blocking(call.fds[0])


def test_frames_pass(host):
    host.allow("allow br0")
    with host.call("--br=br0") as call, host.call("--br=br0") as other:
        for tap in call.fds[0], other.fds[0]:
            os.set_blocking(tap, False)
        # a port forwards after a while only, unless the bridge is told not to wait
        sent = tuntap.frame(1, dst=b"\xff" * 6)

        def passes():
            os.write(call.fds[0], sent)
            with contextlib.suppress(BlockingIOError):
                while True:
                    if os.read(other.fds[0], 2000) == sent:
                        return True
        wait_until(passes, timeout=20)


def test_the_tap_is_tagged_with_the_caller(host):
    host.allow("allow br0")
    with host.call("--br=br0") as call:
        assert re.fullmatch(r"vmtap: user=alice program=\S+ pid=\d+ start=[1-9]\d* ns=[1-9]\d* since=\d+",
                            host.links()[call.ifname()]["ifalias"])


def test_the_bridge_keeps_its_address(host):
    host.allow("allow br1")
    host.run("ip link add br1 type bridge; ip link add v0 address fc:ff:ff:ff:ff:ff type veth; ip link set v0 master br1")
    try:
        assert host.links()["br1"]["address"] == "fc:ff:ff:ff:ff:ff"
        with host.call("--br=br1") as call:
            assert call.status == 0 and host.links()["br1"]["address"] == "fc:ff:ff:ff:ff:ff"
    finally:
        host.run("ip link del br1; ip link del v0")


@pytest.mark.parametrize("queues", [1, 2, 64])
def test_makes_queues(host, queues):
    host.allow("allow br0")
    with host.call("--br=br0", "--queues=%d" % queues) as call:
        assert call.status == 0 and len(call.fds) == queues
        assert {call.ifname(i) for i in range(queues)} == {call.ifname()}
        for fd in call.fds:
            assert bool(tuntap.flags(fd)[0] & tuntap.IFF_MULTI_QUEUE) == (queues > 1)
        assert host.ports() == [call.ifname()]


def test_calls_at_the_same_time_get_a_tap_each(host):
    host.allow("allow br0")
    pairs = [socket.socketpair() for _ in range(8)]
    procs = [host.start("--br=br0", "--queues=2", "--fd=%d" % theirs.fileno(), pass_fds=(theirs.fileno(),))
             for _, theirs in pairs]
    fds = []
    try:
        for proc, (ours, _) in zip(procs, pairs):
            assert proc.wait(20) == 0
            fds += bridgehost.receive(ours)
        assert len({tuntap.flags(fd)[1] for fd in fds}) == len(host.ports()) == 8
    finally:
        for fd in fds:
            os.close(fd)
        for ours, theirs in pairs:
            ours.close()
            theirs.close()


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_SEQPACKET])
def test_sends_over_any_kind_of_unix_socket(host, kind):
    host.allow("allow br0")
    with host.call("--br=br0", kind=kind) as call:
        assert call.status == 0 and len(call.fds) == 1


def test_sends_over_standard_input(host):
    host.allow("allow br0")
    ours, theirs = socket.socketpair()
    with ours, theirs, host.call("--br=br0", fd=0, stdin=theirs, sock=ours) as call:
        assert call.status == 0 and len(call.fds) == 1


def test_takes_values_as_words_of_their_own(host):
    host.allow("allow br0")
    with host.call("--br", "br0", "--queues", "2", "--use-vnet") as call:
        assert call.status == 0 and len(call.fds) == 2


def test_gives_the_name_that_a_pattern_allows(host):
    host.allow("allow br0", "allow-ifname br0 vm[0-9]*")
    with host.call("--br=br0", "--ifname=vm17", "--queues=3") as call:
        assert call.status == 0
        assert [call.ifname(i) for i in range(3)] == ["vm17"] * 3
        assert host.ports() == ["vm17"]
    refused(host.call("--br=br0", "--ifname=eth0"), 'the line "allow-ifname br0 eth0"')


def test_gives_the_address_that_a_pattern_allows(host):
    host.allow("allow br0", "allow-mac all fe:54:00:*")
    with host.call("--br=br0", "--mac=FE:54:00:12:34:56") as call:
        assert call.status == 0
        assert host.links()[call.ifname()]["address"] == "fe:54:00:12:34:56"
    refused(host.call("--br=br0", "--mac=52:54:00:12:34:56"),
            'the line "allow-mac br0 52:54:00:12:34:56"')


# ------------------------------------------------------------------------------- vhost-net


def vhost_fds(call):
    return [fd for fd in call.fds if os.fstat(fd).st_rdev == bridgehost.VHOST_DEVICE]


@contextlib.contextmanager
def vhost_device(host, mode, gid=0):
    path = host.path("/dev/vhost-net")
    os.chmod(path, mode)
    os.chown(path, 0, gid)
    yield
    os.chmod(path, 0o600)
    os.chown(path, 0, 0)


@pytest.mark.parametrize("how,uid", [(PLAIN, 0), (SETUID, ALICE), (OVERRIDE, ALICE)])
def test_opens_vhost_net_with_its_own_right(host, how, uid):
    host.allow("allow br0", "allow-vhost br0")
    with host.call("--br=br0", "--vhost", "--queues=3", how=how, uid=uid) as call:
        assert call.status == 0, call.err
        assert len(call.fds) == 6 and vhost_fds(call) == call.fds[3:]
        assert call.ifname(2) == call.ifname(0)


def test_opens_vhost_net_with_the_right_of_its_group(host):
    host.allow("allow br0", "allow-vhost br0")
    with vhost_device(host, 0o660, TEAM):
        with host.call("--br=br0", "--vhost", how=SETGID, uid=BOB) as call:
            assert call.status == 0 and len(vhost_fds(call)) == 1, call.err
        refused(host.call("--br=br0", "--vhost", how=CAPS, uid=BOB), "/dev/vhost-net", "group kvm")


def test_opens_vhost_net_with_the_callers_right(host):
    host.allow("allow br0", "allow-vhost br0")
    with vhost_device(host, 0o660, TEAM), host.call("--br=br0", "--vhost", "--queues=64", groups=[TEAM]) as call:
        assert call.status == 0 and len(vhost_fds(call)) == 64, call.err


@pytest.mark.parametrize("how", PRIVILEGED)
def test_vhost_net_takes_a_line_of_its_own(host, how):
    host.allow("allow br0", "allow-vhost br1")
    with vhost_device(host, 0o666):
        refused(host.call("--br=br0", "--vhost", how=how), 'the line "allow-vhost br0"')
    host.allow("allow br0", "allow-vhost all", "deny-vhost br0")
    with vhost_device(host, 0o666):
        refused(host.call("--br=br0", "--vhost", how=how), 'bridge.conf:3 denies it ("deny-vhost br0")')


@pytest.mark.parametrize("how", [CAPS, SETUID])
def test_says_that_vhost_net_is_not_there(host, how):
    host.allow("allow br0", "allow-vhost br0")
    device = host.path("/dev/vhost-net")
    os.rename(device, device + "-away")
    try:
        refused(host.call("--br=br0", "--vhost", how=how), "/dev/vhost-net", "modprobe vhost_net")
    finally:
        os.rename(device + "-away", device)


# -------------------------------------------------------------------------------- the list


def test_says_which_line_would_allow(host):
    host.allow("allow br1")
    refused(host.call("--br=br0"), "bridge br0: ", "user alice", "no line of /etc/vmtap/bridge.conf allows it",
            'add the line "allow br0" to /etc/vmtap/bridge.conf')


def test_says_which_line_denies(host):
    host.allow("allow all", "", "deny br0")
    refused(host.call("--br=br0"), '/etc/vmtap/bridge.conf:3 denies it ("deny br0")')


def test_names_a_caller_without_a_name_by_number(host):
    host.allow()
    refused(host.call("--br=br0", uid=4999), "user 4999")


def test_qemus_list_counts_where_there_is_no_other(host):
    host.write("/etc/qemu/bridge.conf", "allow br0\n")
    with host.call("--br=br0") as call:
        assert call.status == 0
    refused(host.call("--br=br0", "--vhost"), "create /etc/vmtap/bridge.conf",
            '"include /etc/qemu/bridge.conf" and "allow-vhost br0"')
    host.allow("allow br1")
    refused(host.call("--br=br0"), "no line of /etc/vmtap/bridge.conf allows it")


def test_a_list_that_cannot_be_read_is_not_replaced_by_another(host):
    host.write("/etc/qemu/bridge.conf", "allow br0\n")
    host.write("/etc/vmtap/bridge.conf", "allow br0\n", mode=0o640, gid=TEAM)
    refused(host.call("--br=br0"), "/etc/vmtap/bridge.conf", "Permission denied")
    with host.call("--br=br0", groups=[TEAM]) as call:
        assert call.status == 0
    os.unlink(host.path("/etc/vmtap/bridge.conf"))
    os.symlink("/nowhere", host.path("/etc/vmtap/bridge.conf"))
    refused(host.call("--br=br0"), "/etc/vmtap/bridge.conf", "No such file")


def test_says_that_there_is_no_list(host):
    refused(host.call("--br=br0"), "/etc/qemu/bridge.conf", "/etc/vmtap/bridge.conf does not exist",
            'create /etc/vmtap/bridge.conf with the line "allow br0"')


QEMU_HELPER = "/usr/lib/qemu/qemu-bridge-helper"


@pytest.mark.parametrize("text", [
    "allow br0\n", "allow br0", "allow all\n", "allow br1\n", "allow br00\n", "allow br\n", "allow *\n", "",
    "deny br0\nallow br0\n", "allow br0\ndeny all\n", "deny br1\nallow all\n", "allow ALL\n",
    "# allow br0\n", "  # x\n\t allow \t br0 \t\r\n", "allow\tbr0\r\n", "allow br0\ndeny br0\r\n",
    "include /etc/qemu/more.conf\n", "allow br1\ninclude /etc/qemu/more.conf\nallow br2\n",
    "include /etc/qemu/alice.conf\n", "allow br0\ninclude /etc/qemu/bob.conf\n", "allow br0\ninclude /nowhere\n",
    "alow br0\n", "allow br0\nbroken line\n", "allow\n", "allow 0123456789abcdef\nallow br0\n", None,
])
def test_reads_lists_as_qemus_helper_does(host, text):
    with open(QEMU_HELPER, "rb") as f:
        host.write("/etc/bin/qemu", f.read(), mode=0o4755)
    host.write("/etc/qemu/more.conf", "allow br0\n")
    host.write("/etc/qemu/alice.conf", "allow br0\n", mode=0o640, gid=ALICE)
    host.write("/etc/qemu/bob.conf", "deny br0\n", mode=0o640, gid=BOB)
    if text is not None:
        host.write("/etc/qemu/bridge.conf", text)
    with host.call("--use-vnet", "--br=br0", how="qemu") as theirs, host.call("--use-vnet", "--br=br0") as ours:
        assert (ours.status, len(ours.fds)) == (theirs.status, len(theirs.fds))


# ------------------------------------------------------------------------------- obstacles


@pytest.mark.parametrize("args,text", [
    (["--br=nosuch"], "bridge nosuch: cannot put a TAP on it: there is no such interface; create it: ip link add nosuch"),
    (["--br=lo"], "bridge lo: cannot put a TAP on it: that interface is not a bridge"),
    (["--br=br/0"], "--br=br/0: an interface name has no '/'"),
    (["--br=br 0"], "white space"),
    (["--br=--"], "does not begin with '-'"),
    (["--br=0123456789abcdef"], "at most 15 characters"),
    (["--br="], "the name is empty"),
    (["--br=br0", "--br=br0"], "--br is there twice"),
    (["--br=br0", "--queues=0"], "--queues=0 is not a number from 1 to 64"),
    (["--br=br0", "--mac=1"], "--mac=1 is not the address"),
    (["--br=br0", "--frob"], "--frob is no option"),
    (["--br=br0", "x"], "x is no option"),
    ([], "--br=BRIDGE is missing"),
])
@pytest.mark.parametrize("how", [CAPS, SETUID])
def test_refuses_mistakes(host, args, text, how):
    host.allow("allow all")
    refused(host.call(*args, how=how), text)


def test_says_that_the_capability_is_missing(host):
    host.allow("allow br0")
    refused(host.call("--br=br0", how=PLAIN), "CAP_NET_ADMIN", "as root: setcap cap_net_admin+ep /etc/bin/plain")


def test_says_that_the_file_system_is_mounted_nosuid(host):
    host.allow("allow br0")
    refused(host.call("--br=br0", how=NOSUID), "CAP_NET_ADMIN", "/etc/bin/nosuid/caps is mounted nosuid")


def test_says_that_the_caller_forbids_privileges(host):
    host.allow("allow br0")
    refused(host.call("--br=br0", wrap=["setpriv", "--no-new-privs"]), "CAP_NET_ADMIN", "NoNewPrivileges=no")


@contextlib.contextmanager
def device_away(host, path):
    os.rename(host.path(path), host.path(path + "-away"))
    yield
    os.rename(host.path(path + "-away"), host.path(path))


def test_says_that_the_driver_is_missing(host):
    host.allow("allow br0")
    with device_away(host, "/dev/net/tun"):
        refused(host.call("--br=br0"), "/dev/net/tun", "modprobe tun")


def test_says_that_the_device_may_not_be_opened(host):
    host.allow("allow br0")
    os.chmod(host.path("/dev/net/tun"), 0o600)
    try:
        refused(host.call("--br=br0"), "/dev/net/tun", "chmod 666 /dev/net/tun")
    finally:
        os.chmod(host.path("/dev/net/tun"), 0o666)


def test_says_that_the_bridge_is_full(shared_host):
    with BridgeHost() as other:
        other.allow("allow full")
        other.run(["ip", "-batch", "-"], timeout=120, input="link add full type bridge\n" + "".join(
            "link add a%d type veth peer b%d\nlink set a%d master full\n%s" % (
                i, i, i, "link set b%d master full\n" % i if i else "") for i in range(512)))
        refused(other.call("--br=full"), "bridge full: cannot put a TAP on it", "at most 1023 ports")
        assert other.taps() == []


# -------------------------------------------------------------------------------- --check


def test_check_says_what_would_be_done(host):
    host.allow("allow br0", "allow-vhost all", "allow-ifname br0 vm*", "allow-mac br0 fe:*")
    out, err, status = host.check("--br=br0", "--vhost", "--ifname=vm0", "--mac=fe:00:00:00:00:01", how=SETUID)
    assert (err, status) == ("", 0)
    assert out.splitlines() == [
        "list: /etc/vmtap/bridge.conf",
        "bridge: allowed by /etc/vmtap/bridge.conf:1: allow br0",
        "vhost: allowed by /etc/vmtap/bridge.conf:2: allow-vhost all",
        "ifname: allowed by /etc/vmtap/bridge.conf:3: allow-ifname br0 vm*",
        "mac: allowed by /etc/vmtap/bridge.conf:4: allow-mac br0 fe:*",
        "mtu: 1400",
        "result: a TAP would be made",
    ]


def test_check_names_every_obstacle(host):
    host.allow("allow br0", "deny br9")
    out, err, status = host.check("--br=br9", "--ifname=br0", "--vhost", how=PLAIN)
    assert status == 1 and out.splitlines()[-1] == "result: no TAP would be made"
    for text in "bridge.conf:2 denies it", '"allow-vhost br9"', '"allow-ifname br9 br0"', \
            "there is no such interface", "setcap cap_net_admin+ep /etc/bin/plain", "br0: cannot create it: an interface of that name exists", \
            "vhost-net: cannot open it":
        assert sum(text in line for line in err.splitlines()) == 1, text
    assert all(line.startswith("vmtap-bridge-helper: ") for line in err.splitlines())


def test_check_names_what_was_skipped(host):
    host.allow("allow br0", "include /etc/vmtap/bob.conf")
    host.write("/etc/vmtap/bob.conf", "deny all\n", mode=0o600)
    out, _, status = host.check("--br=br0")
    assert status == 0
    assert "skipped: 1 included, that user alice cannot open; the first by /etc/vmtap/bridge.conf:2: " \
        "/etc/vmtap/bob.conf" in out.splitlines()
    assert "deny" not in out


def test_check_sees_what_the_call_would_meet(host):
    host.allow("allow br0", "allow-ifname all *")
    assert host.check("--br=br0")[2] == 0
    assert "exists" in host.check("--br=br0", "--ifname=lo")[1]
    with device_away(host, "/dev/net/tun"):
        assert "modprobe tun" in host.check("--br=br0")[1]


def test_check_changes_nothing(host):
    host.allow("allow br0")
    before = host.links()
    assert host.check("--br=br0", "--queues=4", how=PLAIN, uid=0)[2] == 0
    after = host.links()
    for links in before, after:
        for link in links.values():
            link.pop("stats64", None)
            link.get("linkinfo", {}).pop("info_data", None)
    assert before == after


def test_help_and_version(host):
    for args, text in (["--help"], "usage: vmtap-bridge-helper"), (["--version"], "vmtap-bridge-helper "):
        done = host.run(host.words(*args))
        assert done.stdout.startswith(text) and done.stderr == ""


# ---------------------------------------------------------------------------- with others


@contextlib.contextmanager
def qemu(host, netdev):
    """An unprivileged QEMU without a machine, from its greeting on."""
    proc = host.popen([*bridgehost.as_user(ALICE), "qemu-system-x86_64", "-machine", "none", "-nodefaults",
                       "-display", "none", "-qmp", "stdio", "-netdev", netdev],
                      stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        line = proc.stdout.readline()
        yield json.loads(line) if line else proc.stderr.read()
    finally:
        end(proc)


@pytest.mark.parametrize("how", [CAPS, SETUID])
@pytest.mark.parametrize("netdev", [
    "bridge,id=n0,br=br0,helper=/etc/bin/%s",
    "tap,id=n0,br=br0,helper=/etc/bin/%s",
    "tap,id=n0,helper=/etc/bin/%s --br=br0",
    "tap,id=n0,br=br0,helper=/etc/bin/%s --use-vnet",
])
def test_qemu_gets_its_tap(host, netdev, how):
    host.allow("allow br0")
    with qemu(host, netdev % how) as greeting:
        assert "QMP" in greeting, greeting
        port, = host.ports()
        link = host.links()[port]
        assert "UP" in link["flags"] and link["linkinfo"]["info_data"]["vnet_hdr"]
    wait_until(lambda: host.ports() == [])


def test_qemu_is_told_why_not(host):
    host.allow("deny br0")
    with qemu(host, "bridge,id=n0,br=br0,helper=/etc/bin/caps") as said:
        assert 'bridge.conf:1 denies it ("deny br0")' in said


@pytest.mark.parametrize("port,name", [
    ("bridge,br=br0,queues=2,ifname=vm5,helper=/etc/bin/caps", "vm5"),
    ("tap,helper=/etc/bin/setuid,br=br0", "tap0"),
])
def test_vmtap_gets_its_tap(host, public_program, port, name):
    host.allow("allow br0", "allow-ifname br0 vm*")
    proc = host.popen([*bridgehost.as_user(ALICE), public_program, "connect", port, "null"], stderr=subprocess.PIPE)
    try:
        wait_until(lambda: host.ports() == [name] or proc.poll() is not None)
        assert proc.poll() is None, proc.stderr.read()
    finally:
        end(proc)


def test_vmtap_is_told_why_not(host, public_program):
    host.allow("deny br0")
    done = host.run([*bridgehost.as_user(ALICE), public_program, "connect", "bridge,br=br0,helper=/etc/bin/caps",
                     "null"], check=False)
    assert done.returncode != 0 and 'bridge.conf:1 denies it ("deny br0")' in done.stderr


# ------------------------------------------------------------------------------ the program


def test_links_nothing_but_libc_and_libcap_ng():
    said = subprocess.run(["readelf", "-Wdlh", bridgehost.program()], check=True, stdout=subprocess.PIPE, text=True).stdout
    needed = {n for n in re.findall(r"NEEDED.*\[(.*)\]", said) if "san" not in n}
    if not any("san.so" in n for n in re.findall(r"NEEDED.*\[(.*)\]", said)):
        assert needed == {"libc.so.6", "libcap-ng.so.0"}
    assert "Type:                              DYN" in said
    assert "BIND_NOW" in said and "GNU_RELRO" in said
    assert re.search(r"GNU_STACK.* RW ", said)


def run_install(host, *env, uid=0):
    script = os.path.join(vmtap.TOP, "scripts", "setcap-helper.sh")
    with open(script) as f:
        user = bridgehost.as_user(uid) if uid else []
        return host.run([*user, "env", "MESON_INSTALL_PREFIX=/etc", *env, "sh", "-s", "bin/new"], input=f.read())


def test_is_installed_with_a_capability_and_nothing_else(host):
    path = host.path("/etc/bin/new")
    with open(bridgehost.program(), "rb") as f:
        host.write("/etc/bin/new", f.read(), mode=0o755)
    try:
        command = "setcap cap_net_admin+ep /etc/bin/new"
        assert command in run_install(host, "DESTDIR=/tmp/x").stdout
        assert command in run_install(host, uid=ALICE).stdout
        assert "security.capability" not in os.listxattr(path)
        assert run_install(host).stdout == ""
        getcap = subprocess.run(["getcap", path], stdout=subprocess.PIPE, text=True, check=True).stdout
        assert getcap.split()[-1] == "cap_net_admin=ep"
        assert os.stat(path).st_mode & 0o7777 == 0o755
        host.allow("allow br0")
        with host.call("--br=br0", how="new") as call:
            assert call.status == 0
    finally:
        os.unlink(path)
