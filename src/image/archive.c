/* SPDX-License-Identifier: Apache-2.0 */
#include "image/archive.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct sl_tar_reader {
	struct archive *archive;
	struct sl_source source;
	struct sl_error source_error; /* what the source said, if it failed */
	bool source_failed;
	int64_t left; /* bytes of the current member not yet handed out */
};

static la_ssize_t pull(struct archive *archive, void *ctx, const void **data)
{
	struct sl_tar_reader *reader = ctx;
	ssize_t n = reader->source.read(reader->source.ctx, data, &reader->source_error);
	if (n < 0) {
		reader->source_failed = true;
		archive_set_error(archive, EIO, "source");
		return ARCHIVE_FATAL;
	}
	return n;
}

static la_int64_t skip(struct archive *archive, void *ctx, la_int64_t n)
{
	struct sl_tar_reader *reader = ctx;
	return reader->source.skip ? reader->source.skip(reader->source.ctx, n) : 0;
}

struct sl_tar_reader *sl_tar_reader_new(const struct sl_source *source, struct sl_error *err)
{
	struct sl_tar_reader *reader = calloc(1, sizeof(*reader));
	struct archive *archive = archive_read_new();
	if (!reader || !archive) {
		archive_read_free(archive);
		free(reader);
		sl_error_nomem(err);
		return NULL;
	}
	reader->archive = archive;
	reader->source = *source;
	archive_read_support_filter_gzip(archive);
	archive_read_support_filter_zstd(archive);
	archive_read_support_filter_xz(archive);
	archive_read_support_format_tar(archive);
	archive_read_set_read_callback(archive, pull);
	archive_read_set_skip_callback(archive, skip);
	archive_read_set_callback_data(archive, reader);
	if (archive_read_open1(archive) != ARCHIVE_OK) {
		if (reader->source_failed && err)
			*err = reader->source_error;
		else
			sl_error_set(err, SL_FAILED, "not a tar archive");
		sl_tar_reader_free(reader);
		return NULL;
	}
	return reader;
}

void sl_tar_reader_free(struct sl_tar_reader *reader)
{
	if (!reader)
		return;
	archive_read_free(reader->archive);
	free(reader);
}

static int reader_failed(struct sl_tar_reader *reader, struct sl_error *err)
{
	if (reader->source_failed) {
		if (err)
			*err = reader->source_error;
		return -1;
	}
	const char *why = archive_error_string(reader->archive);
	if (why && (strstr(why, "Truncated") || strstr(why, "truncated")))
		return sl_error_set(err, SL_FAILED, "the archive is truncated");
	if (why && strstr(why, "Unrecognized"))
		return sl_error_set(err, SL_FAILED, "not a tar archive");
	return sl_error_set(err, SL_FAILED, "the archive is damaged (%s)", why ? why : "no reason given");
}

int sl_tar_reader_next(struct sl_tar_reader *reader, struct sl_member *member, struct sl_error *err)
{
	struct archive_entry *entry;
	int rc = archive_read_next_header(reader->archive, &entry);
	if (rc == ARCHIVE_EOF)
		return 0;
	if (rc < ARCHIVE_WARN)
		return reader_failed(reader, err);
	const char *name = archive_entry_pathname(entry);
	const char *hard = archive_entry_hardlink(entry);
	const char *soft = archive_entry_symlink(entry);
	while (name && !strncmp(name, "./", 2))
		name += 2;
	member->name = name ? name : "";
	member->target = hard ? hard : soft;
	member->size = archive_entry_size(entry);
	member->type = member->target ? SL_MEMBER_LINK :
		       archive_entry_filetype(entry) == AE_IFREG ? SL_MEMBER_FILE : SL_MEMBER_OTHER;
	reader->left = member->type == SL_MEMBER_FILE ? member->size : 0;
	return 1;
}

ssize_t sl_tar_reader_data(struct sl_tar_reader *reader, const void **data, struct sl_error *err)
{
	size_t len;
	la_int64_t offset;
	for (;;) {
		int rc = archive_read_data_block(reader->archive, data, &len, &offset);
		if (rc == ARCHIVE_EOF) {
			if (reader->left > 0)
				return sl_error_set(err, SL_FAILED, "the archive is truncated");
			return 0;
		}
		if (rc < ARCHIVE_WARN)
			return reader_failed(reader, err);
		if (len == 0)
			continue;
		if ((int64_t)len > reader->left)
			return sl_error_set(err, SL_FAILED, "the archive is damaged (a member is larger than its header says)");
		reader->left -= (int64_t)len;
		return (ssize_t)len;
	}
}

struct sl_tar_writer {
	struct archive *archive;
	int (*sink)(void *ctx, const void *data, size_t len);
	void *ctx;
	bool closing; /* nothing more for the sink */
};

static la_ssize_t push(struct archive *archive, void *ctx, const void *data, size_t len)
{
	struct sl_tar_writer *writer = ctx;
	if (writer->closing)
		return (la_ssize_t)len;
	return writer->sink(writer->ctx, data, len) < 0 ? -1 : (la_ssize_t)len;
}

struct sl_tar_writer *sl_tar_writer_new(int (*sink)(void *ctx, const void *data, size_t len), void *ctx)
{
	struct sl_tar_writer *writer = calloc(1, sizeof(*writer));
	if (!writer)
		return NULL;
	writer->sink = sink;
	writer->ctx = ctx;
	writer->archive = archive_write_new();
	/* No blocking: each run goes to the sink as it is, without a copy. */
	if (!writer->archive || archive_write_set_format_pax_restricted(writer->archive) != ARCHIVE_OK ||
	    archive_write_set_bytes_per_block(writer->archive, 0) != ARCHIVE_OK ||
	    archive_write_open(writer->archive, writer, NULL, push, NULL) != ARCHIVE_OK) {
		sl_tar_writer_free(writer);
		return NULL;
	}
	return writer;
}

void sl_tar_writer_free(struct sl_tar_writer *writer)
{
	if (!writer)
		return;
	/* archive_write_free finishes the entry and the archive, which whoever did not
	 * call sl_tar_writer_end() does not want; after archive_write_fail it would
	 * forget to free what archive_write_open has allocated */
	writer->closing = true;
	archive_write_free(writer->archive);
	free(writer);
}

int sl_tar_writer_begin(struct sl_tar_writer *writer, const char *name, int64_t size)
{
	struct archive_entry *entry = archive_entry_new();
	if (!entry)
		return -1;
	archive_entry_set_pathname(entry, name);
	archive_entry_set_size(entry, size);
	archive_entry_set_filetype(entry, AE_IFREG);
	archive_entry_set_perm(entry, 0644);
	archive_entry_set_mtime(entry, 0, 0);
	int rc = archive_write_header(writer->archive, entry);
	archive_entry_free(entry);
	return rc < ARCHIVE_WARN ? -1 : 0;
}

int sl_tar_writer_data(struct sl_tar_writer *writer, const void *data, size_t len)
{
	const char *p = data;
	while (len) {
		la_ssize_t n = archive_write_data(writer->archive, p, len);
		if (n <= 0)
			return -1;
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

int sl_tar_writer_end_member(struct sl_tar_writer *writer)
{
	return archive_write_finish_entry(writer->archive) < ARCHIVE_WARN ? -1 : 0;
}

int sl_tar_writer_end(struct sl_tar_writer *writer)
{
	return archive_write_close(writer->archive) < ARCHIVE_WARN ? -1 : 0;
}
