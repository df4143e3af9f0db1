/* SPDX-License-Identifier: MIT */
/* The file of an access list, taken in whole. */
#include "helper/list.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/error.h"
#include "base/fd.h"

/* @what: "it" or "its folder". */
static int check_owner(const char *path, const char *what, const struct stat *st, uid_t owner,
		       struct vmtap_error *err)
{
	if (st->st_uid != 0 && st->st_uid != owner) {
		error_set(err, EPERM, path, LIST_ACTION,
			  "%s belongs to user %u, who could allow anything", what, st->st_uid);
		error_remedy(err, "an administrator can have %s belong to root (chown root)", what);
		return -EPERM;
	}
	if (st->st_mode & (S_IWGRP | S_IWOTH)) {
		error_set(err, EPERM, path, LIST_ACTION,
			  "others than its owner can write to %s (mode %03o)", what,
			  st->st_mode & 07777);
		error_remedy(err, "an administrator can take that right away (chmod go-w)");
		return -EPERM;
	}
	return 0;
}

static int check_folder(const char *path, uid_t owner, struct vmtap_error *err)
{
	size_t len = (size_t)(strrchr(path, '/') - path);
	char *folder = strndup(path, len ? len : 1);
	struct stat st;
	int ret;

	if (!folder)
		return error_errno(err, ENOMEM, path, LIST_ACTION);
	if (stat(folder, &st) < 0)
		ret = error_errno(err, errno, path, LIST_ACTION);
	else
		ret = check_owner(path, "its folder", &st, owner, err);
	free(folder);
	return ret;
}

static int check_file(int fd, const char *path, uid_t owner, struct vmtap_error *err)
{
	struct stat st;
	int ret;

	if (fstat(fd, &st) < 0)
		return error_errno(err, errno, path, LIST_ACTION);
	if (!S_ISREG(st.st_mode))
		return error_set(err, EINVAL, path, LIST_ACTION, "it is %s and no regular file",
				 S_ISDIR(st.st_mode)	? "a folder"
				 : S_ISFIFO(st.st_mode) ? "a pipe"
							: "a device");
	ret = check_owner(path, "it", &st, owner, err);
	if (ret < 0)
		return ret;
	return check_folder(path, owner, err);
}

/* One read() that is not interrupted. Return: bytes or -errno. */
static ssize_t read_some(int fd, char *buf, size_t size)
{
	ssize_t n;

	do
		n = read(fd, buf, size);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

/* Whatever size the file said it has. Return: 0; or -errno, -EFBIG when there is too much. */
static int read_whole(int fd, char **text, size_t *len)
{
	size_t size = 0;
	ssize_t n = 1;

	for (*len = 0; n > 0; *len += (size_t)n) {
		if (*len == size) {
			char *more = realloc(*text, (size += 16384) + 1);

			if (!more)
				return -ENOMEM;
			*text = more;
		}
		n = read_some(fd, *text + *len, size - *len);
		if (n < 0)
			return (int)n;
		if (*len + (size_t)n > LIST_SIZE_MAX)
			return -EFBIG;
	}
	(*text)[*len] = '\0';
	return 0;
}

int list_open(const char *path)
{
	int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

char *list_read(int fd, const char *path, uid_t owner, size_t *len, struct vmtap_error *err)
{
	char *text = NULL;
	int ret;

	if (check_file(fd, path, owner, err) < 0)
		return NULL;
	ret = read_whole(fd, &text, len);
	if (!ret)
		return text;
	if (ret == -EFBIG)
		error_set(err, EFBIG, path, LIST_ACTION, "it is longer than %u bytes",
			  LIST_SIZE_MAX);
	else
		error_errno(err, -ret, path, LIST_ACTION);
	free(text);
	return NULL;
}
