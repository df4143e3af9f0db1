/* SPDX-License-Identifier: MIT */
/* Filter expressions in the language of pcap-filter(7), for Ethernet frames. */
#include "filter/expr.h"

#include <errno.h>
#include <pcap/pcap.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"

/** The longest expression that is compiled: libpcap's time and stack grow with it. */
#define EXPR_MAX 8192u
#define ACTION "compile the filter"

struct expr {
	struct bpf_program program;
};

static int check_length(const char *text, const char *object, struct vmtap_error *err)
{
	size_t depth = 0;

	if (strnlen(text, EXPR_MAX + 1) > EXPR_MAX)
		return error_set(err, EINVAL, object, ACTION, "it has more than %u characters",
				 EXPR_MAX);
	for (const char *at = text; *at; at++)
		depth += *at == '(';
	/* each one is a level of libpcap's stack */
	return depth <= 256 ? 0 : error_set(err, EINVAL, object, ACTION, "too many parentheses");
}

struct expr *expr_new(const char *text, const char *object, struct vmtap_error *err)
{
	struct expr *e;
	pcap_t *pcap;
	int ret;

	if (check_length(text, object, err) < 0)
		return NULL;
	e = calloc(1, sizeof(*e));
	pcap = e ? pcap_open_dead(DLT_EN10MB, VMTAP_FRAME_MAX) : NULL;
	if (!pcap) {
		error_errno(err, ENOMEM, object, ACTION);
		free(e);
		return NULL;
	}
	ret = pcap_compile(pcap, &e->program, text, 1, PCAP_NETMASK_UNKNOWN);
	if (ret < 0) {
		error_set(err, EINVAL, object, ACTION, "\"%.100s\": %s", text, pcap_geterr(pcap));
		error_remedy(err, "pcap-filter(7) has the language");
		free(e);
		e = NULL;
	}
	pcap_close(pcap);
	return e;
}

void expr_free(struct expr *e)
{
	if (e)
		pcap_freecode(&e->program);
	free(e);
}

bool expr_match(const struct expr *e, const void *data, uint32_t have, uint32_t len)
{
	const struct pcap_pkthdr head = { .caplen = have, .len = len };

	return pcap_offline_filter(&e->program, &head, data) != 0;
}
