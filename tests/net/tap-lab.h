/* SPDX-License-Identifier: MIT */
/*
 * What the claims about TAPs share: an instance with a TAP and an application
 * port, and the kernel's side of the TAP.
 *
 *   application port <-- link --> vm0 (TAP) <--> the kernel <--> packet socket
 *
 * Only the public header is used. The programs run in a network namespace
 * that pytest (test_tap_lib.py) makes for each claim.
 */
#ifndef TAP_LAB_H
#define TAP_LAB_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "vmtap/vmtap.h"

#define LAB_TAP "tap,ifname=vm0,script=no,downscript=no"
#define LAB_FRAME_MAX (VMTAP_FRAME_MAX + 16)
#define LAB_TYPE 0x88b5 /* for local experiments: nobody else sends it */

/** struct lab_frame - A frame that the application was given, copied. */
struct lab_frame {
	struct vmtap_net_hdr hdr;
	uint32_t len;
	unsigned char *data;
};

/**
 * struct lab - A TAP and an application
 * @take:   how many frames the application still takes; it says itself when it takes more
 * @types:  only frames of this EtherType are kept, 0: all
 * @frames: those that it took, oldest first
 */
struct lab {
	struct vmtap *v;
	struct vmtap_port *tap, *app;
	struct vmtap_link *link;
	struct vmtap_app_ops ops;
	unsigned take, type;
	struct lab_frame *frames;
	unsigned frame_cnt, frame_max, calls;
	unsigned writable_cnt, link_cnt, closed_cnt, event_cnt;
	bool link_up;
	enum vmtap_port_state event_state;
	void (*on_frame)(struct lab *lab); /* called from inside the application's callback */
	void (*on_event)(struct lab *lab, struct vmtap_port *port);
	void (*on_link)(struct lab *lab);
	void *priv;
	int packet; /* socket on vm0 */
};

/** lab_open() - TAP with more @options ("" or ",queues=2"), application, link, packet socket. */
void lab_open(struct lab *lab, const char *options);
/** lab_open_ports() - The same without link, of any descriptions; @spec NULL: no TAP. */
void lab_open_ports(struct lab *lab, const char *spec, unsigned hdr_len);
void lab_link(struct lab *lab);
void lab_close(struct lab *lab);

/** lab_forget() - Forget the frames that came. */
void lab_forget(struct lab *lab);

/** lab_wait() - Dispatch until the application has @cnt frames. Fails after 10 s. */
void lab_wait(struct lab *lab, unsigned cnt);
/** lab_until() - Dispatch until @done says so. Fails after 10 s. */
void lab_until(struct lab *lab, bool (*done)(struct lab *lab));
/** lab_settle() - Dispatch until nothing is ready any more. */
void lab_settle(struct lab *lab);

/** lab_frame() - Fill @buf with a frame that carries @number and a pattern. */
void lab_frame(unsigned char *buf, unsigned size, uint32_t number);
/** lab_number() - The number in a frame of lab_frame(), which is checked byte by byte. */
uint32_t lab_number(const unsigned char *data, unsigned len);

/** lab_packet_socket() - A packet socket for frames that come out of @ifname's device. */
int lab_packet_socket(const char *ifname);
/** lab_slow_peer() - Bridge vm0 with something that takes frames at the rate of tc-tbf(8)'s @tbf.
 *  Return: a packet socket behind that. */
int lab_slow_peer(const char *tbf);
/** lab_kernel_send() - Have the kernel send a frame out of vm0. */
void lab_kernel_send(struct lab *lab, const void *data, size_t len);
/** lab_kernel_receive() - The next frame that the kernel was given on @sock, dispatching
 *  meanwhile. Return: its length; 0: none within @timeout_ms. */
size_t lab_kernel_receive(struct lab *lab, int sock, void *buf, size_t size, int timeout_ms);
/** lab_kernel_expect() - Frames @from to @to - 1 arrive there, in order. */
void lab_kernel_expect(struct lab *lab, int sock, uint32_t from, uint32_t to);

/** lab_run() - A shell's command that must succeed. */
void lab_run(const char *command);

/** lab_stats() - Valid until the next call. */
const struct vmtap_stats *lab_stats(const struct vmtap_port *port);
/** lab_drops() - All causes together. */
uint64_t lab_drops(const struct vmtap_counters *c);

/** lab_main() - Run the claims, or only the one that is named on the command line. */
#define lab_main(argc, argv, tests)                                        \
	((void)((argc) > 1 ? cmocka_set_test_filter((argv)[1]) : (void)0), \
	 cmocka_run_group_tests((tests), NULL, NULL))

#endif
