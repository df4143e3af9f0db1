/* SPDX-License-Identifier: MIT */
/* The file of a unix socket: whose it is, and that nobody else's is touched. */
#include "sock-test.h"

#include <sys/file.h>

#include "sock/sockfd.h"

static struct sock_addr addr_of(const char *name)
{
	struct sock_addr a = { .len = sizeof(a.un) };

	a.un = unix_addr(name);
	return a;
}

/* Take the path. Return: as sock_bind_unix(); the socket is closed again when it fails. */
static int take(struct sockfile *f, int *fd, const char *name, int mode)
{
	struct sock_addr a = addr_of(name);
	int ret;

	memset(f, 0, sizeof(*f));
	*fd = unix_socket(SOCK_STREAM);
	ret = sock_bind_unix(f, *fd, &a, mode, "stream", &t.err);
	if (ret < 0)
		fd_close(fd);
	return ret;
}

static void refuse(const char *name, int code, const char *text)
{
	struct sock_addr a = addr_of(name);
	struct sockfile f;
	int fd;

	assert_int_equal(take(&f, &fd, name, SOCKFILE_NO_MODE), -code);
	if (!strstr(t.err.reason, text))
		fail_msg("\"%s\" is not in: %s", text, t.err.reason);
	assert_true(t.err.remedy[0]);
	assert_int_equal(sock_check_unix(&a, "stream", NULL), -code);
}

static unsigned mode_of(const char *name)
{
	struct sockaddr_un a = unix_addr(name);
	struct stat st;

	assert_int_equal(lstat(a.sun_path, &st), 0);
	return st.st_mode & 07777;
}

static void takes_and_gives_back_a_path(void **state)
{
	struct sockfile f;
	int fd;

	assert_int_equal(take(&f, &fd, "s", SOCKFILE_NO_MODE), 0);
	assert_true(has_file("s"));
	sockfile_release(&f);
	assert_false(has_file("s"));
	sockfile_release(&f);
	close(fd);
}

static void takes_a_stale_path(void **state)
{
	struct sock_addr a = addr_of("s");
	struct sockfile f;
	int fd;

	close(unix_bound(SOCK_STREAM, "s"));
	assert_true(has_file("s"));
	assert_int_equal(sockfile_probe(a.un.sun_path), SOCKFILE_STALE);
	assert_int_equal(sock_check_unix(&a, "stream", NULL), 0);
	assert_int_equal(take(&f, &fd, "s", SOCKFILE_NO_MODE), 0);
	assert_int_equal(sockfile_probe(a.un.sun_path), SOCKFILE_LIVE);
	sockfile_release(&f);
	close(fd);
}

static void refuses_a_path_in_use(void **state)
{
	int stream = unix_bound(SOCK_STREAM, "stream");
	int dgram = unix_bound(SOCK_DGRAM, "dgram");
	int silent = unix_socket(SOCK_STREAM); /* bound, and does not listen yet */
	int talking = unix_bound(SOCK_DGRAM, "talking");
	struct sockaddr_un a = unix_addr("silent");

	assert_int_equal(bind(silent, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(unix_connect(talking, "dgram"), 0);
	refuse("stream", EADDRINUSE, "in use by another process");
	refuse("dgram", EADDRINUSE, "in use by another process");
	refuse("silent", EADDRINUSE, "in use by another process");
	refuse("talking", EADDRINUSE, "in use by another process");
	assert_true(has_file("stream") && has_file("dgram") && has_file("silent"));
	/* and the listener has not noticed anything */
	assert_int_equal(accept(stream, NULL, NULL), -1);
	assert_int_equal(errno, EAGAIN);
	close(stream);
	close(dgram);
	close(silent);
	close(talking);
}

static void refuses_what_is_no_socket(void **state)
{
	struct sockaddr_un to = unix_addr("to"), from = unix_addr("link");

	put_file("file");
	refuse("file", EEXIST, "is no socket");
	assert_true(has_file("file"));
	close(unix_bound(SOCK_STREAM, "to"));
	assert_int_equal(symlink(to.sun_path, from.sun_path), 0);
	refuse("link", EEXIST, "is no socket");
	assert_true(has_file("link") && has_file("to"));
}

static void says_what_is_wrong_with_the_folder(void **state)
{
	refuse("none/s", ENOENT, "there is no folder");
	put_file("file");
	refuse("file/s", ENOTDIR, "there is no folder");
}

static void says_that_the_folder_is_closed_to_us(void **state)
{
	struct sockaddr_un dir = unix_addr("closed");

	assert_int_equal(mkdir(dir.sun_path, 0555), 0);
	assert_int_equal(chmod(t.dir, 0755), 0);
	if (geteuid() == 0)
		assert_int_equal(seteuid(65534), 0);
	refuse("closed/s", EACCES, "Permission denied");
	if (getuid() == 0)
		assert_int_equal(seteuid(0), 0);
}

static void leaves_a_path_that_is_not_ours_any_more(void **state)
{
	struct sockaddr_un a = unix_addr("s");
	struct sockfile f;
	int fd, other;

	assert_int_equal(take(&f, &fd, "s", SOCKFILE_NO_MODE), 0);
	unlink(a.sun_path);
	other = unix_bound(SOCK_STREAM, "s");
	sockfile_release(&f);
	assert_true(has_file("s"));
	close(fd);
	close(other);
}

static void gives_the_file_exactly_the_mode_asked_for(void **state)
{
	mode_t old = umask(077);
	struct sockfile f;
	int fd;

	assert_int_equal(take(&f, &fd, "wide", 0666), 0);
	assert_int_equal(mode_of("wide"), 0666);
	sockfile_release(&f);
	close(fd);
	umask(0);
	assert_int_equal(take(&f, &fd, "narrow", 0600), 0);
	assert_int_equal(mode_of("narrow"), 0600);
	sockfile_release(&f);
	close(fd);
	assert_int_equal(take(&f, &fd, "default", SOCKFILE_NO_MODE), 0);
	assert_int_equal(mode_of("default"), 0777);
	sockfile_release(&f);
	close(fd);
	umask(old);
}

/* Whoever holds the lock for ever must not stop us for ever. */
static void gives_up_a_lock_that_another_holds(void **state)
{
	int dir = open(t.dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct sockfile f;
	int fd;

	assert_int_equal(flock(dir, LOCK_EX), 0);
	assert_int_equal(take(&f, &fd, "s", SOCKFILE_NO_MODE), 0);
	sockfile_release(&f);
	close(fd);
	close(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		sock_case(takes_and_gives_back_a_path),
		sock_case(takes_a_stale_path),
		sock_case(refuses_a_path_in_use),
		sock_case(refuses_what_is_no_socket),
		sock_case(says_what_is_wrong_with_the_folder),
		sock_case(says_that_the_folder_is_closed_to_us),
		sock_case(leaves_a_path_that_is_not_ours_any_more),
		sock_case(gives_the_file_exactly_the_mode_asked_for),
		sock_case(gives_up_a_lock_that_another_holds),
	};

	return cmocka_run_group_tests_name("sockfile", tests, NULL, NULL);
}
