/* SPDX-License-Identifier: MIT */
/* A queue of frames that wait for their receiver. */
#include "net/sendq.h"

#include <errno.h>
#include <stdlib.h>

#include "base/iov.h"

struct sendq_item {
	struct sendq_item *next;
	vmtap_sent_cb *done;
	void *opaque;
	size_t size;
	struct iovec iov;
	struct vmtap_frame frame;
	unsigned char data[];
};

int sendq_push(struct sendq *q, const struct vmtap_frame *frame, size_t size, vmtap_sent_cb *done,
	       void *opaque)
{
	struct sendq_item *item;

	if (q->cnt >= SENDQ_MAX && !done)
		return -ENOBUFS;
	item = malloc(sizeof(*item) + frame->len);
	if (!item)
		return -ENOMEM;
	*item = (struct sendq_item) { .done = done, .opaque = opaque, .size = size };
	item->frame = *frame;
	item->frame.iov = &item->iov;
	item->frame.iov_cnt = 1;
	item->iov = (struct iovec) { .iov_base = item->data, .iov_len = frame->len };
	iov_read(frame->iov, frame->iov_cnt, 0, item->data, frame->len);

	if (q->last)
		q->last->next = item;
	else
		q->first = item;
	q->last = item;
	q->cnt++;
	return 0;
}

static struct sendq_item *pop(struct sendq *q)
{
	struct sendq_item *item = q->first;

	q->first = item->next;
	if (!q->first)
		q->last = NULL;
	q->cnt--;
	return item;
}

static void finish(struct sendq *q, struct sendq_item *item, ssize_t status)
{
	if (item->done && q->complete)
		q->complete(q->ctx, item->done, item->opaque, status);
	else if (item->done)
		item->done(item->opaque, status);
	free(item);
}

unsigned sendq_flush(struct sendq *q, bool (*deliver)(void *ctx, const struct vmtap_frame *frame),
		     void *ctx)
{
	if (q->delivering)
		return q->cnt;
	q->delivering = true;
	while (q->first) {
		/* off the queue meanwhile, so that a purge from inside cannot free it */
		struct sendq_item *item = pop(q);

		if (!deliver(ctx, &item->frame)) {
			item->next = q->first;
			q->first = item;
			if (!q->last)
				q->last = item;
			q->cnt++;
			break;
		}
		finish(q, item, (ssize_t)item->size);
	}
	q->delivering = false;
	return q->cnt;
}

unsigned sendq_purge(struct sendq *q)
{
	unsigned cnt = 0;

	while (q->first) {
		finish(q, pop(q), -ECANCELED);
		cnt++;
	}
	return cnt;
}
