# SPDX-License-Identifier: MIT
"""What `meson install` installs is complete and can be built against."""

import os
import re
import subprocess
from pathlib import Path

import pytest


def run(*cmd, **kw):
    done = subprocess.run(cmd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=120, **kw)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def root(build, tmp_path_factory):
    """A folder that everything was installed into, as DESTDIR."""
    path = tmp_path_factory.mktemp("root")
    run("meson", "install", "-C", build, "--no-rebuild", "--quiet", "--destdir", path)
    return path


@pytest.fixture(scope="module")
def find(root):
    """The one installed file whose path ends like that."""
    def look(end):
        found = [p for p in root.rglob(Path(end).name) if str(p).endswith("/" + end)]
        assert len(found) == 1, "%s: %s" % (end, found)
        return found[0]
    return look


@pytest.fixture(scope="module")
def pkg_config(root, find):
    env = {**os.environ, "PKG_CONFIG_SYSROOT_DIR": str(root), "PKG_CONFIG_LIBDIR": str(find("libvmtap.pc").parent)}
    return lambda *args: run("pkg-config", *args, "libvmtap", env=env).split()


def test_everything_is_there(find):
    for end in ("bin/vmtap", "include/vmtap/vmtap.h", "pkgconfig/libvmtap.pc", "libvmtap.so", "libvmtap.so.0",
                "share/bash-completion/completions/vmtap", "share/zsh/site-functions/_vmtap",
                "systemd/system/vmtap@.service", "systemd/system/vmtap.service",
                "systemd/system/vmtap.socket"):
        assert find(end).exists()


def test_manual_pages_are_there(build, find):
    if not (build / "man" / "vmtap.1").exists():
        pytest.skip("the pages were not built: they need scdoc")
    assert find("share/man/man1/vmtap.1").exists()
    assert find("share/man/man3/libvmtap.3").exists()


def test_nothing_of_the_tests_is_installed(root):
    names = [p.name for p in root.rglob("*")]
    assert [n for n in names if re.match(r"test|fuzz|bench|app-port|lwip", n)] == []


def test_only_what_the_header_declares_is_exported(top, find):
    lines = run("nm", "--dynamic", "--defined-only", find("libvmtap.so")).splitlines()
    exported = {line.split()[2] for line in lines if line.split()[1] != "A"}
    header = re.sub(r"/\*.*?\*/", "", (top / "include/vmtap/vmtap.h").read_text(), flags=re.S)
    declared = set(re.findall(r"\b(vmtap_\w+)\s*\(", re.sub(r"\btypedef\b[^;{]*;", "", header)))
    # "NAME@@VERSION": every symbol has one.
    assert {re.sub(r"@@.*", "", name) for name in exported} == declared
    assert [name for name in exported if "@@VMTAP_" not in name] == []


def test_example_is_built_against_the_installed_library(top, root, find, pkg_config, sanitizers, tmp_path):
    program = tmp_path / "app-port"
    flags = pkg_config("--cflags", "--libs")
    run("cc", "-std=gnu17", "-Wall", "-Wextra", "-Werror", "-Wno-unused-parameter", *sanitizers, "-o", program,
        top / "examples/app-port.c", *flags)
    # It runs, and finds the library: no port is the shortest of its answers.
    library = find("libvmtap.so.0").parent
    done = subprocess.run([program, "nonesuch"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          env={**os.environ, "LD_LIBRARY_PATH": str(library)}, timeout=30)
    assert done.returncode == 1
    assert "there is no port type of that name" in done.stderr


def test_pkg_config_tells_the_version_and_no_private_library(pkg_config):
    assert re.fullmatch(r"\d+\.\d+\.\d+", pkg_config("--modversion")[0])
    assert [flag for flag in pkg_config("--libs") if re.match(r"-l(mnl|jansson|uring)", flag)] == []


def test_installed_program_finds_the_installed_library(find):
    env = {**os.environ, "LD_LIBRARY_PATH": str(find("libvmtap.so.0").parent)}
    assert re.fullmatch(r"vmtap \d+\.\d+\.\d+\n", run(find("bin/vmtap"), "--version", env=env))
