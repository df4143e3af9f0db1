# SPDX-License-Identifier: MIT
"""The manual pages say everything that the header and the program have."""

import ctypes
import os
import re
import shutil
import subprocess

import pytest


@pytest.fixture(scope="module")
def page(build):
    """A page as a reader sees it, one long line."""
    def read(name):
        path = build / "man" / name
        if not path.exists():
            pytest.skip("%s was not built: it needs scdoc" % path)
        roff = path.read_text()
        text = re.sub(r"\\f[BIR]|\\&", "", roff)
        text = text.replace("\\-", "-").replace("\\(aq", "'").replace("\\*(Aq", "'").replace("\\\\", "\\")
        return re.sub(r"\s+", " ", text)
    return read


def exported(header):
    text = re.sub(r"/\*.*?\*/", "", header, flags=re.S)
    text = re.sub(r"\btypedef\b[^;{]*;", "", text)
    return sorted(set(re.findall(r"\b(vmtap_\w+)\s*\(", text)))


def squeeze(text):
    return re.sub(r"\s+", " ", text)


def test_every_function_of_the_header_is_in_libvmtap_3(top, page):
    text = page("libvmtap.3")
    names = exported((top / "include/vmtap/vmtap.h").read_text())
    assert len(names) > 40
    assert [n for n in names if n + "(" not in text] == []


def test_every_type_and_constant_of_the_header_is_in_libvmtap_3(top, page):
    text = page("libvmtap.3")
    header = re.sub(r"/\*.*?\*/", "", (top / "include/vmtap/vmtap.h").read_text(), flags=re.S)
    names = set(re.findall(r"\b(?:struct|enum) (vmtap_\w+) \{", header)) | set(re.findall(r"\bVMTAP_\w+", header))
    names -= {"VMTAP_VMTAP_H"}
    assert len(names) > 50
    assert sorted(n for n in names if not re.search(r"\b%s\b" % n, text)) == []


def test_example_in_libvmtap_3_is_the_program_that_is_built(top, page):
    program = (top / "examples/app-port.c").read_text().split("*/\n", 1)[1]
    assert squeeze(program).strip() in page("libvmtap.3")


def test_every_key_of_every_type_is_in_vmtap_1(vmtap, types, page):
    text = page("vmtap.1")
    for name, keys in types.items():
        # Each type has a section, which ends where the next one or a new chapter begins.
        section = re.search(r"\.SS %s: (.*?)\.S[SH] " % name, text)
        assert section, "there is no section on %s" % name
        for key, meaning in keys.items():
            assert re.search(r" %s \(" % key, section.group(1)), "%s: there is no key %s" % (name, key)
            assert squeeze(meaning) in section.group(1), "%s: %s is explained otherwise" % (name, key)


def test_every_key_that_all_types_have_is_in_vmtap_1(common, page):
    section = re.search(r"\.SS port: (.*?)\.S[SH] ", page("vmtap.1")).group(1)
    for key, meaning in common.items():
        assert re.search(r" %s \(" % key, section), key
        assert squeeze(meaning) in section, key


def test_every_command_and_option_is_in_vmtap_1(vmtap, page):
    text = page("vmtap.1")
    usage = vmtap("--help").split("Port types:")[0]
    commands = re.findall(r"^(?:usage:| {6}) vmtap (?:\[[^]]+\](?:\.\.\.)? )?(\w+)", usage, re.M)
    options = set(re.findall(r"(?<![\w-])(--[a-z-]+)", usage))
    assert len(commands) >= 6 and len(options) >= 8
    synopsis, rest = text.split(".SH DESCRIPTION", 1)
    assert [c for c in commands if " %s " % c not in synopsis] == []
    assert [c for c in commands if not re.search(r"\.SH COMMANDS .*\.(?:P|RE) %s .*\.SH OPTIONS" % c, rest)] == []
    assert [o for o in options if not re.search(r"\.SH OPTIONS .*%s[ ,].*\.SH PORTS" % o, rest)] == []


def test_every_cause_of_drops_is_in_vmtap_1(build, sanitizers, page):
    if sanitizers:
        pytest.skip("a library with sanitizers cannot be loaded here; the plain build's can")
    library = ctypes.CDLL(str(build / "libvmtap.so.0"))
    library.vmtap_drop_name.restype = ctypes.c_char_p
    section = re.search(r"\.SH STATISTICS (.*?)\.SH ", page("vmtap.1")).group(1)
    names = []
    while library.vmtap_drop_name(len(names)):
        names.append(library.vmtap_drop_name(len(names)).decode())
    assert len(names) > 8
    assert [n for n in names if not re.search(r"\.(?:P|RE) %s " % n, section)] == []


def test_exit_codes_are_those_of_the_program(top, page):
    codes = re.findall(r"EXIT_\w+ = (\d+),", (top / "src/cli/cli.h").read_text())
    section = re.search(r"\.SH EXIT STATUS (.*?)\.SH ", page("vmtap.1")).group(1)
    assert sorted(re.findall(r"\.(?:P|RE) (\d+) ", section)) == sorted(codes)


def test_unit_in_the_manual_is_the_one_that_is_shipped(top, page):
    unit = (top / "systemd/vmtap@.service").read_text().split("\n", 1)[1]
    assert squeeze(unit).strip() in page("vmtap.1")


@pytest.mark.parametrize("name", ["vmtap@.service", "vmtap.service", "vmtap.socket"])
def test_unit_is_one_that_systemd_understands(top, build, tmp_path, name):
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd-analyze is not installed")
    for unit in (top / "systemd").glob("vmtap*.*"):
        text = unit.read_text()
        assert text.count("\nExecStart=vmtap ") == (unit.suffix == ".service")
        # The program is not installed, nor is its manual.
        text = text.replace("ExecStart=vmtap ", "ExecStart=%s/vmtap " % build)
        (tmp_path / unit.name).write_text(re.sub("Documentation=.*\n", "", text))
    env = {**os.environ, "SYSTEMD_UNIT_PATH": "%s:" % tmp_path}
    done = subprocess.run(["systemd-analyze", "verify", tmp_path / name], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, timeout=60, env=env)
    assert (done.returncode, done.stdout) == (0, "")


def test_pages_have_no_markup_errors(build, page):
    for name in "vmtap.1", "libvmtap.3":
        page(name)  # or skip
        if not shutil.which("groff"):
            pytest.skip("groff is not installed")
        done = subprocess.run(["groff", "-man", "-Tutf8", "-ww", "-z", "-k", build / "man" / name], stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, timeout=60)
        assert (done.returncode, done.stdout) == (0, "")
