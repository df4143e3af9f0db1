#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Put a manual page together from its template and what it describes.

usage: man/page.py TEMPLATE [NAME=FILE]...

Prints TEMPLATE with each line "@NAME@" replaced by FILE: a header (.h) as the reference that
its comments are, scdoc's own form (.scd) as it is, anything else as an example. The result is
for scdoc.
"""

import re
import sys


def read(path):
    with open(path, encoding="utf-8") as f:
        return f.read()


def escape(text):
    return re.sub(r"([\\*_`])", r"\\\1", text)


def literal(text, indent=""):
    """An example: only the backslash is special there."""
    lines = text.expandtabs(8).replace("\\", "\\\\").splitlines()
    return "%s```\n%s\n%s```\n" % (indent, "\n".join(indent + line for line in lines), indent)


def example(text):
    return literal(re.sub(r"\A(/\*|#) SPDX-[^\n]*\n", "", text))


# ------------------------------------------------------------------------- the reference


def bare(comment):
    """A comment's text without its marks, blank lines kept."""
    comment = re.sub(r"\A/\*+|\*/\Z", "", comment)
    return [re.sub(r"^\s*\*? ?", "", line).rstrip() for line in comment.splitlines()]


def prose(text):
    """One paragraph: "@name" is an argument or a field."""
    text = escape(re.sub(r"\s+", " ", text).strip())
    return re.sub(r"@([a-z][a-z0-9\\_]*)", r"_\1_", text)


def paragraphs(lines):
    """Text and "@name: text" rows. Yields (name or None, text)."""
    name, text = None, []
    for line in lines + [""]:
        row = re.match(r"(@[\w*]+(?:, @[\w*]+)*):\s+(.*)", line)
        # A row goes on where it is indented.
        ends = row or not line or line.startswith("Return") or (name and line[0] != " ")
        if ends and text:
            yield name, " ".join(text)
            name, text = None, []
        if row:
            name, text = row.group(1).replace("@", ""), [row.group(2)]
        elif line:
            text.append(line)


def explain(comment, indent):
    """A documentation comment as indented paragraphs and rows."""
    lines = bare(comment)
    while lines and not lines[0]:
        lines.pop(0)
    # "name() - What it does": the name stands above, in the declaration.
    lines[0] = re.sub(r"^(?:struct |enum )?\w+(?:\(\))? - ", "", lines[0])
    if len(lines) > 1 and lines[1][:1] in ("", "@") and lines[0][-1].isalnum():
        lines[0] += "."
    out, in_rows = [], False
    for name, text in paragraphs(lines):
        if name:
            out.append("%s%s- *%s*: %s\n" % ("" if in_rows else "\n", indent, escape(name), prose(text)))
        else:
            out.append("\n%s%s\n" % (indent, prose(text)))
        in_rows = name is not None
    return "".join(out)


def pieces(text):
    """The header's sections, comments and declarations, in order."""
    at = 0
    while at < len(text):
        if text[at] == "\n":
            at += 1
            continue
        if text.startswith("/*", at):
            end = text.index("*/", at) + 2
            comment = text[at:end]
            title = re.match(r"/\* -{10,} (.*?) \*/", comment)
            yield ("section", title.group(1)) if title else ("comment", comment)
        else:
            # Up to an empty line outside of braces, or to the next comment at a line's start.
            end, depth = at, 0
            for line in text[at:].splitlines(keepends=True):
                if depth == 0 and end > at and (not line.strip() or line.startswith("/*")):
                    break
                code = re.sub(r"/\*.*?\*/", "", line)
                depth += code.count("{") - code.count("}")
                end += len(line)
            yield "code", text[at:end].rstrip("\n")
        at = end


def functions(code):
    """Declarations of functions, each on a line of its own."""
    return re.sub(r"\s+", " ", code).replace("; ", ";\n").splitlines()


def declaration(code, comment):
    """Functions stand out; types and macros are shown as they are written."""
    text = explain(comment, "\t") if comment else ""
    if re.match(r"#|struct \w+;|(struct|enum) \w+ {", code):
        return literal(code) + text
    lines = ["*%s*" % escape(f) for f in functions(code)]
    # The comment is about the first one; the others speak for themselves.
    first = lines[:1] if text else []
    rest = lines[len(first):]
    return "\n".join(part for part in ("\n".join(first), text, "++\n".join(rest)) if part) + "\n"


def reference(header):
    """Everything between the version and the end of the declarations."""
    body = header[header.index("#define VMTAP_VERSION_MAJOR"):header.index("#pragma GCC visibility pop")]
    out, comment = ["## Versions and limits\n"], None
    for kind, text in pieces(body):
        if comment and kind != "code":  # it is about all that follows
            out.append(explain(comment, ""))
            comment = None
        if kind == "section":
            out.append("\n## %s\n" % escape(text[0].upper() + text[1:]))
        elif kind == "comment":
            comment = text
        else:
            out.append("\n" + declaration(text, comment))
            comment = None
    return "".join(out)


def main(args):
    if not args or any("=" not in a for a in args[1:]):
        print(__doc__.strip(), file=sys.stderr)
        return 2
    page = read(args[0])
    for arg in args[1:]:
        name, path = arg.split("=", 1)
        marker = "@%s@\n" % name
        if page.count("\n" + marker) != 1:
            sys.exit("%s: there is no line @%s@, or several" % (args[0], name))
        text = read(path)
        if path.endswith(".h"):
            text = reference(text)
        elif not path.endswith(".scd"):
            text = example(text)
        page = page.replace(marker, text)
    sys.stdout.reconfigure(encoding="utf-8")
    sys.stdout.write(page)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
