/* SPDX-License-Identifier: MIT */
/*
 * What a frame says about groups: IGMP (RFC 2236, RFC 3376) and MLD (RFC 2710, RFC 3810), and routers that
 * show themselves (PIM, RFC 4286).
 *
 * What the peer may do wrong
 *   All of it is foreign, and may change while it is read: a message is copied once, and checked and used in
 *   the copy. What a receiver has to discard (wrong checksums, lengths that lead out of the packet) is
 *   MCAST_WRONG. What is whole, but not as its RFC wants it (a hop limit of more than one, no router alert, a
 *   sender that is not of this link, a destination that is not that of such a message) is not used, and
 *   MCAST_NONE: who sends so could say things to a switch that the others do not hear. The same holds for
 *   fragments and for frames whose checksum is still to be filled in.
 */
#ifndef NET_MCAST_H
#define NET_MCAST_H

#include <stdbool.h>
#include <stdint.h>

#include "vmtap/vmtap.h"

/** struct mcast_addr - @bytes: of IPv4 the first four, and zeros */
struct mcast_addr {
	bool is_ip6;
	uint8_t bytes[16];
};

enum mcast_kind {
	MCAST_NONE, /* nothing to be looked into */
	MCAST_DATA, /* for those in the group @to */
	MCAST_REPORT,
	MCAST_QUERY,
	MCAST_ROUTER, /* a router says that it is there */
	MCAST_WRONG,
};

/** struct mcast_record - Somebody is in @group, or left it */
struct mcast_record {
	struct mcast_addr group;
	bool leave;
};

/**
 * struct mcast_msg - What was found; @to and @from are set unless MCAST_NONE and MCAST_WRONG
 *
 * Of a query:
 * @general:     about all groups; otherwise about the one that it was sent to, @to
 * @settles:     who does not answer is not in it (it is about no source, and for other routers, too)
 * @response_ms: within which members answer
 * @interval_ms: for which a membership holds that is not repeated, as this router counts
 *
 * Of a report:
 * @record_cnt:  records that mcast_next() has still to look at
 * @only, @records: one, or where the next is
 */
struct mcast_msg {
	enum mcast_kind kind;
	struct mcast_addr to, from;
	bool general, settles;
	uint32_t response_ms, interval_ms;
	unsigned record_cnt;
	struct mcast_record only;
	const uint8_t *records;
};

/**
 * mcast_parse() - Look into a frame to a group
 * @mac:     its destination, as it was copied from it
 * @l3:      where its IP header begins, and @type the EtherType that says so
 * @scratch: VMTAP_FRAME_MAX bytes, in use until the last mcast_next()
 */
void mcast_parse(const struct vmtap_frame *frame, const uint8_t mac[6], uint32_t l3, uint16_t type,
		 uint8_t *scratch, struct mcast_msg *msg);

/** mcast_next() - The next record of a report. Return: false: there is none. */
bool mcast_next(struct mcast_msg *msg, struct mcast_record *r);

/** mcast_is_local() - A group that is not divided: 224.0.0.0/24, and IPv6 groups of this link or less. Not
 *  all of their members report them, and what finds out neighbours depends on them. */
bool mcast_is_local(const struct mcast_addr *group);

/** mcast_text() - As people write it. @text: MCAST_TEXT_MAX bytes. Return: @text. */
#define MCAST_TEXT_MAX 46
const char *mcast_text(const struct mcast_addr *a, char *text);

#endif
