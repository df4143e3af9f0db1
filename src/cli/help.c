/* SPDX-License-Identifier: MIT */
/* Help, made from the library's one table of types and keys. */
#include <string.h>

#include "cli/cli.h"

#define KEY_COLUMN 20
#define WIDTH 96

static const char *const intro =
	"vmtap - links TAP interfaces of the host to virtual machines\n"
	"\n"
	"usage: vmtap [OPTION]... connect PORT PORT   join two ports until SIGINT or SIGTERM\n"
	"                         ... PORT...         more: by a switch; in front it may be described, as\n"
	"                                             in switch,hub=on\n"
	"       vmtap [OPTION]... serve               have ports and joins that a control socket changes\n"
	"       vmtap [--control PATH] ctl COMMAND    have a command run by vmtap serve, as in\n"
	"                                             \"ctl port add null,id=a\"; \"ctl help\" lists them\n"
	"       vmtap [OPTION]... stats [PORT]...     what the ports of vmtap serve count, by queue pair\n"
	"       vmtap [OPTION]... top                 the same a second, on the whole screen; h: its keys\n"
	"       vmtap [OPTION]... ping PORT [ADDRESS] probe a port of vmtap serve: where does the time go?\n"
	"       vmtap [OPTION]... capture PORT -w FILE\n"
	"                                             write the frames of a port of vmtap serve to a file\n"
	"       vmtap [OPTION]... check PORT...       try ports without changing anything\n"
	"       vmtap [OPTION]... exec PORT -- COMMAND...\n"
	"                                             open a TAP and run a command with it\n"
	"       vmtap [--json] list                   the host's TAPs, who made them, who has them open\n"
	"       vmtap [--yes] reap                    remove TAPs that vmtap left behind\n"
	"       vmtap [--json] doctor [BRIDGE | PORT] say why it does not work, and what mends it\n"
	"       vmtap help [TYPE | port | switch]     explain a port type and its keys, or what all have\n"
	"\n"
	"A PORT is TYPE,KEY=VALUE,... (\",,\" is a literal comma; on/off, yes/no and true/false are\n"
	"booleans; k, M and G are powers of 1024), or the same as a JSON object:\n"
	"'{\"type\":\"tap\",\"ifname\":\"vm0\"}'. Every type knows id=NAME, which names the port in\n"
	"messages, and keys that limit and filter: vmtap help port.\n"
	"\n"
	"Options:\n"
	"  -v, --verbose           say what happens; twice: also why\n"
	"  -q, --quiet             errors only\n"
	"      --log-format FORMAT text (default) or json: log lines on stderr, one object a line\n"
	"      --stats SECONDS     counters of each port on stdout, that often; a summary at the end\n"
	"      --engine ENGINE     auto (default), io_uring or plain: how bursts of frames reach the\n"
	"                          kernel; auto uses io_uring where it is allowed\n"
	"      --workers N         connect, serve: N threads move the frames of links of TAPs and\n"
	"                          vhost-user ports, one a queue pair while there are enough; 0\n"
	"                          (default): one thread does everything\n"
	"      --cpus LIST         connect, serve: processors for the workers, as in 0,2-3\n"
	"      --poll-us USEC      connect, serve: look for work that long before sleeping, 0 (default)\n"
	"                          to 1000000; costs CPU, saves waking a processor; idle, it sleeps\n"
	"      --wait              exec: stay, and clean up when the command has ended\n"
	"  -y, --yes               reap: remove; without it, only say what would be removed\n"
	"      --json              list, reap, doctor, ctl, stats, ping: print JSON\n"
	"  -c, --config FILE       serve: begin with the ports and links of a file, vmtap.conf(5); check:\n"
	"                          try what it says\n"
	"      --control PATH      serve, ctl, stats, top, ping, capture: the control socket; default:\n"
	"                          $VMTAP_CONTROL, else /run/vmtap/control.sock\n"
	"      --control-mode MODE serve: its permissions, as in 666: who can connect may look;\n"
	"                          default: 600, with a group 660\n"
	"      --control-group GROUP\n"
	"                          serve: its group, whose members may do everything\n"
	"      --metrics ADDRESS   serve: metrics for Prometheus over HTTP, at HOST:PORT or unix:PATH\n"
	"      --schema            ctl: print what there is to be called, as JSON, and end\n"
	"      --watch[=SECONDS]   stats: again and again, every second or that often, with rates; top:\n"
	"                          that often\n"
	"      --once              top: print one table and end, as where stdout is no terminal\n"
	"      --prometheus        stats: print Prometheus' text format\n"
	"  -w FILE                 capture: where to, in the pcapng format; - is stdout, as in\n"
	"                          \"capture vm0 -w - | wireshark -k -i -\"\n"
	"  -f FILTER               capture: which frames, as in pcap-filter(7)\n"
	"  -Q in|out|inout         capture: which way, seen from the port; default: both\n"
	"  -s SNAPLEN              capture: bytes that are kept of each frame; default: all\n"
	"  -c COUNT                capture: end after so many frames; ping: so many probes\n"
	"  -i SECONDS              ping: from one probe to the next, 0.01 to 3600; default: 1\n"
	"      --timeout SECONDS   ping: how long an answer may take, 0.01 to 60; default: 1\n"
	"      --source ADDRESS    ping: an IPv4 address to ask with; default: 0.0.0.0\n"
	"      --vlan VLAN         ping: of the tag that probes have, as out of a trunk; default: none\n"
	"  -C MEGABYTES, -W FILES  capture: files of up to a million bytes times that, in turn\n"
	"      --segment           capture: cut frames that are still to be segmented\n"
	"      --pid PID           doctor: is a running VMM's memory shared, as vhost-user needs it?\n"
	"      --cmdline TEXT      doctor: the same for a command line\n"
	"  -h, --help              this text\n"
	"      --version           the version\n"
	"\n"
	"In the command of exec, {fd}, {fds}, {vhostfd}, {vhostfds}, {ifname} and {mac} are replaced:\n"
	"the TAP's descriptor, those of all its queues (A:B:C), one of /dev/vhost-net, one for each queue,\n"
	"the TAP's name, and an address for the guest that stays the same. exec --wait ends with the\n"
	"command's status.\n"
	"\n"
	"Exit status: 0 ended as asked; 1 a port failed while running, or the output could not be\n"
	"written; 2 the command line is wrong; 3 a port cannot be opened. Of doctor: 0 nothing worse\n"
	"than notes; 1 warnings; 3 errors. Of ping: 0 there were answers; 1 there were none.\n"
	"\n"
	"For example:\n"
	"  vmtap connect tap,ifname=vm0,br=br0 stream,server=on,path=/run/vm0.sock\n"
	"  qemu-system-x86_64 ... -netdev stream,id=n0,addr.type=unix,addr.path=/run/vm0.sock \\\n"
	"      -device virtio-net-pci,netdev=n0\n";

