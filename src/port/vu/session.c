/* SPDX-License-Identifier: MIT */
/*
 * A vhost-user session: receiving requests, checking their form, answering.
 *
 * The orders that front ends use (as observed; replayed in tests/unit/test-vu-session-orders.c)
 *   QEMU 7.2, connecting: for each queue pair GET_FEATURES, GET_PROTOCOL_FEATURES,
 *   SET_PROTOCOL_FEATURES, (first pair: GET_QUEUE_NUM,) GET_MAX_MEM_SLOTS, (first pair:
 *   SET_BACKEND_REQ_FD, SET_OWNER,) GET_FEATURES, and for each queue SET_VRING_CALL and SET_VRING_ERR.
 *   SET_VRING_ENABLE comes several times before SET_FEATURES.
 *   QEMU, driver ready: for each pair SET_VRING_ENABLE, SET_FEATURES, (last pair: GET_ and SET_STATUS,)
 *   (first pair: SET_MEM_TABLE, or each pair: ADD_MEM_REG for each region), for each queue SET_VRING_NUM,
 *   _BASE, _ADDR, _KICK, _CALL; last GET_STATUS and SET_STATUS. So the second pair's SET_FEATURES
 *   comes when the first pair's rings run, and a call descriptor when its ring does.
 *   QEMU, stopping: for each pair (last pair: SET_STATUS 0,) GET_VRING_BASE for each queue.
 *   QEMU, migrating away: SET_LOG_BASE, then for each pair SET_FEATURES with VHOST_F_LOG_ALL and
 *   SET_VRING_ADDR with VHOST_VRING_F_LOG while the rings run; then it stops. A device that starts
 *   with logging on gets SET_LOG_BASE last.
 *   QEMU, memory plugged: SET_MEM_TABLE while the rings run; with memory slots, for each pair
 *   REM_MEM_REG and ADD_MEM_REG of what changed, which is possibly the region with the rings.
 *   DPDK's virtio-user: SET_OWNER, GET_FEATURES, GET_ and SET_PROTOCOL_FEATURES, SET_VRING_CALL for all
 *   queues, SET_FEATURES, SET_ and GET_STATUS, SET_MEM_TABLE, for each queue (receiving ones first)
 *   SET_VRING_NUM, _BASE (packed: without the used index), _ADDR, _KICK; SET_VRING_ENABLE for the pairs
 *   in use. When its memory grows: SET_VRING_ENABLE 0, SET_MEM_TABLE, SET_VRING_ENABLE 1. It stops by
 *   SET_VRING_ENABLE 0 and GET_VRING_BASE.
 */
#include "port/vu/session.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/fd.h"
#include "port/vu/session-int.h"

#define MESSAGES_MAX 64

/* struct request.size */
#define SIZE_ANY UINT32_MAX

/**
 * struct request - A row for each request
 * @serve:    NULL: is not offered
 * @size:     of the payload; SIZE_ANY: @serve looks
 * @fds_min, @fds_max: descriptors
 * @feature:  protocol feature without which it must not come; 0: none (bit 0, MQ, is nobody's)
 * @replies:  has a reply of its own
 */
struct request {
	const char *name;
	int (*serve)(struct vu_session *s, struct vu_msg *m);
	uint32_t size;
	uint8_t fds_min, fds_max;
	unsigned feature;
	bool replies;
};

#define REQUEST(req) [VHOST_USER_##req] = { .name = #req
#define SIZE_U64 sizeof(uint64_t)
#define SIZE_STATE sizeof(struct vhost_vring_state)
#define F(feature_name) .feature = VHOST_USER_PROTOCOL_F_##feature_name

