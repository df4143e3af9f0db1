/* SPDX-License-Identifier: MIT */
/*
 * Frames of the latency probe: what is asked, and what answers look like.
 *
 * Which probe an answer belongs to
 *   An echo brings back what was sent: a token and the probe's number. ARP and neighbour discovery bring back
 *   nothing but the asker's address, so each of PING_IDENTS probes in turn has another: MAC addresses that
 *   differ in their last four bits, and the link-local addresses made of them.
 *
 * What the peer may do wrong
 *   Anything. What may be of interest is copied once, at most PING_LOOK bytes, and checked in the copy. It
 *   can answer what it was asked, in its own name or another's, as often as it likes.
 */
#ifndef FILTER_PING_FRAME_H
#define FILTER_PING_FRAME_H

#include <stdbool.h>
#include <stdint.h>

#include "vmtap/vmtap.h"

/** Addresses that probes have in turn, and probes that are on their way at once. */
#define PING_IDENTS 16u
/** Bytes that are looked at; of the longest frame that is made. */
#define PING_LOOK 128u

enum ping_kind {
	PING_ARP,  /* who has this IPv4 address? */
	PING_ND,   /* the same for IPv6 */
	PING_ECHO, /* ICMPv6 echo request to a group */
};

/**
 * struct ping_asker - Who asks, and what
 * @mac:   its last four bits are zero
 * @ip4:   the sender of ARP requests; 0.0.0.0: as those who ask whether an address is free (RFC 5227)
 * @token: in echo requests
 * @open:  nobody in particular is asked
 * @vlan:  of the tag that frames have; 0: they have none
 * @target: IPv4: the first four bytes
 */
struct ping_asker {
	enum ping_kind kind;
	bool open;
	uint16_t vlan;
	uint8_t mac[6], ip4[4], token[8];
	uint8_t target[16];
};

/** ping_asker_init() - Made-up addresses and token. Return: 0 or -errno. */
int ping_asker_init(struct ping_asker *a);

/**
 * ping_asker_aim() - At whom: an IPv4 or IPv6 address, a group of IPv6; NULL: ff02::1, @open
 * @source: an IPv4 address to ask ARP with; NULL: 0.0.0.0
 * Return: 0, or -EINVAL, and @why has a reason
 */
int ping_asker_aim(struct ping_asker *a, const char *address, const char *source, const char **why);

/** ping_frame() - Probe @seq. @buf: PING_LOOK bytes. Return: the frame's length. */
unsigned ping_frame(const struct ping_asker *a, uint64_t seq, uint8_t *buf);

enum ping_saw {
	PING_SAW_NOTHING, /* it is somebody else's */
	PING_SAW_ANSWER,
	PING_SAW_SOLICIT, /* who has an address of the asker's? */
	PING_SAW_STRAY,	  /* an answer to what it asked before it aimed at somebody else */
};

/**
 * struct ping_seen - A frame that is the asker's business
 * @seq:   PING_SAW_ANSWER to an echo: the probe's number, of which 32 bits come back; to others, and
 *         PING_SAW_SOLICIT: the number modulo PING_IDENTS, which is the address's
 * @mac, @ip, @is_ip6: who sends it; 4 or 16 bytes
 */
struct ping_seen {
	enum ping_saw saw;
	uint32_t seq;
	bool is_ip6;
	uint8_t mac[6], ip[16];
};

/** ping_look() - Whose is @frame? Return: whether it is the asker's, and @seen. */
bool ping_look(const struct ping_asker *a, const struct vmtap_frame *frame, struct ping_seen *seen);

/** ping_hear() - Does a frame of others tell of an IPv4 host, by ARP? Return: whether it does, and @ip. */
bool ping_hear(const struct ping_asker *a, const struct vmtap_frame *frame, uint8_t ip[4]);

/** ping_advert() - The answer to a PING_SAW_SOLICIT. @buf, return: as ping_frame(). */
unsigned ping_advert(const struct ping_asker *a, const struct ping_seen *solicit, uint8_t *buf);

#endif
