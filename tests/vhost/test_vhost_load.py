# SPDX-License-Identifier: MIT
"""vhost-user in front, vhost-net behind, under load: front ends are killed and come again, queue pairs, memory and
rings come and go, the TAP is deleted, and a session ends at any step. It is the tests of tests/net, with the kernel
serving the rings in between, which has to let go of each before anything of it changes."""

import contextlib

import pytest

import test_vhost_user_load
from test_vhost_behind import CARRIES
from test_vhost_user_load import (  # noqa: F401  (collected here once more)
    test_a_front_end_changes_its_mind, test_everything_at_once, test_front_ends_are_killed,
    test_the_tap_is_deleted_and_made_again)
from test_vhost_user_wrong import (  # noqa: F401
    test_front_end_is_killed_in_full_traffic, test_front_end_leaves_at_every_step, test_nothing_leaks)
from vu import EVENT_IDX, MODERN, MQ, MRG
from vulab import Lab


def split(turn):
    """As want() of those tests: there are no packed rings."""
    return MODERN | MRG | MQ | (EVENT_IDX if turn & 2 else 0)


@contextlib.contextmanager
def carried(around, few=False):
    """The kernel carries frames; with @few, nearly all of them. (Where the TAP goes meanwhile, its counters go too,
    and vmtap counts what it takes from the guest for nobody.)"""
    with around as lab:
        yield lab
        stats = lab.ns.links()["v0"]["stats64"]
    log = lab.log()
    assert CARRIES in log
    if few and "is gone" not in log:
        vm = lab.vmtap.summary()["vm"]
        moved = vm["rx"]["frames"] + vm["tx"]["frames"]
        assert 20 * moved < stats["rx"]["packets"] + stats["tx"]["packets"], (moved, stats)


@pytest.fixture(autouse=True)
def by_the_kernel(monkeypatch):
    usual = test_vhost_user_load.laboratory

    @contextlib.contextmanager
    def laboratory(ns, folder, args):
        with carried(usual(ns, folder, (*args, "-v")), few=True) as lab:
            yield lab
    monkeypatch.setattr(Lab, "every_tap", ",vhost=on")
    # Linux before 6.14 leaves the number of buffers 0 where buffers are not mergeable
    monkeypatch.setattr(Lab, "every_front", {"uncounted": 1})
    monkeypatch.setattr(test_vhost_user_load, "want", split)
    monkeypatch.setattr(test_vhost_user_load, "laboratory", laboratory)


@pytest.fixture
def lab(ns, folder):
    with carried(Lab(ns, folder, args=["-v"])) as made:
        yield made
