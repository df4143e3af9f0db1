/* SPDX-License-Identifier: MIT */
/* Options of the `tap` port: what they mean, and which of them go together. */
#include "port/tap/tap-opts.h"

#include <errno.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "port/tap/tap-helper.h"
#include "tapdev/explain.h"
#include "tapdev/netlink.h"

#define DEFAULT_BRIDGE "br0"
#define SNDBUF_MIN 6

static const char *const not_with_fd[] = {
	"ifname", "script", "downscript", "vnet_hdr", "helper",	      "br",
	"queues", "mac",    "mtu",	  "up",	      "reconnect-ms", NULL,
};

static const char *const not_with_helper[] = {
	"ifname", "script", "downscript", "vnet_hdr",	  "queues",
	"mac",	  "mtu",    "up",	  "reconnect-ms", NULL,
};

static enum tap_onoff onoff(const struct conf *c, const char *key)
{
	if (!conf_has(c, key))
		return TAP_AUTO;
	return conf_bool(c, key, false) ? TAP_ON : TAP_OFF;
}

/* "no" and "" mean none; not given means the default if that exists: when it then cannot be run,
 * the user shall know. */
static int choose_script(const struct conf *c, const char *key, const char *def, char **out,
			 struct vmtap_error *err)
{
	const char *file = conf_str(c, key, NULL);

	if (!file)
		file = !conf_has(c, "br") && access(def, F_OK) == 0 ? def : "";
	if (!file[0] || strcmp(file, "no") == 0)
		return 0;
	*out = strdup(file);
	return *out ? 0 : error_errno(err, ENOMEM, conf_object(c), "copy options");
}

static int parse_id(const struct conf *c, const char *key, int64_t *id, struct vmtap_error *err)
{
	const char *text = conf_str(c, key, NULL);
	bool user = strcmp(key, "owner") == 0;
	unsigned long value;
	char *end;

	*id = -1;
	if (!text)
		return 0;
	errno = 0;
	value = strtoul(text, &end, 10);
	if (!errno && end != text && !*end && text[0] != '-' && value < UINT32_MAX) {
		*id = (int64_t)value;
		return 0;
	}
	if (user) {
		struct passwd *pw = getpwnam(text);

		*id = pw ? (int64_t)pw->pw_uid : -1;
	} else {
		struct group *gr = getgrnam(text);

		*id = gr ? (int64_t)gr->gr_gid : -1;
	}
	if (*id >= 0)
		return 0;
	error_set(err, EINVAL, conf_object(c), "parse the options", "%s=%s: there is no such %s",
		  key, text, user ? "user" : "group");
	error_remedy(err, "give the name or the number of an existing one");
	return -EINVAL;
}

/* The kernel's limit is an int; its highest means none, as for QEMU. Below 6 a device that was full
 * once never wakes who waits for room: the kernel looks whether less than half is used while 2
 * bytes still count. */
static int sndbuf(const struct conf *c)
{
	int64_t bytes = conf_int(c, "sndbuf", 0);

	if (bytes > INT_MAX)
		return INT_MAX;
	return bytes && bytes < SNDBUF_MIN ? SNDBUF_MIN : (int)bytes;
}

/* As QEMU has it: descriptors come with descriptors, each of its own kind. */
static int check_vhost_keys(const struct conf *c, const struct tap_opts *o, struct vmtap_error *err)
{
	static const char *const one[] = { "vhostfd", NULL }, *const many[] = { "vhostfds", NULL };
	unsigned cnt = conf_list_cnt(c, "vhostfds"), fds = conf_list_cnt(c, "fds");

	if (conf_has(c, "fds")) {
		if (conf_exclude(c, "not together with fds=, but vhostfds= is", one, err) < 0)
			return -EINVAL;
	} else if (conf_has(c, "vhostfds")) {
		return conf_exclude(c, "only together with fds=", many, err);
	}
	if (conf_has(c, "vhostfd") && o->queues > 1) {
		error_set(err, EINVAL, conf_object(c), "parse the options",
			  "vhostfd: one descriptor does not do for %u queues", o->queues);
		error_remedy(err, "leave it out, or use fds= and vhostfds=");
		return -EINVAL;
	}
	if (!conf_has(c, "vhostfds") || cnt == fds)
		return 0;
	error_set(err, EINVAL, conf_object(c), "parse the options",
		  "vhostfds: %u descriptors for the %u queues of fds=", cnt, fds);
	error_remedy(err, "give as many as in fds=");
	return -EINVAL;
}

static void want_vhost(const struct conf *c, struct tap_opts *o, bool given)
{
	const bool force = conf_bool(c, "vhostforce", false);

	o->vhost = conf_bool(c, "vhost", given || force);
	o->vhost_must = o->vhost && (given || force);
	o->vhost_given = given;
	o->poll_us = (unsigned)conf_int(c, "poll-us", 0);
}

