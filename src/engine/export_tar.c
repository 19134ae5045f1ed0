/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/export_tar.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/log.h"

int sl_export_tar_init(struct sl_export_tar *tar, struct sl_image *images, size_t n, struct sl_error *err)
{
	tar->exporter.images = images;
	tar->exporter.n_images = n;
	tar->layout = sl_layout_new(images, n);
	tar->hash = sl_sha256_new();
	return tar->layout && tar->hash ? 0 : sl_error_nomem(err);
}

void sl_export_tar_release(struct sl_export_tar *tar)
{
	sl_tar_reader_free(tar->reader);
	sl_layout_free(tar->layout);
	sl_sha256_free(tar->hash);
	free(tar->name);
}

void sl_export_tar_drop_images(struct sl_export_tar *tar)
{
	for (size_t i = 0; i < tar->exporter.n_images; i++)
		sl_image_release(&tar->exporter.images[i]);
	free(tar->exporter.images);
	tar->exporter.images = NULL;
	tar->exporter.n_images = 0;
}

int sl_export_tar_start(struct sl_export_tar *tar, const struct sl_source *source, struct sl_error *err)
{
	sl_tar_reader_free(tar->reader);
	tar->open = false;
	tar->reader = sl_tar_reader_new(source, err);
	return tar->reader ? 0 : -1;
}

/* Read the member whole, @first_len bytes of which are at @first already. */
static int read_document(struct sl_export_tar *tar, const char *name, const void *first, size_t first_len,
			 struct sl_error *err)
{
	sl_autobuf struct sl_buf text = SL_BUF_INIT;
	text.max = SL_DOCUMENT_MAX;
	sl_buf_add(&text, first, first_len);
	const void *data;
	ssize_t n;
	while ((n = sl_tar_reader_data(tar->reader, &data, err)) > 0)
		sl_buf_add(&text, data, (size_t)n);
	if (n < 0)
		return -1;
	if (text.failed)
		return sl_error_set(err, SL_FAILED, "the archive's '%s' is too large", name);
	return sl_layout_add_document(tar->layout, name, sl_buf_text(&text), text.len, err);
}

static int begin_blob(struct sl_export_tar *tar, const char *name, const struct sl_digest *digest, int64_t size,
		      const void *first, size_t first_len, struct sl_error *err)
{
	free(tar->name);
	tar->name = strdup(name);
	if (!tar->name)
		return sl_error_nomem(err);
	tar->digest = *digest;
	tar->size = size;
	tar->seen = 0;
	tar->pending = first;
	tar->pending_len = first_len;
	tar->head_len = first_len < sizeof(tar->head) ? first_len : sizeof(tar->head);
	if (first_len)
		memcpy(tar->head, first, tar->head_len);
	tar->open = true;
	return 0;
}

ssize_t sl_export_tar_data(struct sl_exporter *exporter, const void **data, struct sl_error *err)
{
	struct sl_export_tar *tar = (struct sl_export_tar *)exporter;
	if (!tar->open)
		return 0;
	ssize_t n = (ssize_t)tar->pending_len;
	if (n) {
		*data = tar->pending;
		tar->pending_len = 0;
	} else {
		n = sl_tar_reader_data(tar->reader, data, err);
	}
	if (n < 0)
		return -1;
	if (n > 0) {
		tar->seen += n;
		sl_sha256_update(tar->hash, *data, (size_t)n);
		return n;
	}
	char hex[SL_SHA256_HEX + 1];
	struct sl_digest actual;
	sl_sha256_final(tar->hash, hex);
	sl_digest_from_hex(hex, &actual);
	tar->open = false;
	if (sl_digest_known(&tar->digest) && !sl_digest_equal(&tar->digest, &actual))
		return sl_error_set(err, SL_FAILED, "layer %s does not match its digest (its bytes are %s); "
				    "the image is damaged at its source, build it again", tar->digest.text, actual.text);
	return sl_layout_add_blob(tar->layout, tar->name, &actual, tar->size, tar->head, tar->head_len, err);
}

