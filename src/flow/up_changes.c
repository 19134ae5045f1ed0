/* SPDX-License-Identifier: Apache-2.0 */
#include "flow/up_changes.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "flow/up_roots.h"
#include "flow/up_written.h"

#define PATHS_MAX 5000 /* remembered; beyond, changes are only counted */
#define PATHS_TOLD 20  /* to programs */
#define PATHS_SEEN 200 /* what a command is run for: more is no process that it left behind */

struct path {
	char *text;
	bool created; /* since the last round: if it goes again, nothing has changed */
};

/* A list of what has changed. */
struct paths {
	struct path *items;
	size_t n, beyond;
};

/* What is built or applied together: a --build, all the --build-commands, the manifests. */
struct subject {
	struct sl_up_changes *changes;
	const struct sl_up_build *build; /* NULL: the commands, or the manifests */
	const char *name;                /* borrowed */
	bool commands;
	struct paths fresh; /* since the last round began */
	struct paths taken; /* that it is for */
	bool stale;         /* not built since it changed */
};

struct sl_up_changes {
	const struct sl_up *up;
	struct sl_watch *watch;
	struct sl_roots roots;
	struct subject *subjects; /* the builds by directory, the commands, the manifests */
	size_t n_subjects;
	struct sl_written written; /* by the commands */
	bool running;                /* a command is */
	bool ran, stopped;           /* one has, this round; one was, before its end */
	bool limit_told;
	int64_t first_at, last_at; /* of the fresh changes */
	int64_t since;             /* first_at of the round */
};

static void paths_release(struct paths *paths)
{
	for (size_t i = 0; i < paths->n; i++)
		free(paths->items[i].text);
	free(paths->items);
	*paths = (struct paths){ 0 };
}

static bool is_changed(const struct paths *paths)
{
	return paths->n || paths->beyond;
}

/* ---- what has changed ---- */

static struct path *find(const struct paths *paths, const char *text)
{
	for (size_t i = paths->n; i-- > 0;)
		if (!strcmp(paths->items[i].text, text))
			return &paths->items[i];
	return NULL;
}

static void remove_path(struct paths *paths, struct path *path)
{
	free(path->text);
	memmove(path, path + 1, (size_t)(paths->items + paths->n - (path + 1)) * sizeof(*path));
	paths->n--;
}

/* Without memory it is counted. */
static void add_path(struct paths *paths, const char *text, bool created)
{
	struct path *items = paths->n < PATHS_MAX ? realloc(paths->items, (paths->n + 1) * sizeof(*items)) : NULL;
	char *copy = items ? strdup(text) : NULL;
	if (items)
		paths->items = items;
	if (copy)
		items[paths->n++] = (struct path){ copy, created };
	else
		paths->beyond++;
}

static void mark(struct subject *subject, const char *text, enum sl_watch_change change)
{
	struct sl_up_changes *changes = subject->changes;
	struct path *known = find(&subject->fresh, text);
	bool first = true;
	for (size_t i = 0; i < changes->n_subjects; i++)
		first = first && !is_changed(&changes->subjects[i].fresh);
	if (known && known->created && change == SL_WATCH_GONE)
		remove_path(&subject->fresh, known);
	else if (!known)
		add_path(&subject->fresh, text, change == SL_WATCH_CREATED);
	changes->last_at = sl_now();
	if (first)
		changes->first_at = changes->last_at;
}

/* Whether @path in the directory of the commands is a manifest: these are built from all
 * else. */
static bool is_manifest(const struct sl_up_changes *changes, const struct sl_root *commands, const char *path)
{
	sl_autofree char *full = NULL;
	if (!commands->real || asprintf(&full, "%s/%s", commands->real, path) < 0)
		return false;
	for (size_t i = 0; i < changes->roots.n; i++) {
		struct sl_root *root = changes->roots.items[i];
		size_t len = root->real ? strlen(root->real) : 0;
		if (root->owner == &changes->subjects[changes->n_subjects - 1] && len && !strncmp(full, root->real, len) && full[len] == '/' &&
		    sl_root_ask(full + len + 1, false, root) == SL_WATCH_TAKE)
			return true;
	}
	return false;
}

static void tell(const char *path, enum sl_watch_change change, void *ctx)
{
	struct sl_root *root = ctx;
	struct subject *subject = root->owner;
	struct sl_up_changes *changes = subject->changes;
	sl_autofree char *full = NULL;
	if (sl_root_is_ignore(root, path) || (!*path && root->kind == SL_ROOT_CONTEXT)) {
		struct sl_error err = SL_ERROR_INIT;
		if (sl_root_read_ignore(root, &err) < 0 || sl_watch_ask_again(changes->watch, root, &err) < 0)
			sl_warn("%s", err.message);
	}
	if (subject->commands && *path && is_manifest(changes, root, path))
		return;
	bool plain = root->kind == SL_ROOT_CONTEXT || !strcmp(root->dir, ".");
	if (asprintf(&full, "%s/%s", root->dir, path) < 0)
		full = NULL;
	const char *shown = plain ? path : full ? full : path;
	if (change == SL_WATCH_ALL)
		shown = root->dir;
	if (changes->running && full && !sl_written_is_edit(&changes->written, root, path, full, change == SL_WATCH_CREATED))
		return;
	if (!changes->running && full && change != SL_WATCH_ALL && sl_written_is_as_left(&changes->written, full))
		return;
	mark(subject, shown, change);
}

