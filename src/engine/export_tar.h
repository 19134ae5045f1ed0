/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_ENGINE_EXPORT_TAR_H
#define SL_ENGINE_EXPORT_TAR_H

/*
 * What the exporters that read an image archive have in common: members in,
 * blobs out, documents kept.  Embed a `struct sl_export_tar` as the first member
 * and give it a source.
 */

#include "base/sha256.h"
#include "engine/exporter.h"
#include "image/archive.h"
#include "image/layout.h"

struct sl_export_tar {
	struct sl_exporter exporter; /* first */
	struct sl_layout *layout;    /* owned */
	struct sl_tar_reader *reader;/* owned */
	const char *architecture;    /* borrowed; NULL: this machine's */
	/* the blob at hand */
	bool open;
	char *name;
	struct sl_digest digest;     /* that its bytes must have; empty: any */
	int64_t size, seen;
	const void *pending;         /* read while looking, not yet handed out */
	size_t pending_len;
	unsigned char head[8];
	size_t head_len;
	struct sl_sha256 *hash;
};

/* Prepare @tar for @images (may be 0).  Set exporter.ops afterwards. */
int sl_export_tar_init(struct sl_export_tar *tar, struct sl_image *images, size_t n, struct sl_error *err) SL_MUST_CHECK;
void sl_export_tar_release(struct sl_export_tar *tar);

/* Release the images that a scan has found, when nobody is to have them. */
void sl_export_tar_drop_images(struct sl_export_tar *tar);

/* Begin reading from @source. */
int sl_export_tar_start(struct sl_export_tar *tar, const struct sl_source *source, struct sl_error *err) SL_MUST_CHECK;

/* The ops. */
int sl_export_tar_next(struct sl_exporter *exporter, struct sl_blob *blob, struct sl_error *err);
ssize_t sl_export_tar_data(struct sl_exporter *exporter, const void **data, struct sl_error *err);
int sl_export_tar_finish(struct sl_exporter *exporter, struct sl_error *err);

/* Look through the whole source without handing out blobs and resolve the
 * images, so that a second pass (sl_export_tar_start() anew) knows every blob. */
int sl_export_tar_scan(struct sl_export_tar *tar, struct sl_error *err) SL_MUST_CHECK;

#endif
