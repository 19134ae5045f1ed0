/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_IMAGE_LAYOUT_PARTS_H
#define SL_IMAGE_LAYOUT_PARTS_H

/*
 * What a layout is made of; for layout.c, which collects the members, and
 * layout_resolve.c, which finds the images in them.
 */

#include "image/layout.h"

struct sl_layout_document {
	char *name;
	char *text;
	size_t len;
	struct sl_digest digest;
};

struct sl_layout_blob {
	char *name;
	struct sl_digest digest; /* empty: never hashed */
	int64_t size;
	const char *media_type;
	struct sl_digest diff_id; /* learned: the layer that it carries */
};

struct sl_layout_link {
	char *name;
	char *target; /* resolved against the link's directory */
};

struct sl_layout {
	struct sl_image *images; /* borrowed */
	size_t n_images;
	struct sl_layout_document *documents;
	size_t n_documents, documents_len;
	struct sl_layout_blob *blobs;
	size_t n_blobs;
	struct sl_layout_link *links;
	size_t n_links;
};

/* Each borrowed from @layout; NULL when there is none.  Looking for a blob by
 * name follows links. */
const struct sl_layout_document *sl_layout_find_document(const struct sl_layout *layout, const char *name);
const struct sl_layout_document *sl_layout_find_document_digest(const struct sl_layout *layout, const struct sl_digest *digest);
struct sl_layout_blob *sl_layout_find_blob(const struct sl_layout *layout, const char *name);
struct sl_layout_blob *sl_layout_find_blob_digest(const struct sl_layout *layout, const struct sl_digest *digest);

#endif
