/* SPDX-License-Identifier: MIT */
/* Names of interfaces, as callers and access lists write them. */
#include "helper/name.h"

#include <net/if.h>
#include <string.h>

/* Stricter than the kernel's dev_valid_name(): nothing that a shell, a terminal or the kernel's
 * own numbering ("%d") would make more of. */
const char *name_fault(const char *name)
{
	if (!name[0])
		return "the name is empty";
	if (strnlen(name, IFNAMSIZ) == IFNAMSIZ)
		return "an interface name has at most 15 characters";
	if (name[0] == '-' || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		return "an interface name does not begin with '-', and is not '.' or '..'";
	for (const char *c = name; *c; c++)
		if (*c <= ' ' || *c > '~' || strchr("/:%", *c))
			return "an interface name has no '/', ':', '%', white space or control "
			       "characters, and is ASCII";
	return NULL;
}
