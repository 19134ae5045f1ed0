/* SPDX-License-Identifier: Apache-2.0 */
#include "image/unpack.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/sha256.h"

struct sl_unpack {
	struct sl_source packed;
	struct sl_error packed_error;
	bool packed_failed, packed_ended;
	struct archive *archive;
	struct sl_digest diff_id;
	struct sl_sha256 *hash;
	bool begun, ended;
};

static la_ssize_t pull(struct archive *archive, void *ctx, const void **data)
{
	struct sl_unpack *self = ctx;
	ssize_t n = self->packed.read(self->packed.ctx, data, &self->packed_error);
	if (n < 0) {
		self->packed_failed = true;
		archive_set_error(archive, EIO, "source");
		return ARCHIVE_FATAL;
	}
	self->packed_ended = n == 0;
	return n;
}

struct sl_unpack *sl_unpack_new(const struct sl_source *packed, const struct sl_digest *diff_id, struct sl_error *err)
{
	struct sl_unpack *self = calloc(1, sizeof(*self));
	if (self) {
		self->packed = *packed;
		self->diff_id = *diff_id;
		self->hash = sl_sha256_new();
		self->archive = archive_read_new();
	}
	if (!self || !self->hash || !self->archive || archive_read_support_filter_all(self->archive) < ARCHIVE_WARN ||
	    archive_read_support_format_raw(self->archive) != ARCHIVE_OK ||
	    archive_read_support_format_empty(self->archive) != ARCHIVE_OK) {
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
	archive_read_free(self->archive);
	sl_sha256_free(self->hash);
	free(self);
}

static int failed(const struct sl_unpack *self, struct sl_error *err)
{
	if (self->packed_failed) {
		if (err)
			*err = self->packed_error;
		return -1;
	}
	const char *why = archive_error_string(self->archive);
	return sl_error_set(err, SL_FAILED, "layer %s cannot be unpacked (%s)", self->diff_id.text, why ? why : "no more is known");
}

static int begin(struct sl_unpack *self, struct sl_error *err)
{
	struct archive_entry *entry;
	self->begun = true;
	/* without a byte there is no entry */
	int rc = archive_read_open(self->archive, self, NULL, pull, NULL);
	if (rc == ARCHIVE_OK)
		rc = archive_read_next_header(self->archive, &entry);
	self->ended = rc == ARCHIVE_EOF;
	return rc < ARCHIVE_WARN ? failed(self, err) : 0;
}

/* What follows the packed bytes belongs to the blob's digest. */
static int end(struct sl_unpack *self, struct sl_error *err)
{
	char hex[SL_SHA256_HEX + 1];
	const void *rest;
	while (!self->packed_ended && !self->packed_failed)
		(void)!pull(self->archive, self, &rest);
	if (self->packed_failed)
		return failed(self, err);
	sl_sha256_final(self->hash, hex);
	if (strcmp(hex, sl_digest_hex(&self->diff_id)) != 0)
		return sl_error_set(err, SL_FAILED, "layer %s does not match its digest: unpacked it is sha256:%s", self->diff_id.text, hex);
	return 0;
}

ssize_t sl_unpack_read(void *ctx, const void **data, struct sl_error *err)
{
	struct sl_unpack *self = ctx;
	size_t len = 0;
	la_int64_t offset;
	if (!self->begun && begin(self, err) < 0)
		return -1;
	while (!self->ended && !len) {
		int rc = archive_read_data_block(self->archive, data, &len, &offset);
		self->ended = rc == ARCHIVE_EOF;
		if (rc < ARCHIVE_WARN)
			return failed(self, err);
	}
	if (len) {
		sl_sha256_update(self->hash, *data, len);
		return (ssize_t)len;
	}
	return end(self, err);
}
