/* SPDX-License-Identifier: MIT */
/*
 * A VMM as far as a queue pair of vhost-net sees one: a guest's memory, two rings in it, and
 * descriptors for events.
 *
 *   rings in this process's memory <-- vhost-net --> vm0 (TAP) <--> the kernel <--> packet socket
 */
#ifndef TESTS_VMM_H
#define TESTS_VMM_H

#include "tap-lab.h"

#include "vq-driver.h"

#define VMM_RING 128
#define VMM_BUF 2048
#define VMM_HDR 12
#define VMM_MEM (16u << 20)
/* Where things are in the guest's memory. */
#define VMM_RX_RING 0x0
#define VMM_TX_RING 0x10000
#define VMM_RX_BUFS 0x100000
#define VMM_TX_BUFS 0x200000
#define VMM_TIMEOUT_MS 10000

/** struct vmm - One queue pair. @rings, @kick, @call, @err: by ring */
struct vmm {
	struct lab *lab;
	struct vmtap_vhost *vhost;
	uint64_t features;
	uint8_t *mem;
	struct vq rings[2];
	int kick[2], call[2], err[2];
	uint32_t base[2];
	uint32_t sent; /* frames that were made available */
	bool tx_busy[VMM_RING];
};

/** vmm_memory() - Memory and rings with @features; buffers for receiving are there. */
void vmm_memory(struct vmm *m, struct lab *lab, struct vmtap_vhost *vhost, uint64_t features);
/** vmm_features() - VERSION_1, mergeable buffers, event index: what guests ask for. */
uint64_t vmm_features(void);
/** vmm_tell() - Features, and all of the memory as one region. */
void vmm_tell(struct vmm *m);
/** vmm_ring() - As the kernel is told of a ring. */
struct vmtap_vhost_ring vmm_ring(const struct vmm *m, unsigned ring);
/** vmm_start() - Describe and start both rings. */
void vmm_start(struct vmm *m);
void vmm_stop(struct vmm *m);
/** vmm_open() - All of it, with the lab's TAP of more @options. */
void vmm_open(struct vmm *m, struct lab *lab, const char *options);
void vmm_close(struct vmm *m);

/** vmm_post() - Give buffer @i (of VMM_RING) to the receive ring. */
void vmm_post(struct vmm *m, unsigned i);
/** vmm_send() - Send a frame of lab_frame(), waiting for room. */
void vmm_send(struct vmm *m, uint32_t number, unsigned len);
/** vmm_sent() - Wait until every frame that was sent is used. */
void vmm_sent(struct vmm *m);
/** vmm_receive() - The number of the next frame for the guest, whose buffer is given back; fails
 *  after VMM_TIMEOUT_MS. @len may be NULL. */
uint32_t vmm_receive(struct vmm *m, unsigned *len);
/** vmm_event() - Wait for an event. Return: did it come in time? */
bool vmm_event(int fd, int timeout_ms);

/** ok() - The call succeeded; else says why not. */
#define ok(call)                                                                        \
	do {                                                                            \
		struct vmtap_error e_ = { 0 }, *err = &e_;                              \
		if ((call) < 0)                                                         \
			fail_msg("%s: cannot %s: %s", e_.object, e_.action, e_.reason); \
	} while (0)

#endif
