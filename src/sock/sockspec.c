/* SPDX-License-Identifier: MIT */
/* Socket addresses as they are written in options. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "conf/conf.h"
#include "sock/sockaddr.h"

#define ACTION "read its options"

/* Every member that QEMU knows, and the kinds of address that have it. */
#define INET (1u << SOCK_KIND_INET)
#define UNIX (1u << SOCK_KIND_UNIX)
#define FD (1u << SOCK_KIND_FD)

static const struct member {
	const char *name;
	unsigned kinds;
} members[] = {
	{ "host", INET },     { "port", INET },	 { "to", INET },    { "numeric", INET },
	{ "ipv4", INET },     { "ipv6", INET },	 { "mptcp", INET }, { "keep-alive", INET },
	{ "abstract", UNIX }, { "tight", UNIX }, { "path", UNIX },  { "str", FD },
};

#define MEMBER_CNT (sizeof(members) / sizeof(members[0]))
#define KEY_MAX 24

struct reader {
	const struct conf *conf;
	const char *prefix;
	char keys[MEMBER_CNT][KEY_MAX];
};

/* The whole key of a member, as in "addr.path". */
static const char *key(struct reader *r, const char *name)
{
	size_t i = 0;

	while (strcmp(members[i].name, name) != 0)
		i++;
	snprintf(r->keys[i], KEY_MAX, "%s.%s", r->prefix, name);
	return r->keys[i];
}

static const char *get(struct reader *r, const char *name)
{
	return conf_str(r->conf, key(r, name), NULL);
}

static int missing(const struct reader *r, const char *name, struct vmtap_error *err)
{
	error_set(err, EINVAL, conf_object(r->conf), ACTION, "%s.%s is missing", r->prefix, name);
	error_remedy(err,
		     "write %s.type=unix,%s.path=PATH or %s.type=inet,%s.host=HOST,%s.port=PORT "
		     "or %s.type=fd,%s.str=FD",
		     r->prefix, r->prefix, r->prefix, r->prefix, r->prefix, r->prefix, r->prefix);
	return -EINVAL;
}

/* Keys that belong to other kinds of address. */
static int exclude(struct reader *r, enum sock_kind kind, const char *type, struct vmtap_error *err)
{
	const char *others[MEMBER_CNT + 1];
	char reason[64];
	size_t cnt = 0;

	for (size_t i = 0; i < MEMBER_CNT; i++)
		if (!(members[i].kinds & 1u << kind))
			others[cnt++] = key(r, members[i].name);
	others[cnt] = NULL;
	snprintf(reason, sizeof(reason), "not together with %s.type=%s", r->prefix, type);
	return conf_exclude(r->conf, reason, others, err);
}

/* The kind may be left out where a member says it. */
static enum sock_kind guess_kind(struct reader *r)
{
	if (get(r, "path"))
		return SOCK_KIND_UNIX;
	if (get(r, "host") || get(r, "port"))
		return SOCK_KIND_INET;
	return get(r, "str") ? SOCK_KIND_FD : SOCK_KIND_NONE;
}

static const char *kind_name(enum sock_kind kind)
{
	return kind == SOCK_KIND_INET ? "inet" : kind == SOCK_KIND_UNIX ? "unix" : "fd";
}

static bool any_given(struct reader *r)
{
	for (size_t i = 0; i < MEMBER_CNT; i++)
		if (conf_has(r->conf, key(r, members[i].name)))
			return true;
	return false;
}

static int tristate(struct reader *r, const char *name)
{
	const char *k = key(r, name);

	return conf_has(r->conf, k) ? conf_bool(r->conf, k, false) : -1;
}

static int read_inet(struct sock_spec *spec, struct reader *r, struct vmtap_error *err)
{
	spec->host = get(r, "host");
	spec->port = get(r, "port");
	if (!spec->host || !spec->port)
		return missing(r, spec->host ? "port" : "host", err);
	spec->to = (int)conf_int(r->conf, key(r, "to"), 0);
	spec->numeric = conf_bool(r->conf, key(r, "numeric"), false);
	spec->keep_alive = conf_bool(r->conf, key(r, "keep-alive"), false);
	spec->mptcp = conf_bool(r->conf, key(r, "mptcp"), false);
	return sock_spec_family(spec, tristate(r, "ipv4"), tristate(r, "ipv6"),
				conf_object(r->conf), err);
}

