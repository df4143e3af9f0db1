# SPDX-License-Identifier: MIT
"""vmtap serve that a service manager with a store of descriptors starts again and again.

    with Manager(folder) as manager:
        lab = Lab(ns, manager, folder)
        with lab.start() as service:
            lab.moves(1)
"""

import os
import signal

import tuntap
from ctl import Client
from manager import Service
from netns import wait_until
from peers import DgramPeer
from tuntap import Packets, frame


class Lab:
    """A manager that starts vmtap serve with a file again and again. The guest of vm0 is a socket of ours."""

    def __init__(self, ns, manager, folder):
        self.ns, self.manager, self.folder = ns, manager, folder
        self.conf = os.path.join(folder, "vmtap.conf")
        self.control = os.path.join(folder, "control.sock")
        self.guest_path, self.vmtap_path = os.path.join(folder, "g"), os.path.join(folder, "v")
        self.write(self.tap())

    def tap(self, name="vm0", more="", scripts="script = no\ndownscript = no\n"):
        return "[port %s]\ntype = tap\nifname = vm0\nup = on\n%s%s\n" % (name, scripts, more)

    def write(self, *ports, guest="vm0"):
        text = "\n".join(ports) + "\n"
        if guest:
            text += "[port guest]\ntype = dgram\nlocal = %s\nremote = %s\n[link one]\nports = %s guest\n" % (
                self.vmtap_path, self.guest_path, guest)
        with open(self.conf, "w", encoding="utf-8") as f:
            f.write(text)

    def start(self, **kw):
        return Service(self.ns, self.manager, self.folder, "-c", self.conf, "--control", self.control, **kw)

    def client(self):
        return Client(self.control)

    def guest(self):
        return DgramPeer(self.guest_path, self.vmtap_path)

    def link(self, name="vm0"):
        """What should survive; None: there is no such interface."""
        link = self.ns.links().get(name)
        return link and (link["ifindex"], link["address"], link.get("master"), "LOWER_UP" in link["flags"])

    def stored(self, all_of=False):
        """Without the socket of a dgram guest, which most tests are not about."""
        with self.manager.news:
            return sorted(name for name in self.manager.store if all_of or not name.startswith("vmtap/bound/"))

    def roles(self, all_of=False):
        """ROLE and PORT of what is stored."""
        return [(name.split("/")[1], name.split("/")[3]) for name in self.stored(all_of)]

    def wait_roles(self, *roles):
        all_of = ("bound", "guest") in roles
        wait_until(lambda: self.roles(all_of) == sorted(roles), what="%s to be %s" % (self.roles(all_of), roles))

    def replace(self, index, *fds):
        """Have the manager pass something else (taken) as the queue of that number."""
        name = self.stored()[index]
        for fd in self.manager.store[name]:
            os.close(fd)
        self.manager.store[name] = list(fds)

    def moves(self, number):
        """A frame each way."""
        with self.guest() as guest, Packets(self.ns, "vm0") as kernel:
            guest.send(frame(number))
            assert kernel.receive() == frame(number)
            kernel.send(frame(number + 1))
            assert guest.receive(kind=tuntap.ETH_TEST) == frame(number + 1)

    def crash(self):
        """A run that stores what it has, and then is killed."""
        with self.start() as service:
            assert self.stored()  # they come before READY=1
            service.stop(signal.SIGKILL)
        os.unlink(service.log)
