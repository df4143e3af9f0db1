/* SPDX-License-Identifier: MIT */
/*
 * The type `macvtap`: a macvtap on a parent interface, as a port.
 *
 * Problem
 *   Its frames move as a TAP's do, but its life is another: the interface is
 *   made by netlink and stays when the last descriptor is closed, each open
 *   adds a queue whoever has it open already, and the descriptors do not tell when
 *   the interface goes.
 *
 * Model
 *   survey() looks at what is there; then it is made, or what is there is
 *   used. What vmtap made, or found left behind by a vmtap that ended, it
 *   removes at close unless persist=on; an interface of anybody else stays. A watch
 *   on link events says when it was deleted.
 */
#include <errno.h>
#include <linux/if_link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/container.h"
#include "base/error.h"
#include "base/fd.h"
#include "port/tap/macvtap-int.h"
#include "port/tap/tap-int.h"
#include "tapdev/linkwatch.h"
#include "tapdev/macvtap.h"
#include "tapdev/owner.h"
#include "tapdev/tun.h"

/**
 * struct site - What was asked for, and what is there
 * @object:  for errors
 * @mode:    MACVLAN_MODE_*; 0: not given
 * @exists:  so that @link and @dev hold
 * @leaked:  it was made by a vmtap that ended, and nobody has it open
 * @parent:  what it is on or is to be on; index 0: of another network namespace
 */
struct site {
	const char *object;
	const char *ifname, *parent_name;
	unsigned mode;
	bool exists, leaked;
	struct nl_link link, parent;
	dev_t dev;
};

static void site_init(struct site *s, const struct tap_opts *o, const struct conf *conf)
{
	static const unsigned modes[] = {
		/* as the schema has them */
		MACVLAN_MODE_BRIDGE,
		MACVLAN_MODE_PRIVATE,
		MACVLAN_MODE_VEPA,
		MACVLAN_MODE_PASSTHRU,
	};

	*s = (struct site) {
		.object = conf_object(conf),
		.ifname = o->ifname,
		.parent_name = conf_str(conf, "parent", NULL),
		.mode = conf_has(conf, "mode") ? modes[conf_enum(conf, "mode", 0)] : 0,
	};
}

/* ------------------------------------------------------------------- what is there */

static int find_parent(struct site *s, struct vmtap_error *err)
{
	const char *action = "find the parent";
	int ret;

	if (!s->parent_name)
		return 0;
	ret = nl_link_get(s->parent_name, &s->parent);
	if (ret == -ENODEV) {
		error_set(err, ENODEV, s->object, action, "there is no interface %.40s",
			  s->parent_name);
		error_remedy(err, "name the one that leads to the network (see: ip link)");
		return ret;
	}
	return ret ? error_errno(err, -ret, s->object, action) : 0;
}

/* A macvtap on another, or on a macvlan, is beside it on the same interface. */
static int lowest(const struct nl_link *parent)
{
	bool stacked = strcmp(parent->kind, "macvtap") == 0 || strcmp(parent->kind, "macvlan") == 0;

	return stacked ? parent->parent : parent->index;
}

static int mismatch(const struct site *s, struct vmtap_error *err)
{
	const char *action = "attach to the interface";
	char on[IFNAMSIZ];

	if (strcmp(s->link.kind, "macvtap") != 0) {
		error_set(err, EMEDIUMTYPE, s->object, action,
			  "the interface %s exists and is no macvtap%s%s%s", s->link.name,
			  s->link.kind[0] ? " but of kind \"" : "", s->link.kind,
			  s->link.kind[0] ? "\"" : "");
		error_remedy(err, "choose another ifname=");
		return -EMEDIUMTYPE;
	}
	if (s->parent_name && lowest(&s->parent) != s->link.parent) {
		nl_link_name(s->link.parent, on);
		error_set(err, EEXIST, s->object, action, "it exists, and on %s instead of %s",
			  on[0] ? on : "an interface of another network namespace", s->parent_name);
	} else if (s->mode && s->mode != s->link.macvlan_mode) {
		error_set(err, EEXIST, s->object, action, "it exists, and in mode %s instead of %s",
			  macvtap_mode_name(s->link.macvlan_mode), macvtap_mode_name(s->mode));
	} else {
		return 0;
	}
	error_remedy(err, "choose another ifname=, or remove it: %s",
		     s->leaked ? "vmtap reap --yes (nobody uses it any more)" : "ip link del");
	return -EEXIST;
}

