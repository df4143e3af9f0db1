/* SPDX-License-Identifier: MIT */
/* Owner tags: who made an interface. */
#include "tapdev/owner.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/if_tun.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"

#define PREFIX "vmtap: "

/* The whole of a small file, NUL-terminated. Return: whether it could be read. */
static bool slurp(const char *path, char *buf, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, buf, size - 1);

	if (fd >= 0)
		close(fd);
	if (n < 0)
		return false;
	buf[n] = '\0';
	return true;
}

/**
 * struct life - What /proc/PID/stat says
 * @start: field 22, when it started; 0: there is no such process, or that is not to be seen
 * @ended: it has, and only its parent has not looked
 */
struct life {
	uint64_t start;
	bool ended;
};

/* The name in field 2 may hold anything. */
static struct life look_at(const char *path)
{
	struct life life = { 0 };
	char text[1024], *p;

	if (!slurp(path, text, sizeof(text)))
		return life;
	p = strrchr(text, ')');
	if (p && p[1])
		life.ended = p[2] == 'Z' || p[2] == 'X';
	for (int field = 2; p && field < 22; field++)
		p = strchr(p + 1, ' ');
	life.start = p ? strtoull(p + 1, NULL, 10) : 0;
	return life;
}

static struct life look_at_pid(int pid)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	return look_at(path);
}

/* Does /proc number processes as we do? Not when it was mounted in another PID namespace. */
static bool proc_is_ours(void)
{
	char text[32];
	ssize_t n = readlink("/proc/self", text, sizeof(text) - 1);

	text[n > 0 ? n : 0] = '\0';
	return atoi(text) == getpid();
}

/* Its inode; 0: not to be seen. */
static uint64_t pid_namespace(void)
{
	struct stat st;

	return stat("/proc/self/ns/pid", &st) == 0 ? st.st_ino : 0;
}

/* Something that stands for a word in a line: no white space, nothing that a terminal obeys. */
static void make_word(char *text, char instead)
{
	for (char *c = text; *c; c++)
		if (!isgraph((unsigned char)*c))
			*c = instead;
}

static void process_name(int pid, char name[64])
{
	char path[64];
	size_t len;

	snprintf(path, sizeof(path), "/proc/%d/comm", pid);
	if (!slurp(path, name, 64))
		snprintf(name, 64, "?");
	len = strlen(name);
	if (len && name[len - 1] == '\n')
		name[len - 1] = '\0';
	make_word(name, '_');
}

void owner_tag(char tag[OWNER_TAG_MAX], int pid)
{
	struct life life = pid ? look_at_pid(pid) : look_at("/proc/self/stat");
	struct passwd *pw = getpwuid(getuid());
	char program[64], user[40];

	if (!pid)
		pid = getpid();
	process_name(pid, program);
	if (pw)
		snprintf(user, sizeof(user), "%.32s", pw->pw_name);
	else
		snprintf(user, sizeof(user), "%u", getuid());
	make_word(user, '_');
	snprintf(tag, OWNER_TAG_MAX,
		 PREFIX "user=%s program=%.24s pid=%d start=%" PRIu64 " ns=%" PRIu64 " since=%lld",
		 user, program, pid, life.start, pid_namespace(), (long long)time(NULL));
}

/* ---------------------------------------------------------------------- parsing */

/* "KEY=WORD" and the space behind it, or the end. Return: what is behind; NULL: it is not there. */
static const char *take_word(const char *text, const char *key, char *word, size_t size)
{
	size_t len = strlen(key);

	if (!text || strncmp(text, key, len) != 0 || text[len] != '=')
		return NULL;
	text += len + 1;
	len = strcspn(text, " ");
	snprintf(word, size, "%.*s", (int)len, text);
	make_word(word, '?');
	return text[len] ? text + len + 1 : text + len;
}

static const char *take_number(const char *text, const char *key, uint64_t max, uint64_t *value)
{
	char word[24], *end;

	text = take_word(text, key, word, sizeof(word));
	if (!text || !isdigit((unsigned char)word[0]))
		return NULL;
	errno = 0;
	*value = strtoull(word, &end, 10);
	return errno || *end || *value > max ? NULL : text;
}

