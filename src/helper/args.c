/* SPDX-License-Identifier: MIT */
/* The helper's command line: QEMU's three options, and what goes beyond them. */
#include "helper/args.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "helper/name.h"

#define ACTION "understand the command line"

enum option {
	BR,
	FD,
	USE_VNET,
	QUEUES,
	VHOST,
	IFNAME,
	MAC,
	CHECK,
	HELP,
	VERSION,
	OPTION_CNT
};

static const struct {
	const char *name;
	const char *value; /* NULL: it has none */
	const char *help;
} options[OPTION_CNT] = {
	[BR] = { "--br", "BRIDGE", "bridge that the TAP joins; required" },
	[FD] = { "--fd", "N", "unix socket, open in this process, that the TAP is sent over" },
	[USE_VNET] = { "--use-vnet", NULL,
		       "frames have a virtio-net header, if the kernel knows it" },
	[QUEUES] = { "--queues", "N", "queues of the TAP, a descriptor each, 1 to 64; default 1" },
	[VHOST] = { "--vhost", NULL, "as many descriptors of /dev/vhost-net follow" },
	[IFNAME] = { "--ifname", "NAME", "name of the TAP; default: the kernel numbers tap%d" },
	[MAC] = { "--mac", "MAC", "address of the TAP; default: fe: and five random bytes" },
	[CHECK] = { "--check", NULL,
		    "say what would be done and what stands in the way; do nothing" },
	[HELP] = { "--help", NULL, "this text" },
	[VERSION] = { "--version", NULL, "the version" },
};

static int mistake(struct vmtap_error *err, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

static int mistake(struct vmtap_error *err, const char *fmt, ...)
{
	char reason[240];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(reason, sizeof(reason), fmt, ap);
	va_end(ap);
	error_set(err, EINVAL, "", ACTION, "%s", reason);
	error_remedy(err, "--help lists the options");
	return -EINVAL;
}

/* Digits and nothing else. */
static int read_number(const char *text, const char *option, long min, long max, long *number,
		       struct vmtap_error *err)
{
	char *end;

	errno = 0;
	*number = strtol(text, &end, 10);
	if (!isdigit((unsigned char)text[0]) || *end || errno || *number < min || *number > max)
		return mistake(err, "%s=%.40s is not a number from %ld to %ld", option, text, min,
			       max);
	return 0;
}

static int read_name(const char *text, const char *option, const char **name,
		     struct vmtap_error *err)
{
	const char *fault = name_fault(text);

	if (fault)
		return mistake(err, "%s=%.40s: %s", option, text, fault);
	*name = text;
	return 0;
}

static int read_mac(const char *text, struct args *a, struct vmtap_error *err)
{
	static const uint8_t zero[6];
	size_t len = strnlen(text, sizeof(a->mac_text));
	bool fine = len == sizeof(a->mac_text) - 1;

	for (size_t i = 0; fine && i < len; i++) {
		fine = i % 3 == 2 ? text[i] == ':' : isxdigit((unsigned char)text[i]);
		a->mac_text[i] = (char)tolower((unsigned char)text[i]);
	}
	for (size_t i = 0; fine && i < sizeof(a->mac); i++)
		a->mac[i] = (uint8_t)strtol(a->mac_text + 3 * i, NULL, 16);
	if (!fine || (a->mac[0] & 1) || memcmp(a->mac, zero, sizeof(zero)) == 0)
		return mistake(err,
			       "--mac=%.40s is not the address of one interface, such as "
			       "fe:54:00:12:34:56",
			       text);
	return 0;
}

static int set_option(struct args *a, enum option o, const char *value, struct vmtap_error *err)
{
	long number = 0;
	int ret = 0;

	switch (o) {
	case BR:
		return read_name(value, "--br", &a->bridge, err);
	case IFNAME:
		return read_name(value, "--ifname", &a->ifname, err);
	case MAC:
		return read_mac(value, a, err);
	case FD:
		ret = read_number(value, "--fd", 0, INT_MAX, &number, err);
		a->fd = (int)number;
		break;
	case QUEUES:
		ret = read_number(value, "--queues", 1, ARGS_QUEUES_MAX, &number, err);
		a->queues = (unsigned)number;
		break;
	case USE_VNET:
		a->use_vnet = true;
		break;
	case VHOST:
		a->vhost = true;
		break;
	case CHECK:
		a->check = true;
		break;
	case HELP:
		a->help = true;
		break;
	default:
		a->version = true;
		break;
	}
	return ret;
}

/* "--br=x" or "--br": which option is it, and where does its value begin (NULL: not in there)? */
static enum option find_option(const char *arg, const char **value)
{
	size_t len = strcspn(arg, "=");

	*value = arg[len] ? arg + len + 1 : NULL;
	for (unsigned o = 0; o < OPTION_CNT; o++)
		if (strncmp(arg, options[o].name, len) == 0 && !options[o].name[len])
			return (enum option)o;
	return OPTION_CNT;
}

/* Return: arguments used, or -EINVAL and @err. @seen: options that were there already. */
static int take_option(int argc, char *const *argv, struct args *a, unsigned *seen,
		       struct vmtap_error *err)
{
	const char *value;
	enum option o = find_option(argv[0], &value);
	int used = 1, ret;

	if (o == OPTION_CNT)
		return mistake(err, "%.60s is no option", argv[0]);
	if (!options[o].value && value)
		return mistake(err, "%s has no value", options[o].name);
	if (options[o].value && (*seen & 1u << o))
		return mistake(err, "%s is there twice", options[o].name);
	*seen |= 1u << o;
	if (options[o].value && !value) {
		if (argc < 2)
			return mistake(err, "%s needs a value: %s=%s", options[o].name,
				       options[o].name, options[o].value);
		value = argv[1];
		used = 2;
	}
	ret = set_option(a, o, value, err);
	return ret < 0 ? ret : used;
}

int args_parse(int argc, char *const *argv, struct args *a, struct vmtap_error *err)
{
	unsigned seen = 0;

	*a = (struct args) { .fd = -1, .queues = 1 };
	for (int i = 1; i < argc;) {
		int used = take_option(argc - i, argv + i, a, &seen, err);

		if (used < 0)
			return used;
		i += used;
	}
	if (a->help || a->version)
		return 0;
	if (!a->bridge)
		return mistake(err, "--br=BRIDGE is missing");
	if (a->fd < 0 && !a->check)
		return mistake(err, "--fd=N is missing");
	return 0;
}

void args_help(FILE *out)
{
	fputs("usage: vmtap-bridge-helper [--use-vnet] --br=BRIDGE --fd=N [OPTION...]\n\n"
	      "Makes a TAP on a bridge for a program that has not the right to, if the access list\n"
	      "(vmtap-bridge.conf(5)) allows it, and sends it over a unix socket. vmtap and QEMU\n"
	      "call it by themselves (helper=).\n\n",
	      out);
	for (unsigned o = 0; o < OPTION_CNT; o++) {
		char left[32];

		snprintf(left, sizeof(left), "%s%s%s", options[o].name, options[o].value ? "=" : "",
			 options[o].value ? options[o].value : "");
		fprintf(out, "  %-15s %s\n", left, options[o].help);
	}
	fputs("\nExit status: 0 the TAP was sent (--check: it would be); 1 it was not, and stderr has\n"
	      "the reason.\n",
	      out);
}
