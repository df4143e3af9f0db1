# SPDX-License-Identifier: MIT
"""Documents speak of what exists."""

import re
import subprocess

import pytest

# What is neither ours nor to be found in a folder of this tree.
SYSTEM = {"read", "write", "recv", "sendmsg", "recvmmsg", "sendmmsg", "io_uring_enter", "like_this"}
PLACEHOLDERS = re.compile(r"NAME|pipe|\*|…|^/|^build|^\w+:")
DOCUMENTS = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/architecture.md", "docs/vhost-user.md", "docs/vhost-net.md",
             "docs/performance.md", "bench/README.md"]

every_document = pytest.mark.parametrize("name", DOCUMENTS)


def spans(text):
    """What stands between single backticks, outside of code blocks."""
    text = re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S)
    return re.findall(r"`([^`\n]+)`", text)


@pytest.fixture(scope="module")
def sources(top):
    files = [p for folder in ("src", "include", "tests") for p in (top / folder).rglob("*") if p.suffix in (".c", ".h", ".py")]
    return "\n".join(p.read_text() for p in files)


@every_document
def test_links_lead_somewhere(top, name):
    document = top / name
    text = re.sub(r"^```.*?^```$", "", document.read_text(), flags=re.M | re.S)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"https?:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (document.parent / path) if path else document
        assert file.exists(), target
        headings = [re.sub(r"[^\w\- ]", "", h.lower()).strip().replace(" ", "-")
                    for h in re.findall(r"^#+ (.*)$", file.read_text(), re.M)]
        assert not anchor or anchor in headings, target


@every_document
def test_functions_exist(top, sources, name):
    named = {match for span in spans((top / name).read_text()) for match in re.findall(r"\b([a-z_]\w*)\(", span)}
    missing = sorted(f for f in named - SYSTEM if not re.search(r"^[\w \*]*\b%s\(" % f, sources, re.M))
    assert missing == []


@every_document
def test_files_exist(top, name):
    for span in spans((top / name).read_text()):
        if "/" not in span or " " in span or PLACEHOLDERS.search(span):
            continue
        path = span.rstrip("/")
        assert any((top / base / path).exists() for base in ("", "src", "tests/unit")), span


@every_document
def test_make_targets_exist(top, name):
    makefile = (top / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z][a-z -]*?):", makefile, re.M))
    targets = {t for line in targets for t in line.split()}
    text = (top / name).read_text()
    for target in re.findall(r"^ {4}make +([a-z-]+)", text, re.M) + re.findall(r"`make ([a-z-]+)", text):
        assert target in targets, target


def test_every_folder_of_the_sources_is_in_the_architecture(top):
    text = (top / "docs/architecture.md").read_text()
    for folder in sorted(p.name for p in (top / "src").iterdir() if p.is_dir()):
        assert re.search(r"^\| `%s/" % folder, text, re.M), folder


def test_readme_names_every_port_type(top, types):
    text = (top / "README.md").read_text()
    assert [name for name in types if not re.search(r"\b%s\b" % name, text)] == []


def test_every_line_of_a_document_fits(top):
    for name in DOCUMENTS:
        long = [line for line in (top / name).read_text().splitlines() if len(line) > 120 and not line.startswith("|")]
        assert long == [], name


def test_scripts_explain_themselves(top):
    for path in sorted((top / "scripts").glob("*.sh")) + [top / "scripts/check-arrows.py"]:
        if path.name == "setcap-helper.sh":
            continue  # runs inside of meson install
        done = subprocess.run([path, "--help"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, timeout=30)
        assert done.returncode == 0 and "usage:" in done.stdout, path
