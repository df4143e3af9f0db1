# SPDX-License-Identifier: MIT
"""Fixtures of the tests of the kernel's vhost-net: those of the network suite, and the kernel.

They run where there is vhost-net, which scripts/test-in-guest.sh sees to: `make test` does."""

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


@pytest.fixture(scope="session", autouse=True)
def vhost_net():
    """The device; without it nothing here means anything."""
    if not os.path.exists("/dev/vhost-net"):
        subprocess.run(["modprobe", "vhost_net"], stderr=subprocess.DEVNULL, check=False)
    if not os.path.exists("/dev/vhost-net"):
        pytest.skip("this kernel has no vhost-net; scripts/test-in-guest.sh tests/vhost has one that does")


def pytest_collection_modifyitems(config, items):
    """Rows that are about rings which the kernel does not have."""
    gone = [item for item in items if item.path.name == "test_vhost_front.py"
            and ("packed" in item.name or "in-order" in item.name)]
    config.hook.pytest_deselected(items=gone)
    items[:] = [item for item in items if item not in gone]
