/* SPDX-License-Identifier: MIT */
/* What all ports have in common: joining, back-pressure, state, counting. */
#include "net/port.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/container.h"
#include "base/counter.h"
#include "loop/worker.h"
#include "net/offload.h"

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
	p->only = (struct port_lane) {
		.port = p, .loop = env->loop, .burst = env->burst, .used = true
	};
	p->lanes = &p->only;
	p->lane_cnt = 1;
	p->pair_cnt = 1;
	p->name = strdup(name);
	return p->name ? 0 : -ENOMEM;
}

/* ------------------------------------------------------------------- lanes */

int port_set_pairs(struct port *p, unsigned cnt)
{
	struct port_lane *lanes;

	assert(!p->junction && p->pair_cnt == 1 && cnt);
	if (cnt == 1)
		return 0;
	lanes = calloc(cnt, sizeof(*lanes));
	if (!lanes)
		return -ENOMEM;
	for (unsigned i = 0; i < cnt; i++) {
		lanes[i] = p->only;
		lanes[i].index = i;
	}
	p->lanes = lanes;
	p->pair_cnt = cnt;
	return 0;
}

static void hooks_leave_loops(const struct port *p)
{
	for (struct port_hook *h = p->hooks; h; h = h->next)
		if (h->ops->leave_loops)
			h->ops->leave_loops(h);
}

static bool is_moved_by(const struct port_lane *l, const struct workers *pool, unsigned number)
{
	return l->loop == (pool ? workers_loop(pool, number) : l->port->env->loop);
}

/* Nothing of it would be moved any more: better that it says so. */
static int moved(struct port *p)
{
	struct vmtap_error err = { 0 };
	int ret = p->ops->moved(p);

	if (ret == 0)
		return 0;
	p->ops->leave_loops(p);
	error_errno(&err, -ret, p->name, "have its queues watched");
	port_fail(p, &err);
	return ret;
}

int port_set_lanes(struct port *p, unsigned cnt, const struct workers *pool, unsigned first)
{
	const struct port_env *env = p->env;
	bool same = cnt == p->lane_cnt;

	assert(cnt == 1 || cnt == p->pair_cnt);
	for (unsigned i = 0; i < cnt; i++)
		same &= is_moved_by(&p->lanes[i], pool, first + i);
	if (same)
		return 0;
	assert(port_can_move(p) || !pool);
	hooks_leave_loops(p);
	if (p->started)
		p->ops->leave_loops(p);
	/* the counters stay where they are: port_stats() adds those of all */
	p->lane_cnt = cnt;
	for (unsigned i = 0; i < p->pair_cnt; i++) {
		struct port_lane *l = &p->lanes[i];

		l->loop = pool && i < cnt ? workers_loop(pool, first + i) : env->loop;
		l->burst = pool && i < cnt ? workers_burst(pool, first + i) : env->burst;
		if (i >= cnt) { /* a port that was paused may have held frames there */
			l->held = l->resume_owed = false;
			hold_end(&l->rx_hold);
			lane_unblock(l);
		}
	}
	return p->started ? moved(p) : 0;
}

void port_enter(const struct port *p)
{
	if (p->env->workers)
		workers_hold(p->env->workers);
}

void port_leave(const struct port *p)
{
	if (p->env->workers)
		workers_release(p->env->workers);
}

void lane_post(struct port_lane *l, struct loop_task *t)
{
	struct loop *loop = l->port->env->loop;

	if (l->loop == loop)
		loop_task_add(loop, t);
	else
		loop_task_post(loop, t);
}

/* ---------------------------------------------------------------- counting */

/* Of @cnt frames, less those that are lost. */
static void count_but(struct vmtap_counters *c, const struct vmtap_frame *frames, unsigned cnt,
		      const struct port_lost *lost)
{
	uint64_t bytes = 0, gso = 0;

	for (unsigned i = 0; i < cnt; i++) {
		bytes += frames[i].len;
		gso += frames[i].hdr.gso_type != VMTAP_GSO_NONE;
	}
	counter_add(&c->frames, cnt - lost->frames);
	counter_add(&c->bytes, bytes - lost->bytes);
	counter_add(&c->gso_frames, gso - lost->gso_frames);
}

static void count(struct vmtap_counters *c, const struct vmtap_frame *frames, unsigned cnt)
{
	count_but(c, frames, cnt, &(struct port_lost) { 0 });
}

static void lose(struct port_lost *lost, const struct vmtap_frame *frames, unsigned cnt)
{
	for (unsigned i = 0; i < cnt; i++) {
		lost->bytes += frames[i].len;
		lost->gso_frames += frames[i].hdr.gso_type != VMTAP_GSO_NONE;
	}
	lost->frames += cnt;
}

