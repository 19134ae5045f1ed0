/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster/node_archive.h"

#include <stdio.h>

#include "base/cleanup.h"
#include "base/gzip.h"

/* A layer's bytes may wait for the node's disk; milliseconds. */
#define WRITE_SILENCE 120000
/* After the last byte: this many milliseconds, and a second for each 2 MB. */
#define UNPACK_LIMIT 60000

int sl_node_archive_raw(struct sl_node_archive *archive, const void *data, size_t len, struct sl_error *err)
{
	return sl_session_write(archive->session, data, len, WRITE_SILENCE, archive->importer, err);
}

static int from_writer(void *ctx, const void *data, size_t len)
{
	struct sl_node_archive *archive = ctx;
	if (archive->capturing)
		return sl_buf_add(&archive->capture, data, len);
	return sl_node_archive_raw(archive, data, len, archive->write_error);
}

void sl_node_archive_release(struct sl_node_archive *archive)
{
	sl_tar_writer_free(archive->writer);
	archive->writer = NULL;
	sl_buf_release(&archive->capture);
}

int sl_node_archive_begin(struct sl_node_archive *archive, struct sl_error *err)
{
	sl_tar_writer_free(archive->writer);
	archive->writer = sl_tar_writer_new(from_writer, archive);
	sl_buf_clear(&archive->capture);
	return archive->writer ? 0 : sl_error_nomem(err);
}

/* Announce a frame of what was captured and @more bytes, and send the former. */
static int send_frame(struct sl_node_archive *archive, int64_t more, struct sl_error *err)
{
	char line[32];
	int len = snprintf(line, sizeof(line), "%lld\n", (long long)archive->capture.len + (long long)more);
	if (sl_node_archive_raw(archive, line, (size_t)len, err) < 0 ||
	    (archive->capture.len && sl_node_archive_raw(archive, archive->capture.data, archive->capture.len, err) < 0))
		return -1;
	sl_buf_clear(&archive->capture);
	return 0;
}

/* Send what was captured as the last frame, gzipped: headers and padding of small
 * members are most of it. */
static int send_last_frame(struct sl_node_archive *archive, struct sl_error *err)
{
	sl_autobuf struct sl_buf packed = SL_BUF_INIT;
	char line[32];
	if (sl_gzip(archive->capture.data, archive->capture.len, &packed, err) < 0)
		return -1;
	sl_buf_clear(&archive->capture);
	int len = snprintf(line, sizeof(line), "z%zu\n", packed.len);
	return sl_node_archive_raw(archive, line, (size_t)len, err) < 0 || sl_node_archive_raw(archive, packed.data, packed.len, err) < 0 ||
	       sl_node_archive_raw(archive, "0\n", 2, err) < 0 ? -1 : 0;
}

int sl_node_archive_layer(struct sl_node_archive *archive, const char *name, int64_t size, struct sl_error *err)
{
	archive->size = size;
	archive->seen = 0;
	archive->capturing = true;
	int rc = sl_tar_writer_begin(archive->writer, name, size);
	archive->capturing = false;
	if (rc < 0)
		return sl_error_nomem(err);
	int64_t padding = (512 - size % 512) % 512;
	archive->layer_bytes += (uint64_t)size;
	return send_frame(archive, size + padding, err);
}

int sl_node_archive_data(struct sl_node_archive *archive, const void *data, size_t len, struct sl_error *err)
{
	struct sl_error why = { SL_FAILED, 0, "the layer is longer than announced" };
	archive->write_error = &why;
	int rc = sl_tar_writer_data(archive->writer, data, len);
	archive->seen += (int64_t)len;
	if (rc == 0 && archive->seen == archive->size)
		rc = sl_tar_writer_end_member(archive->writer);
	archive->write_error = NULL;
	if (rc < 0 && err)
		*err = why;
	return rc;
}

int sl_node_archive_put(struct sl_node_archive *archive, const char *name, const void *data, size_t len)
{
	archive->capturing = true;
	int rc = sl_tar_writer_begin(archive->writer, name, (int64_t)len) < 0 ||
		 sl_tar_writer_data(archive->writer, data, len) < 0 || sl_tar_writer_end_member(archive->writer) < 0 ? -1 : 0;
	archive->capturing = false;
	return rc;
}

static int put_blob(struct sl_node_archive *archive, const struct sl_digest *digest, const void *data, size_t len)
{
	char name[128];
	snprintf(name, sizeof(name), "blobs/sha256/%s", sl_digest_hex(digest));
	return sl_node_archive_put(archive, name, data, len);
}

int sl_node_archive_put_layout(struct sl_node_archive *archive, const char *prefix, const struct sl_image *const *images,
			       const char *const *names, size_t n, bool blobs, struct sl_error *err)
{
	char index_name[64], layout_name[64];
	static const char oci_layout[] = "{\"imageLayoutVersion\":\"1.0.0\"}";
	sl_autobuf struct sl_buf index = SL_BUF_INIT;
	if (sl_image_put_index(&index, images, names, n, err) < 0)
		return -1;
	int bad = 0;
	for (size_t i = 0; i < n; i++)
		if (blobs && images[i]->manifest_text)
			bad |= put_blob(archive, &images[i]->config, images[i]->config_text, images[i]->config_len) |
			       put_blob(archive, &images[i]->manifest, images[i]->manifest_text, images[i]->manifest_len);
	snprintf(index_name, sizeof(index_name), "%sindex.json", prefix);
	snprintf(layout_name, sizeof(layout_name), "%soci-layout", prefix);
	bad |= sl_node_archive_put(archive, index_name, index.data, index.len) |
	       sl_node_archive_put(archive, layout_name, oci_layout, sizeof(oci_layout) - 1);
	return bad ? sl_error_nomem(err) : 0;
}

int sl_node_archive_end(struct sl_node_archive *archive, struct sl_error *err)
{
	archive->capturing = true;
	int rc = sl_tar_writer_end(archive->writer);
	archive->capturing = false;
	return rc < 0 ? sl_error_nomem(err) : send_last_frame(archive, err);
}

int64_t sl_node_archive_limit(const struct sl_node_archive *archive)
{
	return UNPACK_LIMIT + (int64_t)(archive->layer_bytes / 2000);
}
