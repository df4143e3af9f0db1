/* SPDX-License-Identifier: MIT */
/*
 * The kernel's vhost-net: it carries the frames between a guest's rings and a TAP.
 *
 * Model
 *   A descriptor of /dev/vhost-net stands for one queue pair: ring VMTAP_VHOST_RX takes frames to
 *   the guest, VMTAP_VHOST_TX from it. It is told where the guest's memory is in this process, of
 *   the rings, and of the descriptors for kicks and calls; from vhost_start() on the kernel
 *   serves that ring from a TAP's queue, and vhost_stop() says how far it came. The order is that
 *   of struct vmtap_vhost's functions here: features, memory, log, ring, start.
 *
 * Who does what
 *   The kernel knows rings, memory and merged buffers. Everything else that is negotiated
 *   (checksums, segmentation) is between the guest and the TAP, whose header must have the
 *   guest's length and whose offloads must be what the guest takes: the caller's business.
 *
 * What may go wrong
 *   The kernel checks each address against the memory table. What is wrong in a ring it tells
 *   through the ring's err descriptor, and serves that ring no further.
 *
 * Ownership
 *   Memory and descriptors that it was told of are borrowed: memory until the table changes or the
 *   handle is freed, an event descriptor never longer than the call (the kernel keeps its own).
 *
 * Threads
 *   A handle belongs to one thread at a time. Its memory is that of the process that made it.
 */
#ifndef VHOST_VHOST_H
#define VHOST_VHOST_H

#include <stdbool.h>
#include <stdint.h>

#include "vmtap/vmtap.h"

#define VHOST_DEVICE "/dev/vhost-net"

/** vhost_open() - Open the device. @object is what errors name. Return: owned; NULL and @err. */
struct vmtap_vhost *vhost_open(const char *object, struct vmtap_error *err);
/** vhost_take() - The same for a descriptor that was opened elsewhere; taken when it succeeds. It is
 *  refused when it is none of vhost-net, or in use by another process. */
struct vmtap_vhost *vhost_take(int fd, const char *object, struct vmtap_error *err);
/** vhost_check() - Could either be done? @fd -1: the device. Return: 0 or -errno and @err. */
int vhost_check(int fd, const char *object, struct vmtap_error *err);
/** vhost_free() - Stop both rings and close. NULL is fine. */
void vhost_free(struct vmtap_vhost *v);

/**
 * vhost_set_tap() - The TAP's queue that the rings are served from
 * @tap:   borrowed while rings run; -1: none. Not while they do
 * @has_hdr: its frames carry a virtio-net header; else the kernel makes the guest's
 * @taken: called before the first ring of the pair starts (@on) and after the last stopped, or could
 *         not start: who reads the queue otherwise leaves off, or goes on. May be NULL
 */
void vhost_set_tap(struct vmtap_vhost *v, int tap, bool has_hdr,
		   void (*taken)(void *opaque, bool on), void *opaque);

/** vhost_fd() - Borrowed; readable when the kernel misses a translation (vhost_iotlb_recv()). */
int vhost_fd(const struct vmtap_vhost *v);

/** vhost_features() - Bits that this kernel's vhost-net offers, of those that are its own business. */
uint64_t vhost_features(const struct vmtap_vhost *v);
/** vhost_mask() - Of device features @wanted, those that remain when the kernel serves the rings. */
uint64_t vhost_mask(const struct vmtap_vhost *v, uint64_t wanted);
/** vhost_set_features() - What the guest acknowledged; bits that are none of the kernel's business
 *  are left out. VHOST_F_LOG_ALL may change while rings run. Return: 0 or -errno and @err. */
int vhost_set_features(struct vmtap_vhost *v, uint64_t features, struct vmtap_error *err);

/** vhost_regions_max() - Regions that this kernel takes in a table. */
unsigned vhost_regions_max(void);
/** vhost_set_mem() - The guest's memory, also while rings run, if these stay where they are. */
int vhost_set_mem(struct vmtap_vhost *v, const struct vmtap_vhost_region *regions, unsigned cnt,
		  struct vmtap_error *err);
/** vhost_set_log() - The dirty log, a bit for 4096 bytes from guest address 0 on, which has to be long
 *  enough for the memory table. Before VHOST_F_LOG_ALL is acknowledged. @event: told of each
 *  write to it; -1: nobody. */
int vhost_set_log(struct vmtap_vhost *v, void *log, int event, struct vmtap_error *err);

/** vhost_set_ring() - Everything about a ring that is stopped. */
int vhost_set_ring(struct vmtap_vhost *v, unsigned ring, const struct vmtap_vhost_ring *r,
		   struct vmtap_error *err);
/** vhost_set_event() - Another descriptor, also while the ring runs; -1: none. */
int vhost_set_event(struct vmtap_vhost *v, unsigned ring, enum vmtap_vhost_event event, int fd,
		    struct vmtap_error *err);
/** vhost_set_ring_log() - Log writes to the used ring, also while it runs. */
int vhost_set_ring_log(struct vmtap_vhost *v, unsigned ring, bool on, uint64_t used_gpa,
		       struct vmtap_error *err);
/** vhost_set_poll() - Look for frames for so long before sleeping; both rings. */
int vhost_set_poll(struct vmtap_vhost *v, unsigned poll_us, struct vmtap_error *err);

/** vhost_start() - Serve a ring from the queue that vhost_set_tap() named. */
int vhost_start(struct vmtap_vhost *v, unsigned ring, struct vmtap_error *err);
/** vhost_stop() - Return: 0 and @base, with which the ring goes on, here or elsewhere; -errno and @err:
 *  nothing is known of it. Fine when it is stopped. @base may be NULL. */
int vhost_stop(struct vmtap_vhost *v, unsigned ring, uint32_t *base, struct vmtap_error *err);
bool vhost_is_started(const struct vmtap_vhost *v, unsigned ring);
/** vhost_reset() - As when it was opened: rings stopped, memory, log and features forgotten. */
int vhost_reset(struct vmtap_vhost *v, struct vmtap_error *err);

/** vhost_iotlb_send() - A translation, or the end of one, for a guest with VIRTIO_F_ACCESS_PLATFORM. */
int vhost_iotlb_send(struct vmtap_vhost *v, const struct vmtap_vhost_iotlb *msg,
		     struct vmtap_error *err);
/** vhost_iotlb_recv() - What the kernel misses. Return: 1 and @msg; 0: nothing; -errno and @err. */
int vhost_iotlb_recv(struct vmtap_vhost *v, struct vmtap_vhost_iotlb *msg, struct vmtap_error *err);

#endif