/* Later versions may put more behind it. */
bool owner_parse(const char *alias, struct owner *owner)
{
	char user[30], program[26];
	uint64_t pid, since;

	if (strncmp(alias, PREFIX, strlen(PREFIX)) != 0)
		return false;
	alias = take_word(alias + strlen(PREFIX), "user", user, sizeof(user));
	alias = take_word(alias, "program", program, sizeof(program));
	alias = take_number(alias, "pid", INT32_MAX, &pid);
	alias = take_number(alias, "start", UINT64_MAX, &owner->start);
	alias = take_number(alias, "ns", UINT64_MAX, &owner->ns);
	alias = take_number(alias, "since", INT64_MAX, &since);
	if (!alias || !pid)
		return false;
	snprintf(owner->who, sizeof(owner->who), "%s, %s", user, program);
	owner->pid = (int)pid;
	owner->since = (int64_t)since;
	return true;
}

enum owner_state owner_state(const struct owner *owner)
{
	uint64_t ns = pid_namespace();
	struct life life;

	if (!ns || owner->ns != ns || !owner->start || !proc_is_ours())
		return OWNER_UNKNOWN;
	life = look_at_pid(owner->pid);
	return life.start == owner->start && !life.ended ? OWNER_ALIVE : OWNER_GONE;
}

/* Look at each descriptor of a process. Return: how many @is_it says yes to; without @all, stop at
 * the first. */
static unsigned count_fds(int pid, const char *folder, bool all,
			  bool (*is_it)(const char *path, const void *ctx), const void *ctx)
{
	char path[300];
	unsigned cnt = 0;
	struct dirent *e;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, folder);
	dir = opendir(path);
	while (dir && (all || !cnt) && (e = readdir(dir))) {
		if (e->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "/proc/%d/%s/%s", pid, folder, e->d_name);
		cnt += is_it(path, ctx);
	}
	if (dir)
		closedir(dir);
	return cnt;
}

/* Ask @holds of every process. Return: the first for which it is not 0; 0: none. */
static int find_process(unsigned (*holds)(int pid, const void *ctx), const void *ctx, char name[64],
			unsigned *cnt)
{
	DIR *proc = opendir("/proc");
	struct dirent *e;
	int pid = 0;

	*cnt = 0;
	while (proc && !pid && (e = readdir(proc))) {
		int n = atoi(e->d_name);

		if (n > 0)
			*cnt = holds(n, ctx);
		if (*cnt)
			pid = n;
	}
	if (proc)
		closedir(proc);
	name[0] = '\0';
	if (pid)
		process_name(pid, name);
	return pid;
}

/* Is the TAP behind that descriptor of this network namespace? Others may have one of the same
 * name. Where a look at it is not allowed, it is taken to be. */
static bool is_in_our_namespace(int pid, int fd)
{
	cleanup_fd int pidfd = (int)syscall(SYS_pidfd_open, pid, 0u);
	cleanup_fd int copy = pidfd < 0 ? -1 : (int)syscall(SYS_pidfd_getfd, pidfd, fd, 0u);
	cleanup_fd int ns = copy < 0 ? -1 : ioctl(copy, TUNGETDEVNETNS);
	struct stat theirs, ours;

	return ns < 0 || fstat(ns, &theirs) < 0 || stat("/proc/thread-self/ns/net", &ours) < 0 ||
	       (theirs.st_ino == ours.st_ino && theirs.st_dev == ours.st_dev);
}

static bool is_queue(const char *path, const void *line)
{
	char text[1024];
	int pid, fd;

	return slurp(path, text, sizeof(text)) && strstr(text, line) &&
	       sscanf(path, "/proc/%d/fdinfo/%d", &pid, &fd) == 2 && is_in_our_namespace(pid, fd);
}

static unsigned holds_queue(int pid, const void *line)
{
	return count_fds(pid, "fdinfo", false, is_queue, line);
}

/* The tun driver writes "iff:\tNAME" into a descriptor's fdinfo. */
int owner_find_holder(const char *ifname, char name[64])
{
	char line[64];
	unsigned cnt;

	snprintf(line, sizeof(line), "iff:\t%s\n", ifname);
	return find_process(holds_queue, line, name, &cnt);
}

/* Without asking a file server that may be down. */
static bool is_device(const char *path, const void *dev)
{
	struct statx st;

	return statx(AT_FDCWD, path, AT_STATX_DONT_SYNC, STATX_TYPE, &st) == 0 &&
	       S_ISCHR(st.stx_mode) &&
	       makedev(st.stx_rdev_major, st.stx_rdev_minor) == *(const dev_t *)dev;
}

static unsigned holds_device(int pid, const void *dev)
{
	return count_fds(pid, "fd", true, is_device, dev);
}

int owner_find_opener(dev_t dev, char name[64], unsigned *cnt)
{
	return find_process(holds_device, &dev, name, cnt);
}
