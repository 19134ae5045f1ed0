/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_BASE_CHILD_H
#define SL_BASE_CHILD_H

/*
 * A process on this machine that is talked with: its standard input and output
 * are one socket, its standard error is a pipe of its own.  It has a session of
 * its own, so that Ctrl-C reaches us alone and what is half done can still be
 * taken back through it; when we die, its socket closes.
 */

#include <sys/types.h>

#include "base/remote.h"

struct sl_child {
	pid_t pid; /* 0: none */
	int fd;    /* its standard input and output; non-blocking */
	int err_fd;/* its standard error; non-blocking */
};

/* Start @argv (NULL-terminated), argv[0] looked for on PATH.  SL_NOT_FOUND when
 * there is no such program. */
int sl_child_start(struct sl_child *child, const char *const *argv, struct sl_error *err) SL_MUST_CHECK;

/* The same with @streams as its standard input and output (still the caller's);
 * child->fd stays -1. */
int sl_child_start_on(struct sl_child *child, int streams, const char *const *argv, struct sl_error *err) SL_MUST_CHECK;

/* The same with @streams as its standard input, output and error (the caller's
 * still, and no lower than their place in it); both descriptors stay -1. */
int sl_child_start_with(struct sl_child *child, const int streams[3], const char *const *argv, struct sl_error *err) SL_MUST_CHECK;

/* Append what it has written to its standard error so far; whether that was
 * anything.  At its end err_fd is closed. */
bool sl_child_read_errors(struct sl_child *child, struct sl_buf *text);

/* Close both descriptors (fd unless it is -1) and wait for its end: @patience_ms,
 * then as long again after SIGTERM, then SIGKILL.  Its exit code, 128+N when a
 * signal ended it, 255 when somebody else has waited for it.  A child that was
 * never started gives 0. */
int sl_child_end(struct sl_child *child, int64_t patience_ms);

/* Such a process as a remote (base/remote.h); @cancel is borrowed.  And: free it,
 * which has nothing to take back, so it is told to end. */
void sl_child_remote_stop(struct sl_remote *remote); /* NULL is fine */
struct sl_remote *sl_child_remote(const char *const *argv, const struct sl_cancel *cancel, struct sl_error *err) SL_MUST_CHECK;

#endif
