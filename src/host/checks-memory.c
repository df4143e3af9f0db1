/* SPDX-License-Identifier: MIT */
/* Checks: a VMM's memory, for vhost-user. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host/checks.h"

#define CMDLINE_SIZE 65536

/* Where the options are to be written down. */
static void say_remedy(struct doctor *d, const struct vmm *v)
{
	if (v->guest[0] && d->target->cmdline == NULL)
		remedy(d, "virt-xml %s --edit --memorybacking access.mode=shared,source.type=memfd",
		       shell(d, v->guest));
	else
		remedy(d, "%s", v->remedy);
}

static void judge(struct doctor *d, const struct vmm *v)
{
	if (v->shared)
		return;
	if (!v->vhost_user)
		finding(d, VMTAP_FINDING_NOTE, "its memory is not shared (%s)", v->culprit);
	else
		finding(d, v->maybe ? VMTAP_FINDING_WARNING : VMTAP_FINDING_ERROR,
			"it has a vhost-user device and its memory is not shared (%s)", v->culprit);
	if (!v->vhost_user)
		why(d, "it has no vhost-user device, which would need that; with one, give it "
		       "these options");
	else if (v->maybe)
		why(d,
		    "before QEMU 10 that memory has no file behind it, and a vhost-user back end "
		    "cannot be given it; these options work with any");
	else
		why(d, "a vhost-user back end then cannot see it, and the device does not work; "
		       "the VMM needs these options, and a new start");
	say_remedy(d, v);
}

/* Does the command line mention @path? */
static bool mentions(int pid, const char *path, char *buf)
{
	char file[64];
	int len;

	snprintf(file, sizeof(file), "/proc/%d/cmdline", pid);
	len = read_text(file, buf, CMDLINE_SIZE);
	return len > 0 && memmem(buf, (size_t)len, path, strlen(path));
}

/* VMMs that were told of the socket, as far as they are to be seen. */
static void look_for_vmms(struct doctor *d, const char *path)
{
	char *buf = malloc(CMDLINE_SIZE);
	DIR *proc = opendir("/proc");
	struct dirent *e;
	struct vmm v;

	while (buf && proc && (e = readdir(proc))) {
		int pid = atoi(e->d_name);

		if (pid <= 0 || pid == getpid() || !mentions(pid, path, buf) ||
		    vmm_of_pid(pid, &v) < 0 || !v.kind)
			continue;
		about(d, "process %d (%s)", pid, v.name);
		judge(d, &v);
	}
	if (proc)
		closedir(proc);
	free(buf);
}

void check_shared_memory(struct doctor *d)
{
	if (d->target->kind == DOCTOR_VHOST_USER && d->target->path) {
		look_for_vmms(d, d->target->path);
		return;
	}
	if (d->target->kind != DOCTOR_VMM)
		return;
	if (d->target->cmdline)
		about(d, "command line of %s", d->vmm.name);
	else
		about(d, "process %d (%s)", d->target->pid, d->vmm.name);
	judge(d, &d->vmm);
}
