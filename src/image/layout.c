/* SPDX-License-Identifier: Apache-2.0 */
#include "image/layout.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "image/v1id.h"

struct document {
	char *name;
	char *text;
	size_t len;
	struct sl_digest digest;
};

struct blob {
	char *name;
	struct sl_digest digest; /* empty: never hashed */
	int64_t size;
	const char *media_type;
	struct sl_digest diff_id; /* learned: the layer that it carries */
};

struct link {
	char *name;
	char *target; /* resolved against the link's directory */
};

struct sl_layout {
	struct sl_image *images; /* borrowed */
	size_t n_images;
	struct document *documents;
	size_t n_documents, documents_len;
	struct blob *blobs;
	size_t n_blobs;
	struct link *links;
	size_t n_links;
};

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

static const struct document *find_document(const struct sl_layout *layout, const char *name)
{
	for (size_t i = 0; i < layout->n_documents; i++)
		if (!strcmp(layout->documents[i].name, name))
			return &layout->documents[i];
	return NULL;
}

static const struct document *find_document_digest(const struct sl_layout *layout, const struct sl_digest *digest)
{
	for (size_t i = 0; i < layout->n_documents; i++)
		if (sl_digest_equal(&layout->documents[i].digest, digest))
			return &layout->documents[i];
	return NULL;
}

static struct blob *find_blob(const struct sl_layout *layout, const char *name)
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

static struct blob *find_blob_digest(const struct sl_layout *layout, const struct sl_digest *digest)
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
	const struct document *doc = find_document(layout, json_name);
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
	const struct blob *learned = find_blob(layout, name);
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
	struct document *doc = grow((void **)&layout->documents, &layout->n_documents, sizeof(*doc));
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
	struct link *link = grow((void **)&layout->links, &layout->n_links, sizeof(*link));
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
	struct blob *blob = find_blob(layout, name);
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

const char *sl_layout_document(const struct sl_layout *layout, const struct sl_digest *digest, size_t *len)
{
	const struct document *doc = find_document_digest(layout, digest);
	*len = doc ? doc->len : 0;
	return doc ? doc->text : NULL;
}

/* One image of the archive, found but not yet matched with an expected one. */
struct candidate {
	struct sl_digest top;            /* what index.json points at; empty in manifest.json */
	const struct document *manifest; /* OCI; NULL for an entry of manifest.json */
	const struct document *config;
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
		struct candidate c = { .entry = entry, .config = config ? find_document(layout, config) : NULL };
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
		const struct document *doc;
		if (!sl_digest_parse(sl_json_str(descriptor, "digest"), &digest) ||
		    !wanted_platform(descriptor, walk.architecture) ||
		    !(doc = find_document_digest(layout, &digest)))
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
		if (!sl_digest_parse(config, &digest) || !(c.config = find_document_digest(layout, &digest)))
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
	const struct document *index = find_document(layout, "index.json");
	const struct document *manifest = find_document(layout, "manifest.json");
	if (!index && !manifest)
		return sl_error_set(err, SL_FAILED, "neither manifest.json nor index.json is in it: "
				    "not an image archive, or a truncated one");
	if (index && find_document(layout, "oci-layout")) {
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
static struct blob *candidate_blob(const struct sl_layout *layout, const struct candidate *c, const json_t *layers,
				   size_t i)
{
	const json_t *entry = json_array_get(layers, i);
	struct sl_digest digest;
	if (c->entry)
		return json_string_value(entry) ? find_blob(layout, json_string_value(entry)) : NULL;
	if (!sl_digest_parse(sl_json_str(entry, "digest"), &digest))
		return NULL;
	return find_blob_digest(layout, &digest);
}

/* A layer that went by as a document: as a blob record of its own. */
static struct blob *document_as_blob(struct sl_layout *layout, const json_t *layer, struct sl_error *err)
{
	struct sl_digest digest;
	const struct document *doc = NULL;
	if (json_is_string(layer))
		doc = find_document(layout, json_string_value(layer));
	else if (sl_digest_parse(sl_json_str(layer, "digest"), &digest))
		doc = find_document_digest(layout, &digest);
	if (!doc)
		return NULL;
	if (sl_layout_add_blob(layout, doc->name, &doc->digest, (int64_t)doc->len, doc->text, doc->len, err) < 0)
		return NULL;
	return find_blob(layout, doc->name);
}

static int take_layer(struct sl_layout *layout, const struct candidate *c, const json_t *layers, size_t i,
		      struct sl_image *image, struct sl_error *err)
{
	struct sl_layer *layer = &image->layers[i];
	const json_t *entry = json_array_get(layers, i);
	struct blob *blob = candidate_blob(layout, c, layers, i);
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
			struct blob *blob = candidate_blob(layout, c, layers, i);
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
