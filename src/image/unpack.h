/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_IMAGE_UNPACK_H
#define SL_IMAGE_UNPACK_H

/*
 * The tar of a layer that comes packed (gzip, zstd: whatever libarchive knows), as
 * it arrives, checked against its diff ID.
 */

#include "image/archive.h"
#include "image/digest.h"

struct sl_unpack;

/* Unpack @packed (copied), which must give the layer @diff_id; NULL with @err. */
struct sl_unpack *sl_unpack_new(const struct sl_source *packed, const struct sl_digest *diff_id, struct sl_error *err) SL_MUST_CHECK;
void sl_unpack_free(struct sl_unpack *unpack); /* NULL is fine */

/* Its bytes: a source's `read`, with the unpack as its context.  The end comes only
 * when all of @packed was read and the digest matched. */
ssize_t sl_unpack_read(void *unpack, const void **data, struct sl_error *err) SL_MUST_CHECK;

#endif
