# SPDX-License-Identifier: MIT
"""The build that is looked at: $VMTAP_BUILD, or build/. No root, no network."""

import json
import os
import subprocess
from pathlib import Path

import pytest

TOP = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def top():
    return TOP


@pytest.fixture(scope="session")
def build():
    """The build directory."""
    path = Path(os.environ.get("VMTAP_BUILD") or TOP / "build").absolute()
    assert (path / "vmtap").exists(), "there is no vmtap in %s: make" % path
    return path


@pytest.fixture(scope="session")
def vmtap(build):
    """Run the program; returns what it prints on stdout."""
    def run(*args):
        return subprocess.run([build / "vmtap", *args], stdout=subprocess.PIPE, check=True, text=True, timeout=30).stdout
    return run


@pytest.fixture(scope="session")
def words(vmtap):
    """What the program offers to complete a word with, and what it says of it."""
    def ask(*args):
        return dict(line.split("\t", 1) for line in vmtap("__complete", *args).splitlines())
    return ask


@pytest.fixture(scope="session")
def common(words):
    """Keys that all port types have, but for `id`: {key: explanation}."""
    found = {word.rstrip("="): text for word, text in words("common").items()}
    assert found.pop("id")
    return found


@pytest.fixture(scope="session")
def types(words, common):
    """Every port type and its own keys, as the program knows them: {type: {key: explanation}}."""
    def keys(name):
        found = {word.split(",")[1].rstrip("="): text for word, text in words("port", name + ",").items()}
        assert common.items() <= found.items()
        return {key: text for key, text in found.items() if key not in common}
    return {name: keys(name) for name in words("type")}


@pytest.fixture(scope="session")
def sanitizers(build):
    """Compiler flags that whatever is linked to the library needs, too."""
    options = subprocess.run(["meson", "introspect", "--buildoptions", build], stdout=subprocess.PIPE, check=True).stdout
    chosen = next(o["value"] for o in json.loads(options) if o["name"] == "b_sanitize")
    return [] if chosen == "none" else ["-fsanitize=" + chosen]