/* The kernel gives a queue to whoever opens it, and each flow to one of them: half of the frames
 * would be somebody else's. */
static int not_busy(const struct site *s, struct vmtap_error *err)
{
	const char *action = "attach to the interface";
	char name[64];
	unsigned cnt;
	int pid = owner_find_opener(s->dev, name, &cnt);

	if (!pid)
		return 0;
	if (pid == getpid())
		error_set(err, EBUSY, s->object, action, "another port has it open");
	else
		error_set(err, EBUSY, s->object, action, "process %d (%s) has it open", pid, name);
	error_remedy(err, "end that process, or choose another ifname=");
	return -EBUSY;
}

static int look_at_existing(struct site *s, struct vmtap_error *err)
{
	char parent[IFNAMSIZ];
	struct owner owner;
	int ret;

	s->exists = true;
	s->leaked = owner_parse(s->link.alias, &owner) && owner_state(&owner) == OWNER_GONE;
	ret = mismatch(s, err);
	if (ret < 0)
		return ret;
	nl_link_name(s->link.parent, parent);
	if (!parent[0] || nl_link_get(parent, &s->parent) < 0)
		s->parent.index = 0;
	ret = macvtap_device(&s->link, &s->dev);
	if (ret < 0)
		return macvtap_explain_device(ret, s->object, err);
	return not_busy(s, err);
}

static int survey(struct site *s, struct vmtap_error *err)
{
	int ret = find_parent(s, err);

	if (ret < 0)
		return ret;
	if (s->ifname && !strchr(s->ifname, '%')) {
		ret = nl_link_get(s->ifname, &s->link);
		if (ret == 0)
			return look_at_existing(s, err);
		if (ret != -ENODEV)
			return error_errno(err, -ret, s->object, "look at the interface");
	}
	if (s->parent_name)
		return 0;
	if (s->ifname)
		error_set(err, ENODEV, s->object, "attach to the interface",
			  "there is no interface %s", s->ifname);
	else
		error_set(err, EINVAL, s->object, "open the port",
			  "neither parent= nor ifname= says which");
	error_remedy(err, "say on which interface to make one: parent=eth0");
	return s->ifname ? -ENODEV : -EINVAL;
}

/* --------------------------------------------------------------------- opening it */

/* Did vmtap make it? One taken over from a vmtap that ended is as if this one had made it. */
static bool is_ours(const struct site *s)
{
	return !s->exists || (s->leaked && s->parent_name);
}

/* Return: 0 or -errno and @err. What was made is removed again when the port is closed. */
static int make(struct tap *t, struct site *s, struct vmtap_error *err)
{
	unsigned mode = s->mode ? s->mode : MACVLAN_MODE_BRIDGE;
	int ret = macvtap_new(s->parent.index, s->ifname, mode, &s->link);

	if (ret < 0)
		return macvtap_explain_new(ret, s->object, &s->parent, mode, err);
	t->created = true;
	t->macvtap.remove = true;
	t->macvtap.ifindex = s->link.index;
	memcpy(t->ifname, s->link.name, sizeof(t->ifname));
	tap_device_tag(t, &s->link);
	ret = macvtap_device(&s->link, &s->dev);
	return ret < 0 ? macvtap_explain_device(ret, s->object, err) : 0;
}

static void attach(struct tap *t, struct site *s)
{
	memcpy(t->ifname, s->link.name, sizeof(t->ifname));
	t->macvtap.ifindex = s->link.index;
	if (is_ours(s) && t->opts.up == TAP_AUTO)
		t->opts.up = TAP_ON;
	tap_device_tag(t, &s->link);
}

static int open_queue(struct tap *t, const struct site *s, int *queue, struct vmtap_error *err)
{
	cleanup_fd int fd = macvtap_open(s->link.index, s->dev);
	bool vnet_hdr;
	int ret;

	if (fd < 0)
		return macvtap_explain_open(fd, s->object, &s->link, s->dev, err);
	ret = tap_want_vnet_hdr(t, fd, &vnet_hdr, err);
	if (ret < 0)
		return ret;
	ret = macvtap_set_flags(fd, vnet_hdr, t->opts.queues > 1);
	if (ret < 0)
		return error_errno(err, -ret, s->object, "set the form of frames");
	*queue = fd_steal(&fd);
	return 0;
}

