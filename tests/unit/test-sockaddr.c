/* SPDX-License-Identifier: MIT */
/* Socket addresses: every way to write one, and what becomes of it. */
#include "unit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <string.h>

#include "conf/conf.h"
#include "port/sock/stream-priv.h"
#include "sock/sockaddr.h"

static struct vmtap_error err;

static int read_text(struct sock_spec *spec, const char *text, bool port_optional)
{
	return sock_spec_text(spec, text, port_optional, "remote", "dgram", &err);
}

static void expect_inet(const char *text, const char *host, const char *port)
{
	struct sock_spec spec;

	assert_int_equal(read_text(&spec, text, true), 0);
	assert_int_equal(spec.kind, SOCK_KIND_INET);
	assert_string_equal(spec.host, host);
	assert_string_equal(spec.port, port);
}

static void expect_path(const char *text, const char *path, bool abstract)
{
	struct sock_spec spec;

	assert_int_equal(read_text(&spec, text, false), 0);
	assert_int_equal(spec.kind, SOCK_KIND_UNIX);
	assert_string_equal(spec.path, path);
	assert_int_equal(spec.abstract, abstract);
}

static void reads_an_address_in_one_word(void **state)
{
	expect_inet("10.0.0.1:5000", "10.0.0.1", "5000");
	expect_inet("[fd00::1]:5000", "fd00::1", "5000");
	expect_inet("[ff02::1%eth0]:7", "ff02::1%eth0", "7");
	expect_inet(":7", "", "7");
	expect_inet("host", "host", "0");
	expect_inet("[::1]", "::1", "0");
	expect_path("/run/a.sock", "/run/a.sock", false);
	expect_path("./a:1", "./a:1", false);
	expect_path("@name", "name", true);
}

static void refuses_a_word_that_is_no_address(void **state)
{
	static const char *const bad[] = { "name",  "fd00::1", "[::1",	"[::1]x:5",
					   "host:", "::",      "[::1]", "" };
	struct sock_spec spec;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		if (read_text(&spec, bad[i], false) != -EINVAL)
			fail_msg("%s was taken", bad[i]);
		assert_non_null(strstr(err.reason, "remote="));
		assert_non_null(strstr(err.remedy, "remote=10.0.0.1:5000"));
	}
}

static struct conf *parse(const char *text)
{
	struct conf *conf = conf_parse(&stream_schema, text, &err);

	assert_non_null(conf);
	return conf;
}

/* @check looks at what @text becomes. */
static void read_stream(const char *text, void (*check)(const struct conn_conf *c))
{
	struct conf *conf = parse(text);
	struct conn_conf c;

	if (stream_conf_read(&c, conf, &err) < 0)
		fail_msg("%s: %s", text, err.reason);
	check(&c);
	conf_free(conf);
}

static void refuse_stream(const char *text, const char *reason)
{
	struct conf *conf = parse(text);
	struct conn_conf c;

	if (stream_conf_read(&c, conf, &err) >= 0)
		fail_msg("%s was taken", text);
	if (!strstr(err.reason, reason) && !strstr(err.remedy, reason))
		fail_msg("%s: \"%s\" is not in: %s; %s", text, reason, err.reason, err.remedy);
	conf_free(conf);
}

static void is_run_a(const struct conn_conf *c)
{
	assert_int_equal(c->addrs.cnt, 1);
	assert_string_equal(c->addrs.addr[0].un.sun_path, "/run/a");
	assert_true(sock_addr_is_file(&c->addrs.addr[0]));
}

static void is_abstract_tight(const struct conn_conf *c)
{
	const struct sock_addr *a = &c->addrs.addr[0];
	char text[SOCK_TEXT_MAX];

	assert_int_equal(a->len, offsetof(struct sockaddr_un, sun_path) + 2);
	assert_memory_equal(a->un.sun_path, "\0a", 2);
	assert_false(sock_addr_is_file(a));
	assert_string_equal(sock_addr_text(a, text), "@a");
}

