#!/bin/sh
# SPDX-License-Identifier: MIT
#
# setcap-helper.sh - give the installed bridge helper its one capability
#
# Called by meson install with the helper's path below the prefix. A file capability is all it
# gets: never set-uid, never set-gid. Where it cannot be given (not root, a package being made
# under DESTDIR, a file system without attributes) the command to run is printed instead.
set -eu

case $1 in
/*) path=$1 ;;
*) path=$MESON_INSTALL_PREFIX/$1 ;;
esac
command="setcap cap_net_admin+ep $path"

if [ -z "${DESTDIR:-}" ] && [ "$(id -u)" = 0 ] && PATH=$PATH:/usr/sbin:/sbin $command; then
	exit 0
fi
notice="vmtap-bridge-helper needs a capability where it will run; as root: $command"
# Meson keeps what a script says to itself unless it fails, but its own output is the user's.
echo "$notice"
{ [ -z "${MESON_BUILD_ROOT:-}" ] || echo "$notice" >>"/proc/$PPID/fd/1"; } 2>/dev/null || true
