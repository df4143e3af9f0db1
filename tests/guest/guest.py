# SPDX-License-Identifier: MIT
"""A real Linux guest in QEMU, driven over its second serial port.

Model: QEMU runs in a given namespace with one virtio-net NIC for each Nic. The agent in
the guest (scripts/guest/init) and QEMU's monitor are reached over socket pairs made here, so
their end is noticed at once and no path is left. The console goes to a file; logs() returns
what a failed test should show.
"""

import hashlib
import os
import re
import socket
import threading

import agent
from netns import Failed, end
from qmp import Qmp

BOOT = os.path.join(os.path.dirname(os.path.abspath(agent.__file__)), "..", "guest-boot.sh")


class Nic:
    """A NIC: @netdev is what follows -netdev, without id. Its MAC address finds it in the
    guest, whatever the guest calls it."""

    def __init__(self, netdev, mac, options=""):
        self.netdev = netdev
        self.mac = mac
        self.options = options

    def args(self, i):
        """QEMU's arguments for this one, the @i'th."""
        return ["-netdev", self.netdev.replace(",", ",id=n%d," % i, 1), *self.device(i)]

    def device(self, i):
        return ["-device", "virtio-net-pci,romfile=,netdev=n%d,mac=%s%s" % (i, self.mac, self.options)]


class Guest:
    def __init__(self, ns, nics, folder, name="guest", reboots=False, qemu=(), incoming=None):
        """Start QEMU and wait until the guest takes commands.

        @folder: gets the logs
        @reboots: a reboot boots again, instead of ending QEMU
        @qemu: more arguments
        @incoming: do not boot: another one comes here by migration, see arrived()
        """
        self.name = name
        self.nics = nics
        self.console = os.path.join(folder, name + ".console")
        self.qemu_log = os.path.join(folder, name + ".qemu")
        ours, theirs = socket.socketpair()
        qmp_ours, qmp_theirs = socket.socketpair()
        cmd = [BOOT, *([] if reboots else ["-no-reboot"]), "-serial", "file:" + self.console,
               "-chardev", "socket,id=agent,fd=%d" % theirs.fileno(), "-serial", "chardev:agent",
               "-chardev", "socket,id=qmp,fd=%d" % qmp_theirs.fileno(), "-mon", "chardev=qmp,mode=control",
               *(["-incoming", incoming] if incoming else []), *qemu]
        for i, nic in enumerate(nics):
            cmd += nic.args(i)
        with open(self.qemu_log, "wb") as log:
            self.proc = ns.popen(cmd, stdout=log, stderr=log,
                                 pass_fds=[theirs.fileno(), qmp_theirs.fileno()])
        theirs.close()
        qmp_theirs.close()
        self.agent = agent.Agent(ours)
        self.qmp = Qmp(qmp_ours)
        try:
            if incoming:
                self.qmp.start()
            else:
                self.wait_ready()
        except Exception as e:
            self.kill()
            raise Failed("%s did not boot: %s\n%s" % (name, e, self.log_text())) from e

    def wait_ready(self, timeout=90):
        """Until it has booted (again), then find its NICs."""
        self.agent.wait_ready(timeout)
        out = self.ok("grep . /sys/class/net/*/address")
        self.ifnames = {mac: ifname for ifname, mac in re.findall(r"net/(\S+)/address:(\S+)", out)}

    def arrived(self, other):
        """The guest of @other is here now (made with @incoming)."""
        self.ifnames = other.ifnames

    def run(self, command, timeout=60):
        """Run a shell line. Returns (exit status, output)."""
        return self.agent.run(command, timeout)

    def ok(self, command, timeout=60):
        """Run a shell line that must succeed. Returns its output."""
        status, output = self.run(command, timeout)
        if status != 0:
            raise Failed("%s: %s: exit status %d\n%s" % (self.name, command, status, output))
        return output

    def reboot(self):
        """Reboot and wait until it takes commands again (made with @reboots)."""
        self.agent.send("reboot -f")
        self.wait_ready()

    def kill(self):
        """The end, as of a VMM that crashes. Any number of times."""
        self.proc.kill()
        self.proc.wait()
        self._close()

    def stop(self):
        end(self.proc)
        self._close()

    def _close(self):
        self.agent.close()
        self.qmp.close()

    def logs(self):
        """What a failed test shows: (title, text), ..."""
        for title, path in ("console", self.console), ("QEMU", self.qemu_log):
            text = ""  # QEMU that refuses its command line makes no console
            if os.path.exists(path):
                with open(path, errors="replace") as f:
                    text = f.read()[-8000:]
            yield "%s: %s" % (self.name, title), text

    def log_text(self):
        return "".join("--- %s\n%s\n" % log for log in self.logs())


class Transfer(threading.Thread):
    """The host's side of one TCP connection that a guest will make.

    Listens at @address in @ns on a free port, sends @data and reads to the end, both at
    once. result() waits for that.
    """

    def __init__(self, ns, address, data=b"", timeout=60):
        super().__init__(daemon=True)
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with ns.enter():
            self.listener = socket.create_server((address, 0), family=family)
        self.listener.settimeout(timeout)
        self.port = self.listener.getsockname()[1]
        self.data = data
        self.timeout = timeout
        self.sha256 = self.error = None
        self.received = 0
        self.start()

    def run(self):
        try:
            with self.listener, self.listener.accept()[0] as sock:
                sock.settimeout(self.timeout)
                sender = threading.Thread(target=self._send, args=[sock], daemon=True)
                sender.start()
                self._receive(sock)
                sender.join(self.timeout)
                # Only now: busybox nc ends at once when nothing more can come.
                sock.shutdown(socket.SHUT_WR)
        except OSError as e:
            self.error = e

    def _send(self, sock):
        try:
            sock.sendall(self.data)
        except OSError as e:
            self.error = e

    def _receive(self, sock):
        digest = hashlib.sha256()
        while True:
            data = sock.recv(1 << 16)
            if not data:
                break
            digest.update(data)
            self.received += len(data)
        self.sha256 = digest.hexdigest()

    def result(self):
        """Wait for the end. Returns the SHA-256 of what the guest sent."""
        self.join(self.timeout)
        if self.is_alive() or self.error:
            raise Failed("transfer: %s after %d bytes" % (self.error or "not over in time", self.received))
        return self.sha256
