/* SPDX-License-Identifier: MIT */
/* A ring in vhost-net: described, started, stopped. */
#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>

#include "base/error.h"
#include "vhost/vhost-int.h"

#define ENTRIES_MAX 32768
#define NATIVE_BIG (__BYTE_ORDER__ == __ORDER_BIG_ENDIAN__)

static_assert(VMTAP_VHOST_RX == 0 && VMTAP_VHOST_TX == 1, "as vhost-net numbers them");

static const char *const ring_names[VHOST_RINGS] = { "receive", "transmit" };

static int bad(struct vmtap_vhost *v, struct vmtap_error *err, const char *why)
{
	return error_set(err, EINVAL, v->object, "set a ring up in vhost-net", "%s", why);
}

static int check(struct vmtap_vhost *v, unsigned ring, const struct vmtap_vhost_ring *r,
		 struct vmtap_error *err)
{
	if (ring >= VHOST_RINGS)
		return bad(v, err, "it has rings 0 and 1, for receiving and transmitting");
	if (v->rings[ring].started)
		return error_set(err, EBUSY, v->object, "set a ring up in vhost-net",
				 "the %s ring is running", ring_names[ring]);
	if (r->entries == 0 || r->entries > ENTRIES_MAX || r->entries & (r->entries - 1))
		return bad(v, err, "a ring has 1 to 32768 entries, and a power of two of them");
	if (r->base > UINT16_MAX)
		return bad(v, err, "the index to begin with has 16 bits");
	if (r->desc % 16 || r->avail % 2 || r->used % 4)
		return bad(v, err,
			   "its parts are not aligned: descriptors to 16 bytes, available "
			   "ring to 2, used ring to 4");
	if (r->log_used && r->used_gpa % 4)
		return bad(v, err, "the used ring's guest address is not aligned to 4 bytes");
	return 0;
}

static int set_state(struct vmtap_vhost *v, unsigned ring, unsigned long request, unsigned num,
		     const char *action, struct vmtap_error *err)
{
	const struct vhost_vring_state state = { .index = ring, .num = num };

	return vhost_call(v, request, &state, action, err);
}

/* Kernels without the other byte order do not have the call either. */
static int set_endian(struct vmtap_vhost *v, unsigned ring, enum vmtap_endian order,
		      struct vmtap_error *err)
{
	const bool big = order == VMTAP_ENDIAN_NATIVE ? NATIVE_BIG : order == VMTAP_ENDIAN_BIG;
	int ret = set_state(v, ring, VHOST_SET_VRING_ENDIAN, big, "set a ring's byte order", err);

	if (!ret || (big == NATIVE_BIG && (ret == -ENOTTY || ret == -EINVAL)))
		return 0;
	if (ret == -ENOTTY) {
		error_set(err, EOPNOTSUPP, v->object, "set a ring's byte order",
			  "this kernel's vhost-net knows legacy guests of its own order only");
		return -EOPNOTSUPP;
	}
	return ret;
}

static int set_addr(struct vmtap_vhost *v, unsigned ring, struct vmtap_error *err)
{
	return vhost_call(v, VHOST_SET_VRING_ADDR, &v->rings[ring].addr,
			  "tell vhost-net where a ring is", err);
}

int vhost_set_event(struct vmtap_vhost *v, unsigned ring, enum vmtap_vhost_event event, int fd,
		    struct vmtap_error *err)
{
	static const struct {
		unsigned long request;
		const char *action;
	} events[] = {
		[VMTAP_VHOST_KICK] = { VHOST_SET_VRING_KICK, "use a ring's kick descriptor" },
		[VMTAP_VHOST_CALL] = { VHOST_SET_VRING_CALL, "use a ring's call descriptor" },
		[VMTAP_VHOST_ERR] = { VHOST_SET_VRING_ERR, "use a ring's error descriptor" },
	};
	const struct vhost_vring_file file = { .index = ring, .fd = fd };
	int ret;

	if (ring >= VHOST_RINGS || event > VMTAP_VHOST_ERR)
		return bad(v, err, "there is no such ring or event");
	ret = vhost_call(v, events[event].request, &file, events[event].action, err);
	if (ret == -EINVAL)
		error_set(err, EINVAL, v->object, events[event].action,
			  "descriptor %d is no eventfd, and vhost-net takes nothing else", fd);
	return ret;
}

static int set_events(struct vmtap_vhost *v, unsigned ring, const struct vmtap_vhost_ring *r,
		      struct vmtap_error *err)
{
	int ret = vhost_set_event(v, ring, VMTAP_VHOST_KICK, r->kick, err);

	if (!ret)
		ret = vhost_set_event(v, ring, VMTAP_VHOST_CALL, r->call, err);
	return ret ? ret : vhost_set_event(v, ring, VMTAP_VHOST_ERR, r->err, err);
}

int vhost_set_ring(struct vmtap_vhost *v, unsigned ring, const struct vmtap_vhost_ring *r,
		   struct vmtap_error *err)
{
	struct vhost_ring_state *state;
	int ret = check(v, ring, r, err);

