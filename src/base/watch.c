/* SPDX-License-Identifier: Apache-2.0 */
#include "base/watch.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cancel.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "base/strv.h"

#define MASK (IN_CLOSE_WRITE | IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_ATTRIB | IN_DELETE_SELF | IN_MOVE_SELF)
#define BUCKETS 4096

/* A watched directory; one that is in two trees has a place in each, and one number. */
struct place {
	int wd;
	size_t tree;
	char *path;
	struct place *next;
};

struct tree {
	char *root;
	const struct sl_watch_ops *ops;
	void *ctx;
	dev_t dev;
	ino_t ino;
	bool lost;
};

struct sl_watch {
	int fd;
	struct place *places[BUCKETS];
	size_t n_places;
	struct tree *trees;
	size_t n_trees;
	int64_t looked; /* at the roots */
};

/* ---- limits ---- */

static void read_limit(const char *name, char *text, size_t size)
{
	char path[80];
	snprintf(path, sizeof(path), "/proc/sys/fs/inotify/%s", name);
	sl_autofile FILE *file = fopen(path, "re");
	if (!file || !fgets(text, (int)size, file))
		snprintf(text, size, "unknown");
	text[strcspn(text, "\n")] = '\0';
}

static int explain_watches(const struct sl_watch *watch, const char *root, size_t here, struct sl_error *err)
{
	char limit[32];
	read_limit("max_user_watches", limit, sizeof(limit));
	return sl_error_set(err, SL_FAILED, "%s: it has %zu directories to watch, and %zu are watched, but the kernel allows this user no more (fs.inotify.max_user_watches is "
			    "%s, for all programs together); raise it: sudo sysctl fs.inotify.max_user_watches=524288; or have fewer: a line in "
			    ".dockerignore for what the build does not need (node_modules, .git, target)", root, here, watch->n_places, limit);
}

static int explain_instances(int errnum, struct sl_error *err)
{
	char limit[32];
	if (errnum != EMFILE)
		return sl_error_errno(err, errnum, "inotify");
	read_limit("max_user_instances", limit, sizeof(limit));
	return sl_error_set(err, SL_FAILED, "changes cannot be watched: this user's programs have as many inotify instances as the kernel allows "
			    "(fs.inotify.max_user_instances is %s), or this process has too many files open (ulimit -n); raise it: "
			    "sudo sysctl fs.inotify.max_user_instances=512", limit);
}

/* ---- places ---- */

struct sl_watch *sl_watch_new(struct sl_error *err)
{
	struct sl_watch *watch = calloc(1, sizeof(*watch));
	if (!watch) {
		sl_error_nomem(err);
		return NULL;
	}
	watch->fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (watch->fd < 0) {
		explain_instances(errno, err);
		free(watch);
		return NULL;
	}
	return watch;
}

void sl_watch_free(struct sl_watch *watch)
{
	if (!watch)
		return;
	close(watch->fd);
	for (size_t i = 0; i < BUCKETS; i++) {
		for (struct place *place = watch->places[i], *next; place; place = next) {
			next = place->next;
			free(place->path);
			free(place);
		}
	}
	for (size_t i = 0; i < watch->n_trees; i++)
		free(watch->trees[i].root);
	free(watch->trees);
	free(watch);
}

int sl_watch_fd(const struct sl_watch *watch)
{
	return watch->fd;
}

size_t sl_watch_count(const struct sl_watch *watch)
{
	return watch->n_places;
}

static struct place **bucket(struct sl_watch *watch, int wd)
{
	return &watch->places[(unsigned)wd % BUCKETS];
}

static bool is_watched(struct sl_watch *watch, int wd)
{
	for (const struct place *place = *bucket(watch, wd); place; place = place->next)
		if (place->wd == wd)
			return true;
	return false;
}

/* Note that @wd is @path of @tree. */
static int note(struct sl_watch *watch, size_t tree, const char *path, int wd)
{
	struct place *place = *bucket(watch, wd);
	while (place && (place->wd != wd || place->tree != tree))
		place = place->next;
	char *copy = strdup(path);
	if (copy && !place && (place = calloc(1, sizeof(*place)))) {
		*place = (struct place){ .wd = wd, .tree = tree, .next = *bucket(watch, wd) };
		*bucket(watch, wd) = place;
		watch->n_places++;
	}
	if (!copy || !place) {
		free(copy);
		return -1;
	}
	free(place->path);
	place->path = copy;
	return 0;
}

/* Let go of the places for which @gone says so. */
static void forget(struct sl_watch *watch, bool (*gone)(const struct sl_watch *watch, const struct place *place, const void *ctx),
		   const void *ctx)
{
	for (size_t i = 0; i < BUCKETS; i++) {
		for (struct place **at = &watch->places[i], *place; (place = *at);) {
			if (!gone(watch, place, ctx)) {
				at = &place->next;
				continue;
			}
			*at = place->next;
			watch->n_places--;
			if (!is_watched(watch, place->wd))
				inotify_rm_watch(watch->fd, place->wd);
			free(place->path);
			free(place);
		}
	}
}

