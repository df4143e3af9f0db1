/* SPDX-License-Identifier: MIT */
/* Captures: the hook that copies frames, and a capture's life. */
#include "filter/capture.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/container.h"
#include "base/fd.h"
#include "base/iov.h"
#include "filter/capture-int.h"

#define ACTION "capture its frames"
#define BUFFER_DEFAULT (8u << 20)
#define BUFFER_MAX ((size_t)1 << 30)
/** Records that one round of the writer sorts. */
#define REFS 4096u

_Static_assert(VMTAP_CAPTURE_RX == 1u << PORT_RX && VMTAP_CAPTURE_TX == 1u << PORT_TX, "one order");

/* --------------------------------------------------------------------- hook */

static unsigned admit(struct port_hook *h, struct port_lane *l, enum port_way way,
		      const struct vmtap_frame *frames, unsigned cnt, enum port_verdict *verdict)
{
	struct capture *c = container_of(h, struct capture, hook);
	struct capture_lane *lane = &c->lanes[l->index];

	if (c->directions & 1u << way) {
		lane->enter_ns[way] = clock_ns();
		lane->enter_seq[way] = lane->seq++;
	}
	return cnt;
}

static uint32_t kept_len(const struct capture *c, const struct vmtap_frame *frame)
{
	if (c->segment && frame->hdr.gso_type != VMTAP_GSO_NONE)
		return frame->len; /* each segment is cut later */
	return c->snaplen && c->snaplen < frame->len ? c->snaplen : frame->len;
}

static void keep(struct capture *c, struct capture_lane *lane, enum port_way way,
		 const struct vmtap_frame *frame)
{
	const uint32_t len = kept_len(c, frame);
	uint32_t have = 0;
	struct caprec *rec;

	if (c->expr)
		have = frame->len < CAPTURE_LOOK ? frame->len : CAPTURE_LOOK;
	rec = capring_room(&lane->ring, len > have ? len : have);
	if (c->expr) {
		uint8_t *to = rec ? rec->data : lane->look;

		have = (uint32_t)iov_read(frame->iov, frame->iov_cnt, 0, to, have);
		if (!expr_match(c->expr, to, have, frame->len)) {
			capture_count(&lane->filtered, 1);
			return;
		}
	}
	if (!rec) {
		lane->lost++;
		capture_count(&lane->dropped, 1);
		return;
	}
	if (len > have)
		iov_read(frame->iov, frame->iov_cnt, have, rec->data + have, len - have);
	rec->ts_ns = lane->enter_ns[way];
	rec->seq = lane->enter_seq[way];
	rec->len = frame->len;
	rec->lost = lane->lost;
	rec->hdr = frame->hdr;
	rec->way = (uint8_t)way;
	lane->lost = 0;
	capring_put(&lane->ring, rec, len);
}

static void passed(struct port_hook *h, struct port_lane *l, enum port_way way,
		   const struct vmtap_frame *frames, unsigned cnt)
{
	struct capture *c = container_of(h, struct capture, hook);
	struct capture_lane *lane = &c->lanes[l->index];

	if (!(c->directions & 1u << way) || !atomic_load_explicit(&c->active, memory_order_relaxed))
		return;
	if (!lane->enter_ns[way]) /* it began while they were on their way */
		return;
	capture_count(&lane->seen, cnt);
	for (unsigned i = 0; i < cnt; i++)
		keep(c, lane, way, &frames[i]);
	capring_publish(&lane->ring);
	capture_wake(c);
}

static const struct port_hook_ops hook_ops = { .admit = admit, .passed = passed };

/* Either the writer sees what was published before it sleeps, or this sees that it sleeps: both are in
 * one order with all others. */
void capture_wake(struct capture *c)
{
	if (atomic_load(&c->asleep) && atomic_exchange(&c->asleep, false))
		eventfd_write(c->wake_fd, 1);
}

/* ------------------------------------------------------------------ outputs */