void lane_drop_rx(struct port_lane *l, enum vmtap_drop cause, unsigned cnt)
{
	counter_add(&l->stats.rx.drops[cause], cnt);
}

/* lane_send() counts all that was taken, but what is lost. */
void lane_drop_tx(struct port_lane *l, enum vmtap_drop cause, const struct vmtap_frame *frames,
		  unsigned cnt)
{
	counter_add(&l->stats.tx.drops[cause], cnt);
	if (frames)
		lose(&l->lost, frames, cnt);
}

/* ------------------------------------------------------------ moving frames */

/* How many of the first share *@verdict; 0: none goes on, now. *@frames may become others, which are to be
 * used instead. */
static unsigned ask_hooks(struct port_lane *l, enum port_way way, const struct vmtap_frame **frames,
			  unsigned cnt, enum port_verdict *verdict)
{
	*verdict = PORT_PASS;
	for (struct port_hook *h = l->port->hooks; h && cnt && *verdict == PORT_PASS; h = h->next) {
		if (h->ops->admit)
			cnt = h->ops->admit(h, l, way, *frames, cnt, verdict);
		if (h->ops->instead && cnt && *verdict == PORT_PASS)
			*frames = h->ops->instead(h, l, way, *frames, cnt);
	}
	return cnt;
}

static void tell_hooks(struct port_lane *l, enum port_way way, const struct vmtap_frame *frames,
		       unsigned cnt)
{
	for (struct port_hook *h = l->port->hooks; h && cnt; h = h->next)
		if (h->ops->passed)
			h->ops->passed(h, l, way, frames, cnt);
}

typedef unsigned go_on_fn(struct port_lane *l, const struct vmtap_frame *frames, unsigned cnt);

static unsigned go_to_junction(struct port_lane *l, const struct vmtap_frame *frames, unsigned cnt)
{
	struct junction *j = l->port->junction;

	if (!j) { /* parted by whoever got the frames before these */
		lane_drop_rx(l, VMTAP_DROP_NO_PEER, cnt);
		return cnt;
	}
	return j->ops->offer(j, l, frames, cnt);
}

static unsigned go_outside(struct port_lane *l, const struct vmtap_frame *frames, unsigned cnt)
{
	return l->port->polling ? l->port->ops->send(l, frames, cnt) : 0;
}

/* The same as @go_on, past the hooks. */
static unsigned go_past_hooks(struct port_lane *l, enum port_way way, go_on_fn *go_on,
			      const struct vmtap_frame *frames, unsigned cnt)
{
	unsigned done = 0;

	while (done < cnt) {
		const struct vmtap_frame *next = frames + done;
		enum port_verdict verdict;
		unsigned n = ask_hooks(l, way, &next, cnt - done, &verdict), taken = n;

		if (!n)
			break;
		if (verdict == PORT_DROP && way == PORT_TX)
			lane_drop_tx(l, VMTAP_DROP_FILTERED, next, n);
		else if (verdict == PORT_DROP)
			lane_drop_rx(l, VMTAP_DROP_FILTERED, n);
		else if (verdict == PORT_PASS)
			taken = go_on(l, next, n);
		if (verdict != PORT_DROP)
			tell_hooks(l, way, next, taken);
		done += taken;
		if (taken < n)
			break;
	}
	return done;
}

unsigned lane_offer(struct port_lane *l, const struct vmtap_frame *frames, unsigned cnt)
{
	struct port *p = l->port;
	unsigned taken;

	assert(cnt > 0 && cnt <= VMTAP_BURST_MAX);
	if (!p->junction || !p->link_up || p->closed) {
		lane_drop_rx(l,
			     p->junction && !p->closed ? VMTAP_DROP_LINK_DOWN : VMTAP_DROP_NO_PEER,
			     cnt);
		count(&l->stats.rx, frames, cnt);
		return cnt;
	}
	taken = p->hooks ? go_past_hooks(l, PORT_RX, go_to_junction, frames, cnt)
			 : go_to_junction(l, frames, cnt);
	count(&l->stats.rx, frames, taken);
	counter_add(&l->rx_bursts, taken > 0);
	if (taken < cnt) {
		l->held = true;
		counter_add(&l->stats.rx_holds, 1);
		hold_begin(&l->rx_hold);
	}
	return taken;
}

static void count_sent(struct port_lane *l, const struct vmtap_frame *frames, unsigned taken)
{
	count_but(&l->stats.tx, frames, taken, &l->lost);
	counter_add(&l->tx_bursts, taken > l->lost.frames);
	l->lost = (struct port_lost) { 0 };
}

