/* SPDX-License-Identifier: MIT */
/*
 * vu-front-tool - a vhost-user front end that does as it is told.
 *
 * Model
 *   A line on stdin is a command: words, numbers as C has them, bytes in hex.
 *   The answer is a line of JSON: {"ok":true, ...}, or {"ok":false,"why":"..."}.
 *   Ends with its input. tests/lib/vu.py has the commands as functions.
 */
#include "vu-tool.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define WORDS_MAX 64
#define LINE_MAX_LEN (1u << 18)

static struct vuf f;
static char *words[WORDS_MAX];
static unsigned word_cnt;
static struct vuf_queue *vq;	 /* that the command is about */
static char extra[LINE_MAX_LEN]; /* what the answer says besides "ok" */

/* Words */

static uint64_t number(unsigned index)
{
	return index < word_cnt ? strtoull(words[index], NULL, 0) : 0;
}

/* the value of a word "key=value"; NULL: not there */
static const char *value(const char *key)
{
	size_t len = strlen(key);

	for (unsigned i = 1; i < word_cnt; i++)
		if (!strncmp(words[i], key, len) && words[i][len] == '=')
			return words[i] + len + 1;
	return NULL;
}

static uint64_t key_number(const char *key, uint64_t otherwise)
{
	const char *text = value(key);

	return text ? strtoull(text, NULL, 0) : otherwise;
}

/* Return: bytes */
static size_t unhex(const char *text, uint8_t *bytes, size_t max)
{
	size_t n = 0;
	unsigned byte;

	while (text && n < max && sscanf(text, "%2x", &byte) == 1) {
		bytes[n++] = (uint8_t)byte;
		text += text[1] ? 2 : 1;
	}
	return n;
}

