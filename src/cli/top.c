/* SPDX-License-Identifier: MIT */
/*
 * `vmtap top`: what moves by the ports of `vmtap serve`, on the whole terminal.
 *
 * Keys are heard also while it waits for the server, which may never answer (wait_answer()). Signals that end it are
 * blocked but for the two places where it waits, where they only end the waiting.
 *
 * Exit status: as `vmtap ctl`; EXIT_OK for SIGINT, SIGTERM, SIGHUP and SIGQUIT.
 */
#include <curses.h>
#include <errno.h>
#include <langinfo.h>
#include <locale.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/top-model.h"
#include "ctl/ask.h"

#define PLAIN_WIDTH 132
#define KEY_ESCAPE 27
/** Until it is said that the server is silent; until a full one is tried again. */
#define SILENCE_S 1.0
#define MOMENT_S 0.1
#define HELP "q quit  s sort  r reverse  / filter  arrows scroll  h help"

static const int stops[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT };

/** struct screen - What is on the terminal besides the model. */
struct screen {
	const struct cli *cli;
	struct top top;
	size_t first;	   /* the row on top, of those that the filter lets through */
	bool help, typing; /* the line at the bottom: keys; the filter */
	bool end;	   /* q */
	char trouble[256]; /* why the last sample failed; empty: it did not */
	sigset_t free;	   /* without the signals that end it */
};

static volatile sig_atomic_t stopped;

static void on_stop(int sig)
{
	stopped = sig;
}

