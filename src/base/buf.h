/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_BASE_BUF_H
#define SL_BASE_BUF_H

/*
 * A growing byte buffer with a stated maximum, always NUL-terminated behind its
 * `len` bytes.  Appending beyond the maximum, or without memory, fails once and
 * stays failed (`failed` is set and every later append does nothing), so a
 * caller may append a whole document and check the end only.
 */

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

struct sl_buf {
	char *data; /* NUL-terminated; never NULL once something was appended */
	size_t len;
	size_t size;
	size_t max; /* bytes; 0 means SL_BUF_MAX */
	bool failed;
};

#define SL_BUF_MAX ((size_t)64 << 20)
#define SL_BUF_INIT { NULL, 0, 0, 0, false }

void sl_buf_release(struct sl_buf *buf);
#define sl_autobuf SL_CLEANUP(sl_buf_release)

/* Forget the content, keep the memory and the maximum. */
void sl_buf_clear(struct sl_buf *buf);

/* Each returns 0, or -1 when the maximum or memory is exceeded. */
int sl_buf_add(struct sl_buf *buf, const void *data, size_t len);
int sl_buf_puts(struct sl_buf *buf, const char *text);
int sl_buf_printf(struct sl_buf *buf, const char *fmt, ...) SL_PRINTF(2, 3);

/* Drop the first @n bytes. */
void sl_buf_drop(struct sl_buf *buf, size_t n);

/* The content as a string ("" when empty); borrowed from @buf. */
const char *sl_buf_text(const struct sl_buf *buf);

/* The content, owned by the caller, who frees it; @buf is empty afterwards.
 * NULL only when memory is out. */
char *sl_buf_steal(struct sl_buf *buf);

#endif
