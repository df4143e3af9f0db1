/* SPDX-License-Identifier: MIT */
/* Descriptors of ports in the service manager's store. */
#include "cli/fdstore.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/inherit.h"
#include "cli/notify.h"

#define PREFIX "vmtap/"
/** The manager takes names of 255 characters. */
#define NAME_SIZE 256

/** struct stored - @fd: of an earlier run, owned; -1: the port has it, or it is of this run */
struct stored {
	int fd;
	char name[NAME_SIZE];
};

/** struct fdstore - @list: what is stored, as far as we know. @deaf: the manager did not answer. @told: it may not
 *  have come to what it was told last */
struct fdstore {
	struct state *state;
	struct stored *list;
	unsigned cnt, room;
	bool deaf, told;
};

/* --------------------------------------------------------------------------- names */

/* FNV-1a: tells descriptions apart; what a descriptor is worth the port finds out. */
static uint64_t hash(const char *text)
{
	uint64_t h = 0xcbf29ce484222325u;

	for (; *text; text++)
		h = (h ^ (unsigned char)*text) * 0x100000001b3u;
	return h;
}

/* As the manager has them. Anything else could be read as further lines. */
static bool is_name(const char *name)
{
	if (!*name)
		return false;
	for (; *name; name++)
		if (*name < ' ' || *name >= 127 || *name == ':')
			return false;
	return true;
}

/* Return: false: the manager would not take it. */
static bool make_name(char name[NAME_SIZE], const char *role, const char *spec, const char *port)
{
	const int len =
		snprintf(name, NAME_SIZE, PREFIX "%s/%016" PRIx64 "/%s", role, hash(spec), port);

	return len > 0 && len < NAME_SIZE && is_name(name);
}

static bool is_ours(const char *name)
{
	return strncmp(name, PREFIX, strlen(PREFIX)) == 0 && is_name(name);
}

/* What follows the role, "DESCRIPTION/PORT"; "" where the name is none of ours after all. */
static const char *owner_of(const char *name)
{
	const char *slash = strchr(name + strlen(PREFIX), '/');

	return slash ? slash + 1 : "";
}

/* --------------------------------------------------------------------- what is stored */

static struct stored *find(const struct fdstore *f, const char *name)
{
	for (unsigned i = 0; i < f->cnt; i++)
		if (strcmp(f->list[i].name, name) == 0)
			return &f->list[i];
	return NULL;
}

/* Return: NULL: out of memory. */
static struct stored *add(struct fdstore *f, const char *name, int fd)
{
	struct stored *it;

	if (f->cnt == f->room) {
		const unsigned room = f->room ? 2 * f->room : 16;

		it = realloc(f->list, room * sizeof(*it));
		if (!it)
			return NULL;
		f->list = it;
		f->room = room;
	}
	it = &f->list[f->cnt++];
	it->fd = fd;
	snprintf(it->name, sizeof(it->name), "%s", name);
	return it;
}

void fdstore_remove(const char *name)
{
	char text[NAME_SIZE + 40];

	if (!is_name(name))
		return;
	snprintf(text, sizeof(text), "FDSTOREREMOVE=1\nFDNAME=%s", name);
	notify_manager(text);
}

static void forget(struct fdstore *f, struct stored *it)
{
	fdstore_remove(it->name);
	if (it->fd >= 0)
		close(it->fd);
	*it = f->list[--f->cnt];
}

/* Until the manager has done what it was told so far. */
static void await(struct fdstore *f)
{
	f->told = false;
	if (f->deaf || notify_barrier() == 0)
		return;
	f->deaf = true;
	state_log(f->state, VMTAP_LOG_WARNING, "",
		  "the service manager does not answer and is not waited for any more; what it "
		  "stores may stay in use for a while");
}

/* ------------------------------------------------------------------------- the keeper */

/* Of a port of the file; others are not there after a restart. */
static bool name_of(const struct fdstore *f, const char *port, const char *role,
		    char name[NAME_SIZE])
{
	const char *spec = state_file_spec(f->state, port);

	return spec && make_name(name, role, spec, port);
}

static int on_find(void *opaque, const char *port, const char *role)
{
	struct fdstore *f = opaque;
	char name[NAME_SIZE];
	struct stored *it;
	int fd;

	if (!name_of(f, port, role, name))
		return -ENOENT;
	it = find(f, name);
	if (!it || it->fd < 0)
		return -ENOENT;
	fd = it->fd;
	it->fd = -1;
	return fd;
}

