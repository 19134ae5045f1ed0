/* SPDX-License-Identifier: Apache-2.0 */
#include "image/layout_parts.h"

#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

#include "base/cleanup.h"
#include "base/json.h"

/* One image of the archive, found but not yet matched with an expected one. */
struct candidate {
	struct sl_digest top;            /* what index.json points at; empty in manifest.json */
	const struct sl_layout_document *manifest; /* OCI; NULL for an entry of manifest.json */
	const struct sl_layout_document *config;
	const json_t *entry;             /* of manifest.json; else NULL */
	const char *name;                /* borrowed from the JSON; may be NULL */
};

typedef int candidate_fn(struct sl_layout *layout, const struct candidate *candidate, void *ctx, struct sl_error *err);

/* Give every entry of manifest.json to @each, once per name. */
static int each_docker(struct sl_layout *layout, const json_t *entries, candidate_fn *each, void *ctx,
		       struct sl_error *err)
{
	size_t i, j;
	json_t *entry, *tag;
	if (!json_is_array(entries))
		return sl_error_set(err, SL_FAILED, "the archive's manifest.json is not a list");
	json_array_foreach(entries, i, entry) {
		const char *config = sl_json_str(entry, "Config");
		struct candidate c = { .entry = entry, .config = config ? sl_layout_find_document(layout, config) : NULL };
		if (!c.config)
			return sl_error_set(err, SL_FAILED, "the archive does not contain the config '%s' that its manifest.json names",
					    config ? config : "");
		const json_t *tags = json_object_get(entry, "RepoTags");
		if (!json_array_size(tags) && each(layout, &c, ctx, err) < 0)
			return -1;
		json_array_foreach(tags, j, tag) {
			c.name = json_string_value(tag);
			if (each(layout, &c, ctx, err) < 0)
				return -1;
		}
	}
	return 0;
}

static bool wanted_platform(const json_t *descriptor, const char *architecture)
{
	const json_t *platform = json_object_get(descriptor, "platform");
	const char *os = sl_json_str(platform, "os"), *arch = sl_json_str(platform, "architecture");
	if (sl_json_str(json_object_get(descriptor, "annotations"), "vnd.docker.reference.type"))
		return false; /* an attestation */
	return !platform || !os || !arch || (!strcmp(os, "linux") && !strcmp(arch, architecture));
}

struct walk {
	const char *architecture;
	struct sl_digest top;
	const char *name;
	size_t found;
};

#define INDEX_DEPTH_MAX 4

static const char *descriptor_name(const json_t *descriptor)
{
	const json_t *annotations = json_object_get(descriptor, "annotations");
	const char *name = sl_json_str(annotations, "io.containerd.image.name");
	return name ? name : sl_json_str(annotations, "org.opencontainers.image.ref.name");
}

/* Follow an index down to the manifests that are here and of the wanted
 * platform. */
static int each_oci(struct sl_layout *layout, const json_t *index, int depth, struct walk walk, size_t *found,
		    candidate_fn *each, void *ctx, struct sl_error *err)
{
	size_t i;
	json_t *descriptor;
	if (depth > INDEX_DEPTH_MAX)
		return sl_error_set(err, SL_FAILED, "the archive's index is nested more than %d deep", INDEX_DEPTH_MAX);
	json_array_foreach(json_object_get(index, "manifests"), i, descriptor) {
		struct sl_digest digest;
		const struct sl_layout_document *doc;
		if (!sl_digest_parse(sl_json_str(descriptor, "digest"), &digest) ||
		    !wanted_platform(descriptor, walk.architecture) ||
		    !(doc = sl_layout_find_document_digest(layout, &digest)))
			continue; /* an index may name platforms that are not there (kind#3795) */
		sl_autojson json_t *json = sl_json_parse(doc->text, doc->len, doc->name, err);
		if (!json)
			return -1;
		struct walk below = walk;
		if (depth == 0) {
			below.top = digest;
			below.name = descriptor_name(descriptor);
		}
		if (json_object_get(json, "manifests")) {
			if (each_oci(layout, json, depth + 1, below, found, each, ctx, err) < 0)
				return -1;
			continue;
		}
		struct candidate c = { .top = below.top, .manifest = doc, .name = below.name };
		const char *config = sl_json_str(json_object_get(json, "config"), "digest");
		if (!sl_digest_parse(config, &digest) || !(c.config = sl_layout_find_document_digest(layout, &digest)))
			return sl_error_set(err, SL_FAILED, "the archive does not contain the config %s that a manifest names",
					    config ? config : "");
		++*found;
		if (each(layout, &c, ctx, err) < 0)
			return -1;
	}
	return 0;
}

