/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "flow/via_parts.h"

/*
 * What a push has to do.  A layer is there already when the registry has, in the image's
 * repository,
 *	- a blob that the manifest under the image's name gives for it, however it
 *	  was packed when it came there;
 *	- its tar, which is what this pushes where an engine keeps layers unpacked;
 *	- the very blob that the exporter would give.
 */

void sl_via_push_release(struct sl_via_push *push)
{
	for (size_t i = 0; push->images && i < push->n_images; i++)
		sl_via_image_release(&push->images[i]);
	for (size_t i = 0; i < push->n_blobs; i++)
		free(push->blobs[i].repository);
	free(push->images);
	free(push->blobs);
	*push = (struct sl_via_push){ 0 };
}

/* ---- what the registry has ---- */

static struct sl_via_blob *find_blob(const struct sl_via_push *push, const char *repository, const struct sl_digest *digest)
{
	for (size_t i = 0; i < push->n_blobs; i++)
		if (sl_digest_equal(&push->blobs[i].digest, digest) && !strcmp(push->blobs[i].repository, repository))
			return &push->blobs[i];
	return NULL;
}

int sl_via_note_blob(struct sl_via_push *push, const char *repository, const struct sl_digest *digest, bool there, int64_t size, struct sl_error *err)
{
	struct sl_via_blob *blob = find_blob(push, repository, digest);
	if (!blob) {
		struct sl_via_blob *blobs = realloc(push->blobs, (push->n_blobs + 1) * sizeof(*blobs));
		if (!blobs)
			return sl_error_nomem(err);
		push->blobs = blobs;
		blob = &blobs[push->n_blobs];
		*blob = (struct sl_via_blob){ .repository = strdup(repository), .digest = *digest };
		if (!blob->repository)
			return sl_error_nomem(err);
		push->n_blobs++;
	}
	blob->there = there;
	blob->size = size;
	return 0;
}

int sl_via_has_blob(struct sl_via_push *push, const char *repository, const struct sl_digest *digest, int64_t *size, struct sl_error *err)
{
	const struct sl_via_blob *blob = find_blob(push, repository, digest);
	if (!blob) {
		int rc = sl_dist_has_blob(push->via->dist, repository, digest, size, err);
		if (rc < 0 || sl_via_note_blob(push, repository, digest, rc, *size, err) < 0)
			return -1;
		blob = find_blob(push, repository, digest);
	}
	*size = blob->size;
	return blob->there;
}

/* ---- what the name stands for now ---- */

/* Of an index the entry for @image's platform, which is fetched; 1, or 0 when there is none. */
static int choose_manifest(struct sl_via_push *push, const struct sl_via_image *mine, const struct sl_image *image, const json_t *index,
			   struct sl_buf *text, struct sl_error *err)
{
	const json_t *entry;
	struct sl_digest digest;
	size_t i;
	json_array_foreach(json_object_get(index, "manifests"), i, entry) {
		const json_t *platform = json_object_get(entry, "platform");
		const char *os = sl_json_str(platform, "os"), *architecture = sl_json_str(platform, "architecture"), *id = sl_json_str(entry, "digest");
		if (!os || !architecture || !id || !sl_digest_parse(id, &digest) || strcmp(os, image->os) != 0 ||
		    strcmp(architecture, image->architecture) != 0)
			continue;
		sl_buf_clear(text);
		return sl_dist_get_manifest(push->via->dist, mine->repository, id, text, &digest, err);
	}
	return 0;
}

/* The config's diff IDs against the manifest's layers: which blob stands for which. */
static int learn_layers(struct sl_via_image *mine, const json_t *manifest, const json_t *config, struct sl_error *err)
{
	const json_t *layers = json_object_get(manifest, "layers"), *diff_ids = json_object_get(json_object_get(config, "rootfs"), "diff_ids");
	size_t n = json_array_size(layers);
	if (n != json_array_size(diff_ids) || n > SL_LAYERS_MAX)
		return 0;
	mine->known = calloc(n ? n : 1, sizeof(*mine->known));
	mine->known_diff_ids = calloc(n ? n : 1, sizeof(*mine->known_diff_ids));
	if (!mine->known || !mine->known_diff_ids)
		return sl_error_nomem(err);
	for (size_t i = 0; i < n; i++) {
		const json_t *entry = json_array_get(layers, i);
		struct sl_via_layer *known = &mine->known[mine->n_known];
		known->media_type = sl_layer_media_type(sl_json_str(entry, "mediaType"));
		known->size = sl_json_int(entry, "size", -1);
		if (known->media_type && known->size >= 0 && sl_digest_parse(sl_json_str(entry, "digest"), &known->blob) &&
		    sl_digest_parse(json_string_value(json_array_get(diff_ids, i)), &mine->known_diff_ids[mine->n_known]))
			mine->n_known++;
	}
	return 0;
}

