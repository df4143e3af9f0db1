# SPDX-License-Identifier: MIT
"""QEMU's monitor protocol: commands as JSON, one after the other.

    qmp.run("set_link", name="n0", up=False)
    qmp.run("migrate-set-parameters", **{"downtime-limit": 300})
"""

import json

from netns import Failed


class Qmp:
    """Takes a connected socket over. Events that come meanwhile are kept in @events."""

    def __init__(self, sock, timeout=30):
        self.sock = sock
        self.file = sock.makefile("rw")
        self.events = []
        self.started = False
        sock.settimeout(timeout)

    def start(self):
        """QEMU is up once it greets; then it wants to hear this before anything else."""
        greeting = self._read()
        if "QMP" not in greeting:
            raise Failed("QMP: no greeting but %r" % greeting)
        self.started = True
        self.run("qmp_capabilities")

    def run(self, command, **arguments):
        """Returns what the command returns."""
        if not self.started:
            self.start()
        self.file.write(json.dumps({"execute": command, "arguments": arguments}) + "\n")
        self.file.flush()
        while True:
            answer = self._read()
            if "event" in answer:
                self.events.append(answer)
            elif "error" in answer:
                raise Failed("QMP: %s %r: %s" % (command, arguments, answer["error"]["desc"]))
            else:
                return answer["return"]

    def _read(self):
        line = self.file.readline()
        if not line:
            raise Failed("QMP: QEMU has ended")
        return json.loads(line)

    def close(self):
        self.sock.close()
        self.file.close()
