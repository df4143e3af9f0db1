# SPDX-License-Identifier: MIT
"""The other end of vmtap's unix sockets, as QEMU's -netdev stream and dgram would be.

    with StreamPeer(path) as vm:
        vm.send(frame)                 # vmtap writes it into the TAP
        vm.receive()                   # what vmtap read from the TAP
"""

import contextlib
import os
import select
import socket
import struct
import time


class _Peer:
    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    def close(self):
        self.sock.close()

    def receive(self, timeout=10, kind=None):
        """The next frame, of EtherType @kind if given; None when none comes in time."""
        deadline = time.monotonic() + timeout
        while True:
            data = self._receive(deadline)
            if data is None or kind is None or struct.unpack_from("!H", data, 12)[0] == kind:
                return data

    def _wait(self, deadline):
        left = deadline - time.monotonic()
        return left >= 0 and bool(select.select([self.sock], [], [], left)[0])


class StreamPeer(_Peer):
    """Connects to a listening stream port, at a path or a host and port, or has @sock, which is taken, that is
    connected: frames with their length in front."""

    def __init__(self, where, timeout=10, sock=None):
        self.sock = sock or socket.socket(socket.AF_INET if isinstance(where, tuple) else socket.AF_UNIX)
        self.sock.settimeout(timeout)
        if not sock:
            self.sock.connect(where)
        self.rest = b""

    def send(self, *frames):
        self.sock.sendall(b"".join(struct.pack("!I", len(f)) + f for f in frames))

    def is_disconnected(self):
        """Whatever was sent before."""
        with contextlib.suppress(ConnectionResetError):
            while self.sock.recv(1 << 18):
                pass
        return True

    def _complete(self):
        if len(self.rest) < 4:
            return None
        size, = struct.unpack_from("!I", self.rest)
        return 4 + size if len(self.rest) >= 4 + size else None

    def _receive(self, deadline):
        while not self._complete():
            if not self._wait(deadline):
                return None
            data = self.sock.recv(1 << 18)
            if not data:
                return None
            self.rest += data
        end = self._complete()
        data, self.rest = self.rest[4:end], self.rest[end:]
        return data


class DgramPeer(_Peer):
    """The other side of a dgram port with local=@remote, remote=@local: paths, or "HOST:PORT"."""

    def __init__(self, local, remote, timeout=10):
        is_unix = "/" in local
        self.path = local if is_unix else None
        self.remote = remote if is_unix else self._inet(remote)
        self.sock = socket.socket(socket.AF_UNIX if is_unix else socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.settimeout(timeout)
        self.sock.bind(local if is_unix else self._inet(local))

    @staticmethod
    def _inet(address):
        host, port = address.split(":")
        return host, int(port)

    def send(self, *frames):
        for f in frames:
            self.sock.sendto(f, self.remote)

    def _receive(self, deadline):
        return self.sock.recv(1 << 17) if self._wait(deadline) else None

    def close(self):
        super().close()
        if self.path:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.path)
