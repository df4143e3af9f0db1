/* SPDX-License-Identifier: MIT */
/* The configuration file of `vmtap serve`: from sections to descriptions and joins. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "ctl/conffile-int.h"

static const char *const kinds[] = {
	[CONFFILE_SERVE] = "serve",
	[CONFFILE_PORT] = "port",
	[CONFFILE_SWITCH] = "switch",
	[CONFFILE_LINK] = "link",
};
static const char *const serve_keys[] = { "control", "control-mode", "control-group",
					  "metrics", "engine",	     "workers",
					  "cpus",    "poll-us",	     NULL };
static const char *const link_keys[] = { "ports", NULL };

static int by_name(const void *a, const void *b)
{
	const struct conffile_key *const *x = a, *const *y = b;

	return strcmp((*x)->name, (*y)->name);
}

/* A comma of a value is doubled. */
static void put_value(FILE *out, const char *value)
{
	for (; *value; value++) {
		fputc(*value, out);
		if (*value == ',')
			fputc(',', out);
	}
}

/* Of a port; a switch has no such keys. */
static bool is_live(const struct conffile_section *s, const char *name)
{
	const struct vmtap_key_info *info;

	for (unsigned i = 0; s->kind == CONFFILE_PORT && (info = vmtap_common_info(i)); i++)
		if (strcmp(info->name, name) == 0)
			return info->live;
	return false;
}

/* A description of @keys, sorted, with what can change while the port runs, or without. NULL: out of memory. */
static char *describe(const struct conffile_section *s, const char *type,
		      const struct conffile_key *const *keys, bool with_live)
{
	const char *not_its = s->kind == CONFFILE_PORT ? "type" : "ports";
	char *spec = NULL;
	size_t len;
	FILE *out = open_memstream(&spec, &len);

	if (!out)
		return NULL;
	fprintf(out, "%s,id=%s", type, s->name);
	for (unsigned i = 0; i < s->key_cnt; i++) {
		if (strcmp(keys[i]->name, not_its) == 0 ||
		    (!with_live && is_live(s, keys[i]->name)))
			continue;
		fprintf(out, ",%s=", keys[i]->name);
		put_value(out, keys[i]->value);
	}
	if (fclose(out) == 0)
		return spec;
	free(spec);
	return NULL;
}

static int make_spec(const struct conffile *f, struct conffile_section *s, struct vmtap_error *err)
{
	const struct conffile_key *keys[CONFFILE_KEYS_MAX];
	const struct conffile_key *type = conffile_key_of(s, "type");
	bool is_port = s->kind == CONFFILE_PORT;
	const char *word;

	if (is_port && !type)
		return conffile_refuse(f, s->line, err, "port %s has no type", s->name);
	if (is_port && !conffile_is_name(type->value))
		return conffile_refuse(f, type->line, err, "\"%.60s\" is no type", type->value);
	if (conffile_key_of(s, "id"))
		return conffile_refuse(f, conffile_key_of(s, "id")->line, err,
				       "\"id\" is the section's name");
	for (unsigned i = 0; i < s->key_cnt; i++)
		keys[i] = &s->keys[i];
	qsort(keys, s->key_cnt, sizeof(keys[0]), by_name);
	word = is_port ? type->value : "switch";
	s->spec = describe(s, word, keys, true);
	s->fixed = describe(s, word, keys, false);
	return s->spec && s->fixed ? 0 : conffile_no_memory(f, err);
}

static bool is_joined(const struct conffile *f, const char *port)
{
	for (unsigned i = 0; i < f->join_cnt; i++)
		if (strcmp(f->joins[i].port, port) == 0 || strcmp(f->joins[i].to, port) == 0)
			return true;
	return false;
}

static int add_join(struct conffile *f, const char *port, const char *to, unsigned line,
		    struct vmtap_error *err)
{
	const char *const ends[] = { port, to };
	struct conffile_join *joins;

	for (unsigned i = 0; i < 2; i++) {
		const struct conffile_section *s = conffile_find(f, ends[i]);

		if (!s || (i == 0 && s->kind != CONFFILE_PORT))
			return conffile_refuse(f, line, err, "there is no [port %s]", ends[i]);
		if (s->kind == CONFFILE_PORT && is_joined(f, ends[i]))
			return conffile_refuse(f, line, err, "port %s is joined twice", ends[i]);
	}
	if (strcmp(port, to) == 0)
		return conffile_refuse(f, line, err, "port %s is joined to itself", port);
	joins = conffile_grow(f->joins, f->join_cnt, sizeof(*joins));
	if (!joins)
		return conffile_no_memory(f, err);
	f->joins = joins;
	joins += f->join_cnt++;
	*joins = (struct conffile_join) { strdup(port), strdup(to), line };
	return joins->port && joins->to ? 0 : conffile_no_memory(f, err);
}

/* Copies the next word, and moves @at behind it. Return: whether there was one. */
static bool next_word(const char **at, char word[CONFFILE_NAME_MAX + 2])
{
	size_t len;

	*at += strspn(*at, CONFFILE_SPACE);
	len = strcspn(*at, CONFFILE_SPACE);
	snprintf(word, CONFFILE_NAME_MAX + 2, "%.*s", (int)len, *at);
	*at += len;
	return len > 0;
}

