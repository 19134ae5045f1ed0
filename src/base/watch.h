/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_BASE_WATCH_H
#define SL_BASE_WATCH_H

/*
 * Directory trees in which changes are noticed (inotify).  New directories are watched
 * as they come, with what is in them already; those that go or move away are let go.
 * A root may be a symbolic link; one that is deleted, moved or led elsewhere is looked
 * for again, by its path.  Links within a tree are not followed.
 *
 * What counts is that a file was written and closed, came, went, or got another mode.
 * Paths are relative to the root, "" is the root itself.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct sl_watch;

enum sl_watch_answer {
	SL_WATCH_TAKE, /* its changes count */
	SL_WATCH_PASS, /* they do not; but those inside, of a directory, may */
	SL_WATCH_SKIP, /* nor do those inside: it is not even watched */
};

enum sl_watch_change {
	SL_WATCH_CHANGED,
	SL_WATCH_CREATED, /* it was not there before; a rename to a new name may be SL_WATCH_CHANGED */
	SL_WATCH_GONE,
	SL_WATCH_ALL,     /* anything may have changed: the kernel lost count, or the root went or came */
};

struct sl_watch_ops {
	enum sl_watch_answer (*ask)(const char *path, bool directory, void *ctx);
	void (*tell)(const char *path, enum sl_watch_change change, void *ctx);
};

/* SL_FAILED explains what the kernel's limit is and how it is raised, here and in
 * sl_watch_add(). */
struct sl_watch *sl_watch_new(struct sl_error *err) SL_MUST_CHECK;
void sl_watch_free(struct sl_watch *watch); /* NULL is fine */

/* Watch the directory @root.  @ops and @ctx are borrowed; they are asked from here on,
 * and told in sl_watch_take(). */
int sl_watch_add(struct sl_watch *watch, const char *root, const struct sl_watch_ops *ops, void *ctx, struct sl_error *err) SL_MUST_CHECK;

/* Of the trees of @ctx: what its ask() says has changed. */
int sl_watch_ask_again(struct sl_watch *watch, const void *ctx, struct sl_error *err) SL_MUST_CHECK;

/* Tell what has happened so far.  Call it when sl_watch_fd() is readable, and every
 * SL_WATCH_TICK for the roots.  When something new cannot be watched any more: -1, and
 * all else goes on. */
int sl_watch_take(struct sl_watch *watch, struct sl_error *err) SL_MUST_CHECK;
int sl_watch_fd(const struct sl_watch *watch);

#define SL_WATCH_TICK 500 /* milliseconds */

/* How many directories are watched. */
size_t sl_watch_count(const struct sl_watch *watch);

#endif
