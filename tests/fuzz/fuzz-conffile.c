/* SPDX-License-Identifier: MIT */
/*
 * Fuzzes the parser of the configuration file of `vmtap serve`.
 *
 * Besides not crashing, it must hold that
 *   - an error has a code, and an object that begins with the file;
 *   - what was accepted, written out again, is accepted and means the same.
 */
#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/conffile.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void write_out(const struct conffile *f, FILE *out)
{
	static const char *const kinds[] = { [CONFFILE_SERVE] = "serve",
					     [CONFFILE_PORT] = "port",
					     [CONFFILE_SWITCH] = "switch",
					     [CONFFILE_LINK] = "link" };

	for (unsigned i = 0; i < f->section_cnt; i++) {
		const struct conffile_section *s = &f->sections[i];

		fprintf(out, "[%s %s]\n", kinds[s->kind], s->name);
		for (unsigned k = s->key_cnt; k-- > 0;)
			fprintf(out, "%s = \"%s\"\n", s->keys[k].name, s->keys[k].value);
	}
}

static void check_same(const struct conffile *a, const struct conffile *b)
{
	assert(a->section_cnt == b->section_cnt && a->join_cnt == b->join_cnt);
	for (unsigned i = 0; i < a->section_cnt; i++)
		assert(!a->sections[i].spec || conffile_has(b, &a->sections[i]));
	for (unsigned i = 0; i < a->join_cnt; i++)
		assert(conffile_joins(b, a->joins[i].port, a->joins[i].to));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct vmtap_error err = { 0 };
	struct conffile *f = conffile_parse("f", (const char *)data, size, &err), *again;
	char *text = NULL;
	size_t len = 0;
	FILE *out;

	if (!f) {
		assert(err.code == EINVAL && strncmp(err.object, "f:", 2) == 0 && *err.reason);
		return 0;
	}
	out = open_memstream(&text, &len);
	if (!out)
		abort();
	write_out(f, out);
	fclose(out);
	again = conffile_parse("f", text, len, NULL);
	assert(again);
	check_same(f, again);
	conffile_free(again);
	conffile_free(f);
	free(text);
	return 0;
}