/* clang-format off */
static const struct request requests[] = {
	REQUEST(GET_FEATURES), .serve = vu_get_features, .replies = true },
	REQUEST(SET_FEATURES), .serve = vu_set_features, .size = SIZE_U64 },
	REQUEST(SET_OWNER), .serve = vu_set_owner },
	REQUEST(RESET_OWNER), .serve = vu_reset_owner },
	REQUEST(SET_MEM_TABLE), .serve = vu_set_mem_table, .size = SIZE_ANY, .fds_max = VU_FDS_MAX },
	REQUEST(SET_LOG_BASE), .serve = vu_set_log_base, .size = sizeof(struct vu_log), .fds_min = 1,
		.fds_max = 1, F(LOG_SHMFD), .replies = true },
	REQUEST(SET_LOG_FD), .serve = vu_set_log_fd, .fds_min = 1, .fds_max = 1 },
	REQUEST(SET_VRING_NUM), .serve = vu_set_vring_num, .size = SIZE_STATE },
	REQUEST(SET_VRING_ADDR), .serve = vu_set_vring_addr,
		.size = sizeof(struct vhost_vring_addr) },
	REQUEST(SET_VRING_BASE), .serve = vu_set_vring_base, .size = SIZE_STATE },
	REQUEST(GET_VRING_BASE), .serve = vu_get_vring_base, .size = SIZE_STATE, .replies = true },
	REQUEST(SET_VRING_KICK), .serve = vu_set_vring_kick, .size = SIZE_U64, .fds_max = 1 },
	REQUEST(SET_VRING_CALL), .serve = vu_set_vring_call, .size = SIZE_U64, .fds_max = 1 },
	REQUEST(SET_VRING_ERR), .serve = vu_set_vring_err, .size = SIZE_U64, .fds_max = 1 },
	REQUEST(GET_PROTOCOL_FEATURES), .serve = vu_get_protocol_features, .replies = true },
	REQUEST(SET_PROTOCOL_FEATURES), .serve = vu_set_protocol_features, .size = SIZE_U64 },
	REQUEST(GET_QUEUE_NUM), .serve = vu_get_queue_num, .replies = true },
	REQUEST(SET_VRING_ENABLE), .serve = vu_set_vring_enable, .size = SIZE_STATE },
	REQUEST(SEND_RARP), .serve = vu_send_rarp, .size = SIZE_U64 },
	REQUEST(NET_SET_MTU), .serve = vu_net_set_mtu, .size = SIZE_U64 },
	REQUEST(SET_BACKEND_REQ_FD), .serve = vu_set_backend_req_fd, .fds_min = 1, .fds_max = 1 },
	REQUEST(IOTLB_MSG) },
	REQUEST(SET_VRING_ENDIAN), .serve = vu_set_vring_endian, .size = SIZE_STATE },
	REQUEST(GET_CONFIG), .serve = vu_get_config, .size = SIZE_ANY, F(CONFIG), .replies = true },
	REQUEST(SET_CONFIG), .serve = vu_set_config, .size = SIZE_ANY, F(CONFIG) },
	REQUEST(CREATE_CRYPTO_SESSION) },
	REQUEST(CLOSE_CRYPTO_SESSION) },
	REQUEST(POSTCOPY_ADVISE) },
	REQUEST(POSTCOPY_LISTEN) },
	REQUEST(POSTCOPY_END) },
	REQUEST(GET_INFLIGHT_FD), .serve = vu_get_inflight_fd, .size = SIZE_ANY, F(INFLIGHT_SHMFD),
		.replies = true },
	REQUEST(SET_INFLIGHT_FD), .serve = vu_set_inflight_fd, .size = SIZE_ANY, F(INFLIGHT_SHMFD),
		.fds_min = 1, .fds_max = 1 },
	REQUEST(GPU_SET_SOCKET) },
	REQUEST(RESET_DEVICE), .serve = vu_reset_device },
	REQUEST(VRING_KICK) },
	REQUEST(GET_MAX_MEM_SLOTS), .serve = vu_get_max_mem_slots, F(CONFIGURE_MEM_SLOTS),
		.replies = true },
	REQUEST(ADD_MEM_REG), .serve = vu_add_mem_reg, .size = sizeof(struct vu_mem_reg),
		.fds_max = 1, F(CONFIGURE_MEM_SLOTS) },
	REQUEST(REM_MEM_REG), .serve = vu_rem_mem_reg, .size = sizeof(struct vu_mem_reg),
		.fds_max = 1, F(CONFIGURE_MEM_SLOTS) },
	REQUEST(SET_STATUS), .serve = vu_set_status, .size = SIZE_U64, F(STATUS) },
	REQUEST(GET_STATUS), .serve = vu_get_status, F(STATUS), .replies = true },
	REQUEST(GET_SHARED_OBJECT) },
	REQUEST(SET_DEVICE_STATE_FD) },
	REQUEST(CHECK_DEVICE_STATE) },
};
/* clang-format on */

static const struct request *find_request(uint32_t number)
{
	if (number >= sizeof(requests) / sizeof(requests[0]) || !requests[number].name)
		return NULL;
	return &requests[number];
}

static void set_why(struct vu_session *s, int code, const char *reason)
{
	char action[sizeof(s->why.action)];

	snprintf(action, sizeof(action), "carry out the front end's %s", s->request);
	error_set(&s->why, code, s->dev->object, action, "%s", reason);
	error_remedy(&s->why, "that is the VMM's to mend: report this line to those who make it");
}

int vu_refuse(struct vu_session *s, int code, const char *fmt, ...)
{
	char reason[sizeof(s->why.reason)];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(reason, sizeof(reason), fmt, ap);
	va_end(ap);
	set_why(s, code, reason);
	return -code;
}

int vu_refuse_for(struct vu_session *s, const struct vmtap_error *inner)
{
	char reason[sizeof(inner->action) + sizeof(inner->reason) + 16];

	snprintf(reason, sizeof(reason), "cannot %s: %s", inner->action, inner->reason);
	set_why(s, inner->code, reason);
	if (inner->remedy[0])
		error_remedy(&s->why, "%s", inner->remedy);
	return -inner->code;
}