static void is_abstract_padded(const struct conn_conf *c)
{
	assert_int_equal(c->addrs.addr[0].len, sizeof(struct sockaddr_un));
	assert_memory_equal(c->addrs.addr[0].un.sun_path, "\0a\0", 3);
}

static void is_file_with_at(const struct conn_conf *c)
{
	assert_string_equal(c->addrs.addr[0].un.sun_path, "@a");
}

static void reads_unix_paths_in_both_spellings(void **state)
{
	read_stream("stream,path=/run/a", is_run_a);
	read_stream("stream,addr.type=unix,addr.path=/run/a", is_run_a);
	read_stream("stream,addr.path=/run/a", is_run_a);
	read_stream("{\"type\":\"stream\",\"addr\":{\"type\":\"unix\",\"path\":\"/run/a\"}}",
		    is_run_a);
	read_stream("stream,path=@a", is_abstract_tight);
	read_stream("stream,addr.type=unix,addr.path=a,addr.abstract=on", is_abstract_tight);
	read_stream("stream,addr.type=unix,addr.path=a,addr.abstract=on,addr.tight=off",
		    is_abstract_padded);
	/* to QEMU this is a file */
	read_stream("stream,addr.type=unix,addr.path=@a", is_file_with_at);
}

static void is_loopback4(const struct conn_conf *c)
{
	char text[SOCK_TEXT_MAX];

	assert_string_equal(sock_addr_text(&c->addrs.addr[0], text), "127.0.0.1:5000");
	assert_string_equal(sock_addr_keys(&c->addrs.addr[0], text), "host=127.0.0.1,port=5000");
	assert_int_equal(sock_addr_port(&c->addrs.addr[0]), 5000);
}

static void is_loopback6(const struct conn_conf *c)
{
	char text[SOCK_TEXT_MAX];

	assert_string_equal(sock_addr_text(&c->addrs.addr[0], text), "[::1]:5000");
	assert_string_equal(sock_addr_keys(&c->addrs.addr[0], text), "host=::1,port=5000");
}

static void is_any(const struct conn_conf *c)
{
	char text[SOCK_TEXT_MAX];

	assert_string_equal(sock_addr_text(&c->addrs.addr[0], text), "[::]:5000");
	assert_true(c->spec.dual);
}

static void is_any4(const struct conn_conf *c)
{
	char text[SOCK_TEXT_MAX];

	assert_string_equal(sock_addr_text(&c->addrs.addr[0], text), "0.0.0.0:5000");
}

static void reads_inet_addresses_in_both_spellings(void **state)
{
	read_stream("stream,port=5000", is_loopback4);
	read_stream("stream,host=127.0.0.1,port=5000", is_loopback4);
	read_stream("stream,addr.type=inet,addr.host=127.0.0.1,addr.port=5000", is_loopback4);
	read_stream("stream,host=::1,port=5000", is_loopback6);
	read_stream("stream,addr.type=inet,addr.host=::1,addr.port=5000,addr.numeric=on",
		    is_loopback6);
	read_stream("stream,server=on,host=,port=5000", is_any);
	read_stream("stream,server=on,host=,port=5000,ipv4=on,ipv6=on", is_any);
	read_stream("stream,server=on,host=,port=5000,ipv6=off", is_any4);
	read_stream("stream,server=on,addr.type=inet,addr.host=,addr.port=5000,addr.ipv4=on",
		    is_any4);
}

static void refuses_what_makes_no_address(void **state)
{
	char text[200] = "stream,path=";

	refuse_stream("stream", "path=PATH");
	refuse_stream("stream,host=h", "without port=");
	refuse_stream("stream,path=a,port=1", "port: not together with path=");
	refuse_stream("stream,fd=1,host=h", "host: not together with fd=");
	refuse_stream("stream,path=a,addr.type=unix,addr.path=b", "path: not together with addr.*");
	refuse_stream("stream,addr.type=unix", "addr.path is missing");
	refuse_stream("stream,addr.type=inet,addr.host=h", "addr.port is missing");
	refuse_stream("stream,addr.type=inet,addr.port=1", "addr.host is missing");
	refuse_stream("stream,addr.type=fd", "addr.str is missing");
	refuse_stream("stream,addr.to=5", "addr.type is missing");
	refuse_stream("stream,addr.type=unix,addr.path=a,addr.port=1",
		      "addr.port: not together with addr.type=unix");
	refuse_stream("stream,host=::1,port=1,ipv4=off,ipv6=off", "both off");
	refuse_stream("stream,host=::1,port=1,ipv4=on", "::1");
	refuse_stream("stream,addr.type=inet,addr.host=localhost,addr.port=1,addr.numeric=on",
		      "localhost");
	refuse_stream("stream,host=127.0.0.1,port=99999", "at most 65535");
	memset(text + 12, 'x', 108);
	refuse_stream(text, "108 bytes and a unix socket's path at most 107");
}

