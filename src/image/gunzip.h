/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_IMAGE_GUNZIP_H
#define SL_IMAGE_GUNZIP_H

/*
 * What a gzip stream holds (RFC 1952), member after member, as it arrives; what stands
 * behind the last member is not looked at, as gunzip does it.  By ISA-L where the build
 * found it, at two and a half times zlib's speed, else by zlib.
 */

#include <stdbool.h>

#include "image/archive.h"

struct sl_gunzip;

/* Whether the @len bytes at @data begin as a gzip stream does; false for too few of
 * them, and for a header with a checksum. */
bool sl_gunzip_knows(const void *data, size_t len);

/* From @packed (borrowed); NULL without memory. */
struct sl_gunzip *sl_gunzip_new(const struct sl_source *packed);
void sl_gunzip_free(struct sl_gunzip *gunzip); /* NULL is fine */

/* The next bytes, which stay until the next call; 0 at the end, -1 with @err: @packed's
 * own, or SL_FAILED for a stream that is damaged or cut off. */
ssize_t sl_gunzip_read(struct sl_gunzip *gunzip, const void **data, struct sl_error *err) SL_MUST_CHECK;

#endif
