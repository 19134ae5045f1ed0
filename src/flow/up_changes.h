/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_FLOW_UP_CHANGES_H
#define SL_FLOW_UP_CHANGES_H

/*
 * What `up --watch` watches, and what has changed since the last round:
 *
 *	--build           its directory, but for what .dockerignore leaves out, and its
 *	                  Dockerfile, wherever that is
 *	--build-command   the directory in which the command runs, the same way
 *	-f, -k            the manifests, and what a kustomization names
 *
 * `.git` and what editors put beside a file are never looked at (flow/up_roots.c).
 *
 * A command may write where it is watched, and nobody tells whose hand it was.  So: a
 * file that was there and that no earlier run of it wrote is an edit, which supersedes
 * it.  All others are compared, by content, with what the run before left.  What differs
 * costs one more round, never two in a row (flow/up_written.h has it in full).
 */

#include "flow/up.h"

/* Changes are collected until nothing has changed for this long, but no longer than
 * that; milliseconds. */
#define SL_UP_QUIET 100
#define SL_UP_COLLECT 1000

/* Watch for @up, which is borrowed with its builds. */
struct sl_up_changes *sl_up_changes_new(const struct sl_up *up, struct sl_error *err) SL_MUST_CHECK;
void sl_up_changes_free(struct sl_up_changes *changes); /* NULL is fine */

/* Wait for changes, and for their end.  SL_INTERRUPTED when @cancel fires. */
int sl_up_changes_wait(struct sl_up_changes *changes, const struct sl_cancel *cancel, struct sl_error *err) SL_MUST_CHECK;

/* A round begins: which builds of @up are needless, whether its manifests
 * are read anew, and what changed, for people: "app:dev changed
 * (main.c, 2 more)", into @why.  All are needed in the first one. */
void sl_up_changes_begin(struct sl_up_changes *changes, struct sl_up *up, struct sl_buf *why);

/* The same for programs: [{"image" (none: the manifests), "paths", "more"}]; the caller
 * decrefs. */
json_t *sl_up_changes_json(const struct sl_up_changes *changes);

/* The round is over: what of @up was not built is built in the next one. */
void sl_up_changes_end(struct sl_up_changes *changes, const struct sl_up *up);

/* When the first of the changes came that the round is for (base/cancel.h). */
int64_t sl_up_changes_since(const struct sl_up_changes *changes);

/* Whether what the running round does is old: of struct sl_process_stop.  NULL is fine: it
 * is not. */
bool sl_up_changes_superseded(void *changes);

/* @build begins, or is over: @stopped before its end.  NULL is fine. */
void sl_up_changes_build_begins(struct sl_up_changes *changes, const struct sl_up_build *build);
void sl_up_changes_build_ends(struct sl_up_changes *changes, bool stopped);

#endif
