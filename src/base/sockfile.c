/* SPDX-License-Identifier: MIT */
/* The file of a unix socket: taking a path without harm to others, and giving it back. */
#include "base/sockfile.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "base/error.h"
#include "base/fd.h"

#define ACTION "take its socket path"
#define LOCK_TRIES 100
#define LOCK_WAIT_MS 10
#ifndef SIOCUNIXFILE /* <linux/un.h>, which cannot be had together with <sys/un.h> */
#define SIOCUNIXFILE 0x89e0
#endif

/* Return: 0, or -ENAMETOOLONG. */
static int address(struct sockaddr_un *addr, const char *path)
{
	*addr = (struct sockaddr_un) { .sun_family = AF_UNIX };
	if (strlen(path) >= sizeof(addr->sun_path))
		return -ENAMETOOLONG;
	strcpy(addr->sun_path, path);
	return 0;
}

/* The folder that @path is in. */
static void folder_of(const char *path, char *folder, size_t size)
{
	const char *slash = strrchr(path, '/');

	if (!slash)
		snprintf(folder, size, ".");
	else
		snprintf(folder, size, "%.*s", slash == path ? 1 : (int)(slash - path), path);
}

int sockfile_probe(const char *path)
{
	struct sockaddr_un addr;
	struct stat st;
	cleanup_fd int fd = -1;

	if (address(&addr, path) < 0)
		return -ENAMETOOLONG;
	if (lstat(path, &st) < 0)
		return errno == ENOENT ? SOCKFILE_ABSENT : -errno;
	/* a link to a socket is somebody's link, not a socket that was left behind */
	if (!S_ISSOCK(st.st_mode))
		return SOCKFILE_OTHER;
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (struct sockaddr *)&addr, sizeof(addr)) == 0)
		return SOCKFILE_LIVE;
	switch (errno) {
	case ECONNREFUSED:
		return SOCKFILE_STALE;
	case ENOENT:
		return SOCKFILE_ABSENT;
	case EPROTOTYPE: /* a stream socket */
	case EPERM:	 /* a datagram socket that talks to another */
		return SOCKFILE_LIVE;
	default:
		return -errno;
	}
}

int sockfile_in_use(const char *path, const char *object, struct vmtap_error *err)
{
	error_set(err, EADDRINUSE, object, ACTION, "\"%s\" is in use by another process", path);
	error_remedy(err,
		     "end that process (find it with: ss -xlp | grep %s) or choose another path",
		     path);
	return -EADDRINUSE;
}

static int no_socket(const char *path, const char *object, struct vmtap_error *err)
{
	error_set(err, EEXIST, object, ACTION, "\"%s\" exists and is no socket", path);
	error_remedy(err, "choose another path, or remove that file if nobody needs it");
	return -EEXIST;
}

static int path_error(int code, const char *path, const char *object, struct vmtap_error *err)
{
	char folder[256];

	folder_of(path, folder, sizeof(folder));
	switch (code) {
	case ENOENT:
	case ENOTDIR:
		error_set(err, code, object, ACTION, "\"%s\": there is no folder \"%s\"", path,
			  folder);
		error_remedy(err, "create the folder or choose another path");
		break;
	case EACCES:
	case EPERM:
	case EROFS:
		error_set(err, code, object, ACTION, "\"%s\": %s", path, strerror(code));
		error_remedy(err,
			     "this user must be able to write the folder \"%s\" and to "
			     "enter those above it",
			     folder);
		break;
	case EADDRINUSE: /* it came into being since we looked */
		return sockfile_in_use(path, object, err);
	default:
		error_set(err, code, object, ACTION, "\"%s\": %s", path, strerror(code));
	}
	return -code;
}

/* One at a time. Return: a descriptor that holds the lock; -1: without. */
static int lock_folder(const char *path)
{
	char folder[256];
	int fd;

	folder_of(path, folder, sizeof(folder));
	fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	for (int i = 0; i < LOCK_TRIES && flock(fd, LOCK_EX | LOCK_NB) < 0; i++)
		poll(NULL, 0, LOCK_WAIT_MS);
	return fd;
}

