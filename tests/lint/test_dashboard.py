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


def test_each_panel_has_a_place_and_a_number_of_its_own(top):
    panels = json.loads((top / "docs/grafana/vmtap.json").read_text())["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken = set()
    for at in (panel["gridPos"] for panel in panels):
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken and at["x"] + at["w"] <= 24
        taken |= cells


def test_the_dashboard_has_the_share_of_frames_to_be_segmented_each_way(top):
    panels = json.loads((top / "docs/grafana/vmtap.json").read_text())["panels"]
    asked, = [[target["expr"] for target in panel["targets"]] for panel in panels if "GSO" in panel["title"]]
    for way, expr in zip(("receive", "transmit"), asked, strict=True):
        assert re.findall(r"vmtap_port_\w+", expr) == ["vmtap_port_%s_%s_total" % (way, what)
                                                      for what in ("gso_frames", "frames")]