	if (ret < 0)
		return ret;
	state = &v->rings[ring];
	state->set = false;
	state->addr = (struct vhost_vring_addr) {
		.index = ring,
		.flags = r->log_used ? 1u << VHOST_VRING_F_LOG : 0,
		.desc_user_addr = r->desc,
		.avail_user_addr = r->avail,
		.used_user_addr = r->used,
		.log_guest_addr = r->log_used ? r->used_gpa : 0,
	};
	ret = set_state(v, ring, VHOST_SET_VRING_NUM, r->entries, "set a ring's size", err);
	if (!ret)
		ret = set_state(v, ring, VHOST_SET_VRING_BASE, r->base, "set a ring's index", err);
	if (!ret)
		ret = set_endian(v, ring, r->endian, err);
	if (!ret)
		ret = set_addr(v, ring, err);
	if (!ret)
		ret = set_events(v, ring, r, err);
	state->set = !ret;
	return ret;
}

int vhost_set_ring_log(struct vmtap_vhost *v, unsigned ring, bool on, uint64_t used_gpa,
		       struct vmtap_error *err)
{
	struct vhost_vring_addr *addr;

	if (ring >= VHOST_RINGS || !v->rings[ring].set)
		return bad(v, err, "there is no such ring");
	if (on && used_gpa % 4)
		return bad(v, err, "the used ring's guest address is not aligned to 4 bytes");
	addr = &v->rings[ring].addr;
	addr->flags = on ? 1u << VHOST_VRING_F_LOG : 0;
	addr->log_guest_addr = on ? used_gpa : 0;
	return set_addr(v, ring, err);
}

int vhost_set_poll(struct vmtap_vhost *v, unsigned poll_us, struct vmtap_error *err)
{
	int ret = 0;

	for (unsigned i = 0; i < VHOST_RINGS && !ret; i++)
		ret = set_state(v, i, VHOST_SET_VRING_BUSYLOOP_TIMEOUT, poll_us,
				"set the time that vhost-net polls for (poll-us=)", err);
	return ret;
}

/* -------------------------------------------------------- start and stop */

static int explain_start(struct vmtap_vhost *v, unsigned ring, int ret, struct vmtap_error *err)
{
	static const char *const action = "let vhost-net carry the frames";

	switch (ret) {
	case -EFAULT:
		return error_set(
			err, EFAULT, v->object, action,
			"the %s ring, or a part of the guest's memory, is not where it was "
			"said to be",
			ring_names[ring]);
	case -ENODEV:
	case -ENOTSOCK:
	case -EBADF:
		return error_set(err, -ret, v->object, action, "there is no TAP to carry them to");
	default:
		return error_set(err, -ret, v->object, action, "%s ring: %s", ring_names[ring],
				 strerror(-ret));
	}
}

/* Tells who else uses the queue when the first ring is about to start, or the last has stopped. */
static void tell(struct vmtap_vhost *v, bool on)
{
	if (v->taken && !v->rings[VMTAP_VHOST_RX].started && !v->rings[VMTAP_VHOST_TX].started)
		v->taken(v->opaque, on);
}

int vhost_start(struct vmtap_vhost *v, unsigned ring, struct vmtap_error *err)
{
	struct vhost_vring_file file = { .index = ring, .fd = v->tap };
	int ret;

	if (ring >= VHOST_RINGS || !v->rings[ring].set)
		return bad(v, err, "the ring was not set up");
	if (v->rings[ring].started)
		return 0;
	if (v->tap < 0)
		return explain_start(v, ring, -ENODEV, err);
	tell(v, true);
	ret = ioctl(v->fd, VHOST_NET_SET_BACKEND, &file) < 0 ? -errno : 0;
	if (ret < 0) {
		tell(v, false);
		return explain_start(v, ring, ret, err);
	}
	v->rings[ring].started = true;
	return 0;
}

static int unbind(struct vmtap_vhost *v, unsigned ring, struct vmtap_error *err)
{
	struct vhost_vring_file file = { .index = ring, .fd = VHOST_FILE_UNBIND };
	int ret = vhost_call(v, VHOST_NET_SET_BACKEND, &file, "stop vhost-net", err);

	if (ret < 0)
		return ret;
	v->rings[ring].started = false;
	tell(v, false);
	return 0;
}

int vhost_stop(struct vmtap_vhost *v, unsigned ring, uint32_t *base, struct vmtap_error *err)
{
	struct vhost_vring_state state = { .index = ring };
	int ret = 0;

	if (ring >= VHOST_RINGS)
		return bad(v, err, "there is no such ring");
	/* in this order: what is read afterwards does not change any more */
	if (v->rings[ring].started)
		ret = unbind(v, ring, err);
	if (ret < 0 || !base)
		return ret;
	ret = vhost_call(v, VHOST_GET_VRING_BASE, &state, "ask vhost-net how far it came", err);
	if (!ret)
		*base = state.num;
	return ret;
}

bool vhost_is_started(const struct vmtap_vhost *v, unsigned ring)
{
	return ring < VHOST_RINGS && v->rings[ring].started;
}
