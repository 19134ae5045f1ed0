/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_BASE_GZIP_H
#define SL_BASE_GZIP_H

/* Small things gzipped whole, by zlib. */

#include "base/buf.h"

/* Append @len bytes at @data, gzipped, to @out. */
int sl_gzip(const void *data, size_t len, struct sl_buf *out, struct sl_error *err) SL_MUST_CHECK;

#endif
