/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster/containerd.h"

#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/gzip.h"

/*
 * Layers go in as an OCI image layout that lacks what the node has; containerd
 * accepts it when the missing layers' snapshots exist.  It travels in frames
 * (containerd.sh).
 */

/* A layer's bytes may wait for the node's disk; milliseconds. */
#define WRITE_SILENCE 120000

static int to_session(struct sl_containerd *self, const void *data, size_t len, struct sl_error *err)
{
	if (sl_remote_write(self->session.remote, data, len, WRITE_SILENCE, err) < 0) {
		/* it stopped reading: what it said tells why */
		struct sl_error ignored = SL_ERROR_INIT;
		if (err && err->status != SL_INTERRUPTED &&
		    sl_session_receive(&self->session, 2000, &ignored) > 0)
			sl_session_failed(&self->session, "ctr images import", 1, err);
		return -1;
	}
	self->target.sent = self->session.remote->sent;
	return 0;
}

static int from_writer(void *ctx, const void *data, size_t len)
{
	struct sl_containerd *self = ctx;
	if (self->capturing)
		return sl_buf_add(&self->capture, data, len);
	return to_session(self, data, len, self->write_error);
}

int sl_containerd_new_archive(struct sl_containerd *self, struct sl_error *err)
{
	sl_tar_writer_free(self->writer);
	self->writer = sl_tar_writer_new(from_writer, self);
	sl_buf_clear(&self->capture);
	return self->writer ? 0 : sl_error_nomem(err);
}

/* Announce a frame of what was captured and @more bytes, and send the former. */
static int send_frame(struct sl_containerd *self, int64_t more, struct sl_error *err)
{
	char line[32];
	int len = snprintf(line, sizeof(line), "%lld\n", (long long)self->capture.len + (long long)more);
	if (to_session(self, line, (size_t)len, err) < 0 ||
	    (self->capture.len && to_session(self, self->capture.data, self->capture.len, err) < 0))
		return -1;
	sl_buf_clear(&self->capture);
	return 0;
}

/* Send what was captured as the last frame, gzipped: headers and padding of small
 * members are most of it. */
static int send_last_frame(struct sl_containerd *self, struct sl_error *err)
{
	sl_autobuf struct sl_buf packed = SL_BUF_INIT;
	char line[32];
	if (sl_gzip(self->capture.data, self->capture.len, &packed, err) < 0)
		return -1;
	sl_buf_clear(&self->capture);
	int len = snprintf(line, sizeof(line), "z%zu\n", packed.len);
	return to_session(self, line, (size_t)len, err) < 0 || to_session(self, packed.data, packed.len, err) < 0 ||
	       to_session(self, "0\n", 2, err) < 0 ? -1 : 0;
}

static int begin_staging(struct sl_containerd *self, struct sl_error *err)
{
	const char *words[] = { "stage", self->target.snapshotter };
	if (sl_containerd_new_archive(self, err) < 0)
		return -1;
	self->staging = true;
	return sl_session_send(&self->session, words, 2, err);
}

/* Staging names of a sidelift that was killed together with its node's script. */
static int sweep_stale(struct sl_containerd *self, struct sl_error *err)
{
	sl_autostrv struct sl_strv stale = SL_STRV_INIT;
	char *save = NULL, *at = NULL, *answer = sl_session_section(&self->session, &at);
	for (char *line = answer ? strtok_r(answer, "\n", &save) : NULL; line; line = strtok_r(NULL, "\n", &save))
		if (!strncmp(line, SL_CONTAINERD_STAGING, sizeof(SL_CONTAINERD_STAGING) - 1) && sl_strv_add(&stale, line) < 0)
			return sl_error_nomem(err);
	for (size_t i = 0; i < stale.n; i++)
		if (sl_session_call(&self->session, SL_CONTAINERD_ANSWER, err, "sweep", stale.items[i], NULL) < 0)
			return -1;
	return 0;
}