static int check_vhost(const struct conf *c, struct tap_opts *o, struct vmtap_error *err)
{
	const char *fd = conf_has(c, "vhostfd")	   ? "vhostfd"
			 : conf_has(c, "vhostfds") ? "vhostfds"
						   : NULL;

	want_vhost(c, o, fd);
	if (fd && !o->vhost) {
		error_set(err, EINVAL, conf_object(c), "parse the options",
			  "%s: not together with vhost=off", fd);
		error_remedy(err, "leave out one of the two");
		return -EINVAL;
	}
	return check_vhost_keys(c, o, err);
}

static int check_combinations(const struct conf *c, struct tap_opts *o, struct vmtap_error *err)
{
	const char *from = conf_has(c, "fd") ? "fd" : conf_has(c, "fds") ? "fds" : NULL;
	static const char *const fds_key[] = { "fds", NULL };

	if (conf_has(c, "fd") && conf_has(c, "fds"))
		return conf_exclude(c, "not together with fd=", fds_key, err);
	if (from) {
		o->source = TAP_FROM_FDS;
		return conf_exclude(c, from[2] ? "not together with fds=" : "not together with fd=",
				    not_with_fd, err);
	}
	if (conf_has(c, "helper")) {
		o->source = TAP_FROM_HELPER;
		return conf_exclude(c, "not together with helper=", not_with_helper, err);
	}
	return 0;
}

/* -1 is what the kernel takes for none. */
static int choose_steering(struct tap_opts *o, const struct conf *c, struct vmtap_error *err)
{
	static const char *const automatic[] = { "auto", "none", "-1" };
	const char *text = conf_str(c, "steering", NULL);

	if (!text)
		return 0;
	o->steering = TAP_STEER_PROGRAM;
	for (size_t i = 0; i < sizeof(automatic) / sizeof(automatic[0]); i++)
		if (strcmp(text, automatic[i]) == 0)
			o->steering = TAP_STEER_AUTO;
	if (o->steering == TAP_STEER_AUTO || o->source == TAP_FROM_FDS || o->queues > 1)
		return 0;
	error_set(err, EINVAL, conf_object(c), "parse the options",
		  "steering: there is nothing to choose with one queue");
	error_remedy(err, "use queues=2 or more, or leave it out");
	return -EINVAL;
}

static int dup_str(char **to, const struct conf *c, const char *key, struct vmtap_error *err)
{
	const char *text = conf_str(c, key, NULL);

	if (!text)
		return 0;
	*to = strdup(text);
	return *to ? 0 : error_errno(err, ENOMEM, conf_object(c), "copy options");
}

/* A helper is always given a bridge; otherwise joining one is a wish. */
static int choose_bridge(struct tap_opts *o, const struct conf *c, struct vmtap_error *err)
{
	const char *br = conf_str(c, "br", o->source == TAP_FROM_HELPER ? DEFAULT_BRIDGE : NULL);

	if (!br)
		return 0;
	o->br = strdup(br);
	return o->br ? ifname_check(o->br, false, err)
		     : error_errno(err, ENOMEM, conf_object(c), "copy options");
}

int tap_opts_init(struct tap_opts *o, const struct conf *c, struct vmtap_error *err)
{
	int ret;

	*o = (struct tap_opts) {
		.vnet_hdr = onoff(c, "vnet_hdr"),
		.persist = onoff(c, "persist"),
		.up = onoff(c, "up"),
		.has_sndbuf = conf_has(c, "sndbuf"),
		.sndbuf = sndbuf(c),
		.mtu = (unsigned)conf_int(c, "mtu", 0),
		.queues = (unsigned)conf_int(c, "queues", 1),
		.script_timeout_ms = (unsigned)conf_int(c, "script-timeout-ms", 60000),
		.helper_timeout_ms = (unsigned)conf_int(c, "helper-timeout-ms", 10000),
		.reconnect_ms = (unsigned)conf_int(c, "reconnect-ms", 0),
	};
	o->has_mac = conf_mac(c, "mac", o->mac);
	ret = check_combinations(c, o, err);
	if (!ret)
		ret = check_vhost(c, o, err);
	if (!ret)
		ret = choose_steering(o, c, err);
	if (!ret)
		ret = parse_id(c, "owner", &o->owner, err);
	if (!ret)
		ret = parse_id(c, "group", &o->group, err);
	if (!ret)
		ret = dup_str(&o->ifname, c, "ifname", err);
	if (!ret)
		ret = dup_str(&o->helper, c, "helper", err);
	if (!ret && o->source == TAP_FROM_NAME)
		ret = choose_script(c, "script", DEFAULT_SCRIPT, &o->script, err);
	if (!ret && o->source == TAP_FROM_NAME)
		ret = choose_script(c, "downscript", DEFAULT_DOWNSCRIPT, &o->downscript, err);
	if (!ret && o->ifname)
		ret = ifname_check(o->ifname, true, err);
	return ret ? ret : choose_bridge(o, c, err);
}

