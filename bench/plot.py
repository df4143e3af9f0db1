# SPDX-License-Identifier: MIT
"""A picture of the results: bars side by side, with the range of the repetitions."""
from html import escape

from report import METRICS, number

WIDTH = 1240
MARGIN = 28
PANEL = (WIDTH - 3 * MARGIN) / 2
LABELS, VALUES = 128, 120       # room left of the bars, and right of them
BAR, GAP = 13, 9                # height of a bar; between groups
HEAD, FOOT = 40, 14             # of a panel
FONT = "'DejaVu Sans','Helvetica Neue',Arial,sans-serif"
INK, SOFT, LINE, PAPER, BACK = "#1f2933", "#616e7c", "#e4e7eb", "#ffffff", "#f5f7fa"
OURS = ("#0b7285", "#22a3b8", "#66c7d6", "#99dbe5")
OTHERS = ("#f08c00", "#9c36b5", "#5c940d", "#c92a2a", "#6741d9", "#a61e4d")
BOUNDS = ("#adb5bd", "#868e96", "#ced4da")

BETTER = {"pps": "more is better", "gbps": "more is better", "mbps": "more is better",
          "up_pps": "more is better", "down_pps": "more is better",
          "delivered": "more is better", "share": "0.5 is even", "of_limit_tx": "1 is exact",
          "of_limit_rx": "1 is exact", "stall_up": "more is better"}
TITLES = {"us_per_frame": "CPU time of the back end, us a frame",
          "pps": "thousand frames a second", "gbps": "Gbit a second", "mbps": "Mbit a second",
          "rtt_p50": "latency, us, median", "rtt_p99": "latency, us, 99th percentile",
          "up_pps": "thousand frames a second, up", "down_pps": "thousand frames a second, down",
          "share": "the smaller direction's share", "cpu": "cores used", "wakeups": "wake-ups/s",
          "rss_kib": "resident memory, KiB", "cpu_per_gbit": "CPU seconds a Gbit",
          "kib_per_link": "memory, KiB for each further link", "add_us": "us to add a link",
          "last_us": "us to add the last link", "close_us": "us to close a link", "growth": "CPU a frame, to that of one link",
          "kib_per_port": "memory, KiB a port", "cmd_cpu": "ms of CPU time a command",
          "cmd_p50": "ms a command, median", "cmd_max": "ms a command, slowest",
          "of_limit_tx": "what left, of the limit", "of_limit_rx": "what entered, of the limit",
          "stopped_ms": "how long the machine stopped it, ms",
          "least_share": "the port with the least, to the mean", "most_share": "the port with the most, to the mean",
          "delivered": "share of the trickle that came through"}
LEFT_OUT = {"up_sent", "down_sent", "up_late", "down_late", "tap_dropped", "up_lost", "down_lost"}


class Canvas:
    def __init__(self):
        self.parts = []

    def rect(self, x, y, w, h, fill, more=""):
        self.parts.append(f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(w, 0):.1f}" '
                          f'height="{h:.1f}" fill="{fill}" {more}/>')

    def line(self, x1, y1, x2, y2, stroke, width=1):
        self.parts.append(f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" '
                          f'stroke="{stroke}" stroke-width="{width}"/>')

    def text(self, x, y, words, size=12, fill=INK, anchor="start", weight="normal"):
        self.parts.append(f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" fill="{fill}" '
                          f'text-anchor="{anchor}" font-weight="{weight}">{escape(words)}</text>')

    def svg(self, height):
        return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height:.0f}" '
                f'viewBox="0 0 {WIDTH} {height:.0f}" font-family="{FONT}">'
                + "\n".join([f'<rect width="{WIDTH}" height="{height:.0f}" fill="{BACK}"/>',
                             *self.parts]) + "</svg>\n")


def colours(peers):
    """vmtap in one colour and its shades, bounds in grey, everybody else apart."""
    found, used = {}, {OURS: 0, OTHERS: 0, BOUNDS: 0}
    for peer in peers:
        family = (BOUNDS if peer.startswith(("raw", "bare")) else
                  OTHERS if peer.startswith(("qemu", "vde", "dpdk", "again")) else OURS)
        found[peer] = family[used[family] % len(family)]
        used[family] += 1
    return found


