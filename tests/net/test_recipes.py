# SPDX-License-Identifier: MIT
"""The recipes of README and docs/vhost-user.md do what these say.

A recipe is a row of code blocks, each behind a comment that says how it is run:

    <!-- recipe: NAME -->                              to its end, which must be a success
    <!-- recipe: NAME, until "TEXT" -->                until it says TEXT; then it goes on
    <!-- recipe: NAME, until the guest has booted -->  the same, for QEMU
    <!-- recipe: NAME, until it waits at SOCKET -->    QEMU, which does not go on before somebody came
    <!-- recipe: NAME, in the guest -->                in the guest, when it has booted
    <!-- recipe: NAME, as FILE -->                     a file of the folder

Only the environment is ours: a namespace and a folder of its own, a PATH with this build's
vmtap and a qemu-system-x86_64 that boots the test guest (over INTx: version 7.2 would crash over
vhost-user and MSI-X, without KVM), and pkg-config's idea of what is installed.
"""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "lib"))
sys.path.insert(0, str(Path(__file__).parents[2] / "scripts" / "guest"))
import agent  # noqa: E402
import vmtap  # noqa: E402
from netns import wait_until  # noqa: E402

TOP = Path(__file__).parents[2]
DOCUMENTS = ["README.md", "docs/vhost-user.md"]
BLOCK = re.compile(r"^<!-- recipe: (\w+)(?:, (.*?))? -->\n```\w+\n(.*?)^```$", re.M | re.S)

QEMU = """#!/bin/sh
PATH=%(path)s exec %(boot)s -serial file:console -serial chardev:agent \\
	-chardev socket,id=agent,path=agent.sock,server=on,wait=on -global virtio-net-pci.vectors=0 "$@"
"""


def recipes():
    """{name: [(how, text), ...]} in the order of the documents."""
    found = {}
    for document in DOCUMENTS:
        for name, how, text in BLOCK.findall((TOP / document).read_text()):
            found.setdefault(name, []).append((how, text))
    return found


RECIPES = recipes()


def needs_guest(name):
    return any("guest" in how for how, _ in RECIPES[name])


@pytest.fixture(scope="module")
def image():
    """The guest's kernel and initramfs, made if need be."""
    subprocess.run([TOP / "scripts/guest-image.sh"], check=True, stdin=subprocess.DEVNULL)


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """Variables that make pkg-config and the loader find an installed libvmtap."""
    root = tmp_path_factory.mktemp("root")
    subprocess.run(["meson", "install", "-C", vmtap.build(), "--no-rebuild", "--quiet", "--destdir", root], check=True,
                   stdout=subprocess.DEVNULL)
    (pc,) = root.rglob("libvmtap.pc")
    return {"PKG_CONFIG_SYSROOT_DIR": str(root), "PKG_CONFIG_LIBDIR": str(pc.parent),
            "LD_LIBRARY_PATH": str(pc.parent.parent)}


@pytest.fixture
def tools(folder, public_program):
    """A folder for the front of PATH."""
    path = Path(folder) / "tools"
    path.mkdir()
    (path / "vmtap").symlink_to(public_program)
    scripts = {"qemu-system-x86_64": QEMU % {"path": os.environ["PATH"], "boot": TOP / "scripts/guest-boot.sh"}}
    options = json.loads(subprocess.run(["meson", "introspect", "--buildoptions", vmtap.build()], check=True,
                                        stdout=subprocess.PIPE).stdout)
    sanitize = next(o["value"] for o in options if o["name"] == "b_sanitize")
    if sanitize != "none":  # whatever is linked to such a library needs it, too
        scripts["cc"] = '#!/bin/sh\nexec gcc -fsanitize=%s "$@"\n' % sanitize
    for name, text in scripts.items():
        (path / name).write_text(text)
        (path / name).chmod(0o755)
    return path


