/* SPDX-License-Identifier: MIT */
/*
 * `vmtap exec PORT -- COMMAND…`: open a TAP, hand its descriptors over, and
 * get out of the way.
 *
 * Without --wait, the command takes this process's place: same process
 * number, nothing of vmtap left. With --wait, vmtap stays: it passes signals
 * and the exit status on, and when the command has ended, however it ended,
 * runs the down script and closes the TAP, which removes it unless persist=on.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/vhost.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/cli.h"

#define QUEUES_MAX 256
#define EXIT_NOT_RUN 126 /* as env(1) and nohup(1): found, and cannot be run */
#define EXIT_NOT_FOUND 127

/** struct handover - What the command's words are replaced with. */
struct handover {
	char fd[16], fds[QUEUES_MAX * 8], vhostfds[QUEUES_MAX * 8];
	char mac[18];
	const char *ifname;
	int tap_fds[QUEUES_MAX], vhost_fds[QUEUES_MAX];
	unsigned queues, vhosts;
};

static int fail(const struct cli *cli, int code, const char *object, const char *action,
		const char *reason, const char *remedy)
{
	struct vmtap_error err = { .code = code };

	snprintf(err.object, sizeof(err.object), "%s", object);
	snprintf(err.action, sizeof(err.action), "%s", action);
	snprintf(err.reason, sizeof(err.reason), "%s", reason ? reason : strerror(code));
	snprintf(err.remedy, sizeof(err.remedy), "%s", remedy);
	log_failure(cli, &err);
	return code == EINVAL ? EXIT_USAGE : EXIT_RESOURCE;
}

/* Of a macvtap, the guest uses the interface's own address. */
static void macvtap_mac(int fd, char mac[18])
{
	struct ifreq ifr = { 0 };
	unsigned char *m = (unsigned char *)ifr.ifr_hwaddr.sa_data;

	if (ioctl(fd, SIOCGIFHWADDR, &ifr) < 0)
		ifr = (struct ifreq) { 0 };
	snprintf(mac, 18, "%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2], m[3], m[4], m[5]);
}

/* Of a TAP, one beside it: locally known to be nobody's, and the same at each start of this guest
 * on this machine (FNV-1a of the machine's id and the interface's name). */
static void tap_guest_mac(const char *ifname, char mac[18])
{
	char id[64] = "";
	int fd = open("/etc/machine-id", O_RDONLY | O_CLOEXEC);
	uint32_t hash = 2166136261u;

	if (fd >= 0) {
		(void)!read(fd, id, sizeof(id) - 1);
		close(fd);
	}
	for (const char *c = id; *c; c++)
		hash = (hash ^ (unsigned char)*c) * 16777619u;
	for (const char *c = ifname; *c; c++)
		hash = (hash ^ (unsigned char)*c) * 16777619u;
	snprintf(mac, 18, "52:54:00:%02x:%02x:%02x", hash >> 16 & 255, hash >> 8 & 255, hash & 255);
}

static void join(char *list, size_t size, const int *fds, unsigned cnt)
{
	size_t len = 0;

	for (unsigned i = 0; i < cnt && len < size; i++)
		len += (size_t)snprintf(list + len, size - len, "%s%d", i ? ":" : "", fds[i]);
}

static void inherit(const int *fds, unsigned cnt)
{
	for (unsigned i = 0; i < cnt; i++)
		fcntl(fds[i], F_SETFD, 0);
}

static bool wants(char **command, const char *word)
{
	for (; *command; command++)
		if (strstr(*command, word))
			return true;
	return false;
}

/* What the port has (vhost=on), which a helper may have opened, or else the device. Return: a descriptor
 * that nobody uses yet; -1 and errno. */
static int open_vhost(struct vmtap_port *port, unsigned pair)
{
	struct vmtap_vhost *v = vmtap_port_vhost(port, pair);

	if (!v)
		return open("/dev/vhost-net", O_RDWR | O_CLOEXEC);
	/* it belongs to a process, which the command is to be */
	return ioctl(vmtap_vhost_fd(v), VHOST_RESET_OWNER, NULL) < 0 ? -1 : vmtap_vhost_fd(v);
}

static int open_vhosts(const struct cli *cli, struct vmtap_port *port, struct handover *h)
{
	for (; h->vhosts < h->queues; h->vhosts++) {
		int fd = open_vhost(port, h->vhosts);

		if (fd < 0)
			return fail(cli, errno, "/dev/vhost-net", "open it for {vhostfds}", NULL,
				    errno == ENOENT ? "load the module: modprobe vhost_net; or "
						      "leave {vhostfds} out"
						    : "have an administrator allow it, or leave "
						      "{vhostfds} out");
		h->vhost_fds[h->vhosts] = fd;
	}
	join(h->vhostfds, sizeof(h->vhostfds), h->vhost_fds, h->vhosts);
	return 0;
}

static int prepare(const struct cli *cli, struct vmtap_port *port, char **command,
		   struct handover *h)
{
	int fd, ret = 0;

	h->ifname = vmtap_port_ifname(port);
	if (!h->ifname)
		return fail(cli, EINVAL, vmtap_port_name(port), "hand the port over",
			    "it has no TAP behind it", "use tap, bridge or macvtap");
	while (h->queues < QUEUES_MAX && (fd = vmtap_port_fd(port, h->queues)) >= 0)
		h->tap_fds[h->queues++] = fd;
	if (h->queues > 1 && wants(command, "{fd}"))
		return fail(cli, EINVAL, vmtap_port_name(port), "replace {fd}",
			    "the port has several queues", "write {fds}");
	if (wants(command, "{vhostfd"))
		ret = open_vhosts(cli, port, h);
	snprintf(h->fd, sizeof(h->fd), "%d", h->tap_fds[0]);
	join(h->fds, sizeof(h->fds), h->tap_fds, h->queues);
	if (strcmp(vmtap_port_type(port), "macvtap") == 0)
		macvtap_mac(h->tap_fds[0], h->mac);
	else
		tap_guest_mac(h->ifname, h->mac);
	return ret;
}

/* ------------------------------------------------------------------- the words */

struct replacement {
	const char *word, *by;
};

/* @text with every {word} replaced; owned. */
static char *replace(const char *text, const struct replacement *list)
{
	char *out = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&out, &len);

	if (!f)
		return NULL;
	while (*text) {
		const struct replacement *r = list;

		while (r->word && strncmp(text, r->word, strlen(r->word)) != 0)
			r++;
		if (r->word) {
			fputs(r->by, f);
			text += strlen(r->word);
		} else {
			fputc(*text++, f);
		}
	}
	return fclose(f) == 0 ? out : NULL;
}

