# SPDX-License-Identifier: MIT
"""Completion in bash and zsh offers what the program knows."""

import os
import pty
import re
import select
import shutil
import subprocess
import time
import tty

import pytest


@pytest.fixture(scope="module")
def commands(vmtap):
    """As --help lists them."""
    found = re.findall(r"^(?:usage:| {6}) vmtap (?:\[[^]]+\](?:\.\.\.)? )?(\w+)", vmtap("--help"), re.M)
    assert {"connect", "check", "exec", "list", "help"} <= set(found)
    return found


@pytest.fixture(scope="module")
def env(build):
    return {**os.environ, "PATH": "%s:%s" % (build, os.environ["PATH"]), "LC_ALL": "C.UTF-8"}


@pytest.fixture
def folder(tmp_path):
    """Files to complete, in a folder to be in."""
    (tmp_path / "sub").mkdir()
    for name in "up.sh", "up two.sh", "down.sh":
        (tmp_path / name).touch()
    return tmp_path


# ------------------------------------------------------------------------------ bash


@pytest.fixture
def bash(top, env, folder):
    """What is offered behind a line, and what was asked of bash."""
    def complete(line):
        done = subprocess.run(["bash", top / "tests/lint/complete.bash", top / "completions/vmtap.bash", line],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env, cwd=folder,
                              timeout=30)
        assert (done.returncode, done.stderr) == (0, "")
        *offered, asked = done.stdout.splitlines()
        return offered, set(asked.split()[1:])
    return complete


def test_bash_offers_commands(bash, commands):
    assert bash("vmtap ") == (commands, set())
    assert bash("vmtap co") == (["connect"], set())
    assert bash("vmtap -v --stats 2 --log-format json he") == (["help"], set())


def test_bash_offers_options(bash):
    assert bash("vmtap --st") == (["--stats="], {"nospace"})
    assert bash("vmtap connect --ver") == (["--verbose", "--version"], set())
    assert bash("vmtap -v --qui") == (["--quiet"], set())


@pytest.mark.parametrize("line", ["vmtap --log-format ", "vmtap --log-format=", "vmtap connect tap --log-format="])
def test_bash_offers_log_formats(bash, line):
    # Bash breaks words at "=" and wants what follows it.
    assert bash(line)[0] == ["text", "json"]


def test_bash_offers_engines(bash):
    assert bash("vmtap --engine ")[0] == bash("vmtap -v --engine=")[0] == ["auto", "io_uring", "plain"]


def test_bash_offers_nothing_for_a_number(bash):
    assert bash("vmtap --stats ") == ([], set())


def test_bash_offers_types_without_a_blank(bash, types):
    assert bash("vmtap connect ") == ([t + "," for t in types], {"nospace"})
    assert bash("vmtap connect tap,ifname=vm0 str") == (["stream,"], {"nospace"})
    assert bash("vmtap check tap null resp") == (["responder,"], {"nospace"})


def test_bash_offers_every_key_of_every_type(bash, types, common):
    for name, keys in types.items():
        assert bash("vmtap connect %s," % name) == (["%s,%s=" % (name, key) for key in [*keys, *common]], {"nospace"})


def test_bash_replies_begin_where_bash_breaks_the_word(bash):
    # The whole word is tap,up=on,q; bash has broken it at "=".
    assert bash("vmtap connect tap,up=on,que") == (["on,queues="], {"nospace"})
    assert bash("vmtap connect null,dst=02:00:00:00:00:01,co") == (["01,count="], {"nospace"})


def test_bash_offers_values(bash):
    assert bash("vmtap connect tap,up=") == (["on", "off"], {"nospace"})
    assert bash("vmtap connect tap,ifname=x,up=of") == (["off"], {"nospace"})


def test_bash_does_not_offer_a_key_twice(bash):
    assert bash("vmtap connect tap,up=on,up") == ([], {"nospace"})
    assert bash("vmtap connect tap,up,up") == ([], {"nospace"})