static char *file_name(const char *path, unsigned index, unsigned cnt)
{
	char *name = NULL;
	int width = cnt > 10 ? 2 : 1;

	if (cnt <= 1)
		return strdup(path);
	return asprintf(&name, "%s%0*u", path, width, index) < 0 ? NULL : name;
}

static void cannot_open(int code, const char *name, const char *object, struct vmtap_error *err)
{
	error_set(err, code, object, ACTION, "%.200s: %s", name,
		  code == ENXIO ? "nobody reads it" : strerror(code));
	switch (code) {
	case ENXIO:
		error_remedy(err, "start what reads it first");
		break;
	case ENOENT:
	case ENOTDIR:
		error_remedy(err, "create the folder or choose another path");
		break;
	case EISDIR:
		error_remedy(err, "add the name of a file in it");
		break;
	case EACCES:
	case EPERM:
	case EROFS:
		error_remedy(err, "choose a path that user %u may write to", geteuid());
		break;
	default:
		break;
	}
}

/* All of a ring's files at once: what cannot be opened is known in the beginning. */
static int open_files(const char *path, int *fds, unsigned cnt, const char *object,
		      struct vmtap_error *err)
{
	for (unsigned i = 0; i < cnt; i++) {
		char *name = file_name(path, i, cnt);
		int code = ENOMEM;

		if (name) {
			fds[i] = open(name,
				      O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOCTTY |
					      O_NONBLOCK,
				      0644);
			code = errno;
		}
		if (fds[i] < 0)
			cannot_open(code, name ? name : path, object, err);
		free(name);
		if (fds[i] < 0)
			return -code;
	}
	return 0;
}

static void remove_unused(const struct capture *c)
{
	for (unsigned i = c->file.used; c->path && i < c->file.config.cnt; i++) {
		char *name = file_name(c->path, i, c->file.config.cnt);

		if (name)
			unlink(name);
		free(name);
	}
}

static int open_output(struct capture *c, const struct vmtap_capture_config *config, int *fds,
		       struct vmtap_error *err)
{
	const unsigned cnt = config->file_cnt ? config->file_cnt : 1;
	struct capfile_config file = {
		.fds = fds,
		.cnt = config->path ? cnt : config->fd_cnt,
		.max_bytes = config->file_bytes,
		.finish = capture_finish,
		.opaque = c,
		.hurry = &c->hurry,
	};
	int ret = 0;

	if (config->path)
		ret = open_files(config->path, fds, cnt, c->name, err);
	if (ret < 0)
		return ret;
	ret = capfile_init(&c->file, &file);
	for (unsigned i = 0; i < file.cnt; i++)
		fds[i] = -1;
	if (ret == -ESPIPE) {
		error_set(err, EINVAL, c->name, ACTION, "a ring of files has files only");
		error_remedy(err, "for a pipe or a socket, ask for one file");
		return -EINVAL;
	}
	return ret < 0 ? error_errno(err, -ret, c->name, ACTION) : 0;
}

/* ------------------------------------------------------------------- starting */

static int check(const struct vmtap_capture_config *config, const char *object,
		 struct vmtap_error *err)
{
	const unsigned cnt = config->path ? config->file_cnt : config->fd_cnt;

