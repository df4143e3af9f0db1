/* SPDX-License-Identifier: MIT */
/*
 * The kernel's vhost-net beside the queues of a `tap` port.
 *
 * Model
 *   A queue pair has a handle (vhost/vhost.h) that knows the queue's descriptor. Who has
 *   the rings drives it: the peer, when it asks for it (tap_vhost()), or the application
 *   (tap_vhost_handle()). While a ring runs there, the queue is not read here; what is
 *   sent to the port is written as ever.
 *
 * When it cannot be had
 *   With vhost=on that is a warning, and frames go the usual way. With vhostforce=on, or with a
 *   descriptor that was handed over, it is an error.
 *
 * Whose right
 *   The user's own. Where he has none, and a bridge helper makes the TAP, the helper's: it sends
 *   descriptors of vhost-net along (tap-helper.h).
 */
#include <errno.h>
#include <net/if.h>
#include <string.h>
#include <unistd.h>

#include "base/container.h"
#include "base/error.h"
#include "base/fd.h"
#include "port/tap/tap-int.h"
#include "tapdev/linkwatch.h"
#include "tapdev/tun.h"
#include "vhost/vhost.h"

static const char without[] =
	"leave vhostforce=, vhostfd= and vhostfds= out: vmtap then carries the "
	"frames itself";

static void taken(void *opaque, bool on)
{
	struct tap_queue *q = opaque;

	port_enter(&q->tap->port);
	q->taken = on;
	tap_queue_rewatch(q);
	port_leave(&q->tap->port);
}

/* Some interface came, went or changed: is ours still there? */
static void link_changed(struct loop_watch *w, uint32_t events)
{
	struct tap *t = container_of(w, struct tap, gone);
	char ifname[IFNAMSIZ];
	unsigned flags;

	linkwatch_read(w->fd, 0);
	/* a queue that is detached knows no device either */
	for (unsigned i = 0; i < t->queue_cnt; i++)
		if (t->queues[i].attached && tun_get_flags(t->queues[i].fd, &flags, ifname) == 0)
			return;
	if (t->queues[0].fd >= 0 && t->lanes[0])
		tap_report(t->lanes[0], TAP_TROUBLE_GONE);
}

/* Each frame would wake who waits at the queue to be told that the device is deleted. So it is the network
 * namespace that tells, where the device is in ours. */
static void watch_links(struct tap *t)
{
	int fd = if_nametoindex(t->ifname) ? linkwatch_open() : -1;

	t->gone.ready = link_changed;
	if (fd >= 0 && loop_add(t->port.env->loop, &t->gone, fd, EPOLLIN) < 0)
		close(fd);
}

static void unwatch_links(struct tap *t)
{
	int fd = t->gone.fd;

	loop_del(t->port.env->loop, &t->gone);
	fd_close(&fd);
}

/* The descriptor that was handed over for queue @index; NULL: none was. */
static const char *given(const struct conf *conf, unsigned index)
{
	return conf_has(conf, "vhostfds") ? conf_list_item(conf, "vhostfds", index)
					  : conf_str(conf, "vhostfd", NULL);
}

static struct vmtap_vhost *take(const struct tap *t, const char *text, struct vmtap_error *err)
{
	struct vmtap_vhost *v;
	bool named;
	int fd = tap_resolve_fd(t->port.env, text, &named, err);

	if (fd < 0)
		return NULL;
	v = vhost_take(fd, t->port.name, err);
	if (!v && named)
		fd_close(&fd);
	return v;
}

static int open_queue(struct tap_queue *q, const struct conf *conf, struct vmtap_error *err)
{
	const struct tap *t = q->tap;
	struct vmtap_error local = { 0 };

	if (!err)
		err = &local;
	if (t->opts.vhost_given)
		q->vhost = take(t, given(conf, q->index), err);
	else if (q->vhost_fd < 0)
		q->vhost = vhost_open(t->port.name, err);
	else if ((q->vhost = vhost_take(q->vhost_fd, t->port.name, err)))
		q->vhost_fd = -1;
	if (!q->vhost)
		return -err->code;
	vhost_set_tap(q->vhost, q->fd, t->hdr_len, taken, q);
	return t->opts.poll_us ? vhost_set_poll(q->vhost, t->opts.poll_us, err) : 0;
}

static void close_all(struct tap *t)
{
	for (unsigned i = 0; i < t->queue_cnt; i++) {
		vhost_free(t->queues[i].vhost);
		t->queues[i].vhost = NULL;
		fd_close(&t->queues[i].vhost_fd);
	}
}

void tap_vhost_without(struct tap *t, const struct vmtap_error *why)
{
	t->opts.vhost = false;
	log_error(t->port.env->log, VMTAP_LOG_WARNING, t->port.name, why);
	log_msg(t->port.env->log, VMTAP_LOG_WARNING, t->port.name,
		"vhost=on: vhost-net cannot be had; vmtap carries the frames itself");
}

