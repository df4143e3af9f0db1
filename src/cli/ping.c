/* SPDX-License-Identifier: MIT */
/*
 * `vmtap ping`: probes out of a port of `vmtap serve`, and where their time goes.
 *
 * The server sends the probes and says what became of each; here it is shown and summed up. Ctrl-C asks the server to
 * end, which then says the last of it; a second one does not wait for that; a third has no handler any more.
 *
 * Exit status: EXIT_OK: there was an answer; EXIT_FAILED: there was none, or the port or the server is gone.
 */
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <limits.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/ping-stats.h"
#include "ctl/ask.h"

/**
 * struct session - A ping, seen from here
 * @id: in @answer
 * @method: what is asked
 * @cause: of a probe that was dropped
 */
struct session {
	const struct cli *cli;
	const char *port;
	struct ask *ask;
	json_t *args, *answer;
	const char *id;
	char method[128], cause[32];
	struct ping_summary sum;
};

/* For the handler: set before it may need them. */
static volatile sig_atomic_t stops;
static int stop_fd = -1;
static char stop_text[512];
static size_t stop_len;

static void on_stop(int signo)
{
	const int code = errno;

	if (stops++ || send(stop_fd, stop_text, stop_len, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		shutdown(stop_fd, SHUT_RDWR);
	if (stops > 1)
		signal(signo, SIG_DFL);
	errno = code;
}

static void catch_signals(const struct session *s)
{
	const struct sigaction action = { .sa_handler = on_stop, .sa_flags = SA_RESTART };
	json_t *stop = json_pack("{ss,s{ss}}", "execute", "ping_stop", "arguments", "id", s->id);
	char *text = stop ? json_dumps(stop, JSON_COMPACT) : NULL;

	if (text && strlen(text) + 3 <= sizeof(stop_text))
		stop_len = (size_t)snprintf(stop_text, sizeof(stop_text), "%s\r\n", text);
	free(text);
	json_decref(stop);
	stop_fd = ask_fd(s->ask);
	stops = !stop_len;
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGHUP, &action, NULL);
}

static void let_signals_be(void)
{
	signal(SIGINT, SIG_DFL);
	signal(SIGTERM, SIG_DFL);
	signal(SIGHUP, SIG_DFL);
	stop_fd = -1;
}

static int failure(const struct cli *cli, const char *object, const char *reason)
{
	struct vmtap_error err = { .code = EINVAL };

	snprintf(err.object, sizeof(err.object), "%s", object);
	snprintf(err.action, sizeof(err.action), "ping");
	snprintf(err.reason, sizeof(err.reason), "%s", reason);
	log_failure(cli, &err);
	return exit_code_of(&err);
}

/* ---------------------------------------------------------------------- options */

/* Seconds, to be @name in milliseconds. */
static int add_seconds(struct session *s, const char *option, const char *text, const char *name,
		       double max_s)
{
	char *end, reason[80];
	double secs;

	if (!text)
		return 0;
	errno = 0;
	secs = strtod(text, &end);
	if (end != text && !*end && !errno && isfinite(secs) && secs >= 0.01 && secs <= max_s) {
		json_object_set_new(s->args, name, json_integer((json_int_t)(secs * 1000 + 0.5)));
		return 0;
	}
	snprintf(reason, sizeof(reason), "it takes seconds, 0.01 to %g, not \"%.20s\"", max_s,
		 text);
	return failure(s->cli, option, reason);
}

/* A number of digits from 1 to @max, to be @name. @what it takes is for the error. */
static int add_number(struct session *s, const char *option, const char *text, const char *name,
		      long long max, const char *what)
{
	char *end;
	long long number;

	if (!text)
		return 0;
	errno = 0;
	number = strtoll(text, &end, 10);
	if (text[0] < '0' || text[0] > '9' || *end || errno || !number || number > max)
		return failure(s->cli, option, what);
	json_object_set_new(s->args, name, json_integer(number));
	return 0;
}

static int read_options(struct session *s, int argc, char **argv)
{
	const struct ping_options *o = &s->cli->ping;
	int ret;

	if (argc < 1 || argc > 2)
		return failure(
			s->cli, "vmtap",
			"it takes a port's name, and perhaps an address; vmtap ctl ports lists them");
	s->port = argv[0];
	s->args = json_pack("{ss}", "port", s->port);
	if (!s->args)
		return failure(s->cli, "the port's name", "it is no UTF-8");
	if (argc == 2 && json_object_set_new(s->args, "address", json_string(argv[1])) < 0)
		return failure(s->cli, "the address", "it is no UTF-8");
	if (o->source && json_object_set_new(s->args, "source", json_string(o->source)) < 0)
		return failure(s->cli, "--source", "it is no UTF-8");
	ret = add_number(s, "-c", s->cli->capture.count, "count", LLONG_MAX,
			 "it takes a number of probes, 1 or more");
	if (!ret)
		ret = add_number(s, "--vlan", o->vlan, "vlan", 4094, "it takes a VLAN, 1 to 4094");
	if (!ret)
		ret = add_seconds(s, "-i", o->interval, "interval", 3600);
	if (!ret)
		ret = add_seconds(s, "--timeout", o->timeout, "timeout", 60);
	return ret;
}

/* ----------------------------------------------------------------------- a probe */

static uint64_t number_of(const json_t *data, const char *key)
{
	const json_int_t n = json_integer_value(json_object_get(data, key));

	return n > 0 ? (uint64_t)n : 0;
}

static const char *text_of(const json_t *data, const char *key)
{
	const char *text = json_string_value(json_object_get(data, key));

	return text ? text : "?";
}

static double ms(double ns)
{
	return ns / 1e6;
}

static void print_answer(const json_t *data, const uint64_t ns[PART_CNT])
{
	const uint64_t queue = number_of(data, "queue");

	printf("%s (%s): seq=%" PRIu64 " time=%.3f ms (", text_of(data, "address"),
	       text_of(data, "mac"), number_of(data, "seq"),
	       ms((double)(ns[PART_WAIT] + ns[PART_HAND_OVER] + ns[PART_OUTSIDE])));
	for (int i = 0; i < PART_TOTAL; i++)
		printf("%s%s %.3f", i ? ", " : "", ping_part_name((enum ping_part)i),
		       ms((double)ns[i]));
	printf(" of which busy %.3f)", ms((double)ns[PART_BUSY]));
	if (queue)
		printf(" queue=%" PRIu64, queue);
	putchar('\n');
}

static void print_other(const json_t *data, const char *fate)
{
	printf("seq=%" PRIu64 " %s: ", number_of(data, "seq"), fate);
	if (strcmp(fate, "lost") == 0)
		printf("it left the port, and nobody answered in time\n");
	else if (strcmp(fate, "held") == 0)
		printf("the port's outside did not take it in time (wait %.3f ms, hand over %.3f "
		       "ms)\n",
		       ms((double)number_of(data, "wait_ns")),
		       ms((double)number_of(data, "hand_over_ns")));
	else
		printf("by the port, %s\n", text_of(data, "cause"));
}

static void print_json(const char *event, json_t *data)
{
	json_object_set_new(data, "event", json_string(event));
	json_dumpf(data, stdout, JSON_COMPACT);
	putchar('\n');
}

/* The server asks somebody else since nobody answered. */
static void take_method(struct session *s, const json_t *data)
{
	const char *method = text_of(data, "method");

	if (strcmp(method, s->method) == 0)
		return;
	snprintf(s->method, sizeof(s->method), "%s", method);
	if (!s->cli->json_output)
		printf("PING %s: %s\n", s->port, s->method);
}

static void take_probe(struct session *s, json_t *data)
{
	const uint64_t ns[PART_CNT] = {
		[PART_WAIT] = number_of(data, "wait_ns"),
		[PART_HAND_OVER] = number_of(data, "hand_over_ns"),
		[PART_OUTSIDE] = number_of(data, "outside_ns"),
		[PART_BUSY] = number_of(data, "busy_ns"),
	};
	const char *fate = text_of(data, "fate");
	const bool answered = strcmp(fate, "answered") == 0;

	if (answered)
		ping_add(&s->sum, ns);
	s->sum.answered += answered;
	s->sum.lost += strcmp(fate, "lost") == 0;
	s->sum.held += strcmp(fate, "held") == 0;
	if (strcmp(fate, "dropped") == 0) {
		s->sum.dropped++;
		snprintf(s->cause, sizeof(s->cause), "%s", text_of(data, "cause"));
	}
	take_method(s, data);
	if (s->cli->log_level <= VMTAP_LOG_ERROR)
		return;
	if (s->cli->json_output)
		print_json("probe", data);
	else if (answered)
		print_answer(data, ns);
	else
		print_other(data, fate);
	fflush(stdout);
}

/* --------------------------------------------------------------------- the end */

static const double shares[] = { 0.5, 0.99 };

static json_t *dist_json(const struct dist *d)
{
	return json_pack("{sI,sI,sI,sI,sI}", "min", (json_int_t)d->min, "median",
			 (json_int_t)dist_at(d, shares[0]), "p99",
			 (json_int_t)dist_at(d, shares[1]), "max", (json_int_t)d->max, "mean",
			 (json_int_t)dist_mean(d));
}

static void summary_json(const struct session *s, const char *verdict)
{
	static const char *const keys[] = {
		[PART_WAIT] = "wait_ns",       [PART_HAND_OVER] = "hand_over_ns",
		[PART_OUTSIDE] = "outside_ns", [PART_TOTAL] = "total_ns",
		[PART_BUSY] = "busy_ns",
	};
	json_t *j = json_pack("{ss,ss,sI,sI,sI,sI,sI,sI,sI,ss}", "port", s->port, "method",
			      s->method, "answered", (json_int_t)s->sum.answered, "lost",
			      (json_int_t)s->sum.lost, "held", (json_int_t)s->sum.held, "dropped",
			      (json_int_t)s->sum.dropped, "duplicates",
			      (json_int_t)s->sum.duplicates, "others", (json_int_t)s->sum.others,
			      "late", (json_int_t)s->sum.late, "verdict", verdict);

	for (int i = 0; j && i < PART_CNT && s->sum.answered; i++)
		json_object_set_new(j, keys[i], dist_json(&s->sum.parts[i]));
	if (j)
		print_json("summary", j);
	json_decref(j);
}

static void print_more(uint64_t cnt, const char *what)
{
	if (cnt)
		printf(", %" PRIu64 " %s", cnt, what);
}

static void summary_text(const struct session *s, const char *verdict)
{
	static const enum ping_part rows[PART_CNT] = { PART_WAIT, PART_HAND_OVER, PART_OUTSIDE,
						       PART_BUSY, PART_TOTAL };
	const struct ping_summary *sum = &s->sum;
	const uint64_t all = sum->answered + sum->lost + sum->held + sum->dropped;

	printf("\n--- %s ping statistics ---\n", s->port);
	printf("%" PRIu64 " probes, %" PRIu64 " answered", all, sum->answered);
	if (all)
		printf(", %.4g %% not", 100 * (double)(all - sum->answered) / (double)all);
	print_more(sum->lost, "lost");
	print_more(sum->held, "held");
	print_more(sum->dropped, "dropped");
	print_more(sum->duplicates, "duplicate answers");
	print_more(sum->others, "answers of others");
	print_more(sum->late, "late answers");
	putchar('\n');
	if (sum->answered)
		printf("%-10s %10s %10s %10s %10s\n", "ms", "min", "median", "p99", "max");
	for (size_t i = 0; i < PART_CNT && sum->answered; i++) {
		const struct dist *d = &sum->parts[rows[i]];

		printf("%-10s %10.3f %10.3f %10.3f %10.3f\n", ping_part_name(rows[i]),
		       ms((double)d->min), ms((double)dist_at(d, shares[0])),
		       ms((double)dist_at(d, shares[1])), ms((double)d->max));
	}
	wrap(stdout, verdict, 0);
}

static void sum_up(const struct session *s)
{
	char verdict[600];

	ping_verdict(&s->sum, s->cause[0] ? s->cause : NULL, verdict, sizeof(verdict));
	if (s->cli->json_output)
		summary_json(s, verdict);
	else
		summary_text(s, verdict);
}

/* Return: whether an error ended it, which was said. */
static bool take_end(struct session *s, const json_t *data)
{
	const char *why = json_string_value(json_object_get(data, "reason"));

	s->sum.duplicates = number_of(data, "duplicates");
	s->sum.others = number_of(data, "others");
	s->sum.late = number_of(data, "late");
	if (why)
		fprintf(stderr, "vmtap: %s\n", why);
	return why != NULL;
}

/* Return: whether it ended as it should. */
static bool follow(struct session *s)
{
	struct vmtap_error err = { 0 };
	bool over = false, ok = true;
	json_t *event;

	while (!over && (event = ask_event(s->ask, &err))) {
		const char *name = text_of(event, "event");
		json_t *data = json_object_get(event, "data");

		if (strcmp(text_of(data, "id"), s->id) != 0) {
			over = strcmp(name, "SHUTDOWN") == 0;
			ok = !over;
			if (over)
				fprintf(stderr, "vmtap: the server ends, and the ping with it\n");
		} else if (strcmp(name, "PING_PROBE") == 0) {
			take_probe(s, data);
		} else if (strcmp(name, "PING_ENDED") == 0) {
			ok = !take_end(s, data);
			over = true;
		}
		json_decref(event);
	}
	if (over || stops > 1)
		return ok;
	log_failure(s->cli, &err);
	return false;
}

static int start(struct session *s)
{
	struct vmtap_error err = { 0 };
	const char *why;

	s->ask = ask_open(ask_path(s->cli->control), &err);
	s->answer = s->ask ? ask_run(s->ask, "ping_start", s->args, -1, &err) : NULL;
	if (!s->answer) {
		log_failure(s->cli, &err);
		return exit_code_of(&err);
	}
	s->id = json_string_value(json_object_get(json_object_get(s->answer, "return"), "id"));
	if (s->id)
		return 0;
	why = json_string_value(json_object_get(json_object_get(s->answer, "error"), "desc"));
	fprintf(stderr, "vmtap: %s\n", why ? why : "the server refused");
	return EXIT_RESOURCE;
}

int cmd_ping(const struct cli *cli, int argc, char **argv)
{
	static struct session s; /* large */
	bool ok;
	int ret;

	s.cli = cli;
	ret = read_options(&s, argc, argv);
	if (!ret)
		ret = start(&s);
	if (!ret) {
		catch_signals(&s);
		take_method(&s, json_object_get(s.answer, "return"));
		fflush(stdout);
		ok = follow(&s);
		let_signals_be();
		sum_up(&s);
		ret = ok && s.sum.answered ? EXIT_OK : EXIT_FAILED;
	}
	ask_close(s.ask);
	json_decref(s.answer);
	json_decref(s.args);
	return ret;
}