	if (!config->path == !config->fd_cnt) {
		error_set(err, EINVAL, object, ACTION,
			  "it goes either to a path or to descriptors");
		error_remedy(err, "name a file, or hand descriptors over");
		return -EINVAL;
	}
	if (cnt > VMTAP_CAPTURE_FILES_MAX)
		return error_set(err, EINVAL, object, ACTION, "%u files are more than %d", cnt,
				 VMTAP_CAPTURE_FILES_MAX);
	if (cnt > 1 && config->file_bytes < 65536)
		return error_set(err, EINVAL, object, ACTION,
				 "files of a ring have 65536 bytes or more, not %llu",
				 (unsigned long long)config->file_bytes);
	if (cnt <= 1 && config->file_bytes) {
		error_set(err, EINVAL, object, ACTION,
			  "a limit of a file's length needs a number of files, 2 or more");
		error_remedy(err, "give both, or end the capture after a number of frames");
		return -EINVAL;
	}
	if (config->directions & ~(VMTAP_CAPTURE_RX | VMTAP_CAPTURE_TX))
		return error_set(err, EINVAL, object, ACTION, "unknown directions 0x%x",
				 config->directions);
	if (config->buffer && (config->buffer < CAPRING_MIN || config->buffer > BUFFER_MAX ||
			       (config->buffer & (config->buffer - 1))))
		return error_set(err, EINVAL, object, ACTION,
				 "a buffer of %zu bytes is no power of two of 256 KiB to 1 GiB",
				 config->buffer);
	return 0;
}

static int make_lanes(struct capture *c, size_t buffer)
{
	c->lane_cnt = c->port->pair_cnt;
	c->lanes = aligned_alloc(64, c->lane_cnt * sizeof(*c->lanes));
	if (!c->lanes)
		return -ENOMEM;
	memset(c->lanes, 0, c->lane_cnt * sizeof(*c->lanes));
	for (unsigned i = 0; i < c->lane_cnt; i++)
		if (capring_init(&c->lanes[i].ring, buffer ? buffer : BUFFER_DEFAULT,
				 i < c->port->lane_cnt) < 0)
			return -ENOMEM;
	return 0;
}

static int make_writer(struct capture *c)
{
	c->ref_max = REFS / c->lane_cnt > 64 ? REFS / c->lane_cnt : 64;
	c->refs = calloc((size_t)c->ref_max * c->lane_cnt, sizeof(*c->refs));
	c->scratch = malloc(VMTAP_FRAME_MAX);
	c->flat = malloc(VMTAP_FRAME_MAX);
	c->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (c->wake_fd < 0)
		return -errno;
	return c->refs && c->scratch && c->flat ? 0 : -ENOMEM;
}

static int start_thread(struct capture *c)
{
	sigset_t all, before;
	int code;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	code = pthread_create(&c->thread, NULL, capture_work, c);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (code)
		return -code;
	pthread_setname_np(c->thread, "vmtap-capture");
	c->started = true;
	return 0;
}

static void task_run(struct loop_task *t)
{
	struct capture *c = container_of(t, struct capture, task);

	capture_detach(c);
	if (c->error.code)
		log_error(c->env->log, VMTAP_LOG_WARNING, c->name, &c->error);
	c->ended(c->opaque);
}

static struct capture *new (struct port *p, const struct vmtap_capture_config *config)
{
	struct capture *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->hook.ops = &hook_ops;
	c->env = p->env;
	c->port = p;
	c->task.run = task_run;
	c->wake_fd = -1;
	c->name = strdup(p->name);
	c->filter = config->filter ? strdup(config->filter) : NULL;
	c->path = config->path ? strdup(config->path) : NULL;
	c->snaplen = config->snaplen;
	c->segment = config->segment;
	c->limit = config->limit;
	c->directions =
		config->directions ? config->directions : VMTAP_CAPTURE_RX | VMTAP_CAPTURE_TX;
	atomic_init(&c->active, true);
	if (c->name && !config->filter == !c->filter && !config->path == !c->path)
		return c;
	capture_free(c);
	return NULL;
}

/* All that can fail without a file being touched comes first. */
static int set_up(struct capture *c, const struct vmtap_capture_config *config, int *fds,
		  struct vmtap_error *err)
{
	int ret = check(config, c->name, err);

