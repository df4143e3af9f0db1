/* SPDX-License-Identifier: MIT */
/* What the caller gets to read. */
#include "helper/report.h"

#include <pwd.h>
#include <stdio.h>
#include <unistd.h>

void report_error(const struct vmtap_error *err)
{
	char line[1200];
	int len = snprintf(line, sizeof(line), "vmtap-bridge-helper: %s%scannot %s: %s%s%s",
			   err->object, err->object[0] ? ": " : "", err->action, err->reason,
			   err->remedy[0] ? "; " : "", err->remedy);

	if (len < 0)
		return;
	if ((size_t)len > sizeof(line) - 2)
		len = sizeof(line) - 2;
	for (int i = 0; i < len; i++)
		if (line[i] < ' ' || line[i] > '~')
			line[i] = '?';
	line[len++] = '\n';
	(void)!write(STDERR_FILENO, line, (size_t)len);
}

/* From the file itself: getpwuid() would load the modules of nsswitch.conf into this process. */
void report_caller(char *buf, size_t size)
{
	FILE *f = fopen("/etc/passwd", "re");
	struct passwd *pw = NULL;
	uid_t uid = getuid();

	while (f && (pw = fgetpwent(f)) && pw->pw_uid != uid)
		;
	if (pw)
		snprintf(buf, size, "user %s", pw->pw_name);
	else
		snprintf(buf, size, "user %u", uid);
	if (f)
		fclose(f);
}
