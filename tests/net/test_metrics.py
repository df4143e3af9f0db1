# SPDX-License-Identifier: MIT
"""vmtap serve --metrics: scraped over TCP and a unix socket, by who behaves and by who does not."""

import contextlib
import http.client
import os
import select
import signal
import socket
import stat
import subprocess
import threading
from pathlib import Path

import pytest

import vmtap
from ctl import Serve
from netns import wait_until
from test_stats import metrics, queues, run_stats

PROMTOOL = Path(__file__).parents[2] / "scripts/promtool.sh"
ADDRESS = ("127.0.0.1", 9199)
CONNECTIONS_MAX = 32


class Http(http.client.HTTPConnection):
    """To @where, a path or an address in the namespace."""

    def __init__(self, ns, where):
        super().__init__("localhost", timeout=20)
        self.ns, self.where = ns, where

    def connect(self):
        self.sock = dial(self.ns, self.where)


def dial(ns, where):
    kind = socket.AF_UNIX if isinstance(where, str) else socket.AF_INET6 if ":" in where[0] else socket.AF_INET
    with ns.enter():
        sock = socket.socket(kind)
    sock.settimeout(20)
    sock.connect(where)
    return sock


def ask(ns, where, method="GET", path="/metrics", **kw):
    client = Http(ns, where)
    try:
        client.request(method, path, **kw)
        answer = client.getresponse()
        return answer.status, answer.headers, answer.read().decode()
    finally:
        client.close()


def scrape(ns, where=ADDRESS):
    status, headers, text = ask(ns, where)
    assert status == 200 and headers["Content-Type"].startswith("text/plain; version=0.0.4")
    return metrics(text)


@pytest.fixture
def server(ns, folder):
    with Serve(ns, folder, "--metrics", "%s:%d" % ADDRESS) as made:
        yield made


def add_traffic(ctl, **keys):
    ctl.run("port_add", type="null", id="gen", size=60, **keys)
    ctl.run("port_add", type="null", id="sink")
    ctl.run("connect", id="gen", peer="sink")


def frames(ctl):
    return queues(ctl, "sink")[0]["tx"]["frames"]


def test_tcp(ns, server):
    with server.client() as ctl:
        add_traffic(ctl, count=1000)
        wait_until(lambda: frames(ctl) == 1000)
        found = scrape(ns)
        assert found["vmtap_port_receive_frames_total", "gen", "0", None] == 1000
        assert found["vmtap_port_transmit_bytes_total", "sink", "0", None] == 60000
        assert found.keys() == metrics(run_stats(server.path, "--prometheus").stdout).keys()


def test_a_connection_is_used_again(ns, server):
    client = Http(ns, ADDRESS)
    for _ in range(20):
        client.request("GET", "/metrics")
        answer = client.getresponse()
        assert answer.status == 200 and metrics(answer.read().decode()) == {}
    client.close()


def test_unix_socket(ns, folder):
    path = folder + "/m.sock"
    with Serve(ns, folder, "--control-mode", "640", "--metrics", "unix:" + path) as server, server.client() as ctl:
        add_traffic(ctl)
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o640
        assert ("vmtap_port_receive_frames_total", "gen", "0", None) in scrape(ns, path)
        server.stop(signal.SIGTERM)
    assert not os.path.exists(path)


@pytest.mark.parametrize("method, path, status", [
    ("GET", "/", 200), ("GET", "/metrics/", 404), ("GET", "/../etc/passwd", 404), ("GET", "/metrics?a=b", 200),
    ("POST", "/metrics", 405), ("DELETE", "/", 405), ("HEAD", "/metrics", 200)])
def test_nothing_else_is_answered(ns, server, method, path, status):
    got, headers, _ = ask(ns, ADDRESS, method, path, body="a=b" if method == "POST" else None)
    assert got == status and (status != 405 or headers["Allow"] == "GET, HEAD")


def still_moving(ctl):
    before = frames(ctl)
    wait_until(lambda: frames(ctl) > before)


