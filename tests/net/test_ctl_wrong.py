# SPDX-License-Identifier: MIT
"""Each command of the control socket with each of its arguments wrong in every way: it is refused, nothing
changes, and the connection goes on. Commands, arguments and keys are the schema's, so that new ones are
walked, too; with each call comes a descriptor, which nobody may keep."""

import json
import os

import pytest

from ctl import Refused, Serve

# Calls as they would succeed in a Lab; those of other commands need no arguments.
RIGHT = {
    "getfd": {"fdname": "other"},
    "closefd": {"fdname": "mine"},
    "port_add": {"type": "null", "id": "new"},
    "port_del": {"id": "c"},
    "netdev_add": {"type": "null", "id": "new"},
    "netdev_del": {"id": "c"},
    "connect": {"id": "c", "peer": "lan"},
    "disconnect": {"id": "a"},
    "set_link": {"name": "a", "up": False},
    "switch_add": {"id": "new"},
    "switch_del": {"id": "lan"},
    "switch_flush": {"id": "lan"},
    "query-macs": {"id": "lan"},
    "query-groups": {"id": "lan"},
    "query-routers": {"id": "lan"},
    "open_tap": {"id": "new", "ifname": "vm9", "script": "no", "downscript": "no"},
    "throttle_set": {"id": "a", "direction": "both", "pps": 1000},
    "filter_set": {"id": "a", "mac": ""},
    "capture_start": {"port": "a", "filename": "new.pcapng"},
    "capture_stop": {"id": "running"},
    "ping_start": {"port": "a"},
    "ping_stop": {"id": "asking"},
}

# Arguments that stand for others, which are left out beside them.
INSTEAD = {"spec": ("type", "id"), "fdnames": ("filename",)}

# Of each kind in JSON.
VALUES = {"string": "x", "boolean": True, "integer": 3, "number": 1.5, "object": {}, "array": [], "null": None}

# Which of those the kinds of keys of a port type may be.
KEY_KINDS = {"on/off": {"boolean"}, "integer": {"integer"}, "bytes": {"integer", "string"}, "list": {"array", "string"}}

MIB = 1 << 20

# What no string may be, as it goes over the wire; and the longest that are read, and that are not.
BROKEN = [rb"a\u0000", rb"\u0000a", b"a\0b", b"a\x1fb", b"a\xff", b"a\xc3", b"a\xc0\x80", rb"\ud800", b"\xed\xa0\x80",
          b"\xf4\x90\x80\x80"]
