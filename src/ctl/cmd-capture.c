/* SPDX-License-Identifier: MIT */
/*
 * Commands about captures.
 *
 * A capture with a lifeline, a descriptor whose other end its client holds, ends with that client, and is
 * forgotten then. Others stay to be looked at, with the reason, until capture_stop.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/fd.h"
#include "ctl/command.h"

/**
 * struct session - A capture that has not ended
 * @watch, @lifeline: NULL and -1: none
 * @forget: nobody will ask for it when it has ended
 */
struct session {
	struct state *state;
	struct vmtap_capture *capture;
	struct vmtap_watch *watch;
	int lifeline;
	bool forget;
};

static void session_free(struct session *s)
{
	vmtap_watch_free(s->watch);
	fd_close(&s->lifeline);
	free(s);
}

static json_t *capture_data(const struct vmtap_capture *c)
{
	const struct vmtap_error *why = vmtap_capture_error(c);
	struct vmtap_capture_stats s;
	char line[1200];
	json_t *j;

	vmtap_capture_stats(c, &s, sizeof(s));
	j = json_pack("{ss,ss,sI,sI,sI,sI,sI}", "id", vmtap_capture_id(c), "port",
		      vmtap_capture_port(c), "seen", (json_int_t)s.seen, "filtered",
		      (json_int_t)s.filtered, "dropped", (json_int_t)s.dropped, "written",
		      (json_int_t)s.written, "bytes", (json_int_t)s.bytes);
	if (j && why) {
		vmtap_error_format(why, line, sizeof(line));
		json_object_set_new(j, "reason", text_json(line));
		json_object_set_new(j, "errno", json_integer(why->code));
	}
	return j;
}

static void on_ended(void *opaque, struct vmtap_capture *capture)
{
	struct session *s = opaque;

	ctl_event(s->state, "CAPTURE_ENDED", capture_data(capture));
	if (s->forget)
		vmtap_capture_stop(capture);
	session_free(s);
}

static void on_lifeline(void *opaque)
{
	struct session *s = opaque;

	vmtap_watch_free(s->watch);
	s->watch = NULL;
	s->forget = true;
	vmtap_capture_end(s->capture);
}

/* ------------------------------------------------------------------- starting */

/** struct targets - Descriptors of "fdnames", owned */
struct targets {
	int fds[VMTAP_CAPTURE_FILES_MAX];
	unsigned cnt;
};

/* They have their names again. */
static void return_targets(struct call *c, const json_t *names, struct targets *t)
{
	for (unsigned i = 0; i < t->cnt; i++)
		if (vmtap_add_fd(state_instance(c->state),
				 json_string_value(json_array_get(names, i)), t->fds[i], NULL) < 0)
			fd_close(&t->fds[i]);
	t->cnt = 0;
}

/* All of them, or none. */
static int take_targets(struct call *c, const json_t *names, struct targets *t,
			struct vmtap_error *err)
{
	if (json_array_size(names) > VMTAP_CAPTURE_FILES_MAX)
		return error_set(err, EINVAL, "capture_start", "take its descriptors",
				 "there are more than %d", VMTAP_CAPTURE_FILES_MAX);
	for (size_t i = 0; i < json_array_size(names); i++) {
		const char *name = json_string_value(json_array_get(names, i));
		int fd = name ? vmtap_take_fd(state_instance(c->state), name, err) : -EINVAL;

		if (!name)
			error_set(err, EINVAL, "capture_start", "take its descriptors",
				  "a name is no string");
		if (fd < 0) {
			return_targets(c, names, t);
			return fd;
		}
		t->fds[t->cnt++] = fd;
	}
	return 0;
}

static unsigned direction(const char *text)
{
	return strcmp(text, "in") == 0	  ? VMTAP_CAPTURE_RX
	       : strcmp(text, "out") == 0 ? VMTAP_CAPTURE_TX
					  : 0;
}

static struct session *new_session(struct call *c, const char *lifeline, struct vmtap_error *err)
{
	struct session *s = calloc(1, sizeof(*s));

	if (!s) {
		error_errno(err, ENOMEM, "capture_start", "start");
		return NULL;
	}
	s->state = c->state;
	s->lifeline = -1;
	if (!lifeline)
		return s;
	s->lifeline = vmtap_take_fd(state_instance(c->state), lifeline, err);
	if (s->lifeline >= 0)
		s->watch =
			vmtap_watch_new(state_instance(c->state), s->lifeline, on_lifeline, s, err);
	if (s->watch)
		return s;
	session_free(s);
	return NULL;
}

static struct vmtap_capture *start(struct call *c, const json_t *args, struct vmtap_port *port,
				   struct session *s, struct vmtap_error *err)
{
	struct targets targets = { 0 };
	struct vmtap_capture_config config = {
		.size = sizeof(config),
		.id = arg_str(args, "id", NULL),
		.path = arg_str(args, "filename", NULL),
		.fds = targets.fds,
		.file_cnt = (unsigned)arg_int(args, "files", 0),
		.file_bytes = (uint64_t)arg_int(args, "file-size", 0),
		.filter = arg_str(args, "filter", NULL),
		.snaplen = (uint32_t)arg_int(args, "snaplen", 0),
		.directions = direction(arg_str(args, "direction", "inout")),
		.segment = arg_bool(args, "segment", false),
		.limit = (uint64_t)arg_int(args, "count", 0),
		.buffer = (size_t)arg_int(args, "buffer", 0),
		.ended = on_ended,
		.opaque = s,
	};