static bool replace_all(char **command, const struct handover *h)
{
	const struct replacement list[] = {
		{ "{fd}", h->fd },
		{ "{fds}", h->fds },
		{ "{vhostfds}", h->vhostfds },
		{ "{vhostfd}", h->vhostfds },
		{ "{ifname}", h->ifname },
		{ "{mac}", h->mac },
		{ NULL, NULL },
	};

	for (; *command; command++) {
		*command = replace(*command, list);
		if (!*command)
			return false;
	}
	return true;
}

/* -------------------------------------------------------------------- running it */

static int run_command(const struct cli *cli, char **command, const sigset_t *mask)
{
	int code;

	signal(SIGPIPE, SIG_DFL);
	sigprocmask(SIG_SETMASK, mask, NULL);
	execvp(command[0], command);
	code = errno;
	fail(cli, code, command[0], "run the command", NULL,
	     code == ENOENT ? "give its path, or check $PATH" : "");
	return code == ENOENT ? EXIT_NOT_FOUND : EXIT_NOT_RUN;
}

/* Take a signal that is there. Those that somebody sent to vmtap are meant for the command; those
 * of a terminal have reached it already. Return: whether there was one. */
static bool pass_on(int signal_fd, pid_t pid)
{
	struct signalfd_siginfo info;

	if (read(signal_fd, &info, sizeof(info)) != sizeof(info))
		return false;
	if (pid > 0 && info.ssi_signo != SIGCHLD && info.ssi_code <= 0) /* SI_USER, SI_QUEUE … */
		kill(pid, (int)info.ssi_signo);
	return true;
}

/* What came before the command's end was about the command, and is not to end the down script. */
static void discard_signals(int signal_fd)
{
	while (pass_on(signal_fd, 0))
		;
}

static int wait_for(int signal_fd, pid_t pid)
{
	struct pollfd pfd = { .fd = signal_fd, .events = POLLIN };
	int status = 0;

	for (;;) {
		pid_t got = waitpid(pid, &status, WNOHANG);

		if (got == pid || (got < 0 && errno != EINTR))
			break;
		if (!pass_on(signal_fd, pid))
			poll(&pfd, 1, -1);
	}
	discard_signals(signal_fd);
	if (WIFSIGNALED(status))
		return 128 + WTERMSIG(status);
	return WEXITSTATUS(status);
}

