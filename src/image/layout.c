/* SPDX-License-Identifier: Apache-2.0 */
#include "image/layout_parts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "image/v1id.h"

struct sl_layout *sl_layout_new(struct sl_image *images, size_t n_images)
{
	struct sl_layout *layout = calloc(1, sizeof(*layout));
	if (layout) {
		layout->images = images;
		layout->n_images = n_images;
	}
	return layout;
}

void sl_layout_expect(struct sl_layout *layout, struct sl_image *images, size_t n_images)
{
	layout->images = images;
	layout->n_images = n_images;
}

void sl_layout_free(struct sl_layout *layout)
{
	if (!layout)
		return;
	for (size_t i = 0; i < layout->n_documents; i++) {
		free(layout->documents[i].name);
		free(layout->documents[i].text);
	}
	for (size_t i = 0; i < layout->n_blobs; i++)
		free(layout->blobs[i].name);
	for (size_t i = 0; i < layout->n_links; i++) {
		free(layout->links[i].name);
		free(layout->links[i].target);
	}
	free(layout->documents);
	free(layout->blobs);
	free(layout->links);
	free(layout);
}

/* Make room for one more item of @size bytes in *array. */
static void *grow(void **array, size_t *n, size_t size)
{
	if (*n >= SL_LAYOUT_MEMBERS_MAX)
		return NULL;
	/* powers of two */
	if ((*n & (*n - 1)) == 0) {
		void *bigger = realloc(*array, (*n ? *n * 2 : 1) * size);
		if (!bigger)
			return NULL;
		*array = bigger;
	}
	void *item = (char *)*array + *n * size;
	memset(item, 0, size);
	return item;
}

static int too_many(struct sl_error *err)
{
	return sl_error_set(err, SL_FAILED, "the archive has too many members, or memory is out");
}

static bool ends_with(const char *text, const char *end)
{
	size_t n = strlen(text), m = strlen(end);
	return n >= m && !strcmp(text + n - m, end);
}

/* blobs/sha256/<hex>, exactly */
static bool oci_blob(const char *name, struct sl_digest *digest)
{
	static const char dir[] = "blobs/sha256/";
	digest->text[0] = '\0';
	return !strncmp(name, dir, sizeof(dir) - 1) && strlen(name) == sizeof(dir) - 1 + 64 &&
	       sl_digest_from_hex(name + sizeof(dir) - 1, digest);
}

const struct sl_layout_document *sl_layout_find_document(const struct sl_layout *layout, const char *name)
{
	for (size_t i = 0; i < layout->n_documents; i++)
		if (!strcmp(layout->documents[i].name, name))
			return &layout->documents[i];
	return NULL;
}

const struct sl_layout_document *sl_layout_find_document_digest(const struct sl_layout *layout, const struct sl_digest *digest)
{
	for (size_t i = 0; i < layout->n_documents; i++)
		if (sl_digest_equal(&layout->documents[i].digest, digest))
			return &layout->documents[i];
	return NULL;
}

struct sl_layout_blob *sl_layout_find_blob(const struct sl_layout *layout, const char *name)
{
	/* a link may point at a link; more hops than links is a loop */
	for (size_t hops = 0; hops <= layout->n_links; hops++) {
		for (size_t i = 0; i < layout->n_blobs; i++)
			if (!strcmp(layout->blobs[i].name, name))
				return &layout->blobs[i];
		const char *next = NULL;
		for (size_t i = 0; i < layout->n_links && !next; i++)
			if (!strcmp(layout->links[i].name, name))
				next = layout->links[i].target;
		if (!next)
			return NULL;
		name = next;
	}
	return NULL;
}

struct sl_layout_blob *sl_layout_find_blob_digest(const struct sl_layout *layout, const struct sl_digest *digest)
{
	for (size_t i = 0; i < layout->n_blobs; i++)
		if (sl_digest_equal(&layout->blobs[i].digest, digest))
			return &layout->blobs[i];
	return NULL;
}

static bool is_expected_layer(const struct sl_layout *layout, const struct sl_digest *diff_id)
{
	for (size_t i = 0; i < layout->n_images; i++)
		for (size_t j = 0; j < layout->images[i].n_layers; j++)
			if (sl_digest_equal(&layout->images[i].layers[j].diff_id, diff_id))
				return true;
	return false;
}

/* Which layer is <hex>/layer.tar, from <hex>/json. */
static bool v1_layer(const struct sl_layout *layout, const char *name, struct sl_digest *diff_id)
{
	char json_name[64 + sizeof("/json")];
	snprintf(json_name, sizeof(json_name), "%.64s/json", name);
	const struct sl_layout_document *doc = sl_layout_find_document(layout, json_name);
	for (size_t i = 0; doc && i < layout->n_images; i++) {
		int at = sl_v1id_position(&layout->images[i], name, doc->text, doc->len);
		if (at >= 0) {
			*diff_id = layout->images[i].layers[at].diff_id;
			return true;
		}
	}
	return false;
}