/* Only what can be understood is of use; anything else under the name is no error, for
 * it will be replaced. */
static int look_at_name(struct sl_via_push *push, struct sl_via_image *mine, const struct sl_image *image, struct sl_error *err)
{
	sl_autobuf struct sl_buf text = SL_BUF_INIT, config_text = SL_BUF_INIT;
	struct sl_digest digest, config;
	int rc = sl_dist_get_manifest(push->via->dist, mine->repository, mine->tag, &text, &digest, err);
	if (rc <= 0)
		return rc;
	sl_autojson json_t *index = json_loadb(text.data, text.len, 0, NULL);
	bool single = !json_object_get(index, "manifests");
	if (!single && (rc = choose_manifest(push, mine, image, index, &text, err)) <= 0)
		return rc;
	sl_autojson json_t *manifest = json_loadb(text.data, text.len, 0, NULL);
	const char *id = sl_json_str(json_object_get(manifest, "config"), "digest");
	if (!id || !sl_digest_parse(id, &config) || (rc = sl_dist_get_blob(push->via->dist, mine->repository, &config, &config_text, err)) <= 0)
		return id ? rc : 0;
	sl_autojson json_t *document = json_loadb(config_text.data, config_text.len, 0, NULL);
	if (single) {
		mine->digest = digest;
		mine->current = sl_digest_equal(&config, &image->config);
	}
	return learn_layers(mine, manifest, document, err);
}

/* ---- the plan ---- */

int sl_via_take_if_there(struct sl_via_push *push, const struct sl_via_image *mine, struct sl_via_layer *layer, const struct sl_digest *blob,
			 int64_t size, const char *media_type, struct sl_error *err)
{
	int64_t told;
	int rc = sl_digest_known(blob) ? sl_via_has_blob(push, mine->repository, blob, &told, err) : 0;
	if (rc <= 0)
		return rc;
	if (told < 0)
		told = size;
	if (told < 0)
		return 0; /* no manifest could be written of it */
	*layer = (struct sl_via_layer){ .there = true, .blob = *blob, .size = told, .media_type = media_type };
	return 1;
}

static int look_for_layer(struct sl_via_push *push, const struct sl_via_image *mine, const struct sl_image *image, size_t j, struct sl_error *err)
{
	struct sl_via_layer *layer = &mine->layers[j];
	const struct sl_layer *given = &image->layers[j];
	int rc = layer->there;
	for (size_t k = 0; rc == 0 && k < mine->n_known; k++)
		if (sl_digest_equal(&mine->known_diff_ids[k], &given->diff_id))
			rc = sl_via_take_if_there(push, mine, layer, &mine->known[k].blob, mine->known[k].size, mine->known[k].media_type, err);
	if (rc == 0 && given->size >= 0)
		rc = sl_via_take_if_there(push, mine, layer, &given->blob, given->size, given->media_type, err);
	if (rc == 0 && !image->packed)
		rc = sl_via_take_if_there(push, mine, layer, &given->diff_id, -1, SL_MEDIA_LAYER, err);
	return rc < 0 ? -1 : 0;
}

static int compare(const void *a, const void *b)
{
	return strcmp(((const struct sl_digest *)a)->text, ((const struct sl_digest *)b)->text);
}

int sl_via_want(struct sl_via_push *push, struct sl_error *err)
{
	struct sl_load_node *node = &push->load->nodes[0];
	size_t max = 0;
	for (size_t i = 0; i < push->n_images; i++)
		max += push->load->images[i].n_layers;
	struct sl_digest *wanted = calloc(max ? max : 1, sizeof(*wanted));
	if (!wanted)
		return sl_error_nomem(err);
	free(node->wanted);
	node->wanted = wanted;
	node->n_wanted = 0;
	for (size_t i = 0; i < push->n_images; i++)
		for (size_t j = 0; j < push->load->images[i].n_layers; j++)
			if (!push->images[i].layers[j].there)
				wanted[node->n_wanted++] = push->load->images[i].layers[j].diff_id;
	if (node->n_wanted)
		qsort(wanted, node->n_wanted, sizeof(*wanted), compare);
	size_t n = 0;
	for (size_t i = 0; i < node->n_wanted; i++)
		if (!n || compare(&wanted[n - 1], &wanted[i]) != 0)
			wanted[n++] = wanted[i];
	node->n_wanted = n;
	return 0;
}

/* The name stands for the image only as long as the blobs that its manifest names are
 * all there. */