void wrap(FILE *out, const char *text, int indent)
{
	int column = indent;

	while (*text) {
		size_t word = strcspn(text, " ");

		if (column > indent && column + 1 + (int)word > WIDTH) {
			fprintf(out, "\n%*s", indent, "");
			column = indent;
		} else if (column > indent) {
			fputc(' ', out);
			column++;
		}
		fprintf(out, "%.*s", (int)word, text);
		column += (int)word;
		text += word;
		text += strspn(text, " ");
	}
	fputc('\n', out);
}

static void print_key(FILE *out, const struct vmtap_key_info *k)
{
	char text[1024];
	bool unit_said = !k->unit[0] || strstr(k->kind, k->unit);

	snprintf(text, sizeof(text), "%s%s%s.%s%s%s%s", k->kind, unit_said ? "" : ", ",
		 unit_said ? "" : k->unit, k->help[0] ? " " : "", k->help,
		 k->required ? " (required)"
		 : k->def[0] ? "; default: "
			     : "",
		 k->required ? "" : k->def);
	fprintf(out, "    %-*s", KEY_COLUMN - 5, k->name);
	fprintf(out, "%s", strlen(k->name) > KEY_COLUMN - 5 ? "\n                   " : "");
	fputc(' ', out);
	wrap(out, text, KEY_COLUMN);
}

