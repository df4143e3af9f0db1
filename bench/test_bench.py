# SPDX-License-Identifier: MIT
"""Does the benchmark see what it is there to see?

Run with: /usr/bin/python3 -m pytest bench
BUILD names the build folder (default build); its bench-programs must be built.
"""
import json
import os
import signal
import subprocess
import sys

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
BUILD = os.environ.get("BUILD", os.path.join(HERE, "..", "build"))
LOAD = os.environ.get("BENCH_LOAD", os.path.join(BUILD, "bench/load"))
PYTHON = "/usr/bin/python3"

pytestmark = [
    pytest.mark.skipif(not os.access(LOAD, os.X_OK), reason="bench-programs is not built"),
    pytest.mark.skipif(not os.access("/dev/net/tun", os.R_OK | os.W_OK),
                       reason="/dev/net/tun is not there, or not for us"),
]


def command(flaw):
    return f"{flaw}={PYTHON} -B {HERE}/flawed.py {{tap}} {{sock}} {{peer}} {flaw}"


def start(args, **more):
    return subprocess.Popen([PYTHON, "-B", f"{HERE}/bench.py", *args, "--load", LOAD],
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, **more)


def bench(tmp_path, bench_name, flaw, *args):
    """(exit status, what the JSON file says)"""
    file = tmp_path / "bench.json"
    run = start([bench_name, "--peers", command(flaw), "--reps", "1", "--secs", "0.2",
                 "--loss-frames", "20000", "--loss-secs", "30", "--json", str(file), *args])
    out, err = run.communicate(timeout=100)
    print(out.decode(), err.decode())
    return run.returncode, json.loads(file.read_text())


def missed(data):
    return {f"{r['test']} {r['metric']}" for r in data["required"] if not r["met"]}


@pytest.fixture
def nothing_left():
    """No process, interface or temporary file may outlive the test."""
    def state():
        mounts = set(os.listdir("/dev/shm")) if os.path.isdir("/dev/shm") else set()
        return mounts, set(os.listdir("/sys/class/net")), relays()

    def relays():
        found = set()
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/cmdline", "rb") as f:
                    if f"{HERE}/flawed.py".encode() in f.read():
                        found.add(pid)
            except OSError:
                pass
        return found

    before = state()
    yield
    assert state() == before


def test_finds_nothing_wrong_with_an_honest_relay(tmp_path, nothing_left):
    status, data = bench(tmp_path, "loss", "none", "--strict")
    assert missed(data) == set()
    assert status == 0
    (run,) = data["runs"]
    assert run["down_received"] + run["tap_dropped"] == run["down_sent"] == 20000
    assert run["up_seen"] == run["up_sent"] == 20000
    assert run["tap_dropped"] > 0, "the pauses were to make the kernel drop"
    assert run["stalls"] == 5


@pytest.mark.parametrize("flaw,what", [
    ("lose-up", "loss up_lost"),
    ("lose-down", "loss down_lost"),
    ("swap-up", "loss up_late"),
    ("swap-down", "loss down_late"),
    ("double-up", "loss up_late"),
    ("double-down", "loss down_late"),
    ("forget-down", "loss down_lost"),
    ("block-down", "loss stall_up"),
])
def test_finds_what_a_relay_does_to_frames(tmp_path, flaw, what):
    status, data = bench(tmp_path, "loss", flaw, "--strict")
    assert what in missed(data)
    assert status == 1


@pytest.mark.parametrize("way", ["up", "down"])
def test_finds_damaged_frames(tmp_path, way):
    _, data = bench(tmp_path, "loss", f"cut-{way}")
    (run,) = data["runs"]
    assert run[f"{way}_foreign"] > 0
    assert any("damaged" in n for n in data["noticed"])


def test_does_not_pass_when_too_few_frames_were_sent(tmp_path):
    status, data = bench(tmp_path, "loss", "none", "--strict", "--loss-frames", "1e8",
                         "--loss-secs", "1")
    assert {"loss up_sent", "loss down_sent"} <= missed(data)
    assert status == 1


def test_finds_wake_ups_of_an_idle_relay(tmp_path):
    _, data = bench(tmp_path, "relay", "tick", "--tests", "idle:0.5")
    assert "idle wakeups" in missed(data)


def test_finds_no_wake_ups_of_an_idle_relay_that_sleeps(tmp_path):
    _, data = bench(tmp_path, "relay", "none", "--tests", "idle:0.5")
    assert "idle wakeups" not in missed(data)


def test_finds_that_one_direction_starves_the_other(tmp_path):
    _, data = bench(tmp_path, "share", "starve-down")
    assert "trickle-down:64 delivered" in missed(data)


def test_missed_figures_do_not_count_unless_strict(tmp_path):
    status, data = bench(tmp_path, "loss", "lose-up")
    assert missed(data)
    assert status == 0


def test_says_when_a_back_end_dies(tmp_path, nothing_left):
    status, data = bench(tmp_path, "loss", "die")
    assert status == 3
    assert any("ended by itself (7)" in n for n in data["noticed"])


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT])
def test_leaves_nothing_when_told_to_stop(nothing_left, sign):
    run = start(["loss", "--peers", command("none")], start_new_session=True)
    os.set_blocking(run.stderr.fileno(), True)
    seen = b""
    while b"repetition 1" not in seen:
        chunk = os.read(run.stderr.fileno(), 4096)
        assert chunk, f"it ended before it measured: {seen.decode()}"
        seen += chunk
    os.killpg(run.pid, sign)
    run.communicate(timeout=30)
    assert run.returncode == 124


def test_leaves_nothing_when_killed(nothing_left):
    run = start(["loss", "--peers", command("none")])
    seen = b""
    while b"repetition 1" not in seen:
        seen += os.read(run.stderr.fileno(), 4096)
    # The pipes close when the last process inside has gone.
    run.kill()
    run.communicate(timeout=30)


def test_ends_when_the_time_is_up(nothing_left):
    run = start(["loss", "--peers", command("none"), "--timeout", "2"])
    run.communicate(timeout=30)
    assert run.returncode == 124


@pytest.mark.parametrize("args", [["rely"], ["--reps", "0"], ["--peers", "nonsense"],
                                  ["--peers", "qemu", "qemu"], ["--peers", "/nowhere/vmtap"],
                                  ["--json", "/nowhere/x"]])
def test_refuses_wrong_usage(args):
    run = start(args)
    _, err = run.communicate(timeout=30)
    assert run.returncode == 2
    assert err


def test_compares_repetition_by_repetition():
    sys.path.insert(0, HERE)
    from report import Requirement, Results, Sample, judge, table

    r = Results()
    for rep, (a, b) in enumerate([(100, 150), (10, 30), (200, 380)]):
        r.add(Sample("relay", "stream", "up:64", "pps", "qemu", rep, a))
        r.add(Sample("relay", "stream", "up:64", "pps", "vmtap", rep, b))
    key = ("relay", "stream", "up:64", "pps")
    assert r.median(key, "qemu") == 100
    assert r.ratio(key, "vmtap", "qemu") == (1.5, 1.5, 3.0)
    asked = [Requirement("relay", "stream", "up:64", "pps", ">=", limit, "qemu")
             for limit in (1.5, 1.6)]
    assert [v.met for v in judge(r, asked, {"vmtap": False})] == [True, False]
    text = table(r, judge(r, asked[1:], {"vmtap": False}), set())
    assert "1.50 [1.50 .. 3.00]" in text
    assert ">= 1.6 x qemu  MISSED (1.5)" in text