def closed(sock):
    try:
        while sock.recv(65536):
            pass
    except ConnectionError:
        pass
    return True


def test_slow_and_huge_requests_disturb_nobody(ns, server):
    with server.client() as ctl:
        add_traffic(ctl)
        slow = dial(ns, ADDRESS)
        slow.sendall(b"GET /metr")
        still_moving(ctl)
        for request in (b"GET /" + b"a" * 1000000, b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 100000, b"\0\xff" * 100000 + b"\r\n\r\n"):
            with dial(ns, ADDRESS) as huge:
                try:
                    huge.sendall(request)
                except ConnectionError:
                    pass
                else:
                    assert closed(huge)
        with dial(ns, ADDRESS) as huge:
            huge.sendall(b"POST /metrics HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999\r\n\r\n")
            assert huge.recv(65536).startswith(b"HTTP/1.1 405 ")
        still_moving(ctl)
        assert scrape(ns)
        slow.sendall(b"ics HTTP/1.1\r\nHost: a\r\n\r\n")
        assert slow.recv(65536).startswith(b"HTTP/1.1 200 ")
        slow.close()


def test_100_connections_disturb_nobody(ns, server):
    with server.client() as ctl:
        add_traffic(ctl)
        before = server.descriptors()
        crowd = [dial(ns, ADDRESS) for _ in range(100)]
        still_moving(ctl)
        wait_until(lambda: server.descriptors() > before + CONNECTIONS_MAX // 2)
        assert server.descriptors() <= before + CONNECTIONS_MAX + 1
        for sock in crowd:
            sock.close()
        assert scrape(ns)
        wait_until(lambda: server.descriptors() <= before)
        still_moving(ctl)


@contextlib.contextmanager
def trickle(socks):
    """A byte of a header each now and then, to whoever still takes it."""
    over = threading.Event()

    def go_on():
        while not over.is_set():
            select.select([], [], [], 0.1)
            for sock in socks:
                with contextlib.suppress(OSError):
                    sock.send(b"a")

    thread = threading.Thread(target=go_on)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        for sock in socks:
            sock.close()


@pytest.mark.parametrize("kind", ["tcp", "unix"])
def test_slow_clients_keep_no_scrape_waiting(ns, folder, kind):
    where = ADDRESS if kind == "tcp" else folder + "/m.sock"
    with Serve(ns, folder, "--metrics", "%s:%d" % ADDRESS if kind == "tcp" else "unix:" + where) as server, \
            server.client() as ctl:
        add_traffic(ctl)
        before = server.descriptors()
        slow = [dial(ns, where) for _ in range(CONNECTIONS_MAX)]
        for sock in slow:
            with contextlib.suppress(OSError):  # the last one that came may have made room for itself
                sock.send(b"GET /metrics HTTP/1.1\r\nHost: a\r\nX: ")
        wait_until(lambda: server.descriptors() >= before + CONNECTIONS_MAX - 1)
        with trickle(slow):
            for _ in range(2 * CONNECTIONS_MAX):
                assert scrape(ns, where)
            slow += [dial(ns, where) for _ in range(CONNECTIONS_MAX)]
            assert scrape(ns, where)
            assert server.descriptors() <= before + CONNECTIONS_MAX + 1


def test_a_byte_now_and_then_is_no_request(ns, server):
    slow = dial(ns, ADDRESS)
    slow.settimeout(60)
    slow.send(b"GET /metrics HTTP/1.1\r\nX: ")
    with trickle([slow]):
        assert closed(slow)


def test_who_is_busy_stays(ns, server):
    """Of those that are there, the ones that ask for nothing go first."""
    client = Http(ns, ADDRESS)
    client.request("GET", "/metrics")
    client.getresponse().read()
    own = client.sock
    for _ in range(2 * CONNECTIONS_MAX):
        dial(ns, ADDRESS).close()
        client.request("GET", "/metrics")
        assert client.getresponse().read() is not None and client.sock is own
    client.close()


def test_ipv6(ns, folder):
    where = ("::1", 9199)
    with Serve(ns, folder, "--metrics", "[::1]:9199") as server, server.client() as ctl:
        add_traffic(ctl)
        assert ("vmtap_port_receive_frames_total", "gen", "0", None) in scrape(ns, where)
        with pytest.raises(ConnectionRefusedError):
            dial(ns, ADDRESS)


def test_an_ipv6_address_of_another_host(ns, folder):
    done = vmtap.run(ns, "--control", folder + "/other", "--metrics", "[2001:db8::1]:9199", "serve")
    assert done.returncode == 3 and "2001:db8::1" in done.stderr and "address of this host" in done.stderr


@pytest.mark.parametrize("written, where", [("[::1]:9199", ("::1", 9199)), ("127.0.0.1:9199", ADDRESS), ("unix:%s/m", None)])
def test_in_the_configuration_file(ns, folder, written, where):
    conf = folder + "/vmtap.conf"
    with open(conf, "w") as out:
        out.write("[serve]\nmetrics = %s\n[port gen]\ntype = null\ncount = 10\n" % written.replace("%s", folder))
    with Serve(ns, folder, "-c", conf):
        assert ("vmtap_port_receive_frames_total", "gen", "0", None) in scrape(ns, where or folder + "/m")


def test_an_address_in_the_configuration_file_that_cannot_be(ns, folder):
    conf = folder + "/vmtap.conf"
    with open(conf, "w") as out:
        out.write("[serve]\nmetrics = 127.0.0.1\n")
    done = vmtap.run(ns, "--control", folder + "/other", "-c", conf, "serve")
    assert done.returncode == 2 and "the port is missing" in done.stderr


def promtool(text):
    program = subprocess.run([PROMTOOL, "--path"], text=True, stdout=subprocess.PIPE, check=True).stdout.strip()
    done = subprocess.run([program, "check", "metrics"], input=text, text=True, capture_output=True, timeout=60)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.skipif(subprocess.run([PROMTOOL, "--path"], stdout=subprocess.DEVNULL).returncode != 0,
                    reason="promtool is not there (scripts/promtool.sh)")
def test_promtool_has_nothing_to_say(ns, folder, server):
    with server.client() as ctl:
        ctl.run("port_add", type="vhost-user", id="g", server=True, path=folder + "/vu.sock")
        ctl.run("set_link", name="g", up=False)
        ctl.run("port_add", type="null", id="gen", count=10)
        ctl.run("connect", id="gen", peer="g")
        wait_until(lambda: queues(ctl, "gen")[0]["rx"]["drops"] or queues(ctl, "g")[0]["tx"]["drops"])
        for text in ask(ns, ADDRESS)[2], run_stats(server.path, "--prometheus").stdout:
            assert 'cause="' in text and "ring_available" in text
            assert promtool(text) == (0, "")
        assert promtool(text.replace("vmtap_port_wakeups_total", "vmtap_port_wakeups"))[0] != 0


def test_an_idle_connection_is_closed(ns, server):
    with dial(ns, ADDRESS) as idle:
        idle.settimeout(30)
        assert closed(idle)


def test_an_address_in_use(ns, folder, server):
    done = vmtap.run(ns, "--control", folder + "/other", "--metrics", "%s:%d" % ADDRESS, "serve")
    assert done.returncode == 3 and "in use" in done.stderr and "another port" in done.stderr


@pytest.mark.parametrize("address", ["9199", "127.0.0.1", "127.0.0.1:", ":9199", "127.0.0.1:0", "127.0.0.1:65536", "::1:9199",
                                     "[::1:9199", "[]:1", "unix:", "127.0.0.1:9199x", "1.2.3.4.5:9199"])
def test_an_address_that_cannot_be(ns, folder, address):
    done = vmtap.run(ns, "--control", folder + "/other", "--metrics", address, "serve")
    assert done.returncode == 2 and "--metrics" in done.stderr and "are addresses" in done.stderr
