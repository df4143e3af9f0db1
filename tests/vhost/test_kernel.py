# SPDX-License-Identifier: MIT
"""What the tests take for granted of the kernel that they run on."""

import fcntl
import os
import struct

VHOST_GET_FEATURES = 0x8008AF00
VIRTIO_F_VERSION_1, VIRTIO_NET_F_MRG_RXBUF = 32, 15


def test_vhost_net_answers():
    fd = os.open("/dev/vhost-net", os.O_RDWR)
    try:
        features, = struct.unpack("Q", fcntl.ioctl(fd, VHOST_GET_FEATURES, bytes(8)))
    finally:
        os.close(fd)
    assert features >> VIRTIO_F_VERSION_1 & 1 and features >> VIRTIO_NET_F_MRG_RXBUF & 1


def test_a_guest_changes_nothing_of_the_host():
    """The root is the guest's own layer above the host's files."""
    if os.environ.get("VMTAP_IN_GUEST"):
        with open("/proc/mounts") as f:
            root, = (line.split() for line in f if line.split()[1] == "/")
        assert root[2] == "overlay"
