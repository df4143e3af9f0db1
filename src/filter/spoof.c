/* SPDX-License-Identifier: MIT */
/* Against spoofing: what enters by a port with addresses that are not its own is discarded. */
#include "filter/spoof.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/container.h"
#include "base/iov.h"
#include "filter/senders.h"

#define WHAT "filter its frames"

/** Pieces of a frame that lies in a guest's memory (PIECES_MAX in port/vu/tx.c), and our copy. */
#define PIECES 66u
/** Bytes of copies: what headers take, mostly, of a burst, and behind it room for the longest. */
#define HEADS_LEN (VMTAP_BURST_MAX * 256u + PACKET_HEAD_MAX)

/** struct copies - Frames whose first bytes are a copy. A lane's, where memory is shared. */
struct copies {
	struct vmtap_frame frames[VMTAP_BURST_MAX];
	struct iovec iov[VMTAP_BURST_MAX][PIECES];
};

/** struct eye - What a lane looks with; @copies: NULL: nobody changes its frames */
struct eye {
	struct copies *copies;
	uint8_t heads[HEADS_LEN];
};

struct spoof {
	struct port_hook hook;
	struct port *port;
	bool hooked;
	char *macs, *ips; /* owned; NULL: any */
	struct senders senders;
	struct eye *eyes; /* of each queue pair; NULL until they are needed */
};

static struct spoof *of_hook(struct port_hook *h)
{
	return container_of(h, struct spoof, hook);
}

/* ------------------------------------------------------------ moving frames */

/* Frame @n goes on with @head in place of what was looked at. Return: false: it has too many pieces. */
static bool keep(struct copies *c, unsigned n, const struct head *head)
{
	const struct vmtap_frame *f = head->frame;
	struct iovec *iov = c->iov[n];
	unsigned cnt = 0;

	if (head->len < f->len) {
		cnt = iov_slice(f->iov, f->iov_cnt, head->len, f->len - head->len, iov + 1,
				PIECES - 1);
		if (!cnt)
			return false;
	}
	iov[0] = (struct iovec) { head->buf, head->len };
	c->frames[n] = *f;
	c->frames[n].iov = iov;
	c->frames[n].iov_cnt = cnt + 1;
	return true;
}

static unsigned admit(struct port_hook *h, struct port_lane *lane, enum port_way way,
		      const struct vmtap_frame *frames, unsigned cnt, enum port_verdict *verdict)
{
	const struct spoof *s = of_hook(h);
	struct eye *eye = &s->eyes[lane->index];
	uint32_t used = 0;
	unsigned n = 0;

	if (way != PORT_RX)
		return cnt;
	while (n < cnt && used + PACKET_HEAD_MAX <= HEADS_LEN) {
		struct head head = { .frame = &frames[n], .buf = eye->heads + used };
		bool ok = senders_permit(&s->senders, &head);

		if (ok && eye->copies) {
			ok = keep(eye->copies, n, &head);
			used += head.len;
		}
		if (n && ok != (*verdict == PORT_PASS))
			break;
		*verdict = ok ? PORT_PASS : PORT_DROP;
		n++;
	}
	return n;
}

static const struct vmtap_frame *instead(struct port_hook *h, struct port_lane *lane,
					 enum port_way way, const struct vmtap_frame *frames,
					 unsigned cnt)
{
	const struct spoof *s = of_hook(h);
	const struct copies *c = way == PORT_RX ? s->eyes[lane->index].copies : NULL;

	return c ? c->frames : frames;
}

static const struct port_hook_ops ops = { .admit = admit, .instead = instead };

/* ---------------------------------------------------------------- setting */

struct spoof *spoof_new(struct port *p)
{
	struct spoof *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->hook.ops = &ops;
	s->port = p;
	return s;
}

static void free_eyes(struct spoof *s)
{
	for (unsigned i = 0; s->eyes && i < s->port->pair_cnt; i++)
		free(s->eyes[i].copies);
	free(s->eyes);
	s->eyes = NULL;
}

static int make_eyes(struct spoof *s)
{
	if (s->eyes)
		return 0;
	s->eyes = calloc(s->port->pair_cnt, sizeof(*s->eyes));
	for (unsigned i = 0; s->eyes && s->port->ops->shared && i < s->port->pair_cnt; i++) {
		s->eyes[i].copies = calloc(1, sizeof(*s->eyes[i].copies));
		if (!s->eyes[i].copies)
			free_eyes(s);
	}
	return s->eyes ? 0 : -ENOMEM;
}

void spoof_free(struct spoof *s)
{
	if (!s)
		return;
	port_hook_del(s->port, &s->hook);
	free_eyes(s);
	free(s->macs);
	free(s->ips);
	free(s);
}

static bool is_given(const char *text)
{
	return text && *text;
}

static int read_senders(struct senders *to, const char *object, const char *macs, const char *ips,
			struct vmtap_error *err)
{
	char why[SENDERS_WHY_MAX];
	bool is_ip = false;
	int ret = 0;

	*to = (struct senders) { 0 };
	if (is_given(macs))
		ret = senders_add_macs(to, macs, why);
	if (ret == 0 && is_given(ips)) {
		is_ip = true;
		ret = senders_add_ips(to, ips, why);
	}
	if (ret == 0)
		return 0;
	error_set(err, EINVAL, object, WHAT, "%s: %s", is_ip ? "ip-filter" : "mac-filter", why);
	error_remedy(err, is_ip ? "write them as in 10.0.0.2+fd00::2+10.1.0.0/24"
				: "write them as in 52:54:00:12:34:56+52:54:00:12:34:57");
	return ret;
}

int spoof_check(const char *object, const char *macs, const char *ips, struct vmtap_error *err)
{
	struct senders senders;

	return read_senders(&senders, object, macs, ips, err);
}

/* Put what was made in place; the old is freed. */
static void swap(struct spoof *s, char *macs, char *ips, const struct senders *senders)
{
	port_enter(s->port);
	s->senders = *senders;
	port_leave(s->port);
	free(s->macs);
	free(s->ips);
	s->macs = macs;
	s->ips = ips;
}

int spoof_set(struct spoof *s, const char *macs, const char *ips, struct vmtap_error *err)
{
	const bool wanted = is_given(macs) || is_given(ips);
	char *new_macs = is_given(macs) ? strdup(macs) : NULL;
	char *new_ips = is_given(ips) ? strdup(ips) : NULL;
	struct senders senders;
	int ret = read_senders(&senders, s->port->name, macs, ips, err);

	if (ret == 0 && ((is_given(macs) && !new_macs) || (is_given(ips) && !new_ips) ||
			 (wanted && make_eyes(s) < 0)))
		ret = error_errno(err, ENOMEM, s->port->name, WHAT);
	/* before the hook sees a frame, and after it saw its last */
	if (ret == 0 && wanted && !s->hooked)
		ret = port_check_seen(s->port, port_peer(s->port), WHAT, err);
	if (ret < 0) {
		free(new_macs);
		free(new_ips);
		return ret;
	}
	if (!wanted)
		port_hook_del(s->port, &s->hook);
	swap(s, new_macs, new_ips, &senders);
	if (wanted && !s->hooked)
		port_hook_add(s->port, &s->hook, WHAT, NULL);
	s->hooked = wanted;
	return 0;
}

const char *spoof_macs(const struct spoof *s)
{
	return s->macs;
}

const char *spoof_ips(const struct spoof *s)
{
	return s->ips;
}
