/* SPDX-License-Identifier: MIT */
/*
 * A VMM's command line: has it vhost-user devices, and is its memory shared?
 *
 * A vhost-user back end is another process that reads and writes the guest's
 * memory, which works only when the VMM made that memory from a file and
 * shares it. QEMU and cloud-hypervisor do so when told to, crosvm always.
 *
 * What the author of a command line may do wrong: anything. Words are foreign text.
 */
#ifndef HOST_VMM_H
#define HOST_VMM_H

#include <stdbool.h>
#include <stddef.h>

#include "vmtap/vmtap.h"

#define VMM_WORDS_MAX 4096

enum vmm_kind {
	VMM_NONE, /* none that is known */
	VMM_QEMU,
	VMM_CLOUD_HYPERVISOR,
	VMM_CROSVM,
};

/**
 * struct vmm - What a command line says
 * @name:       of the program
 * @guest:      its name, when libvirt runs it; ""
 * @vhost_user: it has a vhost-user device
 * @shared:     all of its memory is shared
 * @maybe:      it is not @shared for every version of the VMM
 * @culprit:    what is not shared, as in "memory-backend-ram mem0"
 * @remedy:     options that share it; "" when they cannot be said
 */
struct vmm {
	enum vmm_kind kind;
	char name[64], guest[64];
	bool vhost_user, shared, maybe;
	char culprit[128], remedy[400];
};

/** vmm_parse() - @words: a command line in words. @v->kind is VMM_NONE when no known VMM is in it. */
void vmm_parse(const char *const *words, unsigned cnt, struct vmm *v);

/** vmm_of_text() - The same for a line as one types it: quotes and backslashes as a shell has them.
 *  Return: 0, or -EINVAL: a quote does not end, or there are too many words; -ENOMEM. */
int vmm_of_text(const char *text, struct vmm *v);

/** vmm_of_pid() - The same for a running process. Return: 0 or -errno. */
int vmm_of_pid(int pid, struct vmm *v);

/** option_get() - The value of a key in "first,key=value,…" (",," is a comma) or in a JSON object.
 *  @first: the key that the first word may go without, or NULL. Numbers and nested values of JSON
 *  are passed over; true is "on". Return: whether it is there. */
bool option_get(const char *text, const char *first, const char *key, char *buf, size_t size);

#endif
