/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_BASE_GUEST_H
#define SL_BASE_GUEST_H

/*
 * A library is a guest in its caller's thread.  What it needs of that thread it sets
 * when it comes, and puts back when it goes:
 *
 *	SIGPIPE is blocked.  A peer that goes away is an error, not the end of the
 *	program, even where a library below writes without MSG_NOSIGNAL (TLS).  One that
 *	came of it is taken away again.  Threads that are started meanwhile inherit this.
 *
 *	The locale is "C" with UTF-8, whatever setlocale() was told: libarchive reads
 *	names by it, and a number has a point.  Threads do not inherit this:
 *	sl_guest_thread().
 *
 * No signal's action is changed, and nothing that other threads would notice.
 */

#include <locale.h>
#include <signal.h>
#include <stdbool.h>

struct sl_guest {
	sigset_t signals; /* blocked before */
	bool pending;     /* a SIGPIPE that is not ours */
	locale_t locale;
};

void sl_guest_enter(struct sl_guest *guest);
void sl_guest_leave(const struct sl_guest *guest);

/* At the start of a thread of our own. */
void sl_guest_thread(void);

#endif
