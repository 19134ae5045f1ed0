/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_BASE_FILE_H
#define SL_BASE_FILE_H

/* Whole files: bounded reading, and replacing that never leaves half a file. */

#include "base/buf.h"

/* Append the content of @path ("-": standard input) to @buf; a file larger than
 * the buffer's maximum is an error.  A missing file gives SL_NOT_FOUND. */
int sl_file_read(const char *path, struct sl_buf *buf, struct sl_error *err) SL_MUST_CHECK;

/* Replace the content of the existing file @path by @len bytes at @data,
 * atomically: a temporary file beside it, synced, with its mode (and owner
 * where permitted), renamed over it.  A symbolic link stays one; its target is
 * replaced.  On failure the old file is untouched and nothing is left behind. */
int sl_file_replace(const char *path, const void *data, size_t len, struct sl_error *err) SL_MUST_CHECK;

/* Write all of @data to @fd; 0, or -1 with errno in @err. */
int sl_write_all(int fd, const void *data, size_t len, struct sl_error *err) SL_MUST_CHECK;

#endif
