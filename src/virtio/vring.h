/* SPDX-License-Identifier: MIT */
/*
 * A virtqueue, the device's side: split and packed rings behind one interface.
 *
 * Model
 *   vring_pop() fetches descriptor chains that the driver made available, as
 *   scatter lists of host addresses, many at once. The device uses them and
 *   vring_push()es them back, in the order in which they were popped;
 *   vring_publish() shows all that was pushed to the driver with one store,
 *   and tells it with at most one call. What was popped and cannot be used now
 *   goes back with vring_unpop(), the last first.
 *
 *     pop 64 -> 40 were taken -> unpop 24 -> push 40 -> publish (one call)
 *
 * Formats
 *   Split and packed; indirect tables; EVENT_IDX; IN_ORDER (ours always is).
 *   virtio 1.2, 2.7 and 2.8.
 *
 * Notification
 *   vring_want_kicks() asks the driver for kicks or forgoes them. After
 *   asking, there may be chains that came before the driver saw it:
 *   it says so, and the caller goes on. So no wake-up is lost.
 *
 * What the driver may do wrong
 *   Everything; it may change memory while we read it. Each field is copied
 *   once, checked, and the copy is used. A chain with a loop, longer than
 *   VRING_CHAIN_MAX, of zero descriptors, readable after writable, indirect in
 *   indirect, outside of the memory; an available index too far ahead: the ring is
 *   broken, says why (vring_error()), and takes and gives nothing until it is
 *   started again. Work per call is bounded.
 *
 * Threads
 *   A ring belongs to one thread at a time; vring_calls() and vring_available() say who else may look.
 */
#ifndef VIRTIO_VRING_H
#define VIRTIO_VRING_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "virtio/mem.h"

/** Ring sizes: split 2..32768 (or 1), a power of two; packed 1..32768. */
#define VRING_SIZE_MAX 32768
/** Descriptors of one chain, with those of its indirect table. */
#define VRING_CHAIN_MAX 1024
/** Chains of one vring_pop(). */
#define VRING_BURST_MAX 64
/** Pieces in the scatter lists of all chains that are popped and not yet pushed. */
#define VRING_IOV_MAX 4096

struct inflight;

/**
 * struct vring_config - How a ring is laid out; all from the front end
 * @size:   descriptors
 * @desc, @avail, @used: uva of descriptor table, available ring (packed: driver area) and used ring
 *          (packed: device area)
 * @used_gpa: where the used ring (packed: the descriptor ring) is for the dirty log
 * @log_used: log writes to the ring itself (VHOST_VRING_F_LOG)
 * @base:   split: next available index; packed: as VHOST_USER_SET_VRING_BASE has it: available
 *          index and wrap counter (bits 0-15), used index and wrap counter (bits 16-31)
 * @inflight: this queue's in-flight region; NULL: none. Borrowed until vring_stop()
 */
struct vring_config {
	unsigned size;
	uint64_t desc, avail, used;
	uint64_t used_gpa;
	bool packed, event_idx, indirect, log_used;
	uint32_t base;
	struct inflight *inflight;
};

/**
 * struct vring_chain - A chain that was popped
 * @iov:  @out_cnt pieces for the device to read, then @in_cnt pieces for it to write; the ring's own,
 *        may be changed, valid until the chain is pushed or unpopped
 * @out_len, @in_len: bytes in either
 * @id, @desc_cnt: the ring's own
 */
struct vring_chain {
	struct iovec *iov;
	uint32_t out_cnt, in_cnt;
	uint32_t out_len, in_len;
	uint16_t id, desc_cnt;
};

struct vring;

/** vring_new() - A ring that is stopped. Return: owned; NULL: no memory. */
struct vring *vring_new(void);
void vring_free(struct vring *r);

/** vring_start() - Begin with @config in @mem (borrowed until vring_stop()). Chains that an earlier
 *  device left in flight are popped again first. Return: 0 or -errno and @err: EINVAL, EFAULT. */
int vring_start(struct vring *r, struct mem *mem, const struct vring_config *config,
		const char *object, struct vmtap_error *err);

/** vring_remap() - The memory table changed: find the ring again. Nothing may be popped. Return: 0 or
 *  -EFAULT: it is nowhere; the ring is broken. */
int vring_remap(struct vring *r);

/** vring_stop() - Return: the base to go on with, as in struct vring_config. Chains that are popped
 *  and not pushed are given back first. Fine when stopped (returns the last base). */
uint32_t vring_stop(struct vring *r);

bool vring_is_started(const struct vring *r);
/** vring_error() - Why the ring is broken; NULL: it is not. */
const char *vring_error(const struct vring *r);
/** vring_set_broken() - The device found the contents of a chain to be impossible. @why: static text. */
void vring_set_broken(struct vring *r, const char *why);

/**
 * vring_lend() - Let somebody else be the device, in order, until vring_take_back()
 * @where: entries, addresses, index and log, for the borrower; descriptors are left alone
 *
 * Meanwhile nothing is popped or published here, and the ring is started.
 * Return: false: it is packed, broken, or has chains that are popped, or to be popped again in another
 * order.
 */
bool vring_lend(struct vring *r, struct vmtap_vhost_ring *where);
/** vring_take_back() - The borrower has stopped; go on where it did. */
void vring_take_back(struct vring *r);

/** vring_set_log() - Log writes to the ring itself from now on, or not. */
void vring_set_log(struct vring *r, bool on, uint64_t used_gpa);

/** vring_set_fds() - Borrowed; -1: none. @call is written (8 bytes, an eventfd's value) to call the
 *  driver, @err_fd when the ring breaks. */
void vring_set_fds(struct vring *r, int call, int err_fd);

/** vring_call() - Call the driver, whether or not it wants to be: the descriptor is new, and what was
 *  published before it came was told to nobody. Nothing when the ring does not run. */
void vring_call(struct vring *r);
/** vring_calls() - How often the driver was called, in all; from any thread. */
uint64_t vring_calls(const struct vring *r);

/** vring_pop() - Return: chains fetched, 0..@max (1..VRING_BURST_MAX); fewer than there are when
 *  VRING_IOV_MAX pieces would not do. 0 when stopped or broken. */
unsigned vring_pop(struct vring *r, struct vring_chain *chains, unsigned max);

/** vring_unpop() - Give back the last @cnt chains that were popped and not pushed. */
void vring_unpop(struct vring *r, unsigned cnt);

/** vring_push() - The oldest popped chain was used; the device wrote @len bytes to it. The driver sees
 *  it after vring_publish(). */
void vring_push(struct vring *r, const struct vring_chain *chain, uint32_t len);

/** vring_publish() - Show what was pushed, and call the driver if it wants to be. */
void vring_publish(struct vring *r);

/** vring_is_empty() - Is there nothing to pop? (A look at shared memory.) */
bool vring_is_empty(const struct vring *r);

/** vring_available() - Chains (packed: descriptors) that the driver made available and that were not published as
 *  used, 0..size: by us, or by who has borrowed the ring. A look at shared memory, at moments a little apart, from the
 *  thread that starts and stops the ring; it may run meanwhile in another. 0 when stopped. */
unsigned vring_available(const struct vring *r);

/** vring_is_blank() - Is the driver's side as it is in memory that nobody wrote? (Looks at its beginning.) */
bool vring_is_blank(const struct vring *r);

/** vring_want_kicks() - Ask for kicks, or forgo them.
 *  Return: with @on, chains came in the meantime: pop them, a kick may not come for those. */
bool vring_want_kicks(struct vring *r, bool on);

#endif
