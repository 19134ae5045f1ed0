/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_IMAGE_LAYOUT_H
#define SL_IMAGE_LAYOUT_H

/*
 * What the members of an image archive mean: docker save's own format (v1
 * directories up to Docker 24, `<hex>.tar` from podman) and the OCI image layout
 * (Docker 25 and later, buildx, skopeo), which may come in one archive.
 *
 * The members arrive in any order and manifest.json or index.json may be last,
 * so for each member the caller
 *   1. asks sl_layout_classify() what to do with it;
 *   2. hands documents to sl_layout_add_document(), and tells of each blob, once
 *      its bytes went by, with sl_layout_add_blob(); of links with
 *      sl_layout_add_link();
 *   3. at the end calls sl_layout_resolve(), which completes the images.
 *
 * Archives are input from outside: documents are bounded, in number and in sum.
 */

#include "image/archive.h"
#include "image/image.h"

/* All documents of one archive together, bytes. */
#define SL_LAYOUT_DOCUMENTS_MAX ((size_t)24 << 20)
#define SL_LAYOUT_MEMBERS_MAX 100000

struct sl_layout;

/* @images[n_images] are what the caller expects, as the engine's inspect told
 * (borrowed, and completed by sl_layout_resolve()); 0 when the archive itself is
 * to say what is in it.  NULL when memory is out. */
struct sl_layout *sl_layout_new(struct sl_image *images, size_t n_images);
void sl_layout_free(struct sl_layout *layout);

enum sl_layout_kind {
	SL_LAYOUT_IGNORE,
	SL_LAYOUT_DOCUMENT, /* read it whole and add it */
	SL_LAYOUT_MAYBE,    /* a document if its first byte is '{' or '[', else a blob */
	SL_LAYOUT_BLOB,
};

/* What @member is.  For a blob whose layer is known already, *diff_id is set, and
 * *digest to what its bytes must hash to; each empty otherwise. */
enum sl_layout_kind sl_layout_classify(struct sl_layout *layout, const struct sl_member *member,
				       struct sl_digest *diff_id, struct sl_digest *digest);

int sl_layout_add_document(struct sl_layout *layout, const char *name, const char *text, size_t len,
			   struct sl_error *err) SL_MUST_CHECK;
int sl_layout_add_link(struct sl_layout *layout, const char *name, const char *target,
		       struct sl_error *err) SL_MUST_CHECK;

/* @digest: what the bytes hash to, or are known to; empty when they were not
 * looked at.  @head: the first bytes, which tell the compression. */
int sl_layout_add_blob(struct sl_layout *layout, const char *name, const struct sl_digest *digest, int64_t size,
		       const void *head, size_t head_len, struct sl_error *err) SL_MUST_CHECK;

/* Complete the expected images from the documents and blobs: config, blobs and
 * sizes of the layers.  When none were expected, make them: *images_out
 * [*n_out], the caller's to release and free; of several platforms the one for
 * @architecture is taken (NULL: this machine's).  Layers whose blob was never
 * hashed keep an empty `blob`.  SL_FAILED with what is missing. */
int sl_layout_resolve(struct sl_layout *layout, const char *architecture, struct sl_image **images_out,
		      size_t *n_out, struct sl_error *err) SL_MUST_CHECK;

/* From now on expect @images (borrowed). */
void sl_layout_expect(struct sl_layout *layout, struct sl_image *images, size_t n_images);

/* After sl_layout_resolve(): remember which member carries which layer, so that
 * classifying the same archive in a second pass knows every blob. */
int sl_layout_learn(struct sl_layout *layout, struct sl_image *images, size_t n_images,
		    struct sl_error *err) SL_MUST_CHECK;

#endif