class Panel:
    """One metric of a bench: a group of bars for each test."""

    def __init__(self, results, section, metric):
        self.metric = metric
        self.groups = []  # (test, [(peer, median, least, most)])
        for key in results.keys():
            if key[:2] == section and key[3] == metric:
                bars = []
                for peer in results.peers(key):
                    values = results.values(key, peer).values()
                    bars.append((peer, results.median(key, peer), min(values), max(values)))
                self.groups.append((key[2], bars))
        self.top = max((bar[3] for _, bars in self.groups for bar in bars), default=0)

    def worth_it(self):
        return self.top > 0

    def height(self):
        bars = sum(len(b) for _, b in self.groups)
        return HEAD + bars * BAR + len(self.groups) * GAP + FOOT

    def draw(self, c, x, y, colour):
        divisor = METRICS[self.metric][1]
        c.rect(x, y, PANEL, self.height() - 4, PAPER, f'rx="6" stroke="{LINE}"')
        c.text(x + 14, y + 23, TITLES.get(self.metric, METRICS[self.metric][0]), 13, weight="bold")
        c.text(x + PANEL - 14, y + 23, BETTER.get(self.metric, "less is better"), 11, SOFT, "end")
        left, room = x + LABELS, PANEL - LABELS - VALUES
        at = y + HEAD
        for test, bars in self.groups:
            c.text(left - 10, at + len(bars) * BAR / 2 + 4, test, 12, INK, "end")
            for peer, median, least, most in bars:
                self.bar(c, left, at, room / self.top, colour[peer], (median, least, most))
                c.text(left + room * most / self.top + 7, at + BAR - 3,
                       f"{number(median / divisor)}  {peer}", 10, SOFT)
                at += BAR
            at += GAP
        c.line(left, y + HEAD - 3, left, at - GAP + 3, SOFT)

    @staticmethod
    def bar(c, left, at, scale, colour, values):
        median, least, most = values
        middle = at + BAR / 2
        c.rect(left, at + 1, median * scale, BAR - 2, colour)
        if most > least:
            c.line(left + least * scale, middle, left + most * scale, middle, INK)
            for end in (least, most):
                c.line(left + end * scale, middle - 3, left + end * scale, middle + 3, INK)


def draw_section(c, results, section, y, colour):
    c.text(MARGIN, y + 22, f"{section[0]}, {section[1]}", 17, weight="bold")
    y += 34
    metrics = list(dict.fromkeys(k[3] for k in results.keys() if k[:2] == section))
    panels = [Panel(results, section, m) for m in metrics if m in METRICS and m not in LEFT_OUT]
    ends = [y, y]  # of the two columns
    for panel in filter(Panel.worth_it, panels):
        column = 0 if ends[0] <= ends[1] else 1
        panel.draw(c, MARGIN + column * (PANEL + MARGIN), ends[column], colour)
        ends[column] += panel.height() + 8
    return max(ends) + 14


def legend(c, y, colour):
    x = MARGIN
    for peer, fill in colour.items():
        width = 34 + 7.2 * len(peer)
        if x + width > WIDTH - MARGIN:
            x, y = MARGIN, y + 20
        c.rect(x, y, 12, 12, fill, 'rx="2"')
        c.text(x + 18, y + 11, peer, 12)
        x += width
    return y + 30


def wrapped(words, width):
    line = ""
    for word in words.split():
        if line and len(line) + 1 + len(word) > width:
            yield line
            line = word
        else:
            line = f"{line} {word}" if line else word
    yield line


def write(file, results, machine):
    """machine: one line about where this was measured."""
    c = Canvas()
    c.text(MARGIN, 44, "vmtap next to others", 24, weight="bold")
    c.text(MARGIN, 66, "Medians, with the least and the most of the repetitions; all measured in "
           "turn, in one run.", 12, SOFT)
    y = 66
    for line in wrapped(machine, 170):
        y += 18
        c.text(MARGIN, y, line, 12, SOFT)
    colour = colours(results.peers())
    y = legend(c, y + 16, colour)
    for section in dict.fromkeys(k[:2] for k in results.keys()):
        y = draw_section(c, results, section, y, colour)
    with open(file, "w", encoding="utf-8") as f:
        f.write(c.svg(y + MARGIN))
