/* SPDX-License-Identifier: MIT */
/*
 * keep-test.h - connections of a stream port that go from one run to the next
 *
 * A run is a port that is opened, joined and started; the keeper is the test's own.
 */
#ifndef KEEP_TEST_H
#define KEEP_TEST_H

#include "sock-test.h"

#include <arpa/inet.h>
#include <endian.h>
#include <sys/mman.h>

#include "net/keeper.h"
#include "port/sock/stream-state.h"
#include "port/sock/stream.h"

#define SERVER "stream,server=on,path={}/s"
#define MAX 250
#define SEALS (F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SEAL)

static int peer = -1;

/* ------------------------------------------------------------------------ keeper */

static struct {
	struct port_keeper keeper;
	struct {
		const char *role;
		int fd;
	} kept[4];
	unsigned cnt;
} k;

static inline int index_of(const char *role)
{
	for (unsigned i = 0; i < k.cnt; i++)
		if (strcmp(k.kept[i].role, role) == 0)
			return (int)i;
	return -1;
}

static inline bool has(const char *role)
{
	return index_of(role) >= 0;
}

static int find(void *opaque, const char *port, const char *role)
{
	return has(role) ? fcntl(k.kept[index_of(role)].fd, F_DUPFD_CLOEXEC, 0) : -ENOENT;
}

static void drop(void *opaque, const char *port, const char *role)
{
	const int i = index_of(role);

	if (i < 0)
		return;
	close(k.kept[i].fd);
	k.kept[i] = k.kept[--k.cnt];
}

static const char *const roles[] = { "listener", "connection", "state" };

/* Roles are texts of the caller. */
static const char *known(const char *role)
{
	for (unsigned i = 0; i < 3; i++)
		if (strcmp(roles[i], role) == 0)
			return roles[i];
	fail_msg("what is %s?", role);
	return NULL;
}

static void keep(void *opaque, const char *port, const char *role, int fd)
{
	if (has(role))
		return;
	k.kept[k.cnt].role = known(role);
	k.kept[k.cnt++].fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
}

/* @fd is taken. */
static inline void put_back(const char *role, int fd)
{
	drop(NULL, "", role);
	keep(NULL, "", role, fd);
	close(fd);
}

static inline int copy_of(const char *role)
{
	assert_true(has(role));
	return find(NULL, "", role);
}

static int setup_kept(void **state)
{
	int ret = setup(state);

	memset(&k, 0, sizeof(k));
	k.keeper = (struct port_keeper) { .find = find, .keep = keep, .drop = drop };
	t.env.keeper = &k.keeper;
	return ret;
}

static int teardown_kept(void **state)
{
	fd_close(&peer);
	while (k.cnt)
		drop(NULL, "", k.kept[0].role);
	return teardown(state);
}

/* -------------------------------------------------------------------------- runs */

static inline void start(const char *spec)
{
	t.log[0] = '\0';
	start_port(&stream_type, spec);
}

/* As a program does that is told to end: what is joined is parted first. */
static inline void leave(void)
{
	k.keeper.leaving = true;
	t.port->junction = NULL;
	port_resume(t.port);
	port_free(t.port);
	t.port = NULL;
	k.keeper.leaving = false;
}

/* A server and its peer. */
static inline void start_connected(void)
{
	start(SERVER);
	peer = unix_connected(SOCK_STREAM, "s");
	until(t.port->state == VMTAP_PORT_UP);
	assert_false(has("connection") || has("state"));
}

static inline void goes_on(const char *spec)
{
	start(spec);
	assert_int_equal(t.port->state, VMTAP_PORT_UP);
	assert_non_null(strstr(t.log, "went on with the connection to"));
	assert_false(has("connection") || has("state"));
}

static inline void restart(void)
{
	leave();
	assert_true(has("connection") && has("state"));
	goes_on(SERVER);
}

/* It says so, the peer is disconnected, and another can connect. */
static inline void refuses(const char *text)
{
	ssize_t len;
	char c;

	start(SERVER);
	if (!strstr(t.log, text))
		fail_msg("\"%s\" is not in: %s", text, t.log);
	assert_non_null(strstr(t.log, "is closed"));
	assert_false(has("connection") || has("state"));
	assert_int_equal(t.port->state, VMTAP_PORT_WAITING);
	len = recv(peer, &c, 1, MSG_DONTWAIT);
	assert_true(len == 0 || (len < 0 && errno == ECONNRESET));
	fd_close(&peer);
	peer = unix_connected(SOCK_STREAM, "s");
	until(t.port->state == VMTAP_PORT_UP);
}

static inline void put(const void *data, size_t len)
{
	assert_int_equal(send(peer, data, len, MSG_NOSIGNAL), len);
}

static inline void put_frame(uint32_t number)
{
	uint8_t bytes[4 + MAX];

	put(bytes, seq_encode(bytes, number, MAX));
}

/* From the port, bytes that are there. */
static inline void expect_bytes(const uint8_t *bytes, size_t len)
{
	uint8_t got[4096];
	ssize_t ret = recv(peer, got, sizeof(got), MSG_DONTWAIT);

	assert_int_equal(ret, len);
	assert_memory_equal(got, bytes, len);
}

static inline void moves(uint32_t number)
{
	const unsigned before = t.fake.cnt;
	uint8_t bytes[4 + MAX];
	size_t len = seq_encode(bytes, number, MAX);

	put(bytes, len);
	until(t.fake.cnt == before + 1);
	assert_int_equal(t.fake.kept[before].len, len - 4);
	assert_memory_equal(t.fake.kept[before].data, bytes + 4, len - 4);
	assert_int_equal(send_frame(bytes + 4, (uint32_t)len - 4), 1);
	expect_bytes(bytes, len);
}

/* -------------------------------------------------------------- what a run left */

/** struct left - What a run left, made up: a connection of a server and its state */
struct left {
	int connection;
	struct stream_state state;
};

static inline int memory_of(const void *data, size_t len, int seals)
{
	int fd = memfd_create("vmtap-connection", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, data, len), len);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, seals), 0);
	return fd;
}

static inline void keep_state(const struct stream_state *s)
{
	uint8_t *buf = malloc(STREAM_STATE_MAX);

	put_back("state", memory_of(buf, stream_state_encode(s, buf), SEALS));
	free(buf);
}

/* The peer is connected to @name in the folder. */
static inline struct left make_left(const char *name)
{
	const int listener = unix_bound(SOCK_STREAM, name);
	struct left left = { 0 };
	socklen_t len = sizeof(left.state.id);

	peer = unix_connected(SOCK_STREAM, name);
	left.connection = accept(listener, NULL, NULL);
	assert_true(left.connection >= 0);
	close(listener);
	assert_int_equal(getsockopt(left.connection, SOL_SOCKET, SO_COOKIE, &left.state.id, &len),
			 0);
	return left;
}

#define kept_case(name) cmocka_unit_test_setup_teardown(name, setup_kept, teardown_kept)

#endif