static int open_queues(struct tap *t, const struct site *s, struct vmtap_error *err)
{
	int *fds = calloc(t->opts.queues, sizeof(*fds));
	int ret = fds ? 0 : error_errno(err, ENOMEM, s->object, "open the device");
	unsigned cnt = 0;

	while (!ret && cnt < t->opts.queues) {
		ret = open_queue(t, s, &fds[cnt], err);
		cnt += ret == 0;
	}
	if (!ret)
		ret = tap_device_take(t, fds, cnt, err);
	for (unsigned i = 0; ret < 0 && i < cnt; i++)
		fd_close(&fds[i]);
	free(fds);
	return ret;
}

/* A macvtap takes of multicast what the host's own stack on it asked for. What a guest wants, for
 * IPv6 to begin with, is not known: so all of it. */
static int take_multicast(const struct tap *t, const struct site *s, struct vmtap_error *err)
{
	int ret;

	if (s->link.flags & (IFF_ALLMULTI | IFF_PROMISC))
		return 0;
	if (!is_ours(s)) {
		log_msg(t->port.env->log, VMTAP_LOG_WARNING, t->port.name,
			"%s takes only some multicast frames, so that IPv6 may not work; ip link "
			"set %s allmulticast on",
			t->ifname, t->ifname);
		return 0;
	}
	ret = nl_link_change(s->link.index, &(struct nl_change) { .all_multicast = true });
	return ret ? error_errno(err, -ret, s->object, "have it take multicast frames") : 0;
}

static void warn_of_parent(const struct tap *t, const struct site *s)
{
	if (s->parent.index && !(s->parent.flags & IFF_UP))
		log_msg(t->port.env->log, VMTAP_LOG_WARNING, t->port.name,
			"%s, which carries its frames, is down; ip link set %s up", s->parent.name,
			s->parent.name);
}

static int open_device(struct tap *t, struct site *s, struct vmtap_error *err)
{
	int ret = survey(s, err);

	if (!ret && s->exists)
		attach(t, s);
	else if (!ret)
		ret = make(t, s, err);
	if (!ret)
		ret = open_queues(t, s, err);
	if (ret < 0)
		return ret;
	ret = tap_device_up(t, err);
	if (ret < 0)
		return s->parent.index ? macvtap_explain_setting(ret, &s->parent, t->opts.mtu, err)
				       : ret;
	ret = take_multicast(t, s, err);
	if (ret < 0)
		return ret;
	warn_of_parent(t, s);
	t->macvtap.remove = is_ours(s) && t->opts.persist != TAP_ON;
	memcpy(t->macvtap.parent, s->parent.name, sizeof(t->macvtap.parent));
	t->macvtap.mode = s->exists ? s->link.macvlan_mode
			  : s->mode ? s->mode
				    : (unsigned)MACVLAN_MODE_BRIDGE;
	return 0;
}

static struct port *macvtap_open_port(const struct port_env *env, const char *name,
				      const struct conf *conf, struct vmtap_error *err)
{
	struct tap *t = tap_new(&macvtap_ops, env, name, conf, err);
	struct site s;
	int ret;

	if (!t)
		return NULL;
	t->macvtap.watch_fd = linkwatch_open();
	ret = macvtap_opts_init(&t->opts, conf, err);
	site_init(&s, &t->opts, conf);
	if (ret < 0)
		error_object(err, "%s", s.object);
	else
		ret = open_device(t, &s, err);
	if (ret < 0) {
		port_free(&t->port);
		return NULL;
	}
	log_msg(env->log, VMTAP_LOG_INFO, name,
		"%s %s on %s, mode %s, %u queue%s, %s virtio-net header",
		t->created ? "created" : "attached to", t->ifname, t->macvtap.parent,
		macvtap_mode_name(t->macvtap.mode), t->queue_cnt, t->queue_cnt == 1 ? "" : "s",
		t->hdr_len ? "with" : "without");
	return &t->port;
}

/* -------------------------------------------------------------------- its life */

