/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_BASE_PROCESS_H
#define SL_BASE_PROCESS_H

/*
 * A program that is run to its end on this machine, and not talked with: a build.
 * It reads nothing, and leads a session of its own, so that it and all it started
 * can be stopped together.  For one that is talked with see base/child.h.
 */

#include "base/buf.h"
#include "base/cancel.h"

/* Asked every few milliseconds while the program runs: whether it is to be stopped
 * because its result is not wanted any more. */
struct sl_process_stop {
	bool (*asked)(void *ctx);
	void *ctx;
};

/* Run @argv (NULL-terminated; argv[0] looked for on PATH) to its end; *code is its
 * exit code, 128+N when a signal ended it.  What it prints goes to our standard
 * error or, with @captured, there (the end is lost beyond its maximum).  When @cancel
 * fires, @stop (may be NULL) says so or @deadline passes it is stopped with all it
 * started (SIGTERM, within a second SIGKILL): SL_INTERRUPTED, SL_TIMEOUT.
 * SL_NOT_FOUND when there is no such program. */
int sl_process_run(const char *const *argv, struct sl_buf *captured, const struct sl_cancel *cancel, const struct sl_process_stop *stop,
		   int64_t deadline, int *code, struct sl_error *err) SL_MUST_CHECK;

#endif
