# SPDX-License-Identifier: MIT
"""Running back ends and programs: started, found ready, pinned, stopped, charged for CPU time."""
import os
import subprocess
import time

from backend import TAP, BackendError

START_SECS = 15
STOP_SECS = 5


class ProgramError(Exception):
    """A program of the benchmark's own failed; the text is what it said."""


def pin_to(core):
    """For preexec_fn."""
    def pin():
        if core is not None:
            os.sched_setaffinity(0, {core})
    return pin


def lines_of(argv, core, limit):
    """Run it, pinned; yields its lines, also when it then fails."""
    try:
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, preexec_fn=pin_to(core), timeout=limit,
                              check=False)
        status, out, said = done.returncode, done.stdout, done.stderr
    except subprocess.TimeoutExpired as e:
        status, out, said = "none", e.stdout or b"", b"it took too long"
    yield from out.decode().splitlines()
    if status:
        raise ProgramError(f"{os.path.basename(argv[0])}: "
                           + said.decode(errors="replace").strip())


def ip(*args):
    done = subprocess.run(["ip", *args], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                          stderr=subprocess.PIPE, check=False)
    if done.returncode:
        raise BackendError(f"ip {' '.join(args)}: {done.stderr.decode().strip()}")


def tap_is_there():
    return os.path.exists(f"/sys/class/net/{TAP}")


def tap_counter(name):
    with open(f"/sys/class/net/{TAP}/statistics/{name}", encoding="ascii") as f:
        return int(f.read())


class Tap:
    """A persistent TAP that any back end can attach to, from `with` to its end."""

    def __enter__(self):
        ip("tuntap", "add", "dev", TAP, "mode", "tap", "vnet_hdr")
        ip("link", "set", TAP, "up")
        return self

    def __exit__(self, *error):
        tap_delete()


def tap_delete():
    """However it came about, if it is there."""
    subprocess.run(["ip", "link", "del", TAP], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                   check=False)


def tree(pid):
    """The process and all below it."""
    pids = [pid]
    try:
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/children", encoding="ascii") as f:
                for child in f.read().split():
                    pids += tree(int(child))
    except OSError:
        pass
    return pids


def cpu_secs(stat):
    """User and system time in a file such as /proc/PID/stat or /proc/PID/task/TID/stat."""
    with open(stat, encoding="ascii", errors="replace") as f:
        fields = f.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def cpu_of(pids):
    return sum(cpu_secs(f"/proc/{pid}/stat") for pid in pids)


class Process:
    """A process with a log, from `with` to its end. Its end by itself is an error."""
    stop_secs = STOP_SECS

    def __init__(self, name, argv, log, core=None):
        self.name, self.argv, self.log, self.core = name, argv, log, core
        self.process = None

    def start(self, **more):
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(self.argv, **{
                "stdin": subprocess.DEVNULL, "stdout": log, "stderr": log,
                "preexec_fn": pin_to(self.core), **more})

    def pids(self):
        return tree(self.process.pid)

    def died(self, secs):
        """Has it ended by itself? Gives it so long to finish ending."""
        try:
            self.process.wait(secs)
        except subprocess.TimeoutExpired:
            return False
        return True

    def said(self):
        """The end of what it wrote, for error messages."""
        try:
            with open(self.log, encoding="utf-8", errors="replace") as f:
                lines = f.read().splitlines()[-8:]
        except OSError:
            lines = []
        return "".join(f"\n    {line}" for line in lines)

    def until(self, true, what, secs=START_SECS):
        end = time.monotonic() + secs
        while not true():
            if self.process.poll() is not None:
                raise BackendError(f"{self.name} ended at once{self.said()}")
            if time.monotonic() > end:
                raise BackendError(f"{self.name} {what}{self.said()}")
            time.sleep(0.01)

    def stop(self):
        if not self.process or self.process.poll() is not None:
            return
        self.process.terminate()
        try:
            self.process.wait(self.stop_secs)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise BackendError(f"{self.name} did not end on SIGTERM within "
                               f"{self.stop_secs:.0f} s{self.said()}") from None

    def __enter__(self):
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, kind, error, trace):
        died = self.died(0)
        self.stop()
        if died and error is None:
            raise BackendError(f"{self.name} ended by itself ({self.process.returncode})"
                               f"{self.said()}")


class Backend(Process):
    """A back end that runs between TAP and sock, from `with` to its end."""

    def __init__(self, kind, mode, tmp, core):
        super().__init__(kind.name, [], os.path.join(tmp, "backend.log"), core)
        self.kind, self.mode = kind, mode
        self.sock = os.path.join(tmp, "sock")
        # vde_plug chooses this name itself; the others are told it.
        self.peer = self.sock + "+" if mode == "dgram" else None

    def words(self):
        words = {"tap": TAP, "sock": self.sock, "peer": self.peer or "", "core": self.core or 0}
        for word in self.kind.commands[self.mode]:
            for key, value in words.items():
                word = word.replace("{" + key + "}", str(value))
            yield word

    def start(self, **more):
        for path in (self.sock, self.sock + "+"):
            if os.path.lexists(path):
                os.unlink(path)
        if not self.kind.own_tap:
            Tap().__enter__()
        self.argv = list(self.words())
        super().start(**more)
        self.until(lambda: os.path.exists(self.sock), "made no socket")
        if self.kind.own_tap:
            self.until(tap_is_there, "made no TAP")
            ip("link", "set", TAP, "up")

    def stop(self):
        try:
            super().stop()
        finally:
            tap_delete()
