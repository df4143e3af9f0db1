/* SPDX-License-Identifier: MIT */
/*
 * Log lines on stderr, for people or as JSON.
 *
 * A line is one write(2): whole among other writers' lines, nothing buffered
 * that could be lost, and a full disk or a closed stderr costs nothing but the line.
 */
#include <jansson.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli/cli.h"

#define LINE_SIZE 2048

static const char *const level_names[] = {
	[VMTAP_LOG_ERROR] = "error",
	[VMTAP_LOG_WARNING] = "warning",
	[VMTAP_LOG_INFO] = "info",
	[VMTAP_LOG_DEBUG] = "debug",
};

static void put(const char *line, size_t len)
{
	(void)!write(STDERR_FILENO, line, len);
}

/* Whole, however long: a piece of an object is of no use to anybody. */
static void put_json(json_t *object)
{
	char *text = object ? json_dumps(object, JSON_COMPACT) : NULL;
	size_t len = text ? strlen(text) : 0;

	json_decref(object);
	if (!text)
		return;
	text[len] = '\n'; /* instead of its NUL */
	put(text, len + 1);
	free(text);
}

/* A text that was cut to fit may have lost a part of a character, which JSON does not take. */
static json_t *json_text(const char *text)
{
	json_t *j = json_string(text);
	char *ascii = j ? NULL : strdup(text);

	for (char *c = ascii; c && *c; c++)
		if ((unsigned char)*c >= 0x80)
			*c = '?';
	if (ascii)
		j = json_string(ascii);
	free(ascii);
	return j;
}

static json_t *json_line(enum vmtap_log_level level)
{
	char stamp[64];
	struct timespec now;
	struct tm tm;
	size_t len;

	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &tm);
	len = strftime(stamp, sizeof(stamp), "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(stamp + len, sizeof(stamp) - len, ".%03ldZ", now.tv_nsec / 1000000);
	return json_pack("{ss,ss}", "time", stamp, "level", level_names[level]);
}

void log_line(void *opaque, enum vmtap_log_level level, const char *object, const char *msg)
{
	const struct cli *cli = opaque;
	const char *prefix = level == VMTAP_LOG_WARNING ? "warning: " : "";
	char line[LINE_SIZE];
	int len;

	if (level > cli->log_level)
		return;
	if (cli->json) {
		json_t *j = json_line(level);

		if (object[0])
			json_object_set_new(j, "port", json_text(object));
		json_object_set_new(j, "message", json_text(msg));
		put_json(j);
		return;
	}
	len = snprintf(line, sizeof(line), "vmtap: %s%s%s%s\n", prefix, object,
		       object[0] ? ": " : "", msg);
	put(line, len < (int)sizeof(line) ? (size_t)len : sizeof(line) - 1);
}

void log_failure(const struct cli *cli, const struct vmtap_error *err)
{
	char line[LINE_SIZE], text[LINE_SIZE - 16];
	int len;

	if (cli->json) {
		json_t *j = json_line(VMTAP_LOG_ERROR);

		json_object_set_new(j, "object", json_text(err->object));
		json_object_set_new(j, "action", json_text(err->action));
		json_object_set_new(j, "reason", json_text(err->reason));
		if (err->remedy[0])
			json_object_set_new(j, "remedy", json_text(err->remedy));
		json_object_set_new(j, "errno", json_integer(err->code));
		put_json(j);
		return;
	}
	vmtap_error_format(err, text, sizeof(text));
	len = snprintf(line, sizeof(line), "vmtap: %s\n", text);
	put(line, len < (int)sizeof(line) ? (size_t)len : sizeof(line) - 1);
}