static void say(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void say(const char *format, ...)
{
	size_t len = strlen(extra);
	va_list args;

	va_start(args, format);
	vsnprintf(extra + len, sizeof(extra) - len, format, args);
	va_end(args);
}

static void say_hex(const char *name, const uint8_t *bytes, size_t len)
{
	static const char digits[] = "0123456789abcdef";
	size_t at;

	say(",\"%s\":\"", name);
	at = strlen(extra);
	for (size_t i = 0; i < len && at + 4 < sizeof(extra); i++) {
		extra[at++] = digits[bytes[i] >> 4];
		extra[at++] = digits[bytes[i] & 15];
	}
	extra[at] = 0;
	say("\"");
}

/* Settings: "a,b,c" are the first pieces, "a,b*": b again and again */
static void read_layout(const char *text, struct vuf_layout *l)
{
	*l = (struct vuf_layout) { 0 };
	while (text && *text && l->cnt < 8) {
		char *end;

		l->sizes[l->cnt] = (uint32_t)strtoul(text, &end, 0);
		if (end == text)
			return;
		l->cnt++;
		l->repeat = *end == '*';
		text = *end ? end + 1 : end;
	}
}

static bool cmd_set(void)
{
	f.want = key_number("want", f.want);
	f.want_protocol = key_number("want-protocol", f.want_protocol);
	f.pairs = (unsigned)key_number("pairs", f.pairs);
	f.ring_size = (unsigned)key_number("ring-size", f.ring_size);
	f.indirect = key_number("indirect", f.indirect);
	f.no_kick_fd = key_number("no-kick", f.no_kick_fd);
	f.uncounted = key_number("uncounted", f.uncounted);
	f.no_call_fd = key_number("no-call", f.no_call_fd);
	f.need_reply = key_number("need-reply", f.need_reply);
	f.rx_len = (uint32_t)key_number("rx-len", f.rx_len);
	f.alloc_min = key_number("alloc-min", f.alloc_min);
	f.timeout_ms = (int)key_number("timeout-ms", (uint64_t)f.timeout_ms);
	if (value("rx-layout"))
		read_layout(value("rx-layout"), &f.rx_layout);
	if (value("tx-layout"))
		read_layout(value("tx-layout"), &f.tx_layout);
	return true;
}

/* The connection */

static bool cmd_connect(void)
{
	return vuf_connect(&f, words[1]);
}

static bool cmd_listen(void)
{
	return vuf_listen(&f, words[1]);
}

static bool cmd_accept(void)
{
	return vuf_accept(&f);
}

static bool cmd_disconnect(void)
{
	vuf_disconnect(&f);
	return true;
}

static bool cmd_closed(void)
{
	say(",\"closed\":%s", vuf_is_closed(&f, (int)number(1)) ? "true" : "false");
	return true;
}

static void say_msg(struct vuf_msg *m)
{
	say(",\"request\":%u,\"flags\":%u,\"size\":%u,\"fds\":%u", m->request, m->flags, m->size,
	    m->fd_cnt);
	say_hex("payload", m->bytes, m->size);
	while (m->fd_cnt)
		close(m->fds[--m->fd_cnt]);
}

/* msg REQUEST [payload=HEX] [size=N] [flags=N] [fds=N] [reply=1] */
static bool cmd_msg(void)
{
	static uint8_t bytes[12 + 65536];
	size_t len = unhex(value("payload"), bytes + 12, 65536);
	uint32_t head[3] = { (uint32_t)number(1), (uint32_t)key_number("flags", VUF_VERSION),
			     (uint32_t)key_number("size", len) };
	unsigned cnt = (unsigned)key_number("fds", 0);
	int fds[VUF_FDS_MAX];
	struct vuf_msg reply;
	bool ok;

	memcpy(bytes, head, sizeof(head));
	for (unsigned i = 0; i < cnt; i++)
		fds[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	ok = vuf_send_raw(&f, f.sock, bytes, 12 + len, fds, cnt);
	while (cnt)
		close(fds[--cnt]);
	if (!ok || !key_number("reply", 0))
		return ok;
	if (!vuf_recv_msg(&f, f.sock, &reply))
		return false;
	say_msg(&reply);
	return true;
}

static bool cmd_raw(void)
{
	static uint8_t bytes[65536];
	size_t len = unhex(word_cnt > 1 ? words[1] : "", bytes, sizeof(bytes));

	return vuf_send_raw(&f, f.sock, bytes, len, NULL, 0);
}

static bool cmd_channel(void)
{
	return vuf_backend_channel(&f);
}

static bool cmd_channel_read(void)
{
	struct vuf_msg m;

	if (!vuf_recv_msg(&f, f.backend, &m))
		return false;
	say_msg(&m);
	return true;
}

/* What is shared */

static bool cmd_negotiate(void)
{
	if (!vuf_negotiate(&f))
		return false;
	say(",\"offered\":%llu,\"features\":%llu,\"protocol_offered\":%llu,\"protocol\":%llu,"
	    "\"queue_max\":%llu",
	    (unsigned long long)f.offered, (unsigned long long)f.features,
	    (unsigned long long)f.protocol_offered, (unsigned long long)f.protocol,
	    (unsigned long long)f.queue_max);
	return true;
}

static bool cmd_features(void)
{
	return vuf_set_features(&f, key_number("log", 0));
}

/* mem SIZE [offset=N] [sealed=1] [gpa=N]: @gpa is what the back end will be told */
static bool cmd_mem(void)
{
	struct vuf_region *r = &f.regions[f.region_cnt];

	say(",\"region\":%u", f.region_cnt);
	if (!vuf_mem_make(&f, number(1), key_number("offset", 0), key_number("sealed", 0)))
		return false;
	r->gpa = key_number("gpa", r->gpa);
	return true;
}

static bool cmd_share(void)
{
	return vuf_mem_share(&f);
}

static bool cmd_mem_add(void)
{
	say(",\"gpa\":%llu", (unsigned long long)f.regions[number(1)].gpa);
	return vuf_mem_add(&f, (unsigned)number(1));
}

static bool cmd_mem_del(void)
{
	return vuf_mem_del(&f, (unsigned)number(1));
}

static bool cmd_shrink(void)
{
	return !ftruncate(f.regions[number(1)].fd, (off_t)number(2)) ||
	       vuf_fail(&f, "ftruncate: %s", strerror(errno));
}

/* take back all that is sent */
static bool take_back(struct vuf_queue *tx)
{
	while (vuf_reap(&f, tx), tx->q.out_cnt)
		if (vuf_wait(&f, &tx, 1, f.timeout_ms) <= 0)
			return vuf_fail(&f, "the device keeps a buffer");
	return true;
}

/* so that nothing older than the log is looked for in it */
static bool settle(void)
{
	for (unsigned i = 1; i < f.queue_cnt; i += 2)
		if (!take_back(&f.queues[i]))
			return false;
	return true;
}

static bool cmd_log_start(void)
{
	return settle() && vuf_log_start(&f);
}

static bool cmd_log_clear(void)
{
	if (!settle())
		return false;
	vuf_log_clear(&f);
	return true;
}

static bool cmd_log_count(void)
{
	say(",\"pages\":%llu", (unsigned long long)vuf_log_count(&f));
	return true;
}

static bool cmd_inflight_get(void)
{
	bool ok = vuf_inflight_get(&f);

	say(",\"size\":%llu", (unsigned long long)f.inflight_size);
	return ok;
}

static bool cmd_inflight_set(void)
{
	return vuf_inflight_set(&f);
}

/* Queues */

static bool cmd_queues(void)
{
	return vuf_queues_make(&f, (unsigned)number(1));
}

static bool cmd_start(void)
{
	return vuf_queue_start(&f, vq->index);
}

static bool cmd_stop(void)
{
	uint32_t base = 0;

	if (!vuf_queue_stop(&f, vq->index, &base))
		return false;
	say(",\"base\":%u,\"driver\":%u", base, vuf_queue_base(vq));
	return true;
}

static bool cmd_enable(void)
{
	return vuf_queue_enable(&f, vq->index, number(2));
}

static bool cmd_move(void)
{
	vuf_reap(&f, vq);
	return vuf_queue_move(&f, vq);
}

static bool cmd_addr(void)
{
	return vuf_queue_tell_addr(&f, vq->index, key_number("log", 0));
}

static bool cmd_post(void)
{
	say(",\"posted\":%u", vuf_post(&f, vq, (unsigned)number(2)));
	vuf_kick(&f, vq);
	return true;
}

static bool cmd_hold(void)
{
	vq->hold = number(2);
	return true;
}

static bool cmd_break(void)
{
	return vu_break(&f, vq, words[2]);
}

/* err QUEUE MS: did the device say that the ring is broken? */
static bool cmd_err(void)
{
	struct pollfd p = { .fd = vq->err, .events = POLLIN };

	say(",\"signalled\":%s", poll(&p, 1, (int)number(2)) == 1 ? "true" : "false");
	return true;
}

static bool cmd_kick(void)
{
	uint64_t one = 1;

	return write(vq->kick, &one, 8) == 8;
}

/* Frames */

/* send QUEUE HEX [hdr=HEX] */
static bool cmd_send(void)
{
	static uint8_t frame[VUF_FRAME_MAX];
	struct virtio_net_hdr_v1 hdr = { 0 };
	size_t len = unhex(words[2], frame, sizeof(frame));

	vuf_reap(&f, vq);
	unhex(value("hdr"), (uint8_t *)&hdr, sizeof(hdr));
	while (!vuf_send(&f, vq, &hdr, frame, (uint32_t)len)) {
		if (vuf_wait(&f, &vq, 1, f.timeout_ms) <= 0)
			return vuf_fail(&f, "the device does not take a frame");
		vuf_reap(&f, vq);
	}
	vuf_kick(&f, vq);
	return true;
}

/* burst QUEUE COUNT [size=N] [first=N]: numbered frames that are all there before the only kick, and until
 * all are used */
static bool cmd_burst(void)
{
	const struct flood d = {
		.min = (uint32_t)key_number("size", 60),
		.max = (uint32_t)key_number("size", 60),
		.first = (uint32_t)key_number("first", 0),
	};
	uint32_t cnt = (uint32_t)number(2);

	if (!take_back(vq))
		return false;
	for (uint32_t i = 0; i < cnt; i++)
		if (!vu_flood_send(&f, &d, vq, i))
			return vuf_fail(&f, "the ring has no room for %u frames", cnt);
	vuf_kick(&f, vq);
	return take_back(vq);
}

/* receive QUEUE MS */
static bool cmd_receive(void)
{
	struct vuf_frame frame;
	int got, left = (int)number(2);

	for (;;) {
		got = vuf_receive(&f, vq, &frame);
		if (got < 0)
			return false;
		if (got)
			break;
		got = left > 0 ? vuf_wait(&f, &vq, 1, left) : 0;
		if (got < 0)
			return vuf_fail(&f, "the back end has closed the connection");
		left = f.no_call_fd ? left - 1 : left;
		if (!got) {
			say(",\"frame\":null");
			return true;
		}
	}
	if (!vq->hold && vuf_post(&f, vq, vq->slot_cnt))
		vuf_kick(&f, vq);
	say_hex("hdr", (const uint8_t *)&frame.hdr, sizeof(frame.hdr));
	say(",\"chains\":%u", frame.chains);
	say_hex("frame", frame.data, frame.len);
	return true;
}

static bool cmd_reap(void)
{
	say(",\"reaped\":%u", vuf_reap(&f, vq));
	return true;
}

static bool cmd_ctrl(void)
{
	uint8_t command[4096], ack = 0xff;
	size_t len = unhex(words[2], command, sizeof(command));
	bool ok = vuf_ctrl(&f, vq, command, (uint32_t)len, &ack);

	say(",\"ack\":%u", ack);
	return ok;
}

static bool cmd_flood(void)
{
	struct flood d = {
		.pair = (unsigned)key_number("pair", 0),
		.tx = (uint32_t)key_number("tx", 0),
		.rx = (uint32_t)key_number("rx", 0),
		.first = (uint32_t)key_number("first", 0),
		.min = (uint32_t)key_number("min", 60),
		.max = (uint32_t)key_number("max", 60),
		.idle_ms = (int)key_number("idle-ms", 5000),
	};

	d.all = key_number("all", 0);
	d.change = value("change");
	d.every = (uint32_t)key_number("every", 100);
	if (2 * d.pair + 1 >= f.queue_cnt || d.max < d.min)
		return vuf_fail(&f, "no such queue pair, or sizes");
	f.why[0] = 0;
	vu_flood(&f, &d);
	say(",\"sent\":%u,\"received\":%u,\"lost\":%u,\"disordered\":%u,\"bad\":%u,\"chains\":%u,"
	    "\"waits\":%u,\"changes\":%u,\"refused\":%s,\"closed\":%s,\"said\":\"%s\"",
	    d.sent, d.received, d.lost, d.disordered, d.bad, d.chains, d.waits, d.changes,
	    d.refused ? "true" : "false", d.closed ? "true" : "false",
	    d.bad || d.refused ? f.why : "");
	return true;
}

static bool cmd_state(void)
{
	say(",\"guards_broken\":%llu,\"log_checked\":%llu,\"log_missing\":%llu,\"queues\":[",
	    (unsigned long long)f.guards_broken, (unsigned long long)f.log_checked,
	    (unsigned long long)f.log_missing);
	for (unsigned i = 0; i < f.queue_cnt; i++)
		say("%s{\"kicks\":%llu,\"calls\":%llu,\"free\":%u,\"out\":%u}", i ? "," : "",
		    (unsigned long long)f.queues[i].kicks, (unsigned long long)f.queues[i].calls,
		    f.queues[i].q.free_cnt, f.queues[i].q.out_cnt);
	say("]");
	return true;
}

static const struct {
	const char *name;
	unsigned words; /* at least, with the name */
	bool queue;	/* the first is a queue */
	bool (*run)(void);
} commands[] = {
	{ "set", 2, false, cmd_set },
	{ "connect", 2, false, cmd_connect },
	{ "listen", 2, false, cmd_listen },
	{ "accept", 1, false, cmd_accept },
	{ "disconnect", 1, false, cmd_disconnect },
	{ "closed", 2, false, cmd_closed },
	{ "msg", 2, false, cmd_msg },
	{ "raw", 1, false, cmd_raw },
	{ "channel", 1, false, cmd_channel },
	{ "channel-read", 1, false, cmd_channel_read },
	{ "negotiate", 1, false, cmd_negotiate },
	{ "features", 1, false, cmd_features },
	{ "mem", 2, false, cmd_mem },
	{ "share", 1, false, cmd_share },
	{ "mem-add", 2, false, cmd_mem_add },
	{ "mem-del", 2, false, cmd_mem_del },
	{ "shrink", 3, false, cmd_shrink },
	{ "log-start", 1, false, cmd_log_start },
	{ "log-clear", 1, false, cmd_log_clear },
	{ "log-count", 1, false, cmd_log_count },
	{ "inflight-get", 1, false, cmd_inflight_get },
	{ "inflight-set", 1, false, cmd_inflight_set },
	{ "queues", 2, false, cmd_queues },
	{ "start", 2, true, cmd_start },
	{ "stop", 2, true, cmd_stop },
	{ "enable", 3, true, cmd_enable },
	{ "move", 2, true, cmd_move },
	{ "addr", 2, true, cmd_addr },
	{ "post", 3, true, cmd_post },
	{ "hold", 3, true, cmd_hold },
	{ "break", 3, true, cmd_break },
	{ "err", 3, true, cmd_err },
	{ "kick", 2, true, cmd_kick },
	{ "send", 3, true, cmd_send },
	{ "burst", 3, true, cmd_burst },
	{ "receive", 3, true, cmd_receive },
	{ "reap", 2, true, cmd_reap },
	{ "ctrl", 3, true, cmd_ctrl },
	{ "flood", 2, false, cmd_flood },
	{ "state", 1, false, cmd_state },
};

static bool run(void)
{
	for (unsigned i = 0; word_cnt && i < sizeof(commands) / sizeof(commands[0]); i++) {
		if (strcmp(commands[i].name, words[0]) != 0)
			continue;
		if (word_cnt < commands[i].words)
			return vuf_fail(&f, "%s takes more words", words[0]);
		if (commands[i].queue && number(1) >= f.queue_cnt)
			return vuf_fail(&f, "there is no queue %s", words[1]);
		vq = commands[i].queue ? &f.queues[number(1)] : NULL;
		return commands[i].run();
	}
	return vuf_fail(&f, "no such command");
}

int main(void)
{
	static char line[LINE_MAX_LEN];

	vuf_init(&f);
	while (fgets(line, sizeof(line), stdin)) {
		word_cnt = 0;
		extra[0] = 0;
		for (char *w = strtok(line, " \n"); w && word_cnt < WORDS_MAX;
		     w = strtok(NULL, " \n"))
			words[word_cnt++] = w;
		if (run())
			printf("{\"ok\":true%s}\n", extra);
		else
			printf("{\"ok\":false,\"why\":\"%s\"}\n", f.why);
		fflush(stdout);
	}
	vuf_fini(&f);
	return 0;
}