	if (ret == 0)
		ret = port_check_seen(c->port, port_peer(c->port), ACTION, err);
	if (ret == 0 && c->filter) {
		c->expr = expr_new(c->filter, c->name, err);
		ret = c->expr ? 0 : -EINVAL;
	}
	if (ret < 0)
		return ret;
	ret = make_lanes(c, config->buffer);
	if (ret == 0)
		ret = make_writer(c);
	if (ret < 0)
		return error_errno(err, -ret, c->name, ACTION);
	ret = open_output(c, config, fds, err);
	if (ret == 0)
		ret = port_hook_add(c->port, &c->hook, ACTION, err);
	if (ret < 0)
		return ret;
	ret = start_thread(c);
	return ret < 0 ? error_errno(err, -ret, c->name, ACTION) : 0;
}

static void take_fds(const struct vmtap_capture_config *config, int *fds)
{
	for (unsigned i = 0; i < VMTAP_CAPTURE_FILES_MAX; i++)
		fds[i] = i < config->fd_cnt ? config->fds[i] : -1;
	for (unsigned i = VMTAP_CAPTURE_FILES_MAX; i < config->fd_cnt; i++) {
		int fd = config->fds[i];

		fd_close(&fd);
	}
}

struct capture *capture_new(struct port *p, const struct vmtap_capture_config *config,
			    void (*ended)(void *opaque), void *opaque, struct vmtap_error *err)
{
	int fds[VMTAP_CAPTURE_FILES_MAX], ret = -ENOMEM;
	struct capture *c = new (p, config);

	take_fds(config, fds);
	if (c) {
		c->ended = ended;
		c->opaque = opaque;
		ret = set_up(c, config, fds, err);
	} else {
		error_errno(err, ENOMEM, p->name, ACTION);
	}
	for (unsigned i = 0; i < VMTAP_CAPTURE_FILES_MAX; i++)
		fd_close(&fds[i]);
	if (ret == 0)
		return c;
	capture_free(c);
	return NULL;
}

/* --------------------------------------------------------------------- ending */

void capture_detach(struct capture *c)
{
	struct port *p = c->port;

	if (!p)
		return;
	c->port = NULL;
	port_hook_del(p, &c->hook);
	/* the lanes were held still meanwhile: whatever they put is published */
	atomic_store(&c->hurry, true);
	capture_wake(c);
}

void capture_wait(struct capture *c)
{
	if (c->started && !c->joined)
		pthread_join(c->thread, NULL);
	c->joined = true;
	loop_task_del(c->env->loop, &c->task);
}

void capture_free(struct capture *c)
{
	if (!c)
		return;
	capture_detach(c);
	capture_wait(c);
	if (c->file.used)
		remove_unused(c);
	capfile_fini(&c->file);
	for (unsigned i = 0; c->lanes && i < c->lane_cnt; i++)
		capring_fini(&c->lanes[i].ring);
	fd_close(&c->wake_fd);
	expr_free(c->expr);
	free(c->lanes);
	free(c->refs);
	free(c->scratch);
	free(c->flat);
	free(c->name);
	free(c->filter);
	free(c->path);
	free(c);
}

/* ------------------------------------------------------------------- looking */

bool capture_is_over(const struct capture *c)
{
	return atomic_load(&c->over);
}

const struct vmtap_error *capture_error(const struct capture *c)
{
	return capture_is_over(c) && c->error.code ? &c->error : NULL;
}

void capture_stats(const struct capture *c, struct vmtap_capture_stats *stats)
{
	*stats = (struct vmtap_capture_stats) {
		.written = atomic_load_explicit(&c->written, memory_order_relaxed),
		.bytes = atomic_load_explicit(&c->bytes, memory_order_relaxed),
	};
	for (unsigned i = 0; i < c->lane_cnt; i++) {
		const struct capture_lane *lane = &c->lanes[i];

		/* the whole last: it has every part in it */
		stats->filtered += atomic_load_explicit(&lane->filtered, memory_order_acquire);
		stats->dropped += atomic_load_explicit(&lane->dropped, memory_order_acquire);
		stats->seen += atomic_load_explicit(&lane->seen, memory_order_relaxed);
	}
}