/* Have the script remember which of the CRI plugin's own records are there, so
 * that it leaves them alone should it have to clean up; and start the importer,
 * which takes a moment that the export takes as well. */
int sl_containerd_prepare(struct sl_target *target, struct sl_error *err)
{
	struct sl_containerd *self = sl_containerd_of(target);
	int code = sl_session_call(&self->session, SL_CONTAINERD_ANSWER, err, "keep", NULL);
	if (code)
		return code < 0 ? -1 : sl_session_failed(&self->session, "listing its images", code, err);
	return sweep_stale(self, err) < 0 ? -1 : begin_staging(self, err);
}

int sl_containerd_layer(struct sl_target *target, const struct sl_digest *diff_id, int64_t size,
			    struct sl_error *err)
{
	struct sl_containerd *self = sl_containerd_of(target);
	char name[128];
	/* the importer goes by the bytes' own digest; the name is for readers */
	if (sl_digest_known(diff_id))
		snprintf(name, sizeof(name), "blobs/sha256/%s", sl_digest_hex(diff_id));
	else
		snprintf(name, sizeof(name), "blobs/member-%zu", self->n_members);
	self->n_members++;
	self->size = size;
	self->seen = 0;
	self->capturing = true;
	int rc = sl_tar_writer_begin(self->writer, name, size);
	self->capturing = false;
	if (rc < 0)
		return sl_error_nomem(err);
	int64_t padding = (512 - size % 512) % 512;
	self->layer_bytes += (uint64_t)size;
	return send_frame(self, size + padding, err);
}

int sl_containerd_data(struct sl_target *target, const void *data, size_t len, struct sl_error *err)
{
	struct sl_containerd *self = sl_containerd_of(target);
	struct sl_error why = { SL_FAILED, 0, "the layer is longer than announced" };
	self->write_error = &why;
	int rc = sl_tar_writer_data(self->writer, data, len);
	self->seen += (int64_t)len;
	if (rc == 0 && self->seen == self->size)
		rc = sl_tar_writer_end_member(self->writer);
	self->write_error = NULL;
	if (rc < 0 && err)
		*err = why;
	return rc;
}

static int put_member(struct sl_containerd *self, const char *name, const void *data, size_t len)
{
	return sl_tar_writer_begin(self->writer, name, (int64_t)len) < 0 || sl_tar_writer_data(self->writer, data, len) < 0 ||
	       sl_tar_writer_end_member(self->writer) < 0 ? -1 : 0;
}

static int put_blob(struct sl_containerd *self, const struct sl_digest *digest, const void *data, size_t len)
{
	char name[128];
	snprintf(name, sizeof(name), "blobs/sha256/%s", sl_digest_hex(digest));
	return put_member(self, name, data, len);
}

/* The end of an archive: configs and manifests (@blobs: unless the node has them),
 * and the index that gives them @names. */
int sl_containerd_send_documents(struct sl_containerd *self, const struct sl_image *const *images, const char *const *names,
			  size_t n, bool blobs, struct sl_error *err)
{
	static const char oci_layout[] = "{\"imageLayoutVersion\":\"1.0.0\"}";
	sl_autobuf struct sl_buf index = SL_BUF_INIT;
	if (sl_image_put_index(&index, images, names, n, err) < 0)
		return -1;
	int rc = 0;
	self->capturing = true;
	for (size_t i = 0; i < n && rc == 0; i++) {
		if (blobs && images[i]->manifest_text)
			rc = put_blob(self, &images[i]->config, images[i]->config_text, images[i]->config_len) |
			     put_blob(self, &images[i]->manifest, images[i]->manifest_text, images[i]->manifest_len);
	}
	rc = rc || put_member(self, "index.json", index.data, index.len) ||
	     put_member(self, "oci-layout", oci_layout, sizeof(oci_layout) - 1) || sl_tar_writer_end(self->writer);
	self->capturing = false;
	if (rc)
		return sl_error_nomem(err);
	return send_last_frame(self, err);
}
