# SPDX-License-Identifier: MIT
"""The control socket as QMP clients that are not ours use it: Ganeti's, and socat."""

import importlib
import importlib.util
import json
import os
import subprocess
import sys
import types

import pytest

import tuntap
from ctl import Serve
from tuntap import IFF_MULTI_QUEUE, IFF_NO_PI, IFF_TAP

PACKAGE = "ganeti-3.0"
CACHE = os.environ.get("VMTAP_CACHE") or os.path.join(
    os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "vmtap")


@pytest.fixture
def server(ns, folder):
    with Serve(ns, folder) as made:
        yield made


def unpacked():
    """The package's files. It is fetched and never installed: it is a cluster's."""
    top = os.path.join(CACHE, "ganeti")
    if not os.path.exists(os.path.join(top, "usr")):
        os.makedirs(top, exist_ok=True)
        done = subprocess.run("apt-get -q download %s && dpkg-deb -x %s_*.deb ." % (PACKAGE, PACKAGE), shell=True, cwd=top,
                              text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=120, check=False)
        if done.returncode:
            pytest.skip("the package %s cannot be fetched: %s" % (PACKAGE, done.stdout[-300:]))
    return os.path.join(top, "usr/share/ganeti/3.0")


@pytest.fixture
def ganeti(monkeypatch):
    """Its client, class QmpConnection, as it is. What it uses of the rest of Ganeti stands in: JSON, names
    of constants, and sending descriptors."""
    def stand_in(name, **what):
        module = types.ModuleType(name)
        module.__dict__.update(what)
        monkeypatch.setitem(sys.modules, name, module)
        return module

    def send_fds(sock, data, fds):
        import socket  # pylint: disable=import-outside-toplevel
        socket.send_fds(sock, [data], fds)

    monkeypatch.syspath_prepend(unpacked())
    parts = {
        "bitarray": stand_in("bitarray", bitarray=None),
        "ganeti.utils": stand_in("ganeti.utils", ErrnoOrStr=str, SendFds=send_fds),
        "ganeti.constants": stand_in("ganeti.constants", __getattr__=lambda name: name),
        "ganeti.serializer": stand_in("ganeti.serializer", LoadJson=lambda text: json.loads(text),
                                      DumpJson=lambda data: json.dumps(data).encode()),
    }
    package = importlib.import_module("ganeti")
    for name, module in parts.items():
        if "." in name:
            monkeypatch.setattr(package, name.split(".")[1], module, raising=False)
    path = os.path.join(unpacked(), "ganeti/hypervisor/hv_kvm/monitor.py")
    spec = importlib.util.spec_from_file_location("ganeti_monitor", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_ganetis_client_adds_and_deletes_ports(ns, server, ganeti):
    with ganeti.QmpConnection(server.path) as qmp:
        assert qmp.version[0] >= 7 and qmp.package.startswith("vmtap")
        assert {"netdev_add", "netdev_del", "getfd", "set_link"} <= qmp.supported_commands
        qmp.Execute("netdev_add", {"type": "tap", "id": "n0", "ifname": "vm0", "script": "no", "downscript": "no"})
        qmp.Execute("netdev_add", {"type": "null", "id": "n1"})
        qmp.Execute("connect", {"id": "n0", "peer": "n1"})
        assert [row["id"] for row in qmp.Execute("query-ports")] == ["n0", "n1"]
        with pytest.raises(Exception, match="DeviceNotFound"):
            qmp.Execute("netdev_del", {"id": "nix"})
        qmp.Execute("netdev_del", {"id": "n0"})
        assert "vm0" not in ns.links()


def test_ganetis_client_hands_descriptors_over(ns, server, ganeti):
    """What its HotAddNic does: each descriptor in front of getfd, then netdev_add with fds=."""
    fds = [tuntap.open_tap(ns, "vm0", IFF_TAP | IFF_NO_PI | IFF_MULTI_QUEUE) for _ in range(2)]
    with ganeti.QmpConnection(server.path) as qmp:
        for i, fd in enumerate(fds):
            qmp._GetFd(fd, "nic-%d" % i)  # pylint: disable=protected-access
            os.close(fd)
        qmp.Execute("netdev_add", {"type": "tap", "id": "nic", "fds": "nic-0:nic-1"})
        assert qmp.Execute("query-ports")[0]["ifname"] == "vm0"
        assert "vm0" in ns.links()
        qmp.Execute("netdev_del", {"id": "nic"})
        assert "vm0" not in ns.links()


def test_a_script_of_socat(server):
    script = """{"execute": "qmp_capabilities"}
        {"execute": "netdev_add", "arguments": {"type": "null", "id": "a"}}
        { "execute": "set_link", "arguments": { "name": "a", "up": false } }
        { "execute": "query-ports", "id": "last" }"""
    done = subprocess.run(["socat", "-t", "20", "-", "UNIX-CONNECT:" + server.path], input=script, text=True,
                          capture_output=True, timeout=30, check=True)
    said = [json.loads(line) for line in done.stdout.splitlines()]
    answers = [m for m in said if "event" not in m]
    assert "QMP" in answers[0] and answers[1:4] == [{"return": {}}] * 3
    assert answers[4]["id"] == "last" and not answers[4]["return"][0]["link"]
