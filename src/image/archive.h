/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_IMAGE_ARCHIVE_H
#define SL_IMAGE_ARCHIVE_H

/*
 * Outer tars, by libarchive: reading one member after the other from a pull
 * callback, writing to a push callback.  Nothing is extracted anywhere and
 * member names are only ever compared, so `../` in one is without effect.
 * Layers pass through as bytes and are never re-encoded.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"

/* Where a reader's bytes come from. */
struct sl_source {
	/* Point *data at the next bytes (valid until the next call) and return how
	 * many, 0 at the end, -1 with @err. */
	ssize_t (*read)(void *ctx, const void **data, struct sl_error *err);
	/* Skip up to @n bytes, return how many were (0: cannot); NULL: never. */
	int64_t (*skip)(void *ctx, int64_t n);
	void *ctx;
};

enum sl_member_type { SL_MEMBER_FILE, SL_MEMBER_LINK, SL_MEMBER_OTHER };

struct sl_member {
	enum sl_member_type type;
	const char *name;   /* without a leading "./"; borrowed until the next member */
	const char *target; /* of a link, as written; else NULL */
	int64_t size;       /* bytes */
};

struct sl_tar_reader;

/* Start reading; NULL with @err.  @source is copied.  Compression of the whole
 * tar (gzip, zstd, xz) is undone. */
struct sl_tar_reader *sl_tar_reader_new(const struct sl_source *source, struct sl_error *err);
void sl_tar_reader_free(struct sl_tar_reader *reader);

/* The next member: 1, 0 at the end, -1 with @err ("not a tar archive",
 * "truncated", or what the source said). */
int sl_tar_reader_next(struct sl_tar_reader *reader, struct sl_member *member, struct sl_error *err) SL_MUST_CHECK;

/* The next bytes of the current member, at *data until the next call: their
 * number, 0 at its end, -1 with @err.  A member cut short is an error. */
ssize_t sl_tar_reader_data(struct sl_tar_reader *reader, const void **data, struct sl_error *err) SL_MUST_CHECK;

struct sl_tar_writer;

/* Start writing; @sink takes each run of bytes and returns 0, or -1 to stop. */
struct sl_tar_writer *sl_tar_writer_new(int (*sink)(void *ctx, const void *data, size_t len), void *ctx);
void sl_tar_writer_free(struct sl_tar_writer *writer);

/* Begin a regular file of @size bytes, give it its bytes, end it (its padding),
 * end the archive.  0, or -1 once the sink refused. */
int sl_tar_writer_begin(struct sl_tar_writer *writer, const char *name, int64_t size) SL_MUST_CHECK;
int sl_tar_writer_data(struct sl_tar_writer *writer, const void *data, size_t len) SL_MUST_CHECK;
int sl_tar_writer_end_member(struct sl_tar_writer *writer) SL_MUST_CHECK;
int sl_tar_writer_end(struct sl_tar_writer *writer) SL_MUST_CHECK;

#endif
