# SPDX-License-Identifier: MIT
"""vmtap doctor: the bridge helper, its access list, and programs that manage interfaces. Every fault is made for real in namespaces of its own, seen
by its name, and gone after the command that the doctor gave has been run."""

import os
import subprocess

import pytest

from netns import wait_until
from patient import HELPER, LIST, NOBODY, QEMU_HELPER, bridge, healthy, port, room  # noqa: F401


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


def test_vhost_net_that_the_helper_opens(healthy):
    """With a right of its own, the user needs none."""
    healthy.fake("/proc/misc", "238 vhost-net\n200 tun\n")
    healthy.run("mknod -m 600 /dev/vhost-net c 10 238")
    healthy.write(LIST, "allow br0\nallow-vhost br0\n")
    for options, severity in (",vhost=on", "warning"), (",vhostforce=on", "error"):
        found = healthy.fault("vhost-net", port(options), user=NOBODY, severity=severity, says="mode 600")
        assert "vmtap-bridge-helper(8)" in found["why"]
    for how in ["setcap cap_net_admin,cap_dac_override+ep %s", "setcap -r %s; chmod 4755 %s",
                "chgrp games %s /dev/vhost-net; chmod 2755 %s; chmod 660 /dev/vhost-net"]:
        healthy.run(how.replace("%s", HELPER))
        assert healthy.faults("vhost-net", port(",vhostforce=on"), user=NOBODY) == [], how
    healthy.run("chgrp audio /dev/vhost-net")
    healthy.fault("vhost-net", port(",vhostforce=on"), user=NOBODY, severity="error", says="root:audio")


def test_vhost_net_that_the_list_does_not_give(healthy):
    healthy.fake("/proc/misc", "238 vhost-net\n200 tun\n")
    healthy.run("mknod -m 666 /dev/vhost-net c 10 238")
    healthy.mend("access-rule", port(",vhost=on"), severity="error", says="allows /dev/vhost-net with a TAP on it")


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
    healthy.write("/etc/qemu/bridge.conf", text)  # of the helper that is found without helper=
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


def test_network_manager_that_says_it_does_not_manage_the_tap(room):
    room.run("mount -t tmpfs none /run; ip tuntap add vm0 mode tap")
    pretend(room, "NetworkManager")
    assert room.faults("network-manager", "tap,ifname=vm0")
    index = room.run("cat /sys/class/net/vm0/ifindex").stdout.strip()
    room.write("/run/NetworkManager/devices/" + index, "[device]\nmanaged=false\n")
    assert room.faults("network-manager", "tap,ifname=vm0") == []