/* Return: @ret, or 0: it is a warning. */
static int refused(struct tap *t, int ret, struct vmtap_error *err)
{
	close_all(t);
	if (t->opts.vhost_must) {
		if (err && !err->remedy[0])
			error_remedy(err, "%s", without);
		return ret;
	}
	tap_vhost_without(t, err);
	return 0;
}

int tap_vhost_open(struct tap *t, const struct conf *conf, struct vmtap_error *err)
{
	struct vmtap_error why = { 0 };
	int ret = 0;

	if (!t->opts.vhost)
		return 0;
	for (unsigned i = 0; i < t->queue_cnt && !ret; i++)
		ret = open_queue(&t->queues[i], conf, &why);
	if (ret < 0)
		ret = refused(t, ret, &why);
	else
		watch_links(t);
	if (ret < 0 && err)
		*err = why;
	return ret;
}

bool tap_vhost_of_helper(const struct tap_opts *opts)
{
	return opts->source == TAP_FROM_HELPER && opts->vhost && !opts->vhost_given &&
	       access(VHOST_DEVICE, R_OK | W_OK) < 0 && errno == EACCES;
}

int tap_vhost_check(const struct port_env *env, const struct tap_opts *opts,
		    const struct conf *conf, struct vmtap_error *err)
{
	const struct port_env look = { .take_fd = env->find_fd, .opaque = env->opaque };
	const bool list = opts->vhost_given && conf_has(conf, "vhostfds");
	const unsigned cnt = list ? conf_list_cnt(conf, "vhostfds") : 1;
	int ret = 0;

	/* what a helper allows is its own affair */
	if (!opts->vhost_must || tap_vhost_of_helper(opts))
		return 0;
	for (unsigned i = 0; i < cnt && !ret; i++) {
		const char *text = opts->vhost_given ? given(conf, i) : NULL;
		bool named;
		int fd = text ? tap_resolve_fd(&look, text, &named, err) : -1;

		ret = text && fd < 0 ? fd : vhost_check(fd, conf_object(conf), err);
	}
	return ret;
}

/* Why the handles are of no use to the peer; NULL: they are. */
static const char *unfit(const struct tap *t, const struct port *peer)
{
	if (!peer->ops->rings)
		return "the port at the other end has no rings that the kernel could serve; "
		       "vhost-user has";
	if (peer->ops->vhost_changed && peer->pair_cnt != t->port.pair_cnt)
		return "the port at the other end has another number of queue pairs; give both the "
		       "same queues=";
	return NULL;
}

int tap_vhost_start(struct tap *t, struct vmtap_error *err)
{
	const struct port *peer = port_peer(&t->port);
	const char *why = peer && t->queues[0].vhost ? unfit(t, peer) : NULL;

	if (!why)
		return 0;
	if (t->opts.vhost_must) {
		error_set(err, EINVAL, t->port.name, "have the kernel carry the frames", "%s", why);
		error_remedy(err, "%s", without);
		return -EINVAL;
	}
	log_msg(t->port.env->log, VMTAP_LOG_WARNING, t->port.name,
		"vhost=on: %s; vmtap carries the frames itself", why);
	return 0;
}

void tap_vhost_device(struct tap *t, bool there)
{
	for (unsigned i = 0; i < t->queue_cnt && there; i++)
		if (t->queues[i].vhost)
			vhost_set_tap(t->queues[i].vhost, t->queues[i].fd, t->hdr_len, taken,
				      &t->queues[i]);
	t->vhost_away = !there;
	port_vhost_changed(&t->port);
	for (unsigned i = 0; i < t->queue_cnt && !there; i++) {
		struct tap_queue *q = &t->queues[i];

		/* whoever drives it otherwise did not hear of it */
		for (unsigned ring = 0; q->vhost && ring <= VMTAP_VHOST_TX; ring++)
			vhost_stop(q->vhost, ring, NULL, NULL);
		if (q->vhost)
			vhost_set_tap(q->vhost, -1, t->hdr_len, taken, q);
	}
}

void tap_vhost_close(struct tap *t)
{
	unwatch_links(t);
	close_all(t);
}

struct vmtap_vhost *tap_vhost_handle(const struct port *p, unsigned pair)
{
	const struct tap *t = (const struct tap *)p;

	return pair < t->queue_cnt ? t->queues[pair].vhost : NULL;
}

bool tap_vhost_is_open(const struct port *p)
{
	return tap_vhost_handle(p, 0) != NULL;
}

bool tap_vhost(struct port *p, unsigned pair, unsigned hdr_len, struct port_vhost *vhost)
{
	struct tap *t = (struct tap *)p;
	struct vmtap_vhost *v = tap_vhost_handle(p, pair);

	if (!v || !p->polling || t->vhost_away || t->endian != VMTAP_ENDIAN_NATIVE)
		return false;
	if (t->hdr_len && t->hdr_len != hdr_len && tap_device_set_hdr_len(t, hdr_len) < 0)
		return false;
	*vhost = (struct port_vhost) {
		.handle = v,
		.must = t->opts.vhost_must,
	};
	return true;
}
