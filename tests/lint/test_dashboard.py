# SPDX-License-Identifier: MIT
"""The dashboard asks for metrics that exist."""

import json
import re


def known(top):
    text = (top / "src/ctl/metrics-text.c").read_text()
    names = set(re.findall(r'"(vmtap_port_[a-z_]*[a-z])"', text))
    for what in re.findall(r'BOTH_WAYS\("([a-z_]+)"', text):
        names |= {"vmtap_port_receive_" + what, "vmtap_port_transmit_" + what}
    return names


def test_every_metric_of_the_dashboard_exists(top):
    board = json.loads((top / "docs/grafana/vmtap.json").read_text())
    used = set(re.findall(r"\bvmtap_\w+", json.dumps([board["panels"], board["templating"]])))
    assert len(used) > 8 and used <= known(top)
    assert all(re.search(r"\bvmtap_\w+", target["expr"]) for panel in board["panels"] for target in panel["targets"])