def test_bash_takes_a_double_comma_for_text(bash):
    assert bash("vmtap connect stream,path=a,,b,serv") == (["a,,b,server="], {"nospace"})


@pytest.mark.parametrize("key", ["tap,script", "tap,ifname=vm0,downscript", "stream,path", "stream,addr.path", "dgram,local",
                                 "dgram,remote", "dgram,local.path"])
def test_bash_offers_files(bash, key):
    offered, asked = bash("vmtap connect %s=u" % key)
    assert (sorted(offered), asked) == (["up two.sh", "up.sh"], {"nospace", "filenames"})
    assert bash("vmtap connect %s=./s" % key)[0] == ["./sub"]


def test_bash_offers_as_many_ports_as_one_likes(bash, types):
    assert bash("vmtap connect tap null ") == ([name + "," for name in types], {"nospace"})
    assert bash("vmtap connect tap null st") == (["stream,"], {"nospace"})


def test_bash_offers_nothing_where_nothing_is_known(bash):
    for line in "vmtap connect nonesuch,", "vmtap connect tap,nonesuch=", "vmtap nonesuch ", "vmtap connect tap,mac=":
        assert bash(line)[0] == [], line


def test_bash_offers_a_port_and_then_a_program_for_exec(bash):
    assert bash("vmtap exec --wait ta") == (["tap,"], {"nospace"})
    for line in "vmtap exec tap ", "vmtap exec --wait tap -- ":
        offered, asked = bash(line + "basena")
        assert ("basename" in offered, asked) == (True, set())
    assert sorted(bash("vmtap exec tap -- sh u")[0]) == ["up two.sh", "up.sh"]
    # Behind "--" nothing is an option of vmtap.
    assert bash("vmtap exec tap -- sh --vers") == ([], {"filenames"})


def test_bash_offers_types_for_help(bash, types):
    assert bash("vmtap help ") == ([*types, "port", "switch"], set())
    assert bash("vmtap help tap ") == ([], set())


class Typist:
    """An interactive bash; what becomes of a line after a tab."""

    def __init__(self, env, cwd):
        self.fd, slave = pty.openpty()
        tty.setraw(slave)  # so that what is typed early waits as it is
        self.proc = subprocess.Popen(["bash", "--norc", "--noprofile", "-i"], stdin=slave, stdout=slave, stderr=slave,
                                     env={**env, "TERM": "dumb", "PS1": "", "INPUTRC": "/dev/null"}, cwd=cwd,
                                     start_new_session=True)
        os.close(slave)

    def type(self, text, until):
        os.write(self.fd, text.encode())
        seen = ""
        deadline = time.monotonic() + 20
        while True:
            found = re.search(until, seen)
            if found:
                return found
            left = deadline - time.monotonic()
            assert left > 0 and select.select([self.fd], [], [], left)[0], "bash says only %r" % seen
            seen += os.read(self.fd, 4096).decode()

    def close(self):
        self.proc.kill()
        self.proc.wait()
        os.close(self.fd)


def test_bash_at_a_terminal(top, env, folder):
    typist = Typist(env, folder)
    try:
        typist.type("bind 'set enable-bracketed-paste off'; source '%s'; echo so''urced\n" % (top / "completions/vmtap.bash"),
                    "sourced")
        # C-t shows the line as it is.
        typist.type("bind -x '\"\\C-t\": printf \"<%s>\" \"$READLINE_LINE\"'; echo bo''und\n", "bound")
        for typed, becomes in [
            ("vmtap conn", "vmtap connect "),
            ("vmtap connect ta", "vmtap connect tap,"),
            ("vmtap connect tap,up=on,que", "vmtap connect tap,up=on,queues="),
            ("vmtap connect tap,up=of", "vmtap connect tap,up=off"),
            ("vmtap connect tap,script=do", "vmtap connect tap,script=down.sh"),
            ("vmtap connect tap,script=./s", "vmtap connect tap,script=./sub/"),
            ("vmtap --log-format=j", "vmtap --log-format=json "),
        ]:
            # C-u empties the line for the next one.
            assert typist.type("%s\t\x14\x15" % typed, "<(.*?)>").group(1) == becomes
    finally:
        typist.close()


