/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_IMAGE_TARSPLIT_H
#define SL_IMAGE_TARSPLIT_H

/*
 * A layer's tar put together again from what Docker's graph drivers keep of it:
 * tar-split.json.gz, which holds every byte that is not a file's content, and the
 * directory that the layer was unpacked to (github.com/vbatts/tar-split,
 * tar/storage).  One entry a line:
 *
 *	{"type":2,"payload":"BASE64","position":0}               bytes as they are
 *	{"type":1,"name":"./a/b","size":12,"payload":"CRC64","position":1}   a file's content
 *
 * Whoever reads must check the digest of the result: a file may have changed.
 */

#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"

struct sl_tarsplit;

/* Open the tar-split file @path and the directory @root of the layer's files
 * (NULL: for the size only).  NULL with @err. */
struct sl_tarsplit *sl_tarsplit_open(const char *path, const char *root, struct sl_error *err) SL_MUST_CHECK;
void sl_tarsplit_free(struct sl_tarsplit *split); /* NULL is fine */

/* The next bytes of the tar, at *data until the next call: their number, 0 at
 * the end, -1 with @err. */
ssize_t sl_tarsplit_read(struct sl_tarsplit *split, const void **data, struct sl_error *err) SL_MUST_CHECK;

/* How long the tar at @path is, in bytes; -1 with @err. */
int64_t sl_tarsplit_size(const char *path, struct sl_error *err) SL_MUST_CHECK;

#endif
