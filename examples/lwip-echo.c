/* SPDX-License-Identifier: MIT */
/*
 * A TCP/IP stack on a port: lwIP serves the echo protocol (TCP port 7).
 *
 *     lwip-echo tap,ifname=vm0,script=no,downscript=no 10.0.0.2
 *
 * Model
 *   lwIP runs without threads of its own: this program's poll(2) loop hands
 *   it the frames that arrive and lets it look at its timers. In between is
 *   an lwIP network interface whose linkoutput is vmtap_sendv().
 *
 * Back-pressure
 *   What cannot be sent at once, the library queues. The echo takes no more
 *   from its client than it can send back, so TCP's window closes in time.
 */
#include <arpa/inet.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>

#include <lwip/etharp.h>
#include <lwip/init.h>
#include <lwip/netif.h>
#include <lwip/tcp.h>
#include <lwip/timeouts.h>

#include <vmtap/vmtap.h>

#define ECHO_PORT 7
#define IOV_MAX_CNT 64

/* ------------------------------------------------------ lwIP's network interface */

static err_t link_output(struct netif *netif, struct pbuf *p)
{
	struct iovec iov[IOV_MAX_CNT];
	unsigned cnt = 0;

	for (struct pbuf *q = p; q && cnt < IOV_MAX_CNT; q = q->next)
		iov[cnt++] = (struct iovec) { .iov_base = q->payload, .iov_len = q->len };
	/* 0: it was queued, and copied for that; p is lwIP's own again */
	return vmtap_sendv(netif->state, iov, cnt, NULL, NULL) < 0 ? ERR_BUF : ERR_OK;
}

static err_t netif_setup(struct netif *netif)
{
	static const unsigned char mac[] = { 0x52, 0x54, 0x00, 0x6c, 0x77, 0x69 };

	netif->name[0] = 'v';
	netif->name[1] = 't';
	netif->mtu = 1500;
	netif->hwaddr_len = sizeof(mac);
	memcpy(netif->hwaddr, mac, sizeof(mac));
	netif->flags = NETIF_FLAG_BROADCAST | NETIF_FLAG_ETHARP | NETIF_FLAG_LINK_UP;
	netif->output = etharp_output;
	netif->linkoutput = link_output;
	return ERR_OK;
}

/* Not PBUF_POOL: pool buffers of Debian 12's liblwip are shorter than their own length says. */
static void take_frame(struct netif *netif, const struct vmtap_frame *frame)
{
	struct pbuf *p = NULL;
	u16_t off = 0;

	if (frame->len <= UINT16_MAX)
		p = pbuf_alloc(PBUF_RAW, (u16_t)frame->len, PBUF_RAM);
	if (!p)
		return; /* as a full receive ring: TCP sends again */
	for (unsigned i = 0; i < frame->iov_cnt; i++) {
		pbuf_take_at(p, frame->iov[i].iov_base, (u16_t)frame->iov[i].iov_len, off);
		off = (u16_t)(off + frame->iov[i].iov_len);
	}
	if (netif->input(p, netif) != ERR_OK)
		pbuf_free(p);
}

static unsigned take_frames(void *opaque, const struct vmtap_frame *frames, unsigned cnt)
{
	for (unsigned i = 0; i < cnt; i++)
		take_frame(opaque, &frames[i]);
	return cnt;
}

/* --------------------------------------------------------------------- the echo */

/**
 * struct echo - One connection
 * @back:    what came and was not sent back yet
 * @is_over: the client has said all it has to say
 */
struct echo {
	struct pbuf *back;
	bool is_over;
};

static void echo_free(struct echo *e)
{
	if (e->back)
		pbuf_free(e->back);
	free(e);
}

/* Send back as much as lwIP has room for now. */
static err_t echo_push(struct tcp_pcb *pcb, struct echo *e)
{
	while (e->back && tcp_sndbuf(pcb)) {
		u16_t n = e->back->len < tcp_sndbuf(pcb) ? e->back->len : (u16_t)tcp_sndbuf(pcb);

		if (tcp_write(pcb, e->back->payload, n, TCP_WRITE_FLAG_COPY) != ERR_OK)
			break; /* echo_sent() goes on */
		e->back = pbuf_free_header(e->back, n);
		tcp_recved(pcb, n);
	}
	tcp_output(pcb);
	if (e->back || !e->is_over)
		return ERR_OK;
	tcp_arg(pcb, NULL);
	tcp_recv(pcb, NULL);
	tcp_sent(pcb, NULL);
	tcp_err(pcb, NULL);
	echo_free(e);
	if (tcp_close(pcb) == ERR_OK)
		return ERR_OK;
	tcp_abort(pcb);
	return ERR_ABRT;
}