static double now_s(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static double period_s(const struct cli *cli)
{
	return cli->watch_s > 0 ? cli->watch_s : 1;
}

/* ---------------------------------------------------------------------- asking */

/* Return: an array, owned; NULL and @err. */
static json_t *ask_list(struct ask *a, const char *command, struct vmtap_error *err)
{
	json_t *answer = ask_run(a, command, NULL, -1, err);
	json_t *list = json_object_get(answer, "return");

	if (answer && !json_is_array(list)) {
		*err = (struct vmtap_error) { .code = EPROTO };
		snprintf(err->object, sizeof(err->object), "%s", command);
		snprintf(err->reason, sizeof(err->reason), "the server refused");
		list = NULL;
	}
	json_incref(list);
	json_decref(answer);
	return list;
}

static const char *text_of(const json_t *row, const char *key)
{
	return json_string_value(json_object_get(row, key));
}

static uint64_t number_of(const json_t *way, const char *key)
{
	const json_int_t n = json_integer_value(json_object_get(way, key));

	return n > 0 ? (uint64_t)n : 0;
}

static uint64_t drops_of(const json_t *way)
{
	json_t *drops = json_object_get(way, "drops");
	const char *cause;
	json_t *cnt;
	uint64_t sum = 0;

	json_object_foreach(drops, cause, cnt) sum += (uint64_t)json_integer_value(cnt);
	return sum;
}

static const json_t *row_of(const json_t *list, const char *id)
{
	const json_t *row;
	size_t i;

	json_array_foreach(list, i, row)
	{
		const char *other = text_of(row, "id");

		if (other && strcmp(other, id) == 0)
			return row;
	}
	return NULL;
}

static int add_port(struct top *top, const json_t *port, const json_t *stats)
{
	const json_t *rx = json_object_get(stats, "rx"), *tx = json_object_get(stats, "tx");
	const struct top_sample sample = {
		.text = { text_of(port, "id"), text_of(port, "type"), text_of(port, "state"),
			  text_of(port, "peer") },
		.count = { number_of(rx, "frames"), number_of(rx, "bytes") * 8,
			   number_of(tx, "frames"), number_of(tx, "bytes") * 8,
			   drops_of(rx) + drops_of(tx) },
	};

	return top_add(top, &sample);
}

/* A port that came between the two questions is for the next time. */
static int add_ports(struct top *top, const json_t *ports, const json_t *stats,
		     struct vmtap_error *err)
{
	const json_t *port;
	size_t i;
	int ret = 0;

	top_begin(top, now_s());
	json_array_foreach(ports, i, port)
	{
		const char *id = text_of(port, "id");
		const json_t *row = id ? row_of(stats, id) : NULL;

		if (row && !ret)
			ret = add_port(top, port, row);
	}
	top_end(top);
	if (ret)
		*err = (struct vmtap_error) { .code = -ret,
					      .object = "vmtap top",
					      .reason = "there is no memory" };
	return ret;
}

/* A connection for each: events, which nobody reads, would pile up in one that stays.
 * Return: 0, or -1 and @err. */
static int take_sample(const struct cli *cli, struct top *top, const struct ask_wait *wait,
		       struct vmtap_error *err)
{
	struct ask *a = ask_open_with(ask_path(cli->control), wait, err);
	json_t *ports = a ? ask_list(a, "query-ports", err) : NULL;
	json_t *stats = ports ? ask_list(a, "query-stats", err) : NULL;
	int ret = stats ? add_ports(top, ports, stats, err) : -1;

	json_decref(ports);
	json_decref(stats);
	ask_close(a);
	return ret ? -1 : 0;
}

/* ---------------------------------------------------------------------- one table */

static int first_sample(const struct cli *cli, struct top *top)
{
	struct vmtap_error err = { 0 };

	if (take_sample(cli, top, NULL, &err) == 0)
		return EXIT_OK;
	log_failure(cli, &err);
	return exit_code_of(&err);
}

static void wait_s(double secs)
{
	struct timespec ts = { .tv_sec = (time_t)secs };

	ts.tv_nsec = (long)((secs - (double)ts.tv_sec) * 1e9);
	while (nanosleep(&ts, &ts) < 0 && errno == EINTR)
		;
}

static int print_once(const struct cli *cli, struct top *top)
{
	char line[TOP_LINE_MAX];
	int ret;

	wait_s(period_s(cli));
	ret = first_sample(cli, top);
	if (ret)
		return ret;
	puts(top_heading(top, PLAIN_WIDTH, line, sizeof(line)));
	for (size_t i = 0; i < top->cnt; i++)
		puts(top_row(top, &top->ports[i], PLAIN_WIDTH, line, sizeof(line)));
	return EXIT_OK;
}

/* ---------------------------------------------------------------------- the screen */

static void put_line(int y, const char *text)
{
	/* The last column of the last line would scroll. */
	mvaddnstr(y, 0, text, -1);
	clrtoeol();
}

static size_t shown_cnt(const struct top *top)
{
	size_t cnt = 0;

	for (size_t i = 0; i < top->cnt; i++)
		cnt += top_shows(top, &top->ports[i]);
	return cnt;
}

static void draw_head(const struct screen *s, size_t cnt)
{
	char line[TOP_LINE_MAX];

	snprintf(line, sizeof(line), "vmtap top  %zu of %zu ports  every %g s  by %s%s%s%s", cnt,
		 s->top.cnt, period_s(s->cli), top_column_name(s->top.sort),
		 s->top.reverse ? ", reversed" : "", s->top.filter[0] ? "  /" : "", s->top.filter);
	line[COLS < TOP_LINE_MAX ? COLS : TOP_LINE_MAX - 1] = '\0';
	put_line(0, line);
	attron(A_REVERSE);
	put_line(1, top_heading(&s->top, COLS, line, sizeof(line)));
	attroff(A_REVERSE);
}

/* Return: is there a line at the bottom? */
static bool draw_bottom(const struct screen *s)
{
	char line[TOP_LINE_MAX] = "";

	if (s->typing)
		snprintf(line, sizeof(line), "/%s_", s->top.filter);
	else if (s->trouble[0])
		snprintf(line, sizeof(line), "%s", s->trouble);
	else if (s->help)
		snprintf(line, sizeof(line), HELP);
	if (!line[0])
		return false;
	line[COLS > 1 && COLS < TOP_LINE_MAX ? COLS - 1 : TOP_LINE_MAX - 1] = '\0';
	put_line(LINES - 1, line);
	return true;
}

static void draw(struct screen *s)
{
	const size_t cnt = shown_cnt(&s->top);
	char line[TOP_LINE_MAX];
	size_t index = 0;
	int y = 2, end;

	erase();
	draw_head(s, cnt);
	end = LINES - draw_bottom(s);
	if (s->first >= cnt)
		s->first = cnt ? cnt - 1 : 0;
	for (size_t i = 0; i < s->top.cnt && y < end; i++) {
		if (!top_shows(&s->top, &s->top.ports[i]) || index++ < s->first)
			continue;
		put_line(y++, top_row(&s->top, &s->top.ports[i], COLS - 1, line, sizeof(line)));
	}
	refresh();
}

/* ---------------------------------------------------------------------- keys */

static void type_filter(struct screen *s, int key)
{
	const size_t len = strlen(s->top.filter);

	if (key == '\n' || key == '\r' || key == KEY_ENTER) {
		s->typing = false;
	} else if (key == KEY_ESCAPE) {
		s->typing = false;
		s->top.filter[0] = '\0';
	} else if ((key == KEY_BACKSPACE || key == 127 || key == '\b') && len) {
		s->top.filter[len - 1] = '\0';
	} else if (key >= ' ' && key <= '~' && len + 1 < sizeof(s->top.filter)) {
		s->top.filter[len] = (char)key;
		s->top.filter[len + 1] = '\0';
	}
}

static void press(struct screen *s, int key)
{
	if (s->typing && key != KEY_RESIZE) {
		type_filter(s, key);
		return;
	}
	switch (key) {
	case 'q':
		s->end = true;
		break;
	case 's':
		s->top.sort = (s->top.sort + 1) % TOP_COLUMN_CNT;
		top_sort(&s->top);
		break;
	case 'r':
		s->top.reverse = !s->top.reverse;
		top_sort(&s->top);
		break;
	case '/':
		s->typing = true;
		break;
	case 'h':
		s->help = !s->help;
		break;
	case KEY_DOWN:
		s->first++;
		break;
	case KEY_UP:
		s->first -= s->first > 0;
		break;
	default: /* KEY_RESIZE among them: all is drawn anew */
		break;
	}
}

/* A terminal that has gone is as good as q. */
static void see_keys(struct screen *s, short events)
{
	int key;

	if (events & (POLLHUP | POLLERR | POLLNVAL))
		s->end = true;
	while (!s->end && (key = getch()) != ERR)
		press(s, key);
	draw(s);
}

static int wait_events(struct screen *s, struct pollfd *at, unsigned cnt, double secs)
{
	struct timespec ts = { .tv_sec = (time_t)secs };
	int ready;

	ts.tv_nsec = (long)((secs - (double)ts.tv_sec) * 1e9);
	ready = ppoll(at, cnt, &ts, &s->free);
	if (ready <= 0)
		at[0].revents = 0;
	return ready;
}

/* Keys until @until_s. */
static void wait_keys(struct screen *s, double until_s)
{
	double left;

	while (!s->end && !stopped && (left = until_s - now_s()) > 0) {
		struct pollfd in = { .fd = STDIN_FILENO, .events = POLLIN };

		wait_events(s, &in, 1, left);
		see_keys(s, in.revents);
	}
}

/* As ask_wait.wait: keys until the server answers. */
static int wait_answer(void *opaque, int fd)
{
	struct screen *s = opaque;

	while (!s->end && !stopped) {
		struct pollfd at[] = { { .fd = STDIN_FILENO, .events = POLLIN },
				       { .fd = fd, .events = POLLIN } };
		const int ready = wait_events(s, at, 2, fd < 0 ? MOMENT_S : SILENCE_S);

		if (ready > 0 && at[1].revents)
			return 0;
		if (ready == 0)
			snprintf(s->trouble, sizeof(s->trouble), "the server does not answer");
		see_keys(s, at[0].revents);
		if (ready == 0 && fd < 0)
			break; /* try again */
	}
	return s->end || stopped ? -ECANCELED : 0;
}

/* ---------------------------------------------------------------------- life */

static void catch_signals(struct screen *s)
{
	struct sigaction action = { .sa_handler = on_stop };
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGWINCH);
	for (unsigned i = 0; i < sizeof(stops) / sizeof(stops[0]); i++)
		sigaddset(&set, stops[i]);
	action.sa_mask = set;
	for (unsigned i = 0; i < sizeof(stops) / sizeof(stops[0]); i++)
		sigaction(stops[i], &action, NULL);
	sigprocmask(SIG_BLOCK, &set, &s->free);
	for (unsigned i = 0; i < sizeof(stops) / sizeof(stops[0]); i++)
		sigdelset(&s->free, stops[i]);
	sigdelset(&s->free, SIGWINCH);
}

