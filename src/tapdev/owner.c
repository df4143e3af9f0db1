/* SPDX-License-Identifier: MIT */
/* Owner tags: who made an interface. */
#include "tapdev/owner.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

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

/* Field 22 of /proc/PID/stat; 0: no such process. The name in field 2 may hold anything. */
static uint64_t start_time(int pid)
{
	char path[64], text[1024], *p;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	if (!slurp(path, text, sizeof(text)))
		return 0;
	p = strrchr(text, ')');
	for (int field = 2; p && field < 22; field++) {
		p = strchr(p + 1, ' ');
	}
	return p ? strtoull(p + 1, NULL, 10) : 0;
}

static uint64_t pid_namespace(void)
{
	struct stat st;

	return stat("/proc/self/ns/pid", &st) == 0 ? st.st_ino : 0;
}

static void process_name(int pid, char name[64])
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/comm", pid);
	if (!slurp(path, name, 64))
		snprintf(name, 64, "?");
	name[strcspn(name, "\n")] = '\0';
	for (char *c = name; *c; c++)
		if (!isgraph((unsigned char)*c))
			*c = '_';
}

void owner_tag(char tag[OWNER_TAG_MAX], int pid)
{
	struct passwd *pw = getpwuid(getuid());
	char program[64], user[40];

	if (!pid)
		pid = getpid();
	process_name(pid, program);
	if (pw)
		snprintf(user, sizeof(user), "%.32s", pw->pw_name);
	else
		snprintf(user, sizeof(user), "%u", getuid());
	snprintf(tag, OWNER_TAG_MAX,
		 PREFIX "user=%s program=%.24s pid=%d start=%" PRIu64 " ns=%" PRIu64 " since=%lld",
		 user, program, pid, start_time(pid), pid_namespace(), (long long)time(NULL));
}

/* The number behind "KEY=", or false. */
static bool number(const char *text, const char *key, uint64_t *value)
{
	const char *p = strstr(text, key);
	char *end;

	if (!p)
		return false;
	p += strlen(key);
	if (!isdigit((unsigned char)*p))
		return false;
	errno = 0;
	*value = strtoull(p, &end, 10);
	return !errno && (*end == ' ' || !*end);
}

static void word(const char *text, const char *key, char *out, size_t size)
{
	const char *p = strstr(text, key);
	size_t len;

	out[0] = '\0';
	if (!p)
		return;
	p += strlen(key);
	len = strcspn(p, " ");
	if (len >= size)
		len = size - 1;
	for (size_t i = 0; i < len; i++)
		out[i] = isgraph((unsigned char)p[i]) ? p[i] : '?';
	out[len] = '\0';
}

bool owner_parse(const char *alias, struct owner *owner)
{
	uint64_t pid, since;
	char user[30], program[26];

	if (strncmp(alias, PREFIX, strlen(PREFIX)) != 0)
		return false;
	if (!number(alias, " pid=", &pid) || pid < 1 || pid > INT32_MAX ||
	    !number(alias, " start=", &owner->start) || !number(alias, " ns=", &owner->ns) ||
	    !number(alias, " since=", &since) || since > INT64_MAX)
		return false;
	word(alias, " user=", user, sizeof(user));
	word(alias, " program=", program, sizeof(program));
	snprintf(owner->who, sizeof(owner->who), "%s, %s", user, program);
	owner->pid = (int)pid;
	owner->since = (int64_t)since;
	return true;
}

enum owner_state owner_state(const struct owner *owner)
{
	if (owner->ns != pid_namespace())
		return OWNER_UNKNOWN;
	return start_time(owner->pid) == owner->start ? OWNER_ALIVE : OWNER_GONE;
}

/* Look at each descriptor of a process. Return: how many @is_it says yes to; @all: else stop at the first. */
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

/* Ask @holds of every process but @except. Return: the first for which it is not 0; 0: none. */
static int find_process(int except, unsigned (*holds)(int pid, const void *ctx), const void *ctx,
			char name[64], unsigned *cnt)
{
	DIR *proc = opendir("/proc");
	struct dirent *e;
	int pid = 0;

	*cnt = 0;
	while (proc && !pid && (e = readdir(proc))) {
		int n = atoi(e->d_name);

		if (n > 0 && n != except)
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

static bool is_queue(const char *path, const void *line)
{
	char text[1024];

	return slurp(path, text, sizeof(text)) && strstr(text, line);
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
	return find_process(getpid(), holds_queue, line, name, &cnt);
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
	return find_process(0, holds_device, &dev, name, cnt);
}
