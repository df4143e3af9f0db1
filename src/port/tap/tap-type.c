/* SPDX-License-Identifier: MIT */
/* The types `tap` and `bridge`: where their device comes from. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "port/tap/tap-helper.h"
#include "port/tap/tap-int.h"
#include "tapdev/explain.h"

int tap_resolve_fd(const struct port_env *env, const char *text, bool *named,
		   struct vmtap_error *err)
{
	char *end;
	long value;

	*named = text[0] < '0' || text[0] > '9';
	errno = 0;
	value = *named ? -1 : strtol(text, &end, 10);
	if (!*named && (*end || errno || value > INT32_MAX)) {
		error_set(err, EINVAL, "tap", "use the descriptor", "\"%.40s\" is no number", text);
		error_remedy(err,
			     "give the number of an open descriptor, as in fd=3; a name begins "
			     "with no digit");
		return -EINVAL;
	}
	if (!*named)
		return (int)value;
	value = env->take_fd ? env->take_fd(env->opaque, text) : -ENOENT;
	if (value < 0) {
		error_set(err, ENOENT, "tap", "use the descriptor",
			  "no descriptor was given the name \"%.40s\"", text);
		error_remedy(err, "use the number of an inherited descriptor, or name one first");
	}
	return (int)value;
}

static int take_fds(struct tap *t, const struct conf *conf, struct vmtap_error *err)
{
	bool single = conf_has(conf, "fd");
	unsigned cnt = single ? 1 : conf_list_cnt(conf, "fds");
	bool *named = calloc(cnt, sizeof(*named));
	int *fds = calloc(cnt, sizeof(*fds));
	unsigned got = 0;
	int ret = named && fds ? 0 : error_errno(err, ENOMEM, "tap", "use the descriptors");

	while (!ret && got < cnt) {
		const char *text =
			single ? conf_str(conf, "fd", "") : conf_list_item(conf, "fds", got);

		fds[got] = tap_resolve_fd(t->port.env, text, &named[got], err);
		if (fds[got] < 0)
			ret = fds[got];
		else
			got++;
	}
	if (!ret)
		ret = tap_device_take(t, fds, cnt, err);
	/* a number that was refused is not ours to close, a name was given to us */
	for (unsigned i = 0; ret < 0 && i < got; i++)
		if (named[i])
			fd_close(&fds[i]);
	free(named);
	free(fds);
	return ret;
}

/* As take_fds(), and everything stays where it is. */
static int check_fds(const struct port_env *env, const struct conf *conf, struct vmtap_error *err)
{
	const struct port_env look = { .take_fd = env->find_fd, .opaque = env->opaque };
	bool single = conf_has(conf, "fd"), named;
	unsigned cnt = single ? 1 : conf_list_cnt(conf, "fds");
	int *fds = calloc(cnt, sizeof(*fds));
	struct tap_fd_info info;
	int ret = fds ? 0 : error_errno(err, ENOMEM, "tap", "use the descriptors");

	for (unsigned i = 0; !ret && i < cnt; i++) {
		const char *text =
			single ? conf_str(conf, "fd", "") : conf_list_item(conf, "fds", i);

		fds[i] = tap_resolve_fd(&look, text, &named, err);
		ret = fds[i] < 0 ? fds[i] : 0;
	}
	if (!ret)
		ret = tap_fds_probe(fds, cnt, &info, err);
	free(fds);
	return ret;
}

/* Where vhost-net need not be, a helper that does not hand it over is asked for the TAP alone. */
static int call_helper(struct tap *t, struct helper_request *req, int *fds, struct vmtap_error *err)
{
	const struct log *log = t->port.env->log;
	struct vmtap_error why = { 0 };
	int ret;

	if (!req->vhost || t->opts.vhost_must)
		return helper_run(req, fds, log, t->port.name, err);
	ret = helper_run(req, fds, log, t->port.name, &why);
	if (ret == 0)
		return 0;
	if (ret == -ETIMEDOUT || ret == -ECANCELED) {
		if (err)
			*err = why;
		return ret;
	}
	req->vhost = false;
	ret = helper_run(req, fds, log, t->port.name, err);
	if (ret == 0)
		tap_vhost_without(t, &why);
	return ret;
}

static int open_by_helper(struct tap *t, const struct conf *conf, struct vmtap_error *err)
{
	struct helper_request req = {
		.object = conf_object(conf),
		.helper = t->opts.helper,
		.br = t->opts.br,
		.queues = t->opts.queues,
		.vhost = tap_vhost_of_helper(&t->opts),
		.ifname = t->opts.ifname,
		.mac = t->opts.has_mac ? conf_str(conf, "mac", NULL) : NULL,
		.timeout_ms = t->opts.helper_timeout_ms,
		.cancel_fd = t->port.env->cancel_fd,
	};
	int fds[HELPER_FDS_MAX];
	int ret = call_helper(t, &req, fds, err);

	if (ret < 0)
		return ret;
	ret = tap_device_take(t, fds, req.queues, err);
	for (unsigned i = 0; i < req.queues; i++) {
		if (ret < 0)
			fd_close(&fds[i]);
		if (req.vhost && ret < 0)
			fd_close(&fds[req.queues + i]);
		else if (req.vhost)
			t->queues[i].vhost_fd = fds[req.queues + i];
	}
	return ret;
}