int bridge_opts_init(struct tap_opts *o, const struct conf *c, struct vmtap_error *err)
{
	int ret;

	*o = (struct tap_opts) {
		.source = TAP_FROM_HELPER,
		.has_sndbuf = conf_has(c, "sndbuf"),
		.sndbuf = sndbuf(c),
		.queues = (unsigned)conf_int(c, "queues", 1),
		.helper_timeout_ms = (unsigned)conf_int(c, "helper-timeout-ms", 10000),
		.owner = -1,
		.group = -1,
	};
	o->has_mac = conf_mac(c, "mac", o->mac);
	want_vhost(c, o, false);
	ret = choose_steering(o, c, err);
	if (!ret)
		ret = dup_str(&o->ifname, c, "ifname", err);
	if (!ret)
		ret = dup_str(&o->helper, c, "helper", err);
	if (!ret && o->ifname)
		ret = ifname_check(o->ifname, true, err);
	return ret ? ret : choose_bridge(o, c, err);
}

int macvtap_opts_init(struct tap_opts *o, const struct conf *c, struct vmtap_error *err)
{
	int ret;

	*o = (struct tap_opts) {
		.vnet_hdr = onoff(c, "vnet_hdr"),
		.persist = onoff(c, "persist"),
		.up = onoff(c, "up"),
		.has_sndbuf = conf_has(c, "sndbuf"),
		.sndbuf = (int)conf_int(c, "sndbuf", 0),
		.mtu = (unsigned)conf_int(c, "mtu", 0),
		.queues = (unsigned)conf_int(c, "queues", 1),
		.owner = -1,
		.group = -1,
	};
	o->has_mac = conf_mac(c, "mac", o->mac);
	ret = dup_str(&o->ifname, c, "ifname", err);
	if (!ret && o->ifname)
		ret = ifname_check(o->ifname, true, err);
	return ret;
}

void tap_opts_fini(struct tap_opts *o)
{
	free(o->helper);
	free(o->ifname);
	free(o->script);
	free(o->downscript);
	free(o->br);
}

/* -------------------------------------------------------------------- check */

static int check_script(const char *object, const char *what, const char *file,
			struct vmtap_error *err)
{
	struct stat st;
	int code = 0;

	if (!file)
		return 0;
	if (stat(file, &st) < 0)
		code = errno;
	else if (!S_ISREG(st.st_mode) || access(file, X_OK) < 0)
		code = EACCES;
	if (!code)
		return 0;
	error_set(err, code, object, "use the script", "%s=%s: %s", what, file, strerror(code));
	error_remedy(err,
		     code == EACCES ? "make it an executable file: chmod +x %s"
				    : "create %s, or use script=no",
		     file);
	return -code;
}

static int check_bridge(const char *object, const char *br, struct vmtap_error *err)
{
	struct nl_link link;
	int ret;

	if (!br)
		return 0;
	ret = nl_link_get(br, &link);
	if (ret < 0) {
		error_set(err, -ret, object, "join the bridge", "there is no interface %s", br);
		error_remedy(err, "create it: ip link add %s type bridge && ip link set %s up", br,
			     br);
		return ret;
	}
	if (strcmp(link.kind, "bridge") == 0)
		return 0;
	error_set(err, EMEDIUMTYPE, object, "join the bridge", "the interface %s is no bridge", br);
	error_remedy(err, "name a bridge (see: ip link show type bridge)");
	return -EMEDIUMTYPE;
}

/* What it allows is its own affair; a command line of a shell's cannot be looked at. */
static int check_helper(const char *object, const struct tap_opts *o, struct vmtap_error *err)
{
	const char *helper = o->helper ? o->helper : helper_default();
	int ret;

	if (!helper)
		return helper_missing(object, err);
	if (strpbrk(helper, " \t") || access(helper, X_OK) == 0)
		return check_bridge(object, o->br, err);
	ret = error_errno(err, errno, object, "run the bridge helper");
	error_remedy(err, "helper=%s is to be a program that you may run", helper);
	return ret;
}

int tap_opts_check(const struct tap_opts *o, const struct conf *conf, struct vmtap_error *err)
{
	const char *object = conf_object(conf);
	struct tun_request req = { .ifname = o->ifname, .multi_queue = o->queues > 1 };
	cleanup_fd int fd = -1;
	int ret;

	if (o->source == TAP_FROM_HELPER)
		return check_helper(object, o, err);
	ret = check_script(object, "script", o->script, err);
	if (!ret)
		ret = check_script(object, "downscript", o->downscript, err);
	if (ret)
		return ret;
	fd = tun_open();
	if (fd < 0)
		return explain_open(fd, object, err);
	req.vnet_hdr = o->vnet_hdr != TAP_OFF && tun_has_vnet_hdr(fd);
	ret = check_bridge(object, o->br, err);
	return ret ? ret : explain_existing(object, &req, err);
}
