#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Count tests: tally.py meson TESTLOG.json | junit RESULTS.xml, prints "PASSED FAILED SKIPPED".

A cmocka program counts with its claims; one that failed without saying which (a crash, a
sanitizer's report, a time-out) counts as one failure more. Missing results are a failure.
"""

import json
import re
import sys
import xml.etree.ElementTree


def meson(path):
    passed = failed = skipped = 0
    with open(path) as log:
        for line in log:
            test = json.loads(line)
            out = test.get("stdout", "")
            ok = len(re.findall(r"^\[       OK \]", out, re.M))
            bad = len(set(re.findall(r"^\[  FAILED  \] (\w+)$", out, re.M)))
            passed += ok
            failed += bad
            skipped += len(set(re.findall(r"^\[  SKIPPED \] (\w+)$", out, re.M)))
            if test["result"] == "OK" and not ok:
                passed += 1  # a test without claims of its own
            elif test["result"] not in ("OK", "SKIP") and not bad:
                failed += 1
            elif test["result"] == "SKIP":
                skipped += 1
    return passed, failed, skipped


def junit(path):
    passed = failed = skipped = 0
    for suite in xml.etree.ElementTree.parse(path).getroot().iter("testsuite"):
        bad = int(suite.get("failures")) + int(suite.get("errors"))
        skip = int(suite.get("skipped"))
        passed += int(suite.get("tests")) - bad - skip
        failed += bad
        skipped += skip
    return passed, failed, skipped


def main():
    kind, path = sys.argv[1:]
    try:
        counts = {"meson": meson, "junit": junit}[kind](path)
    except (OSError, ValueError, xml.etree.ElementTree.ParseError) as e:
        print("tally: %s" % e, file=sys.stderr)
        counts = 0, 1, 0
    print(*counts)


main()
