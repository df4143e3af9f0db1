# SPDX-License-Identifier: MIT
"""vmtap doctor: a healthy host, devices, limits, TAPs, and what is printed. Every fault is made for real in namespaces of its own, seen
by its name, and gone after the command that the doctor gave has been run."""

import ctypes
import json
import os
import struct
import subprocess

import pytest

import tuntap
from netns import wait_until
from patient import ERROR, HELPER, LIST, NOBODY, QEMU_HELPER, USAGE, bridge, healthy, leak, port, room  # noqa: F401


# --------------------------------------------------------------------- nothing wrong


@pytest.mark.parametrize("user", [None, NOBODY], ids=["root", "user"])
@pytest.mark.parametrize("target", [
    [], ["br0"], [port()], ["tap,ifname=vm0,br=br0"], ["vm0"], ["stream,server=on,path=/tmp/x.sock"],
    ["null"], ["vhost-user,path=/tmp/x.sock"],
], ids=lambda t: t[0].split(",")[0] if t else "host")
def test_a_healthy_host_has_no_finding_above_a_note(healthy, target, user):
    healthy.run("ip tuntap add vm0 mode tap user nobody && ip link set vm0 master br0 up")
    healthy.run("mkdir -p %s; mount --bind %s %s" % (os.path.dirname(QEMU_HELPER), HELPER, QEMU_HELPER))
    healthy.write("/etc/qemu/bridge.conf", "allow br0\n")
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


def test_vhost_net_that_the_users_of_a_group_may_open(room):
    """As udev has it, with the group kvm."""
    room.fake("/proc/misc", "238 vhost-net\n200 tun\n")
    room.run("mknod -m 660 /dev/vhost-net c 10 238 && chgrp games /dev/vhost-net")
    found = room.fault("vhost-net", "tap,vhost=on", user=NOBODY, severity="warning", says="mode 660, root:games")
    assert found["remedy"] == "usermod -aG games nobody" and "next login" in found["why"]


def test_vhost_net_that_the_kernel_does_not_have(room):
    room.fake("/proc/misc", "200 tun\n")
    room.fault("vhost-net", "tap,vhost=on", severity="warning", says="driver vhost_net is not loaded")
    room.fault("vhost-net", "tap,fd=3,vhost=on", severity="warning", says="driver vhost_net is not loaded")
    assert room.faults("vhost-net", "tap,fd=3") == []


def test_a_node_of_vhost_net_without_a_driver(room):
    """Where it is installed, opening the node loads it."""
    room.fake("/proc/misc", "200 tun\n")
    room.run("mknod -m 666 /dev/vhost-net c 10 238; cd %s; mkdir upper2 work2; mount -t overlay -o "
             "lowerdir=/usr/lib,upperdir=upper2,workdir=work2 none /usr/lib && mkdir -p /lib/modules && "
             "mount -t tmpfs none /lib/modules" % room.folder)
    room.fault("vhost-net", "tap,vhost=on", severity="warning", says="driver vhost_net is not loaded")
    room.run('mkdir /lib/modules/$(uname -r) && echo kernel/vhost_net.ko: >/lib/modules/$(uname -r)/modules.dep')
    assert room.faults("vhost-net", "tap,vhost=on") == []


@pytest.mark.parametrize("spec", ["tap,vhostfd=%d", "tap,fd=3,vhostfd=%d", "tap,fds=3:4,vhostfds=name:%d"])
def test_a_descriptor_that_is_none_of_vhost_net(room, spec):
    room.fake("/proc/misc", "200 tun\n")
    found = room.fault("vhost-descriptor", spec % 99, severity="error", says="it is not open")
    assert "99<>/dev/vhost-net" in found["why"] and found["object"] == "vhostfd 99"
    room.fault("vhost-descriptor", spec % 0, severity="error", says="no descriptor of /dev/vhost-net")
    # the device itself is nobody's business then
    assert [f for f in room.ask(spec % 0) if f["object"] == "/dev/vhost-net"] == []


# --------------------------------------------------------------------- the kernel's limits


@pytest.mark.skipif(not os.path.exists("/proc/sys/kernel/io_uring_disabled"), reason="the sysctl is of Linux 6.6")
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


def test_leaked_taps_are_reaped(room):
    leak(room, ["lost0", "lost1"])
    room.run("ip tuntap add mine mode tap")
    room.mend("leaked-taps", severity="warning", says="2 were left behind by a process that has ended: lost0, lost1")
    assert room.run("ip link show mine")


def test_leaked_taps_of_another_bridge_do_not_count(room):
    bridge(room)
    room.run("ip link add br1 type bridge")
    leak(room, ["lost0"])
    room.run("ip link set lost0 master br1")
    assert room.faults("leaked-taps", "br0") == []
    assert room.fault("leaked-taps", "br1")["object"] == "TAPs on bridge br1"


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
    fd = tuntap.open_tap(ns, "busy0", persist=True)
    try:
        found = room.fault("tap-busy", "tap,ifname=busy0", severity="error")
        assert "process %d" % os.getpid() in found["what"]
        assert room.faults("tap-busy", "busy0") == []  # nobody said that it is to be opened
    finally:
        os.close(fd)
    assert room.faults("tap-busy", "tap,ifname=busy0") == []


def test_a_tap_that_is_down_or_on_no_bridge(room):
    bridge(room)
    room.run("ip tuntap add vm0 mode tap user nobody")
    target = "tap,ifname=vm0,br=br0"
    assert room.faults("tap-up", target) == room.faults("tap-bridge", target) == []  # root sees to that
    room.mend("tap-up", target, user=NOBODY, severity="error")
    room.mend("tap-bridge", target, user=NOBODY, severity="error", says="on no bridge")
    room.run("ip link set vm0 nomaster")
    room.fault("tap-bridge", "vm0", severity="note", says="on no bridge")


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
