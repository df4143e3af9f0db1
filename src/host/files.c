/* SPDX-License-Identifier: MIT */
/* Small files of the kernel's, and who asks. */
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/fd.h"
#include "host/checks.h"

int read_text(const char *path, char *buf, size_t size)
{
	cleanup_fd int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	size_t len = 0;
	ssize_t n;

	buf[0] = '\0';
	if (fd < 0)
		return -errno;
	while (len < size - 1 && (n = read(fd, buf + len, size - 1 - len)) != 0) {
		if (n > 0)
			len += (size_t)n;
		else if (errno != EINTR)
			return -errno;
	}
	if (len && buf[len - 1] == '\n')
		len--;
	buf[len] = '\0';
	return (int)len;
}

long read_number(const char *path, long none)
{
	char text[32], *end;
	long value;

	if (read_text(path, text, sizeof(text)) <= 0)
		return none;
	errno = 0;
	value = strtol(text, &end, 10);
	return errno || end == text ? none : value;
}

const char *user_name(char *buf, size_t size)
{
	struct passwd *pw = getpwuid(geteuid());

	if (pw)
		snprintf(buf, size, "%s", pw->pw_name);
	else
		snprintf(buf, size, "%u", geteuid());
	return buf;
}

/* A line "NUMBER NAME" of /proc/misc. */
bool driver_is_loaded(const char *name)
{
	char text[4096], *line, *save;

	if (read_text("/proc/misc", text, sizeof(text)) < 0)
		return false;
	for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		line += strspn(line, " 0123456789");
		if (strcmp(line, name) == 0)
			return true;
	}
	return false;
}

/* Is one of the lines about the module "…/NAME.ko", compressed or not? */
static bool lists_module(const char *path, const char *name)
{
	char *line = NULL, wanted[64];
	FILE *f = fopen(path, "re");
	bool found = false;
	size_t size = 0;

	snprintf(wanted, sizeof(wanted), "/%s.ko", name);
	while (f && !found && getline(&line, &size, f) > 0) {
		line[strcspn(line, ":\n")] = '\0';
		found = strstr(line, wanted);
	}
	free(line);
	if (f)
		fclose(f);
	return found;
}

/* A line "NAME SIZE …" of /proc/modules. */
static bool is_in_memory(const char *name)
{
	char *line = NULL;
	FILE *f = fopen("/proc/modules", "re");
	size_t size = 0;
	bool found = false;

	while (f && !found && getline(&line, &size, f) > 0) {
		line[strcspn(line, " ")] = '\0';
		found = strcmp(line, name) == 0;
	}
	free(line);
	if (f)
		fclose(f);
	return found;
}

bool module_is_idle(const char *name)
{
	struct utsname u;
	char path[200];

	uname(&u);
	snprintf(path, sizeof(path), "/lib/modules/%s/modules.dep", u.release);
	return access("/proc/modules", R_OK) == 0 && !is_in_memory(name) &&
	       lists_module(path, name);
}

bool driver_is_installed(const char *module, char *modules, size_t size)
{
	static const char *const lists[] = { "modules.dep", "modules.builtin" };
	struct utsname u;
	char path[200];

	uname(&u);
	snprintf(modules, size, "/lib/modules/%s", u.release);
	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
		snprintf(path, sizeof(path), "/lib/modules/%s/%s", u.release, lists[i]);
		if (lists_module(path, module))
			return true;
	}
	return false;
}
