# SPDX-License-Identifier: MIT
"""vmtap serve --metrics: scraped over TCP and a unix socket, by who behaves and by who does not."""

import http.client
import os
import signal
import socket
import stat

import pytest

import vmtap
from ctl import Serve
from netns import wait_until
from test_stats import metrics, queues, run_stats

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
    with ns.enter():
        sock = socket.socket(socket.AF_UNIX if isinstance(where, str) else socket.AF_INET)
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