unsigned lane_send(struct port_lane *l, const struct vmtap_frame *frames, unsigned cnt)
{
	struct port *p = l->port;
	unsigned taken;

	if (p->closed || p->state != VMTAP_PORT_UP || !p->link_up) {
		lane_drop_tx(l,
			     p->closed || p->link_up ? VMTAP_DROP_PEER_GONE : VMTAP_DROP_LINK_DOWN,
			     NULL, cnt);
		return cnt;
	}
	taken = p->hooks ? go_past_hooks(l, PORT_TX, go_outside, frames, cnt)
			 : go_outside(l, frames, cnt);
	count_sent(l, frames, taken);
	if (taken < cnt && p->state != VMTAP_PORT_UP) { /* it broke on the way */
		lane_drop_tx(l, VMTAP_DROP_PEER_GONE, NULL, cnt - taken);
		return cnt;
	}
	if (taken < cnt) {
		l->blocked = true;
		counter_add(&l->stats.tx_holds, 1);
		hold_begin(&l->tx_hold);
	}
	return taken;
}

/* -------------------------------------------------------------------- loans */

bool lane_borrow(struct port_lane *l, struct port_loan *loan)
{
	const struct port *p = l->port;
	struct port_lane *peer = NULL;

	if (p->junction && p->link_up && !p->closed && !p->hooks && p->junction->ops->peer)
		peer = p->junction->ops->peer(p->junction, l);
	if (!peer || peer->port->hooks || !peer->port->ops->lend)
		return false;
	loan->lender = peer;
	loan->borrower = l;
	return peer->port->ops->lend(peer, loan);
}

bool lane_repay(struct port_lane *l, const struct port_loan *loan, const struct vmtap_net_hdr *hdr,
		uint32_t len)
{
	struct port_lane *to = loan->lender;
	const struct vmtap_frame frame = { .hdr = *hdr, .len = len };

	if (offload_needed(hdr) & ~to->port->accepts)
		return false;
	to->port->ops->repay(to, hdr, len);
	count(&l->stats.rx, &frame, 1);
	count(&to->stats.tx, &frame, 1);
	to->loaned = true;
	return true;
}

void lane_settle(const struct port_loan *loan)
{
	struct port_lane *to = loan->lender;

	to->port->ops->settle(to);
	counter_add(&loan->borrower->rx_bursts, to->loaned);
	counter_add(&to->tx_bursts, to->loaned);
	to->loaned = false;
}

/* -------------------------------------------------------------------- hooks */

int port_check_seen(const struct port *p, const struct port *peer, const char *what,
		    struct vmtap_error *err)
{
	const struct port *both[] = { p, peer };

	for (int i = 0; i < 2; i++) {
		if (!both[i] || !both[i]->ops->in_kernel || !both[i]->ops->in_kernel(both[i]))
			continue;
		error_set(err, EBUSY, p->name, what,
			  "%s has vhost=on: the kernel carries the frames, and vmtap does not see "
			  "them",
			  both[i]->name);
		error_remedy(err, "leave vhost= out where frames have to be seen");
		return -EBUSY;
	}
	return 0;
}

int port_hook_add(struct port *p, struct port_hook *h, const char *what, struct vmtap_error *err)
{
	struct port_hook **at = &p->hooks;
	int ret = port_check_seen(p, port_peer(p), what, err);

	if (ret < 0)
		return ret;
	port_enter(p);
	while (*at && (h->last || !(*at)->last))
		at = &(*at)->next;
	h->next = *at;
	*at = h;
	port_leave(p);
	return 0;
}

void port_hook_del(struct port *p, struct port_hook *h)
{
	struct port_hook **at = &p->hooks;

	while (*at && *at != h)
		at = &(*at)->next;
	if (!*at)
		return;
	port_enter(p);
	*at = h->next;
	if (h->ops->leave_loops)
		h->ops->leave_loops(h);
	for (unsigned i = 0; i < p->lane_cnt; i++)
		for (int way = PORT_RX; way <= PORT_TX; way++)
			port_hook_open(&p->lanes[i], way);
	port_leave(p);
}

void port_hook_open(struct port_lane *l, enum port_way way)
{
	if (way == PORT_RX)
		lane_resume(l);
	else
		lane_writable(l);
}

/* ------------------------------------------------------------- back-pressure */

void lane_writable(struct port_lane *l)
{
	struct port *p = l->port;

	if (!l->blocked || !p->polling)
		return;
	lane_unblock(l);
	if (p->junction)
		p->junction->ops->writable(p->junction, l);
	for (struct port_hook *h = p->hooks; h; h = h->next)
		if (h->ops->writable)
			h->ops->writable(h, l);
}

