# SPDX-License-Identifier: MIT
"""Words to put in front of a command so that it runs in less than the whole system.

Each becomes the command it precedes: the pid stays, and signals arrive.
"""

import shlex

NOBODY = 65534


def mounts(script):
    """Run the shell @script in a private mount namespace first."""
    return ["unshare", "--mount", "--propagation", "private", "sh", "-ec",
            script + '\nexec "$@"', "sh"]


def device(mode):
    """/dev/net is a folder of its own; @mode: the permissions of tun in it, None: there is none."""
    script = "mount -t tmpfs none /dev/net\n"
    if mode is not None:
        script += "mknod -m %o /dev/net/tun c 10 200" % mode
    return mounts(script)


def etc(folder):
    """What is in @folder lies over /etc; a character device 0:0 there hides a file."""
    return mounts("mount -t overlay -o lowerdir=%s:/etc none /etc" % shlex.quote(str(folder)))


def user(uid=NOBODY, gid=NOBODY):
    """An ordinary user without any capability."""
    return ["setpriv", "--reuid=%d" % uid, "--regid=%d" % gid, "--clear-groups",
            "--bounding-set=-all", "--inh-caps=-all"]