LONG = [b"x" * (MIB - 1000), b"\xc3\xbc" * (MIB // 2 - 500), b"x" * MIB]

# What no integer may be, whatever its bounds are.
NUMBERS = [b"9223372036854775808", b"-9223372036854775809", b"18446744073709551616", b"1e400", b"-1e400", b"1e3", b"1.0",
           b"-0.0", b"01", b"0x10", b"NaN", b"-Infinity", b"+1"]

COUNTERS = "seen", "filtered", "dropped", "written", "bytes"


class Lab:
    """A server with two ports that are joined and one that is not, a switch, a capture, a ping, a limit, and a
    descriptor that has a name."""

    def __init__(self, server, ctl, folder):
        self.server, self.ctl, self.folder = server, ctl, folder
        self.null = os.open("/dev/null", os.O_RDWR)
        for name in "a", "b", "c":
            ctl.run("port_add", type="null", id=name)
        ctl.run("switch_add", id="lan")
        ctl.run("connect", id="a", peer="b")
        ctl.run("throttle_set", id="a", direction="rx", rate=1000000)
        ctl.run("filter_set", id="a", mac="02:00:00:00:00:01")
        ctl.run("capture_start", port="a", id="running", filename="running.pcapng")
        ctl.run("ping_start", port="a", id="asking", interval=3600000, timeout=10)
        ctl.run("getfd", fdname="mine", fds=[self.null])
        ctl.wait_event("PING_PROBE", id="asking")
        schema = ctl.run("query-schema")
        self.commands, self.types = schema["commands"], schema["port-types"]
        self.before = self.state()

    def state(self):
        """What a command could change."""
        seen = {name: self.ctl.run(name) for name in ("query-ports", "query-switches", "query-captures", "query-throttle",
                                                      "query-filter", "query-pings")}
        for rows in seen.values():
            for row in rows:
                for counter in COUNTERS:
                    row.pop(counter, None)  # a frame of the kernel's own may come at any time
        seen["descriptors"] = self.server.descriptors()
        seen["files"] = sorted(os.listdir(self.folder))
        seen["events"] = list(self.ctl.events)
        return seen

    def refuses(self, text, *says):
        """An error with each of @says in it, and nothing else."""
        shown = text if len(text) < 500 else text[:150] + b" ..."
        self.ctl.send(text + b"\n", fds=[self.null])
        answer = self.ctl.answer()
        assert answer.keys() == {"error"} and answer["error"].keys() == {"class", "desc"}, (shown, answer)
        assert answer["error"]["class"] in ("GenericError", "DeviceNotFound"), (shown, answer)
        desc = answer["error"]["desc"]
        assert 0 < len(desc) < 1200 and all(word in desc for word in says), (shown, answer)
        assert self.state() == self.before, shown

    def arguments(self, *kinds):
        """Each argument of these kinds, or of all: the command's name, the argument, and what goes with it."""
        for command in self.commands:
            for arg in command["arguments"]:
                gone = (arg["name"], *INSTEAD.get(arg["name"], ()))
                if not kinds or arg["type"] in kinds:
                    yield command["name"], arg, {
                        k: v for k, v in RIGHT.get(command["name"], {}).items() if k not in gone}

    def keys(self):
        """The same for the keys of the port types."""
        for kind in self.types:
            for key in kind["keys"]:
                for command in ("port_add", "netdev_add") + ("open_tap",) * (kind["name"] == "tap"):
                    shadowed = [a["name"] for c in self.commands if c["name"] == command for a in c["arguments"]]
                    rest = {} if command == "open_tap" else {"type": kind["name"], "id": "new"}
                    if key["name"] not in shadowed:
                        yield command, key, rest


def call(command, arguments, more=b""):
    """The text of a call; values that are bytes are text already."""
    members = [json.dumps(k).encode() + b": " + (v if isinstance(v, bytes) else json.dumps(v).encode())
               for k, v in arguments.items()]
    return b'{"execute": "%s", "arguments": {%s%s}}' % (command.encode(), b", ".join(members), more)


@pytest.fixture
def lab(ns, folder):
    with Serve(ns, folder, cwd=folder) as server, server.client() as ctl:
        made = Lab(server, ctl, folder)
        yield made
        os.close(made.null)
        ctl.run("closefd", fdname="mine")


@pytest.mark.parametrize("command", RIGHT)
def test_what_is_made_wrong_here_is_right(ns, folder, command):
    """Or it would be refused anyhow."""
    with Serve(ns, folder, cwd=folder) as server, server.client() as ctl:
        made = Lab(server, ctl, folder)
        ctl.run(command, fds=[made.null], **RIGHT[command])
        os.close(made.null)


def test_arguments_of_another_kind_are_refused(lab):
    for command, arg, rest in lab.arguments():
        for kind, value in VALUES.items():
            if kind != arg["type"]:
                lab.refuses(call(command, {**rest, arg["name"]: value}), "%s is not of the kind" % arg["name"], arg["type"])


def test_keys_of_another_kind_are_refused(lab):
    for command, key, rest in lab.keys():
        legal = KEY_KINDS.get(key["kind"].split()[0], {"string"})
        for kind, value in VALUES.items():
            if kind not in legal:
                lab.refuses(call(command, {**rest, key["name"]: value}), key["name"])


def test_arguments_that_are_left_out_are_missed(lab):
    for command, arg, rest in lab.arguments():
        if arg["required"]:
            lab.refuses(call(command, rest), "%s is missing" % arg["name"])
            lab.refuses(b'{"execute": "%s"}' % command.encode(), "is missing")


def test_arguments_that_there_are_not_are_refused(lab):
    for command in lab.commands:
        for name in "nosuch", "Id", "", "x" * 1000, "a.b", "id\u00e4", "\U0001f40c" * 100:
            lab.refuses(call(command["name"], {**RIGHT.get(command["name"], {}), name: 1}), name[:15])


def test_another_type_than_the_commands_own_is_refused(lab):
    for command, own in ("open_tap", "tap"), ("switch_add", "switch"):
        for value in "null", "", "TAP", 1, None, [], {}:
            lab.refuses(call(command, {**RIGHT[command], "type": value}), own)


def test_a_key_that_is_there_twice_is_refused(lab):
    for command, arg, rest in lab.arguments():
        name = arg["name"].encode()
        value = {"string": b'"a"', "boolean": b"true", "integer": b"100", "array": b'["mine"]'}[arg["type"]]
        for again in name, b"\\u%04x" % name[0] + name[1:]:
            twice = b'"%s": %s, "%s": %s' % (name, value, again, value)
            lab.refuses(call(command, rest, b", " * bool(rest) + twice), "duplicate")
    for command in lab.commands:
        name = command["name"].encode()
        lab.refuses(b'{"execute": "%s", "execute": "%s"}' % (name, name), "duplicate")
        lab.refuses(b'{"execute": "query-ports", "execute": "%s"}' % name, "duplicate")
        lab.refuses(b'{"execute": "%s", "arguments": {}, "arguments": {}}' % name, "duplicate")


def test_numbers_that_are_out_of_range_are_refused(lab):
    for command, arg, rest in lab.arguments("integer", "number"):
        wrong = NUMBERS if arg["type"] == "integer" else []
        for value in [b"%d" % (arg["min"] - 1), b"%d" % (arg["max"] + 1), *wrong]:
            lab.refuses(call(command, {**rest, arg["name"]: value}))
    for command, key, rest in lab.keys():
        low, _, high = key["kind"].removeprefix("integer ").removeprefix("from ").partition("..")
        if low.isdecimal():
            for value in [b"%d" % (int(low) - 1), *[b"%d" % (int(text) + 1) for text in [high] if text], *NUMBERS]:
                lab.refuses(call(command, {**rest, key["name"]: value}))


def test_strings_that_are_none_and_those_of_a_mebibyte_are_refused(lab):
    for command, arg, rest in lab.arguments("string"):
        for text in BROKEN + LONG:
            lab.refuses(call(command, {**rest, arg["name"]: b'"%s"' % text}))
    for command in lab.commands:
        for text in BROKEN:
            lab.refuses(call(command["name"], {**RIGHT.get(command["name"], {}), "nosuch": b'"%s"' % text}))
            lab.refuses(call(command["name"], RIGHT.get(command["name"], {}), b', "%s": 1' % text))


def test_names_of_descriptors_that_are_wrong_cost_none(lab):
    for wrong in [1], [None], [["mine"]], ["mine", 1], ["mine", "nosuch"], ["mine", "mine"], [""], ["mine"] * 65:
        lab.refuses(call("capture_start", {"port": "a", "fdnames": wrong}))


def test_a_limit_that_only_one_direction_could_have_is_set_for_none(lab):
    """What enters has a rate, what leaves has none."""
    lab.refuses(call("throttle_set", {"id": "a", "burst": 5000}), "rate")


def test_calls_that_are_none_are_refused(lab):
    """Also the one that ends the server."""
    for command in lab.commands:
        name = command["name"].encode()
        arguments = json.dumps(RIGHT.get(command["name"], {})).encode()
        for value in b"null", b"true", b"1", b"1.5", b'"x"', b"[]", b"[%s]" % arguments, b"", b"1e400":
            lab.refuses(b'{"execute": "%s", "arguments": %s}' % (name, value))
        for member in b"args", b"Arguments", b"exec-oob", b"control", b"":
            lab.refuses(b'{"execute": "%s", "arguments": %s, "%s": {}}' % (name, arguments, member), '"%s"' % member.decode())
        lab.refuses(b'[{"execute": "%s", "arguments": %s}]' % (name, arguments))
        lab.refuses(b'{"execute": ["%s"], "arguments": %s}' % (name, arguments))
        lab.refuses(b'{"execute": "%s", "arguments": %s,}' % (name, arguments))
        for odd in name + rb"\u0000", name + b"\xff":
            lab.refuses(b'{"execute": "%s", "arguments": %s}' % (odd, arguments))
    with pytest.raises(Refused) as refused:
        lab.ctl.run("QUIT")
    assert refused.value.kind == "CommandNotFound" and lab.state() == lab.before
