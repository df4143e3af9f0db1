# SPDX-License-Identifier: MIT
"""Linux guests over vhost-user, in a sample of what a virtio-net NIC can be: every two choices
that can meet do so in some NIC. `make test-matrix` tries all of them."""

import pytest

import combos
from vucombo import ComboLab

SAMPLE = list(enumerate(combos.sample()))
PER_BOOT = 20
BOOTS = [SAMPLE[i:i + PER_BOOT] for i in range(0, len(SAMPLE), PER_BOOT)]


class Boot:
    def __init__(self, some, folder):
        self.lab = ComboLab(some, folder)
        self.shown = None

    def link(self, number):
        """The one that a failed test is about."""
        self.shown = self.lab.links[number]
        return self.shown

    def logs(self):
        yield from self.lab.guest.logs()
        if self.shown:
            yield from self.shown.logs()


@pytest.fixture(scope="module")
def boot(image, folder, request):
    boot = Boot(BOOTS[request.param], folder)
    yield boot
    boot.lab.close()


@pytest.mark.parametrize(
    "boot, number", [pytest.param(i, number, id=combos.name(combo)) for i, some in enumerate(BOOTS)
                     for number, combo in some],
    indirect=["boot"], scope="module")
def test_nic_carries_everything(boot, number):
    boot.link(number).check()
