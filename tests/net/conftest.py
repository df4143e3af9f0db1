# SPDX-License-Identifier: MIT
"""Fixtures of the network suite, and the check that nothing is left behind."""

import os
import shutil
import sys
import tempfile
import uuid

import pytest

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(TOP, "tests", "lib"))

import leaks  # noqa: E402  (found through the line above)
import vmtap  # noqa: E402
from netns import Netns  # noqa: E402


@pytest.fixture(scope="session", autouse=True)
def nothing_left():
    """The whole run leaves no process, namespace or interface of its own."""
    mark = os.environ["VMTAP_TEST_RUN"] = uuid.uuid4().hex
    before = leaks.interfaces()
    yield
    left = leaks.processes(mark) + leaks.namespaces() + sorted(leaks.interfaces() - before)
    assert not left, "left behind: %s" % ", ".join(left)


@pytest.fixture
def ns():
    if os.geteuid():
        pytest.skip("making a network namespace takes root, or `unshare -rn`")
    with Netns() as made:
        yield made


@pytest.fixture
def folder():
    """A folder whose name is short enough for socket paths, and that everybody may use."""
    path = tempfile.mkdtemp(prefix="vmtap-")
    os.chmod(path, 0o777)
    yield path
    shutil.rmtree(path)


@pytest.fixture(scope="session")
def public_program(tmp_path_factory):
    """A copy of the program and its library where any user can reach them."""
    path = tempfile.mkdtemp(prefix="vmtap-")
    os.chmod(path, 0o755)
    for name in "vmtap", "libvmtap.so.0":
        shutil.copy(os.path.join(vmtap.build(), name), path)
    yield os.path.join(path, "vmtap")
    shutil.rmtree(path)
