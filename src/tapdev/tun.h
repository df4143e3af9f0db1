/* SPDX-License-Identifier: MIT */
/*
 * What the tun driver offers: one ioctl a function, no policy, no texts.
 * <linux/if_tun.h>; Documentation/networking/tuntap.rst of the kernel.
 */
#ifndef TAPDEV_TUN_H
#define TAPDEV_TUN_H

#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>

#define TUN_PATH "/dev/net/tun"

/** struct tun_request - What to attach to. */
struct tun_request {
	const char *ifname; /* NULL: the kernel chooses "tap%d"; may be a pattern such as "vm%d" */
	bool vnet_hdr;
	bool multi_queue;
};

/** tun_open() - Open the clone device, non-blocking and close-on-exec.
 *  Return: owned descriptor, or -errno. */
int tun_open(void);

/** tun_attach() - Create the TAP or attach a queue to it (TUNSETIFF: layer 2, no packet information).
 *  @ifname: receives the name that it has. Return: 0 or -errno; -EBUSY also where @fd is attached but
 *  others hold queues of it that have a header and ours were to have none, or the other way round. */
int tun_attach(int fd, const struct tun_request *req, char ifname[IFNAMSIZ]);

/** tun_has_vnet_hdr() - Does the kernel know virtio-net headers (TUNGETFEATURES)? */
bool tun_has_vnet_hdr(int fd);

/** tun_get_flags() - IFF_* flags and name of the device behind @fd (TUNGETIFF). Return: 0 or -errno.
 *  IFF_NO_PI says nothing: the same bit is IFF_NOFILTER, which is nearly always set. */
int tun_get_flags(int fd, unsigned *flags, char ifname[IFNAMSIZ]);

/** tun_get_mac() - The device's address. Return: 0 or -errno. */
int tun_get_mac(int fd, uint8_t mac[6]);

/** tun_set_hdr_len() - Bytes of the header (TUNSETVNETHDRSZ). Return: 0 or -errno. */
int tun_set_hdr_len(int fd, int len);

/** tun_set_endian() - Byte order of the header: native when both are false. Return: 0 or -errno. */
int tun_set_endian(int fd, bool little, bool big);

/** tun_set_offload() - enum vmtap_offload bits, translated (TUNSETOFFLOAD). Return: 0 or -errno. */
int tun_set_offload(int fd, unsigned offload);

/** tun_set_sndbuf() - Bytes; 0: unlimited. Return: 0 or -errno. */
int tun_set_sndbuf(int fd, int bytes);

/** tun_set_queue() - Attach or detach this queue (TUNSETQUEUE). Return: 0 or -errno. */
int tun_set_queue(int fd, bool on);

/** tun_set_steering() - The program @prog (a descriptor) picks the queue of each frame that the device sends;
 *  -1: the kernel does (TUNSETSTEERINGEBPF). The device keeps it, whoever closes what. Return: 0 or -errno. */
int tun_set_steering(int fd, int prog);

int tun_set_carrier(int fd, bool on);
int tun_set_persist(int fd, bool on);
int tun_set_owner(int fd, unsigned uid);
int tun_set_group(int fd, unsigned gid);

#endif
