/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_BASE_ERROR_H
#define SL_BASE_ERROR_H

/*
 * Filling and wrapping `struct sl_error`.  Fail where the fact is known, with
 * sl_error_set(); add a noun on the way up with sl_error_wrap():
 *
 *	node 'dev-worker': ctr images import: no space left on device
 */

#include "sidelift.h"

#define SL_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#define SL_MUST_CHECK __attribute__((warn_unused_result))

/* Replace @err with @status and the formatted message.  Control characters
 * (a peer may have sent them) become '?'.  Returns -1, so that a caller can
 * `return sl_error_set(...)`.  @err may be NULL. */
int sl_error_set(struct sl_error *err, enum sl_status status, const char *fmt, ...) SL_PRINTF(3, 4);

/* The same with `: strerror(errnum)` behind it; ENOSPC turns SL_FAILED into
 * SL_NOSPACE. */
int sl_error_errno(struct sl_error *err, int errnum, const char *fmt, ...) SL_PRINTF(3, 4);

/* Out of memory; returns -1. */
int sl_error_nomem(struct sl_error *err);

/* Put the formatted text and ": " before the message of @err, whose status
 * stays.  Returns -1. */
int sl_error_wrap(struct sl_error *err, const char *fmt, ...) SL_PRINTF(2, 3);

/* Replace every control character in @text by '?', in place; newlines and tabs
 * become blanks.  UTF-8 passes. */
void sl_sanitise(char *text);

#endif
