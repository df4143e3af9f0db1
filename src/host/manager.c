/* SPDX-License-Identifier: MIT */
/* What NetworkManager and systemd-networkd are told about an interface. */
#include "host/manager.h"

#include <dirent.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "host/ini.h"

#define FILES_MAX 256
#define WORD_MAX 256

/* ---------------------------------------------------------------- NetworkManager */

/* "interface-name:vm*", "interface-name:=vm0", "type:tun", "driver:tun", "mac:…", a name, "*" */
static bool nm_word_matches(const char *word, const struct managed *m)
{
	if (strncmp(word, "interface-name:", 15) == 0) {
		word += 15;
		if (*word == '=')
			return strcmp(word + 1, m->name) == 0;
		return fnmatch(*word == '~' ? word + 1 : word, m->name, 0) == 0;
	}
	if (strncmp(word, "type:", 5) == 0)
		return strcmp(word + 5, strcmp(m->kind, "tun") == 0 ? "tun" : "macvlan") == 0;
	if (strncmp(word, "driver:", 7) == 0)
		return fnmatch(word + 7, strcmp(m->kind, "tun") == 0 ? "tun" : "macvlan", 0) == 0;
	if (strncmp(word, "mac:", 4) == 0)
		return m->mac[0] && strcasecmp(word + 4, m->mac) == 0;
	return strcmp(word, "*") == 0 || strcmp(word, m->name) == 0 ||
	       (m->mac[0] && strcasecmp(word, m->mac) == 0);
}

bool nm_spec_matches(const char *specs, const struct managed *m)
{
	char buf[WORD_MAX];
	const char *word;
	bool found = false;

	while ((word = word_next(&specs, ";, \t", buf, sizeof(buf)))) {
		if (strncmp(word, "except:", 7) != 0)
			found |= nm_word_matches(word, m);
		else if (nm_word_matches(word + 7, m))
			return false;
	}
	return found;
}

struct nm_state {
	const struct managed *m;
	bool unmanaged;
	char section[64];
	bool section_matches;
};

/* A [device…] section counts from its match-device= on, which by custom comes first. */
static int nm_line(void *ctx, const char *section, const char *key, const char *value)
{
	struct nm_state *s = ctx;

	if (strcmp(section, "keyfile") == 0) {
		if (strcmp(key, "unmanaged-devices") == 0)
			s->unmanaged = nm_spec_matches(value, s->m);
		else if (strcmp(key, "unmanaged-devices+") == 0)
			s->unmanaged |= nm_spec_matches(value, s->m);
		return 0;
	}
	if (strncmp(section, "device", 6) != 0)
		return 0;
	if (strcmp(section, s->section) != 0) {
		snprintf(s->section, sizeof(s->section), "%s", section);
		s->section_matches = true;
	}
	if (strcmp(key, "match-device") == 0)
		s->section_matches = nm_spec_matches(value, s->m);
	else if (strcmp(key, "managed") == 0 && s->section_matches)
		s->unmanaged = strchr("0nNfF", value[0]) || strcasecmp(value, "off") == 0;
	return 0;
}

/* ------------------------------------------------------------------------ folders */

static int by_name(const void *a, const void *b)
{
	return strcmp(a, b);
}

typedef char file_name[256];

/* Names in @folder that end with @suffix, sorted. Return: owned; NULL: none. */
static file_name *list_folder(const char *folder, const char *suffix, unsigned *cnt)
{
	file_name *names = NULL;
	DIR *dir = opendir(folder);
	struct dirent *e;
	size_t len;

	*cnt = 0;
	if (dir)
		names = calloc(FILES_MAX, sizeof(*names));
	while (names && *cnt < FILES_MAX && (e = readdir(dir))) {
		len = strlen(e->d_name);
		if (len > strlen(suffix) && strcmp(e->d_name + len - strlen(suffix), suffix) == 0)
			snprintf(names[(*cnt)++], sizeof(*names), "%s", e->d_name);
	}
	if (dir)
		closedir(dir);
	if (names)
		qsort(names, *cnt, sizeof(*names), by_name);
	return names;
}

static void nm_read_folder(const char *folder, struct nm_state *s)
{
	unsigned cnt;
	file_name *names = list_folder(folder, ".conf", &cnt);
	char path[400];

	for (unsigned i = 0; i < cnt; i++) {
		snprintf(path, sizeof(path), "%s/%s", folder, names[i]);
		s->section[0] = '\0';
		ini_read(path, nm_line, s);
	}
	free(names);
}