static int read_unix(struct sock_spec *spec, struct reader *r, struct vmtap_error *err)
{
	spec->path = get(r, "path");
	spec->abstract = conf_bool(r->conf, key(r, "abstract"), false);
	spec->tight = conf_bool(r->conf, key(r, "tight"), true);
	return spec->path ? 0 : missing(r, "path", err);
}

int sock_spec_dotted(struct sock_spec *spec, const struct conf *conf, const char *prefix,
		     struct vmtap_error *err)
{
	static const enum sock_kind kinds[] = { SOCK_KIND_INET, SOCK_KIND_UNIX, SOCK_KIND_FD };
	struct reader r = { .conf = conf, .prefix = prefix };
	char type_key[KEY_MAX];
	const char *type;

	memset(spec, 0, sizeof(*spec));
	snprintf(type_key, sizeof(type_key), "%s.type", prefix);
	type = conf_str(conf, type_key, NULL);
	spec->kind = type ? kinds[conf_enum(conf, type_key, 0)] : guess_kind(&r);
	if (spec->kind == SOCK_KIND_NONE)
		return any_given(&r) ? missing(&r, "type", err) : 0;
	if (exclude(&r, spec->kind, type ? type : kind_name(spec->kind), err) < 0)
		return -EINVAL;
	switch (spec->kind) {
	case SOCK_KIND_INET:
		return read_inet(spec, &r, err);
	case SOCK_KIND_UNIX:
		return read_unix(spec, &r, err);
	default:
		spec->fd = get(&r, "str");
		return spec->fd ? 0 : missing(&r, "str", err);
	}
}

void sock_spec_path(struct sock_spec *spec, const char *path)
{
	spec->kind = SOCK_KIND_UNIX;
	spec->abstract = path[0] == '@';
	spec->tight = true;
	spec->path = spec->abstract ? path + 1 : path;
}

/*
 *	ipv4  ipv6	addresses
 *	 -     -	both, and an IPv6 socket listens for both
 *	 -    off	IPv4
 *	 -    on	IPv6
 *	off    -	IPv6
 *	on     -	IPv4
 *	on    on	both, as above
 */
int sock_spec_family(struct sock_spec *spec, int ipv4, int ipv6, const char *object,
		     struct vmtap_error *err)
{
	spec->dual = ipv4 == ipv6;
	spec->family = AF_UNSPEC;
	if (ipv4 == 0 && ipv6 == 0) {
		error_set(err, EINVAL, object, ACTION, "ipv4 and ipv6 are both off");
		error_remedy(err, "leave out one of the two, or both");
		return -EINVAL;
	}
	if (ipv4 == 1 && ipv6 == 1)
		return 0;
	if (ipv6 == 1 || ipv4 == 0)
		spec->family = AF_INET6;
	else if (ipv4 == 1 || ipv6 == 0)
		spec->family = AF_INET;
	return 0;
}

/* Cut @spec->text, which holds HOST:PORT, into its halves. */
static bool split(struct sock_spec *spec, bool port_optional)
{
	char *host = spec->text;
	char *end;

	if (*host == '[') {
		host++;
		end = strchr(host, ']');
		if (!end)
			return false;
		*end++ = '\0';
		if (*end && *end != ':')
			return false;
	} else {
		end = strrchr(host, ':');
		if (end && strchr(host, ':') != end) /* which colon? */
			return false;
		if (!end)
			end = host + strlen(host);
	}
	spec->host = host;
	if (*end == ':') {
		*end++ = '\0';
		spec->port = end;
		return *end != '\0';
	}
	spec->port = "0";
	return port_optional && *host;
}

int sock_spec_text(struct sock_spec *spec, const char *text, bool port_optional, const char *key,
		   const char *object, struct vmtap_error *err)
{
	memset(spec, 0, sizeof(*spec));
	if (text[0] == '@' || strchr(text, '/')) {
		sock_spec_path(spec, text);
		return 0;
	}
	spec->kind = SOCK_KIND_INET;
	if (strlen(text) < sizeof(spec->text)) {
		strcpy(spec->text, text);
		if (split(spec, port_optional))
			return 0;
	}
	error_set(err, EINVAL, object, ACTION,
		  "%s=%s is neither a path with a slash in it nor HOST:PORT", key, text);
	error_remedy(err, "write it as in %s=./a.sock, %s=10.0.0.1:5000 or %s=[fd00::1]:5000", key,
		     key, key);
	return -EINVAL;
}
