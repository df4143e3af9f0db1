# SPDX-License-Identifier: MIT
"""The library with a real TAP: the claims of the cmocka programs tap-*.c of this folder, each in
a network namespace of its own."""

import os
import re
from pathlib import Path

import pytest

import vmtap

HERE = Path(__file__).parent
CLAIMS = [(path.stem, claim) for path in sorted(HERE.glob("tap-*.c"))
          for claim in re.findall(r"cmocka_unit_test\((\w+)\)", path.read_text())]


@pytest.mark.parametrize("program, claim", CLAIMS, ids=lambda v: v)
def test_claim(ns, program, claim):
    path = os.path.join(vmtap.build(), "tests", "net", program)
    done = ns.run([path, claim], check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "[       OK ] %s\n" % claim in done.stdout  # and not: no such claim
