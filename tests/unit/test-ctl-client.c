/* SPDX-License-Identifier: MIT */
/* A connection to the control socket: what waits for a client that reads slowly, late, or not at all. */
#include "unit.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ctl/client.h"
#include "ctl/stream.h"

/** As the control socket has it. */
#define EVENT "{\"event\": \"PORT_ADDED\", \"data\": {\"id\": \"vm0\", \"type\": \"tap\"}}\r\n"

static struct state *s;
static struct client *c;
static int own, peer;	    /* @own: the client's, which closes it */
static size_t lines, bytes; /* that the peer has read */

static void turn(void)
{
	vmtap_dispatch(state_instance(s), 0);
	while (client_turn(c))
		;
}

/* The peer reads what there is. Return: whether there was something. */
static bool drain(void)
{
	static char buf[65536];
	ssize_t len;
	size_t before = bytes;

	while ((len = recv(peer, buf, sizeof(buf), MSG_DONTWAIT)) > 0) {
		bytes += (size_t)len;
		for (ssize_t i = 0; i < len; i++)
			lines += buf[i] == '\n';
	}
	return bytes > before;
}

static void drain_all(void)
{
	while (drain())
		turn();
}

static int setup(void **state)
{
	struct vmtap_config config = { .size = sizeof(config), .engine = VMTAP_ENGINE_PLAIN };
	const char request[] = "{\"execute\":\"qmp_capabilities\"}";
	int fds[2];

	s = state_new(&config, NULL);
	if (!s || socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds) < 0)
		return -1;
	own = fds[0];
	peer = fds[1];
	c = client_new(s, own, ROLE_ADMIN, NULL);
	if (!c || send(peer, request, strlen(request), 0) < 0)
		return -1;
	turn();
	drain_all();
	lines = bytes = 0;
	return 0;
}

static int teardown(void **state)
{
	client_free(c);
	close(peer);
	state_free(s);
	return 0;
}

static void event(void)
{
	client_event(c, EVENT, strlen(EVENT));
}

static void an_event_while_a_long_answer_waits_cuts_nobody_off(void **state)
{
	const char head[] = "{\"execute\":\"query-schema\",\"id\":\"";
	char *request = malloc(STREAM_DOC_MAX);
	size_t sent = 0, len = STREAM_DOC_MAX;
	const int small = 4096;
	char first;

	assert_non_null(request);
	assert_int_equal(setsockopt(own, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)), 0);
	memset(request, 'x', len);
	memcpy(request, head, strlen(head));
	memcpy(request + len - 2, "\"}", 2);
	while (sent < len) {
		ssize_t now = send(peer, request + sent, len - sent, 0);

		if (now > 0)
			sent += (size_t)now;
		turn();
	}
	free(request);
	while (recv(peer, &first, 1, MSG_PEEK | MSG_DONTWAIT) < 0)
		turn();
	event();
	assert_false(client_is_over(c));
	turn();
	drain_all();
	assert_int_equal(lines, 2);
	assert_true(bytes > len);
}

/* As in a reload that opens thousands of ports. */
static void who_reads_gets_any_number_of_events_between_two_turns(void **state)
{
	const unsigned cnt = 50000;

	for (unsigned i = 0; i < cnt; i++) {
		event();
		if (i % 100 == 0)
			drain();
	}
	assert_false(client_is_over(c));
	turn();
	drain_all();
	assert_int_equal(lines, cnt);
	assert_int_equal(bytes, cnt * strlen(EVENT));
}

static void who_does_not_read_is_cut_off_when_a_mebibyte_of_events_waits(void **state)
{
	size_t sent = 0;

	for (; !client_is_over(c); sent += strlen(EVENT)) {
		assert_true(sent < 2 * CLIENT_EVENTS_MAX);
		event();
		turn();
	}
	assert_true(sent > CLIENT_EVENTS_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(an_event_while_a_long_answer_waits_cuts_nobody_off,
						setup, teardown),
		cmocka_unit_test_setup_teardown(
			who_reads_gets_any_number_of_events_between_two_turns, setup, teardown),
		cmocka_unit_test_setup_teardown(
			who_does_not_read_is_cut_off_when_a_mebibyte_of_events_waits, setup,
			teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