static void sample_screen(struct screen *s)
{
	const struct ask_wait wait = { .wait = wait_answer, .opaque = s };
	struct vmtap_error err = { 0 };

	if (take_sample(s->cli, &s->top, &wait, &err) < 0)
		snprintf(s->trouble, sizeof(s->trouble), "no sample: %.79s: %.150s", err.object,
			 err.reason);
	else
		s->trouble[0] = '\0';
}

static int run_screen(struct screen *s)
{
	SCREEN *screen;

	catch_signals(s); /* in front: curses leaves those alone that have a handler */
	screen = newterm(NULL, stdout, stdin);
	if (!screen) {
		fprintf(stderr,
			"vmtap: this terminal ($TERM) is not known to curses; add --once\n");
		return EXIT_FAILED;
	}
	cbreak();
	noecho();
	nonl();
	curs_set(0);
	keypad(stdscr, TRUE);
	nodelay(stdscr, TRUE);
	set_escdelay(25);
	while (!s->end && !stopped) {
		draw(s);
		wait_keys(s, now_s() + period_s(s->cli));
		if (!s->end && !stopped)
			sample_screen(s);
	}
	endwin();
	delscreen(screen);
	return EXIT_OK;
}

int cmd_top(const struct cli *cli, int argc, char **argv)
{
	struct screen s = { .cli = cli };
	int ret;

	if (argc) {
		fprintf(stderr, "vmtap: top takes no argument: %s; see vmtap --help\n", argv[0]);
		return EXIT_USAGE;
	}
	setlocale(LC_CTYPE, "");
	s.top.utf8 = strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
	ret = first_sample(cli, &s.top);
	if (!ret)
		ret = cli->once || !isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO)
			      ? print_once(cli, &s.top)
			      : run_screen(&s);
	top_fini(&s.top);
	return ret;
}
