# SPDX-License-Identifier: MIT
"""vmtap serve under a service manager: sockets that it passes, its watchdog, its store of descriptors."""

import os
import signal
import socket

import pytest

from ctl import Client
from manager import Manager, Service, listener

PORTS = """
[port vm0]
type = tap
ifname = vm0
up = on
script = no
downscript = no

[port guest]
type = responder
ip = 10.0.0.2

[link one]
ports = vm0 guest
"""


@pytest.fixture
def manager(folder):
    with Manager(folder) as made:
        yield made


@pytest.fixture
def path(folder):
    return os.path.join(folder, "control.sock")


@pytest.fixture
def control(path):
    with listener(path) as made:
        yield made


@pytest.fixture
def conf(folder):
    made = os.path.join(folder, "vmtap.conf")
    write(made, PORTS)
    return made


def write(path, text):
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)


# --------------------------------------------------------------------- socket activation


@pytest.mark.parametrize("name", ["control", "vmtap.socket"])
def test_the_passed_socket_is_the_control_socket(ns, folder, manager, control, path, name):
    with Service(ns, manager, folder, passed=[(name, control.fileno())]), Client(path) as ctl:
        ctl.run("port_add", type="null", id="a")
        assert [row["id"] for row in ctl.run("query-ports")] == ["a"]
    assert os.path.exists(path)  # it is the manager's


def test_a_client_that_comes_before_the_server_is_served(ns, folder, manager, control, path):
    with Service(ns, manager, folder, passed=[("control", control.fileno())]):
        pass
    with socket.socket(socket.AF_UNIX) as early:  # nobody runs
        early.settimeout(20)
        early.connect(path)
        with Service(ns, manager, folder, passed=[("control", control.fileno())]):
            assert early.recv(1000).startswith(b'{"QMP"')


def test_the_named_one_is_taken_of_several(ns, folder, manager, control, path):
    with listener(path + ".2") as other:
        passed = [("other", other.fileno()), ("control", control.fileno())]
        with Service(ns, manager, folder, passed=passed) as service, Client(path):
            assert "other" in service.output()


def test_scripts_do_not_inherit_any_of_it(ns, folder, manager, control, path):
    seen = os.path.join(folder, "seen")
    script = os.path.join(folder, "script")
    write(script, "#!/bin/sh\n(env; ls -l /proc/self/fd) > %s\n" % seen)
    os.chmod(script, 0o755)
    with Service(ns, manager, folder, passed=[("control", control.fileno())],
                 env={"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": "self"}), Client(path) as ctl:
        ctl.run("port_add", type="tap", id="vm0", ifname="vm0", script=script, downscript="no")
    with open(seen, encoding="utf-8") as f:
        text = f.read()
    assert "LISTEN_" not in text and "WATCHDOG_" not in text and "socket:" not in text, text


@pytest.mark.parametrize("env, says", [
    ({"LISTEN_FDS": "0"}, "LISTEN_FDS"),
    ({"LISTEN_FDS": "-1"}, "LISTEN_FDS"),
    ({"LISTEN_FDS": "1x"}, "LISTEN_FDS"),
    ({"LISTEN_FDS": "99999999999999999999"}, "LISTEN_FDS"),
    ({"LISTEN_FDS": "2", "LISTEN_FDNAMES": "control:b"}, "not open"),
    ({"LISTEN_PID": "me"}, "LISTEN_PID"),
    ({"LISTEN_FDNAMES": "control:more"}, "LISTEN_FDNAMES"),
    ({"LISTEN_FDNAMES": "x" * 300}, "LISTEN_FDNAMES"),
])
def test_wrong_variables_are_refused(ns, folder, manager, control, env, says):
    with Service(ns, manager, folder, passed=[("control", control.fileno())], env=env, ready=False) as service:
        assert service.proc.wait(10) == 2
    assert says in service.output()


def test_what_is_for_another_process_is_ignored(ns, folder, manager, control, path):
    other = path + ".own"
    with Service(ns, manager, folder, "--control", other, passed=[("control", control.fileno())],
                 env={"LISTEN_PID": "1"}), Client(other) as ctl:
        assert ctl.run("query-ports") == []


def test_sockets_that_do_not_do_are_refused(ns, folder, manager, path):
    read, write_end = os.pipe()
    with listener(path, listens=False) as mute, listener(path + ".d", socket.SOCK_DGRAM, False) as dgram, \
            listener(path + ".1") as one, listener(path + ".2") as two, socket.create_server(("127.0.0.1", 0)) as tcp:
        for passed, says in (([("control", mute)], "listens"), ([("control", dgram)], "listens"),
                             ([("control", tcp)], "listens"), ([("control", read)], "listens"),
                             ([("a", one), ("b", two)], "several"),
                             ([("control", one), ("control", two)], "several")):
            fds = [(name, it if isinstance(it, int) else it.fileno()) for name, it in passed]
            with Service(ns, manager, folder, passed=fds, ready=False) as service:
                assert service.proc.wait(10) == 2
            assert says in service.output()
            os.unlink(service.log)
    os.close(read)
    os.close(write_end)


# ------------------------------------------------------------------- watchdog and status


def test_the_watchdog_is_fed(ns, folder, manager, path):
    with Service(ns, manager, folder, "--control", path, env={"WATCHDOG_USEC": "200000", "WATCHDOG_PID": "self"}):
        manager.wait("WATCHDOG=1", times=3)


@pytest.mark.parametrize("env", [{"WATCHDOG_USEC": "2000", "WATCHDOG_PID": "1"}, {"WATCHDOG_USEC": "0"},
                                 {"WATCHDOG_USEC": "-5"}, {"WATCHDOG_USEC": "2000us"}])
def test_a_watchdog_that_is_not_ours_is_not_fed(ns, folder, manager, path, env):
    with Service(ns, manager, folder, "--control", path, env=env), Client(path) as ctl:
        for i in range(20):  # each a turn of the loop
            ctl.run("port_add", type="null", id="p%d" % i)
        manager.wait("STATUS=20 ports")
        assert "WATCHDOG=1" not in manager.said


def test_the_status_follows_the_ports(ns, folder, manager, path):
    with Service(ns, manager, folder, "--control", path), Client(path) as ctl:
        manager.wait("STATUS=0 ports")
        ctl.run("port_add", type="tap", id="vm0", ifname="vm0", script="no", downscript="no")
        manager.wait("STATUS=1 port")
        ctl.run("port_add", type="null", id="a")
        ctl.run("connect", id="vm0", peer="a")
        ns.run("ip link del vm0")
        manager.wait("STATUS=2 ports, 1 of them broken")
        manager.forget()
        ctl.run("port_del", id="vm0")
        assert manager.wait("STATUS=1 port") == "STATUS=1 port"


def test_a_reload_is_told(ns, folder, manager, path, conf):
    with Service(ns, manager, folder, "-c", conf, "--control", path) as service:
        manager.forget()
        service.proc.send_signal(signal.SIGHUP)
        manager.wait("MONOTONIC_USEC=")
        manager.wait("READY=1")
        assert manager.said.index("RELOADING=1") < manager.said.index("READY=1")