static err_t echo_received(void *arg, struct tcp_pcb *pcb, struct pbuf *p, err_t err)
{
	struct echo *e = arg;

	if (!p)
		e->is_over = true;
	else if (e->back)
		pbuf_cat(e->back, p);
	else
		e->back = p;
	return echo_push(pcb, e);
}

static err_t echo_sent(void *arg, struct tcp_pcb *pcb, u16_t len)
{
	return echo_push(pcb, arg);
}

static void echo_failed(void *arg, err_t err)
{
	echo_free(arg);
}

static err_t echo_accept(void *arg, struct tcp_pcb *pcb, err_t err)
{
	struct echo *e = err == ERR_OK && pcb ? calloc(1, sizeof(*e)) : NULL;

	if (!e)
		return ERR_MEM;
	tcp_arg(pcb, e);
	tcp_recv(pcb, echo_received);
	tcp_sent(pcb, echo_sent);
	tcp_err(pcb, echo_failed);
	return ERR_OK;
}

static bool echo_listen(void)
{
	struct tcp_pcb *pcb = tcp_new();

	if (!pcb || tcp_bind(pcb, IP_ADDR_ANY, ECHO_PORT) != ERR_OK)
		return false;
	pcb = tcp_listen(pcb);
	if (!pcb)
		return false;
	tcp_accept(pcb, echo_accept);
	return true;
}

/* -------------------------------------------------------------------- the program */

static int run(struct vmtap *v, const sigset_t *set)
{
	struct pollfd fds[] = {
		{ .fd = signalfd(-1, set, SFD_CLOEXEC), .events = POLLIN },
		{ .fd = vmtap_fd(v), .events = POLLIN },
	};
	u32_t sleep_ms;

	do {
		vmtap_dispatch(v, 0);
		sys_check_timeouts();
		sleep_ms = sys_timeouts_sleeptime();
	} while (poll(fds, 2, sleep_ms > INT32_MAX ? -1 : (int)sleep_ms) >= 0 && !fds[0].revents);
	return 0;
}

static int fail(const struct vmtap_error *err)
{
	char line[1200];

	vmtap_error_format(err, line, sizeof(line));
	fprintf(stderr, "%s\n", line);
	return 1;
}

int main(int argc, char **argv)
{
	static const struct vmtap_app_ops ops = { .size = sizeof(ops), .frames = take_frames };
	static struct netif netif;
	struct vmtap_error err = { 0 };
	struct vmtap_port *outside, *mine;
	ip4_addr_t ip, mask, gateway;
	struct vmtap *v;
	sigset_t set;
	int ret;

	if (argc != 3 || !ip4addr_aton(argv[2], &ip)) {
		fprintf(stderr, "usage: lwip-echo PORT ADDRESS\n");
		return 2;
	}
	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);

	lwip_init();
	v = vmtap_new(NULL, &err);
	outside = v ? vmtap_port_open(v, argv[1], &err) : NULL;
	mine = outside ? vmtap_app_new(v, "lwip", &ops, &netif, &err) : NULL;
	if (!mine) {
		vmtap_free(v);
		return fail(&err);
	}
	IP4_ADDR(&mask, 255, 255, 255, 0);
	ip4_addr_set_zero(&gateway);
	if (!netif_add(&netif, &ip, &mask, &gateway, mine, netif_setup, netif_input) ||
	    !echo_listen()) {
		fprintf(stderr, "lwIP is out of memory\n");
		vmtap_free(v);
		return 1;
	}
	netif_set_default(&netif);
	if (!vmtap_link_new(v, outside, mine, &err)) {
		vmtap_free(v);
		return fail(&err);
	}
	netif_set_up(&netif); /* announces the address */
	printf("echo on %s port %d\n", argv[2], ECHO_PORT);
	fflush(stdout);
	ret = run(v, &set);
	vmtap_free(v);
	return ret;
}
