# SPDX-License-Identifier: MIT
"""Fixtures of the tests of the kernel's vhost-net: those of the network suite, and the kernel.

They run where there is vhost-net, which scripts/test-in-guest.sh sees to. `make test` calls it for most of them, and
`make test-in-guest` for all: scripts/test.sh says which are left out, since the guest is slow."""

import contextlib
import fcntl
import importlib.util
import os
import subprocess
import sys

import pytest

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
for where in "lib", "net":
    sys.path.insert(0, os.path.join(TOP, "tests", where))

spec = importlib.util.spec_from_file_location(
    "net_conftest", os.path.join(TOP, "tests", "net", "conftest.py"))
net = importlib.util.module_from_spec(spec)
spec.loader.exec_module(net)
nothing_left, ns, folder, public_program = net.nothing_left, net.ns, net.folder, net.public_program


@contextlib.contextmanager
def module_held(how):
    """Tests run side by side, and some of them unload the module: alone (LOCK_EX), and nobody else then. Whoever
    waits for that holds up who comes after him, or the others would never be all through."""
    with open("/run/vmtap-vhost-net.lock", "w") as f:
        with open("/run/vmtap-vhost-net.next", "w") as turn:
            fcntl.flock(turn, fcntl.LOCK_EX)
            fcntl.flock(f, how)
        yield


@pytest.fixture(scope="session", autouse=True)
def vhost_net():
    """The device; without it nothing here means anything."""
    with module_held(fcntl.LOCK_EX):
        if not os.path.exists("/dev/vhost-net"):
            subprocess.run(["modprobe", "vhost_net"], stderr=subprocess.DEVNULL, check=False)
        if not os.path.exists("/dev/vhost-net"):
            pytest.skip("this kernel has no vhost-net; scripts/test-in-guest.sh tests/vhost has one that does")


@pytest.fixture(autouse=True)
def module_stays(request):
    alone = getattr(request.module, "UNLOADS", False)
    with module_held(fcntl.LOCK_EX if alone else fcntl.LOCK_SH):
        yield


def gone(item):
    """Rows that are about rings which the kernel does not have, or about who in vmtap moves the frames; but those
    of one thread stay where a session begins and ends."""
    name, of = item.name, item.path.name
    if of == "test_vhost_load.py" and ("polling" in name or ("plain" in name and "killed" not in name)):
        return True
    return of in ("test_vhost_front.py", "test_vhost_load.py") and ("packed" in name or "in-order" in name)


def pytest_collection_modifyitems(config, items):
    config.hook.pytest_deselected(items=[item for item in items if gone(item)])
    items[:] = [item for item in items if not gone(item)]
