/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void sl_buf_release(struct sl_buf *buf)
{
	free(buf->data);
	*buf = (struct sl_buf)SL_BUF_INIT;
}

void sl_buf_clear(struct sl_buf *buf)
{
	buf->len = 0;
	buf->failed = false;
	if (buf->data)
		buf->data[0] = '\0';
}

static int reserve(struct sl_buf *buf, size_t extra)
{
	size_t max = buf->max ? buf->max : SL_BUF_MAX;
	if (buf->failed || extra > max || buf->len > max - extra) {
		buf->failed = true;
		return -1;
	}
	size_t need = buf->len + extra + 1;
	if (need <= buf->size)
		return 0;
	size_t size = buf->size ? buf->size * 2 : 256;
	if (size < need)
		size = need;
	char *data = realloc(buf->data, size);
	if (!data) {
		buf->failed = true;
		return -1;
	}
	buf->data = data;
	buf->size = size;
	return 0;
}

int sl_buf_add(struct sl_buf *buf, const void *data, size_t len)
{
	if (reserve(buf, len) < 0)
		return -1;
	if (len)
		memcpy(buf->data + buf->len, data, len);
	buf->len += len;
	buf->data[buf->len] = '\0';
	return 0;
}

int sl_buf_puts(struct sl_buf *buf, const char *text)
{
	return sl_buf_add(buf, text, strlen(text));
}

int sl_buf_printf(struct sl_buf *buf, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	int len = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (len < 0 || reserve(buf, (size_t)len) < 0)
		return -1;
	va_start(ap, fmt);
	vsnprintf(buf->data + buf->len, (size_t)len + 1, fmt, ap);
	va_end(ap);
	buf->len += (size_t)len;
	return 0;
}

void sl_buf_drop(struct sl_buf *buf, size_t n)
{
	if (!buf->len)
		return;
	if (n > buf->len)
		n = buf->len;
	memmove(buf->data, buf->data + n, buf->len - n);
	buf->len -= n;
	buf->data[buf->len] = '\0';
}

const char *sl_buf_text(const struct sl_buf *buf)
{
	return buf->data ? buf->data : "";
}

char *sl_buf_steal(struct sl_buf *buf)
{
	if (reserve(buf, 0) < 0)
		return NULL;
	buf->data[buf->len] = '\0';
	char *data = buf->data;
	size_t max = buf->max;
	*buf = (struct sl_buf)SL_BUF_INIT;
	buf->max = max;
	return data;
}
