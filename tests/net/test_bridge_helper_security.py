# SPDX-License-Identifier: MIT
"""What a caller of vmtap-bridge-helper cannot reach: docs/security.md names the test of each
of its lines, and this is where they are."""

import contextlib
import fcntl
import os
import re
import select
import signal
import socket
import struct
import subprocess

import bridgehost
import pytest
import tuntap
import vmtap
from bridgehost import ALICE, BOB, CAPS, OVERRIDE, PLAIN, PRIVILEGED, SETGID, SETUID, TEAM, \
    host, refused, shared_host  # noqa: F401 (host and shared_host are fixtures)
from hold import Hold
from netns import end, wait_until

LIST = "/etc/vmtap/bridge.conf"
NET_ADMIN, DAC_OVERRIDE = 1 << 12, 1 << 1


def status(pid):
    with open("/proc/%d/status" % pid) as f:
        return dict(line.rstrip("\n").split(":\t", 1) for line in f if ":\t" in line)


def capabilities(pid):
    """Inheritable, permitted, effective, ambient."""
    s = status(pid)
    return tuple(int(s[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapAmb"))


def children(pid):
    with open("/proc/%d/task/%d/children" % (pid, pid)) as f:
        return [int(child) for child in f.read().split()]


@contextlib.contextmanager
def held(host, *args, path=LIST, **how):
    """The helper while it opens the access list (or @path); afterwards it is let go and must end."""
    ours, theirs = socket.socketpair()
    with ours, theirs, Hold(host.path(path)) as hold:
        proc = host.start("--br=br0", "--fd=%d" % theirs.fileno(), *args,
                          pass_fds=(theirs.fileno(), *how.pop("pass_fds", ())), **how)
        try:
            pid = hold.wait()
            yield proc, pid
        finally:
            hold.release()
            end(proc)
            for fd in bridgehost.receive(ours):
                os.close(fd)


# ------------------------------------------------------------------------------ privileges


@pytest.mark.parametrize("how,uid", [(PLAIN, 0)] + [(how, ALICE) for how in PRIVILEGED])
def test_only_cap_net_admin_is_left_when_the_list_is_opened(host, how, uid):
    host.allow("allow br0")
    with held(host, how=how, uid=uid, groups=[TEAM] if uid else []) as (proc, pid):
        assert pid == proc.pid
        assert capabilities(pid) == (0, NET_ADMIN, NET_ADMIN, 0)
        s = status(pid)
        assert s["Uid"].split() == s["Gid"].split() == [str(uid)] * 4
        assert not uid or s["Groups"].split() == [str(TEAM)]
        assert s["NoNewPrivs"] == "1"
        if how in (PLAIN, SETUID):  # who may, empties the bounding set too
            assert int(s["CapBnd"], 16) == 0


@pytest.mark.parametrize("how", PRIVILEGED)
def test_only_cap_net_admin_is_left_when_the_command_line_is_read(host, how):
    """It is held where it complains about the first option: standard error takes nothing more."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(writer, bytes(4096))
    os.set_blocking(writer, True)
    proc = host.start("--frob", how=how, stderr=writer)
    os.close(writer)

    def writes():
        with open("/proc/%d/wchan" % proc.pid) as f:
            return "pipe" in f.read() and status(proc.pid)["Name"] == how[:15]
    try:
        wait_until(writes, what="it writes its complaint")
        assert capabilities(proc.pid) == (0, NET_ADMIN, NET_ADMIN, 0)
        assert status(proc.pid)["Uid"].split() == [str(ALICE)] * 4
    finally:
        os.close(reader)
        end(proc)


def test_what_the_caller_has_himself_is_given_back_too(host):
    host.allow("allow br0")
    with held(host, how=PLAIN) as (_, pid):
        assert capabilities(pid) == (0, 0, 0, 0)
    more = ["setpriv", "--reuid=%d" % ALICE, "--regid=%d" % ALICE, "--clear-groups",
            "--inh-caps=+net_admin,+sys_admin", "--ambient-caps=+net_admin,+sys_admin"]
    with held(host, how=PLAIN, uid=0, wrap=more) as (_, pid):
        assert capabilities(pid) == (0, NET_ADMIN, NET_ADMIN, 0)


def looks_into(host, pid):
    """What alice gets to see of a process of hers."""
    seen = []
    for what in "readlink -v /proc/%d/exe", "cat /proc/%d/maps", "ls /proc/%d/fd/", "cat /proc/%d/environ":
        done = host.run([*bridgehost.as_user(ALICE), *(what % pid).split()], check=False)
        if done.returncode == 0:
            seen.append(what)
        else:
            assert "Permission denied" in done.stderr
    return seen


@pytest.mark.parametrize("how", PRIVILEGED)
def test_the_caller_cannot_look_into_it(host, how):
    host.allow("allow br0")
    with held(host, how=how) as (_, pid):
        assert looks_into(host, pid) == []
        for child in children(pid):
            assert looks_into(host, child) == []
    other = host.popen([*bridgehost.as_user(ALICE), "cat"], stdin=subprocess.PIPE)
    wait_until(lambda: status(other.pid)["Name"] == "cat")
    assert len(looks_into(host, other.pid)) == 4
    end(other)


def test_the_second_process_has_a_right_to_files_and_nothing_else(host):
    host.allow("allow br0")
    ours, theirs = os.pipe()
    for how, expected in (SETUID, DAC_OVERRIDE), (OVERRIDE, DAC_OVERRIDE), (SETGID, 0):
        with held(host, how=how, pass_fds=(theirs,)) as (_, pid):
            child, = children(pid)
            wait_until(lambda: status(child)["NoNewPrivs"] == "1")
            assert capabilities(child) == (0, expected, expected, 0)
            fds = os.listdir("/proc/%d/fd" % child)
            assert len(fds) == 4 and {"0", "1", "2"} < set(fds)
    for how, uid in (CAPS, ALICE), (PLAIN, 0):
        with held(host, how=how, uid=uid) as (_, pid):
            assert children(pid) == []
    os.close(ours)
    os.close(theirs)


def test_the_second_process_ends_with_the_first(host):
    host.allow("allow br0")
    with held(host, how=SETUID) as (proc, pid):
        child = os.pidfd_open(children(pid)[0])
        proc.kill()
    try:
        wait_until(lambda: select.select([child], [], [], 0)[0], what="the second process ends")
    finally:
        os.close(child)


@pytest.mark.parametrize("how", PRIVILEGED)
def test_the_callers_environment_counts_for_nothing(host, how):
    host.allow("allow br0")
    env = ["env", "LD_DEBUG=libs", "LD_LIBRARY_PATH=/nowhere", "LD_PRELOAD=/nowhere.so", "GLIBC_TUNABLES=glibc.malloc.check=3",
           "HOME=/nowhere", "POSIXLY_CORRECT=1", "VMTAP_LIST=/nowhere"]
    with host.call("--br=br0", how=how, wrap=env) as call:
        assert (call.status, call.err) == (0, "")
    assert "/nowhere" in host.call("--br=br0", how=PLAIN, wrap=env).err  # where it does count


# --------------------------------------------------------------------------------- bridges


@pytest.mark.parametrize("how", PRIVILEGED)
@pytest.mark.parametrize("lines", [
    [],
    ["allow br1"],
    ["allow br"],
    ["# allow br0"],
    ["allow-vhost br0", "allow-ifname br0 *", "allow-mac br0 *"],
    ["allow br0", "deny br0"],
    ["deny all", "allow br0"],
    ["allow all", "include /etc/vmtap/more.conf"],
    ["allow all", "deny br0 # for now"],
])
def test_no_bridge_but_those_that_the_list_gives(host, lines, how):
    host.allow(*lines)
    host.write("/etc/vmtap/more.conf", "deny br0\r\n")
    refused(host.call("--br=br0", how=how), "bridge br0: cannot give user alice a TAP on it")
    assert host.ports() == []


def test_a_bridge_is_not_reached_by_another_name(host):
    host.run("ip link property add dev br0 altname outer")
    try:
        for lines in ["allow all", "deny br0"], ["allow outer"], ["allow all"]:
            host.allow(*lines)
            refused(host.call("--br=outer"), "alternative name of br0")
    finally:
        host.run("ip link property del dev br0 altname outer")


@pytest.mark.parametrize("text,what", [
    ("allow br0\nalow br1\n", "bridge.conf:2"),
    ("allow br0\ninclude /etc/vmtap/bridge.conf\n", "is there a loop?"),
    ("allow br0\ninclude /etc/vmtap\n", "a folder"),
    ("allow br0\ninclude /dev/null\n", "a device"),
    ("allow br0\ninclude more.conf\n", "does not begin with '/'"),
    (b"allow br0\n\0\n", "NUL"),
    (b"allow br0\n" + b"x" * 5000, "longer than 4096 bytes"),
    (b"allow br0\n" + b"#\n" * (1 << 19), "longer than 1048576 bytes"),
    (b"allow br0\n\xff\xfe\x1b[2J\n", "is not known"),
], ids=["word", "loop", "folder", "device", "relative", "nul", "line", "size", "rubbish"])
@pytest.mark.parametrize("how", [CAPS, SETUID])
def test_a_list_with_a_mistake_gives_nothing(host, text, what, how):
    host.write(LIST, text)
    refused(host.call("--br=br0", how=how), what)


def test_a_list_of_a_gigabyte_or_a_pipe_holds_nothing_up(host):
    host.write(LIST, "allow br0\n")
    os.truncate(host.path(LIST), 1 << 30)
    refused(host.call("--br=br0", timeout=5), "longer than")
    os.unlink(host.path(LIST))
    os.mkfifo(host.path(LIST), 0o644)
    refused(host.call("--br=br0", timeout=5), "a pipe")
    os.unlink(host.path(LIST))
    os.mkdir(host.path(LIST))
    try:
        refused(host.call("--br=br0"), "a folder")
    finally:
        os.rmdir(host.path(LIST))


def test_a_list_that_others_can_write_gives_nothing(host):
    for mode, uid, gid, what in (0o666, 0, 0, "can write to it"), (0o664, 0, TEAM, "can write to it"), \
            (0o644, ALICE, 0, "belongs to user 4321"):
        host.write(LIST, "allow br0\n", mode=mode, uid=uid, gid=gid)
        refused(host.call("--br=br0"), what)
        host.allow("allow br0", "include /etc/vmtap/more.conf")
        host.write("/etc/vmtap/more.conf", "", mode=mode, uid=uid, gid=gid)
        refused(host.call("--br=br0"), what, "bridge.conf:2")
    host.write("/etc/vmtap/more.conf", "")
    folder = host.path("/etc/vmtap")
    try:
        os.chmod(folder, 0o1777)
        refused(host.call("--br=br0"), "can write to its folder")
        os.chmod(folder, 0o755)
        os.chown(folder, ALICE, 0)
        refused(host.call("--br=br0"), "its folder belongs to user 4321")
    finally:
        os.chmod(folder, 0o755)
        os.chown(folder, 0, 0)


def test_a_list_of_the_callers_own_world_gives_nothing(host):
    """Root of a user namespace of her own, alice puts another list in place."""
    host.allow("deny all")
    script = 'mount -t tmpfs -o mode=755 none /etc/vmtap; echo allow all >/etc/vmtap/bridge.conf; exec "$@"'
    own = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-ec", script, "sh"]
    assert host.run([*bridgehost.as_user(ALICE), *own, "cat", LIST]).stdout == "allow all\n"
    for how in PRIVILEGED:
        refused(host.call("--br=br0", how=how, wrap=own), "Operation not permitted", "another user namespace")
    assert host.ports() == []


def test_the_working_folder_does_not_count(host):
    host.allow("include more.conf")
    host.write("/etc/bin/cwd/more.conf", "allow br0\n", uid=ALICE)
    refused(host.call("--br=br0", wrap=["env", "--chdir=/etc/bin/cwd"]), "does not begin with '/'")


# ----------------------------------------------------------------------------------- files


@pytest.mark.parametrize("how", PRIVILEGED)
def test_included_files_are_opened_with_the_callers_rights(host, how):
    host.allow("include /etc/vmtap/team.conf")
    host.write("/etc/vmtap/team.conf", "allow br0\n", mode=0o640, gid=TEAM)
    with host.call("--br=br0", how=how, groups=[TEAM]) as call:
        assert call.status == 0
    for uid in ALICE, BOB:  # nor does the group of a set-gid program count
        refused(host.call("--br=br0", how=how, uid=uid), "1 included file could not be opened")


@pytest.mark.parametrize("how", PRIVILEGED)
def test_nothing_of_a_file_is_told_that_the_caller_cannot_read(host, how):
    secret = "root:$6$secret:1::::::"
    for mode, visible in (0o600, False), (0o644, True):
        host.write("/etc/vmtap/shadow", secret + "\n", mode=mode)
        host.allow("allow br0", "include /etc/vmtap/shadow")
        out, err, code = host.check("--br=br0", how=how)
        assert ("secret" in out + err) == visible  # the second shows that it would be seen
        assert code == (1 if visible else 0)
        host.write(LIST, secret + "\n", mode=mode)
        call = host.call("--br=br0", how=how)
        assert ("secret" in call.err) == visible
        refused(call)


def test_a_deny_cannot_be_hidden_by_limits(host):
    """Each file that is included takes one more descriptor; the TAP would take fewer."""
    host.allow("allow all", "include /etc/vmtap/1.conf")
    for depth in range(1, 8):
        host.write("/etc/vmtap/%d.conf" % depth, "include /etc/vmtap/%d.conf\n" % (depth + 1))
    host.write("/etc/vmtap/8.conf", "deny br0\n")
    said = set()
    for how in CAPS, SETUID:
        for nofile in range(3, 20):
            call = host.call("--br=br0", how=how, wrap=["prlimit", "--nofile=%d" % nofile])
            assert call.status != 0 and not call.fds
            said |= set(re.findall("1.conf.*Too many open files|[4-7].conf.*Too many open files|deny br0", call.err))
    assert len(said) > 2


# ------------------------------------------------------------------------ names, addresses


def test_an_interface_that_exists_is_never_touched(host):
    host.allow("allow br0", "allow-ifname br0 *")
    fds = [tuntap.open_tap(host, name, owner=BOB) for name in ("theirs",)]
    fds.append(tuntap.open_tap(host, "multi", flags=tuntap.IFF_TAP | tuntap.IFF_NO_PI | tuntap.IFF_MULTI_QUEUE))
    host.run("ip tuntap add idle mode tap user %d; ip link property add dev theirs altname alias0" % ALICE)
    try:
        before = {n: host.links()[n]["address"] for n in ("theirs", "multi", "idle")}
        for name in "theirs", "multi", "idle", "br0", "lo", "alias0":
            for queues in "1", "2":
                refused(host.call("--br=br0", "--ifname=" + name, "--queues=" + queues),
                        "tap %s: cannot create it: an interface of that name exists" % name)
        links = host.links()
        assert {n: links[n]["address"] for n in before} == before
        assert not any("master" in links[n] for n in before)
        assert set(links) == {"lo", "br0", *before}
    finally:
        for fd in fds:
            os.close(fd)
        host.run("ip link del idle")


@pytest.mark.parametrize("how", [CAPS, SETUID])
def test_names_and_addresses_only_as_the_list_gives_them(host, how):
    host.allow("allow br0", "allow-ifname br0 vm[0-9]", "deny-ifname all vm9", "allow-mac br0 fe:00:*")
    for args in ["--ifname=vm10"], ["--ifname=vm9"], ["--ifname=eth0"], ["--mac=fe:01:00:00:00:00"], \
            ["--ifname=vm1", "--mac=02:00:00:00:00:00"]:
        refused(host.call("--br=br0", *args, how=how))
    for args in ["--ifname=vm%d"], ["--ifname=../vm1"], ["--ifname=-vm1"], ["--mac=ff:ff:ff:ff:ff:ff"]:
        refused(host.call("--br=br0", *args, how=how), "understand the command line")


# ----------------------------------------------------------------------------- descriptors


def test_only_a_connected_unix_socket_gets_a_tap(host):
    host.allow("allow br0")
    with contextlib.ExitStack() as stack:
        def keep(sock):
            return stack.enter_context(sock)
        tcp = keep(socket.create_server(("127.0.0.1", 0)))
        client = keep(socket.create_connection(tcp.getsockname()))
        listening = keep(socket.socket(socket.AF_UNIX))
        listening.bind("\0vmtap-test-%d" % os.getpid())
        listening.listen()
        lonely = keep(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
        netlink = keep(socket.socket(socket.AF_NETLINK, socket.SOCK_RAW))
        file = keep(open(host.path("/etc/passwd")))
        pipe = os.pipe()
        for fd in pipe:
            stack.callback(os.close, fd)
        for fd, what in (file, "not a socket"), (pipe[1], "not a socket"), (tcp, "not a unix socket"), \
                (client, "not a unix socket"), (netlink, "not a unix socket"), \
                (listening, "nobody is at its other end"), (lonely, "nobody is at its other end"):
            fd = fd if isinstance(fd, int) else fd.fileno()
            for how in CAPS, SETUID:
                refused(host.call("--br=br0", fd=fd, pass_fds=(fd,), how=how), "descriptor %d" % fd, what)
    for fd, what in (3, "not open"), (4, "not open"), (999, "not open"), (2147483647, "not open"), (0, "not a socket"), \
            (-1, "not a number"), ("", "not a number"), ("3x", "not a number"), (2147483648, "not a number"):
        for how in CAPS, SETUID:
            refused(host.call("--br=br0", fd=fd, how=how), what)
    assert host.taps() == []


def test_a_peer_that_is_gone_or_does_not_listen_gets_nothing(host):
    host.allow("allow br0")
    ours, theirs = socket.socketpair()
    with theirs:
        ours.close()
        refused(host.call("--br=br0", fd=theirs.fileno(), pass_fds=(theirs.fileno(),)))
    ours, theirs = socket.socketpair()
    with ours, theirs:
        fill(theirs)
        theirs.setblocking(False)
        refused(host.call("--br=br0", fd=theirs.fileno(), pass_fds=(theirs.fileno(),)), "send it to the caller")
    wait_until(lambda: host.taps() == [])


def fill(sock):
    """Until a message would have to wait."""
    sock.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while True:
            sock.send(bytes(4096))
    with contextlib.suppress(BlockingIOError):
        while True:
            sock.send(b"\0")
    sock.setblocking(True)


@pytest.mark.parametrize("how", PRIVILEGED)
def test_no_other_descriptor_is_kept(host, how):
    host.allow("allow br0")
    extra = [os.open("/dev/null", os.O_RDONLY) for _ in range(20)]
    high = fcntl.fcntl(extra[0], fcntl.F_DUPFD_CLOEXEC, 500)
    try:
        with held(host, how=how, pass_fds=(*extra, high)) as (_, pid):
            fds = {os.readlink("/proc/%d/fd/%s" % (pid, fd)).split(":")[0]
                   for fd in os.listdir("/proc/%d/fd" % pid) if int(fd) > 2}
            assert fds == {"socket"}
            assert len(os.listdir("/proc/%d/fd" % pid)) == (4 if how == CAPS else 5)
    finally:
        for fd in (*extra, high):
            os.close(fd)


@pytest.mark.parametrize("how", [CAPS, SETUID])
def test_closed_standard_descriptors_do_no_harm(host, how):
    host.allow("allow br0")
    for close in "<&-", ">&-", "2>&-", "<&- >&- 2>&-":
        with host.call("--br=br0", "--queues=2", how=how, wrap=["sh", "-c", 'exec "$@" ' + close, "sh"]) as call:
            assert call.status == 0 and len(call.fds) == 2
        call = host.call("--br=none", how=how, wrap=["sh", "-c", 'exec "$@" ' + close, "sh"])
        assert call.status == 1 and call.fds == []
    # the C library does it for privileged programs; root's call is none
    with held(host, how=PLAIN, uid=0, wrap=["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh"]) as (_, pid):
        assert [os.readlink("/proc/%d/fd/%d" % (pid, fd)) for fd in range(3)] == ["/dev/null"] * 3


@pytest.mark.parametrize("how", PRIVILEGED)
def test_it_speaks_with_the_callers_identity(host, how):
    host.allow("allow br0")
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with ours, theirs:
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        # held, so that it is not over before its credentials are looked at
        assert host.call("--br=br0", how=how, fd=theirs.fileno(), pass_fds=(theirs.fileno(),)).status == 0
        _, ancillary, _, _ = ours.recvmsg(16, 4096)
        for _, kind, data in ancillary:
            if kind == socket.SCM_RIGHTS:
                os.close(struct.unpack("i", data)[0])
        credentials, = [data for _, kind, data in ancillary if kind == 2]  # SCM_CREDENTIALS
        assert struct.unpack("iII", credentials)[1:] == (ALICE, ALICE)


# ------------------------------------------------------------------------------------- end


@contextlib.contextmanager
def sending(host, *args, how=CAPS):
    """The helper while it waits for room to send the TAP, which is on the bridge by then."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        fill(theirs)
        proc = host.start("--br=br0", *args, "--fd=%d" % theirs.fileno(), pass_fds=(theirs.fileno(),), how=how)
        try:
            wait_until(lambda: host.ports() or proc.poll() is not None)
            assert proc.poll() is None, proc.stderr.read()
            yield proc
        finally:
            end(proc)


@pytest.mark.parametrize("how", [CAPS, SETUID])
@pytest.mark.parametrize("sig", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGXCPU, signal.SIGPIPE])
def test_a_killed_helper_leaves_no_tap(host, sig, how):
    host.allow("allow br0", "allow-vhost br0")
    with sending(host, "--queues=3", *(["--vhost"] if how == SETUID else []), how=how) as proc:
        proc.send_signal(sig)
        assert proc.wait(10) == -sig
        wait_until(lambda: host.taps() == [])


@pytest.mark.parametrize("how", [CAPS, SETUID])
@pytest.mark.parametrize("limit", ["nofile", "fsize", "nproc", "memlock", "core"])
def test_limits_leave_no_tap(host, limit, how):
    host.allow("allow br0", "allow-ifname br0 *")
    for value in [0] if limit != "nofile" else range(3, 16):
        with host.call("--br=br0", "--queues=4", "--ifname=vm0", how=how,
                       wrap=["prlimit", "--%s=%d" % (limit, value)]) as call:
            assert (call.status, len(call.fds)) in ((0, 4), (1, 0), (127, 0)), call.err
            assert bool(host.taps()) == (call.status == 0)
        wait_until(lambda: host.taps() == [])
    if limit == "nofile":
        assert call.status == 0


def test_the_tap_goes_with_its_last_descriptor(host):
    host.allow("allow br0")
    with host.call("--br=br0", "--queues=2") as call:
        os.close(call.fds.pop())
        assert host.ports() != []
    wait_until(lambda: host.taps() == [])


def test_what_it_says_is_one_printable_line(host):
    host.allow("allow br0")
    for evil in "br\n0", "\x1b]0;x\x07", "%s%n", "br\u202e0", "\x7f", "x" * 50000:
        call = host.call("--br=" + evil, how=SETUID)
        refused(call, "--br=")
        assert all(" " <= c <= "~" for c in call.err[:-1]) and len(call.err) < 1300
    refused(host.call("--br=br0", "x" * 50000), "is no option")


# ------------------------------------------------------------------------- what it is not


def test_who_holds_a_tap_may_do_to_it_what_the_kernel_allows(host):
    """Documented, not prevented: a line of the list binds the helper, not the holder of a TAP."""
    host.allow("allow br0")
    with host.call("--br=br0") as call:
        name, fd = call.ifname(), call.fds[0]
        fcntl.ioctl(fd, 0x8924, struct.pack("16sH6s16x", b"", 1, bytes.fromhex("020000000042")))  # SIOCSIFHWADDR
        assert host.links()[name]["address"] == "02:00:00:00:00:42"
        fcntl.ioctl(fd, tuntap.TUNSETPERSIST, 1)
    assert host.ports() == [name]
    host.run(["ip", "link", "del", name])


def test_every_line_of_the_document_has_its_test():
    with open(os.path.join(vmtap.TOP, "docs", "security.md")) as f:
        text = f.read()
    named = set(re.findall(r"`(test_\w+)`", text))
    here = {name for name in globals() if name.startswith("test_")}
    assert named == here - {"test_every_line_of_the_document_has_its_test"}
