# SPDX-License-Identifier: MIT
"""Events of the control socket: when they come, and to whom, when nothing else wakes the server."""

import os
import signal

import pytest

from ctl import Serve


@pytest.fixture
def server(ns, folder):
    with Serve(ns, folder) as made:
        yield made


@pytest.mark.parametrize("command, arguments, event", [
    ("set_link", {"name": "a", "up": False}, "LINK_CHANGED"),
    ("disconnect", {"id": "a"}, "PORT_DISCONNECTED"),
    ("switch_add", {"id": "lan"}, "SWITCH_ADDED"),
    ("port_del", {"id": "a"}, "PORT_DELETED"),
])
def test_who_connected_first_hears_at_once_what_others_do(server, command, arguments, event):
    with server.client(timeout=10) as first, server.client() as second:
        second.run("port_add", type="null", id="a")
        second.run("port_add", type="null", id="b")
        second.run("connect", id="a", peer="b")
        first.wait_event("PORT_CONNECTED")
        second.run(command, **arguments)
        first.wait_event(event)


def test_what_sighup_changes_is_told_at_once(ns, folder):
    path = os.path.join(folder, "vmtap.conf")
    with open(path, "w") as f:
        f.write("[port a]\ntype = null\n")
    with Serve(ns, folder, "-c", path) as server, server.client(timeout=10) as ctl:
        with open(path, "w"):
            pass
        server.proc.send_signal(signal.SIGHUP)
        ctl.wait_event("PORT_DELETED", id="a")
