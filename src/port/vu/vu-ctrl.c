/* SPDX-License-Identifier: MIT */
/* The `vhost-user` port: the control queue, where the front end leaves it to us. */
#include "port/vu/vu-int.h"

#define CHAINS 16u /* commands are rare */

/* One command: what the guest wrote, and a byte for the answer. */
static uint32_t command(struct vu *v, const struct vring_chain *c)
{
	uint8_t *ack = c->in_cnt ? c->iov[c->out_cnt].iov_base : NULL;

	if (!ack)
		return 0;
	*ack = ctrl_command(&v->ctrl, c->iov, c->out_cnt, c->out_len);
	return 1;
}

void vu_ctrl_run(struct vu *v, unsigned index)
{
	struct vring *ring = v->dev.queues[index].ring;
	struct vring_chain chains[CHAINS];
	unsigned turn = 0, n;

	if (!v->io[index].runs)
		return;
	do {
		while (turn < PORT_BUDGET && (n = vring_pop(ring, chains, CHAINS)) > 0) {
			for (unsigned i = 0; i < n; i++)
				vring_push(ring, &chains[i], command(v, &chains[i]));
			vring_publish(ring);
			turn += n;
		}
	} while (turn < PORT_BUDGET && vring_want_kicks(ring, true));
	if (turn >= PORT_BUDGET)
		loop_task_add(vu_loop(v, index), &v->io[index].more);
	vu_ctrl_changed(v);
	vu_check(v, index);
}