static void check_current(const struct sl_via_push *push, size_t i)
{
	struct sl_via_image *mine = &push->images[i];
	size_t n = push->load->images[i].n_layers;
	mine->current = mine->current && mine->n_known == n;
	for (size_t j = 0; mine->current && j < n; j++)
		mine->current = mine->layers[j].there && sl_digest_equal(&mine->layers[j].blob, &mine->known[j].blob);
}

/* Ask for every layer of which that has not been settled. */
static int look_for_layers(struct sl_via_push *push, struct sl_error *err)
{
	for (size_t i = 0; i < push->n_images; i++)
		for (size_t j = 0; j < push->load->images[i].n_layers; j++)
			if (look_for_layer(push, &push->images[i], &push->load->images[i], j, err) < 0)
				return -1;
	return sl_via_want(push, err);
}

static int name_images(struct sl_via_push *push, struct sl_error *err)
{
	for (size_t i = 0; i < push->n_images; i++) {
		const struct sl_image *image = &push->load->images[i];
		struct sl_via_image *mine = &push->images[i];
		if (sl_via_name(push->via, image->name, mine, err) < 0)
			return -1;
		for (size_t k = 0; k < i; k++)
			if (!strcmp(push->images[k].pushed, mine->pushed))
				return sl_error_set(err, SL_USAGE, "'%s' and '%s' would both be '%s'; push one of them under another name: docker tag",
						    push->images[k].name, mine->name, mine->pushed);
		mine->layers = calloc(image->n_layers ? image->n_layers : 1, sizeof(*mine->layers));
		if (!mine->layers)
			return sl_error_nomem(err);
		for (size_t j = 0; j < image->n_layers; j++)
			mine->layers[j].size = -1;
	}
	return 0;
}

/* The registry stands where a node does. */
static int make_node(struct sl_via_push *push, struct sl_error *err)
{
	push->load->nodes = calloc(1, sizeof(*push->load->nodes));
	if (!push->load->nodes)
		return sl_error_nomem(err);
	push->registry = (struct sl_node){ .name = push->via->host };
	push->load->nodes[0].node = &push->registry;
	push->load->nodes[0].feeding = true;
	push->load->n_nodes = 1;
	return 0;
}

static bool any_packed(const struct sl_load *load)
{
	for (size_t i = 0; i < load->n_images; i++)
		if (load->images[i].packed)
			return true;
	return false;
}

int sl_via_look_again(struct sl_via_push *push, struct sl_error *err)
{
	struct sl_load_node *node = &push->load->nodes[0];
	struct sl_exporter *exporter = push->load->exporter;
	if (look_for_layers(push, err) < 0)
		return -1;
	if (strcmp(exporter->ops->name, "registry") != 0)
		return 0;
	struct sl_digest *lacking = calloc(node->n_wanted ? node->n_wanted : 1, sizeof(*lacking));
	if (!lacking)
		return sl_error_nomem(err);
	if (node->n_wanted)
		memcpy(lacking, node->wanted, node->n_wanted * sizeof(*lacking));
	sl_exporter_registry_want(exporter, lacking, node->n_wanted);
	return 0;
}

static int look_inside_packed(struct sl_via_push *push, struct sl_error *err)
{
	struct sl_load *load = push->load;
	struct sl_error why = SL_ERROR_INIT;
	const char *wanted = load->exporter_wanted;
	load->exporter_wanted = "registry";
	int rc = sl_load_open_exporter(load, &why);
	load->exporter_wanted = wanted;
	if (rc == 0)
		return sl_via_look_again(push, err);
	sl_info("the layers' blobs are not known beforehand: %s", why.message);
	return sl_cancelled(load->cancel) ? sl_error_set(err, SL_INTERRUPTED, "interrupted") : 0;
}

int sl_via_plan(struct sl_via_push *push, bool look_inside, struct sl_error *err)
{
	struct sl_load *load = push->load;
	push->images = calloc(load->n_images ? load->n_images : 1, sizeof(*push->images));
	if (!push->images)
		return sl_error_nomem(err);
	push->n_images = load->n_images;
	if (make_node(push, err) < 0 || name_images(push, err) < 0)
		return -1;
	for (size_t i = 0; i < push->n_images; i++)
		if (look_at_name(push, &push->images[i], &load->images[i], err) < 0)
			return sl_error_wrap(err, "%s", push->images[i].pushed);
	if (look_for_layers(push, err) < 0)
		return -1;
	for (size_t i = 0; i < push->n_images; i++)
		check_current(push, i);
	return look_inside && any_packed(load) ? look_inside_packed(push, err) : 0;
}
