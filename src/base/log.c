/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>

static struct {
	sl_log_sink sink;
	enum sl_log_level level;
	void *ctx;
} log_to;

void sl_log_set(sl_log_sink sink, enum sl_log_level level, void *ctx)
{
	log_to.sink = sink;
	log_to.level = level;
	log_to.ctx = ctx;
}

SL_PRINTF(2, 0)
static void emit(enum sl_log_level level, const char *fmt, va_list ap)
{
	if (!log_to.sink || level > log_to.level)
		return;
	char line[2048];
	vsnprintf(line, sizeof(line), fmt, ap);
	sl_sanitise(line);
	log_to.sink(level, line, log_to.ctx);
}

#define DEFINE_LOG(name, level)             \
	void name(const char *fmt, ...)     \
	{                                   \
		va_list ap;                 \
		va_start(ap, fmt);          \
		emit(level, fmt, ap);       \
		va_end(ap);                 \
	}

DEFINE_LOG(sl_warn, SL_LOG_WARN)
DEFINE_LOG(sl_info, SL_LOG_INFO)
DEFINE_LOG(sl_debug, SL_LOG_DEBUG)