/* Paragraphs may be one long line; examples are kept as they are. */
static void print_help(FILE *out, const char *help)
{
	char line[2048];

	while (*help) {
		size_t len = strcspn(help, "\n");

		snprintf(line, sizeof(line), "%.*s", (int)len, help);
		if (len > WIDTH && line[0] != ' ')
			wrap(out, line, 0);
		else
			fprintf(out, "%s\n", line);
		help += len + (help[len] == '\n');
	}
	fputc('\n', out);
}

static void print_type(FILE *out, const struct vmtap_type_info *type)
{
	fprintf(out, "%s - %s\n\n", type->name, type->summary);
	if (type->help[0])
		print_help(out, type->help);
	fprintf(out, "  Keys:\n");
	for (unsigned i = 0; i < type->key_cnt; i++)
		print_key(out, &type->keys[i]);
}

const char *const common_help =
	"Keys that ports of every type have. rx is what enters by the port from outside, tx what leaves by it, as "
	"in the statistics.\n"
	"\n"
	"Limits hold the sender back; they drop nothing. A frame counts as it is on a wire without FCS, "
	"preamble and gap; one that is still to be segmented (GSO) as its segments, each with its headers. rate= and "
	"pps= hold for each way by itself.\n"
	"\n"
	"    vmtap connect tap,ifname=vm0,br=br0 vhost-user,path=/run/vm0.sock,rate=100M\n"
	"    vmtap connect tap,ifname=vm0,tx-rate=2.5G,tx-burst=1M,rx-pps=50k null\n"
	"\n"
	"Filters drop what enters with another sender's address (drop cause \"filtered\"); vmtap(1) says what is "
	"looked at.\n"
	"\n"
	"    vmtap connect tap,ifname=vm0,br=br0 \\\n"
	"        vhost-user,path=/run/vm0.sock,mac-filter=52:54:00:12:34:56,ip-filter=10.0.0.2+fd00::2\n"
	"\n"
	"Neither goes together with vhost=on, of the port or its peer: the kernel carries the frames.\n";

/* What has the name of a type in help, and is none. */
static void print_common(FILE *out)
{
	const struct vmtap_key_info *key;

	fprintf(out, "%s - what ports of every type have\n\n", COMMON_TOPIC);
	print_help(out, common_help);
	fprintf(out, "  Keys:\n");
	for (unsigned i = 0; (key = vmtap_common_info(i)); i++)
		print_key(out, key);
}

void usage(FILE *out)
{
	const struct vmtap_type_info *type;

	fputs(intro, out);
	fputs("\nPort types:\n", out);
	for (unsigned i = 0; (type = vmtap_type_info(i)); i++) {
		fputc('\n', out);
		print_type(out, type);
	}
	fputc('\n', out);
	print_common(out);
}

int cmd_help(int argc, char **argv)
{
	const struct vmtap_type_info *type;

	if (argc < 1) {
		usage(stdout);
		return EXIT_OK;
	}
	if (strcmp(argv[0], COMMON_TOPIC) == 0) {
		print_common(stdout);
		return EXIT_OK;
	}
	type = vmtap_switch_info();
	if (strcmp(type->name, argv[0]) == 0) {
		print_type(stdout, type);
		return EXIT_OK;
	}
	for (unsigned i = 0; (type = vmtap_type_info(i)); i++) {
		if (strcmp(type->name, argv[0]) != 0)
			continue;
		print_type(stdout, type);
		return EXIT_OK;
	}
	fprintf(stderr, "vmtap: there is no port type \"%.40s\"; the types are", argv[0]);
	for (unsigned i = 0; (type = vmtap_type_info(i)); i++)
		fprintf(stderr, "%s %s", i ? "," : "", type->name);
	fprintf(stderr, "; what all have is explained under \"%s\"", COMMON_TOPIC);
	fputc('\n', stderr);
	return EXIT_USAGE;
}
