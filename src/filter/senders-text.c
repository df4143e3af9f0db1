/* SPDX-License-Identifier: MIT */
/* Whose frames may enter by a port: the addresses, as text. */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "filter/senders.h"

/** Longest address with its prefix length. */
#define ITEM_MAX 64

static int refuse(char why[SENDERS_WHY_MAX], const char *item, const char *reason)
{
	snprintf(why, SENDERS_WHY_MAX, "\"%.50s\" %s", item, reason);
	return -EINVAL;
}

static int too_many(char why[SENDERS_WHY_MAX])
{
	snprintf(why, SENDERS_WHY_MAX, "there are more than %u addresses of a kind", SENDERS_MAX);
	return -EINVAL;
}

static bool read_byte(const char *text, uint8_t *byte)
{
	char pair[3] = { text[0], text[0] ? text[1] : '\0', '\0' };

	if (!isxdigit((unsigned char)pair[0]) || !isxdigit((unsigned char)pair[1]))
		return false;
	*byte = (uint8_t)strtoul(pair, NULL, 16);
	return true;
}

static bool read_mac(const char *item, uint8_t mac[6])
{
	for (unsigned i = 0; i < 6; i++, item += 3) {
		if (!read_byte(item, &mac[i]))
			return false;
		if (i == 5 ? item[2] : item[2] != ':' && item[2] != '-')
			return false;
	}
	return true;
}

static int add_mac(struct senders *s, char *item, char why[SENDERS_WHY_MAX])
{
	uint8_t *mac = s->macs[s->mac_cnt];

	if (!read_mac(item, mac))
		return refuse(why, item, "is no MAC address");
	if (mac[0] & 1)
		return refuse(why, item, "is a group's address, and nobody sends from one");
	s->mac_cnt++;
	return 0;
}

/* The prefix length behind the '/', which is cut off; @most without. Return: -1: it is none. */
static int read_bits(char *item, int most)
{
	char *slash = strchr(item, '/'), *end;
	long bits;

	if (!slash)
		return most;
	*slash = '\0';
	if (!isdigit((unsigned char)slash[1]))
		return -1;
	bits = strtol(slash + 1, &end, 10);
	return *end || bits > most ? -1 : (int)bits;
}

static int add_ip4(struct senders *s, const uint8_t *ip, unsigned bits)
{
	const uint32_t mask = bits ? ~0u << (32 - bits) : 0;
	const uint32_t addr = get_be32(ip);

	if (addr & ~mask)
		return -EINVAL;
	s->ip4[s->ip4_cnt++] = (struct senders_ip4) { .addr = addr, .mask = mask };
	return 0;
}

static int add_ip6(struct senders *s, const uint8_t *ip, unsigned bits)
{
	struct senders_ip6 *p = &s->ip6[s->ip6_cnt];

	for (unsigned i = bits; i < 128; i++)
		if (ip[i / 8] & 0x80u >> i % 8)
			return -EINVAL;
	memcpy(p->addr, ip, 16);
	p->bits = bits;
	s->ip6_cnt++;
	return 0;
}

static int add_ip(struct senders *s, char *item, char why[SENDERS_WHY_MAX])
{
	const bool is_ip6 = strchr(item, ':');
	const int bits = read_bits(item, is_ip6 ? 128 : 32);
	uint8_t ip[16];
	int ret;

	if (inet_pton(is_ip6 ? AF_INET6 : AF_INET, item, ip) != 1)
		return refuse(why, item, "is no IP address");
	if (bits < 0)
		return refuse(why, item,
			      is_ip6 ? "has a prefix length that is not 0 to 128"
				     : "has a prefix length that is not 0 to 32");
	ret = is_ip6 ? add_ip6(s, ip, (unsigned)bits) : add_ip4(s, ip, (unsigned)bits);
	return ret < 0 ? refuse(why, item, "has bits behind its prefix length") : 0;
}

typedef int add_fn(struct senders *s, char *item, char why[SENDERS_WHY_MAX]);

static int add_all(struct senders *s, const char *text, add_fn *add, char why[SENDERS_WHY_MAX])
{
	char item[ITEM_MAX];

	do {
		const size_t len = strcspn(text, "+");
		int ret;

		if (s->mac_cnt == SENDERS_MAX || s->ip4_cnt == SENDERS_MAX ||
		    s->ip6_cnt == SENDERS_MAX)
			return too_many(why);
		snprintf(item, sizeof(item), "%.*s", (int)(len < ITEM_MAX ? len : ITEM_MAX - 1),
			 text);
		ret = len < ITEM_MAX ? add(s, item, why) : refuse(why, item, "is no address");
		if (ret < 0)
			return ret;
		text += len;
		text += *text == '+';
	} while (*text); /* a '+' at the very end is let pass, as in all lists */
	return 0;
}

int senders_add_macs(struct senders *s, const char *text, char why[SENDERS_WHY_MAX])
{
	return add_all(s, text, add_mac, why);
}

int senders_add_ips(struct senders *s, const char *text, char why[SENDERS_WHY_MAX])
{
	return add_all(s, text, add_ip, why);
}