/* Leave the blob at hand: what nobody has read is skipped if its digest is known
 * without, and hashed otherwise, for the manifest must name it. */
static int leave_blob(struct sl_export_tar *tar, struct sl_error *err)
{
	if (!tar->open)
		return 0;
	if (sl_digest_known(&tar->digest) && tar->seen == 0) {
		tar->open = false;
		return sl_layout_add_blob(tar->layout, tar->name, &tar->digest, tar->size, tar->head, tar->head_len, err);
	}
	const void *data;
	ssize_t n;
	while ((n = sl_export_tar_data(&tar->exporter, &data, err)) > 0)
		;
	return (int)n;
}

/* Look at one member: 1 when it is a blob (*blob), 0 when it was something else. */
static int take_member(struct sl_export_tar *tar, const struct sl_member *member, struct sl_blob *blob,
		       struct sl_error *err)
{
	struct sl_digest diff_id, digest;
	enum sl_layout_kind kind = sl_layout_classify(tar->layout, member, &diff_id, &digest);
	if (member->type == SL_MEMBER_LINK)
		return sl_layout_add_link(tar->layout, member->name, member->target, err);
	if (kind == SL_LAYOUT_IGNORE)
		return 0;
	/* the name dies with the next read */
	sl_autofree char *name = strdup(member->name);
	if (!name)
		return sl_error_nomem(err);
	if (kind == SL_LAYOUT_DOCUMENT)
		return read_document(tar, name, "", 0, err);
	int64_t size = member->size;
	const void *first = NULL;
	ssize_t n = sl_tar_reader_data(tar->reader, &first, err);
	if (n < 0)
		return -1;
	if (kind == SL_LAYOUT_MAYBE && (n == 0 || *(const char *)first == '{' || *(const char *)first == '['))
		return read_document(tar, name, first, (size_t)n, err);
	if (begin_blob(tar, name, &digest, size, first, (size_t)n, err) < 0)
		return -1;
	blob->diff_id = diff_id;
	blob->digest = digest;
	blob->size = size;
	blob->packed = !sl_digest_known(&diff_id) || !sl_digest_equal(&diff_id, &digest);
	return 1;
}

int sl_export_tar_next(struct sl_exporter *exporter, struct sl_blob *blob, struct sl_error *err)
{
	struct sl_export_tar *tar = (struct sl_export_tar *)exporter;
	for (;;) {
		struct sl_member member;
		if (leave_blob(tar, err) < 0)
			return -1;
		int rc = sl_tar_reader_next(tar->reader, &member, err);
		if (rc <= 0)
			return rc;
		rc = take_member(tar, &member, blob, err);
		if (rc)
			return rc;
	}
}

int sl_export_tar_finish(struct sl_exporter *exporter, struct sl_error *err)
{
	struct sl_export_tar *tar = (struct sl_export_tar *)exporter;
	if (exporter->images)
		return sl_layout_resolve(tar->layout, tar->architecture, NULL, NULL, err);
	return sl_layout_resolve(tar->layout, tar->architecture, &exporter->images, &exporter->n_images, err);
}

int sl_export_tar_scan(struct sl_export_tar *tar, struct sl_error *err)
{
	struct sl_blob blob;
	int rc;
	for (;;) {
		if (tar->open) { /* remember it unhashed: the second pass is there for that */
			tar->open = false;
			if (sl_layout_add_blob(tar->layout, tar->name, &tar->digest, tar->size, tar->head, tar->head_len, err) < 0)
				return -1;
		}
		rc = sl_export_tar_next(&tar->exporter, &blob, err);
		if (rc <= 0)
			break;
	}
	if (rc < 0 || sl_export_tar_finish(&tar->exporter, err) < 0)
		return -1;
	sl_layout_expect(tar->layout, tar->exporter.images, tar->exporter.n_images);
	return sl_layout_learn(tar->layout, tar->exporter.images, tar->exporter.n_images, err);
}
