/* SPDX-License-Identifier: MIT */
/*
 * What the files of a vhost-user session share: its state, the requests, and
 * the steps that several of them take.
 *
 * Model
 *   session.c receives a message, checks what its row in the table of requests says
 *   (feature, size, descriptors), and calls the request's function. That returns 0, or says
 *   why not with vu_refuse() and returns its -errno, which ends the session. Where the request
 *   has a reply of its own, it sends that with vu_reply().
 */
#ifndef PORT_VU_SESSION_INT_H
#define PORT_VU_SESSION_INT_H

#include "port/vu/msg.h"
#include "port/vu/session.h"

/**
 * struct vu_session_queue - What the session has to know of a queue beyond struct vu_queue
 * @has_base: SET_VRING_BASE came, or the ring ran
 * @enable:   as the last SET_VRING_ENABLE has it; counts when protocol features were acknowledged
 */
struct vu_session_queue {
	bool has_base, enable;
};

/**
 * struct vu_session - A front end's connection
 * @sock:    borrowed
 * @channel: for requests of our own (SET_BACKEND_REQ_FD), owned; -1: none
 * @request: the name of the one in hand
 * @why:     what vu_refuse() said about it
 * @nack:    it was answered by a non-zero acknowledgement, and the session goes on
 * @has_features: SET_FEATURES came
 * @inflight, @inflight_fd: the area for chains in flight, owned; -1: none
 */
struct vu_session {
	struct vu_dev *dev;
	int sock, channel;
	struct vu_rx rx;
	const char *request;
	struct vmtap_error why;
	bool nack, has_features;
	struct vu_inflight inflight;
	int inflight_fd;
	struct vu_session_queue queues[VU_QUEUES_MAX];
};

/** vu_refuse() - Say why the request in hand cannot be carried out. Return: -@code. */
int vu_refuse(struct vu_session *s, int code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/** vu_refuse_for() - The same where another part has said why in @inner. Return: -@inner->code. */
int vu_refuse_for(struct vu_session *s, const struct vmtap_error *inner);

/** vu_reply() - Answer the request in hand, with descriptor @fd (borrowed; -1: none). Return: 0 or -errno. */
int vu_reply(struct vu_session *s, const void *body, uint32_t len, int fd);

/** vu_reply_u64() - Answer with a number. */
int vu_reply_u64(struct vu_session *s, uint64_t value);

/** vu_session_has() - Was this protocol feature acknowledged? */
static inline bool vu_session_has(const struct vu_session *s, unsigned feature)
{
	return s->dev->protocol >> feature & 1;
}

/* Requests; each is named like its VHOST_USER_ constant. session-dev.c: */
int vu_get_features(struct vu_session *s, struct vu_msg *m);
int vu_set_features(struct vu_session *s, struct vu_msg *m);
int vu_get_protocol_features(struct vu_session *s, struct vu_msg *m);
int vu_set_protocol_features(struct vu_session *s, struct vu_msg *m);
int vu_set_owner(struct vu_session *s, struct vu_msg *m);
int vu_reset_owner(struct vu_session *s, struct vu_msg *m);
int vu_reset_device(struct vu_session *s, struct vu_msg *m);
int vu_set_status(struct vu_session *s, struct vu_msg *m);
int vu_get_status(struct vu_session *s, struct vu_msg *m);

/* session-net.c: */
int vu_get_queue_num(struct vu_session *s, struct vu_msg *m);
int vu_send_rarp(struct vu_session *s, struct vu_msg *m);
int vu_net_set_mtu(struct vu_session *s, struct vu_msg *m);
int vu_set_backend_req_fd(struct vu_session *s, struct vu_msg *m);
int vu_get_config(struct vu_session *s, struct vu_msg *m);
int vu_set_config(struct vu_session *s, struct vu_msg *m);

/* session-mem.c: */
int vu_set_mem_table(struct vu_session *s, struct vu_msg *m);
int vu_get_max_mem_slots(struct vu_session *s, struct vu_msg *m);
int vu_add_mem_reg(struct vu_session *s, struct vu_msg *m);
int vu_rem_mem_reg(struct vu_session *s, struct vu_msg *m);
int vu_set_log_base(struct vu_session *s, struct vu_msg *m);
int vu_set_log_fd(struct vu_session *s, struct vu_msg *m);

/* session-inflight.c: */
int vu_get_inflight_fd(struct vu_session *s, struct vu_msg *m);
int vu_set_inflight_fd(struct vu_session *s, struct vu_msg *m);
/** vu_inflight_refit() - The ring format may have changed: lay the area out anew. No ring runs. */
int vu_inflight_refit(struct vu_session *s);

/* session-ring.c: */
int vu_set_vring_num(struct vu_session *s, struct vu_msg *m);
int vu_set_vring_addr(struct vu_session *s, struct vu_msg *m);
int vu_set_vring_base(struct vu_session *s, struct vu_msg *m);
int vu_get_vring_base(struct vu_session *s, struct vu_msg *m);
int vu_set_vring_kick(struct vu_session *s, struct vu_msg *m);
int vu_set_vring_call(struct vu_session *s, struct vu_msg *m);
int vu_set_vring_err(struct vu_session *s, struct vu_msg *m);
int vu_set_vring_enable(struct vu_session *s, struct vu_msg *m);
int vu_set_vring_endian(struct vu_session *s, struct vu_msg *m);

/* session-start.c: */
/** vu_rings_run() - Does any? */
bool vu_rings_run(const struct vu_session *s);
/** vu_ring_start() - Start the ring of queue @index if it does not run and has all it needs.
 *  Return: 0: it runs, or waits for more; -errno: it cannot run. */
int vu_ring_start(struct vu_session *s, unsigned index);
/** vu_rings_start() - All that can. Where the addresses are in no memory, the ring waits. */
int vu_rings_start(struct vu_session *s);
/** vu_rings_pause() - The memory table is about to change. */
void vu_rings_pause(struct vu_session *s);
/** vu_rings_resume() - It did: rings run on, or wait when they are nowhere now. */
int vu_rings_resume(struct vu_session *s);
/** vu_ring_log_at() - Where writes to the ring itself go in the dirty log. Return: 0 or -EFAULT. */
int vu_ring_log_at(struct vu_session *s, unsigned index, uint64_t *gpa);
/** vu_rings_enable() - What SET_VRING_ENABLE said comes to count, or no longer does. */
void vu_rings_enable(struct vu_session *s);

/* dev.c: */
void vu_dev_set_enabled(struct vu_dev *dev, unsigned index, bool on);
/** vu_dev_stop_ring() - The port is told; cfg.base says where to go on. Fine when it does not run. */
void vu_dev_stop_ring(struct vu_dev *dev, unsigned index);
/** vu_dev_drop_kick() - Close the kick descriptor; the port is told. */
void vu_dev_drop_kick(struct vu_dev *dev, unsigned index);
/** vu_dev_reset_queue() - As in the beginning, but for its base, which the front end may still ask for,
 *  and its error descriptor. */
void vu_dev_reset_queue(struct vu_dev *dev, unsigned index);

#endif
