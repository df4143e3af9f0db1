# SPDX-License-Identifier: MIT
"""What offload_finish() makes of a frame is what Linux makes of it.

     test --write--> tapA == bridge == tapB --read--> test
       \\                (namespace of its own)         |
        \\--------> offload-tool ------------------> the same?

A frame goes with its virtio-net header into tap A. The bridge hands it to tap
B, whose reader announced which offloads it takes, so the kernel itself does
what is left: it computes checksums and cuts segments. The same frame goes
through offload_finish(), and both results are compared byte for byte.

Behind each frame a marker frame is sent the same way. Frames keep their order
on the way, so when the marker arrives, everything that the kernel made of the
frame has arrived, also when that is nothing. No time is waited out.

The namespace has no name: it ends with the process, however that ends.
"""

import errno
import fcntl
import os
import select
import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "lib"))
from netns import Netns  # noqa: E402

# ------------------------------------------------------------------ constants

CSUM, TSO4, TSO6, ECN, UFO, USO4, USO6 = (1 << bit for bit in range(7))  # enum vmtap_offload
NEEDS_CSUM, DATA_VALID = 1, 2
GSO_TCPV4, GSO_UDP, GSO_TCPV6, GSO_USO, GSO_ECN = 1, 3, 4, 5, 0x80

TUNSETIFF, TUNSETOFFLOAD, TUNSETVNETHDRSZ = 0x400454CA, 0x400454D0, 0x400454D8
IFF_TAP, IFF_NO_PI, IFF_VNET_HDR = 2, 0x1000, 0x4000
TUN_F_CSUM, TUN_F_TSO4, TUN_F_TSO6, TUN_F_TSO_ECN, TUN_F_USO = 1, 2, 4, 8, 0x60

NET_HDR = struct.Struct("=BBHHHHH")  # struct virtio_net_hdr_v1
FIN, SYN, PSH, ACK, URG, ECE, CWR = 1, 2, 8, 16, 32, 64, 128

MAC = bytes.fromhex("020000000002") + bytes.fromhex("020000000001")
MARKER_TYPE = 0x88B5  # for local experiments

# ------------------------------------------------------------ building frames


def raw_sum(data):
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total >> 16) + (total & 0xFFFF)
    return total


def payload(size, seed=1):
    return bytes((i * 7 + (i >> 8) * 13 + seed) & 0xFF for i in range(size))


def ether(proto, vlans=()):
    head = MAC
    for tag_type, tag in vlans:
        head += struct.pack("!HH", tag_type, tag)
    return head + struct.pack("!H", proto)


class Ip4:
    gso_tcp = GSO_TCPV4
    ethertype = 0x0800
    src, dst = bytes([10, 1, 2, 3]), bytes([10, 250, 0, 77])

    def __init__(self, options=b"", ident=0x1234, frag=0x4000, tos=0, length=None):
        self.options, self.ident, self.frag, self.tos = options, ident, frag, tos
        self.length = length

    def pseudo(self, proto, size):
        return raw_sum(self.src + self.dst + struct.pack("!HH", proto, size))

    def header(self, proto, size):
        total = 20 + len(self.options) + size if self.length is None else self.length
        head = struct.pack("!BBHHHBBH", 0x45 + len(self.options) // 4, self.tos, total & 0xFFFF,
                           self.ident, self.frag, 64, proto, 0)
        head += self.src + self.dst + self.options
        return head[:10] + struct.pack("!H", 0xFFFF & ~raw_sum(head)) + head[12:]


class Ip6:
    gso_tcp = GSO_TCPV6
    ethertype = 0x86DD
    src, dst = bytes.fromhex("fd00" + "00" * 13 + "01"), bytes.fromhex("fd00" + "00" * 12 + "4711")

    def __init__(self, ext=(), length=None):
        self.ext, self.length = ext, length

    def pseudo(self, proto, size):
        return raw_sum(self.src + self.dst + struct.pack("!IHH", size, 0, proto))

    def header(self, proto, size):
        kinds = [kind for kind, _ in self.ext] + [proto]
        ext = b"".join(bytes([kinds[i + 1]]) + body for i, (_, body) in enumerate(self.ext))
        length = len(ext) + size if self.length is None else self.length
        return struct.pack("!IHBB", 0x60012345, length & 0xFFFF, kinds[0], 64) + self.src + \
            self.dst + ext


