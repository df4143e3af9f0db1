/* SPDX-License-Identifier: MIT */
/*
 * Which queue of a `tap` port the kernel gives a frame: steering=.
 *
 * Problem
 *   By itself, the kernel answers a flow on the queue on which it was last sent, and spreads others by
 *   their hash. Who knows better gives the device an eBPF program, a socket filter, whose result is the
 *   queue: modulo those that are attached, in the order in which they were.
 *
 * Ownership
 *   The port holds the program, so that a device that comes again has it, too. The device holds it as well, and
 *   may outlive the port: what we gave it, we take off.
 */
#include <errno.h>
#include <linux/bpf.h>
#include <linux/if_tun.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/fd.h"
#include "port/tap/tap-int.h"
#include "tapdev/bpf.h"
#include "tapdev/tun.h"

static const char action[] = "use the steering program";

static int no_pinned(int ret, const char *object, const char *path, struct vmtap_error *err)
{
	const bool denied = ret == -EACCES || ret == -EPERM;

	error_set(err, -ret, object, action, "%.100s: %s", path,
		  denied && !bpf_is_pinned(path)
			  ? "no program can be pinned there, since it is not in bpffs"
			  : strerror(-ret));
	if (ret == -EPERM)
		error_remedy(err, "run as root (on this kernel it needs CAP_BPF), or pass an open "
				  "descriptor of the program");
	else if (ret == -EACCES && bpf_is_pinned(path))
		error_remedy(
			err,
			"let this user read it and enter the folders above it, or pass an open "
			"descriptor of the program");
	else if (ret == -ENOENT || ret == -EACCES)
		error_remedy(err,
			     "pin a socket filter in bpffs and name it: bpftool prog load FILE.o "
			     "/sys/fs/bpf/NAME type socket");
	return ret;
}

/* Better said here, where it is known what is wrong, than with the kernel's EINVAL. */
static int check_program(int fd, const char *object, const char *text, struct vmtap_error *err)
{
	int type = bpf_prog_type(fd);

	if (type == BPF_PROG_TYPE_SOCKET_FILTER || (type < 0 && type != -EINVAL && type != -EBADF))
		return 0;
	if (type == -EBADF)
		return error_set(err, EBADF, object, action, "steering=%.80s is not open", text);
	if (type < 0)
		error_set(err, EINVAL, object, action, "steering=%.80s is no eBPF program", text);
	else
		error_set(
			err, EINVAL, object, action,
			"steering=%.80s is a program of type %d, and a socket filter (type %d) is needed",
			text, type, BPF_PROG_TYPE_SOCKET_FILTER);
	error_remedy(err, "load one as a socket filter: bpftool prog load FILE.o /sys/fs/bpf/NAME "
			  "type socket");
	return -EINVAL;
}

/* @ours: it is ours to close. Return: a descriptor, or -errno and @err. */
static int find(const struct port_env *env, const char *object, const char *text, bool *ours,
		struct vmtap_error *err)
{
	int fd;

	if (!strchr(text, '/'))
		return tap_resolve_fd(env, text, ours, err);
	*ours = true;
	fd = bpf_get_pinned(text);
	return fd < 0 ? no_pinned(fd, object, text, err) : fd;
}

int tap_steering_find(struct tap *t, const struct conf *conf, struct vmtap_error *err)
{
	const char *object = conf_object(conf), *text = conf_str(conf, "steering", "");
	bool ours;
	int fd, ret;

	if (t->opts.steering != TAP_STEER_PROGRAM)
		return 0;
	fd = find(t->port.env, object, text, &ours, err);
	if (fd < 0)
		return fd;
	ret = check_program(fd, object, text, err);
	if (ret < 0 && ours)
		fd_close(&fd);
	if (ret < 0)
		return ret;
	fd_set_cloexec(fd);
	t->steering_fd = fd;
	return 0;
}

int tap_steering_check(const struct port_env *env, const struct tap_opts *opts,
		       const struct conf *conf, struct vmtap_error *err)
{
	const struct port_env look = { .take_fd = env->find_fd, .opaque = env->opaque };
	const char *object = conf_object(conf), *text = conf_str(conf, "steering", "");
	bool ours;
	int fd, ret;

	if (opts->steering != TAP_STEER_PROGRAM)
		return 0;
	fd = find(&look, object, text, &ours, err);
	if (fd < 0)
		return fd;
	ret = check_program(fd, object, text, err);
	if (strchr(text, '/'))
		fd_close(&fd);
	return ret;
}

static bool is_multi_queue(struct tap *t)
{
	char ifname[IFNAMSIZ];
	unsigned flags = 0;

	return tun_get_flags(tap_attached(t)->fd, &flags, ifname) == 0 && flags & IFF_MULTI_QUEUE;
}

int tap_steering_apply(struct tap *t, struct vmtap_error *err)
{
	const bool program = t->opts.steering == TAP_STEER_PROGRAM;
	char object[80];
	int ret;

	if (t->opts.steering == TAP_STEER_AS_IS || (!program && !is_multi_queue(t)))
		return 0;
	snprintf(object, sizeof(object), "tap %s", t->ifname);
	if (!is_multi_queue(t)) {
		error_set(err, EINVAL, object, action, "it has a single queue");
		error_remedy(err, "open it with several, or leave steering= out");
		return -EINVAL;
	}
	ret = tun_set_steering(tap_attached(t)->fd, t->steering_fd);
	t->steered = ret == 0 && program;
	if (ret == 0 || !program) /* a kernel without programs has none to take off */
		return 0;
	error_errno(err, -ret, object, action);
	if (ret == -EINVAL || ret == -ENOTTY)
		error_remedy(err, "this kernel has no steering programs (Linux 4.16 has): leave "
				  "steering= out");
	return ret;
}

void tap_steering_undo(struct tap *t)
{
	if (t->steered && tap_attached(t)->fd >= 0)
		tun_set_steering(tap_attached(t)->fd, -1);
	t->steered = false;
}