static int run_and_wait(const struct cli *cli, char **command, const sigset_t *mask)
{
	sigset_t all;
	int signal_fd, status;
	pid_t pid;

	sigfillset(&all);
	signal_fd = signalfd(-1, &all, SFD_CLOEXEC | SFD_NONBLOCK);
	if (signal_fd < 0)
		return fail(cli, errno, "vmtap", "watch for signals", NULL, "");
	pid = fork();
	if (pid == 0)
		_exit(run_command(cli, command, mask));
	status = pid < 0 ? fail(cli, errno, command[0], "run the command", NULL, "")
			 : wait_for(signal_fd, pid);
	close(signal_fd);
	return status;
}

/* Signals wait until they are looked at. One that is ignored stays so (nohup(1)). */
static void block_signals(sigset_t *old)
{
	struct sigaction action;
	sigset_t set;

	sigfillset(&set);
	for (int sig = 1; sig <= SIGRTMAX; sig++)
		if (sigaction(sig, NULL, &action) == 0 && action.sa_handler == SIG_IGN)
			sigdelset(&set, sig);
	sigdelset(&set, SIGTSTP);
	sigdelset(&set, SIGTTIN);
	sigdelset(&set, SIGTTOU);
	sigprocmask(SIG_BLOCK, &set, old);
}

/* What ends a script that hangs. */
static int open_cancel(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* A signal that came while the port was opened, and ends a program. Return: its number; 0: none. */
static int ending_signal(const sigset_t *mask)
{
	static const int harmless[] = { SIGCHLD, SIGCONT, SIGURG, SIGWINCH };
	sigset_t pending;

	sigpending(&pending);
	for (size_t i = 0; i < sizeof(harmless) / sizeof(harmless[0]); i++)
		sigdelset(&pending, harmless[i]);
	for (int sig = 1; sig <= SIGRTMAX; sig++)
		if (sigismember(&pending, sig) && !sigismember(mask, sig))
			return sig;
	return 0;
}

static int hand_over(const struct cli *cli, struct vmtap_port *port, char **command,
		     const sigset_t *mask)
{
	struct handover *h = calloc(1, sizeof(*h));
	int ret = h ? prepare(cli, port, command, h)
		    : fail(cli, ENOMEM, "vmtap", "hand the port over", NULL, "");

	if (ret == 0 && !replace_all(command, h))
		ret = fail(cli, ENOMEM, "vmtap", "hand the port over", NULL, "");
	if (ret == 0) {
		inherit(h->tap_fds, h->queues);
		inherit(h->vhost_fds, h->vhosts);
		ret = cli->wait ? run_and_wait(cli, command, mask)
				: run_command(cli, command, mask);
	}
	free(h);
	return ret;
}

int cmd_exec(const struct cli *cli, int argc, char **argv)
{
	struct vmtap_config config = {
		.size = sizeof(config),
		.log_level = cli->log_level,
		.log = log_line,
		.opaque = (void *)(uintptr_t)cli,
		.engine = VMTAP_ENGINE_PLAIN, /* no frame passes through us */
	};
	struct vmtap_error err = { 0 };
	struct vmtap_port *port = NULL;
	struct vmtap *v;
	sigset_t mask;
	int ret, cancel_fd, sig;

	if (argc > 1 && strcmp(argv[1], "--") == 0) { /* POSIXLY_CORRECT: getopt left it */
		argv[1] = argv[0];
		argv++;
		argc--;
	}
	if (argc < 2)
		return fail(cli, EINVAL, "vmtap", "exec", "it takes a port and a command",
			    "for example: vmtap exec tap,br=br0 -- qemu-system-x86_64 ... -netdev "
			    "tap,id=n0,fds={fds}");
	block_signals(&mask);
	cancel_fd = open_cancel();
	v = vmtap_new(&config, &err);
	if (v) {
		vmtap_set_cancel_fd(v, cancel_fd);
		port = vmtap_port_open(v, argv[0], &err);
	}
	if (!port)
		log_failure(cli, &err);
	sig = ending_signal(&mask);
	if (sig && (port || err.code == ECANCELED)) {
		discard_signals(cancel_fd);
		ret = 128 + sig;
	} else {
		ret = port ? hand_over(cli, port, argv + 1, &mask) : exit_code_of(&err);
	}
	vmtap_free(v); /* runs the down script */
	if (cancel_fd >= 0)
		close(cancel_fd);
	return ret;
}
