# SPDX-License-Identifier: MIT
"""The folders' arrows, and the script that checks them."""

import subprocess
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "scripts" / "check-arrows.py"


def run(*args):
    return subprocess.run(["/usr/bin/python3", SCRIPT, *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True, timeout=60)


def test_folders_lean_downwards():
    done = run()
    assert (done.returncode, done.stderr) == (0, "")


def test_wrong_arrows_are_noticed():
    done = run("--self-test")
    assert (done.returncode, done.stderr) == (0, "")


def test_wrong_arrow_is_an_exit_status(tmp_path):
    for name, text in ("include/vmtap/vmtap.h", ""), ("src/base/a.c", '#include "net/port.h"\n'):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text(text)
    done = run(tmp_path)
    assert done.returncode == 1
    assert "src/base/a.c:1: includes net/port.h" in done.stderr
