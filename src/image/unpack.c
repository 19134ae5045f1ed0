/* SPDX-License-Identifier: Apache-2.0 */
#include "image/unpack.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/sha256.h"
#include "image/gunzip.h"

struct sl_unpack {
	struct sl_source packed;
	bool packed_failed, packed_ended;
	struct sl_error error; /* its own, or gunzip's */
	const void *first;     /* its first piece, until that is taken again */
	size_t first_len;
	struct sl_source pieces;  /* the same, from that piece on: */
	struct sl_gunzip *gunzip; /* for gzip */
	struct archive *archive;  /* for all else */
	struct sl_digest diff_id;
	struct sl_sha256 *hash;
	bool ended;
};

static ssize_t next_piece(void *ctx, const void **data, struct sl_error *err)
{
	struct sl_unpack *self = ctx;
	if (self->first_len) {
		size_t len = self->first_len;
		*data = self->first;
		self->first_len = 0;
		return (ssize_t)len;
	}
	ssize_t n = self->packed.read(self->packed.ctx, data, err);
	self->packed_failed = n < 0;
	self->packed_ended = n == 0;
	return n;
}

static la_ssize_t next_piece_for_archive(struct archive *archive, void *ctx, const void **data)
{
	struct sl_unpack *self = ctx;
	ssize_t n = next_piece(self, data, &self->error);
	if (n >= 0)
		return n;
	archive_set_error(archive, EIO, "source");
	return ARCHIVE_FATAL;
}

struct sl_unpack *sl_unpack_new(const struct sl_source *packed, const struct sl_digest *diff_id, struct sl_error *err)
{
	struct sl_unpack *self = calloc(1, sizeof(*self));
	if (self) {
		self->packed = *packed;
		self->pieces = (struct sl_source){ .read = next_piece, .ctx = self };
		self->diff_id = *diff_id;
		self->hash = sl_sha256_new();
	}
	if (!self || !self->hash) {
		sl_unpack_free(self);
		sl_error_nomem(err);
		return NULL;
	}
	return self;
}

void sl_unpack_free(struct sl_unpack *self)
{
	if (!self)
		return;
	sl_gunzip_free(self->gunzip);
	archive_read_free(self->archive);
	sl_sha256_free(self->hash);
	free(self);
}

static int failed(const struct sl_unpack *self, struct sl_error *err)
{
	if (self->packed_failed) {
		if (err)
			*err = self->error;
		return -1;
	}
	const char *why = self->archive ? archive_error_string(self->archive) : self->error.message;
	return sl_error_set(err, SL_FAILED, "layer %s cannot be unpacked (%s)", self->diff_id.text, why ? why : "no more is known");
}

static int begin_archive(struct sl_unpack *self, struct sl_error *err)
{
	struct archive_entry *entry;
	self->archive = archive_read_new();
	if (!self->archive || archive_read_support_filter_all(self->archive) < ARCHIVE_WARN ||
	    archive_read_support_format_raw(self->archive) != ARCHIVE_OK ||
	    archive_read_support_format_empty(self->archive) != ARCHIVE_OK)
		return sl_error_nomem(err);
	/* without a byte there is no entry */
	int rc = archive_read_open(self->archive, self, NULL, next_piece_for_archive, NULL);
	if (rc == ARCHIVE_OK)
		rc = archive_read_next_header(self->archive, &entry);
	self->ended = rc == ARCHIVE_EOF;
	return rc < ARCHIVE_WARN ? failed(self, err) : 0;
}

static int begin(struct sl_unpack *self, struct sl_error *err)
{
	ssize_t n = next_piece(self, &self->first, &self->error);
	if (n < 0)
		return failed(self, err);
	self->first_len = (size_t)n;
	if (!sl_gunzip_knows(self->first, self->first_len))
		return begin_archive(self, err);
	self->gunzip = sl_gunzip_new(&self->pieces);
	return self->gunzip ? 0 : sl_error_nomem(err);
}

/* What follows the packed bytes belongs to the blob's digest. */
static int end(struct sl_unpack *self, struct sl_error *err)
{
	char hex[SL_SHA256_HEX + 1];
	const void *rest;
	while (!self->packed_ended && !self->packed_failed)
		(void)!next_piece(self, &rest, &self->error);
	if (self->packed_failed)
		return failed(self, err);
	sl_sha256_final(self->hash, hex);
	if (strcmp(hex, sl_digest_hex(&self->diff_id)) != 0)
		return sl_error_set(err, SL_FAILED, "layer %s does not match its digest: unpacked it is sha256:%s", self->diff_id.text, hex);
	return 0;
}

/* As sl_unpack_read(), but for errors, which are failed()'s to tell. */
static ssize_t next_bytes(struct sl_unpack *self, const void **data)
{
	size_t len = 0;
	la_int64_t offset;
	if (self->gunzip)
		return sl_gunzip_read(self->gunzip, data, &self->error);
	while (!self->ended && !len) {
		int rc = archive_read_data_block(self->archive, data, &len, &offset);
		self->ended = rc == ARCHIVE_EOF;
		if (rc < ARCHIVE_WARN)
			return -1;
	}
	return (ssize_t)len;
}

ssize_t sl_unpack_read(void *ctx, const void **data, struct sl_error *err)
{
	struct sl_unpack *self = ctx;
	if (!self->gunzip && !self->archive && begin(self, err) < 0)
		return -1;
	ssize_t n = next_bytes(self, data);
	if (n < 0)
		return failed(self, err);
	if (n == 0)
		return end(self, err);
	sl_sha256_update(self->hash, *data, (size_t)n);
	return n;
}
