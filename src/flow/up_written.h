/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_FLOW_UP_WRITTEN_H
#define SL_FLOW_UP_WRITTEN_H

/*
 * What a --build-command wrote where it is watched, as far as can be told, so that it
 * does not start itself again and again.
 *
 * While it runs, a change is an *edit* only of a file that was there, that no earlier run
 * changed, and that did not end the run before: then the run is superseded.  In its
 * first run nothing is.  All else is noted, and compared by content when the run is over:
 * what differs from what the run before left costs another round.  After such a round there
 * is no other of its kind: what differs each time (a time stamp, a log) would go on for ever.
 * And what two runs in a row have changed, or the first one made, is the command's own, until a
 * run leaves it alone: it costs nothing any more.
 */

#include <stdbool.h>
#include <stddef.h>

struct sl_root;
struct sl_written_file;
struct sl_written_note;

struct sl_written {
	struct sl_written_file *files; /* that runs have changed, and their content */
	size_t n_files;
	struct sl_written_note *notes; /* changes of this run */
	size_t n_notes, next;
	bool ran;       /* a first run is over */
	bool again;     /* the last comparison asked for another round */
	bool warned;
};

struct sl_written_change {
	struct sl_root *root;
	const char *path, *full; /* borrowed until the next run */
	bool again;              /* it is worth another run of the commands */
};

void sl_written_release(struct sl_written *written);

/* A run begins.  What a run noted that was superseded stays noted. */
void sl_written_begin(struct sl_written *written);

/* Whether the change of @full, which is @path in @root, is an edit; noted if not.  With
 * "" it is all of the root, and none. */
bool sl_written_is_edit(struct sl_written *written, struct sl_root *root, const char *path, const char *full, bool created);

/* A run is about to begin because @full, among others, has changed. */
void sl_written_see(struct sl_written *written, const char *full);

/* Whether @full is, between two runs, what it was when the last one was over or began: somebody
 * has only touched it, or a process that the command left behind has written it once more. */
bool sl_written_is_as_left(const struct sl_written *written, const char *full);

/* All runs of a round came to their end: compare; then one after the other what differs. */
void sl_written_compare(struct sl_written *written);
bool sl_written_next(struct sl_written *written, struct sl_written_change *out);

#endif
