# SPDX-License-Identifier: MIT
"""Clients of the control socket that change the same ports at once, while a guest sends and receives over two
queue pairs: every command succeeds or is refused, and in the end everything works as before.

    front end (vu-front-tool) ── vhost-user "vm" ── vmtap serve ── TAP v0, two queues
                                       clients ──────────┘
"""

import signal
import threading

import pytest

from capture import capinfos, needs_tshark
from ctl import Refused, Serve
from netns import wait_until
from tuntap import ETH_TEST, GUEST, HOST, Packets, flows, frame
from vu import EVENT_IDX, MODERN, MQ, MRG, Front

TAP = {"type": "tap", "script": "no", "downscript": "no"}
WORKERS = pytest.mark.parametrize("workers", [(), ("--workers=2",)], ids=["alone", "workers"])
ROUNDS = 25


class Race:
    """Threads that run their commands until all have done so ROUNDS times."""

    def __init__(self, server):
        self.server = server
        self.wrong, self.threads = [], []
        self.ok, self.refused = {}, {}

    def add(self, *commands):
        """@commands: (name, arguments), or a function of the client and the round."""
        thread = threading.Thread(target=self.run, args=[commands])
        self.threads.append(thread)
        thread.start()

    def run(self, commands):
        try:
            with self.server.client(timeout=60) as mine:
                for number in range(ROUNDS):
                    for command in commands:
                        name, arguments = command(number) if callable(command) else command
                        self.one(mine, name, arguments)
        except Exception as e:  # pylint: disable=broad-except
            self.wrong.append(e)

    def one(self, client, name, arguments):
        try:
            client.run(name, **arguments)
            self.ok[name] = self.ok.get(name, 0) + 1
        except Refused as e:
            assert e.kind and e.desc
            self.refused[name] = self.refused.get(name, 0) + 1
        client.events.clear()

    def end(self):
        for thread in self.threads:
            thread.join()
        assert not self.wrong, "%s\n%s\n%s" % (self.wrong, self.server.proc.poll(), self.server.output()[-4000:])


class Load(threading.Thread):
    """The kernel sends in several flows."""

    def __init__(self, ns):
        super().__init__()
        self.ns, self.stop = ns, threading.Event()

    def run(self):
        frames = flows(16, 4)
        while not self.stop.is_set():
            try:
                with Packets(self.ns, "v0", kind=ETH_TEST, rcvbuf=1) as kernel:
                    while not self.stop.is_set():
                        for data in frames:
                            kernel.send(data)
            except OSError:
                self.stop.wait(0.002)  # it is full, or down

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *exc):
        self.stop.set()
        self.join()


@pytest.fixture
def busy(ns, folder):
    """A function that starts the server; the guest sends until the test ends."""
    ns.sysctl("net.ipv6.conf.default.disable_ipv6", 1)
    open_things = []

    def start(workers):
        server = Serve(ns, folder, *workers, timeout=30)
        open_things.append(server.stop)
        ctl = server.client(timeout=60)
        open_things.append(ctl.close)
        ctl.run("port_add", **TAP, id="v0", ifname="v0", up=True, queues=2)
        ctl.run("port_add", type="vhost-user", id="vm", path=folder + "/s", server=True, queues=2)
        ctl.run("connect", id="v0", peer="vm")
        ns.run("ip link set v0 txqueuelen 500")
        vm = Front(ns, want=MODERN | MRG | MQ | EVENT_IDX, pairs=2, ring_size=64, timeout_ms=60000)
        open_things.append(lambda: vm.close(signal.SIGKILL))
        vm.up(folder + "/s")
        vm.flood_start(tx=1 << 30, rx=1 << 30, all=1, max=1400, idle_ms=600000)
        return server, ctl, vm
    yield start
    for close in reversed(open_things):
        close()


def works(ns, folder, ctl, vm):
    """Another guest comes, and gets and sends frames."""
    vm.close(signal.SIGKILL)
    ctl.wait_port("vm", lambda row: row["state"] != "up", timeout=60)
    for name in "v0", "vm":
        ctl.run("set_link", name=name, up=True)
        ctl.run("throttle_set", id=name, rate=0, burst=0, pps=0)
        ctl.run("filter_set", id=name, mac="", ip="")
        try:
            ctl.run("disconnect", id=name)
        except Refused:
            pass  # it is joined to nothing
    ctl.run("connect", id="v0", peer="vm")
    with Front(ns, want=MODERN | MRG, ring_size=64, timeout_ms=60000) as again, Packets(ns, "v0") as kernel:
        again.up(folder + "/s")
        for number in range(1 << 20, (1 << 20) + 50):
            again.send(frame(number, 99, dst=HOST, src=GUEST))
            wait_until(lambda number=number: kernel.receive(1) == frame(number, 99, dst=HOST, src=GUEST), timeout=60)

        def gets():
            kernel.send(frame(7, 98))
            got = again.receive(timeout=1, kind=ETH_TEST)
            return got and got.data == frame(7, 98)
        wait_until(gets, timeout=60)


def flood_counts(ctl):
    rows = {row["id"]: row for row in ctl.run("query-stats")}
    return rows["vm"]["rx"]["frames"]