# ------------------------------------------------------------------------------- zsh


@pytest.fixture
def zsh(top, env, folder):
    """For each line: what is offered at a tab behind it, and what becomes of it."""
    if not shutil.which("zsh"):
        pytest.skip("zsh is not installed; as root: apt-get install zsh")

    def complete(*lines):
        done = subprocess.run(["zsh", "-f", top / "tests/lint/complete.zsh", top / "completions", *lines],
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                              env=env, cwd=folder, timeout=60)
        assert (done.returncode, done.stderr) == (0, "")
        answers = [(offered.split(), becomes) for offered, becomes in
                   re.findall(r"((?:^(?!LINE=).*\n)*)^LINE=(.*)\n", done.stdout, re.M)]
        assert len(answers) == len(lines), done.stdout
        return answers
    return complete


def test_zsh_offers_commands_and_options(zsh, commands):
    assert zsh("vmtap ", "vmtap -v --stats 2 con", "vmtap --st", "vmtap --log-format=", "vmtap --log-format=j") == [
        (commands, "vmtap "),
        (["connect"], "vmtap -v --stats 2 connect "),
        (["--stats"], "vmtap --stats="),
        (["text", "json"], "vmtap --log-format="),
        (["json"], "vmtap --log-format=json "),
    ]


def test_zsh_offers_every_type_and_key_without_a_blank(zsh, types, common):
    lines = ["vmtap connect "] + ["vmtap connect %s," % name for name in types]
    expected = [[name + "," for name in types]] + [[key + "=" for key in [*keys, *common]] for keys in types.values()]
    for (offered, becomes), line, words in zip(zsh(*lines), lines, expected):
        assert sorted(offered) == sorted(words)
        assert becomes.startswith(line)


def test_zsh_completes_keys_and_values(zsh):
    assert zsh("vmtap connect tap,ifname=vm0 str", "vmtap check tap,up=on,que", "vmtap connect tap,up=",
               "vmtap connect tap,up=of") == [
        (["stream,"], "vmtap connect tap,ifname=vm0 stream,"),
        (["queues="], "vmtap check tap,up=on,queues="),
        (["on", "off"], "vmtap connect tap,up=o"),
        (["off"], "vmtap connect tap,up=off"),
    ]


def test_zsh_offers_files(zsh):
    keys = ["tap,script", "stream,path", "stream,addr.path", "dgram,local"]
    assert zsh(*["vmtap connect %s=do" % key for key in keys]) == [
        (["down.sh"], "vmtap connect %s=down.sh" % key) for key in keys]


def test_zsh_offers_nothing_where_nothing_is_known(zsh):
    lines = ["vmtap connect nonesuch,", "vmtap connect tap,mac=", "vmtap help tap "]
    assert zsh(*lines) == [([], line) for line in lines]


def test_zsh_offers_a_port_and_then_a_program_for_exec(zsh):
    port, program, option = zsh("vmtap exec --wait ta", "vmtap exec tap,ifname=vm0 -- basenam", "vmtap exec tap -- sh do")
    assert port == (["tap,"], "vmtap exec --wait tap,")
    assert "basename" in program[0]
    assert "down.sh" in option[0]


def test_zsh_offers_types_for_help(zsh, types):
    assert sorted(zsh("vmtap help ")[0][0]) == sorted([*types, "port", "switch"])


# ---------------------------------------------------------------- both know everything


def test_both_know_every_command_and_option(top, vmtap, commands):
    options = set(re.findall(r"(?<![\w-])(--[a-z-]+)", vmtap("--help")))
    assert len(options) >= 6
    for name in "vmtap.bash", "_vmtap":
        # zsh's lists of what goes not together know words, too.
        script = re.sub(r"'\([^()]*\)", "'", (top / "completions" / name).read_text())
        for word in [*commands, *options]:
            assert re.search(r"(?<![\w-])%s(?![\w-])" % re.escape(word), script), "%s does not know %s" % (name, word)
