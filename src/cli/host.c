/* SPDX-License-Identifier: MIT */
/* `vmtap list` and `vmtap reap`: the TAPs of the host. */
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli/cli.h"

struct listing {
	bool json, reaping, dry_run;
	json_t *rows;
	unsigned cnt;
};

static const char *const states[] = {
	[VMTAP_OWNER_NONE] = "none",
	[VMTAP_OWNER_ALIVE] = "alive",
	[VMTAP_OWNER_GONE] = "gone",
	[VMTAP_OWNER_UNKNOWN] = "unknown",
};

static const char *link_state(const struct vmtap_iface *i)
{
	return !i->up ? "down" : i->carrier ? "up" : "no-carrier";
}

/* An interface may have nearly any bytes in its name; a terminal obeys some of them. */
static const char *printable(const char *text, char buf[64])
{
	size_t i;

	for (i = 0; text[i] && i < 63; i++)
		buf[i] = text[i] >= ' ' && text[i] <= '~' ? text[i] : '?';
	buf[i] = '\0';
	return buf;
}

/* As it is, if that can be JSON. */
static json_t *json_text(const char *text)
{
	json_t *j = json_string(text);
	char buf[64];

	return j ? j : json_string(printable(text, buf));
}

static json_t *counters(uint64_t frames, uint64_t bytes, uint64_t drops)
{
	return json_pack("{sI,sI,sI}", "frames", (json_int_t)frames, "bytes", (json_int_t)bytes,
			 "drops", (json_int_t)drops);
}

static json_t *to_json(const struct vmtap_iface *i)
{
	char mac[18];
	json_t *j;

	snprintf(mac, sizeof(mac), "%02x:%02x:%02x:%02x:%02x:%02x", i->mac[0], i->mac[1], i->mac[2],
		 i->mac[3], i->mac[4], i->mac[5]);
	j = json_pack("{so,ss,ss,so,sb,sb,si,si,si,ss,so,so}", "name", json_text(i->name), "kind",
		      i->kind, "state", link_state(i), "bridge", json_text(i->bridge), "persist",
		      i->persist, "multi_queue", i->multi_queue, "queues", (int)i->queues,
		      "detached_queues", (int)i->detached_queues, "mtu", (int)i->mtu, "mac", mac,
		      "rx", counters(i->rx_frames, i->rx_bytes, i->rx_drops), "tx",
		      counters(i->tx_frames, i->tx_bytes, i->tx_drops));
	if (i->uid >= 0)
		json_object_set_new(j, "uid", json_integer(i->uid));
	if (i->gid >= 0)
		json_object_set_new(j, "gid", json_integer(i->gid));
	if (i->owner_state != VMTAP_OWNER_NONE)
		json_object_set_new(j, "owner",
				    json_pack("{ss,ss,si,sI}", "who", i->owner, "state",
					      states[i->owner_state], "pid", i->owner_pid, "since",
					      (json_int_t)i->owner_since));
	if (i->holder_pid)
		json_object_set_new(j, "holder",
				    json_pack("{ss,si}", "program", i->holder, "pid",
					      i->holder_pid));
	return j;
}

/* "root, vmtap 1234 since 2026-11-22 10:00 (gone)" */
static void owner_text(const struct vmtap_iface *i, char *buf, size_t size)
{
	char since[32] = "?";
	time_t t = (time_t)i->owner_since;
	struct tm tm;

	if (i->owner_state == VMTAP_OWNER_NONE) {
		snprintf(buf, size, "-");
		return;
	}
	if (localtime_r(&t, &tm))
		strftime(since, sizeof(since), "%Y-%m-%d %H:%M", &tm);
	snprintf(buf, size, "%s %d since %s%s%s%s", i->owner, i->owner_pid, since,
		 i->owner_state == VMTAP_OWNER_ALIVE ? "" : " (",
		 i->owner_state == VMTAP_OWNER_ALIVE ? "" : states[i->owner_state],
		 i->owner_state == VMTAP_OWNER_ALIVE ? "" : ")");
}

static void row(void *opaque, const struct vmtap_iface *i)
{
	struct listing *l = opaque;
	char owner[160], holder[100] = "-", name[64], bridge[64];

	l->cnt++;
	if (l->json) {
		json_array_append_new(l->rows, to_json(i));
		return;
	}
	owner_text(i, owner, sizeof(owner));
	if (l->reaping) {
		printf("%s %s: owner %s\n", l->dry_run ? "would remove" : "removing",
		       printable(i->name, name), owner);
		return;
	}
	if (l->cnt == 1)
		printf("%-15s %-7s %-10s %-15s %6s %6s %12s %12s %8s  %-22s %s\n", "NAME", "KIND",
		       "STATE", "BRIDGE", "QUEUES", "MTU", "FROM GUEST", "TO GUEST", "DROPS",
		       "OPEN IN", "OWNER");
	if (i->holder_pid)
		snprintf(holder, sizeof(holder), "%s %d", i->holder, i->holder_pid);
	printf("%-15s %-7s %-10s %-15s %6u %6u %12" PRIu64 " %12" PRIu64 " %8" PRIu64
	       "  %-22s %s\n",
	       printable(i->name, name), i->kind, link_state(i),
	       i->bridge[0] ? printable(i->bridge, bridge) : "-", i->queues, i->mtu, i->rx_frames,
	       i->tx_frames, i->rx_drops + i->tx_drops, holder, owner);
}

static int finish(const struct cli *cli, struct listing *l, int ret, const struct vmtap_error *err)
{
	if (l->json) {
		json_dumpf(l->rows, stdout, JSON_INDENT(2));
		putchar('\n');
		json_decref(l->rows);
	}
	if (ret >= 0)
		return EXIT_OK;
	log_failure(cli, err);
	return exit_code_of(err);
}

static int no_arguments(const char *command, int argc, char **argv)
{
	if (argc > 0)
		fprintf(stderr, "vmtap: %s takes no argument, here is \"%.40s\"\n", command,
			argv[0]);
	return argc > 0;
}

int cmd_list(const struct cli *cli, int argc, char **argv)
{
	struct listing l = { .json = cli->json_output };
	struct vmtap_error err = { 0 };
	int ret;

	if (no_arguments("list", argc, argv))
		return EXIT_USAGE;
	if (l.json)
		l.rows = json_array();
	ret = vmtap_host_list(row, &l, &err);
	if (!l.json && ret == 0)
		puts("no TAP or macvtap in this network namespace");
	return finish(cli, &l, ret, &err);
}

int cmd_reap(const struct cli *cli, int argc, char **argv)
{
	struct listing l = { .json = cli->json_output, .reaping = true, .dry_run = !cli->yes };
	struct vmtap_error err = { 0 };
	int ret;

	if (no_arguments("reap", argc, argv))
		return EXIT_USAGE;
	if (l.json)
		l.rows = json_array();
	ret = vmtap_host_reap(l.dry_run, row, &l, &err);
	if (!l.json && ret == 0)
		puts("nothing to reap: no TAP here was left behind by vmtap");
	else if (!l.json && l.dry_run && ret > 0)
		puts("nothing was removed; vmtap reap --yes does it");
	return finish(cli, &l, ret, &err);
}
