/* SPDX-License-Identifier: MIT */
/* Public port handles and links. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/api.h"
#include "conf/conf.h"
#include "port/app/app.h"
#include "port/tap/tap.h"

struct vmtap_port *handle_new(struct vmtap *v, struct port *port, struct vmtap_error *err)
{
	struct vmtap_port *h = calloc(1, sizeof(*h));

	if (!h) {
		error_errno(err, ENOMEM, port ? port->name : "vmtap", "open the port");
		port_free(port);
		return NULL;
	}
	h->v = v;
	h->port = port;
	if (port)
		port->handle = h;
	h->refs = 1;
	h->next = v->ports;
	v->ports = h;
	return h;
}

/* The description, parsed, and its type; both NULL on error. */
static struct conf *parse(const char *spec, const struct port_type **type, struct vmtap_error *err)
{
	char name[32];

	*type = NULL;
	if (conf_type(spec, name, sizeof(name), err) < 0)
		return NULL;
	*type = port_type_find(name, err);
	return *type ? conf_parse((*type)->schema, spec, err) : NULL;
}

struct vmtap_port *port_find(const struct vmtap *v, const char *name)
{
	for (struct vmtap_port *h = v->ports; h; h = h->next)
		if (!h->closing && !h->port->closed && strcmp(h->port->name, name) == 0)
			return h;
	return NULL;
}

/* id=, else what people call the thing, else a made-up name. */
static int choose_name(struct vmtap *v, const struct port_type *type, const struct conf *conf,
		       char *name, size_t size, struct vmtap_error *err)
{
	const char *id = conf_str(conf, "id", NULL);

	if (id) {
		if (port_find(v, id) || switch_find(v, id)) {
			error_set(err, EEXIST, conf_object(conf), "open the port",
				  "id=%s is the name of another", id);
			error_remedy(err, "choose another id=, or have one made up");
			return -EEXIST;
		}
		snprintf(name, size, "%s", id);
		return 0;
	}
	do
		snprintf(name, size, "%s#%u", type->schema->type, v->serial++);
	while (port_find(v, name) || switch_find(v, name));
	return 0;
}

struct vmtap_port *vmtap_port_open(struct vmtap *v, const char *spec, struct vmtap_error *err)
{
	const struct port_type *type;
	struct conf *conf = parse(spec, &type, err);
	struct vmtap_port *h = NULL;
	struct switch_place place;
	struct port *port = NULL;
	char name[256];

	if (!conf)
		return NULL;
	if (filter_check(conf, err) == 0 && switch_place_read(conf, &place, err) == 0 &&
	    choose_name(v, type, conf, name, sizeof(name), err) == 0)
		port = type->open(&v->env, name, conf, err);
	if (port)
		h = handle_new(v, port, err);
	if (h) {
		h->type = type;
		h->place = place;
	}
	if (h && filter_apply(h, conf, err) < 0) {
		vmtap_port_close(h);
		h = NULL;
	}
	conf_free(conf);
	return h;
}

int vmtap_port_check(struct vmtap *v, const char *spec, struct vmtap_error *err)
{
	const struct port_type *type;
	struct conf *conf;
	struct vmtap_error local = { 0 };
	struct switch_place place;
	int ret;

	if (!err)
		err = &local;
	conf = parse(spec, &type, err);
	if (!conf)
		return -err->code;
	ret = filter_check(conf, err);
	if (ret == 0)
		ret = switch_place_read(conf, &place, err);
	if (ret == 0)
		ret = type->check(&v->env, conf, err);
	conf_free(conf);
	return ret;
}

int vmtap_port_change(struct vmtap_port *h, const char *spec, struct vmtap_error *err)
{
	const struct port_type *type;
	struct vmtap_error local = { 0 };
	struct conf *conf;
	int ret;

	if (!err)
		err = &local;
	conf = parse(spec, &type, err);
	if (!conf)
		return -err->code;
	if (type != h->type) /* the port's own name for it would not do: a bridge's is "tap" */
		ret = error_set(err, EINVAL, h->port->name, "change it",
				"it is of type %s, and the description of type %s",
				h->type ? h->type->schema->type : h->port->ops->type,
				type->schema->type);
	else
		ret = filter_check(conf, err);
	if (ret == 0)
		ret = filter_apply(h, conf, err);
	conf_free(conf);
	return ret;
}

