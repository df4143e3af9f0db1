/* SPDX-License-Identifier: MIT */
/* Files in memory, for others: a descriptor with data in it. */
#ifndef BASE_MEMFILE_H
#define BASE_MEMFILE_H

/**
 * memfile_make() - A new one (memfd), empty, that takes seals
 * @name: shown in /proc, by whoever has it open
 *
 * Where the kernel can (Linux 6.3), nobody can ever execute it; with vm.memfd_noexec=2 a kernel may refuse all others
 * (Documentation/userspace-api/mfd_noexec.rst).
 * Return: owned; -errno.
 */
int memfile_make(const char *name);

#endif
