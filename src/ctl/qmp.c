/* SPDX-License-Identifier: MIT */
/* QMP, from a document to its answer. */
#include "ctl/qmp.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define OBJECT "control"
#define READ "read the request"

json_t *qmp_version(void)
{
	return json_pack("{s{si,si,si},s{si,si,si},ss}", "qemu", "major", QMP_QEMU_MAJOR, "minor",
			 QMP_QEMU_MINOR, "micro", 0, "vmtap", "major", VMTAP_VERSION_MAJOR, "minor",
			 VMTAP_VERSION_MINOR, "micro", VMTAP_VERSION_PATCH, "package",
			 "vmtap " VMTAP_VERSION);
}

json_t *qmp_greeting(void)
{
	return json_pack("{s{so,s[]}}", "QMP", "version", qmp_version(), "capabilities");
}

char *qmp_text(json_t *j, size_t *len)
{
	char *text = j ? json_dumps(j, JSON_COMPACT) : NULL, *longer;

	if (!text)
		return NULL;
	*len = strlen(text) + 2;
	longer = realloc(text, *len + 1);
	if (!longer) {
		free(text);
		return NULL;
	}
	strcpy(longer + *len - 2, "\r\n");
	return longer;
}

static json_t *error_of(const char *class, const struct vmtap_error *err)
{
	char line[1200];

	vmtap_error_format(err, line, sizeof(line));
	return json_pack("{s{ss,so}}", "error", "class", class, "desc", text_json(line));
}

json_t *qmp_error(const struct vmtap_error *err)
{
	return error_of(err->code == CTL_NO_DEVICE ? "DeviceNotFound" : "GenericError", err);
}

json_t *qmp_refusal(enum stream_item what)
{
	struct vmtap_error err = { 0 };

	switch (what) {
	case STREAM_TOO_LONG:
		error_set(&err, EMSGSIZE, OBJECT, READ, "it is longer than %d bytes",
			  STREAM_DOC_MAX);
		break;
	case STREAM_TOO_DEEP:
		error_set(&err, EINVAL, OBJECT, READ, "it is nested deeper than %d",
			  STREAM_DEPTH_MAX);
		break;
	case STREAM_NONE:
	case STREAM_DOC:
	case STREAM_BAD:
		error_set(&err, EINVAL, OBJECT, READ, "it is no JSON object");
		error_remedy(&err, "send {\"execute\":\"query-commands\"}");
	}
	return qmp_error(&err);
}

/* ------------------------------------------------------------------ negotiating */

static json_t *not_found(const char *name, const char *reason, const char *remedy)
{
	struct vmtap_error err = { 0 };

	error_set(&err, ENOENT, OBJECT, "run the command", "\"%.60s\" %s", name, reason);
	error_remedy(&err, "%s", remedy);
	return error_of("CommandNotFound", &err);
}

static json_t *negotiate(struct qmp *q, const json_t *args)
{
	struct vmtap_error err = { 0 };
	const json_t *enable = json_object_get(args, "enable");

	if (q->ready)
		return not_found("qmp_capabilities", "was sent already", "send other commands");
	if (json_object_size(args) > (enable ? 1u : 0u) || (enable && !json_is_array(enable))) {
		error_set(&err, EINVAL, "qmp_capabilities", "read its arguments",
			  "they are no more than \"enable\", an array");
		return qmp_error(&err);
	}
	if (json_array_size(enable)) {
		error_set(&err, EINVAL, "qmp_capabilities", "enable them",
			  "this server has no optional capabilities");
		return qmp_error(&err);
	}
	q->ready = true;
	return json_pack("{s{}}", "return");
}

/* ------------------------------------------------------------------ commands */

static json_t *run(struct qmp *q, struct call *c, const char *name, json_t *args)
{
	const struct command *cmd = command_find(name);
	struct vmtap_error err = { 0 };
	json_t *answer;

	if (strcmp(name, "qmp_capabilities") == 0)
		return negotiate(q, args);
	if (!q->ready)
		return not_found(name, "came before capabilities were negotiated",
				 "send {\"execute\":\"qmp_capabilities\"} first");
	if (!cmd)
		return not_found(name, "is no command", "query-commands lists them");
	answer = command_run(cmd, c, args, &err);
	return answer ? json_pack("{so}", "return", answer) : qmp_error(&err);
}

static int refuse(struct vmtap_error *err, const char *member, const char *reason)
{
	error_set(err, EINVAL, OBJECT, READ, "\"%.60s\" %s", member, reason);
	error_remedy(err, "a request is {\"execute\":\"NAME\",\"arguments\":{...},\"id\":...}");
	return -EINVAL;
}

/* Is it a request? */
static int check(json_t *doc, struct vmtap_error *err)
{
	const char *name;
	json_t *value;

	json_object_foreach(doc, name, value)
	{
		if (strcmp(name, "execute") == 0) {
			if (!json_is_string(value))
				return refuse(err, name, "is no string");
		} else if (strcmp(name, "arguments") == 0) {
			if (!json_is_object(value))
				return refuse(err, name, "is no object");
		} else if (strcmp(name, "id") != 0) {
			return refuse(err, name, "is no member of a request");
		}
	}
	return json_object_get(doc, "execute") ? 0 : refuse(err, "execute", "is missing");
}

json_t *qmp_answer(struct qmp *q, struct call *c, const char *text, size_t len)
{
	struct vmtap_error err = { 0 };
	json_error_t why;
	json_t *doc = json_loadb(text, len, JSON_REJECT_DUPLICATES, &why);
	json_t *answer, *id;

	if (!doc) {
		error_set(&err, EINVAL, OBJECT, READ, "it is no JSON: line %d, column %d: %s",
			  why.line, why.column, why.text);
		return qmp_error(&err);
	}
	if (!json_is_object(doc))
		answer = qmp_refusal(STREAM_BAD);
	else if (check(doc, &err) < 0)
		answer = qmp_error(&err);
	else
		answer = run(q, c, json_string_value(json_object_get(doc, "execute")),
			     json_object_get(doc, "arguments"));
	id = json_object_get(doc, "id");
	if (answer && id)
		json_object_set(answer, "id", id);
	json_decref(doc);
	return answer;
}
