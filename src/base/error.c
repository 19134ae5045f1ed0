/* SPDX-License-Identifier: Apache-2.0 */
#include "base/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int sl_status_exit_code(enum sl_status status)
{
	return status <= SL_REFUSED ? (int)status : 1;
}

void sl_sanitise(char *text)
{
	for (unsigned char *p = (unsigned char *)text; *p; p++) {
		if (*p == '\n' || *p == '\t' || *p == '\r')
			*p = ' ';
		else if (*p < 0x20 || *p == 0x7f)
			*p = '?';
		else if (*p == 0xc2 && p[1] >= 0x80 && p[1] <= 0x9f)
			p[0] = p[1] = '?'; /* C1 controls: CSI and friends */
	}
}

SL_PRINTF(4, 0)
static void put(struct sl_error *err, enum sl_status status, int errnum, const char *fmt, va_list ap)
{
	if (!err)
		return;
	err->status = status;
	err->errnum = errnum;
	vsnprintf(err->message, sizeof(err->message), fmt, ap);
	if (errnum) {
		size_t len = strlen(err->message);
		snprintf(err->message + len, sizeof(err->message) - len, ": %s", strerror(errnum));
	}
	sl_sanitise(err->message);
}

int sl_error_set(struct sl_error *err, enum sl_status status, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	put(err, status, 0, fmt, ap);
	va_end(ap);
	return -1;
}

int sl_error_errno(struct sl_error *err, int errnum, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	put(err, errnum == ENOSPC ? SL_NOSPACE : SL_FAILED, errnum, fmt, ap);
	va_end(ap);
	return -1;
}

int sl_error_nomem(struct sl_error *err)
{
	return sl_error_set(err, SL_FAILED, "out of memory");
}

int sl_error_wrap(struct sl_error *err, const char *fmt, ...)
{
	if (!err)
		return -1;
	char noun[SL_ERROR_MAX];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(noun, sizeof(noun), fmt, ap);
	va_end(ap);
	sl_sanitise(noun);
	char old[SL_ERROR_MAX];
	memcpy(old, err->message, sizeof(old));
	char both[2 * SL_ERROR_MAX + 2];
	snprintf(both, sizeof(both), "%s: %s", noun, old);
	size_t len = strnlen(both, SL_ERROR_MAX - 1);
	memcpy(err->message, both, len);
	err->message[len] = '\0';
	return -1;
}