/* Later files override earlier ones. */
bool nm_leaves_alone(const struct managed *m)
{
	struct nm_state s = { .m = m };

	nm_read_folder("/usr/lib/NetworkManager/conf.d", &s);
	nm_read_folder("/run/NetworkManager/conf.d", &s);
	s.section[0] = '\0';
	ini_read("/etc/NetworkManager/NetworkManager.conf", nm_line, &s);
	nm_read_folder("/etc/NetworkManager/conf.d", &s);
	return s.unmanaged;
}

/* --------------------------------------------------------------- systemd-networkd */

/* A list of globs; one that begins with '!' turns the whole round. */
static bool globs_match(const char *globs, const char *text)
{
	char buf[WORD_MAX];
	const char *glob;
	bool found = false, negated = *globs == '!';

	globs += negated;
	while ((glob = word_next(&globs, " \t", buf, sizeof(buf))))
		found |= fnmatch(glob, text, 0) == 0;
	return found != negated;
}

bool networkd_match(const char *key, const char *value, const struct managed *m, bool *known)
{
	*known = true;
	if (strcmp(key, "Name") == 0)
		return globs_match(value, m->name);
	if (strcmp(key, "Type") == 0)
		return globs_match(value, "ether");
	if (strcmp(key, "Kind") == 0)
		return globs_match(value, m->kind);
	if (strcmp(key, "Driver") == 0)
		return globs_match(value, strcmp(m->kind, "tun") == 0 ? "tun" : "macvlan");
	if (strcmp(key, "MACAddress") == 0)
		return m->mac[0] && strcasestr(value, m->mac);
	*known = false;
	return false;
}

struct networkd_state {
	const struct managed *m;
	unsigned conditions;
	bool fails, unmanaged;
};

/* What cannot be judged from here counts as not met: no false alarm. */
static int networkd_line(void *ctx, const char *section, const char *key, const char *value)
{
	struct networkd_state *s = ctx;
	bool known;

	if (strcmp(section, "Match") == 0) {
		s->conditions++;
		s->fails |= !networkd_match(key, value, s->m, &known);
	} else if (strcmp(section, "Link") == 0 && strcmp(key, "Unmanaged") == 0) {
		s->unmanaged = strchr("1yYtT", value[0]) || strcasecmp(value, "on") == 0;
	}
	return 0;
}

static const char *const networkd_folders[] = {
	"/etc/systemd/network",
	"/run/systemd/network",
	"/usr/local/lib/systemd/network",
	"/usr/lib/systemd/network",
};

#define FOLDER_CNT (sizeof(networkd_folders) / sizeof(networkd_folders[0]))

/* The first file in the order of names whose match applies is the one that counts; a name in an
 * earlier folder hides the same name in later ones. */
struct networkd_files {
	file_name *names[FOLDER_CNT];
	unsigned cnt[FOLDER_CNT], next[FOLDER_CNT];
};

/* The folder with the smallest name that is left; the others' same name is passed over. */
static int next_file(struct networkd_files *f, char *path, size_t size)
{
	const char *best = NULL;
	size_t folder = 0;

	for (size_t i = 0; i < FOLDER_CNT; i++) {
		if (f->next[i] == f->cnt[i] || (best && strcmp(f->names[i][f->next[i]], best) >= 0))
			continue;
		best = f->names[i][f->next[i]];
		folder = i;
	}
	if (!best)
		return 0;
	snprintf(path, size, "%s/%s", networkd_folders[folder], best);
	for (size_t i = 0; i < FOLDER_CNT; i++)
		if (i != folder && f->next[i] < f->cnt[i] &&
		    strcmp(f->names[i][f->next[i]], best) == 0)
			f->next[i]++;
	f->next[folder]++;
	return 1;
}

bool networkd_file_of(const struct managed *m, char *file, size_t size)
{
	struct networkd_files f = { 0 };
	bool found = false;

	for (size_t i = 0; i < FOLDER_CNT; i++)
		f.names[i] = list_folder(networkd_folders[i], ".network", &f.cnt[i]);
	while (!found && next_file(&f, file, size)) {
		struct networkd_state s = { .m = m };

		if (ini_read(file, networkd_line, &s) < 0 || !s.conditions || s.fails)
			continue;
		if (s.unmanaged)
			break;
		found = true;
	}
	for (size_t i = 0; i < FOLDER_CNT; i++)
		free(f.names[i]);
	return found;
}