static const struct sl_watch_ops ops = { sl_root_ask, tell };

/* Take what has happened so far. */
static void take(struct sl_up_changes *changes)
{
	struct sl_error err = SL_ERROR_INIT;
	if (sl_watch_take(changes->watch, &err) == 0 || changes->limit_told)
		return;
	changes->limit_told = true;
	sl_warn("%s; until then some changes are not seen", err.message);
}

static bool anything(const struct sl_up_changes *changes)
{
	for (size_t i = 0; i < changes->n_subjects; i++)
		if (is_changed(&changes->subjects[i].fresh))
			return true;
	return false;
}

/* ---- from outside ---- */

static struct subject *add_subject(struct sl_up_changes *changes, const struct sl_up_build *build, const char *name, bool commands)
{
	struct subject *subject = &changes->subjects[changes->n_subjects++];
	*subject = (struct subject){ .changes = changes, .build = build, .name = name, .commands = commands, .stale = true };
	return subject;
}

static int watch_all(struct sl_up_changes *changes, struct sl_error *err)
{
	const struct sl_up *up = changes->up;
	struct subject *commands = NULL;
	for (size_t i = 0; i < up->n_builds; i++) {
		const struct sl_up_build *build = &up->builds[i];
		struct subject *subject = build->command ? commands : NULL;
		if (!subject)
			subject = add_subject(changes, build->command ? NULL : build, build->given, build->command != NULL);
		if (build->command)
			commands = subject;
		if (sl_roots_add_build(&changes->roots, changes->watch, &ops, up, build, subject, err) < 0)
			return -1;
	}
	struct subject *manifests = add_subject(changes, NULL, "manifests", false);
	return sl_roots_add_manifests(&changes->roots, changes->watch, &ops, up, manifests, err);
}

struct sl_up_changes *sl_up_changes_new(const struct sl_up *up, struct sl_error *err)
{
	struct sl_up_changes *changes = calloc(1, sizeof(*changes));
	if (!changes || !(changes->subjects = calloc(up->n_builds + 2, sizeof(*changes->subjects)))) {
		free(changes);
		sl_error_nomem(err);
		return NULL;
	}
	changes->up = up;
	changes->first_at = changes->last_at = sl_now();
	changes->watch = sl_watch_new(err);
	if (!changes->watch || watch_all(changes, err) < 0) {
		sl_up_changes_free(changes);
		return NULL;
	}
	sl_info("%zu directories are watched", sl_watch_count(changes->watch));
	return changes;
}

void sl_up_changes_free(struct sl_up_changes *changes)
{
	if (!changes)
		return;
	sl_watch_free(changes->watch);
	sl_roots_release(&changes->roots);
	sl_written_release(&changes->written);
	for (size_t i = 0; i < changes->n_subjects; i++) {
		paths_release(&changes->subjects[i].fresh);
		paths_release(&changes->subjects[i].taken);
	}
	free(changes->subjects);
	free(changes);
}

int sl_up_changes_wait(struct sl_up_changes *changes, const struct sl_cancel *cancel, struct sl_error *err)
{
	for (;;) {
		int64_t limit = sl_now() + SL_WATCH_TICK, now;
		take(changes);
		now = sl_now();
		if (anything(changes)) {
			if (now - changes->last_at >= SL_UP_QUIET || now - changes->first_at >= SL_UP_COLLECT)
				return 0;
			limit = changes->last_at + SL_UP_QUIET;
		}
		if (sl_wait_fd(sl_watch_fd(changes->watch), POLLIN, cancel, limit, err) < 0 && err->status != SL_TIMEOUT)
			return -1;
		*err = (struct sl_error)SL_ERROR_INIT;
	}
}

bool sl_up_changes_superseded(void *ctx)
{
	struct sl_up_changes *changes = ctx;
	if (!changes)
		return false;
	take(changes);
	return anything(changes);
}

int64_t sl_up_changes_since(const struct sl_up_changes *changes)
{
	return changes->since;
}

/* ---- rounds ---- */

static struct subject *subject_of(const struct sl_up_changes *changes, const struct sl_up_build *build)
{
	for (size_t i = 0; i < changes->n_subjects; i++)
		if (build->command ? changes->subjects[i].commands : changes->subjects[i].build == build)
			return &changes->subjects[i];
	return &changes->subjects[changes->n_subjects - 1];
}