enum sl_layout_kind sl_layout_classify(struct sl_layout *layout, const struct sl_member *member,
				       struct sl_digest *diff_id, struct sl_digest *digest)
{
	const char *name = member->name;
	struct sl_digest named;
	*diff_id = *digest = (struct sl_digest)SL_DIGEST_NONE;
	if (member->type != SL_MEMBER_FILE)
		return SL_LAYOUT_IGNORE;
	const struct sl_layout_blob *learned = sl_layout_find_blob(layout, name);
	if (learned && sl_digest_known(&learned->diff_id)) {
		*diff_id = learned->diff_id;
		*digest = learned->digest;
		return SL_LAYOUT_BLOB;
	}
	if (oci_blob(name, &named)) {
		*digest = named;
		if (is_expected_layer(layout, &named)) {
			*diff_id = named;
			return SL_LAYOUT_BLOB;
		}
		return member->size <= (int64_t)SL_DOCUMENT_MAX ? SL_LAYOUT_MAYBE : SL_LAYOUT_BLOB;
	}
	if (!strcmp(name, "manifest.json") || !strcmp(name, "index.json") || !strcmp(name, "oci-layout") ||
	    ends_with(name, "/json") || (ends_with(name, ".json") && !strchr(name, '/')))
		return member->size <= (int64_t)SL_DOCUMENT_MAX ? SL_LAYOUT_DOCUMENT : SL_LAYOUT_IGNORE;
	if (!strcmp(name, "repositories") || ends_with(name, "/VERSION"))
		return SL_LAYOUT_IGNORE;
	if (sl_digest_from_hex(name, &named)) {
		if (!strcmp(name + 64, "/layer.tar") && v1_layer(layout, name, diff_id))
			*digest = *diff_id;
		else if (!strcmp(name + 64, ".tar") && is_expected_layer(layout, &named))
			*diff_id = *digest = named; /* podman */
		else if (!name[64] || !strcmp(name + 64, ".json"))
			return SL_LAYOUT_MAYBE; /* tools that name the config by its bare digest */
	}
	return SL_LAYOUT_BLOB;
}

int sl_layout_add_document(struct sl_layout *layout, const char *name, const char *text, size_t len,
			   struct sl_error *err)
{
	if (len > SL_DOCUMENT_MAX || layout->documents_len + len > SL_LAYOUT_DOCUMENTS_MAX)
		return sl_error_set(err, SL_FAILED, "the archive's documents are larger than the %zu MiB that are read at most",
				    SL_LAYOUT_DOCUMENTS_MAX >> 20);
	struct sl_layout_document *doc = grow((void **)&layout->documents, &layout->n_documents, sizeof(*doc));
	if (!doc)
		return too_many(err);
	doc->name = strdup(name);
	doc->text = malloc(len + 1);
	if (!doc->name || !doc->text) {
		free(doc->name);
		free(doc->text);
		return sl_error_nomem(err);
	}
	memcpy(doc->text, text, len);
	doc->text[len] = '\0';
	doc->len = len;
	sl_digest_of(text, len, &doc->digest);
	layout->n_documents++;
	layout->documents_len += len;
	struct sl_digest named;
	if (oci_blob(name, &named) && !sl_digest_equal(&named, &doc->digest))
		return sl_error_set(err, SL_FAILED, "the archive is damaged: '%s' does not match its digest", name);
	return 0;
}

/* What "../<hex>/layer.tar" means in the directory of @name; only that form and
 * plain neighbours occur. */
static char *resolve_link(const char *name, const char *target)
{
	const char *slash = strrchr(name, '/');
	size_t dir = slash ? (size_t)(slash - name) : 0;
	while (!strncmp(target, "../", 3)) {
		target += 3;
		while (dir && name[dir - 1] != '/')
			dir--;
		if (dir)
			dir--;
	}
	char *resolved = NULL;
	if (asprintf(&resolved, "%.*s%s%s", (int)dir, name, dir ? "/" : "", target) < 0)
		return NULL;
	return resolved;
}

int sl_layout_add_link(struct sl_layout *layout, const char *name, const char *target, struct sl_error *err)
{
	struct sl_layout_link *link = grow((void **)&layout->links, &layout->n_links, sizeof(*link));
	if (!link)
		return too_many(err);
	link->name = strdup(name);
	link->target = resolve_link(name, target);
	if (!link->name || !link->target) {
		free(link->name);
		free(link->target);
		return sl_error_nomem(err);
	}
	layout->n_links++;
	return 0;
}

static const char *sniff(const unsigned char *head, size_t len)
{
	if (len >= 2 && head[0] == 0x1f && head[1] == 0x8b)
		return SL_MEDIA_LAYER_GZIP;
	if (len >= 4 && !memcmp(head, "\x28\xb5\x2f\xfd", 4))
		return SL_MEDIA_LAYER_ZSTD;
	return SL_MEDIA_LAYER;
}

int sl_layout_add_blob(struct sl_layout *layout, const char *name, const struct sl_digest *digest, int64_t size,
		       const void *head, size_t head_len, struct sl_error *err)
{
	struct sl_layout_blob *blob = sl_layout_find_blob(layout, name);
	if (blob && sl_digest_known(&blob->diff_id)) { /* second pass: only the digest may be news */
		if (sl_digest_known(digest))
			blob->digest = *digest;
		return 0;
	}
	blob = grow((void **)&layout->blobs, &layout->n_blobs, sizeof(*blob));
	if (!blob)
		return too_many(err);
	blob->name = strdup(name);
	if (!blob->name)
		return sl_error_nomem(err);
	blob->digest = *digest;
	blob->size = size;
	blob->media_type = sniff(head, head_len);
	layout->n_blobs++;
	return 0;
}