static void watch_ready(struct loop_watch *w, uint32_t events)
{
	struct tap *t = container_of(w, struct tap, macvtap.watch);

	if (!linkwatch_read(w->fd, t->macvtap.ifindex))
		return;
	/* one that went to another network namespace lives on */
	if (t->queues[0].fd < 0 || !macvtap_is_gone(t->queues[0].fd))
		return;
	loop_del(t->port.env->loop, w);
	t->macvtap.remove = false;
	tap_report(t->lanes[0], TAP_TROUBLE_GONE);
}

int macvtap_start(struct port *p, struct vmtap_error *err)
{
	struct tap *t = (struct tap *)p;
	int ret = t->macvtap.watch_fd;

	if (ret >= 0) {
		t->macvtap.watch.ready = watch_ready;
		ret = loop_add(p->env->loop, &t->macvtap.watch, t->macvtap.watch_fd, EPOLLIN);
	}
	if (ret < 0)
		return error_errno(err, -ret, p->name, "watch the interface");
	return tap_start(p, err);
}

int macvtap_describe(const struct port *p, char *buf, size_t size)
{
	const struct tap *t = (const struct tap *)p;

	return snprintf(buf, size, "ifname=%s,parent=%s,mode=%s", t->ifname, t->macvtap.parent,
			macvtap_mode_name(t->macvtap.mode));
}

void macvtap_close(struct port *p)
{
	struct tap *t = (struct tap *)p;
	int ret;

	loop_del(p->env->loop, &t->macvtap.watch);
	fd_close(&t->macvtap.watch_fd);
	tap_close(p);
	if (!t->macvtap.remove)
		return;
	ret = nl_link_delete(t->macvtap.ifindex);
	if (ret < 0 && ret != -ENODEV)
		log_msg(p->env->log, VMTAP_LOG_WARNING, p->name,
			"%s is left behind: %s; ip link del %s", t->ifname, strerror(-ret),
			t->ifname);
}

/* --------------------------------------------------------------------- the type */

static int check_mtu(const struct tap_opts *o, const struct site *s, struct vmtap_error *err)
{
	if (!o->mtu || !s->parent.index || o->mtu <= s->parent.mtu)
		return 0;
	error_errno(err, EINVAL, s->object, "set the MTU");
	return macvtap_explain_setting(-EINVAL, &s->parent, o->mtu, err);
}

static int macvtap_check(const struct port_env *env, const struct conf *conf,
			 struct vmtap_error *err)
{
	struct tap_opts opts;
	struct site s;
	int ret = macvtap_opts_init(&opts, conf, err);

	site_init(&s, &opts, conf);
	if (ret < 0)
		error_object(err, "%s", s.object);
	else
		ret = survey(&s, err);
	if (!ret && s.exists) {
		ret = macvtap_may_open(s.link.index, s.dev);
		if (ret < 0)
			macvtap_explain_open(ret, s.object, &s.link, s.dev, err);
	} else if (!ret) {
		ret = macvtap_explain_check(s.object, &s.parent,
					    s.mode ? s.mode : MACVLAN_MODE_BRIDGE, err);
	}
	if (!ret)
		ret = check_mtu(&opts, &s, err);
	tap_opts_fini(&opts);
	return ret;
}

const struct port_type macvtap_type = {
	.schema = &macvtap_schema,
	.summary = "a macvtap: an interface beside the host's on the same wire",
	.help = "Makes a macvtap on an interface of the host, or attaches to one; no bridge is\n"
		"needed. What it makes goes away with it, unless persist=on. After vmtap exec\n"
		"without --wait nobody is there to remove it: vmtap reap does.\n"
		"\n"
		"  macvtap,parent=eth0              make one on eth0\n"
		"  macvtap,parent=eth0,mode=private,ifname=vm0,mac=52:54:00:12:34:56,queues=2\n"
		"  macvtap,ifname=vm0               attach to vm0; needs its /dev/tapN only\n"
		"\n"
		"The guest has to use the macvtap's own address (mac=, ip link show): only\n"
		"frames for that reach it, except with mode=passthru.\n"
		"\n"
		"The host itself and its guests on macvtaps do not reach each other through\n"
		"the parent: their frames leave by the wire and do not come back. Where they\n"
		"have to, give the host an interface beside the guests', and its address to\n"
		"that (ip link add link eth0 name host0 type macvlan mode bridge), or use a\n"
		"bridge.\n",
	.open = macvtap_open_port,
	.check = macvtap_check,
};