	if (take_targets(c, json_object_get(args, "fdnames"), &targets, err) < 0)
		return NULL;
	config.fd_cnt = targets.cnt;
	return vmtap_capture_start(port, &config, err);
}

static json_t *capture_start(struct call *c, json_t *args, struct vmtap_error *err)
{
	struct vmtap_port *port =
		state_port_find(c->state, arg_str(args, "port", ""), "capture its frames", err);
	struct session *s;

	if (!port)
		return NULL;
	s = new_session(c, arg_str(args, "lifeline", NULL), err);
	if (!s)
		return NULL;
	s->capture = start(c, args, port, s, err);
	if (!s->capture) {
		session_free(s);
		return NULL;
	}
	s->forget = s->lifeline >= 0;
	return json_pack("{ss}", "id", vmtap_capture_id(s->capture));
}

/* ------------------------------------------------------------- ending, looking */

static json_t *capture_stop(struct call *c, json_t *args, struct vmtap_error *err)
{
	const char *id = arg_str(args, "id", "");
	const struct vmtap *v = state_instance(c->state);
	struct vmtap_capture *capture = NULL;
	struct session *s;

	while ((capture = vmtap_capture_next(v, capture)))
		if (strcmp(vmtap_capture_id(capture), id) == 0)
			break;
	if (!capture) {
		error_set(err, CTL_NO_DEVICE, "capture_stop", "end a capture",
			  "there is no capture \"%.100s\"", id);
		error_remedy(err, "query-captures lists what there is");
		return NULL;
	}
	s = vmtap_capture_opaque(capture);
	if (!s) { /* it has ended already */
		vmtap_capture_stop(capture);
		return json_object();
	}
	s->forget = true;
	vmtap_capture_end(capture);
	return json_object();
}

static json_t *query_captures(struct call *c, json_t *args, struct vmtap_error *err)
{
	const struct vmtap *v = state_instance(c->state);
	struct vmtap_capture *capture = NULL;
	json_t *list = json_array();

	while ((capture = vmtap_capture_next(v, capture))) {
		json_t *j = capture_data(capture);

		json_object_set_new(j, "running", json_boolean(!vmtap_capture_is_over(capture)));
		json_array_append_new(list, j);
	}
	return list;
}

/* --------------------------------------------------------------------- table */

static const struct command_arg start_args[] = {
	{ "port", ARG_STRING, true, .help = "the port whose frames are captured" },
	{ "id", ARG_STRING, .help = "the capture's name; without it, one is made up" },
	{ "filename", ARG_STRING,
	  .help = "a file that the server opens; what is there is overwritten" },
	{ "fdnames", ARG_ARRAY,
	  .help = "instead of that, names of files, pipes or sockets (getfd), which the capture "
		  "takes over; several are written in turn" },
	{ "lifeline", ARG_STRING,
	  .help = "the name of a descriptor (getfd), a pipe's end: the capture ends and is forgotten "
		  "when the other end is closed" },
	{ "filter", ARG_STRING, .help = "which frames, as in pcap-filter(7)" },
	{ "snaplen", ARG_INT, .max = VMTAP_FRAME_MAX, .help = "bytes kept of each; 0: all" },
	{ "direction", ARG_STRING, .choices = "in|out|inout",
	  .help = "seen from the port; default: inout" },
	{ "segment", ARG_BOOL,
	  .help = "frames that are still to be segmented are cut; default: kept whole, with a "
		  "comment" },
	{ "count", ARG_INT, .max = INT64_MAX, .help = "ends after so many frames; 0: does not" },
	{ "files", ARG_INT, .max = VMTAP_CAPTURE_FILES_MAX,
	  .help = "files to be written in turn, the oldest is overwritten" },
	{ "file-size", ARG_INT, .max = INT64_MAX, .factor = 1024,
	  .help = "bytes of each, 65536 or more" },
	{ "buffer", ARG_INT, .max = 1 << 30, .factor = 1024,
	  .help = "bytes that may wait for the disk, a power of two; default: 8 MiB for each queue "
		  "pair" },
	{ 0 },
};

static const struct command_arg stop_args[] = {
	{ "id", ARG_STRING, true, .help = "the capture" },
	{ 0 },
};

#define COUNTERS "seen, filtered (not wanted), dropped (the buffer was full), written, bytes"

const struct command capture_commands[] = {
	{
		.name = "capture_start",
		.role = ROLE_ADMIN,
		.summary = "Write a port's frames to a pcapng file, as they go by",
		.returns = "id: the capture's name",
		.args = start_args,
		.run = capture_start,
	},
	{
		.name = "capture_stop",
		.role = ROLE_ADMIN,
		.summary = "End a capture; CAPTURE_ENDED follows when all is written",
		.args = stop_args,
		.run = capture_stop,
	},
	{
		.name = "query-captures",
		.role = ROLE_READ,
		.summary = "The captures, the newest first",
		.returns = "an array of objects with id, port, running, " COUNTERS
			   ", and reason when an error ended it",
		.run = query_captures,
	},
	{ 0 },
};
