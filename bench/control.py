# SPDX-License-Identifier: MIT
"""Control: what the commands of vmtap serve take, and what it occupies, with many ports that exist."""
import json
import os
import socket
import statistics
import time

from backend import BackendError, before_connect
from growth import ADD_SECS, CLOSE_SECS, at_rest, status
from plan import Plan
from running import START_SECS, Process, cpu_of

TAPS = "c"  # c0, c1, ...
REPEATS = 50  # of each query


class Client:
    """A connection to the control socket; timed() keeps how long each command took, in ms."""

    def __init__(self, path):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(START_SECS)
        self.sock.connect(path)
        self.file = self.sock.makefile("rb")
        self.times = {}
        self.file.readline()
        self.timed("hello", "qmp_capabilities")

    def close(self):
        self.file.close()
        self.sock.close()

    def timed(self, name, command, **arguments):
        """What the command returns; name: what its time is kept as."""
        begin = time.perf_counter()
        self.sock.sendall(json.dumps({"execute": command, "arguments": arguments}).encode())
        while (line := self.file.readline()).startswith(b'{"event"'):
            pass
        self.times.setdefault(name, []).append((time.perf_counter() - begin) * 1e3)
        answer = json.loads(line or '"nothing: the connection was closed"')
        if "return" not in answer:
            raise BackendError(f"{command} {arguments} was answered {answer}")
        return answer["return"]

    def line(self, name, ports):
        times = self.times[name]
        return {"test": name, "ports": ports, "cmd_p50": statistics.median(times), "cmd_max": max(times)}


class Server(Process):
    """vmtap serve with nothing in it, and a client, from `with` to its end."""

    def __init__(self, env, kind, ports):
        self.path = os.path.join(env.tmp, "control")
        argv = [*before_connect(kind), "serve", "--control", self.path]
        super().__init__(kind.name, argv, os.path.join(env.tmp, "serve.log"), env.backend_core)
        self.client = None
        self.stop_secs += CLOSE_SECS * ports

    def answers(self):
        try:
            self.client = Client(self.path)
        except (FileNotFoundError, ConnectionRefusedError):
            return False
        return True

    def start(self, **more):
        super().start(**more)
        self.until(self.answers, "does not answer")

    def stop(self):
        if self.client:
            self.client.close()
        super().stop()


class ControlPlan(Plan):
    """Half of the ports are TAPs, the other half listen for guests; in pairs, one of each, they are joined."""

    def __init__(self, o, kind, port, rep, tests):
        super().__init__(o, "control", kind, port, rep, tests)
        self.port, self.links = port, o.ports // 2
        self.secs += 2 * ADD_SECS * o.ports

    def length(self, o, test):
        return super().length(o, test) if test.startswith("idle") else 1e-4 * o.ports * REPEATS

    def measure(self, env):
        with Server(env, self.kind, self.links) as server:
            try:
                yield from self.life(env, server)
            except OSError as e:
                raise BackendError(f"the control socket: {e}{server.said()}") from e

    def life(self, env, server):
        client, pid = server.client, server.process.pid
        empty_kib = status(pid, "VmRSS")
        self.add(env, client)
        for name in ("add-tap", "add-guest", "connect"):
            yield client.line(name, 2 * self.links)
        for test in self.tests:
            if test.startswith("idle"):
                yield self.idle(pid, float(test.split(":")[1]), empty_kib)
            else:
                yield self.query(client, test, pid)
        for i in range(self.links):
            client.timed("del-tap", "port_del", id=f"t{i}")
            client.timed("del-guest", "port_del", id=f"g{i}")
        for name in ("del-tap", "del-guest"):
            yield client.line(name, 2 * self.links)

    def add(self, env, client):
        for i in range(self.links):
            client.timed("add-tap", "port_add", type="tap", id=f"t{i}", ifname=f"{TAPS}{i}", script="no",
                         downscript="no")
            client.timed("add-guest", "port_add", type=self.port, id=f"g{i}", server=True,
                         path=os.path.join(env.tmp, f"g{i}"))
            client.timed("connect", "connect", id=f"t{i}", peer=f"g{i}")

    def query(self, client, command, pid):
        cpu = cpu_of([pid])
        for _ in range(REPEATS):
            rows = client.timed(command, command)
            if len(rows) != 2 * self.links:
                raise BackendError(f"{command} has {len(rows)} rows for {2 * self.links} ports")
        cpu = (cpu_of([pid]) - cpu) * 1e3 / REPEATS
        return {**client.line(command, 2 * self.links), "cmd_cpu": cpu}

    def idle(self, pid, secs, empty_kib):
        fields = at_rest(pid, secs)
        per_port = (fields["rss_kib"] - empty_kib) / (2 * self.links)
        return {"test": "idle", "ports": 2 * self.links, "kib_per_port": per_port, **fields}
