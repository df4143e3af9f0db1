/* SPDX-License-Identifier: MIT */
/* A configuration file in force, and what is done when it is read again. */
#include "ctl/reload.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "ctl/joins.h"

/** struct reload - @now: what is in force */
struct reload {
	struct state *state;
	char *path;
	struct conffile *now;
};

struct reload *reload_new(struct state *s, const char *path)
{
	struct reload *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	r->state = s;
	r->path = strdup(path);
	r->now = conffile_parse(path, "", 0, NULL);
	if (r->path && r->now)
		return r;
	reload_free(r);
	return NULL;
}

void reload_free(struct reload *r)
{
	if (!r)
		return;
	conffile_free(r->now);
	free(r->path);
	free(r);
}

/* ------------------------------------------------------- ports and switches alike */

/* The description that it runs with; NULL: there is no such thing. */
static const char *running_spec(struct state *s, const struct conffile_section *section)
{
	return section->kind == CONFFILE_PORT ? state_port_spec(s, section->name)
					      : state_switch_spec(s, section->name);
}

static bool is_running(struct state *s, const struct conffile_section *section)
{
	const char *spec = running_spec(s, section);

	return spec && strcmp(spec, section->spec) == 0;
}

static bool is_broken(struct state *s, const struct conffile_section *section)
{
	return section->kind == CONFFILE_PORT &&
	       vmtap_port_state(state_port(s, section->name)) == VMTAP_PORT_BROKEN;
}

/* Is it running, of the file in force, and to go on in @next, where it may have other limits? */
static bool is_kept(const struct reload *r, const struct conffile *next,
		    const struct conffile_section *section)
{
	const struct conffile_section *old = conffile_find(r->now, section->name);

	return old && conffile_has(next, old) && is_running(r->state, old) &&
	       !is_broken(r->state, old);
}

static int add(struct state *s, const struct conffile_section *section, struct vmtap_error *err)
{
	return section->kind == CONFFILE_PORT
		       ? state_port_add(s, section->spec, section->fixed, err)
		       : state_switch_add(s, section->spec, err);
}

static void del(struct state *s, const struct conffile_section *section)
{
	if (section->kind == CONFFILE_PORT)
		state_port_del(s, section->name, NULL);
	else
		state_switch_del(s, section->name, NULL);
}

static bool is_joined(struct state *s, const struct conffile_join *j)
{
	const char *peer = state_port_peer(s, j->port);

	return peer && strcmp(peer, j->to) == 0;
}

/* -------------------------------------------------------------- before anything */

/* Is a name taken by what came over the control socket? */
static int check_names(const struct reload *r, const struct conffile *next, struct vmtap_error *err)
{
	for (unsigned i = 0; i < next->section_cnt; i++) {
		const struct conffile_section *section = &next->sections[i], *old;
		struct state *s = r->state;

		if (!section->spec)
			continue;
		old = conffile_find(r->now, section->name);
		if (!state_port_spec(s, section->name) && !state_switch_spec(s, section->name))
			continue;
		if (old && is_running(s, old))
			continue;
		error_set(err, EEXIST, section->name, "open it",
			  "the control socket made one of that name");
		error_remedy(err, "delete it there, or name it differently");
		conffile_blame(next, section, err);
		return -EEXIST;
	}
	return 0;
}

/* Would @port be in two joins, since it is in one that the file did not make? */
static int check_end(const struct reload *r, const struct conffile *next,
		     const struct conffile_join *j, const char *port, struct vmtap_error *err)
{
	const struct conffile_section *section = conffile_find(next, port);
	const char *peer = state_port_peer(r->state, port);

	if (!section || section->kind != CONFFILE_PORT || !peer || is_joined(r->state, j) ||
	    conffile_joins(r->now, port, peer))
		return 0;
	error_set(err, EBUSY, port, "join it", "over the control socket it was joined to \"%.60s\"",
		  peer);
	error_remedy(err, "vmtap ctl disconnect %s", port);
	conffile_blame(next, section, err);
	return -EBUSY;
}

static int check_joins(const struct reload *r, const struct conffile *next, struct vmtap_error *err)
{
	int ret = 0;

	for (unsigned i = 0; !ret && i < next->join_cnt; i++) {
		const struct conffile_join *j = &next->joins[i];

		ret = check_end(r, next, j, j->port, err);
		if (!ret)
			ret = check_end(r, next, j, j->to, err);
	}
	return ret;
}

/* Does @next close anything that may have what one of its new ports wants? */
static bool closes_something(const struct reload *r, const struct conffile *next)
{
	for (unsigned i = 0; i < r->now->section_cnt; i++) {
		const struct conffile_section *section = &r->now->sections[i];

		if (section->spec && is_running(r->state, section) && !is_kept(r, next, section))
			return true;
	}
	return false;
}

