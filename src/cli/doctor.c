/* SPDX-License-Identifier: MIT */
/* `vmtap doctor`: what the library found, for people and for programs. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"

#define INDENT 11 /* of what stands under a finding's severity */

static const char *const severities[] = {
	[VMTAP_FINDING_OK] = "ok",
	[VMTAP_FINDING_NOTE] = "note",
	[VMTAP_FINDING_WARNING] = "warning",
	[VMTAP_FINDING_ERROR] = "error",
};

#define SEVERITY_CNT (sizeof(severities) / sizeof(severities[0]))

/* Findings, kept until all are known: they come in the order of checks. */
struct report {
	json_t *rows;
	unsigned cnt[SEVERITY_CNT];
};

static void found(void *opaque, const struct vmtap_finding *f)
{
	struct report *r = opaque;

	r->cnt[f->severity]++;
	json_array_append_new(r->rows,
			      json_pack("{ss,ss,ss,ss,ss,ss}", "severity", severities[f->severity],
					"check", f->check, "object", f->object, "what", f->what,
					"why", f->why, "remedy", f->remedy));
}

/* ---------------------------------------------------------------------- people */

static const char *get(json_t *row, const char *key)
{
	const char *text = json_string_value(json_object_get(row, key));

	return text ? text : "";
}

static bool is_shown(const struct cli *cli, json_t *row)
{
	return strcmp(get(row, "severity"), severities[VMTAP_FINDING_OK]) != 0 ||
	       cli->log_level > VMTAP_LOG_WARNING;
}

static void print_row(json_t *row)
{
	printf("  %-8s ", get(row, "severity"));
	wrap(stdout, get(row, "what"), INDENT);
	if (get(row, "why")[0]) {
		printf("%*s", INDENT, "");
		wrap(stdout, get(row, "why"), INDENT);
	}
	if (get(row, "remedy")[0])
		printf("%*s%s\n", INDENT + 4, "", get(row, "remedy"));
}

/* Everything about the object of row @first, unless an earlier row had it. */
static void print_object(const struct cli *cli, json_t *rows, size_t first)
{
	const char *object = get(json_array_get(rows, first), "object");
	bool titled = false;

	for (size_t i = 0; i < json_array_size(rows); i++) {
		json_t *row = json_array_get(rows, i);

		if (strcmp(get(row, "object"), object) != 0)
			continue;
		if (i < first)
			return;
		if (!is_shown(cli, row))
			continue;
		if (!titled)
			printf("%s\n", object);
		titled = true;
		print_row(row);
	}
}

static void print_count(const struct report *r, enum vmtap_severity severity, const char *what,
			bool *any)
{
	unsigned cnt = r->cnt[severity];

	if (!cnt)
		return;
	printf("%s%u %s%s", *any ? ", " : "", cnt, what, cnt == 1 ? "" : "s");
	*any = true;
}

static void print_report(const struct cli *cli, const struct report *r)
{
	bool any = false;

	for (size_t i = 0; i < json_array_size(r->rows); i++)
		print_object(cli, r->rows, i);
	print_count(r, VMTAP_FINDING_ERROR, "error", &any);
	print_count(r, VMTAP_FINDING_WARNING, "warning", &any);
	if (!any)
		printf("nothing stands in the way");
	any = true;
	print_count(r, VMTAP_FINDING_NOTE, "note", &any);
	printf("; %u fine%s\n", r->cnt[VMTAP_FINDING_OK],
	       cli->log_level > VMTAP_LOG_WARNING ? "" : " (-v shows what)");
}

/* --------------------------------------------------------------------- command */

/* The library's name for the target; owned. NULL: out of memory. *@ret: of wrong usage. */
static char *target_of(const struct cli *cli, int argc, char **argv, int *ret)
{
	char *target = NULL;
	int given = (cli->pid != NULL) + (cli->cmdline != NULL) + argc;

	*ret = EXIT_OK;
	if (given > 1) {
		fprintf(stderr, "vmtap: doctor takes one bridge or port, or --pid, or --cmdline\n");
		*ret = EXIT_USAGE;
	} else if (cli->pid) {
		given = asprintf(&target, "pid:%s", cli->pid);
	} else if (cli->cmdline) {
		given = asprintf(&target, "cmdline:%s", cli->cmdline);
	} else if (argc) {
		target = strdup(argv[0]);
	}
	if (!target && given && !*ret)
		*ret = EXIT_FAILED;
	return target;
}

static int exit_code(int worst)
{
	return worst >= VMTAP_FINDING_ERROR	? EXIT_RESOURCE
	       : worst == VMTAP_FINDING_WARNING ? EXIT_FAILED
						: EXIT_OK;
}

int cmd_doctor(const struct cli *cli, int argc, char **argv)
{
	struct vmtap_error err = { 0 };
	struct report r = { 0 };
	int ret, worst;
	char *target = target_of(cli, argc, argv, &ret);

	if (ret)
		return ret;
	r.rows = json_array();
	worst = vmtap_doctor(target, found, &r, &err);
	if (worst < 0) {
		log_failure(cli, &err);
	} else if (cli->json_output) {
		json_dumpf(r.rows, stdout, JSON_INDENT(2));
		putchar('\n');
	} else {
		print_report(cli, &r);
	}
	json_decref(r.rows);
	free(target);
	return worst < 0 ? exit_code_of(&err) : exit_code(worst);
}
