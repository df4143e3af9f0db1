/* SPDX-License-Identifier: MIT */
/*
 * The control socket: a client that says anything, in pieces of any size.
 *
 * The instance behind it has two null ports, joined. The first byte is the role, the second the size of the
 * pieces. What must hold: no memory error, no descriptor left, and all that is answered is QMP, a line each.
 */
#include <assert.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ctl/client.h"
#include "ctl/state.h"

#define OUT_MAX (8u << 20)

/* Nothing that would reach the machine: files, devices, programs. Nor the same in other letters. */
static const char *const reaches_out[] = { "tap",    "stream", "dgram", "bridge",  "user",
					   "script", "path",   "file",	"capture", "\\u00" };

static char out[OUT_MAX + 1];
static size_t out_len;

static bool is_harmless(const char *text, size_t len)
{
	for (size_t i = 0; i < sizeof(reaches_out) / sizeof(reaches_out[0]); i++)
		if (memmem(text, len, reaches_out[i], strlen(reaches_out[i])))
			return false;
	return true;
}

/* One message. */
static void check_line(const char *line, size_t len)
{
	json_t *j = json_loadb(line, len, JSON_REJECT_DUPLICATES, NULL);
	int cnt = 0;

	assert(json_is_object(j));
	cnt += json_object_get(j, "QMP") != NULL;
	cnt += json_object_get(j, "return") != NULL;
	cnt += json_object_get(j, "error") != NULL;
	cnt += json_object_get(j, "event") != NULL;
	assert(cnt == 1);
	json_decref(j);
}

static void check_output(void)
{
	const char *at = out, *end;

	while ((end = memchr(at, '\n', out_len - (size_t)(at - out)))) {
		assert(end > at && end[-1] == '\r');
		check_line(at, (size_t)(end - at));
		at = end + 1;
	}
}

static void drain(int fd)
{
	ssize_t got;

	while (out_len < OUT_MAX &&
	       (got = recv(fd, out + out_len, OUT_MAX - out_len, MSG_DONTWAIT)) > 0)
		out_len += (size_t)got;
}

/* Everything that the client has to do, and what it says. */
static void settle(struct state *s, struct client *c, int fd)
{
	for (int i = 0; i < 200 && !client_is_over(c) && out_len < OUT_MAX; i++) {
		bool more;

		vmtap_dispatch(state_instance(s), 0);
		more = client_turn(c);
		drain(fd);
		if (!more && i > 1)
			return;
	}
}

static struct state *make_state(void)
{
	struct vmtap_config config = { .size = sizeof(config), .engine = VMTAP_ENGINE_PLAIN };
	struct state *s = state_new(&config, NULL);

	assert(s);
	state_port_add(s, "null,id=a", NULL, NULL);
	state_port_add(s, "null,id=b", NULL, NULL);
	state_connect(s, "a", "b", NULL);
	return s;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char hello[] = "{\"execute\":\"qmp_capabilities\"}";
	struct state *s;
	struct client *c;
	size_t piece;
	int fds[2];

	if (size < 2 || !is_harmless((const char *)data, size))
		return 0;
	s = make_state();
	assert(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) == 0);
	c = client_new(s, fds[0], data[0] % 2 ? ROLE_ADMIN : ROLE_READ, NULL);
	assert(c);
	if (data[0] & 2)
		assert(send(fds[1], hello, sizeof(hello) - 1, 0) > 0);
	piece = data[1] + 1u;
	out_len = 0;
	for (size_t at = 2; at < size && !client_is_over(c); at += piece) {
		size_t len = size - at < piece ? size - at : piece;

		if (send(fds[1], data + at, len, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
			break;
		settle(s, c, fds[1]);
	}
	check_output();
	client_free(c);
	close(fds[1]);
	state_free(s);
	return 0;
}
