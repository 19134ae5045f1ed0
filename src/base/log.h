/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_BASE_LOG_H
#define SL_BASE_LOG_H

/*
 * Where the library tells what it does and why: SL_LOG_WARN is shown unless -q,
 * SL_LOG_INFO with -v, SL_LOG_DEBUG with -vv.  The library never prints:
 * it calls the sink that the program installed, from any thread, one finished
 * line at a time without its newline.  Without a sink nothing is formatted.
 */

#include "base/error.h"

typedef void (*sl_log_sink)(enum sl_log_level level, const char *line, void *ctx);

/* Install @sink for lines up to @level; NULL removes it.  Call before threads
 * start. */
void sl_log_set(sl_log_sink sink, enum sl_log_level level, void *ctx);

void sl_warn(const char *fmt, ...) SL_PRINTF(1, 2);
void sl_info(const char *fmt, ...) SL_PRINTF(1, 2);
void sl_debug(const char *fmt, ...) SL_PRINTF(1, 2);

#endif
