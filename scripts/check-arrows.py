#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Do the folders' arrows point down?

usage: scripts/check-arrows.py [--self-test] [FOLDER]

Checks the sources in FOLDER (default: the project) against the table LAYERS below:
  - a file includes only from folders that its own folder may use
  - port types do not know each other
  - the program and the examples use the public header only
  - nothing below api/ mentions a function that the library exports
  - a library is used where it belongs and nowhere else (table LIBRARIES)
  - the table in docs/architecture.md says the same as the one here

Exit status: 0 all is well, 1 it is not, 2 wrong usage.
"""

import os
import re
import sys
import tempfile

# Every folder of src/ from the bottom up, and what it may use besides itself and the public
# header. "port/*" stands for each folder in port/. docs/architecture.md has the reasons.
LAYERS = {
    "base": "",
    "loop": "base",
    "conf": "base",
    "tapdev": "base",
    "helper": "base tapdev",
    "host": "base conf tapdev helper",
    "virtio": "base",
    "vhost": "base virtio",
    "net": "base loop",
    "filter": "base loop net",
    "sock": "base conf net",
    "port/*": "base loop conf tapdev virtio vhost net sock",
    "api": "base loop conf tapdev host vhost net filter port/*",
    "ctl": "base conf",
    "cli": "ctl",
}

# Libraries that only some folders know.
LIBRARIES = {
    "jansson.h": "conf host ctl cli",
    "microhttpd.h": "ctl",
    "libmnl/": "tapdev host",
    "liburing.h": "loop",
    "cap-ng.h": "helper",
    "curses.h": "cli",
    "pcap/": "filter",
}

PUBLIC = "vmtap/vmtap.h"
# Folders outside of src/ whose sources stand for a user of the library.
CUSTOMERS = ["examples"]
# These may call what the library exports; api/ is where it is made.
ABOVE = ["api", "ctl", "cli"]

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*(["<])([^">]+)[">]', re.M)
NOISE = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)


def read(path):
    with open(path, encoding="utf-8") as f:
        return f.read()


def blank(text, strings):
    """@text without comments (and without strings, when @strings), line numbers kept."""
    def replace(match):
        piece = match.group()
        if piece[0] != "/" and not strings:
            return piece
        return "\n" * piece.count("\n") or " "
    return NOISE.sub(replace, text)


def sources(top, folder):
    for where, folders, names in os.walk(os.path.join(top, folder)):
        folders.sort()
        for name in sorted(names):
            if name.endswith((".c", ".h", ".cpp")):
                yield os.path.relpath(os.path.join(where, name), top)


def exported(top):
    """Names of the functions that the public header declares."""
    text = blank(read(os.path.join(top, "include", PUBLIC)), strings=True)
    text = re.sub(r"\btypedef\b[^;{]*;", "", text)
    return set(re.findall(r"\b(vmtap_\w+)\s*\(", text))


def layer_of(path):
    """The row of a path below src/, without src/; None: it is in no folder."""
    folders = path.split("/")[:-1]
    if folders[:1] == ["port"] and len(folders) > 1:
        return "port/*"
    return folders[0] if folders else None


def may_include(layer, folder, target):
    """@folder: the including file's own, as in port/tap; @target: as it is included."""
    if target == PUBLIC or target.rpartition("/")[0] == folder:
        return True
    return layer_of(target) in LAYERS[layer].split()


def check_include(path, layer, mark, target):
    """What is wrong with one #include line of a file of src/; None: nothing."""
    folder = os.path.dirname(path)[len("src/"):]
    for library, users in LIBRARIES.items():
        if target.startswith(library):
            return None if layer in users.split() else \
                "only %s may know %s" % (" and ".join(users.split()), library.rstrip("/"))
    if mark == "<":
        return None if not target.startswith("vmtap/") else "the public header is included with quotes here"
    if "/" not in target or target.startswith("."):
        return 'it is not named from src/, as in "base/fd.h"'
    if target != PUBLIC and layer_of(target) not in LAYERS:
        return "no folder of the table"
    if may_include(layer, folder, target):
        return None
    allowed = LAYERS[layer] or "nothing but the public header"
    return "%s may use %s" % (layer, allowed.replace(" ", ", ") if LAYERS[layer] else allowed)


