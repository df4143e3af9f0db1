/* SPDX-License-Identifier: MIT */
/* The doctor, seen from the application: what its target means. */
#include "host/doctor.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "api/api.h"
#include "conf/conf.h"
#include "port/tap/tap-helper.h"

#define PID_PREFIX "pid:"
#define CMDLINE_PREFIX "cmdline:"
#define DEFAULT_BRIDGE "br0"

/* A port type that the doctor knows before the library has it. */
static const struct conf_key vhost_user_keys[] = {
	{ .name = "path", .kind = CONF_STRING },
	{ .name = "server", .kind = CONF_BOOL },
	{ .name = "queues", .kind = CONF_INT, .min = 1, .max = 1024 },
	{ 0 },
};

static const struct conf_schema vhost_user_schema = { .type = "vhost-user",
						      .keys = vhost_user_keys };

static const struct conf_schema *schema_of(const char *type, struct vmtap_error *err)
{
	const struct port_type *t = port_type_find(type, NULL);

	if (t)
		return t->schema;
	if (strcmp(type, vhost_user_schema.type) == 0)
		return &vhost_user_schema;
	port_type_find(type, err);
	return NULL;
}

/* conf_*() want a key that the schema has. */
static bool has(const struct conf_schema *schema, const struct conf *c, const char *key)
{
	for (const struct conf_key *k = schema->keys; k->name; k++)
		if (strcmp(k->name, key) == 0)
			return conf_has(c, key);
	return false;
}

static const char *get(const struct conf_schema *schema, const struct conf *c, const char *key)
{
	return has(schema, c, key) ? conf_str(c, key, NULL) : NULL;
}

static unsigned get_int(const struct conf_schema *schema, const struct conf *c, const char *key)
{
	return has(schema, c, key) ? (unsigned)conf_int(c, key, 0) : 0;
}

static const char *socket_path(const struct conf_schema *schema, const struct conf *c)
{
	static const char *const keys[] = { "path", "addr.path", "local.path" };
	const char *path = NULL;

	for (size_t i = 0; !path && i < sizeof(keys) / sizeof(keys[0]); i++)
		path = get(schema, c, keys[i]);
	return path;
}

static void choose_kind(struct doctor_target *t, const struct conf_schema *schema,
			const struct conf *c)
{
	const char *type = schema->type;

	if (strcmp(type, "bridge") == 0 || has(schema, c, "helper"))
		t->kind = DOCTOR_HELPER;
	else if (strcmp(type, "tap") == 0 && (has(schema, c, "fd") || has(schema, c, "fds")))
		t->kind = DOCTOR_TAP_FD;
	else if (strcmp(type, "tap") == 0)
		t->kind = DOCTOR_TAP;
	else if (strcmp(type, "macvtap") == 0)
		t->kind = DOCTOR_MACVTAP;
	else if (strcmp(type, "vhost-user") == 0)
		t->kind = DOCTOR_VHOST_USER;
	else
		t->kind = DOCTOR_SOCKET;
}

static void read_vhost_fd(struct doctor_target *t, const char *text)
{
	bool number = isdigit((unsigned char)text[0]);

	if (t->vhost_fd_cnt < DOCTOR_FDS_MAX)
		t->vhost_fds[t->vhost_fd_cnt++] = number ? atoi(text) : -1;
}

static void read_vhost(struct doctor_target *t, const struct conf_schema *schema,
		       const struct conf *c)
{
	const char *one = get(schema, c, "vhostfd");

	t->vhost = has(schema, c, "vhost") && conf_bool(c, "vhost", false);
	t->vhostforce = has(schema, c, "vhostforce") && conf_bool(c, "vhostforce", false);
	if (one)
		read_vhost_fd(t, one);
	for (unsigned i = 0; has(schema, c, "vhostfds") && i < conf_list_cnt(c, "vhostfds"); i++)
		read_vhost_fd(t, conf_list_item(c, "vhostfds", i));
}

/* Return: what @t's strings belong to, owned (conf_free()); NULL and @err. */
static struct conf *read_port(const char *spec, struct doctor_target *t, struct vmtap_error *err)
{
	const struct conf_schema *schema;
	struct conf *c;
	char type[32];

	if (conf_type(spec, type, sizeof(type), err) < 0)
		return NULL;
	schema = schema_of(type, err);
	c = schema ? conf_parse(schema, spec, err) : NULL;
	if (!c)
		return NULL;
	choose_kind(t, schema, c);
	t->ifname = get(schema, c, "ifname");
	t->br = get(schema, c, "br");
	t->parent = get(schema, c, "parent");
	t->mac = get(schema, c, "mac");
	t->queues = get_int(schema, c, "queues");
	t->mtu = get_int(schema, c, "mtu");
	t->path = socket_path(schema, c);
	read_vhost(t, schema, c);
	if (t->kind != DOCTOR_HELPER)
		return c;
	if (get(schema, c, "helper"))
		t->helper = get(schema, c, "helper");
	if (!t->br)
		t->br = DEFAULT_BRIDGE;
	return c;
}

static bool is_port(const char *target)
{
	if (strpbrk(target, ",={"))
		return true;
	return schema_of(target, NULL) && !doctor_exists(target);
}

static void read_interface(const char *name, struct doctor_target *t)
{
	t->kind = doctor_kind_of(name);
	t->inspect = true;
	if (t->kind == DOCTOR_BRIDGE)
		t->br = name;
	else
		t->ifname = name;
}

static int read_pid(const char *text, struct doctor_target *t, struct vmtap_error *err)
{
	char *end;
	long pid;

	errno = 0;
	pid = strtol(text, &end, 10);
	t->kind = DOCTOR_VMM;
	t->pid = (int)pid;
	if (isdigit((unsigned char)*text) && !*end && !errno && pid > 0 && pid <= INT_MAX)
		return 0;
	return error_set(err, EINVAL, "doctor", "find the process",
			 "\"%.40s\" is not the number of one", text);
}

/* Return: 0 or -errno and @err. *@c: to be freed when @t has been used. */
static int read_target(const char *target, struct doctor_target *t, struct conf **c,
		       struct vmtap_error *err)
{
	*c = NULL;
	*t = (struct doctor_target) { .kind = DOCTOR_HOST, .helper = helper_default() };
	if (!target)
		return 0;
	if (strncmp(target, PID_PREFIX, strlen(PID_PREFIX)) == 0)
		return read_pid(target + strlen(PID_PREFIX), t, err);
	if (strncmp(target, CMDLINE_PREFIX, strlen(CMDLINE_PREFIX)) == 0) {
		t->kind = DOCTOR_VMM;
		t->cmdline = target + strlen(CMDLINE_PREFIX);
		return 0;
	}
	if (!is_port(target)) {
		read_interface(target, t);
		return 0;
	}
	*c = read_port(target, t, err);
	return *c ? 0 : -err->code;
}

int vmtap_doctor(const char *target, void (*found)(void *opaque, const struct vmtap_finding *f),
		 void *opaque, struct vmtap_error *err)
{
	struct vmtap_error local = { 0 };
	struct doctor_target t;
	struct conf *c;
	int ret;

	if (!err)
		err = &local;
	ret = read_target(target, &t, &c, err);
	if (ret == 0)
		ret = doctor_run(&t, found, opaque, err);
	conf_free(c);
	return ret;
}