/* ------------------------------------------------------------------ closing */

struct vmtap_port *vmtap_port_ref(struct vmtap_port *h)
{
	h->refs++;
	return h;
}

void vmtap_port_unref(struct vmtap_port *h)
{
	if (!h)
		return;
	if (h->refs == 1)
		vmtap_port_shutdown(h);
	h->refs--;
	reap_soon(h->v);
}

void vmtap_port_shutdown(struct vmtap_port *h)
{
	if (h->closing || h->port->closed)
		return;
	h->closing = true;
	vmtap_port_ref(h); /* over the callbacks below */
	captures_leave(h);
	pings_leave(h);
	if (h->app_ops)
		app_purge(h->port);
	if (h->v->depth && h->port->junction)
		h->port->junction->ops->leave(h->port->junction, h->port);
	else if (!h->v->depth)
		port_close(h->port);
	if (h->app_ops && h->app_ops->closed) {
		call_begin(h->v);
		h->app_ops->closed(h->app_opaque);
		call_end(h->v);
	}
	h->refs--;
	reap_soon(h->v);
}

void vmtap_port_close(struct vmtap_port *h)
{
	if (!h)
		return;
	vmtap_port_ref(h);
	vmtap_port_shutdown(h);
	h->refs--;
	vmtap_port_unref(h);
}

/* ------------------------------------------------------------ what it is like */

const char *vmtap_port_name(const struct vmtap_port *h)
{
	return h->port->name;
}

const char *vmtap_port_type(const struct vmtap_port *h)
{
	return h->port->ops->type;
}

enum vmtap_port_state vmtap_port_state(const struct vmtap_port *h)
{
	return h->closing ? VMTAP_PORT_CLOSED : h->port->state;
}

const struct vmtap_error *vmtap_port_error(const struct vmtap_port *h)
{
	return h->port->error.code ? &h->port->error : NULL;
}

int vmtap_port_describe(const struct vmtap_port *h, char *buf, size_t size)
{
	return port_describe(h->port, buf, size);
}

int vmtap_port_fd(const struct vmtap_port *h, unsigned queue)
{
	return port_get_fd(h->port, queue);
}

void vmtap_port_stats(const struct vmtap_port *h, struct vmtap_stats *stats, size_t size)
{
	struct vmtap_stats sum;

	port_stats(h->port, &sum);
	memset(stats, 0, size);
	memcpy(stats, &sum, size < sizeof(sum) ? size : sizeof(sum));
}

unsigned vmtap_port_pairs(const struct vmtap_port *h)
{
	return h->port->pair_cnt;
}

int vmtap_port_queue_stats(const struct vmtap_port *h, unsigned pair,
			   struct vmtap_queue_stats *stats, size_t size)
{
	struct vmtap_queue_stats now;

	if (pair >= h->port->pair_cnt)
		return -EINVAL;
	port_queue_stats(h->port, pair, &now);
	memset(stats, 0, size);
	memcpy(stats, &now, size < sizeof(now) ? size : sizeof(now));
	return 0;
}

void vmtap_port_set_poll(struct vmtap_port *h, bool on)
{
	port_set_poll(h->port, on);
}

int vmtap_port_set_link(struct vmtap_port *h, bool up, struct vmtap_error *err)
{
	return port_set_link(h->port, up, err);
}

int vmtap_port_announce(struct vmtap_port *h, struct vmtap_error *err)
{
	return port_announce(h->port, err);
}

/* -------------------------------------------------- ports with a device behind */

const char *vmtap_port_ifname(const struct vmtap_port *h)
{
	return tap_is(h->port) ? tap_ifname(h->port) : NULL;
}

