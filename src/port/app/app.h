/* SPDX-License-Identifier: MIT */
/* The application port: its outside is the program that links the library. */
#ifndef PORT_APP_APP_H
#define PORT_APP_APP_H

#include "net/port.h"

/**
 * struct app_host - What the application is asked; @opaque of struct app_port_new goes along
 * @complete: call @done of a send that is over
 * The others as in struct vmtap_app_ops; none is NULL.
 */
struct app_host {
	void (*complete)(void *opaque, vmtap_sent_cb *done, void *done_opaque, ssize_t status);
	unsigned (*frames)(void *opaque, const struct vmtap_frame *frames, unsigned cnt);
	void (*writable)(void *opaque);
	void (*link)(void *opaque, bool up);
};

extern const struct port_ops app_ops;

/** app_new() - Return: owned, free with port_free(); NULL: out of memory. @host is borrowed for life. */
struct port *app_new(const struct port_env *env, const char *name, const struct app_host *host,
		     void *opaque);

/** app_send() - One frame from the application, now or later; see vmtap_send().
 *  @size: what the application counts as sent. */
ssize_t app_send(struct port *p, const struct vmtap_frame *frame, size_t size, vmtap_sent_cb *done,
		 void *opaque);
/** app_send_burst() - See vmtap_send_burst(). */
unsigned app_send_burst(struct port *p, const struct vmtap_frame *frames, unsigned cnt);
unsigned app_flush(struct port *p);
void app_purge(struct port *p);

#endif
