/* SPDX-License-Identifier: MIT */
/* A VMM's command line: has it vhost-user devices, and is its memory shared? */
#include "host/vmm.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "host/checks.h"

#define BACKENDS_MAX 64
#define CMDLINE_MAX (1u << 20)
#define VALUE_MAX 256

/* ---------------------------------------------------------------------- options */

static bool option_get_json(const char *text, const char *key, char *buf, size_t size)
{
	json_t *root = json_loads(text, 0, NULL), *value = json_object_get(root, key);
	bool found = true;

	if (json_is_string(value))
		snprintf(buf, size, "%s", json_string_value(value));
	else if (json_is_boolean(value))
		snprintf(buf, size, "%s", json_is_true(value) ? "on" : "off");
	else
		found = false;
	json_decref(root);
	return found;
}

/* Copy up to the next single comma. Return: what is behind it. */
static const char *copy_item(const char *text, char *buf, size_t size)
{
	size_t len = 0;

	while (*text && !(*text == ',' && text[1] != ',')) {
		text += *text == ',';
		if (len < size - 1)
			buf[len++] = *text;
		text++;
	}
	buf[len] = '\0';
	return *text ? text + 1 : text;
}

bool option_get(const char *text, const char *first, const char *key, char *buf, size_t size)
{
	char item[VALUE_MAX], *equals;
	bool found = false, is_first = true;

	if (*text == '{')
		return option_get_json(text, key, buf, size);
	while (*text) {
		const char *name = item, *value = "on";

		text = copy_item(text, item, sizeof(item));
		equals = strchr(item, '=');
		if (equals) {
			*equals = '\0';
			value = equals + 1;
		} else if (is_first && first) {
			name = first;
			value = item;
		}
		is_first = false;
		if (strcmp(name, key) != 0)
			continue;
		snprintf(buf, size, "%s", value);
		found = true; /* the last one counts */
	}
	return found;
}

static bool is_on(const char *text, const char *first, const char *key, bool def)
{
	char value[16];

	if (!option_get(text, first, key, value, sizeof(value)))
		return def;
	return strcmp(value, "on") == 0 || strcmp(value, "yes") == 0 ||
	       strcmp(value, "true") == 0 || strcmp(value, "y") == 0;
}

/* @start, the items of @text without @skip and @key, and KEY=on; nothing where that does not fit.
 * The first item may go without its key, which is then @skip. */
static void set_on(char *buf, size_t size, const char *start, const char *text, const char *skip,
		   const char *key)
{
	size_t len = (size_t)snprintf(buf, size, "%s", start);
	char item[VALUE_MAX];
	const char *sep = skip ? "," : " ";

	for (bool first = true; *text && len < size; first = false) {
		size_t word;

		text = copy_item(text, item, sizeof(item));
		word = strcspn(item, "=");
		if ((skip && first && !item[word]) ||
		    (skip && strlen(skip) == word && strncmp(item, skip, word) == 0) ||
		    (strlen(key) == word && strncmp(item, key, word) == 0))
			continue;
		len += (size_t)snprintf(buf + len, size - len, "%s%s", sep, item);
		sep = ",";
	}
	if (len < size)
		len += (size_t)snprintf(buf + len, size - len, "%s%s=on", sep, key);
	if (len >= size)
		buf[0] = '\0';
}

/* ------------------------------------------------------------------------- QEMU */

struct backend {
	const char *text;
	char id[64], type[48];
	bool shared, used;
};

struct qemu {
	struct backend backends[BACKENDS_MAX];
	unsigned cnt;
	char machine_backend[64], size[64];
	bool numa, mem_path;
};

static void qemu_object(struct qemu *q, const char *text)
{
	struct backend *b = &q->backends[q->cnt];

	if (q->cnt == BACKENDS_MAX ||
	    !option_get(text, "qom-type", "qom-type", b->type, sizeof(b->type)) ||
	    strncmp(b->type, "memory-backend-", 15) != 0)
		return;
	*b->id = '\0';
	option_get(text, "qom-type", "id", b->id, sizeof(b->id));
	b->text = text;
	b->used = false;
	b->shared = is_on(text, "qom-type", "share", strcmp(b->type + 15, "memfd") == 0);
	b->shared |= strcmp(b->type + 15, "shm") == 0;
	q->cnt++;
}

static struct backend *qemu_find(struct qemu *q, const char *id)
{
	for (unsigned i = 0; i < q->cnt; i++)
		if (strcmp(q->backends[i].id, id) == 0)
			return &q->backends[i];
	return NULL;
}

static void qemu_device(struct vmm *v, const char *text)
{
	char driver[64];

	if (option_get(text, "driver", "driver", driver, sizeof(driver)))
		v->vhost_user |= strncmp(driver, "vhost-user", 10) == 0;
}