static int join_switch(struct conffile *f, const struct conffile_section *s,
		       struct vmtap_error *err)
{
	const struct conffile_key *ports = conffile_key_of(s, "ports");
	const char *at = ports ? ports->value : "";
	char port[CONFFILE_NAME_MAX + 2];
	int ret = 0;

	while (!ret && next_word(&at, port))
		ret = add_join(f, port, s->name, ports->line, err);
	return ret;
}

/* As the library reads an on/off key. */
static bool is_on(const char *value)
{
	static const char *const words[] = { "on", "yes", "true", "y" };

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (strcmp(value, words[i]) == 0)
			return true;
	return false;
}

/* A port in a link says nothing of a place in a switch. Values that are wrong are found when the port is tried. */
static int check_linked(const struct conffile *f, const struct conffile_section *port,
			struct vmtap_error *err)
{
	static const struct {
		const char *name;
		bool is_onoff;
	} keys[] = { { "vlan" }, { "trunk" }, { "isolated", true }, { "mcast-flood", true } };

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		const struct conffile_key *key = conffile_key_of(port, keys[i].name);

		if (!key || (keys[i].is_onoff && !is_on(key->value)))
			continue;
		conffile_refuse(f, key->line, err,
				"\"%s\" says what port %s may do in a switch, and a link is none",
				key->name, port->name);
		error_remedy(err, "join the two by a [switch], or leave the key out");
		return -EINVAL;
	}
	return 0;
}

static int join_link(struct conffile *f, const struct conffile_section *s, struct vmtap_error *err)
{
	const struct conffile_key *ports = conffile_key_of(s, "ports");
	const char *at = ports ? ports->value : "";
	char a[CONFFILE_NAME_MAX + 2], b[CONFFILE_NAME_MAX + 2], more[CONFFILE_NAME_MAX + 2];
	const struct conffile_section *first;
	int ret;

	if (!ports)
		return conffile_refuse(f, s->line, err, "link %s has no ports", s->name);
	if (!next_word(&at, a) || !next_word(&at, b) || next_word(&at, more))
		return conffile_refuse(f, ports->line, err,
				       "\"ports\" of a link are two, as in ports = vm0 guest");
	first = conffile_find(f, a);
	if (first && first->kind == CONFFILE_SWITCH) /* the port first */
		return add_join(f, b, a, ports->line, err);
	ret = add_join(f, a, b, ports->line, err);
	if (ret || conffile_find(f, b)->kind == CONFFILE_SWITCH)
		return ret;
	ret = check_linked(f, first, err);
	return ret ? ret : check_linked(f, conffile_find(f, b), err);
}

static int check_keys(const struct conffile *f, const struct conffile_section *s,
		      const char *const *known, struct vmtap_error *err)
{
	for (unsigned i = 0; i < s->key_cnt; i++) {
		unsigned k = 0;

		while (known[k] && strcmp(known[k], s->keys[i].name) != 0)
			k++;
		if (!known[k])
			return conffile_unknown(f, s->keys[i].line, "key", s->keys[i].name, known,
						err);
	}
	return 0;
}

/* Ports and switches share their names; links have names of their own. */
static int check_name(const struct conffile *f, unsigned index, struct vmtap_error *err)
{
	const struct conffile_section *s = &f->sections[index];
	bool joined = s->kind == CONFFILE_PORT || s->kind == CONFFILE_SWITCH;

	for (unsigned i = 0; i < index; i++) {
		const struct conffile_section *o = &f->sections[i];

		if (strcmp(o->name, s->name) == 0 &&
		    (o->kind == s->kind ||
		     (joined && (o->kind == CONFFILE_PORT || o->kind == CONFFILE_SWITCH))))
			return conffile_refuse(f, s->line, err,
					       "there is a [%s%s%s] in line %u already",
					       kinds[o->kind], *o->name ? " " : "", o->name,
					       o->line);
	}
	return 0;
}

static int check_section(struct conffile *f, unsigned index, struct vmtap_error *err)
{
	struct conffile_section *s = &f->sections[index];
	int ret = check_name(f, index, err);

	if (ret)
		return ret;
	switch (s->kind) {
	case CONFFILE_SERVE:
		return check_keys(f, s, serve_keys, err);
	case CONFFILE_LINK:
		return check_keys(f, s, link_keys, err);
	case CONFFILE_PORT:
	case CONFFILE_SWITCH:
		break;
	}
	return make_spec(f, s, err);
}

int conffile_understand(struct conffile *f, struct vmtap_error *err)
{
	int ret = 0;

	for (unsigned i = 0; !ret && i < f->section_cnt; i++)
		ret = check_section(f, i, err);
	for (unsigned i = 0; !ret && i < f->section_cnt; i++) {
		if (f->sections[i].kind == CONFFILE_SWITCH)
			ret = join_switch(f, &f->sections[i], err);
		else if (f->sections[i].kind == CONFFILE_LINK)
			ret = join_link(f, &f->sections[i], err);
	}
	return ret;
}
