#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Count tests: tally.py meson TESTLOG.json | junit RESULTS.xml [REASONS [IDS]], prints "PASSED FAILED SKIPPED".

To the file REASONS are added, for each that failed, its name and the first lines of why. Of pytest's tests, the
names by which to run them again are written to the file IDS (with junit_family=xunit1, which says in what file).

A cmocka program counts with its claims; one that failed without saying which (a crash, a
sanitizer's report, a time-out) counts as one failure more. Missing results are a failure.
"""

import json
import re
import sys
import xml.etree.ElementTree

WHY_LINES = 12
WHY_WIDTH = 240


def brief(name, text):
    lines = [line.rstrip()[:WHY_WIDTH] for line in text.splitlines() if line.strip()]
    return "\n    ".join([name] + lines[:WHY_LINES]) + "\n"


def meson(path, reasons, ids):
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
            if test["result"] not in ("OK", "SKIP"):
                said = out + "\n" + test.get("stderr", "")
                why = [line for line in said.splitlines() if not re.match(r"\[( RUN  |       OK |=====)", line)]
                reasons.append(brief("%s: %s" % (test["name"], test["result"]), "\n".join(why)))
    return passed, failed, skipped


def node_id(case):
    file, name = case.get("file", ""), case.get("classname", "")
    inner = name[len(file[:-len(".py")]):].strip(".").split(".")
    return "::".join([file, *filter(None, inner), case.get("name", "")])


def junit(path, reasons, ids):
    passed = failed = skipped = 0
    root = xml.etree.ElementTree.parse(path).getroot()
    for case in root.iter("testcase"):
        for bad in case.findall("failure") + case.findall("error"):
            reasons.append(brief(node_id(case), bad.get("message", "")))
            if node_id(case) not in ids:
                ids.append(node_id(case))
    for suite in root.iter("testsuite"):
        bad = int(suite.get("failures")) + int(suite.get("errors"))
        skip = int(suite.get("skipped"))
        passed += int(suite.get("tests")) - bad - skip
        failed += bad
        skipped += skip
    return passed, failed, skipped


def main():
    kind, path, *to = sys.argv[1:]
    reasons, ids = [], []
    try:
        counts = {"meson": meson, "junit": junit}[kind](path, reasons, ids)
    except (OSError, ValueError, xml.etree.ElementTree.ParseError) as e:
        print("tally: %s" % e, file=sys.stderr)
        counts = 0, 1, 0
        reasons.append("%s: no results: %s\n" % (path, e))
    if to:
        with open(to[0], "a", encoding="utf-8") as out:
            out.writelines(reasons)
    if to[1:]:
        with open(to[1], "w", encoding="utf-8") as out:
            out.writelines(name + "\n" for name in ids)
    print(*counts)


main()
