# SPDX-License-Identifier: MIT
"""vmtap serve whose TAP the kernel carries: what has to see frames is refused while it does.

    front end ── rings, eventfds ── the kernel's vhost-net ── TAP v0 (packet socket)
          └───────── unix socket ── vmtap serve
"""

import pytest

from ctl import Refused, Serve
from netns import wait_until
from tuntap import GUEST, HOST, Packets, frame
from vu import EVENT_IDX, MODERN, MRG, Front

CARRIES = "the kernel carries the frames of queue pair"
COMMANDS = [("capture_start", {"filename": "/dev/null"}), ("throttle_set", {"rate": 1000000}),
            ("filter_set", {"mac": "02:00:00:00:00:02"}), ("filter_set", {"ip": "192.0.2.1"})]


@pytest.mark.parametrize("command, arguments", COMMANDS, ids=["capture", "limit", "mac-filter", "ip-filter"])
def test_what_has_to_see_frames_is_refused(ns, folder, command, arguments):
    """At either port, and nothing changes; once they are parted it is granted, and then they are not joined."""
    ns.sysctl("net.ipv6.conf.default.disable_ipv6", 1)
    key = "port" if command == "capture_start" else "id"
    with Serve(ns, folder, timeout=30) as server, server.client() as ctl:
        ctl.run("port_add", type="tap", id="t", ifname="v0", script="no", downscript="no", up=True, vhost=True)
        ctl.run("port_add", type="vhost-user", id="vm", path=folder + "/s", server=True)
        ctl.run("connect", id="t", peer="vm")
        with Front(ns, want=MODERN | MRG | EVENT_IDX) as vm, Packets(ns, "v0") as kernel:
            vm.up(folder + "/s")
            vm.send(frame(0, dst=HOST, src=GUEST))
            assert kernel.receive() == frame(0, dst=HOST, src=GUEST)
            wait_until(lambda: CARRIES in server.output())
            for name in "t", "vm":
                with pytest.raises(Refused, match="vhost=on: the kernel carries the frames"):
                    ctl.run(command, **{key: name}, **arguments)
            assert ctl.run("query-captures") == []
            vm.send(frame(1, dst=HOST, src=GUEST))
            assert kernel.receive() == frame(1, dst=HOST, src=GUEST)
            ctl.run("disconnect", id="vm")
            ctl.run(command, **{key: "vm"}, **arguments)
            with pytest.raises(Refused, match="vhost=on: the kernel carries the frames"):
                ctl.run("connect", id="t", peer="vm")
