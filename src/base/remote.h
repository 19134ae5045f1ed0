/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_BASE_REMOTE_H
#define SL_BASE_REMOTE_H

/*
 * A process somewhere else - in a container by exec, on a machine by ssh - with
 * its standard streams.  What it writes is collected in `out` and `err` whenever
 * one of the functions here is at work, so writing to it can never deadlock
 * against its output.  One thread uses a remote at a time.
 */

#include <sys/types.h>

#include "base/buf.h"
#include "base/cancel.h"

struct sl_remote;

struct sl_remote_ops {
	/* Non-blocking: bytes taken, 0 when it would block, -1 with @err
	 * (SL_CLOSED when the process no longer reads). */
	ssize_t (*write)(struct sl_remote *remote, const void *data, size_t len, struct sl_error *err);
	void (*close_input)(struct sl_remote *remote);
	/* Collect what has arrived, waiting for it (or, with @writable, for room to
	 * write) up to @deadline.  Sets `ended` at the end of its output. */
	int (*pump)(struct sl_remote *remote, bool writable, int64_t deadline, struct sl_error *err);
	/* Once `ended`: the exit code. */
	int (*exit_code)(struct sl_remote *remote, int *code, int64_t deadline, struct sl_error *err);
	void (*free)(struct sl_remote *remote);
};

struct sl_remote {
	const struct sl_remote_ops *ops;
	const struct sl_cancel *cancel; /* borrowed; NULL: waiting cannot be interrupted */
	struct sl_buf out, err; /* collected; the owner may clear or drop */
	bool ended;
	uint64_t sent; /* bytes written to its input so far */
};

/* Write all of @data; SL_TIMEOUT when nothing was taken for @silence_ms. */
int sl_remote_write(struct sl_remote *remote, const void *data, size_t len, int64_t silence_ms,
		    struct sl_error *err) SL_MUST_CHECK;

/* Close its input, collect its output to the end, give its exit code; SL_TIMEOUT
 * when it is not over within @limit_ms. */
int sl_remote_finish(struct sl_remote *remote, int *code, int64_t limit_ms, struct sl_error *err) SL_MUST_CHECK;

/* End it: its input closes, and what it still writes is lost.  NULL is fine. */
void sl_remote_free(struct sl_remote *remote);

/* The last line, or the first that says "error", of what it wrote to its standard
 * error; "" when nothing.  Copied to @line. */
void sl_remote_complaint(const struct sl_remote *remote, char *line, size_t size);

#endif
