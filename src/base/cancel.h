/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_BASE_CANCEL_H
#define SL_BASE_CANCEL_H

/*
 * A cancel token and deadlines.  One token per command: sl_cancel_fire() may be
 * called from a signal handler or another thread; everything that waits polls
 * the token's descriptor beside its own and gives up with SL_INTERRUPTED.
 *
 * A deadline is a point on the monotonic clock in milliseconds; SL_NEVER is
 * none.
 */

#include <poll.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define SL_NEVER INT64_MAX

struct sl_cancel {
	int fd;              /* readable once fired; -1 when not initialised */
	int writer;
	atomic_int reason;   /* 0, or what sl_cancel_fire() was given */
};

#define SL_CANCEL_INIT { -1, -1, 0 }

int sl_cancel_init(struct sl_cancel *cancel, struct sl_error *err) SL_MUST_CHECK;
void sl_cancel_release(struct sl_cancel *cancel);

/* Fire the token, once; async-signal-safe.  @reason (a signal's number, or any
 * non-zero value) is kept. */
void sl_cancel_fire(struct sl_cancel *cancel, int reason);

static inline bool sl_cancelled(const struct sl_cancel *cancel)
{
	return cancel && cancel->reason != 0;
}

/* Milliseconds on the monotonic clock. */
int64_t sl_now(void);

/* The deadline @ms from now; the earlier of that and @limit. */
int64_t sl_deadline(int64_t ms, int64_t limit);

/* Wait until @fd is ready for @events (POLLIN, POLLOUT), for the token or the
 * deadline.  Returns the ready events (also POLLHUP, POLLERR), or -1 with
 * SL_INTERRUPTED or SL_TIMEOUT ("no answer in time").  @cancel may be NULL. */
int sl_wait_fd(int fd, short events, const struct sl_cancel *cancel, int64_t deadline,
	       struct sl_error *err) SL_MUST_CHECK;

/* The same for up to SL_WAIT_MAX descriptors: 0 when one is ready, `revents` then
 * says which; -1 as above. */
#define SL_WAIT_MAX 4
int sl_wait_fds(struct pollfd *fds, size_t n, const struct sl_cancel *cancel, int64_t deadline,
		struct sl_error *err) SL_MUST_CHECK;

#endif