static void on_keep(void *opaque, const char *port, const char *role, int fd)
{
	struct fdstore *f = opaque;
	char name[NAME_SIZE], text[NAME_SIZE + 60];
	struct stored *it;
	int ret;

	if (!name_of(f, port, role, name) || find(f, name))
		return;
	it = add(f, name, -1);
	/* FDPOLL=0: a queue that is detached polls as an error, and is not to go for that */
	snprintf(text, sizeof(text), "FDSTORE=1\nFDNAME=%s\nFDPOLL=0", name);
	ret = it ? notify_fds(text, &fd, 1) : -ENOMEM;
	f->told = true;
	if (ret == 0)
		return;
	if (it)
		f->cnt--;
	state_log(f->state, VMTAP_LOG_WARNING, port,
		  "its %s cannot be stored with the service manager and will not outlive a "
		  "restart: %s",
		  role, strerror(-ret));
}

static void on_drop(void *opaque, const char *port, const char *role)
{
	struct fdstore *f = opaque;
	char name[NAME_SIZE];
	struct stored *it = name_of(f, port, role, name) ? find(f, name) : NULL;

	if (!it)
		return;
	forget(f, it);
	await(f);
}

/* ------------------------------------------------------------------------------- life */

struct fdstore *fdstore_new(struct inherit *in)
{
	struct fdstore *f = calloc(1, sizeof(*f));

	for (unsigned i = 0; f && i < in->cnt; i++) {
		struct inherited *from = &in->fds[i];

		if (from->fd < 0 || !is_ours(from->name))
			continue;
		if (!add(f, from->name, from->fd)) {
			fdstore_free(f);
			return NULL;
		}
		from->fd = -1;
	}
	return f;
}

void fdstore_free(struct fdstore *f)
{
	if (!f)
		return;
	/* a process that is gone may be nobody's, and what it said is not listened to then */
	if (f->told && !f->deaf)
		notify_barrier();
	for (unsigned i = 0; i < f->cnt; i++)
		if (f->list[i].fd >= 0)
			close(f->list[i].fd);
	free(f->list);
	free(f);
}

static bool has_owner(const struct conffile *file, const char *name)
{
	char wanted[NAME_SIZE];

	for (unsigned i = 0; file && i < file->section_cnt; i++) {
		const struct conffile_section *section = &file->sections[i];

		if (section->kind == CONFFILE_PORT &&
		    make_name(wanted, "", section->fixed, section->name) &&
		    strcmp(owner_of(wanted), owner_of(name)) == 0)
			return true;
	}
	return false;
}

static unsigned times(const struct fdstore *f, const char *name)
{
	unsigned n = 0;

	for (unsigned i = 0; i < f->cnt; i++)
		n += strcmp(f->list[i].name, name) == 0;
	return n;
}

/* The manager removes all of a name at once, so all of them go. */
static void forget_all(struct fdstore *f, const char *name, const char *why)
{
	char copy[NAME_SIZE];
	struct stored *it;

	snprintf(copy, sizeof(copy), "%s", name);
	state_log(f->state, VMTAP_LOG_WARNING, "",
		  "the stored descriptor \"%.200s\" %s and is let go of", copy, why);
	while ((it = find(f, copy)))
		forget(f, it);
}

/* The variable is gone afterwards: programs that ports run have no store. */
static bool has_store(void)
{
	const char *max = getenv("FDSTORE");
	const bool has = max && strtol(max, NULL, 10) > 0 && notify_is_on();

	unsetenv("FDSTORE");
	return has;
}

void fdstore_begin(struct fdstore *f, struct state *s, const struct conffile *file)
{
	const struct vmtap_keeper keeper = { .size = sizeof(keeper),
					     .find = on_find,
					     .keep = on_keep,
					     .drop = on_drop,
					     .opaque = f };
	const unsigned cnt = f->cnt;

	f->state = s;
	for (unsigned i = 0; i < f->cnt;) {
		const char *name = f->list[i].name;

		if (!has_owner(file, name))
			forget_all(f, name, "belongs to no port of the file");
		else if (times(f, name) > 1)
			forget_all(f, name, "is there more than once");
		else
			i++;
	}
	if (f->cnt < cnt)
		await(f);
	if (has_store())
		vmtap_set_keeper(state_instance(s), &keeper);
}

void fdstore_settle(struct fdstore *f)
{
	const unsigned cnt = f->cnt;

	for (unsigned i = 0; i < f->cnt;) {
		if (f->list[i].fd >= 0)
			forget_all(f, f->list[i].name, "was not used");
		else
			i++;
	}
	if (f->cnt < cnt)
		await(f);
}
