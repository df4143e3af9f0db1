/* SPDX-License-Identifier: MIT */
/* Programs for the kernel that others have loaded. */
#include "tapdev/bpf.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/magic.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

int bpf_get_pinned(const char *path)
{
	union bpf_attr attr;
	long fd;

	memset(&attr, 0, sizeof(attr));
	attr.pathname = (uintptr_t)path;
	attr.file_flags = BPF_F_RDONLY; /* the right to read it will do */
	fd = syscall(SYS_bpf, BPF_OBJ_GET, &attr, sizeof(attr));
	return fd < 0 ? -errno : (int)fd;
}

bool bpf_is_pinned(const char *path)
{
	struct statfs fs;

	return statfs(path, &fs) == 0 && (unsigned long)fs.f_type == BPF_FS_MAGIC;
}

/* Asking bpf(2) would take a privilege that using the program does not. */
int bpf_prog_type(int fd)
{
	char line[128];
	int type = -EINVAL;
	FILE *info;

	if (fcntl(fd, F_GETFD) < 0)
		return -errno;
	snprintf(line, sizeof(line), "/proc/self/fdinfo/%d", fd);
	info = fopen(line, "re");
	if (!info)
		return errno == EINVAL ? -EIO : -errno;
	while (type < 0 && fgets(line, sizeof(line), info))
		if (sscanf(line, "prog_type: %d", &type) != 1)
			type = -EINVAL;
	fclose(info);
	return type;
}