static void say_open(const struct tap *t)
{
	const struct port_env *env = t->port.env;

	log_msg(env->log, VMTAP_LOG_INFO, t->port.name, "%s %s, %u queue%s, %s virtio-net header",
		t->kept						? "went on with"
		: t->opts.source == TAP_FROM_NAME && t->created ? "created"
								: "attached to",
		t->ifname, t->queue_cnt, t->queue_cnt == 1 ? "" : "s",
		t->hdr_len ? "with" : "without");
}

static int open_device(struct tap *t, const struct conf *conf, struct vmtap_error *err)
{
	int ret;

	if (t->opts.source == TAP_FROM_FDS)
		return take_fds(t, conf, err);
	ret = tap_keep_find(t, err);
	if (ret < 0)
		return ret;
	if (t->opts.source == TAP_FROM_HELPER)
		return ret ? 0 : open_by_helper(t, conf, err);
	if (!ret)
		ret = tap_device_open(t, err);
	return ret < 0 ? ret : tap_device_up(t, err);
}

static struct port *open_type(const struct port_env *env, const char *name, const struct conf *conf,
			      int (*opts_init)(struct tap_opts *, const struct conf *,
					       struct vmtap_error *),
			      struct vmtap_error *err)
{
	struct tap *t = tap_new(&tap_ops, env, name, conf, err);
	int ret;

	if (!t)
		return NULL;
	ret = opts_init(&t->opts, conf, err);
	if (!ret)
		ret = tap_steering_find(t, conf, err);
	if (!ret)
		ret = open_device(t, conf, err);
	if (!ret)
		ret = tap_steering_apply(t, err);
	if (!ret)
		ret = tap_vhost_open(t, conf, err);
	if (!ret)
		ret = tap_device_keep(t, err);
	if (ret < 0) {
		/* no down script for what did not come up */
		t->script_ran = t->script_ran && t->kept && !t->bare;
		port_free(&t->port);
		return NULL;
	}
	say_open(t);
	tap_keep(t);
	return &t->port;
}

/* --------------------------------------------------------------------- types */

static struct port *tap_open(const struct port_env *env, const char *name, const struct conf *conf,
			     struct vmtap_error *err)
{
	return open_type(env, name, conf, tap_opts_init, err);
}

static struct port *bridge_open(const struct port_env *env, const char *name,
				const struct conf *conf, struct vmtap_error *err)
{
	return open_type(env, name, conf, bridge_opts_init, err);
}

static int tap_check(const struct port_env *env, const struct conf *conf, struct vmtap_error *err)
{
	struct tap_opts opts;
	int ret = tap_opts_init(&opts, conf, err);

	if (!ret)
		ret = opts.source == TAP_FROM_FDS ? check_fds(env, conf, err)
						  : tap_opts_check(&opts, conf, err);
	if (!ret)
		ret = tap_steering_check(env, &opts, conf, err);
	if (!ret)
		ret = tap_vhost_check(env, &opts, conf, err);
	tap_opts_fini(&opts);
	return ret;
}

const struct port_type tap_type = {
	.schema = &tap_schema,
	.summary = "a TAP interface of the host",
	.help = "Creates a TAP or attaches to one, or takes one that is open already (fd=, fds=).\n"
		"What it makes goes away with it, unless persist=on.\n"
		"\n"
		"  tap,ifname=vm0,br=br0            create vm0 and put it on the bridge br0\n"
		"  tap,ifname=vm0,script=no         attach to vm0 and leave its set-up alone\n"
		"  tap,ifname=vm%d,queues=2         two queues, the kernel numbers the name\n"
		"  tap,ifname=vm0,queues=4,steering=/sys/fs/bpf/vm0     an eBPF program picks the queue\n"
		"  tap,fd=3                         use the open TAP that is descriptor 3\n"
		"  tap,helper=/usr/lib/qemu/qemu-bridge-helper,br=br0   have a helper make it\n",
	.open = tap_open,
	.check = tap_check,
};

static int bridge_check(const struct port_env *env, const struct conf *conf,
			struct vmtap_error *err)
{
	struct tap_opts opts;
	int ret = bridge_opts_init(&opts, conf, err);

	if (!ret)
		ret = tap_opts_check(&opts, conf, err);
	if (!ret)
		ret = tap_steering_check(env, &opts, conf, err);
	if (!ret)
		ret = tap_vhost_check(env, &opts, conf, err);
	tap_opts_fini(&opts);
	return ret;
}

const struct port_type bridge_type = {
	.schema = &bridge_schema,
	.summary = "a TAP on a bridge, made by a privileged helper",
	.help = "For those who may not create interfaces: a small privileged program, which an\n"
		"administrator allows for some bridges, makes the TAP, puts it on the bridge and\n"
		"hands it over. It goes away with vmtap.\n"
		"\n"
		"  bridge                           a TAP on br0\n"
		"  bridge,br=lan0,queues=2          two queues, with vmtap-bridge-helper\n"
		"  bridge,br=lan0,vhost=on          which opens /dev/vhost-net, too\n",
	.open = bridge_open,
	.check = bridge_check,
};
