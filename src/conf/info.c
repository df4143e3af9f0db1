/* SPDX-License-Identifier: MIT */
/*
 * A schema's keys, described to users of the library.
 *
 * Ownership
 *   The strings that we make up live as long as the program: each is kept once, in a list that
 *   only grows, however often it is asked for. The rest comes from the schema, which is static.
 */
#include "conf/parse.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct kept {
	struct kept *next;
	char text[];
};

static pthread_mutex_t kept_lock = PTHREAD_MUTEX_INITIALIZER;
static struct kept *kept_texts;

static const char *find_kept(const char *text)
{
	for (struct kept *k = kept_texts; k; k = k->next) {
		if (strcmp(k->text, text) == 0)
			return k->text;
	}
	return NULL;
}

/* A copy of @text for the life of the program; NULL without memory. */
static const char *keep(const char *text)
{
	const char *found;

	pthread_mutex_lock(&kept_lock);
	found = find_kept(text);
	if (!found) {
		struct kept *k = malloc(sizeof(*k) + strlen(text) + 1);

		if (k) {
			strcpy(k->text, text);
			k->next = kept_texts;
			kept_texts = k;
			found = k->text;
		}
	}
	pthread_mutex_unlock(&kept_lock);
	return found;
}

static struct vmtap_key_info key_info(const struct conf_key *key)
{
	char buf[256];
	struct text t = text_init(buf, sizeof(buf));
	const char *kind;

	value_kind(key, &t);
	kind = keep(buf);
	return (struct vmtap_key_info) {
		.name = key->name,
		.kind = kind ? kind : "",
		.unit = key->unit ? key->unit : "",
		.def = key->def ? key->def : "",
		.help = key->help ? key->help : "",
		.required = key->flags & CONF_REQUIRED,
		.live = key->flags & CONF_LIVE,
	};
}

unsigned conf_key_infos(const struct conf_schema *schema, struct vmtap_key_info *out, unsigned max)
{
	unsigned cnt = 0;

	for (const struct conf_key *key = schema->keys; key->name; key++) {
		if (key->flags & CONF_HIDDEN)
			continue;
		if (cnt < max)
			out[cnt] = key_info(key);
		cnt++;
	}
	if (cnt < max)
		out[cnt] = key_info(&conf_common_keys[0]);
	return cnt + 1;
}

unsigned conf_common_infos(struct vmtap_key_info *out, unsigned max)
{
	for (unsigned i = 0; i < conf_common_cnt && i < max; i++)
		out[i] = key_info(&conf_common_keys[i]);
	return conf_common_cnt;
}
