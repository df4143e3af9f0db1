/* SPDX-License-Identifier: MIT */
/* What all ports have in common: joining, back-pressure, state, counting. */
#include "net/port.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/container.h"

static void event_run(struct loop_task *t)
{
	struct port *p = container_of(t, struct port, event_task);

	p->env->event(p->env->opaque, p, p->state);
}

int port_init(struct port *p, const struct port_ops *ops, const struct port_env *env,
	      const char *name)
{
	p->ops = ops;
	p->env = env;
	p->polling = true;
	p->link_up = true;
	p->state = VMTAP_PORT_WAITING;
	p->event_task.run = event_run;
	p->name = strdup(name);
	return p->name ? 0 : -ENOMEM;
}

/* ---------------------------------------------------------------- counting */

static void count(struct vmtap_counters *c, const struct vmtap_frame *frames, unsigned cnt)
{
	uint64_t bytes = 0, gso = 0;

	for (unsigned i = 0; i < cnt; i++) {
		bytes += frames[i].len;
		gso += frames[i].hdr.gso_type != VMTAP_GSO_NONE;
	}
	c->frames += cnt;
	c->bytes += bytes;
	c->gso_frames += gso;
}

static void uncount(struct vmtap_counters *c, const struct vmtap_frame *frames, unsigned cnt)
{
	for (unsigned i = 0; i < cnt; i++) {
		c->bytes -= frames[i].len;
		c->gso_frames -= frames[i].hdr.gso_type != VMTAP_GSO_NONE;
	}
	c->frames -= cnt;
}

void port_drop_rx(struct port *p, enum vmtap_drop cause, unsigned cnt)
{
	p->stats.rx.drops[cause] += cnt;
}

/* port_send() counts all that was taken; what was dropped is taken out again here. */
void port_drop_tx(struct port *p, enum vmtap_drop cause, const struct vmtap_frame *frames,
		  unsigned cnt)
{
	p->stats.tx.drops[cause] += cnt;
	if (frames)
		uncount(&p->stats.tx, frames, cnt);
}

/* ------------------------------------------------------------ moving frames */

unsigned port_offer(struct port *p, const struct vmtap_frame *frames, unsigned cnt)
{
	unsigned taken;

	assert(cnt > 0 && cnt <= VMTAP_BURST_MAX);
	if (!p->junction || !p->link_up || p->closed) {
		p->stats.rx.drops[p->junction && !p->closed ? VMTAP_DROP_LINK_DOWN
							    : VMTAP_DROP_NO_PEER] += cnt;
		count(&p->stats.rx, frames, cnt);
		return cnt;
	}
	taken = p->junction->ops->offer(p->junction, p, frames, cnt);
	count(&p->stats.rx, frames, taken);
	if (taken < cnt) {
		p->held = true;
		p->stats.rx_holds++;
	}
	return taken;
}

unsigned port_send(struct port *p, const struct vmtap_frame *frames, unsigned cnt)
{
	unsigned taken;

	if (p->closed || p->state != VMTAP_PORT_UP || !p->link_up) {
		p->stats.tx.drops[p->closed || p->link_up ? VMTAP_DROP_PEER_GONE
							  : VMTAP_DROP_LINK_DOWN] += cnt;
		return cnt;
	}
	taken = p->polling ? p->ops->send(p, frames, cnt) : 0;
	count(&p->stats.tx, frames, taken);
	if (taken < cnt && p->state != VMTAP_PORT_UP) { /* it broke on the way */
		p->stats.tx.drops[VMTAP_DROP_PEER_GONE] += cnt - taken;
		return cnt;
	}
	if (taken < cnt) {
		p->blocked = true;
		p->stats.tx_holds++;
	}
	return taken;
}

void port_writable(struct port *p)
{
	if (!p->blocked || !p->polling)
		return;
	p->blocked = false;
	if (p->junction)
		p->junction->ops->writable(p->junction, p);
}

void port_resume(struct port *p)
{
	if (!p->held || p->closed)
		return;
	if (!p->polling) {
		p->resume_owed = true;
		return;
	}
	p->held = false;
	p->ops->resume(p);
}

void port_set_poll(struct port *p, bool on)
{
	if (on == p->polling || p->closed)
		return;
	p->polling = on;
	if (p->ops->set_poll)
		p->ops->set_poll(p, on);
	if (!on)
		return;
	if (p->resume_owed) {
		p->resume_owed = false;
		port_resume(p);
	}
	port_writable(p);
}

/* -------------------------------------------------------------------- state */

static void state_changed(struct port *p, enum vmtap_port_state state)
{
	p->state = state;
	if (p->env->event)
		loop_task_add(p->env->loop, &p->event_task);
	/* whoever waits for room need not wait for a port that discards */
	if (state != VMTAP_PORT_UP)
		port_writable(p);
}

void port_set_state(struct port *p, enum vmtap_port_state state)
{
	if (p->state == state || p->state == VMTAP_PORT_BROKEN || p->closed)
		return;
	state_changed(p, state);
}

void port_fail(struct port *p, const struct vmtap_error *err)
{
	if (p->state == VMTAP_PORT_BROKEN || p->closed)
		return;
	p->error = *err;
	log_error(p->env->log, VMTAP_LOG_ERROR, p->name, err);
	state_changed(p, VMTAP_PORT_BROKEN);
}

void port_set_accepts(struct port *p, unsigned accepts)
{
	if (p->accepts == accepts)
		return;
	p->accepts = accepts;
	if (p->junction)
		p->junction->ops->changed(p->junction, p);
}

int port_set_link(struct port *p, bool up, struct vmtap_error *err)
{
	int ret = 0;

	if (p->closed)
		return error_set(err, EPIPE, p->name, "set the link", "the port is closed");
	if (p->ops->set_link)
		ret = p->ops->set_link(p, up, err);
	if (ret < 0)
		return ret;
	p->link_up = up;
	if (p->junction)
		p->junction->ops->changed(p->junction, p);
	if (!up)
		port_writable(p);
	return 0;
}

int port_start(struct port *p, struct vmtap_error *err)
{
	int ret;

	if (p->started)
		return 0;
	ret = p->ops->start(p, err);
	if (ret < 0)
		return ret;
	p->started = true;
	return 0;
}

int port_describe(const struct port *p, char *buf, size_t size)
{
	return p->ops->describe(p, buf, size);
}

int port_get_fd(const struct port *p, unsigned queue)
{
	return p->ops->get_fd && !p->closed ? p->ops->get_fd(p, queue) : -1;
}

void port_close(struct port *p)
{
	if (p->closed)
		return;
	p->polling = false; /* no resume, no send on the way out */
	if (p->junction)
		p->junction->ops->leave(p->junction, p);
	assert(!p->junction);
	p->ops->close(p);
	loop_task_del(p->env->loop, &p->event_task);
	p->closed = true;
	if (p->state != VMTAP_PORT_BROKEN)
		p->state = VMTAP_PORT_CLOSED;
}

void port_free(struct port *p)
{
	if (!p)
		return;
	port_close(p);
	free(p->name);
	p->ops->free(p);
}
