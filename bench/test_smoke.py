# SPDX-License-Identifier: MIT
"""Does every bench still run, and do table, JSON and picture come out whole? No figure is judged here:
the runs are far too short for that.

Run with: /usr/bin/python3 -m pytest bench/test_smoke.py
"""
import json
import os
import re
import subprocess
import sys
import xml.etree.ElementTree

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
BUILD = os.environ.get("VMTAP_BUILD", os.path.join(HERE, "..", "build"))
PYTHON = "/usr/bin/python3"

sys.path.insert(0, HERE)
import benches  # noqa: E402 pylint: disable=wrong-import-position
import summary  # noqa: E402 pylint: disable=wrong-import-position
from report import METRICS  # noqa: E402 pylint: disable=wrong-import-position

pytestmark = pytest.mark.skipif(not os.access("/dev/net/tun", os.R_OK | os.W_OK),
                                reason="/dev/net/tun is not there, or not for us")


class Outcome:
    def __init__(self, done, folder):
        self.text = done.stdout.decode() + done.stderr.decode()
        assert done.returncode == 0, self.text
        self.data = json.loads((folder / "b.json").read_text())
        self.picture = xml.etree.ElementTree.fromstring((folder / "b.svg").read_text())
        self.table = done.stdout.decode()

    def peers(self):
        return {m["peer"] for m in self.data["medians"]}

    def tests(self):
        return {m["test"] for m in self.data["medians"]}

    def check(self, bench):
        """What every bench has to have."""
        assert {m["bench"] for m in self.data["medians"]} == {bench}, self.text
        assert self.data["runs"] and self.data["machine"]["cores"] >= 1
        for m in self.data["medians"]:
            assert m["values"], m
            assert METRICS[m["metric"]][0] in self.table, m
            assert re.search(rf"\b{re.escape(m['peer'])}\b", self.table), m
        words = "".join(self.picture.itertext())
        assert all(peer in words for peer in self.peers())
        tables = "\n".join(summary.summary(self.data))
        assert all(f"| {test}, " in tables for test in self.tests())
        assert not [n for n in self.data["noticed"] if "FAILED" in n]


@pytest.fixture(scope="session", autouse=True)
def built():
    subprocess.run(["ninja", "-C", BUILD, "vmtap", "bench-programs"], check=True,
                   stdout=subprocess.DEVNULL)


@pytest.fixture
def run(tmp_path):
    def run(*args, reps=1):
        argv = [PYTHON, "-B", f"{HERE}/bench.py", *args, "--reps", str(reps), "--secs", "0.1",
                "--build", BUILD, "--json", str(tmp_path / "b.json"),
                "--svg", str(tmp_path / "b.svg")]
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, timeout=120, check=False)
        return Outcome(done, tmp_path)
    return run


def test_limit(run):
    out = run("limit", "--tests", "write:64", "read:64", f"write:{benches.GSO_SIZE}",
              f"read:{benches.GSO_SIZE}", reps=2)
    out.check("limit")
    assert {len(m["values"]) for m in out.data["medians"]} == {2}
    assert out.peers() == {"raw", "raw-uring", "raw-cold"}


def test_relay(run):
    out = run("relay", "--tests", "up:64", "down:64", "both:64", "ping:64", "idle:0.1")
    out.check("relay")
    assert out.peers() == {"qemu", "vde", "bare", "vmtap"}
    assert "vmtap" in {v["peer"] for v in out.data["required"]}


def test_share_and_loss(run):
    run("share", "--peers", "vmtap").check("share")
    run("loss", "--peers", "vmtap", "--loss-frames", "2000").check("loss")


def test_vhost(run):
    out = run("vhost", "--peers", "raw", "raw-uring", "dpdk", "vmtap",
              "--tests", "idle:0.1", "guest-tap:64", "tap-guest:64", "both:64", "echo:64")
    out.check("vhost")
    assert out.peers() == {"raw", "raw-uring", "dpdk", "vmtap"}


def test_bulk(run):
    sizes = (64, 1500, benches.GSO_SIZE)
    out = run("bulk", "--tests", *(f"{way}:{size}" for size in sizes
                                   for way in ("guest-tap", "tap-guest")))
    out.check("bulk")
    assert out.peers() == {"raw", "raw-uring", "raw-cold", "vmtap", "vmtap-poll"}
    # Nothing may be lost or damaged, however short it was.
    assert not [n for n in out.data["noticed"] if "lost" in n or "damaged" in n]


def test_growth(run):
    out = run("growth", "--links", "1", "3", "--tests", "idle:0.1", "one:64", "spread:64")
    out.check("growth")
    assert {m["mode"] for m in out.data["medians"]} == {"vhost-user", "vhost-user, 2 queue pairs",
                                                        "stream"}
    assert {"add:3", "used:3", "idle:3", "one:3", "spread:3"} <= out.tests()


def test_control(run):
    out = run("control", "--peers", "vmtap", "--ports", "6", "--tests", "idle:0.1", "query-stats", "query-queues",
              "query-ports")
    out.check("control")
    assert {m["mode"] for m in out.data["medians"]} == {"vhost-user", "stream"}
    assert {f"{command}:6" for command in benches.COMMANDS} | {"idle:6"} == out.tests()
    judged = {(v["test"], v["metric"]) for v in out.data["required"]}
    assert {("add-tap:6", "cmd_p50"), ("query-stats:6", "cmd_p50"), ("idle:6", "kib_per_port")} <= judged


def test_throttle(run):
    out = run("throttle")
    out.check("throttle")
    assert out.tests() == set(benches.TESTS["throttle"])
    changed = next(r for r in out.data["runs"] if r["test"] == "change-1G-10M")
    assert changed["mbps"] < 1000, "the first limit is still in force"


def test_switch(run):
    out = run("switch", "--peers", "vmtap")
    out.check("switch")
    assert out.peers() == {"vmtap-link", "vmtap"}
    assert out.tests() == set(benches.TESTS["switch"])
    assert not [n for n in out.data["noticed"] if "damaged" in n]


def test_capture(run):
    out = run("capture", "--peers", "vmtap", "--tests", "guest-tap:64", "tap-guest:1500")
    out.check("capture")
    assert out.peers() == {"vmtap-link", "vmtap"}
    captured = next(m for m in out.data["medians"] if m["metric"] == "captured")
    assert captured["peer"] == "vmtap" and captured["values"][0] > 0


def test_guest(run):
    vmtap = os.path.join(BUILD, "vmtap")
    out = run("guest", "--peers", f"vu={vmtap} connect tap,ifname={{tap}},script=no,downscript=no "
              "vhost-user,server=on,path={sock}")  # and not over a stream as well: it takes a boot
    assert out.peers() == {"vu"}
    assert out.tests() == set(benches.TESTS["guest"])


def test_says_what_is_left_out(run, monkeypatch):
    monkeypatch.setenv("QEMU", "there-is-no-such-qemu")
    out = run("relay", "--modes", "stream", "--tests", "up:64")
    assert "qemu left out: there-is-no-such-qemu is not installed" in out.text
    assert out.peers() == {"bare", "vmtap"}


def test_a_vmtap_with_options_takes_part(run):
    out = run("relay", "--modes", "stream", "--tests", "up:64",
              "--peers", "vmtap", "plain=vmtap --engine plain")
    assert out.peers() == {"vmtap", "plain"}
