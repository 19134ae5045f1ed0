/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_CLUSTER_NODE_ARCHIVE_H
#define SL_CLUSTER_NODE_ARCHIVE_H

/*
 * A tar on its way into a runtime's importer, made as it goes: layers as they
 * come, then the documents that say what they are.  It travels in frames
 * (node.sh) through the session's process.
 *
 *	1. sl_node_archive_begin(), after the command that reads frames was sent;
 *	2. sl_node_archive_layer() and _data() for each layer;
 *	3. sl_node_archive_put() for each document, and sl_node_archive_end();
 *	   the command's answer is the caller's to receive.
 */

#include "cluster/session.h"
#include "image/archive.h"
#include "image/image.h"

struct sl_node_archive {
	struct sl_session *session; /* borrowed */
	const char *importer;       /* what complaints come from: "ctr images import"; static */
	struct sl_tar_writer *writer;
	struct sl_buf capture;      /* the writer's bytes while `capturing` */
	bool capturing;
	int64_t size, seen;         /* of the layer at hand, bytes */
	uint64_t layer_bytes;       /* of all layers so far */
	struct sl_error *write_error;
};

void sl_node_archive_release(struct sl_node_archive *archive);

int sl_node_archive_begin(struct sl_node_archive *archive, struct sl_error *err) SL_MUST_CHECK;

/* Begin a layer as member @name of @size bytes; then give it exactly these. */
int sl_node_archive_layer(struct sl_node_archive *archive, const char *name, int64_t size, struct sl_error *err) SL_MUST_CHECK;
int sl_node_archive_data(struct sl_node_archive *archive, const void *data, size_t len, struct sl_error *err) SL_MUST_CHECK;

/* A small member, kept until the end; 0, or -1 when memory is out. */
int sl_node_archive_put(struct sl_node_archive *archive, const char *name, const void *data, size_t len) SL_MUST_CHECK;

/* What makes it an OCI image layout: configs and manifests of @images (@blobs:
 * unless the node has them), and the index that gives them @names.  The layout lies
 * at @prefix ("", "0/"), the blobs do not. */
int sl_node_archive_put_layout(struct sl_node_archive *archive, const char *prefix, const struct sl_image *const *images,
			       const char *const *names, size_t n, bool blobs, struct sl_error *err) SL_MUST_CHECK;

/* The end of the archive and of the frames. */
int sl_node_archive_end(struct sl_node_archive *archive, struct sl_error *err) SL_MUST_CHECK;

/* Bytes of the caller's own between two members. */
int sl_node_archive_raw(struct sl_node_archive *archive, const void *data, size_t len, struct sl_error *err) SL_MUST_CHECK;

/* How long the node may unpack after the last byte; milliseconds. */
int64_t sl_node_archive_limit(const struct sl_node_archive *archive);

#endif