static void qemu_netdev(struct vmm *v, const char *text)
{
	char type[32];

	if (option_get(text, "type", "type", type, sizeof(type)))
		v->vhost_user |= strcmp(type, "vhost-user") == 0;
}

static void qemu_option(struct qemu *q, struct vmm *v, const char *option, const char *value)
{
	if (strcmp(option, "object") == 0)
		qemu_object(q, value);
	else if (strcmp(option, "machine") == 0 || strcmp(option, "M") == 0)
		option_get(value, "type", "memory-backend", q->machine_backend,
			   sizeof(q->machine_backend));
	else if (strcmp(option, "m") == 0)
		option_get(value, "size", "size", q->size, sizeof(q->size));
	else if (strcmp(option, "mem-path") == 0)
		q->mem_path = true;
	else if (strcmp(option, "netdev") == 0 || strcmp(option, "nic") == 0)
		qemu_netdev(v, value);
	else if (strcmp(option, "device") == 0)
		qemu_device(v, value);
	else if (strcmp(option, "name") == 0)
		option_get(value, NULL, "guest", v->guest, sizeof(v->guest));
}

/* -numa node,memdev=ID may stand in front of the -object. */
static void qemu_use(struct qemu *q, const char *option, const char *value)
{
	char id[64];
	struct backend *b;

	if (strcmp(option, "numa") != 0 || !option_get(value, "type", "memdev", id, sizeof(id)))
		return;
	q->numa = true;
	b = qemu_find(q, id);
	if (b)
		b->used = true;
}

/* "1G" or "512", which is in MiB. */
static void qemu_size(const char *size, char *buf, size_t buf_size)
{
	bool bare = size[0] && size[strspn(size, "0123456789")] == '\0';

	snprintf(buf, buf_size, "%.32s%s", size[0] ? size : "128", bare || !size[0] ? "M" : "");
}

/* The same object with memory that can be shared. */
static void qemu_mend(const struct backend *b, struct vmm *v)
{
	bool ram = strcmp(b->type, "memory-backend-ram") == 0;
	char start[64];

	if (*b->text == '{')
		return;
	snprintf(start, sizeof(start), "-object %s", ram ? "memory-backend-memfd" : b->type);
	set_on(v->remedy, sizeof(v->remedy), start, b->text, "qom-type", "share");
}

static void qemu_judge_backend(const struct backend *b, struct vmm *v)
{
	bool ram = strcmp(b->type, "memory-backend-ram") == 0;

	if (b->shared && !ram)
		return;
	v->shared = false;
	v->maybe = b->shared && ram; /* since QEMU 10 it has a file behind it */
	snprintf(v->culprit, sizeof(v->culprit), "%s %s", b->type, b->id);
	qemu_mend(b, v);
}

static void qemu_judge(struct qemu *q, struct vmm *v)
{
	struct backend *b = qemu_find(q, q->machine_backend);
	char size[48];

	v->shared = true;
	if (b && q->machine_backend[0])
		b->used = true;
	for (unsigned i = 0; i < q->cnt; i++)
		if (q->backends[i].used)
			qemu_judge_backend(&q->backends[i], v);
	if (q->numa || (b && q->machine_backend[0]))
		return;
	v->shared = false;
	snprintf(v->culprit, sizeof(v->culprit), "%s",
		 q->mem_path ? "-mem-path, which is private" : "memory without a backend");
	qemu_size(q->size, size, sizeof(size));
	snprintf(v->remedy, sizeof(v->remedy),
		 "-object memory-backend-memfd,id=mem0,size=%s,share=on -machine "
		 "memory-backend=mem0",
		 size);
}

static void parse_qemu(const char *const *words, unsigned cnt, struct vmm *v)
{
	struct qemu *q = calloc(1, sizeof(*q));

	if (!q)
		return;
	for (unsigned pass = 0; pass < 2; pass++) {
		for (unsigned i = 1; i + 1 < cnt; i++) {
			const char *option = words[i];

			if (option[0] != '-')
				continue;
			option += option[1] == '-' ? 2 : 1;
			if (pass == 0)
				qemu_option(q, v, option, words[i + 1]);
			else
				qemu_use(q, option, words[i + 1]);
		}
	}
	qemu_judge(q, v);
	free(q);
}

/* ------------------------------------------------------------- cloud-hypervisor */

static void ch_memory(struct vmm *v, const char *option, const char *value, bool *zones)
{
	bool shared = is_on(value, NULL, "shared", false);
	char start[48];

	if (strcmp(option, "memory-zone") == 0) {
		v->shared = shared && (v->shared || !*zones);
		*zones = true;
	} else if (!*zones) {
		v->shared = shared;
	}
	if (shared)
		return;
	snprintf(v->culprit, sizeof(v->culprit), "--%s %.80s", option, value);
	snprintf(start, sizeof(start), "--%s", option);
	set_on(v->remedy, sizeof(v->remedy), start, value, NULL, "shared");
}