/* Bind, with the file's permissions narrowed before it exists, then made exact. */
static int bind_file(int fd, const char *path, int mode)
{
	struct sockaddr_un addr;
	int ret = address(&addr, path);

	if (ret < 0)
		return ret;
	if (mode != SOCKFILE_NO_MODE && fchmod(fd, (mode_t)mode) < 0)
		return -errno;
	if (bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0)
		return -errno;
	if (mode != SOCKFILE_NO_MODE &&
	    fchmodat(AT_FDCWD, path, (mode_t)mode, AT_SYMLINK_NOFOLLOW) < 0) {
		int code = errno;

		unlink(path);
		return -code;
	}
	return 0;
}

static int remember(struct sockfile *f, const char *path)
{
	struct stat st;

	if (lstat(path, &st) < 0)
		return -errno;
	f->path = strdup(path);
	if (!f->path)
		return -ENOMEM;
	f->dev = st.st_dev;
	f->ino = st.st_ino;
	return 0;
}

/* Under the lock. */
static int take_file(struct sockfile *f, int fd, const char *path, int mode, const char *object,
		     struct vmtap_error *err)
{
	int ret = sockfile_probe(path);

	if (ret == SOCKFILE_LIVE)
		return sockfile_in_use(path, object, err);
	if (ret == SOCKFILE_OTHER)
		return no_socket(path, object, err);
	if (ret == SOCKFILE_STALE && unlink(path) < 0)
		ret = -errno;
	if (ret >= 0)
		ret = bind_file(fd, path, mode);
	if (ret == 0)
		ret = remember(f, path);
	return ret < 0 ? path_error(-ret, path, object, err) : 0;
}

int sockfile_bind(struct sockfile *f, int fd, const char *path, int mode, const char *object,
		  struct vmtap_error *err)
{
	int lock = lock_folder(path);
	int ret = take_file(f, fd, path, mode, object, err);

	fd_close(&lock);
	return ret;
}

int sockfile_take_over(struct sockfile *f, int fd, const char *path)
{
	cleanup_fd int file = ioctl(fd, SIOCUNIXFILE);
	struct stat own, there;

	if (file < 0 || fstat(file, &own) < 0 || lstat(path, &there) < 0)
		return -errno;
	if (own.st_dev != there.st_dev || own.st_ino != there.st_ino)
		return -ESTALE;
	return remember(f, path);
}

int sockfile_check(const char *path, const char *object, struct vmtap_error *err)
{
	char folder[256];
	int ret = sockfile_probe(path);

	if (ret == SOCKFILE_LIVE)
		return sockfile_in_use(path, object, err);
	if (ret == SOCKFILE_OTHER)
		return no_socket(path, object, err);
	folder_of(path, folder, sizeof(folder));
	if (ret >= 0 && faccessat(AT_FDCWD, folder, W_OK | X_OK, AT_EACCESS) < 0)
		ret = -errno;
	return ret < 0 ? path_error(-ret, path, object, err) : 0;
}

void sockfile_release(struct sockfile *f)
{
	struct stat st;

	if (!f->path)
		return;
	if (lstat(f->path, &st) == 0 && st.st_dev == f->dev && st.st_ino == f->ino)
		unlink(f->path);
	free(f->path);
	f->path = NULL;
}

void sockfile_leave(struct sockfile *f)
{
	free(f->path);
	f->path = NULL;
}

int sockfile_mode(const char *text, int *mode, const char *object, struct vmtap_error *err)
{
	char *end;
	unsigned long value = strtoul(text, &end, 8);

	if (text[0] < '0' || text[0] > '7' || *end || value > 0777) {
		error_set(err, EINVAL, object, "read its options",
			  "mode=%s is not an octal number from 0 to 777", text);
		error_remedy(err, "mode=660 lets the owner and his group connect, mode=600 only "
				  "the owner");
		return -EINVAL;
	}
	*mode = (int)value;
	return 0;
}
