/* SPDX-License-Identifier: MIT */
/* What limits and filters a port's frames: from its description, and at run time. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "api/api.h"
#include "conf/conf.h"
#include "filter/limit.h"
#include "filter/spoof.h"

_Static_assert((int)VMTAP_RX == (int)PORT_RX && (int)VMTAP_TX == (int)PORT_TX, "one order");

/* The keys of one way, which go before those of both. */
struct limit_keys {
	const char *rate, *burst, *pps;
};

static const struct limit_keys keys_of[] = {
	[VMTAP_RX] = { "rx-rate", "rx-burst", "rx-pps" },
	[VMTAP_TX] = { "tx-rate", "tx-burst", "tx-pps" },
};

static uint64_t number(const struct conf *c, const char *key, const char *both)
{
	return (uint64_t)conf_int(c, key, conf_int(c, both, 0));
}

static struct vmtap_limit limit_of(const struct conf *c, enum vmtap_direction way)
{
	const struct limit_keys *k = &keys_of[way];
	struct vmtap_limit limit = {
		.size = sizeof(limit),
		.rate_bps = number(c, k->rate, "rate"),
		.pps = number(c, k->pps, "pps"),
	};

	if (limit.rate_bps) /* of both ways, perhaps one has no rate */
		limit.burst = number(c, k->burst, "burst");
	return limit;
}

/* A burst of nothing is a mistake. */
static int check_burst(const struct conf *c, const char *key, bool has_rate, const char *rates,
		       struct vmtap_error *err)
{
	if (!conf_has(c, key) || has_rate)
		return 0;
	error_set(err, EINVAL, conf_object(c), "limit its frames", "%s= is given without a rate",
		  key);
	error_remedy(err, "say which: %s", rates);
	return -EINVAL;
}

int filter_check(const struct conf *c, struct vmtap_error *err)
{
	const bool rx = limit_of(c, VMTAP_RX).rate_bps, tx = limit_of(c, VMTAP_TX).rate_bps;
	int ret = check_burst(c, "burst", rx || tx, "rate=", err);

	if (ret == 0)
		ret = check_burst(c, "rx-burst", rx, "rx-rate= or rate=", err);
	if (ret == 0)
		ret = check_burst(c, "tx-burst", tx, "tx-rate= or rate=", err);
	if (ret == 0)
		ret = spoof_check(conf_object(c), conf_str(c, "mac-filter", NULL),
				  conf_str(c, "ip-filter", NULL), err);
	return ret;
}

int filter_apply(struct vmtap_port *h, const struct conf *c, struct vmtap_error *err)
{
	int ret = vmtap_port_set_filter(h, conf_str(c, "mac-filter", NULL),
					conf_str(c, "ip-filter", NULL), err);

	for (int way = VMTAP_RX; way <= VMTAP_TX && ret == 0; way++) {
		const struct vmtap_limit limit = limit_of(c, way);

		ret = vmtap_port_set_limit(h, way, &limit, err);
	}
	return ret;
}

void filter_free(struct vmtap_port *h)
{
	limit_free(h->limit);
	spoof_free(h->spoof);
	h->limit = NULL;
	h->spoof = NULL;
}

/* ------------------------------------------------------------------ limits */

static int check_open(const struct vmtap_port *h, const char *action, struct vmtap_error *err)
{
	if (!h->closing && !h->port->closed)
		return 0;
	return error_set(err, EPIPE, h->port->name, action, "the port is closed");
}

int vmtap_port_set_limit(struct vmtap_port *h, enum vmtap_direction way,
			 const struct vmtap_limit *limit, struct vmtap_error *err)
{
	struct vmtap_limit value = { 0 };
	int ret = check_open(h, "limit its frames", err);

	if (ret < 0)
		return ret;
	if (way != VMTAP_RX && way != VMTAP_TX)
		return error_set(err, EINVAL, h->port->name, "limit its frames",
				 "%d is no direction", (int)way);
	if (limit)
		memcpy(&value, limit, limit->size < sizeof(value) ? limit->size : sizeof(value));
	if (!h->limit && !value.rate_bps && !value.pps && !value.burst)
		return 0;
	if (!h->limit)
		h->limit = limit_new(h->port);
	if (!h->limit)
		return error_errno(err, ENOMEM, h->port->name, "limit its frames");
	return limit_set(h->limit, way == VMTAP_RX ? PORT_RX : PORT_TX, &value, err);
}

void vmtap_port_limit(const struct vmtap_port *h, enum vmtap_direction way,
		      struct vmtap_limit *limit, size_t size)
{
	struct vmtap_limit value = { 0 };

	if (h->limit && (way == VMTAP_RX || way == VMTAP_TX))
		value = limit_get(h->limit, way == VMTAP_RX ? PORT_RX : PORT_TX);
	memset(limit, 0, size);
	value.size = size;
	memcpy(limit, &value, size < sizeof(value) ? size : sizeof(value));
}

/* ----------------------------------------------------------------- filters */

int vmtap_port_set_filter(struct vmtap_port *h, const char *macs, const char *ips,
			  struct vmtap_error *err)
{
	int ret = check_open(h, "filter its frames", err);

	if (ret < 0 || (!h->spoof && !macs && !ips))
		return ret;
	if (!h->spoof)
		h->spoof = spoof_new(h->port);
	if (!h->spoof)
		return error_errno(err, ENOMEM, h->port->name, "filter its frames");
	return spoof_set(h->spoof, macs, ips, err);
}

const char *vmtap_port_mac_filter(const struct vmtap_port *h)
{
	return h->spoof ? spoof_macs(h->spoof) : NULL;
}

const char *vmtap_port_ip_filter(const struct vmtap_port *h)
{
	return h->spoof ? spoof_ips(h->spoof) : NULL;
}