def check_file(top, path, names):
    layer = layer_of(path[len("src/"):])
    if layer not in LAYERS:
        yield path, 0, "this folder is not in the table of scripts/check-arrows.py; give it a row"
        return
    text = read(os.path.join(top, path))
    code = blank(text, strings=False)
    for match in INCLUDE.finditer(code):
        problem = check_include(path, layer, match.group(1), match.group(2))
        if problem:
            yield path, code.count("\n", 0, match.start(2)) + 1, "includes %s: %s" % (match.group(2), problem)
    if layer in ABOVE:
        return
    code = blank(text, strings=True)
    # "enum vmtap_port_state" is a type, and there is a function of that name as well
    for match in re.finditer(r"\b(?<!enum )(?<!struct )vmtap_\w+\b", code):
        if match.group() in names:
            yield path, code.count("\n", 0, match.start()) + 1, \
                "uses %s(), which belongs to api/: only types and constants of the public header are fine here" \
                % match.group()


def check_customer(top, path):
    code = blank(read(os.path.join(top, path)), strings=False)
    for match in INCLUDE.finditer(code):
        own = os.path.join(top, os.path.dirname(path), match.group(2))
        if match.group(1) == '"' and not os.path.exists(own):
            yield path, code.count("\n", 0, match.start(2)) + 1, \
                "includes %s: an example uses <%s> only" % (match.group(2), PUBLIC)


def check_table():
    """The table itself must not lead in circles."""
    seen = []
    for layer, uses in LAYERS.items():
        for other in uses.split():
            if other not in seen:
                yield "scripts/check-arrows.py", 0, "%s may use %s, which is not below it" % (layer, other)
        seen.append(layer)


def check_doc(top):
    """Rows of the documentation: | `folder/` | what it is | what it may use, or a dash |"""
    doc = "docs/architecture.md"
    if not os.path.exists(os.path.join(top, doc)):
        return
    rows = dict(re.findall(r"^\| `([a-z/*]+?)/?` \|.*\| ([^|\n]*?) *\|$", read(os.path.join(top, doc)), re.M))
    for layer, uses in LAYERS.items():
        said = rows.get(layer)
        if said is None:
            yield doc, 0, "the table of folders has no row for %s" % layer
        elif re.findall(r"[a-z]+(?:/\*)?", said) != uses.split():
            yield doc, 0, 'the table says that %s may use "%s", and scripts/check-arrows.py "%s"' % (layer, said, uses)


def check(top):
    names = exported(top)
    problems = list(check_table())
    for path in sources(top, "src"):
        problems += check_file(top, path, names)
    for folder in CUSTOMERS:
        for path in sources(top, folder):
            problems += check_customer(top, path)
    problems += check_doc(top)
    return ["%s%s: %s" % (path, ":%d" % line if line else "", text) for path, line, text in problems]


# ------------------------------------------------------------------------------ self-test

HEADER = """
/* vmtap_in_a_comment() */
typedef void vmtap_sent_cb(void *opaque);
struct vmtap *vmtap_new(const struct vmtap_config *config);
"""