void port_writable(struct port *p)
{
	for (unsigned i = 0; i < p->lane_cnt; i++)
		lane_writable(&p->lanes[i]);
}

void lane_resume(struct port_lane *l)
{
	struct port *p = l->port;

	if (!l->held || p->closed)
		return;
	if (!p->polling) {
		l->resume_owed = true;
		return;
	}
	l->held = false;
	hold_end(&l->rx_hold);
	p->ops->resume(l);
}

static void resume_owed(struct port *p)
{
	for (unsigned i = 0; i < p->lane_cnt; i++) {
		struct port_lane *l = &p->lanes[i];

		if (l->resume_owed) {
			l->resume_owed = false;
			lane_resume(l);
		}
		lane_writable(l);
	}
}

void port_set_poll(struct port *p, bool on)
{
	if (on == p->polling || p->closed)
		return;
	port_enter(p);
	p->polling = on;
	if (p->ops->set_poll)
		p->ops->set_poll(p, on);
	if (on)
		resume_owed(p);
	port_leave(p);
}

/* -------------------------------------------------------------------- state */

static void state_changed(struct port *p, enum vmtap_port_state state)
{
	port_enter(p);
	p->state = state;
	if (p->env->event)
		loop_task_add(p->env->loop, &p->event_task);
	/* whoever waits for room need not wait for a port that discards */
	if (state != VMTAP_PORT_UP)
		port_writable(p);
	port_leave(p);
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

struct port *port_peer(const struct port *p)
{
	return p->junction && p->junction->ops->other ? p->junction->ops->other(p->junction, p)
						      : NULL;
}

bool port_peer_vhost(const struct port *p, unsigned pair, unsigned hdr_len,
		     struct port_vhost *vhost)
{
	struct port *peer = port_peer(p);

	/* a queue that is another's in user space cannot be the kernel's */
	if (!peer || !peer->ops->vhost || peer->pair_cnt != p->pair_cnt)
		return false;
	return peer->ops->vhost(peer, pair, hdr_len, vhost);
}

void port_vhost_changed(struct port *p)
{
	struct port *peer = port_peer(p);

	if (peer && peer->ops->vhost_changed)
		peer->ops->vhost_changed(peer);
}

void port_set_accepts(struct port *p, unsigned accepts)
{
	if (p->accepts == accepts)
		return;
	port_enter(p);
	p->accepts = accepts;
	if (p->junction)
		p->junction->ops->changed(p->junction, p);
	port_leave(p);
}

void port_use_pairs(struct port *p, const uint8_t *pairs, unsigned cnt)
{
	port_enter(p);
	for (unsigned i = 0; i < p->pair_cnt; i++)
		p->lanes[i].used = memchr(pairs, (int)i, cnt) != NULL;
	if (p->junction && p->junction->ops->pairs_used)
		p->junction->ops->pairs_used(p->junction, p);
	port_leave(p);
}

static void link_set(struct port *p, bool up)
{
	port_enter(p);
	p->link_up = up;
	if (p->junction)
		p->junction->ops->changed(p->junction, p);
	if (!up)
		port_writable(p);
	port_leave(p);
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
	link_set(p, up);
	return 0;
}

int port_announce(struct port *p, struct vmtap_error *err)
{
	int ret;

	if (!p->ops->announce || p->closed)
		return error_set(err, EOPNOTSUPP, p->name, "announce the guest",
				 p->closed
					 ? "the port is closed"
					 : "a port of this type does not know the guest's address; "
					   "vhost-user does");
	port_enter(p);
	ret = p->ops->announce(p, err);
	port_leave(p);
	return ret;
}

int port_start(struct port *p, struct vmtap_error *err)
{
	int ret;

	if (p->started)
		return 0;
	port_enter(p);
	ret = p->ops->start(p, err);
	p->started = ret >= 0;
	if (ret < 0 && port_can_move(p)) /* of what it has in a worker's loop, some may be there */
		p->ops->leave_loops(p);
	port_leave(p);
	return ret < 0 ? ret : 0;
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
	port_enter(p);
	p->polling = false; /* no resume, no send on the way out */
	if (p->junction)
		p->junction->ops->leave(p->junction, p);
	assert(!p->junction);
	hooks_leave_loops(p);
	if (p->started && port_can_move(p))
		p->ops->leave_loops(p);
	port_leave(p);
	p->ops->close(p); /* may take long: a down script */
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
	if (p->lanes != &p->only)
		free(p->lanes);
	p->ops->free(p);
}
