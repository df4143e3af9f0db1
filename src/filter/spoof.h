/* SPDX-License-Identifier: MIT */
/*
 * Against spoofing: what enters by a port with addresses that are not its own is discarded.
 *
 * Model
 *   A hook of the port, for one way: rx. filter/senders.h says what is looked at. Discarded frames are
 *   counted as VMTAP_DROP_FILTERED.
 *
 * Ownership
 *   Made for a port, freed before it, after it was closed.
 *
 * Threads
 *   Set from the thread of env->loop, which holds the lanes still meanwhile; they only read the addresses.
 *
 * What the peer may do wrong
 *   Change a frame behind our back, when it lies in a guest's memory: the bytes that were looked at go on as
 *   a copy.
 */
#ifndef FILTER_SPOOF_H
#define FILTER_SPOOF_H

#include "net/port.h"

struct spoof;

/** spoof_new() - Everything may enter yet. Return: owned; NULL: no memory. */
struct spoof *spoof_new(struct port *p);
/** spoof_free() - NULL is fine. */
void spoof_free(struct spoof *s);

/** spoof_set() - The port's own addresses from now on, as senders_add_macs() and senders_add_ips() take
 *  them; NULL or "": any. Return: 0; -EINVAL, -EBUSY (the kernel carries the frames), -ENOMEM, and @err. */
int spoof_set(struct spoof *s, const char *macs, const char *ips, struct vmtap_error *err);

/** spoof_check() - Can @macs and @ips be set? @object is for the error. */
int spoof_check(const char *object, const char *macs, const char *ips, struct vmtap_error *err);

/** spoof_macs(), spoof_ips() - As they were set; NULL: any. Borrowed until the next spoof_set(). */
const char *spoof_macs(const struct spoof *s);
const char *spoof_ips(const struct spoof *s);

#endif