int vu_reply(struct vu_session *s, const void *body, uint32_t len, int fd)
{
	int ret = vu_msg_send(s->sock, s->rx.msg.hdr.request, VU_REPLY, body, len, fd);

	if (ret == -ENOBUFS)
		return vu_refuse(s, ENOBUFS, "the front end does not read the replies");
	if (ret < 0)
		return vu_refuse(s, -ret, "the reply was not sent: %s", strerror(-ret));
	return 0;
}

int vu_reply_u64(struct vu_session *s, uint64_t value)
{
	return vu_reply(s, &value, sizeof(value), -1);
}

/* Has the message the form that its row says? */
static int check_form(struct vu_session *s, const struct request *r, const struct vu_msg *m)
{
	if (!r)
		return vu_refuse(s, ENOTSUP, "there is no such request");
	if (!r->serve)
		return vu_refuse(s, ENOTSUP, "it belongs to a feature that was not offered");
	if (r->feature && !vu_session_has(s, r->feature))
		return vu_refuse(s, EPROTO, "protocol feature %u was not acknowledged", r->feature);
	if (r->size != SIZE_ANY && m->hdr.size != r->size)
		return vu_refuse(s, EPROTO, "its payload has %u bytes instead of %u", m->hdr.size,
				 r->size);
	if (m->fd_cnt < r->fds_min || m->fd_cnt > r->fds_max)
		return vu_refuse(s, EPROTO, "%u descriptors came with it instead of %u", m->fd_cnt,
				 m->fd_cnt < r->fds_min ? r->fds_min : r->fds_max);
	return 0;
}

/* Acknowledge, if the front end wants that. Return: @ret, or why it could not be sent. */
static int acknowledge(struct vu_session *s, int ret)
{
	int sent;

	if (!(s->rx.msg.hdr.flags & VU_NEED_REPLY) ||
	    !vu_session_has(s, VHOST_USER_PROTOCOL_F_REPLY_ACK))
		return ret;
	if (ret < 0) {
		uint64_t nack = 1;

		/* Whether or not it arrives, the first error is the one to tell. */
		vu_msg_send(s->sock, s->rx.msg.hdr.request, VU_REPLY, &nack, sizeof(nack), -1);
		return ret;
	}
	sent = vu_reply_u64(s, s->nack);
	return sent < 0 ? sent : ret;
}

static void name_request(struct vu_session *s, const struct request *r, char *text, size_t size)
{
	snprintf(text, size, "request %u", s->rx.msg.hdr.request);
	s->request = r ? r->name : text;
}

static int serve(struct vu_session *s)
{
	struct vu_msg *m = &s->rx.msg;
	const struct request *r = find_request(m->hdr.request);
	char text[32];
	int ret;

	name_request(s, r, text, sizeof(text));
	s->nack = false;
	ret = check_form(s, r, m);
	if (ret == 0)
		ret = r->serve(s, m);
	if (s->dev->ops->settled) /* an acknowledgement says that all of it is done */
		s->dev->ops->settled(s->dev);
	if (ret < 0 || !r->replies)
		ret = acknowledge(s, ret);
	s->request = NULL;
	return ret;
}

/* Say why nothing, or nothing more, can be received. */
static int explain_receive(struct vu_session *s, int code)
{
	const struct vu_hdr *hdr = &s->rx.msg.hdr;
	char text[32];

	name_request(s, find_request(hdr->request), text, sizeof(text));
	switch (code) {
	case -EMSGSIZE:
		vu_refuse(s, EMSGSIZE, "its payload has %u bytes", hdr->size);
		return acknowledge(s, code);
	case -EPROTO:
		return vu_refuse(s, EPROTO, "its flags 0x%x are no request of version %u",
				 hdr->flags, VU_VERSION);
	case -E2BIG:
		s->request = "request";
		return vu_refuse(s, E2BIG, "more than %u descriptors came with it", VU_FDS_MAX);
	default:
		s->request = "requests";
		return vu_refuse(s, -code, "%s", strerror(-code));
	}
}

int vu_session_run(struct vu_session *s, struct vmtap_error *err)
{
	for (unsigned i = 0; i < MESSAGES_MAX; i++) {
		int ret = vu_rx_read(&s->rx, s->sock);

		if (ret == 0 || ret == -EPIPE)
			return ret;
		ret = ret < 0 ? explain_receive(s, ret) : serve(s);
		vu_rx_next(&s->rx);
		if (ret < 0) {
			if (err)
				*err = s->why;
			return ret;
		}
	}
	return 0;
}

struct vu_session *vu_session_new(struct vu_dev *dev, int fd)
{
	struct vu_session *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->dev = dev;
	s->sock = fd;
	s->channel = s->inflight_fd = -1;
	vu_rx_init(&s->rx);
	vu_dev_reset(dev);
	return s;
}

void vu_session_free(struct vu_session *s)
{
	if (!s)
		return;
	vu_rx_next(&s->rx);
	fd_close(&s->channel);
	fd_close(&s->inflight_fd);
	free(s);
}