static void parse_cloud_hypervisor(const char *const *words, unsigned cnt, struct vmm *v)
{
	char option[32] = "";
	bool zones = false;

	snprintf(v->culprit, sizeof(v->culprit), "memory without shared=on");
	snprintf(v->remedy, sizeof(v->remedy), "--memory size=512M,shared=on");
	for (unsigned i = 1; i < cnt; i++) {
		const char *value = words[i];

		/* "--net a=b c=d --memory=x": every word up to the next option belongs to it */
		if (strncmp(value, "--", 2) == 0) {
			size_t len = strcspn(value + 2, "=");

			snprintf(option, sizeof(option), "%.*s", (int)len, value + 2);
			if (!value[2 + len])
				continue;
			value += 3 + len;
		}
		if (strcmp(option, "memory") == 0 || strcmp(option, "memory-zone") == 0)
			ch_memory(v, option, value, &zones);
		else
			v->vhost_user |= strcmp(option, "fs") == 0 ||
					 is_on(value, NULL, "vhost_user", false);
	}
}

/* ---------------------------------------------------------------------- programs */

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static enum vmm_kind kind_of(const char *word)
{
	const char *name = base_name(word);

	if (strncmp(name, "qemu-system-", 12) == 0 || strcmp(name, "qemu-kvm") == 0 ||
	    strcmp(name, "kvm") == 0)
		return VMM_QEMU;
	if (strcmp(name, "cloud-hypervisor") == 0)
		return VMM_CLOUD_HYPERVISOR;
	return strcmp(name, "crosvm") == 0 ? VMM_CROSVM : VMM_NONE;
}

void vmm_parse(const char *const *words, unsigned cnt, struct vmm *v)
{
	memset(v, 0, sizeof(*v));
	/* in front of it may stand sudo, taskset and their like */
	while (cnt && (v->kind = kind_of(words[0])) == VMM_NONE) {
		words++;
		cnt--;
	}
	if (!cnt)
		return;
	snprintf(v->name, sizeof(v->name), "%s", base_name(words[0]));
	if (v->kind == VMM_QEMU)
		parse_qemu(words, cnt, v);
	else if (v->kind == VMM_CLOUD_HYPERVISOR)
		parse_cloud_hypervisor(words, cnt, v);
	else
		v->shared = v->vhost_user = true;
	if (v->shared)
		v->culprit[0] = v->remedy[0] = '\0';
}

/* --------------------------------------------------------------------- sources */

/* The next word of a shell's line, written to *@to. Return: 1; 0: there is none; -EINVAL. */
static int next_word(const char **from, char **to)
{
	const char *s = *from;
	char quote = 0;

	while (*s && (strchr(" \t\n\r", *s) || (*s == '\\' && s[1] == '\n')))
		s += *s == '\\' ? 2 : 1;
	if (!*s)
		return 0;
	for (; *s && (quote || !strchr(" \t\n\r", *s)); s++) {
		if (quote ? *s == quote : *s == '\'' || *s == '"')
			quote = quote ? 0 : *s;
		else if (*s == '\\' && quote != '\'' && s[1] == '\n')
			s++;
		else if (*s == '\\' && quote != '\'' && s[1])
			*(*to)++ = *++s;
		else
			*(*to)++ = *s;
	}
	*(*to)++ = '\0';
	*from = s;
	return quote ? -EINVAL : 1;
}

int vmm_of_text(const char *text, struct vmm *v)
{
	/* each word is at most as long as its source, and its NUL takes the place of a blank */
	char *buf = malloc(strlen(text) + 2), *to = buf;
	const char **words = calloc(VMM_WORDS_MAX, sizeof(*words));
	unsigned cnt = 0;
	int ret = buf && words ? 1 : -ENOMEM;

	while (ret > 0) {
		const char *word = to;

		ret = next_word(&text, &to);
		if (ret > 0 && cnt == VMM_WORDS_MAX)
			ret = -EINVAL;
		if (ret > 0)
			words[cnt++] = word;
	}
	if (!ret)
		vmm_parse(words, cnt, v);
	free(words);
	free(buf);
	return ret;
}

int vmm_of_pid(int pid, struct vmm *v)
{
	char path[64], *buf = malloc(CMDLINE_MAX);
	const char **words = calloc(VMM_WORDS_MAX, sizeof(*words));
	unsigned cnt = 0;
	int len = -ENOMEM;

	snprintf(path, sizeof(path), "/proc/%d/cmdline", pid);
	if (buf && words)
		len = read_text(path, buf, CMDLINE_MAX);
	for (int at = 0; at < len && cnt < VMM_WORDS_MAX; at += (int)strlen(buf + at) + 1)
		words[cnt++] = buf + at;
	if (len >= 0)
		vmm_parse(words, cnt, v);
	free(words);
	free(buf);
	return len < 0 ? len : 0;
}