/* What there is to know of a switch before it is made is known by making it. */
static int check_section(struct vmtap *v, const struct conffile_section *section,
			 struct vmtap_error *err)
{
	struct vmtap_switch *sw;

	if (section->kind == CONFFILE_PORT)
		return vmtap_port_check(v, section->spec, err);
	sw = vmtap_switch_new(v, section->spec, err);
	vmtap_switch_free(sw);
	return sw ? 0 : -err->code;
}

/* Is it wrong in the file, whatever the host is like? */
static bool is_mistake(int ret)
{
	return ret == -EINVAL || ret == -ENAMETOOLONG;
}

/* Is something not there, or not allowed? Nothing that is closed first can be the cause of that. */
static bool is_lack(int ret)
{
	return ret == -ENOENT || ret == -ENODEV || ret == -ENXIO || ret == -ENOTDIR ||
	       ret == -EACCES || ret == -EPERM;
}

/* With @start, what the host is like is no reason to refuse. Nor is, with @closes, what can be in the way of itself, or
 * of its successor. */
static int check_sections(const struct reload *r, const struct conffile *next, bool start,
			  bool closes, struct vmtap_error *err)
{
	for (unsigned i = 0; i < next->section_cnt; i++) {
		const struct conffile_section *section = &next->sections[i];
		int ret;

		if (!section->spec ||
		    (is_running(r->state, section) && !is_broken(r->state, section)))
			continue;
		ret = check_section(state_instance(r->state), section, err);
		if (ret == 0)
			continue;
		if (!is_mistake(ret) &&
		    (start || is_kept(r, next, section) || (closes && !is_lack(ret))))
			continue;
		conffile_blame(next, section, err);
		return ret;
	}
	return 0;
}

int reload_check(struct vmtap *v, const struct conffile *f,
		 void (*failed)(void *opaque, const struct vmtap_error *err), void *opaque)
{
	int last = 0;

	for (unsigned i = 0; i < f->section_cnt; i++) {
		const struct conffile_section *section = &f->sections[i];
		struct vmtap_error err = { 0 };
		int ret;

		if (!section->spec)
			continue;
		ret = check_section(v, section, &err);
		if (ret == 0)
			continue;
		conffile_blame(f, section, &err);
		failed(opaque, &err);
		last = ret;
	}
	return last;
}

/* ---------------------------------------------------------------------- changes */

static void part(struct reload *r, const struct conffile *from, const struct conffile *to)
{
	for (unsigned i = 0; i < from->join_cnt; i++) {
		const struct conffile_join *j = &from->joins[i];

		if (is_joined(r->state, j) && !conffile_joins(to, j->port, j->to))
			state_disconnect(r->state, j->port, NULL);
	}
}

/* The last first. */
static void close_old(struct reload *r, const struct conffile *from, const struct conffile *to,
		      struct reload_result *result)
{
	for (unsigned i = from->section_cnt; i-- > 0;) {
		const struct conffile_section *section = &from->sections[i];

		if (!section->spec || !is_running(r->state, section))
			continue;
		if (conffile_has(to, section) && !is_broken(r->state, section)) {
			result->kept++;
			continue;
		}
		del(r->state, section);
		result->closed++;
	}
}

/* The limits and filters of what goes on. With @go_on, each failure is logged and the rest is done. */
static int change_kept(struct reload *r, const struct conffile *to, bool go_on,
		       struct reload_result *result, struct vmtap_error *err)
{
	for (unsigned i = 0; i < to->section_cnt; i++) {
		const struct conffile_section *section = &to->sections[i];
		int ret;

		if (section->kind != CONFFILE_PORT || !running_spec(r->state, section) ||
		    is_running(r->state, section))
			continue;
		ret = state_port_change(r->state, section->name, section->spec, err);
		if (ret == 0) {
			result->changed++;
			continue;
		}
		conffile_blame(to, section, err);
		if (!go_on)
			return ret;
		state_log(r->state, VMTAP_LOG_ERROR, err->object,
			  "cannot %s: %s; its limits are those of before", err->action,
			  err->reason);
	}
	return 0;
}

/* The same for what is not there yet. */
static int open_new(struct reload *r, const struct conffile *to, bool go_on,
		    struct reload_result *result, struct vmtap_error *err)
{
	int failure = 0;

	for (unsigned i = 0; i < to->section_cnt; i++) {
		const struct conffile_section *section = &to->sections[i];
		int ret;

		if (!section->spec || running_spec(r->state, section))
			continue;
		*err = (struct vmtap_error) { 0 };
		ret = add(r->state, section, err);
		if (ret == 0) {
			result->opened++;
			continue;
		}
		conffile_blame(to, section, err);
		failure = ret;
		if (!go_on)
			return ret;
		result->missing++;
		state_log(r->state, VMTAP_LOG_ERROR, err->object,
			  "cannot %s: %s; it is missing now", err->action, err->reason);
	}
	return failure;
}