/* Give each image of the archive to @each. */
static int each_candidate(struct sl_layout *layout, const char *architecture, candidate_fn *each, void *ctx,
			  struct sl_error *err)
{
	const struct sl_layout_document *index = sl_layout_find_document(layout, "index.json");
	const struct sl_layout_document *manifest = sl_layout_find_document(layout, "manifest.json");
	if (!index && !manifest)
		return sl_error_set(err, SL_FAILED, "neither manifest.json nor index.json is in it: "
				    "not an image archive, or a truncated one");
	if (index && sl_layout_find_document(layout, "oci-layout")) {
		sl_autojson json_t *json = sl_json_parse(index->text, index->len, "the archive's index.json", err);
		size_t found = 0;
		struct walk walk = { .architecture = architecture };
		if (!json || each_oci(layout, json, 0, walk, &found, each, ctx, err) < 0)
			return -1;
		if (found)
			return 0;
		if (!manifest)
			return sl_error_set(err, SL_FAILED, "the archive has no image for linux/%s", architecture);
	}
	if (!manifest)
		return sl_error_set(err, SL_FAILED, "the archive has an index.json but no oci-layout");
	sl_autojson json_t *json = sl_json_parse(manifest->text, manifest->len, "the archive's manifest.json", err);
	return json ? each_docker(layout, json, each, ctx, err) : -1;
}

/* The blob that carries layer @i of @c: its member, or NULL. */
static struct sl_layout_blob *candidate_blob(const struct sl_layout *layout, const struct candidate *c, const json_t *layers,
				   size_t i)
{
	const json_t *entry = json_array_get(layers, i);
	struct sl_digest digest;
	if (c->entry)
		return json_string_value(entry) ? sl_layout_find_blob(layout, json_string_value(entry)) : NULL;
	if (!sl_digest_parse(sl_json_str(entry, "digest"), &digest))
		return NULL;
	return sl_layout_find_blob_digest(layout, &digest);
}

/* A layer that went by as a document: as a blob record of its own. */
static struct sl_layout_blob *document_as_blob(struct sl_layout *layout, const json_t *layer, struct sl_error *err)
{
	struct sl_digest digest;
	const struct sl_layout_document *doc = NULL;
	if (json_is_string(layer))
		doc = sl_layout_find_document(layout, json_string_value(layer));
	else if (sl_digest_parse(sl_json_str(layer, "digest"), &digest))
		doc = sl_layout_find_document_digest(layout, &digest);
	if (!doc)
		return NULL;
	if (sl_layout_add_blob(layout, doc->name, &doc->digest, (int64_t)doc->len, doc->text, doc->len, err) < 0)
		return NULL;
	return sl_layout_find_blob(layout, doc->name);
}

static int take_layer(struct sl_layout *layout, const struct candidate *c, const json_t *layers, size_t i,
		      struct sl_image *image, struct sl_error *err)
{
	struct sl_layer *layer = &image->layers[i];
	const json_t *entry = json_array_get(layers, i);
	struct sl_layout_blob *blob = candidate_blob(layout, c, layers, i);
	if (!blob)
		blob = document_as_blob(layout, entry, err);
	if (!blob)
		return sl_error_set(err, SL_FAILED, "the archive does not contain layer %zu (%s)", i + 1, layer->diff_id.text);
	const char *media_type = blob->media_type;
	if (!c->entry) {
		const char *theirs = sl_json_str(entry, "mediaType");
		media_type = sl_layer_media_type(theirs);
		if (!media_type)
			return sl_error_set(err, SL_FAILED, "layer %zu is of media type '%s', which no node can unpack",
					    i + 1, theirs ? theirs : "");
	}
	bool plain = !strcmp(media_type, SL_MEDIA_LAYER);
	if (plain && sl_digest_known(&blob->digest) &&
	    !sl_digest_equal(&blob->digest, &layer->diff_id))
		return sl_error_set(err, SL_FAILED, "layer %zu does not match its digest: it should be %s, its bytes are %s",
				    i + 1, layer->diff_id.text, blob->digest.text);
	layer->blob = plain ? layer->diff_id : blob->digest;
	layer->size = blob->size;
	layer->media_type = media_type;
	return 0;
}

static int take_candidate(struct sl_layout *layout, const struct candidate *c, struct sl_image *image,
			  struct sl_error *err)
{
	if (sl_image_set_config(image, c->config->text, c->config->len, err) < 0)
		return -1;
	sl_autojson json_t *manifest = NULL;
	const json_t *layers = json_object_get(c->entry, "Layers");
	if (c->manifest) {
		manifest = sl_json_parse(c->manifest->text, c->manifest->len, "a manifest", err);
		layers = json_object_get(manifest, "layers");
	}
	if (json_array_size(layers) != image->n_layers)
		return sl_error_set(err, SL_FAILED, "its manifest lists %zu layers, its config %zu",
				    json_array_size(layers), image->n_layers);
	for (size_t i = 0; i < image->n_layers; i++)
		if (take_layer(layout, c, layers, i, image, err) < 0)
			return -1;
	return 0;
}

