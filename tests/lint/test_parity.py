# SPDX-License-Identifier: MIT
"""docs/parity.md: every item has a row, and every test that it names exists."""

import re

import pytest

# Items of each section of the specification.
SECTIONS = {1: 6, 2: 5, 3: 4, 4: 7, 5: 6, 6: 1, 7: 2, 8: 6, 9: 4, 10: 3, 11: 3, 12: 3}
ITEMS = ["%d.%d" % (s, i) for s, cnt in SECTIONS.items() for i in range(1, cnt + 1)]


@pytest.fixture(scope="module")
def rows(top):
    found = []
    for line in (top / "docs" / "parity.md").read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if re.match(r"\| \d", line):
            assert len(cells) == 5, line
            found.append(cells)
    return found


def named(cell):
    return re.findall(r"`([^`]+)::([^`]+)`", cell)


def test_every_item_has_a_row_in_order(rows):
    assert list(dict.fromkeys(row[0] for row in rows)) == ITEMS


def test_states_are_works_with_tests_or_open_without(rows):
    for item, _, _, tests, state in rows:
        assert state in ("works", "open"), item
        assert bool(named(tests)) is (state == "works"), item


def test_every_test_that_is_named_exists(rows, top):
    files = {p.name: p.read_text() for p in (top / "tests").rglob("*") if p.suffix in (".py", ".c")}
    missing = []
    for row in rows:
        for file, name in named(row[3]):
            text = files.get(file, "")
            pattern = r"^static void %s\(void \*\*state\)" if file.endswith(".c") else r"^def %s\("
            if not re.search(pattern % re.escape(name), text, re.M):
                missing.append("%s: %s::%s" % (row[0], file, name))
    assert missing == []


def test_every_function_that_is_named_is_in_the_public_header(rows, top):
    header = (top / "include" / "vmtap" / "vmtap.h").read_text()
    for row in rows:
        for function in re.findall(r"`(vmtap_\w+)\(\)`", row[2]):
            assert re.search(r"\b%s\(" % function, header), function
