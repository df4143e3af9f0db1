/* SPDX-License-Identifier: MIT */
/* GSO frames for the claims about offloads: made, sent by the kernel, and checked. */
#ifndef TAP_GSO_H
#define TAP_GSO_H

#include "tap-lab.h"

#define ETH 14
#define GSO_PAYLOAD 5000
#define GSO_MSS 1000
#define GSO_CNT 4
#define GSO_FRAME_MAX (ETH + 60 + GSO_PAYLOAD)

/** struct gso - A frame that leaves segmentation and checksum to others. */
struct gso {
	unsigned type, offload;
	bool v6, udp;
};

/** gsos - TCP and UDP over IPv4 and IPv6. */
extern const struct gso gsos[GSO_CNT];

/** gso_l4_at(), gso_headers() - Where the TCP or UDP header, and where the payload starts. */
unsigned gso_l4_at(const struct gso *g);
unsigned gso_headers(const struct gso *g);

/** gso_frame() - Fill in a frame with GSO_PAYLOAD bytes, and its header. Return: its length. */
unsigned gso_frame(const struct gso *g, unsigned char *f, struct vmtap_net_hdr *hdr);

/** gso_check_complete() - A frame that nobody needs to finish: its checksums are right, and its
 *  payload is what the GSO frame's has at @off. Return: bytes of payload. */
unsigned gso_check_complete(const struct gso *g, const unsigned char *f, unsigned len,
			    unsigned off);

/** gso_socket() - A packet socket on vm0 that passes 10-byte headers on, for frames of any type. */
int gso_socket(void);
/** gso_kernel_knows() - Does this kernel know the type? UDP segments came with Linux 6.2. */
bool gso_kernel_knows(const struct gso *g);
/** gso_kernel_send() - Have the kernel send the frame out of vm0; one of a type that it knows. */
void gso_kernel_send(int sock, const struct gso *g);

#endif