@WORKERS
def test_limits_filters_and_links_change_at_once(ns, folder, busy, workers):
    server, ctl, vm = busy(workers)
    before = flood_counts(ctl)
    race = Race(server)
    with Load(ns):
        for way in "rx", "tx":
            race.add(lambda n, way=way: ("throttle_set", {"id": "vm", "direction": way, "pps": (0, 50000, 1000000)[n % 3]}),
                     lambda n: ("throttle_set", {"id": "v0", "rate": (0, 10**9)[n % 2]}),
                     ("query-throttle", {}))
        race.add(lambda n: ("filter_set", {"id": "vm", "mac": ("", "02:00:00:00:00:02")[n % 2]}),
                 lambda n: ("filter_set", {"id": "vm", "ip": ("", "192.0.2.1")[n % 2]}),
                 ("query-queues", {}), ("query-filter", {}))
        race.add(lambda n: ("set_link", {"name": ("vm", "v0")[n // 2 % 2], "up": bool(n % 2)}),
                 ("query-stats", {}), ("query-ports", {}))
        race.end()
        assert set(race.ok) >= {"throttle_set", "filter_set", "set_link"} and not race.refused, race.refused
    assert flood_counts(ctl) > before
    works(ns, folder, ctl, vm)


@needs_tshark
@WORKERS
def test_captures_race_with_all_else(ns, folder, busy, workers):
    server, ctl, vm = busy(workers)
    before = server.descriptors()
    race = Race(server)
    with Load(ns):
        for number in range(3):
            name = "c%d" % (number % 2)   # two clients want the same name
            path = "%s/cap%d" % (folder, number)
            race.add(("capture_start", {"id": name, "port": ("vm", "v0")[number % 2], "filename": path, "buffer": 262144,
                                        "snaplen": 64, "filter": ("", "ip")[number % 2] or "ether[0] >= 0"}),
                     ("query-captures", {}), ("capture_stop", {"id": name}))
        race.add(lambda n: ("throttle_set", {"id": "vm", "pps": (0, 100000)[n % 2]}),
                 ("disconnect", {"id": "vm"}), ("connect", {"id": "vm", "peer": "v0"}))
        race.add(lambda n: ("set_link", {"name": "vm", "up": bool(n % 2)}), ("query-queues", {}))
        race.end()
        # how many find their name free, is the speed of the writers
        assert race.ok["capture_start"] >= 3 and race.ok["capture_stop"] >= 3, (race.ok, race.refused)
        for row in ctl.run("query-captures"):
            try:
                ctl.run("capture_stop", id=row["id"])
            except Refused:
                pass  # it was ending
        wait_until(lambda: ctl.run("query-captures") == [], timeout=30)
    for number in range(3):
        capinfos("%s/cap%d" % (folder, number))
    wait_until(lambda: server.descriptors() <= before, timeout=30, what="no more descriptors than before")
    works(ns, folder, ctl, vm)


@WORKERS
def test_joins_race(ns, folder, busy, workers):
    """To each other, to a switch that comes and goes, to another port, and to nothing."""
    server, ctl, vm = busy(workers)
    ctl.run("port_add", type="null", id="other")
    race = Race(server)
    with Load(ns):
        race.add(("connect", {"id": "v0", "peer": "vm"}), ("disconnect", {"id": "v0"}))
        race.add(("connect", {"id": "vm", "peer": "v0"}), ("disconnect", {"id": "vm"}), ("query-queues", {}))
        race.add(("switch_add", {"id": "lan"}), ("connect", {"id": "vm", "peer": "lan"}),
                 ("connect", {"id": "v0", "peer": "lan"}), ("query-macs", {"id": "lan"}), ("switch_flush", {"id": "lan"}),
                 ("switch_del", {"id": "lan"}))
        race.add(("disconnect", {"id": "v0"}), ("connect", {"id": "v0", "peer": "other"}), ("query-switches", {}),
                 ("disconnect", {"id": "v0"}), ("disconnect", {"id": "vm"}))
        race.end()
        assert race.ok["connect"] >= 10 and race.ok["switch_add"] >= 5, race.ok
    works(ns, folder, ctl, vm)


@WORKERS
def test_ports_are_added_and_deleted_by_several(ns, folder, busy, workers):
    """Those that come and go, and in the end the one with the guest."""
    server, ctl, vm = busy(workers)
    before = server.descriptors()
    race = Race(server)
    with Load(ns):
        for number in range(3):
            race.add(("port_add", {**TAP, "id": "t", "ifname": "t0", "queues": 2}),
                     ("port_add", {"type": "vhost-user", "id": "g", "path": folder + "/g", "server": True, "queues": 2}),
                     ("connect", {"id": "t", "peer": "g"}),
                     ("capture_start", {"port": "t", "filename": "%s/c%d" % (folder, number), "buffer": 262144}),
                     ("throttle_set", {"id": "g", "rate": 1000000}),
                     ("port_del", {"id": ("t", "g")[number % 2]}), ("port_del", {"id": ("g", "t")[number % 2]}))
        race.add(("set_link", {"name": "t", "up": False}), ("set_link", {"name": "g", "up": True}),
                 ("announce-self", {}), ("query-ports", {}), ("query-queues", {}))
        race.end()
        assert race.ok["port_add"] >= ROUNDS and race.refused["port_add"] >= 1, (race.ok, race.refused)
        for row in ctl.run("query-captures"):
            ctl.run("capture_stop", id=row["id"])
        for name in "t", "g":
            try:
                ctl.run("port_del", id=name)
            except Refused:
                pass  # it is not there
        wait_until(lambda: server.descriptors() <= before, timeout=30, what="no more descriptors than before")
        ctl.run("port_del", id="vm")
        assert vm.proc.poll() is not None or vm.answer(60)["closed"]
    ctl.run("port_add", type="vhost-user", id="vm", path=folder + "/s", server=True, queues=2)
    works(ns, folder, ctl, vm)