static int join(struct reload *r, const struct conffile *to, bool go_on,
		struct reload_result *result, struct vmtap_error *err)
{
	int failure = 0;

	for (unsigned i = 0; i < to->join_cnt; i++) {
		const struct conffile_join *j = &to->joins[i];
		int ret;

		if (is_joined(r->state, j))
			continue;
		*err = (struct vmtap_error) { 0 };
		ret = state_connect(r->state, j->port, j->to, err);
		if (ret == 0)
			continue;
		conffile_place(to, j->line, err);
		failure = ret;
		if (!go_on)
			return ret;
		result->missing++;
		state_log(r->state, VMTAP_LOG_ERROR, err->object, "cannot %s: %s", err->action,
			  err->reason);
	}
	return failure;
}

static int change(struct reload *r, const struct conffile *from, const struct conffile *to,
		  bool go_on, struct reload_result *result, struct vmtap_error *err)
{
	int opened, joined, ret;

	part(r, from, to);
	close_old(r, from, to, result);
	ret = change_kept(r, to, go_on, result, err);
	if (ret)
		return ret;
	opened = open_new(r, to, go_on, result, err);
	if (opened && !go_on)
		return opened;
	joined = join(r, to, go_on, result, err);
	return opened ? opened : joined;
}

static void roll_back(struct reload *r, const struct conffile *next)
{
	struct reload_result ignored = { 0 };
	struct vmtap_error err;

	if (change(r, next, r->now, true, &ignored, &err) == 0)
		state_log(r->state, VMTAP_LOG_WARNING, "", "what was in force before is again");
}

/* Return: 0; or -errno and @err, and what was in force is again, but for what the log says. */
static int change_or_roll_back(struct reload *r, const struct conffile *next,
			       struct reload_result *result, struct vmtap_error *err)
{
	struct joins *joins = joins_note(r->state, r->now);
	int ret;

	if (!joins)
		return error_errno(err, ENOMEM, r->path, "put it in force");
	ret = change(r, r->now, next, false, result, err);
	if (ret)
		roll_back(r, next);
	joins_restore(joins);
	joins_free(joins);
	return ret;
}

static int check(const struct reload *r, const struct conffile *next, struct vmtap_error *err)
{
	int ret = check_names(r, next, err);

	if (!ret)
		ret = check_joins(r, next, err);
	return ret ? ret : check_sections(r, next, false, closes_something(r, next), err);
}

/* @next is in force now. */
static void adopt(struct reload *r, struct conffile *next)
{
	conffile_free(r->now);
	r->now = next;
}

/* What [serve] says holds from the start of the program on. */
static void warn_of(struct reload *r, const struct conffile *in, const struct conffile *other,
		    bool only_missing)
{
	const struct conffile_section *serve = conffile_serve(in);

	for (unsigned i = 0; serve && i < serve->key_cnt; i++) {
		const struct conffile_key *key = &serve->keys[i];
		const char *value = conffile_value(conffile_serve(other), key->name);

		if (value && (only_missing || strcmp(value, key->value) == 0))
			continue;
		state_log(r->state, VMTAP_LOG_WARNING, "",
			  "%.200s: \"%.60s\" of [serve] changed, which takes a restart", r->path,
			  key->name);
	}
}

int reload_start(struct reload *r, struct vmtap_error *err)
{
	struct reload_result result = { 0 };
	struct vmtap_error local = { 0 };
	struct conffile *next;
	int ret;

	if (!err)
		err = &local;
	next = conffile_read(r->path, err);
	if (!next)
		return -err->code;
	ret = check_sections(r, next, true, false, err);
	if (ret) {
		conffile_free(next);
		return ret;
	}
	change(r, r->now, next, true, &result, &local);
	adopt(r, next);
	return (int)result.missing;
}

int reload_run(struct reload *r, struct reload_result *result, struct vmtap_error *err)
{
	struct vmtap_error local = { 0 };
	struct reload_result mine = { 0 };
	struct conffile *next;
	int ret;

	if (!err)
		err = &local;
	next = conffile_read(r->path, err);
	if (!next)
		return -err->code;
	ret = check(r, next, err);
	if (!ret)
		ret = change_or_roll_back(r, next, &mine, err);
	if (ret) {
		conffile_free(next);
		return ret;
	}
	warn_of(r, next, r->now, false);
	warn_of(r, r->now, next, true);
	adopt(r, next);
	if (result)
		*result = mine;
	state_log(r->state, VMTAP_LOG_INFO, "",
		  "%s: %u kept (%u of them with other limits), %u opened, %u closed", r->path,
		  mine.kept, mine.changed, mine.opened, mine.closed);
	return 0;
}