static void longest_path_is_taken(const struct conn_conf *c)
{
	assert_int_equal(strlen(c->addrs.addr[0].un.sun_path), 107);
}

static void takes_the_longest_path(void **state)
{
	char text[200] = "stream,path=";

	memset(text + 12, 'x', 107);
	read_stream(text, longest_path_is_taken);
}

static void refuses_options_that_do_not_fit(void **state)
{
	refuse_stream("stream,path=a,to=5", "to: not together with path=");
	refuse_stream("stream,port=4,to=5", "to: only with server=on");
	refuse_stream("stream,path=a,mode=600", "mode: only with server=on");
	refuse_stream("stream,server=on,port=1,mode=600", "mode: only for the file");
	refuse_stream("stream,server=on,path=@a,mode=600", "mode: only for the file");
	refuse_stream("stream,server=on,path=a,mode=9", "octal");
	refuse_stream("stream,server=on,path=a,mode=1777", "octal");
	refuse_stream("stream,server=on,path=a,reconnect-ms=5",
		      "reconnect-ms: not together with server=on");
	refuse_stream("stream,path=a,reconnect-ms=5,reconnect=1", "reconnect: not together");
	refuse_stream("stream,fd=5,reconnect-ms=5", "cannot be made again");
}

static void reconnects_every_2500_ms(const struct conn_conf *c)
{
	assert_true(c->reconnect_ns == 2500000000ull);
}

static void reconnects_every_2_s(const struct conn_conf *c)
{
	assert_true(c->reconnect_ns == 2000000000ull);
}

static void reads_both_ways_to_reconnect(void **state)
{
	read_stream("stream,path=a,reconnect-ms=2500", reconnects_every_2500_ms);
	read_stream("stream,path=a,reconnect=2", reconnects_every_2_s);
}

static void tells_addresses_apart(void **state)
{
	struct sock_addr a = { .in = { .sin_family = AF_INET, .sin_port = htons(5) } };
	struct sock_addr b = a;

	assert_true(sock_addr_same(&a, &b));
	b.in.sin_port = htons(6);
	assert_false(sock_addr_same(&a, &b));
	b = a;
	b.in.sin_addr.s_addr = htonl(0xe0000001);
	assert_false(sock_addr_same(&a, &b));
	assert_false(sock_addr_is_multicast(&a));
	assert_true(sock_addr_is_multicast(&b));
	b = (struct sock_addr) { .in6 = { .sin6_family = AF_INET6, .sin6_port = htons(5) } };
	assert_false(sock_addr_same(&a, &b));
	b.in6.sin6_addr.s6_addr[0] = 0xff;
	assert_true(sock_addr_is_multicast(&b));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_an_address_in_one_word),
		cmocka_unit_test(refuses_a_word_that_is_no_address),
		cmocka_unit_test(reads_unix_paths_in_both_spellings),
		cmocka_unit_test(reads_inet_addresses_in_both_spellings),
		cmocka_unit_test(refuses_what_makes_no_address),
		cmocka_unit_test(takes_the_longest_path),
		cmocka_unit_test(refuses_options_that_do_not_fit),
		cmocka_unit_test(reads_both_ways_to_reconnect),
		cmocka_unit_test(tells_addresses_apart),
	};

	return cmocka_run_group_tests_name("sockaddr", tests, NULL, NULL);
}
