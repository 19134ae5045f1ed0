/* SPDX-License-Identifier: Apache-2.0 */
#include "base/gzip.h"

#include <limits.h>
#include <stdint.h>
#include <zlib.h>

#define WINDOW_GZIP (15 + 16) /* zlib.h, deflateInit2: a gzip header */

int sl_gzip(const void *data, size_t len, struct sl_buf *out, struct sl_error *err)
{
	z_stream z = { 0 };
	char chunk[16384];
	if (len > UINT_MAX || deflateInit2(&z, Z_DEFAULT_COMPRESSION, Z_DEFLATED, WINDOW_GZIP, 8, Z_DEFAULT_STRATEGY) != Z_OK)
		return sl_error_nomem(err);
	z.next_in = (Bytef *)(uintptr_t)data;
	z.avail_in = (uInt)len;
	int rc;
	do {
		z.next_out = (Bytef *)chunk;
		z.avail_out = sizeof(chunk);
		rc = deflate(&z, Z_FINISH);
		if (sl_buf_add(out, chunk, sizeof(chunk) - z.avail_out) < 0)
			break;
	} while (rc == Z_OK);
	deflateEnd(&z);
	return rc == Z_STREAM_END && !out->failed ? 0 : sl_error_nomem(err);
}
