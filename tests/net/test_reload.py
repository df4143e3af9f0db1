# SPDX-License-Identifier: MIT
"""The configuration file read again: what a mistake, a broken port, and what the control socket joined come to."""

import pytest

from ctl import Refused
from test_conffile import device, file, link, rows, serve  # noqa: F401  (file: the fixture)

NULL = "[port %s]\ntype = null\n"


def switch(ports, more=""):
    return "[switch lan]\nports = %s\n%s" % (ports, more)


@pytest.mark.parametrize("key", ["rate = 5", "burst = 5", "pps = 5", "mac-filter = 02:00:00:00:00:01"])
def test_a_port_s_key_at_a_switch_is_refused_until_it_is_gone(ns, folder, file, key):
    right = NULL % "a", switch("a")
    file.write(*right)
    with serve(ns, folder, file) as server, server.client() as ctl:
        file.write(NULL % "a", switch("a", key + "\n"))
        for _ in range(2):
            with pytest.raises(Refused, match="vmtap.conf:.*a key of ports"):
                ctl.run("reload")
        file.write(*right)
        assert ctl.run("reload") == {"kept": 2, "changed": 0, "opened": 0, "closed": 0}
