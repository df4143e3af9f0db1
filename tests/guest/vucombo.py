# SPDX-License-Identifier: MIT
"""Guests with many vhost-user NICs, each of another combination (combos.py)."""

import re

import combos
from guest import Guest
from netns import Failed, Netns
from vulink import TWO_CPUS, Link, features_in, memory

# The machine has 30 free PCI slots.
NICS_MAX = 28
# Without mergeable buffers a NIC with two rings of 1024 takes up to 150 MB of them.
MEMORY = "3G"


def on(value):
    return "on" if value else "off"


class ComboLink(Link):
    """A link whose NIC is as @combo has it. What is off is off in QEMU's device, or, with
    @by_port, is not offered by vmtap."""

    def __init__(self, number, ns, folder, combo, by_port):
        self.combo = combo
        self.want = {"packed": combo["ring"] == "packed", "mrg_rxbuf": combo["buffers"] == "mergeable",
                     "event_idx": combo["event_idx"], "indirect_desc": combo["indirect"],
                     **{name: name not in combos.off(combo) for name in combos.OFFLOADS}}
        device = "".join(",%s=%s" % (name, on(value or by_port)) for name, value in self.want.items()
                         if not (name == "packed" and combo["driver"] == "legacy"))
        device += ",rx_queue_size=%d,tx_queue_size=%d" % combo["sizes"]
        if combo["driver"] == "legacy":
            device += ",disable-modern=on,disable-legacy=off"
        else:
            device += ",disable-legacy=on"
        port = "".join(",%s=off" % name for name, value in self.want.items() if by_port and not value)
        if combo["mtu"] == "9000-told":
            device += ",host_mtu=9000"
            port += ",mtu=9000"
        super().__init__(number, ns, folder, port, device, queues=combo["queues"],
                         mtu=1500 if combo["mtu"] == "1500" else 9000)

    def check(self):
        """Guest and vmtap agreed on just what the combination has, and it works."""
        want = {name for name, value in self.want.items() if value} | {"status", "guest_announce"}
        for name, value in (("host_mtu", self.combo["mtu"] == "9000-told"), ("mq", self.queues > 1),
                            ("version_1", self.combo["driver"] == "modern")):
            if value:
                want.add(name)
        have = self.features()
        assert have == want, "more: %s; less: %s" % (have - want, want - have)
        if self.combo["mtu"] == "9000-told":
            assert self.told_mtu == 9000
        assert self.sizes == self.combo["sizes"]
        super().check()

    def configure(self, guest):
        found = super().configure(guest, "(cd /sys/class/net/{eth}; cat mtu device/features; ethtool -g {eth})")
        mtu, self.bits, rings = found.split("\n", 2)
        self.told_mtu = int(mtu)
        self.sizes = tuple(int(n) for n in re.findall(r"^[RT]X:\t+(\d+)$", rings.split("Current")[1], re.M))

    def features(self):
        return features_in(self.bits)


class ComboLab:
    """A guest with a NIC for each of @some: (number, combination), ..."""

    def __init__(self, some, folder):
        self.guest = None
        self.ns = Netns()
        try:
            self.links = {number: ComboLink(i + 1, self.ns, folder, combo, by_port=number % 2)
                          for i, (number, combo) in enumerate(some)}
            for link in self.links.values():
                link.start(args=())
            self.guest = Guest(self.ns, [link.nic for link in self.links.values()], folder,
                               qemu=memory(MEMORY) + TWO_CPUS)
            for link in self.links.values():
                link.configure(self.guest)
        except Exception as e:
            self.close()
            raise Failed("%s\n%s" % (e, self.guest.log_text() if self.guest else "")) from e

    def close(self):
        """Any number of times."""
        if self.guest:
            self.guest.kill()
        self.ns.cleanup()