static void see(struct sl_up_changes *changes, const struct subject *subject)
{
	for (size_t i = 0; subject->commands && subject->taken.n <= PATHS_SEEN && i < subject->taken.n; i++) {
		sl_autofree char *full = NULL;
		if (asprintf(&full, "./%s", subject->taken.items[i].text) < 0)
			full = NULL;
		else
			sl_written_see(&changes->written, full);
	}
}

static void put_why(const struct sl_up_changes *changes, struct sl_buf *why)
{
	for (size_t i = 0; i < changes->n_subjects; i++) {
		const struct subject *subject = &changes->subjects[i];
		size_t more = subject->taken.n + subject->taken.beyond - 1;
		if (!is_changed(&subject->taken))
			continue;
		sl_buf_printf(why, "%s%s changed (%s", why->len ? ", " : "", subject->name, subject->taken.n ? subject->taken.items[0].text : "much");
		sl_buf_printf(why, more ? ", %zu more)" : ")", more);
	}
	if (!why->len)
		sl_buf_puts(why, "the first");
}

void sl_up_changes_begin(struct sl_up_changes *changes, struct sl_up *up, struct sl_buf *why)
{
	struct sl_error err = SL_ERROR_INIT;
	struct subject *manifests = &changes->subjects[changes->n_subjects - 1];
	changes->since = changes->first_at;
	changes->ran = changes->stopped = false;
	for (size_t i = 0; i < changes->n_subjects; i++) {
		struct subject *subject = &changes->subjects[i];
		paths_release(&subject->taken);
		subject->stale = subject->stale || is_changed(&subject->fresh);
		subject->taken = subject->fresh;
		subject->fresh = (struct paths){ 0 };
		see(changes, subject);
	}
	for (size_t i = 0; i < up->n_builds; i++)
		up->builds[i].needless = !subject_of(changes, &up->builds[i])->stale;
	up->reread = up->reread || is_changed(&manifests->taken);
	/* a kustomization may name others now */
	if (is_changed(&manifests->taken) && sl_roots_add_manifests(&changes->roots, changes->watch, &ops, up, manifests, &err) < 0)
		sl_warn("%s", err.message);
	put_why(changes, why);
}

/* The commands have run to their end: what they have left costs a round where it differs
 * from what was there. */
static void compare_written(struct sl_up_changes *changes)
{
	struct sl_written_change change;
	sl_written_compare(&changes->written);
	while (sl_written_next(&changes->written, &change)) {
		struct sl_root *root = change.root;
		const struct subject *subject = root->owner;
		if (subject->commands ? change.again : *change.path || change.again)
			mark(root->owner, root->kind == SL_ROOT_CONTEXT && *change.path ? change.path : change.full, SL_WATCH_CHANGED);
	}
}

void sl_up_changes_end(struct sl_up_changes *changes, const struct sl_up *up)
{
	bool commands_done = true;
	for (size_t i = 0; i < up->n_builds; i++) {
		const struct sl_up_build *build = &up->builds[i];
		if (build->command)
			commands_done = commands_done && (build->done || build->needless);
		else if (build->done)
			subject_of(changes, build)->stale = false;
	}
	for (size_t i = 0; i < changes->n_subjects; i++)
		if (changes->subjects[i].commands && commands_done)
			changes->subjects[i].stale = false;
	if (changes->ran && !changes->stopped)
		compare_written(changes);
}

void sl_up_changes_build_begins(struct sl_up_changes *changes, const struct sl_up_build *build)
{
	if (!changes || !build->command)
		return;
	take(changes); /* what came before it */
	changes->running = changes->ran = true;
	sl_written_begin(&changes->written);
}

void sl_up_changes_build_ends(struct sl_up_changes *changes, bool stopped)
{
	if (!changes || !changes->running)
		return;
	take(changes); /* what came while it ran */
	changes->running = false;
	changes->stopped = changes->stopped || stopped;
}

json_t *sl_up_changes_json(const struct sl_up_changes *changes)
{
	json_t *all = json_array();
	for (size_t i = 0; i < changes->n_subjects; i++) {
		const struct subject *subject = &changes->subjects[i];
		json_t *paths = json_array();
		for (size_t k = 0; k < subject->taken.n && k < PATHS_TOLD; k++)
			json_array_append_new(paths, json_string(subject->taken.items[k].text));
		size_t told = json_array_size(paths);
		if (is_changed(&subject->taken))
			json_array_append_new(all, json_pack("{s:s*, s:O, s:I}", "image", i + 1 < changes->n_subjects ? subject->name : NULL, "paths",
							     paths, "more", (json_int_t)(subject->taken.n + subject->taken.beyond - told)));
		json_decref(paths);
	}
	return all;
}
