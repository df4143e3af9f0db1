# SPDX-License-Identifier: MIT
"""The library as a VMM uses it with vhost-net: the claims of vhost-vmm.c, each in a network
namespace of its own."""

import os
import re
from pathlib import Path

import pytest

import vmtap

CLAIMS = re.findall(r"cmocka_unit_test\((\w+)\)", (Path(__file__).parent / "vhost-vmm.c").read_text())


@pytest.mark.parametrize("claim", CLAIMS)
def test_claim(ns, claim):
    done = ns.run([os.path.join(vmtap.build(), "tests", "vhost", "vhost-vmm"), claim], check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "[       OK ] %s\n" % claim in done.stdout  # and not: no such claim