struct collect {
	struct sl_image *images;
	size_t n;
};

static bool is_candidate_of(const struct sl_image *image, const struct candidate *c)
{
	struct sl_digest id;
	if (sl_digest_known(&image->config))
		return sl_digest_equal(&image->config, &c->config->digest);
	if (!sl_digest_parse(image->id, &id))
		return false;
	return sl_digest_equal(&id, &c->top) || sl_digest_equal(&id, &c->config->digest) ||
	       (c->manifest && sl_digest_equal(&id, &c->manifest->digest));
}

static int complete_expected(struct sl_layout *layout, const struct candidate *c, void *ctx, struct sl_error *err)
{
	for (size_t i = 0; i < layout->n_images; i++) {
		struct sl_image *image = &layout->images[i];
		if (!is_candidate_of(image, c))
			continue;
		if (take_candidate(layout, c, image, err) < 0)
			return sl_error_wrap(err, "image '%s'", image->requested);
	}
	return 0;
}

static int collect_new(struct sl_layout *layout, const struct candidate *c, void *ctx, struct sl_error *err)
{
	struct collect *collect = ctx;
	struct sl_image *images = realloc(collect->images, (collect->n + 1) * sizeof(*images));
	if (!images)
		return sl_error_nomem(err);
	collect->images = images;
	struct sl_image *image = &images[collect->n++];
	*image = (struct sl_image){ 0 };
	image->requested = strdup(c->name ? c->name : c->config->digest.text);
	if (!image->requested)
		return sl_error_nomem(err);
	if (c->name && !(image->name = strdup(c->name)))
		return sl_error_nomem(err);
	if (take_candidate(layout, c, image, err) < 0)
		return sl_error_wrap(err, "image '%s'", image->requested);
	return 0;
}

static const char *this_architecture(void)
{
	static struct utsname uts;
	uname(&uts);
	return !strcmp(uts.machine, "x86_64") ? "amd64" : !strcmp(uts.machine, "aarch64") ? "arm64" : uts.machine;
}

int sl_layout_resolve(struct sl_layout *layout, const char *architecture, struct sl_image **images_out,
		      size_t *n_out, struct sl_error *err)
{
	if (!architecture)
		architecture = this_architecture();
	if (layout->n_images) {
		if (each_candidate(layout, architecture, complete_expected, NULL, err) < 0)
			return -1;
		for (size_t i = 0; i < layout->n_images; i++)
			if (!layout->images[i].config_text)
				return sl_error_set(err, SL_FAILED, "image '%s': the engine's export does not contain it (%s)",
						    layout->images[i].requested, layout->images[i].id);
		return 0;
	}
	struct collect collect = { 0 };
	int rc = each_candidate(layout, architecture, collect_new, &collect, err);
	if (rc == 0 && !collect.n)
		rc = sl_error_set(err, SL_FAILED, "the archive contains no image");
	if (rc < 0) {
		for (size_t i = 0; i < collect.n; i++)
			sl_image_release(&collect.images[i]);
		free(collect.images);
		return -1;
	}
	*images_out = collect.images;
	*n_out = collect.n;
	return 0;
}

static int learn_candidate(struct sl_layout *layout, const struct candidate *c, void *ctx, struct sl_error *err)
{
	const struct collect *known = ctx;
	for (size_t k = 0; k < known->n; k++) {
		const struct sl_image *image = &known->images[k];
		if (!sl_digest_equal(&image->config, &c->config->digest))
			continue;
		sl_autojson json_t *manifest = c->manifest ? json_loadb(c->manifest->text, c->manifest->len, 0, NULL) : NULL;
		const json_t *layers = c->manifest ? json_object_get(manifest, "layers") : json_object_get(c->entry, "Layers");
		for (size_t i = 0; i < image->n_layers && i < json_array_size(layers); i++) {
			struct sl_layout_blob *blob = candidate_blob(layout, c, layers, i);
			if (!blob)
				continue;
			blob->diff_id = image->layers[i].diff_id;
			if (!strcmp(image->layers[i].media_type, SL_MEDIA_LAYER))
				blob->digest = blob->diff_id;
		}
	}
	return 0;
}

int sl_layout_learn(struct sl_layout *layout, struct sl_image *images, size_t n_images, struct sl_error *err)
{
	struct collect known = { images, n_images };
	return each_candidate(layout, n_images && images[0].architecture ? images[0].architecture : this_architecture(),
			      learn_candidate, &known, err);
}
