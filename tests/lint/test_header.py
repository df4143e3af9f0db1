# SPDX-License-Identifier: MIT
"""The public header stands alone, in C and in C++, whatever the compiler."""

import os
import re
import shutil
import subprocess

import pytest

STRICT = ["-Wall", "-Wextra", "-pedantic", "-Wundef", "-Werror"]

# It must include what it needs, bear being included twice, and define nothing.
TWICE = "#include <vmtap/vmtap.h>\n#include <vmtap/vmtap.h>\nint main(void) { return VMTAP_VERSION_MAJOR; }\n"


def compiler(name):
    if not shutil.which(name):
        pytest.skip("%s is not installed" % name)
    return name


def run(*cmd, **kw):
    done = subprocess.run(cmd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120, **kw)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("std", ["c11", "c17"])
@pytest.mark.parametrize("cc", ["gcc", "clang"])
def test_compiles_as_c(top, cc, std):
    run(compiler(cc), "-std=" + std, *STRICT, "-Wshadow", "-Wstrict-prototypes", "-I", top / "include", "-fsyntax-only", "-x", "c",
        "-", input=TWICE)


@pytest.mark.parametrize("std", ["c++17", "c++20"])
@pytest.mark.parametrize("cxx", ["g++", "clang++"])
def test_compiles_as_cplusplus(top, cxx, std):
    run(compiler(cxx), "-std=" + std, *STRICT, "-I", top / "include", "-fsyntax-only", "-x", "c++", "-", input=TWICE)


@pytest.mark.parametrize("cxx", ["g++", "clang++"])
def test_cplusplus_program_links_and_runs(top, build, sanitizers, tmp_path, cxx):
    if sanitizers and cxx == "clang++":
        pytest.skip("its sanitizers are not those of the gcc that built the library")
    program = tmp_path / "header"
    run(compiler(cxx), "-std=c++17", *STRICT, *sanitizers, "-I", top / "include", top / "tests/lint/header.cpp",
        "-o", program, "-L", build, "-lvmtap")
    run(program, env={**os.environ, "LD_LIBRARY_PATH": str(build)})


def test_version_is_the_projects(top):
    header = (top / "include/vmtap/vmtap.h").read_text()
    version = re.search(r"^  version: '([^']+)'", (top / "meson.build").read_text(), re.M).group(1)
    parts = [re.search(r"#define VMTAP_VERSION_%s (\d+)" % p, header).group(1) for p in ("MAJOR", "MINOR", "PATCH")]
    assert ".".join(parts) == version
    assert '#define VMTAP_VERSION "%s"' % version in header
