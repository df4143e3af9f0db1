# SPDX-License-Identifier: MIT
"""Fixtures of the guest suite: the guest's image, short folders, and the check that
nothing is left behind."""

import os
import shutil
import subprocess
import sys
import tempfile
import uuid

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
for folder in os.path.join(TOP, "tests", "lib"), os.path.join(TOP, "scripts", "guest"):
    sys.path.insert(0, folder)

import leaks  # noqa: E402  (found through the line above)


@pytest.fixture(scope="session", autouse=True)
def nothing_left():
    """The whole run leaves no process, namespace, interface or file of its own."""
    mark = os.environ["VMTAP_TEST_RUN"] = uuid.uuid4().hex
    before = leaks.interfaces()
    yield
    left = leaks.processes(mark) + leaks.namespaces() + sorted(leaks.interfaces() - before)
    assert not left, "left behind: %s" % ", ".join(left)


@pytest.fixture(scope="session")
def image():
    """The folder with the guest's vmlinuz and initrd, which are made if need be."""
    script = os.path.join(TOP, "scripts", "guest-image.sh")
    subprocess.run([script], check=True, stdin=subprocess.DEVNULL)
    return subprocess.run([script, "--path"], check=True, stdout=subprocess.PIPE,
                          text=True).stdout.strip()


@pytest.fixture(scope="module")
def folder():
    """A folder whose name is short enough for socket paths."""
    path = tempfile.mkdtemp(prefix="vmtap-")
    yield path
    shutil.rmtree(path)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """A failed test shows the logs of every fixture that has some."""
    report = (yield).get_result()
    if report.failed:
        for value in getattr(item, "funcargs", {}).values():
            if hasattr(value, "logs"):
                report.sections += [(title, text) for title, text in value.logs() if text]
