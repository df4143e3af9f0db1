/* SPDX-License-Identifier: MIT */
/*
 * Handing out TAPs: for a VMM that may not open any.
 *
 * Model
 *   open_tap opens a port of type tap as port_add does and sends its descriptors with the answer. The port
 *   keeps its name, its scripts and its place in a bridge, and is joined to nothing: whoever asked moves the
 *   frames. port_del ends it: the down script runs, and the device goes with its last descriptor.
 */
#include <errno.h>
#include <linux/vhost.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "base/fd.h"
#include "ctl/command.h"

#define DEVICE "/dev/vhost-net"

/* Of all queues. Return: how many; -errno and @err. */
static int send_queues(struct call *c, const struct vmtap_port *port, struct vmtap_error *err)
{
	int cnt = 0, fd, ret;

	while ((fd = vmtap_port_fd(port, (unsigned)cnt)) >= 0) {
		ret = call_send_fd(c, fd, err);
		if (ret < 0)
			return ret;
		cnt++;
	}
	return cnt;
}

/* The kernel's side of a pair: what the port has (vhost=on), with its owner forgotten, since that will be
 * the client, or else a handle of its own. */
static int send_vhost(struct call *c, struct vmtap_port *port, unsigned pair,
		      struct vmtap_error *err)
{
	struct vmtap_vhost *v = vmtap_port_vhost(port, pair);
	cleanup_fd int own = -1;
	int fd;

	if (v && ioctl(vmtap_vhost_fd(v), VHOST_RESET_OWNER, NULL) < 0)
		return error_errno(err, errno, "open_tap", "hand vhost-net over");
	if (!v)
		own = open(DEVICE, O_RDWR | O_CLOEXEC);
	fd = v ? vmtap_vhost_fd(v) : own;
	if (fd >= 0)
		return call_send_fd(c, fd, err);
	error_errno(err, errno, DEVICE, "open it for the client");
	error_remedy(err, "load the module: modprobe vhost_net; or leave \"vhostfds\" out");
	return -err->code;
}

/* Return: the answer; NULL and @err. */
static json_t *hand_over(struct call *c, struct vmtap_port *port, bool vhost,
			 struct vmtap_error *err)
{
	int queues = send_queues(c, port, err), ret = queues;

	for (int i = 0; vhost && i < queues && ret >= 0; i++)
		ret = send_vhost(c, port, (unsigned)i, err);
	if (ret < 0)
		return NULL;
	return json_pack("{ss,ss,si,si}", "id", vmtap_port_name(port), "ifname",
			 vmtap_port_ifname(port), "fds", queues, "vhostfds", vhost ? queues : 0);
}

static json_t *open_tap(struct call *c, json_t *args, struct vmtap_error *err)
{
	bool vhost = arg_bool(args, "vhostfds", false);
	struct vmtap_port *port;
	json_t *answer;
	char *spec;

	if (args_of_type(args, "tap", "open_tap", err) < 0)
		return NULL;
	json_object_del(args, "vhostfds");
	spec = json_dumps(args, JSON_COMPACT);
	port = spec ? state_port_open(c->state, spec, err) : NULL;
	free(spec);
	if (!port)
		return NULL;
	answer = hand_over(c, port, vhost, err);
	if (!answer)
		state_port_del(c->state, vmtap_port_name(port), NULL);
	return answer;
}

static const struct command_arg open_args[] = {
	{ "id", ARG_STRING, .help = "the port's name; without it, one is made up" },
	{ "vhostfds", ARG_BOOL, .help = "send a descriptor of /dev/vhost-net for each queue, too" },
	{ 0 },
};

const struct command broker_commands[] = {
	{
		.name = "open_tap",
		.role = ROLE_ADMIN,
		.summary = "Open a TAP and send its descriptors along with the answer (SCM_RIGHTS)",
		.returns =
			"id, ifname; fds and vhostfds: how many descriptors come along, those of "
			"the TAP's queues first",
		.args = open_args,
		.others = "keys of the port type tap",
		.run = open_tap,
	},
	{ 0 },
};
