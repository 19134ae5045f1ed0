/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes as a source gives them. */
#ifndef SL_TESTS_BYTES_H
#define SL_TESTS_BYTES_H

#include "image/archive.h"

/* In pieces of @piece; after all of them, or after `fail_at`, an error. */
struct bytes {
	const char *data;
	size_t len, at, piece;
	size_t fail_at;
};

static inline ssize_t read_bytes(void *ctx, const void **data, struct sl_error *err)
{
	struct bytes *bytes = ctx;
	if (bytes->fail_at && bytes->at >= bytes->fail_at)
		return sl_error_set(err, SL_CLOSED, "the source broke off");
	size_t n = bytes->len - bytes->at < bytes->piece ? bytes->len - bytes->at : bytes->piece;
	*data = bytes->data + bytes->at;
	bytes->at += n;
	return (ssize_t)n;
}

#endif