static int not_tap(const struct vmtap_port *h, const char *action, struct vmtap_error *err)
{
	if (tap_is(h->port) && !h->port->closed && !h->closing)
		return 0;
	return error_set(err, EOPNOTSUPP, h->port->name, action, "%s",
			 tap_is(h->port) ? "the port is closed" : "the port has no TAP behind it");
}

static bool probe(const struct vmtap_port *h, unsigned cap)
{
	return tap_is(h->port) && (tap_caps(h->port) & cap) == cap;
}

bool vmtap_port_has_vnet_hdr(const struct vmtap_port *h)
{
	return probe(h, TAP_CAP_VNET_HDR);
}

bool vmtap_port_has_vnet_hdr_len(const struct vmtap_port *h, unsigned len)
{
	return probe(h, TAP_CAP_VNET_HDR) &&
	       (len == 10 || (len == 12 && probe(h, TAP_CAP_HDR_LEN)));
}

bool vmtap_port_has_ufo(const struct vmtap_port *h)
{
	return probe(h, TAP_CAP_UFO);
}

bool vmtap_port_has_uso(const struct vmtap_port *h)
{
	return probe(h, TAP_CAP_USO);
}

int vmtap_port_use_vnet_hdr(struct vmtap_port *h, bool on, struct vmtap_error *err)
{
	if (!tap_is(h->port) && !on)
		return 0;
	if (on == vmtap_port_has_vnet_hdr(h))
		return 0;
	return error_set(err, EINVAL, h->port->name, "set the use of the virtio-net header",
			 "the device has %s", on ? "none" : "one, and every frame carries it");
}

int vmtap_port_set_vnet_hdr_len(struct vmtap_port *h, unsigned len, struct vmtap_error *err)
{
	int ret = not_tap(h, "set the header length", err);

	return ret ? ret : tap_set_hdr_len(h->port, len, err);
}

int vmtap_port_set_vnet_endian(struct vmtap_port *h, enum vmtap_endian order,
			       struct vmtap_error *err)
{
	int ret = not_tap(h, "set the header's byte order", err);

	return ret ? ret : tap_set_endian(h->port, order, err);
}

int vmtap_port_set_offload(struct vmtap_port *h, unsigned offload, struct vmtap_error *err)
{
	int ret;

	if (offload & ~(unsigned)VMTAP_OFFLOAD_ALL)
		return error_set(err, EINVAL, h->port->name, "set offloads", "unknown bits 0x%x",
				 offload & ~(unsigned)VMTAP_OFFLOAD_ALL);
	if (h->app_ops) {
		port_set_accepts(h->port, offload);
		return (int)offload;
	}
	ret = not_tap(h, "set offloads", err);
	if (ret)
		return ret;
	port_enter(h->port);
	ret = h->port->ops->set_offload(h->port, offload);
	port_leave(h->port);
	return ret;
}

int vmtap_port_set_queue(struct vmtap_port *h, unsigned queue, bool on, struct vmtap_error *err)
{
	int ret = not_tap(h, on ? "attach a queue" : "detach a queue", err);

	return ret ? ret : tap_set_queue(h->port, queue, on, err);
}

/* -------------------------------------------------------------------- links */

struct vmtap_link *vmtap_link_new(struct vmtap *v, struct vmtap_port *a, struct vmtap_port *b,
				  struct vmtap_error *err)
{
	struct vmtap_link *l;

	if (switch_place_refuse(&a->place, a->port->name, err) < 0 ||
	    switch_place_refuse(&b->place, b->port->name, err) < 0)
		return NULL;
	l = calloc(1, sizeof(*l));
	if (!l) {
		error_errno(err, ENOMEM, a->port->name, "link");
		return NULL;
	}
	l->v = v;
	l->link = link_new(a->port, b->port, err);
	if (!l->link) {
		free(l);
		return NULL;
	}
	l->next = v->links;
	v->links = l;
	return l;
}

void vmtap_link_free(struct vmtap_link *l)
{
	if (!l)
		return;
	link_close(l->link);
	reap_soon(l->v);
}