class Kitchen:
    """Where a recipe is tried."""

    def __init__(self, ns, folder, tools, env):
        self.ns = ns
        self.folder = Path(folder)
        self.env = {**os.environ, **env, "PATH": "%s:%s" % (tools, os.environ["PATH"]), "VM": "-no-reboot"}
        self.running = []
        self.agent = None
        self.booted = False

    def log(self, number):
        return self.folder / ("block-%d.log" % number)

    def start(self, number, text):
        with open(self.log(number), "wb") as log:
            # A session of its own: Ctrl-C at the terminal that the block has to itself.
            proc = self.ns.popen(["bash", "-euo", "pipefail", "-c", text], stdout=log, stderr=log, cwd=self.folder,
                                 env=self.env, start_new_session=True)
        self.running.append(proc)
        return proc

    def wait_for_text(self, number, proc, text):
        def said():
            output = self.log(number).read_text(errors="replace")
            assert proc.poll() is None, "it ended with status %d\n%s" % (proc.returncode, output)
            return text in output
        wait_until(said, timeout=60, what='"%s" in the output' % text)

    def boot(self, proc, waits_at=None):
        self.agent = agent.Agent(agent.connect(str(self.folder / "agent.sock")))
        if waits_at:
            wait_until((self.folder / waits_at).exists, what=waits_at)
        else:
            self.wait_booted()
        assert proc.poll() is None

    def wait_booted(self):
        if not self.booted:
            self.agent.wait_ready(90)
            self.booted = True

    def do(self, number, how, text):
        if how.startswith("as "):
            (self.folder / how[3:]).write_text(text)
        elif how == "in the guest":
            self.wait_booted()
            status, output = self.agent.run("set -e\n" + text)
            assert status == 0, output
        elif how == "until the guest has booted":
            self.boot(self.start(number, text))
        elif how.startswith("until it waits at "):
            self.boot(self.start(number, text), how[18:])
        elif how:
            self.wait_for_text(number, self.start(number, text), re.fullmatch(r'until "(.*)"', how).group(1))
        else:
            status = self.start(number, text).wait(60)
            assert status == 0, self.log(number).read_text(errors="replace")

    def clean_up(self):
        """Ctrl-C in every terminal, the last one first."""
        if self.agent:
            self.agent.close()
        for proc in reversed(self.running):
            try:
                os.killpg(proc.pid, signal.SIGINT)
            except ProcessLookupError:
                pass
        for proc in self.running:
            proc.wait(10)


@pytest.fixture
def kitchen(request, ns, folder, tools, installed):
    kitchen = Kitchen(ns, folder, tools, installed if request.param == "library" else {})
    try:
        yield kitchen
    finally:
        kitchen.clean_up()


def test_there_are_recipes():
    assert set(RECIPES) >= {"vhost", "stream", "dgram", "bridge", "descriptor", "responder", "library", "connects"}
    # No block of shell or C is left out; those of libvirt are run by tests/guest/test_libvirt*.py.
    text = "".join((TOP / document).read_text() for document in DOCUMENTS)
    text = re.sub(r"^<!-- libvirt: \w+ -->\n```sh$", "", text, flags=re.M)
    assert len(re.findall(r"^```(?:sh|c)$", text, re.M)) == sum(len(blocks) for blocks in RECIPES.values())


@pytest.mark.parametrize("kitchen, name", [(name, name) for name in RECIPES], indirect=["kitchen"], ids=list(RECIPES))
def test_recipe(request, kitchen, name):
    if needs_guest(name):
        if os.environ.get("VMTAP_IN_GUEST"):
            pytest.skip("a guest of an emulated guest does not boot in ten minutes")
        request.getfixturevalue("image")
    for number, (how, text) in enumerate(RECIPES[name]):
        kitchen.do(number, how, text)
    kitchen.clean_up()
    # The TAPs have gone with those who made them.
    assert [link for link in kitchen.ns.links() if link.startswith("vm")] == []
    assert not list(kitchen.folder.glob("vm*.sock"))