# (what it shows, file, its text, what must be said about it; None: nothing)
CASES = [
    ("a folder may use one below", "src/net/link.c", '#include "loop/loop.h"\n', None),
    ("a folder may use itself", "src/base/iov.c", '#include "base/iov.h"\n', None),
    ("everyone may use the public header", "src/base/error.h", '#include "vmtap/vmtap.h"\n', None),
    ("system headers are no business of this", "src/base/fd.h", "#include <net/if.h>\n", None),
    ("an arrow that points up", "src/base/error.c", '#include "net/port.h"\n', "src/base/error.c:1: includes net/port.h"),
    ("an arrow between neighbours", "src/tapdev/tun.c", '#include "loop/loop.h"\n', "tapdev may use base"),
    ("one with blanks", "src/loop/loop.c", '\n # include  "net/port.h"\n', "src/loop/loop.c:2"),
    ("one in a comment does not count", "src/loop/loop.c", '/*\n#include "net/port.h"\n*/\n', None),
    ("port types that know each other", "src/port/tap/tap.c", '#include "port/sock/stream.h"\n', "port/* may use"),
    ("a port type may use its own folder", "src/port/tap/tap.c", '#include "port/tap/tap-int.h"\n', None),
    ("api may know every port type", "src/api/registry.c", '#include "port/tap/tap.h"\n', None),
    ("a port type that knows api", "src/port/tap/tap.c", '#include "api/api.h"\n', "port/* may use"),
    ("a program that looks inside", "src/cli/main.c", '#include "conf/conf.h"\n', "cli may use ctl"),
    ("a header named from its own folder", "src/net/link.c", '#include "port.h"\n', "not named from src/"),
    ("a way out of src/", "src/net/link.c", '#include "../api/api.h"\n', "not named from src/"),
    ("a folder that nobody wrote down", "src/extra/extra.c", "int i;\n", "not in the table"),
    ("a file in no folder", "src/extra.c", "int i;\n", "not in the table"),
    ("an unknown folder included", "src/api/port.c", '#include "extra/extra.h"\n', "no folder of the table"),
    ("a call of an exported function", "src/net/link.c", "\nint f(void)\n{\n\treturn !vmtap_new(0);\n}\n",
     "src/net/link.c:4: uses vmtap_new()"),
    ("its address will not do either", "src/port/tap/tap.c", "void *f = vmtap_new;\n", "uses vmtap_new()"),
    ("api makes it", "src/api/instance.c", "struct vmtap *vmtap_new(void *c) { return 0; }\n", None),
    ("its name in a comment or a string", "src/net/link.c", 'const char *s = "vmtap_new()"; /* vmtap_new() */\n', None),
    ("types of the public header", "src/net/sendq.h", "void f(vmtap_sent_cb *done, struct vmtap_error *err);\n", None),
    ("a type with the name of a function", "src/net/port.h", "struct vmtap_new *p;\n", None),
    ("a library in its place", "src/tapdev/netlink.c", "#include <libmnl/libmnl.h>\n", None),
    ("a library out of place", "src/net/link.c", "#include <jansson.h>\n", "only conf and host and ctl and cli may know jansson.h"),
    ("an example as users write it", "examples/a.c", "#include <vmtap/vmtap.h>\n", None),
    ("an example that looks inside", "examples/a.c", '#include "net/port.h"\n', "an example uses"),
    ("a table without a row", "docs/architecture.md", "| `base/` | small things | – |\n", "no row for loop"),
    ("a table that says something else", "docs/architecture.md", "| `loop/` | the loop | base, net |\n",
     'the table says that loop may use "base, net"'),
]


def self_test():
    """Every case must be noticed, and what is fine must not be. Returns what went wrong."""
    wrong = []
    for title, path, text, expected in CASES:
        with tempfile.TemporaryDirectory() as top:
            for name, content in [("include/" + PUBLIC, HEADER), (path, text)]:
                os.makedirs(os.path.dirname(os.path.join(top, name)), exist_ok=True)
                with open(os.path.join(top, name), "w", encoding="utf-8") as f:
                    f.write(content)
            said = check(top)
            if not said if expected is None else any(expected in line for line in said):
                continue
            wrong.append("self-test: %s: expected %s, got %s" % (title, expected or "nothing", said or "nothing"))
    return wrong


def main(args):
    testing = "--self-test" in args
    args = [a for a in args if a != "--self-test"]
    if len(args) > 1 or (args and args[0].startswith("-")):
        print(__doc__.strip(), file=sys.stdout if args[0] in ("-h", "--help") else sys.stderr)
        return 0 if args[0] in ("-h", "--help") else 2
    top = args[0] if args else os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
    problems = self_test() if testing else check(top)
    for line in problems:
        print(line, file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