def option_header(kind, size):
    """An IPv6 option header: its kind, and the bytes behind the next-header byte."""
    return kind, bytes([size // 8 - 1, 1, size - 4]) + bytes(size - 4)


HOP, DEST = option_header(0, 8), option_header(60, 24)
ROUTING = (43, bytes([2, 4, 0, 0, 0, 0, 0]) + bytes.fromhex("fd00" + "00" * 13 + "99"))
TIMESTAMPS = bytes([1, 1, 8, 10]) + struct.pack("!II", 123456, 654321)


class Frame:
    """A frame as a guest hands it over: virtio-net header and bytes."""

    def __init__(self, data, flags=0, gso=0, size=0, start=0, offset=0, hdr_len=0):
        self.data = data
        self.hdr = NET_HDR.pack(flags, gso, hdr_len, size, start, offset, 0)


def tcp(ip, body, size=0, flags=ACK, options=b"", vlans=(), ecn=False, seq=0xFFFFFF00, csum=True,
        gso=None, pseudo=None):
    """A TCP segment; with @size to be cut, else only to be checksummed."""
    head = 20 + len(options)
    if pseudo is None:
        pseudo = ip.pseudo(6, head + len(body))
    seg = struct.pack("!HHIIBBHHH", 40000, 80, seq, 77, head // 4 << 4, flags, 512,
                      pseudo if csum else 0xBEEF, 9 if flags & URG else 0)
    l3 = ether(ip.ethertype, vlans)
    l4 = ip.header(6, head + len(body))
    start = len(l3) + len(l4)
    if gso is None:
        gso = (ip.gso_tcp | (GSO_ECN if ecn else 0)) if size else 0
    return Frame(l3 + l4 + seg + options + body, NEEDS_CSUM if csum else 0, gso, size,
                 start if csum else 0, 16 if csum else 0, start + head)


def udp(ip, body, size=0, gso=GSO_USO, vlans=(), csum=True, udp_len=None, pseudo=None):
    length = 8 + len(body) if udp_len is None else udp_len
    if pseudo is None:
        pseudo = ip.pseudo(17, length)
    seg = struct.pack("!HHHH", 5000, 5001, length & 0xFFFF, pseudo if csum else 0)
    l3 = ether(ip.ethertype, vlans)
    l4 = ip.header(17, 8 + len(body))
    start = len(l3) + len(l4)
    return Frame(l3 + l4 + seg + body, NEEDS_CSUM if csum else 0, gso if size else 0, size,
                 start if csum else 0, 6 if csum else 0, start + 8)


def words_sum(*words):
    return raw_sum(struct.pack(f"!{len(words)}H", *words))


def zero_csum_body(size, step, head_sum):
    """A body whose every piece of @step bytes gets a checksum of 0: the last word of each is what
    is missing to 0xffff. @head_sum(at, n): the sum of the headers of the @n bytes at @at."""
    body = bytearray(payload(size))
    for at in range(0, size, step):
        n = min(step, size - at)
        body[at:at + 2] = b"\0\0"
        have = words_sum(head_sum(at, n), raw_sum(bytes(body[at:at + n])))
        body[at:at + 2] = struct.pack("!H", 0xFFFF - have)
    return bytes(body)


def udp_zero(ip, size, step):
    def head_sum(_, n):
        return words_sum(ip.pseudo(17, 8 + n), 5000, 5001, 8 + n)
    return zero_csum_body(size, step, head_sum)


def tcp_zero(ip, size, step, seq=0xFFFFFF00):
    def head_sum(at, n):
        here = (seq + at) & 0xFFFFFFFF
        return words_sum(ip.pseudo(6, 20 + n), 40000, 80, here >> 16, here & 0xFFFF, 0, 77,
                         0x5000 | ACK, 512)
    return zero_csum_body(size, step, head_sum)


# --------------------------------------------------------------- the topology

class Tap:
    def __init__(self, name):
        self.fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        fcntl.ioctl(self.fd, TUNSETIFF,
                    struct.pack("16sH22x", name.encode(), IFF_TAP | IFF_NO_PI | IFF_VNET_HDR))
        fcntl.ioctl(self.fd, TUNSETVNETHDRSZ, struct.pack("i", NET_HDR.size))
        self.offload(0)

    def offload(self, flags):
        fcntl.ioctl(self.fd, TUNSETOFFLOAD, flags)

    def write(self, frame):
        """Return: 0, or the errno with which the kernel refused the frame."""
        try:
            return 0 * os.write(self.fd, frame.hdr + frame.data)
        except OSError as exc:
            return exc.errno

    def read(self, deadline):
        wait = select.poll()
        wait.register(self.fd, select.POLLIN)
        left = deadline - time.monotonic()
        assert left > 0 and wait.poll(left * 1000), "the marker did not arrive"
        data = os.read(self.fd, 70000)
        return data[:NET_HDR.size], data[NET_HDR.size:]


class Kernel:
    def __init__(self, ns):
        for key in ("default", "all"):
            ns.sysctl(f"net.ipv6.conf.{key}.disable_ipv6", 1)
        with ns.enter():
            self.a, self.b = Tap("tapA"), Tap("tapB")
            for key in Path("/proc/sys/net/bridge").glob("bridge-nf-call-*"):
                key.write_text("0")  # else the bridge's netfilter trims and drops by IP length
        ns.run("ip link add name br0 type bridge stp_state 0 forward_delay 0 mcast_snooping 0")
        for tap in ("tapA", "tapB"):
            ns.run(f"ip link set {tap} mtu 65521 txqueuelen 20000")
            ns.run(f"ip link set {tap} master br0 up")
        ns.run("ip link set br0 up")
        self.count = 0
        try:
            self.b.offload(TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_USO)
            self.has_uso = True
        except OSError:
            self.has_uso = False

    def needs_uso(self, *words):
        """Skips the test if one of them says so and the kernel lacks it."""
        if not self.has_uso and any("uso" in word for word in words):
            pytest.skip("TAPs have UDP segmentation since Linux 6.2")

    def close(self):
        os.close(self.a.fd)
        os.close(self.b.fd)

    def finish(self, frame, offload=0):
        """Return: the errno of the write, and what came out: (header, frame) each."""
        self.count += 1
        marker = Frame(ether(MARKER_TYPE) + struct.pack("!Q", self.count) + bytes(46))
        self.b.offload(offload)
        err = self.a.write(frame)
        assert self.a.write(marker) == 0
        out, deadline = [], time.monotonic() + 10
        while True:
            got = self.b.read(deadline)
            if got[1] == marker.data:
                return err, out
            out.append(got)


@pytest.fixture(scope="module")
def kernel():
    if os.geteuid():
        pytest.skip("making a network namespace takes root, or `unshare -rn`")
    with Netns() as ns:
        made = Kernel(ns)
        yield made
        made.close()


class Tool:
    """offload-tool, asked one frame at a time."""

    def __init__(self):
        program = os.environ.get("VMTAP") or Path(__file__).parents[2] / "build/vmtap"
        path = Path(program).resolve().parent / "tests/net/offload-tool"
        if not path.exists():
            pytest.fail(f"{path} is not built", pytrace=False)
        self.proc = subprocess.Popen([path], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def close(self):
        self.proc.stdin.close()
        assert self.proc.wait(10) == 0
        self.proc.stdout.close()

    def take(self, size):
        data = self.proc.stdout.read(size)
        assert len(data) == size, "offload-tool ended"
        return data

    def finish(self, frame, accepts=0, piece=0):
        """Return: the result, and what was emitted: (header, frame) each."""
        self.proc.stdin.write(struct.pack("=III", accepts, piece, len(frame.data)) + frame.hdr +
                              frame.data)
        self.proc.stdin.flush()
        res, cnt = struct.unpack("=iI", self.take(8))
        out = []
        for _ in range(cnt):
            size, = struct.unpack("=I", self.take(4))
            out.append((self.take(NET_HDR.size), self.take(size)))
        return res, out


@pytest.fixture(scope="module")
def tool():
    made = Tool()
    yield made
    made.close()


# ------------------------------------------------------------------ the frames

V4OPT = bytes([0x94, 4, 0, 0]) + bytes([1, 1, 1, 0])  # router alert, padding
VLAN1, VLAN2 = [(0x8100, 0x2064)], [(0x88A8, 0x0123), (0x8100, 0xE456)]
VLAN3 = [(0x8100, 5)] * 3


SAME = {
    # TCP over IPv4
    "tcp4": tcp(Ip4(), payload(4380), 1460),
    "tcp4_last_is_short": tcp(Ip4(), payload(5000), 1460),
    "tcp4_last_is_one_byte": tcp(Ip4(), payload(2921), 1460),
    "tcp4_odd_size": tcp(Ip4(), payload(3001), 777),
    "tcp4_size_8": tcp(Ip4(), payload(165), 8),  # some kernels (Debian 12) cut none of 1
    "tcp4_2048_segments": tcp(Ip4(), payload(20480), 10),
    "tcp4_64k": tcp(Ip4(), payload(65495), 1460),
    "tcp4_64k_small_segments": tcp(Ip4(), payload(65495), 88),
    "tcp4_timestamps": tcp(Ip4(), payload(5000), 1448, options=TIMESTAMPS),
    "tcp4_longest_options": tcp(Ip4(), payload(5000), 1400, options=bytes([1]) * 40),
    "tcp4_fin_psh_on_last_only": tcp(Ip4(), payload(5000), 1460, FIN | PSH | ACK),
    "tcp4_every_flag": tcp(Ip4(), payload(5000), 1460, 0xFF, ecn=True),
    "tcp4_syn": tcp(Ip4(), payload(3000), 1000, SYN),
    "tcp4_cwr_on_first_only": tcp(Ip4(tos=2), payload(5000), 1460, CWR | ACK, ecn=True),
    "tcp4_cwr_without_ecn_bit": tcp(Ip4(tos=2), payload(5000), 1460, CWR | ECE | ACK),
    "tcp4_urgent": tcp(Ip4(), payload(3000), 1000, URG | ACK),
    "tcp4_ip_options": tcp(Ip4(V4OPT), payload(5000), 1448),
    "tcp4_longest_ip_options": tcp(Ip4(V4OPT * 5), payload(5000), 1400, options=TIMESTAMPS),
    "tcp4_id_wraps": tcp(Ip4(ident=0xFFFE), payload(5000), 1000),
    "tcp4_id_counts_with_df": tcp(Ip4(ident=0, frag=0x4000), payload(5000), 1000),
    "tcp4_id_counts_without_df": tcp(Ip4(ident=0, frag=0), payload(5000), 1000),
    "tcp4_no_needs_csum": tcp(Ip4(), payload(5000), 1460, csum=False),
    "tcp4_wrong_pseudo_sum": tcp(Ip4(), payload(5000), 1460, pseudo=0x1234),
    "tcp4_pseudo_sum_0": tcp(Ip4(), payload(5000), 1460, pseudo=0),
    "tcp4_pseudo_sum_ffff": tcp(Ip4(), payload(5000), 1460, pseudo=0xFFFF),
    "tcp4_csum_0_stays_0": tcp(Ip4(), tcp_zero(Ip4(), 4000, 1000), 1000),
    "tcp4_one_segment": tcp(Ip4(), payload(1000), 1460, FIN | PSH | CWR | ACK),
    "tcp4_one_full_segment": tcp(Ip4(), payload(1460), 1460),
    "tcp4_one_segment_complete": tcp(Ip4(), payload(1000), 1460, csum=False),
    "tcp4_no_payload": tcp(Ip4(), b"", 1460),
    # TCP over IPv6
    "tcp6": tcp(Ip6(), payload(4320), 1440),
    "tcp6_odd_size": tcp(Ip6(), payload(4001), 333, FIN | PSH | ACK),
    "tcp6_64k": tcp(Ip6(), payload(65515), 1440),
    "tcp6_timestamps": tcp(Ip6(), payload(5000), 1428, PSH | ACK, TIMESTAMPS),
    "tcp6_cwr_on_first_only": tcp(Ip6(), payload(5000), 1440, CWR | ACK, ecn=True),
    "tcp6_hop_by_hop": tcp(Ip6([HOP]), payload(5000), 1432),
    "tcp6_three_extension_headers": tcp(Ip6([HOP, ROUTING, DEST]), payload(5000), 1380),
    "tcp6_hop_by_hop_twice": tcp(Ip6([HOP, HOP]), payload(5000), 1400),
    "tcp6_many_destination_headers": tcp(Ip6([DEST] * 20), payload(5000), 900),
    "tcp6_no_needs_csum": tcp(Ip6(), payload(5000), 1440, csum=False),
    "tcp6_csum_0_stays_0": tcp(Ip6(), tcp_zero(Ip6(), 4000, 1000), 1000),
    "tcp6_one_segment": tcp(Ip6(), payload(1000), 1440),
    # USO
    "uso4": udp(Ip4(), payload(5888), 1472),
    "uso4_last_is_short": udp(Ip4(), payload(6001), 1472),
    "uso4_odd_size": udp(Ip4(), payload(3003), 501),
    "uso4_ip_options": udp(Ip4(V4OPT), payload(5000), 1400),
    "uso4_id_wraps": udp(Ip4(ident=0xFFFF, frag=0), payload(5000), 1000),
    "uso4_csum_0_becomes_ffff": udp(Ip4(), udp_zero(Ip4(), 4000, 1000), 1000),
    "uso4_128_segments": udp(Ip4(), payload(12800), 100),
    "uso4_one_segment": udp(Ip4(), payload(1000), 1472),
    "uso4_length_that_lies": udp(Ip4(), payload(5000), 1000, udp_len=99),
    "uso4_pseudo_sum_0": udp(Ip4(), payload(5000), 1000, pseudo=0),
    "uso6": udp(Ip6(), payload(6001), 1452),
    "uso6_64k": udp(Ip6(), payload(65527), 1452),
    "uso6_extension_headers": udp(Ip6([HOP, DEST]), payload(6001), 1400),
    "uso6_csum_0_becomes_ffff": udp(Ip6(), udp_zero(Ip6(), 4000, 1000), 1000),
    "uso6_one_segment": udp(Ip6(), payload(10), 1452),
    # UFO
    "ufo4": udp(Ip4(frag=0), payload(5000), 1480, GSO_UDP),
    "ufo4_df_is_lost": udp(Ip4(frag=0x4000), payload(5000), 1480, GSO_UDP),
    "ufo4_fits_exactly": udp(Ip4(), payload(4432), 1480, GSO_UDP),
    "ufo4_size_8": udp(Ip4(), payload(101), 8, GSO_UDP),
    "ufo4_odd": udp(Ip4(), payload(3333), 1000, GSO_UDP),
    "ufo4_64k": udp(Ip4(), payload(65507), 1480, GSO_UDP),
    "ufo4_ip_options": udp(Ip4(V4OPT), payload(5000), 1472, GSO_UDP),
    "ufo4_no_needs_csum": udp(Ip4(), payload(5000), 1480, GSO_UDP, csum=False),
    "ufo4_wrong_pseudo_sum": udp(Ip4(), payload(5000), 1480, GSO_UDP, pseudo=0x1234),
    "ufo4_csum_0_becomes_ffff": udp(Ip4(), udp_zero(Ip4(), 5000, 5000), 1480, GSO_UDP),
    "ufo4_one_fragment": udp(Ip4(), payload(1000), 1480, GSO_UDP),
    "ufo6": udp(Ip6(), payload(5000), 1448, GSO_UDP),
    "ufo6_odd": udp(Ip6(), payload(3333), 1000, GSO_UDP),
    "ufo6_no_needs_csum": udp(Ip6(), payload(5000), 1448, GSO_UDP, csum=False),
    # behind VLAN tags
    "tcp4_vlan": tcp(Ip4(), payload(5000), 1460, FIN | ACK, vlans=VLAN1),
    "tcp4_two_vlans": tcp(Ip4(), payload(5000), 1460, vlans=VLAN2),
    "tcp4_three_vlans": tcp(Ip4(), payload(5000), 1460, vlans=VLAN3),
    "tcp6_vlan": tcp(Ip6([HOP]), payload(5000), 1400, vlans=VLAN1),
    "tcp6_two_vlans": tcp(Ip6(), payload(5000), 1440, vlans=VLAN2),
    "uso4_vlan": udp(Ip4(), payload(5000), 1400, vlans=VLAN1),
    "uso6_two_vlans": udp(Ip6(), payload(5000), 1400, vlans=VLAN2),
    "ufo4_vlan": udp(Ip4(), payload(5000), 1480, GSO_UDP, vlans=VLAN1),
    "ufo6_two_vlans": udp(Ip6(), payload(5000), 1448, GSO_UDP, vlans=VLAN2),
    "tcp4_vlan_csum": tcp(Ip4(), payload(1000), vlans=VLAN1),
    "udp6_two_vlans_csum": udp(Ip6(), payload(1000), vlans=VLAN2),
    # only a checksum
    "csum_tcp4": tcp(Ip4(), payload(1000)),
    "csum_tcp4_odd": tcp(Ip4(), payload(1001), options=TIMESTAMPS),
    "csum_tcp4_no_payload": tcp(Ip4(), b""),
    "csum_tcp4_0_becomes_ffff": tcp(Ip4(), tcp_zero(Ip4(), 1000, 1000)),
    "csum_tcp6": tcp(Ip6(), payload(999)),
    "csum_tcp6_extension_headers": tcp(Ip6([HOP, ROUTING, DEST]), payload(999)),
    "csum_udp4": udp(Ip4(), payload(1000)),
    "csum_udp4_odd": udp(Ip4(), payload(1)),
    "csum_udp4_0_becomes_ffff": udp(Ip4(), udp_zero(Ip4(), 100, 100)),
    "csum_udp6": udp(Ip6(), payload(1001)),
    "csum_udp6_0_becomes_ffff": udp(Ip6(), udp_zero(Ip6(), 100, 100)),
    "csum_jumbo": udp(Ip4(), payload(9000)),
    "csum_60000": udp(Ip6(), payload(60000)),
    "csum_any_protocol": Frame(ether(0x1234) + payload(500), NEEDS_CSUM, start=40, offset=100),
    "csum_odd_start": Frame(ether(0x1234) + payload(501), NEEDS_CSUM, start=41, offset=10),
    "csum_odd_offset": Frame(ether(0x1234) + payload(501), NEEDS_CSUM, start=40, offset=11),
    "csum_last_bytes": Frame(ether(0x1234) + payload(46), NEEDS_CSUM, start=40, offset=18),
    "csum_of_its_field_only": Frame(ether(0x1234) + payload(46), NEEDS_CSUM, start=58, offset=0),
    "csum_of_zeros": Frame(ether(0x1234) + bytes(46), NEEDS_CSUM, start=40, offset=0),
    "csum_least_start": Frame(ether(0x1234) + payload(46), NEEDS_CSUM, start=20, offset=0),
    "csum_ip_truncated": Frame(ether(0x0800) + b"\x45" + bytes(30), NEEDS_CSUM, start=34, offset=6),
    "csum_ip_length_lies": tcp(Ip4(length=40), payload(1000)),
    # nothing to do
    "complete": Frame(ether(0x1234) + payload(46)),
    "complete_data_valid": Frame(ether(0x1234) + payload(46), DATA_VALID),
    "complete_hdr_len": Frame(ether(0x1234) + payload(46), hdr_len=60),
}


def changed(frame, **fields):
    """@frame with other fields in its virtio-net header."""
    names = ("flags", "gso", "hdr_len", "size", "start", "offset", "buffers")
    old = dict(zip(names, NET_HDR.unpack(frame.hdr)))
    new = Frame(frame.data)
    new.hdr = NET_HDR.pack(*(fields.get(name, old[name]) for name in names))
    return new


def patched(frame, at, data):
    new = Frame(frame.data[:at] + data + frame.data[at + len(data):])
    new.hdr = frame.hdr
    return new


def shortened(frame, size):
    new = Frame(frame.data[:size])
    new.hdr = frame.hdr
    return new


A_TCP4, A_TCP6, A_USO4 = SAME["tcp4"], SAME["tcp6"], SAME["uso4"]

REFUSED = {
    "gso_size_0": changed(A_TCP4, size=0),
    "gso_size_0_uso": changed(A_USO4, size=0),
    "gso_size_ffff": changed(A_TCP4, size=0xFFFF),
    "gso_type_unknown": changed(A_TCP4, gso=2),
    "gso_type_only_ecn": changed(A_TCP4, gso=GSO_ECN),
    "uso_with_ecn": changed(A_USO4, gso=GSO_USO | GSO_ECN),
    "uso_129_segments": udp(Ip4(), payload(12801), 100),
    "uso_without_needs_csum": udp(Ip4(), payload(5000), 1000, csum=False),
    "tcp4_type_on_ip6": changed(A_TCP6, gso=GSO_TCPV4),
    "tcp6_type_on_ip4": changed(A_TCP4, gso=GSO_TCPV6),
    "tcp_type_on_udp": changed(A_USO4, gso=GSO_TCPV4),
    "uso_type_on_tcp": changed(A_TCP4, gso=GSO_USO),
    "ufo_type_on_tcp": changed(A_TCP4, gso=GSO_UDP),
    "tcp_type_on_other_ethertype": patched(A_TCP4, 12, b"\x12\x34"),
    "tcp_type_on_icmp": patched(A_TCP4, 23, b"\x01"),
    "tcp6_behind_fragment_header": patched(SAME["tcp6_hop_by_hop"], 20, b"\x2c"),
    "tcp6_chain_runs_out": patched(A_TCP6, 20, b"\x3c"),
    "csum_start_beyond_frame": changed(SAME["csum_tcp4"], start=2000),
    "csum_start_at_end": changed(SAME["csum_tcp4"], start=1054, offset=0),
    "csum_field_beyond_frame": changed(SAME["csum_tcp4"], offset=1019),
    "csum_start_ffff": changed(SAME["csum_tcp4"], start=0xFFFF, offset=0xFFFF),
    "csum_start_in_ether_header": changed(SAME["csum_tcp4"], start=19),
    "tcp_csum_start_elsewhere": changed(A_TCP4, start=36),
    "tcp_csum_offset_elsewhere": changed(A_TCP4, offset=18),
    "uso_csum_start_elsewhere": changed(A_USO4, start=36),
    "uso_csum_offset_elsewhere": changed(A_USO4, offset=4),
    "hdr_len_beyond_frame": changed(SAME["csum_tcp4"], hdr_len=1100),
    "tcp_header_too_short": patched(A_TCP4, 46, b"\x40"),
    "tcp_header_beyond_frame": patched(tcp(Ip4(), payload(10), 1), 46, b"\xf0"),
    "ip4_header_too_short": patched(A_TCP4, 14, b"\x44"),
    "ip4_header_truncated": shortened(changed(A_TCP4, flags=0, start=0, offset=0, hdr_len=0), 30),
    "ip6_header_truncated": shortened(changed(A_TCP6, flags=0, start=0, offset=0, hdr_len=0), 50),
    "ether_header_truncated": shortened(changed(A_TCP4, flags=0, start=0, offset=0, hdr_len=0), 13),
}

# Frames that Linux passes on in some way and offload_finish() refuses; offload.c says why.
REFUSED_BY_US = {
    "ip4_length_too_short": tcp(Ip4(length=100), payload(5000), 1460),
    "ip4_length_too_long": tcp(Ip4(length=60000), payload(5000), 1460),
    "ip4_length_0": tcp(Ip4(length=0), payload(5000), 1460),
    "ip6_length_too_short": tcp(Ip6(length=100), payload(5000), 1440),
    "ip4_fragment": tcp(Ip4(frag=0x2000), payload(5000), 1460),
    "tcp4_2049_segments": tcp(Ip4(), payload(20481), 10),
    "one_segment_of_other_protocol": patched(SAME["tcp4_one_segment"], 23, b"\x11"),
}


# Frames of which Linux makes fragments that nobody can put together again.
REASSEMBLED = {
    "size_no_multiple_of_8": (Ip4(), 1237),
    "size_no_multiple_of_8_ip6": (Ip6(), 1237),
    "extension_headers": (Ip6([HOP, DEST]), 1400),
    "routing_header": (Ip6([HOP, DEST, ROUTING]), 1400),
    "destination_header_last": (Ip6([ROUTING, DEST]), 1400),
}


def fragment_header(data):
    """Where the fragment header of an IPv6 frame lies."""
    at = data.find(bytes.fromhex("86dd"), 12) + 2
    kind, at = at + 6, at + 40
    while data[kind] in (0, 43, 60):
        kind, at = at, at + (data[at + 1] + 1) * 8
    assert data[kind] == 44
    return at


def without_fragment_ids(frames):
    """IPv6 fragments with their identification replaced: all of a datagram agree on one, and
    nobody else needs to know it."""
    ids = {data[fragment_header(data) + 4:][:4] for data in frames}
    assert len(ids) == 1 and ids != {bytes(4)}
    return [data[:at + 4] + b"same" + data[at + 8:]
            for data, at in ((data, fragment_header(data)) for data in frames)]


def comparable(name, out):
    frames = [data for _, data in out]
    return without_fragment_ids(frames) if name.startswith("ufo6") else frames


# ------------------------------------------------------------------- the tests


@pytest.mark.parametrize("name", SAME)
def test_finishes_as_the_kernel_does(tool, kernel, name):
    frame = SAME[name]
    kernel.needs_uso(name)
    err, expected = kernel.finish(frame)
    assert err == 0 and expected
    res, out = tool.finish(frame)
    assert res == 0
    assert comparable(name, out) == comparable(name, expected)
    assert {hdr for hdr, _ in out} == {bytes(NET_HDR.size)}


# What the reader takes: our bits, the TAP's. UFO is not here: no Linux since 4.14 hands it out.
TAKEN = {
    "csum": (CSUM, TUN_F_CSUM),
    "tso4": (CSUM | TSO4, TUN_F_CSUM | TUN_F_TSO4),
    "tso6": (CSUM | TSO6, TUN_F_CSUM | TUN_F_TSO6),
    "tso_ecn": (CSUM | TSO4 | TSO6 | ECN,
                TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN),
    "uso": (CSUM | TSO4 | TSO6 | USO4 | USO6, TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_USO),
}


# Where Linux does more than the reader asked for: it cuts frames with several tags and frames of
# 64 KiB (gso_max_size) always, and gives frames a NEEDS_CSUM that came without.
NOT_AS_THEY_ARE = ("vlans", "64k", "no_needs_csum")


def left_open(hdr):
    """What the header leaves to the reader. DATA_VALID is no work, hdr_len a hint; the number of buffers a TAP
    does not write before Linux 6.14."""
    flags, gso, _, *rest, _ = NET_HDR.unpack(hdr)
    return (flags & NEEDS_CSUM, gso, *rest)


@pytest.mark.parametrize("name, taken", [
    (name, taken) for name in SAME for taken in TAKEN
    if taken == "csum" or not any(part in name for part in NOT_AS_THEY_ARE)])
def test_leaves_to_the_reader_what_the_kernel_leaves(tool, kernel, name, taken):
    ours, theirs = TAKEN[taken]
    frame = SAME[name]
    kernel.needs_uso(name, taken)
    err, expected = kernel.finish(frame, theirs)
    assert err == 0 and expected
    res, out = tool.finish(frame, ours)
    assert res == 0
    assert comparable(name, out) == comparable(name, expected)
    assert [left_open(hdr) for hdr, _ in out] == [left_open(hdr) for hdr, _ in expected]


def reassemble(ip, frames):
    """The UDP payload that the fragments make; None if they do not fit or a checksum is wrong."""
    whole = b""
    for data in frames:
        if isinstance(ip, Ip6):
            at = fragment_header(data)
            field, = struct.unpack_from("!H", data, at + 2)
            offset, more, at = field & 0xFFF8, field & 1, at + 8
        else:
            field, = struct.unpack_from("!H", data, 20)
            offset, more, at = (field & 0x1FFF) * 8, field & 0x2000, 14 + (data[14] & 15) * 4
            if raw_sum(data[14:at]) != 0xFFFF:
                return None
        if offset != len(whole) or bool(more) == (data is frames[-1]):
            return None
        whole += data[at:]
    if words_sum(ip.pseudo(17, len(whole)), raw_sum(whole)) != 0xFFFF:
        return None
    return whole[8:]


@pytest.mark.parametrize("name", REASSEMBLED)
def test_fragments_can_be_reassembled(tool, name):
    ip, size = REASSEMBLED[name]
    res, out = tool.finish(udp(ip, payload(5000), size, GSO_UDP))
    assert res == 0 and len(out) == -(-5008 // (size & ~7))
    assert reassemble(ip, [data for _, data in out]) == payload(5000)


@pytest.mark.parametrize("name", REASSEMBLED)
def test_the_kernels_fragments_cannot(kernel, name):
    """Should Linux mend this one day, the frame belongs into SAME."""
    ip, size = REASSEMBLED[name]
    _, out = kernel.finish(udp(ip, payload(5000), size, GSO_UDP))
    assert out and reassemble(ip, [data for _, data in out]) is None


@pytest.mark.parametrize("piece", [1, 3, 64, 1000])
def test_pieces_make_no_difference(tool, piece):
    for name, frame in SAME.items():
        for accepts in (0, CSUM):
            assert comparable(name, tool.finish(frame, accepts, piece)[1]) == \
                comparable(name, tool.finish(frame, accepts)[1]), name


# Linux 6.1 (Debian 12) passes these on, 6.18 does not.
REFUSED_LATELY = ("csum_start_in_ether_header", "ip4_header_truncated", "ip6_header_truncated")


@pytest.mark.parametrize("name", REFUSED)
def test_refuses_what_the_kernel_refuses(tool, kernel, name):
    for piece in (0, 1):
        assert tool.finish(REFUSED[name], piece=piece) == (-errno.EINVAL, [])
    passed = kernel.finish(REFUSED[name])[1]
    if passed and name in REFUSED_LATELY:
        pytest.skip("this kernel passes it on")
    assert passed == []


@pytest.mark.parametrize("name", REFUSED_BY_US)
def test_refuses_more_than_the_kernel(tool, kernel, name):
    assert kernel.finish(REFUSED_BY_US[name])[1] != []
    assert tool.finish(REFUSED_BY_US[name]) == (-errno.EINVAL, [])
