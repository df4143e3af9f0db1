#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""A bridge helper that does what it is told: evil-helper.py WHAT --use-vnet --fd=N --br=BRIDGE…

Run in the namespace of a test, by vmtap. WHAT is the name of a function below.
"""

import fcntl
import os
import signal
import socket
import struct
import sys

TUNSETIFF = 0x400454CA
TAP, TUN, MULTI_QUEUE = 0x1002, 0x1001, 0x0100

what = sys.argv[1]
args = dict(a.lstrip("-").partition("=")[::2] for a in sys.argv[2:])
sock = socket.socket(fileno=int(args["fd"]))


def tap(flags=TAP, name=b"evil%d"):
    fd = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", name, flags))
    return fd


def good():
    socket.send_fds(sock, [b"\0"], [tap()])


def good_queues():
    first = tap(TAP | MULTI_QUEUE, b"evil")
    socket.send_fds(sock, [b"\0"], [first] + [tap(TAP | MULTI_QUEUE, b"evil")
                                              for _ in range(int(args.get("queues", 1)) - 1)])


def good_without_vhost():
    """As a helper that does not know --vhost."""
    if "vhost" in args:
        print("no such thing", file=sys.stderr)
        sys.exit(1)
    good()


def no_vhost_net():
    """What follows the TAP is something else."""
    socket.send_fds(sock, [b"\0"], [tap(), os.open("/dev/null", os.O_RDWR)])


def good_with_words():
    print("the bridge is nearly full", file=sys.stderr)
    good()


def nothing():
    pass


def data_only():
    sock.send(b"hello")


def two():
    socket.send_fds(sock, [b"\0"], [tap(), tap()])


def one_and_one():
    good()
    good()


def hundreds():
    null = os.open("/dev/null", os.O_RDONLY)
    socket.send_fds(sock, [b"\0"], [null] * 250)


def a_file():
    socket.send_fds(sock, [b"\0"], [os.open("/etc/passwd", os.O_RDONLY)])


def a_tun():
    socket.send_fds(sock, [b"\0"], [tap(TUN)])


def unattached():
    socket.send_fds(sock, [b"\0"], [os.open("/dev/net/tun", os.O_RDWR)])


def hang():
    signal.pause()


def hang_after_sending():
    good()
    signal.pause()


def fail_after_sending():
    good()
    print("something went wrong\nin two lines", file=sys.stderr)
    sys.exit(3)


def die_after_sending():
    good()
    os.kill(os.getpid(), signal.SIGKILL)


def shout():
    os.write(2, b"\x1b[31m\xff" + b"x" * 1000000)
    sys.exit(1)


def leave_a_child():
    """One that keeps stderr and the socket open, until the other end of it is closed."""
    good()
    if os.fork() == 0:
        sock.recv(1)


def say_arguments():
    print(" ".join(sys.argv[2:]), file=sys.stderr)
    sys.exit(1)


globals()[what]()
