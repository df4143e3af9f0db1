# SPDX-License-Identifier: MIT
"""A host to make faults in: namespaces of its own for network and mounts.

    with Room(ns) as room:
        room.run("ip link add br0 type bridge")
        room.run("rm /dev/net/tun")               # the room's, nobody else's
        room.run(["id"], user=NOBODY)

/etc and /dev are the room's own to change, /sys shows its network, and the folder room.bin
is in front of PATH. What mounts cannot stand in for (files that /proc does not have) can be
laid over: room.fake("/proc/misc", "200 tun\n").
"""

import os
import subprocess
import tempfile

from netns import Failed, end

NOBODY = 65534

SETUP = """
mount --make-rprivate /
mount -t sysfs none /sys
mount -t tmpfs -o mode=755 none "$T"
mkdir "$T"/bin "$T"/upper "$T"/work "$T"/dev
mount -t overlay -o lowerdir=/etc,upperdir="$T"/upper,workdir="$T"/work none /etc
mount -t tmpfs -o mode=755 none "$T"/dev
for d in null zero full random urandom; do cp -a /dev/$d "$T"/dev/; done
mkdir "$T"/dev/net "$T"/dev/pts "$T"/dev/shm
mknod -m 666 "$T"/dev/net/tun c 10 200
mount --move "$T"/dev /dev
echo up
exec cat >/dev/null
"""


class Room:
    def __init__(self, ns):
        self.ns = ns
        self.procs = []
        self.fakes = 0
        self.folder = tempfile.mkdtemp(prefix="vmtap-room-")
        os.chmod(self.folder, 0o755)
        self.bin = os.path.join(self.folder, "bin")
        self.holder = subprocess.Popen(
            ns.command(["unshare", "--mount", "sh", "-ec", SETUP]), env={**os.environ, "T": self.folder},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)
        if self.holder.stdout.readline() != b"up\n":
            self.cleanup()
            raise Failed("cannot make a room")

    def command(self, cmd, user=None):
        words = ["sh", "-c", cmd] if isinstance(cmd, str) else [str(w) for w in cmd]
        enter = ["nsenter", "--target", str(self.holder.pid), "--mount", "--net", "--"]
        if user is not None:
            enter += ["setpriv", "--reuid=%d" % user, "--regid=%d" % user, "--clear-groups"]
        return enter + words

    def environ(self):
        return {**os.environ, "PATH": "%s:%s" % (self.bin, os.environ["PATH"])}

    def run(self, cmd, user=None, check=True, **kw):
        kw.setdefault("input", "")
        kw.setdefault("timeout", 60)
        done = subprocess.run(self.command(cmd, user), text=True, cwd="/",
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=self.environ(), **kw)
        if check and done.returncode:
            raise Failed("%s: exit status %d\n%s%s" % (cmd, done.returncode, done.stdout, done.stderr))
        return done

    def popen(self, cmd, user=None, **kw):
        kw.setdefault("stdin", subprocess.DEVNULL)
        proc = subprocess.Popen(self.command(cmd, user), cwd="/", env=self.environ(), **kw)
        self.procs.append(proc)
        return proc

    def write(self, path, text, mode=0o644):
        """A file of the room's; its folders are made. Returns the path."""
        self.run(["sh", "-c", 'mkdir -p "$(dirname "$1")" && cat >"$1" && chmod "$2" "$1"', "sh",
                  path, "%o" % mode], input=text)
        return path

    def fake(self, path, text):
        """Lay a file over one that exists; programs in the room may write to it."""
        self.fakes += 1
        source = self.write("%s/fake%d" % (self.folder, self.fakes), text)
        self.run(["mount", "--bind", source, path])

    def stub(self, name, script="exit 0"):
        """A program that is found first."""
        self.write(os.path.join(self.bin, name), "#!/bin/sh\n%s\n" % script, 0o755)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.cleanup()

    def cleanup(self):
        for proc in self.procs:
            end(proc)
            for f in proc.stdin, proc.stdout, proc.stderr:
                if f:
                    f.close()
        self.procs = []
        self.holder.stdin.close()
        self.holder.wait()
        self.holder.stdout.close()
        os.rmdir(self.folder)
