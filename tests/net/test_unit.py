# SPDX-License-Identifier: MIT
"""The sample unit for systemd: its command line works with no more rights than it gives."""

import os
import re
import shlex
import stat
from pathlib import Path

import sandbox
import vmtap

UNIT = Path(__file__).parents[2] / "systemd" / "vmtap@.service"

# As the unit has it: DynamicUser=yes, AmbientCapabilities= and CapabilityBoundingSet=.
USER = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--no-new-privs",
        "--inh-caps=-all,+net_admin", "--ambient-caps=-all,+net_admin", "--bounding-set=-all,+net_admin"]


def command(text, folder):
    """ExecStart= with the unit's own example of a configuration, in @folder."""
    ports = dict(re.findall(r"^#   (PORT_[AB])=(.*)$", text, re.M))
    assert len(ports) == 2
    words = shlex.split(re.search(r"^ExecStart=(.*)$", text, re.M).group(1))
    words = [re.sub(r"\$\{(\w+)\}", lambda m: ports[m.group(1)], word) for word in words]
    return [word.replace("/run/vmtap/vm0", folder) for word in words]


def test_unit_needs_one_capability_and_says_when_it_is_ready(ns, folder, public_program, monkeypatch):
    text = UNIT.read_text()
    assert "AmbientCapabilities=CAP_NET_ADMIN\nCapabilityBoundingSet=CAP_NET_ADMIN\n" in text
    program, *options, first, second = command(text, folder)
    assert (program, options[-1]) == ("vmtap", "connect")
    ns.run("ip link add br0 type bridge && ip link set br0 up")
    monkeypatch.setenv("VMTAP", public_program)
    # Ready is when it says so to $NOTIFY_SOCKET.
    service = vmtap.Vmtap(ns, [first, second], folder, args=options[:-1], wrap=[*sandbox.device(0o666), *USER])
    with service:
        assert ns.links()["vm0"]["master"] == "br0"
        mode = os.stat(os.path.join(folder, "sock")).st_mode
        assert stat.S_ISSOCK(mode) and stat.S_IMODE(mode) == 0o660
    assert service.status == 0, service.output()
    assert "vm0" not in ns.links()
    assert not os.path.exists(os.path.join(folder, "sock"))