struct below {
	size_t tree;
	const char *path;
};

static bool is_below(const struct sl_watch *watch, const struct place *place, const void *ctx)
{
	const struct below *below = ctx;
	size_t len = strlen(below->path);
	return place->tree == below->tree && (!len || (!strncmp(place->path, below->path, len) && (!place->path[len] || place->path[len] == '/')));
}

static bool has_number(const struct sl_watch *watch, const struct place *place, const void *ctx)
{
	return place->wd == *(const int *)ctx;
}

static enum sl_watch_answer ask(const struct tree *tree, const char *path, bool directory)
{
	return *path ? tree->ops->ask(path, directory, tree->ctx) : SL_WATCH_PASS;
}

static bool is_skipped(const struct sl_watch *watch, const struct place *place, const void *ctx)
{
	const struct tree *tree = &watch->trees[place->tree];
	if (tree->ctx != ctx)
		return false;
	for (char *slash = strchr(place->path, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		enum sl_watch_answer answer = ask(tree, place->path, true);
		*slash = '/';
		if (answer == SL_WATCH_SKIP)
			return true;
	}
	return ask(tree, place->path, true) == SL_WATCH_SKIP;
}

/* ---- adding ---- */

/* What is in @path of @tree: directories go to @inside, and with @told all that counts
 * is told of. */
static int list(struct sl_watch *watch, const struct tree *tree, const char *full, const char *path, bool told, struct sl_strv *inside)
{
	DIR *dir = opendir(full);
	const struct dirent *entry;
	int rc = 0;
	while (dir && rc == 0 && (entry = readdir(dir))) {
		sl_autofree char *name = NULL;
		struct stat st;
		bool directory = entry->d_type == DT_DIR;
		if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
			continue;
		if (entry->d_type == DT_UNKNOWN && fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0)
			directory = S_ISDIR(st.st_mode);
		if (!directory && !told)
			continue;
		if (asprintf(&name, "%s%s%s", path, *path ? "/" : "", entry->d_name) < 0) {
			name = NULL;
			rc = -1;
			continue;
		}
		enum sl_watch_answer answer = ask(tree, name, directory);
		if (told && answer == SL_WATCH_TAKE)
			tree->ops->tell(name, SL_WATCH_CREATED, tree->ctx);
		if (directory && answer != SL_WATCH_SKIP)
			rc = sl_strv_add(inside, name);
	}
	if (dir)
		closedir(dir);
	return rc;
}

/* 1 when the kernel allows no more; -1 when memory is out. */
static int add_one(struct sl_watch *watch, size_t number, const char *full, const char *path)
{
	int wd = inotify_add_watch(watch->fd, full, MASK | IN_ONLYDIR | IN_EXCL_UNLINK | (*path ? IN_DONT_FOLLOW : 0));
	if (wd >= 0)
		return note(watch, number, path, wd);
	if (errno == EACCES)
		sl_warn("%s may not be read, so changes in it are not seen", full);
	return errno == ENOSPC ? 1 : errno == ENOMEM ? -1 : 0; /* the others: it went in between */
}

/* Watch @path of the tree and all below it. */
static int add_below(struct sl_watch *watch, size_t number, const char *path, bool told, struct sl_error *err)
{
	struct tree *tree = &watch->trees[number];
	sl_autostrv struct sl_strv todo = SL_STRV_INIT;
	bool full_up = false;
	if (sl_strv_add(&todo, path) < 0)
		return sl_error_nomem(err);
	for (size_t i = 0; i < todo.n; i++) {
		sl_autofree char *full = NULL;
		int rc = asprintf(&full, "%s%s%s", tree->root, *todo.items[i] ? "/" : "", todo.items[i]);
		if (rc < 0)
			full = NULL;
		else
			rc = full_up ? 0 : add_one(watch, number, full, todo.items[i]);
		full_up = full_up || rc > 0; /* the rest is counted */
		if (rc < 0 || list(watch, tree, full, todo.items[i], told, &todo) < 0)
			return sl_error_nomem(err);
	}
	return full_up ? explain_watches(watch, tree->root, todo.n, err) : 0;
}

int sl_watch_add(struct sl_watch *watch, const char *root, const struct sl_watch_ops *ops, void *ctx, struct sl_error *err)
{
	struct stat st;
	if (stat(root, &st) < 0)
		return sl_error_errno(err, errno, "%s", root);
	if (!S_ISDIR(st.st_mode))
		return sl_error_errno(err, ENOTDIR, "%s", root);
	struct tree *trees = realloc(watch->trees, (watch->n_trees + 1) * sizeof(*trees));
	if (!trees)
		return sl_error_nomem(err);
	watch->trees = trees;
	struct tree *tree = &trees[watch->n_trees];
	*tree = (struct tree){ .root = strdup(root), .ops = ops, .ctx = ctx, .dev = st.st_dev, .ino = st.st_ino };
	if (!tree->root)
		return sl_error_nomem(err);
	return add_below(watch, watch->n_trees++, "", false, err);
}

int sl_watch_ask_again(struct sl_watch *watch, const void *ctx, struct sl_error *err)
{
	int rc = 0;
	forget(watch, is_skipped, ctx);
	for (size_t i = 0; i < watch->n_trees; i++)
		if (watch->trees[i].ctx == ctx && !watch->trees[i].lost && add_below(watch, i, "", false, err) < 0)
			rc = -1;
	return rc;
}

/* ---- taking ---- */

static void lose(struct sl_watch *watch, size_t number)
{
	struct tree *tree = &watch->trees[number];
	if (tree->lost)
		return;
	tree->lost = true;
	watch->looked = 0;
	forget(watch, is_below, &(struct below){ number, "" });
	tree->ops->tell("", SL_WATCH_ALL, tree->ctx);
}

/* Whether each root is still what it was. */
static int look_at_roots(struct sl_watch *watch, struct sl_error *err)
{
	int rc = 0;
	watch->looked = sl_now();
	for (size_t i = 0; i < watch->n_trees; i++) {
		struct tree *tree = &watch->trees[i];
		struct stat st;
		bool there = stat(tree->root, &st) == 0 && S_ISDIR(st.st_mode);
		if (!tree->lost && (!there || st.st_dev != tree->dev || st.st_ino != tree->ino))
			lose(watch, i);
		if (!tree->lost || !there)
			continue;
		tree->lost = false;
		tree->dev = st.st_dev;
		tree->ino = st.st_ino;
		if (add_below(watch, i, "", false, err) < 0)
			rc = -1;
		tree->ops->tell("", SL_WATCH_ALL, tree->ctx);
	}
	return rc;
}

static int take_all(struct sl_watch *watch, struct sl_error *err)
{
	int rc = 0;
	for (size_t i = 0; i < watch->n_trees; i++) {
		struct tree *tree = &watch->trees[i];
		if (!tree->lost && add_below(watch, i, "", false, err) < 0)
			rc = -1;
		tree->ops->tell("", SL_WATCH_ALL, tree->ctx);
	}
	return rc;
}

/* One event, in one tree; @dir is the directory that it happened in. */
static int take_in_tree(struct sl_watch *watch, size_t number, const char *dir, const struct inotify_event *event, struct sl_error *err)
{
	struct tree *tree = &watch->trees[number];
	bool directory = event->mask & IN_ISDIR;
	sl_autofree char *path = NULL;
	if (event->mask & (IN_DELETE_SELF | IN_MOVE_SELF)) {
		if (!*dir)
			lose(watch, number);
		return 0;
	}
	if (!event->len)
		return 0;
	if (asprintf(&path, "%s%s%s", dir, *dir ? "/" : "", event->name) < 0) {
		path = NULL;
		return sl_error_nomem(err);
	}
	enum sl_watch_answer answer = ask(tree, path, directory);
	bool gone = event->mask & (IN_DELETE | IN_MOVED_FROM), came = event->mask & (IN_CREATE | IN_MOVED_TO);
	if (answer == SL_WATCH_TAKE)
		tree->ops->tell(path, gone ? SL_WATCH_GONE : event->mask & IN_CREATE ? SL_WATCH_CREATED : SL_WATCH_CHANGED, tree->ctx);
	if (directory && gone)
		forget(watch, is_below, &(struct below){ number, path });
	return directory && came && answer != SL_WATCH_SKIP ? add_below(watch, number, path, true, err) : 0;
}

static int take_event(struct sl_watch *watch, const struct inotify_event *event, struct sl_error *err)
{
	int rc = 0;
	if (event->mask & IN_Q_OVERFLOW)
		return take_all(watch, err);
	if (event->mask & IN_IGNORED) {
		int wd = event->wd;
		forget(watch, has_number, &wd);
		return 0;
	}
	/* the places may change under it */
	for (size_t number = 0; number < watch->n_trees; number++) {
		const struct place *place = *bucket(watch, event->wd);
		while (place && (place->wd != event->wd || place->tree != number))
			place = place->next;
		sl_autofree char *dir = place ? strdup(place->path) : NULL;
		if (place && !dir)
			return sl_error_nomem(err);
		if (dir && take_in_tree(watch, number, dir, event, err) < 0)
			rc = -1;
	}
	return rc;
}

int sl_watch_take(struct sl_watch *watch, struct sl_error *err)
{
	char events[16384] __attribute__((aligned(__alignof__(struct inotify_event))));
	ssize_t n;
	int rc = 0;
	while ((n = read(watch->fd, events, sizeof(events))) > 0) {
		for (const char *at = events; at < events + n;) {
			const struct inotify_event *event = (const struct inotify_event *)(const void *)at;
			if (take_event(watch, event, err) < 0)
				rc = -1;
			at += sizeof(*event) + event->len;
		}
	}
	if (n < 0 && errno != EAGAIN && errno != EINTR)
		return sl_error_errno(err, errno, "inotify");
	if (sl_now() - watch->looked >= SL_WATCH_TICK && look_at_roots(watch, err) < 0)
		rc = -1;
	return rc;
}
