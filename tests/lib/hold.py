# SPDX-License-Identifier: MIT
"""Hold a process where it opens a file, and look at it meanwhile (fanotify(7); takes root).

    with Hold(path) as hold:
        proc = start()
        pid = hold.wait()          # it is in open() now
        hold.release()
"""

import ctypes
import os
import select
import struct

FAN_CLOEXEC, FAN_CLASS_CONTENT, FAN_MARK_ADD, FAN_OPEN_PERM, FAN_ALLOW = 1, 4, 1, 0x10000, 1
AT_FDCWD = -100

_libc = ctypes.CDLL(None, use_errno=True)


class Hold:
    def __init__(self, path):
        self.events = []
        self.fd = _libc.fanotify_init(FAN_CLOEXEC | FAN_CLASS_CONTENT, os.O_RDONLY | os.O_CLOEXEC)
        if self.fd < 0:
            raise OSError(ctypes.get_errno(), "fanotify_init")
        if _libc.fanotify_mark(self.fd, FAN_MARK_ADD, ctypes.c_uint64(FAN_OPEN_PERM), AT_FDCWD, path.encode()) < 0:
            raise OSError(ctypes.get_errno(), "fanotify_mark")

    def wait(self, timeout=10):
        """Until somebody opens the file. Returns its process id."""
        if not select.select([self.fd], [], [], timeout)[0]:
            raise TimeoutError("nobody opens the file")
        _, _, _, _, _, fd, pid = struct.unpack_from("IBBHQii", os.read(self.fd, 4096))
        self.events.append(fd)
        return pid

    def release(self):
        """Let it go on."""
        while self.events:
            fd = self.events.pop()
            os.write(self.fd, struct.pack("iI", fd, FAN_ALLOW))
            os.close(fd)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.release()
        os.close(self.fd)  # whoever still waits goes on
