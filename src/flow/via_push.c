/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "flow/via.h"

/*
 * The push.  A layer is there already when the registry has, in the image's repository,
 *	- a blob that the manifest under the image's name gives for it, however it
 *	  was packed when it came there;
 *	- its tar, which is what this pushes where an engine keeps layers unpacked;
 *	- the very blob that the exporter would give.
 * What is lacking comes out of an exporter, once, and goes to the first image's
 * repository; others have the registry mount it from there.  Then come the configs, and
 * the names last.
 */

/* Of an export: each way out once, and once more for what a registry would not mount. */
#define PASSES_MAX 5

/* What is known of a blob in a repository. */
struct sl_via_blob {
	char *repository;
	struct sl_digest digest;
	bool there;
	int64_t size; /* -1: it does not tell */
};

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

static int note_blob(struct sl_via_push *push, const char *repository, const struct sl_digest *digest, bool there, int64_t size, struct sl_error *err)
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

/* 1 and its size, 0, or -1; the registry is asked once. */
static int has_blob(struct sl_via_push *push, const char *repository, const struct sl_digest *digest, int64_t *size, struct sl_error *err)
{
	const struct sl_via_blob *blob = find_blob(push, repository, digest);
	if (!blob) {
		int rc = sl_dist_has_blob(push->via->dist, repository, digest, size, err);
		if (rc < 0 || note_blob(push, repository, digest, rc, *size, err) < 0)
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

/* Whether @blob is there; then it is the layer's. */
static int take_if_there(struct sl_via_push *push, const struct sl_via_image *mine, struct sl_via_layer *layer, const struct sl_digest *blob,
			 int64_t size, const char *media_type, struct sl_error *err)
{
	int64_t told;
	int rc = sl_digest_known(blob) ? has_blob(push, mine->repository, blob, &told, err) : 0;
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
			rc = take_if_there(push, mine, layer, &mine->known[k].blob, mine->known[k].size, mine->known[k].media_type, err);
	if (rc == 0 && given->size >= 0)
		rc = take_if_there(push, mine, layer, &given->blob, given->size, given->media_type, err);
	if (rc == 0 && !image->packed)
		rc = take_if_there(push, mine, layer, &given->diff_id, -1, SL_MEDIA_LAYER, err);
	return rc < 0 ? -1 : 0;
}

static int compare(const void *a, const void *b)
{
	return strcmp(((const struct sl_digest *)a)->text, ((const struct sl_digest *)b)->text);
}

/* What is lacking now, as the registry's wishes. */
static int want(struct sl_via_push *push, struct sl_error *err)
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
	return want(push, err);
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

/* An exporter is open, and with it blobs are known that were not. */
static int look_again(struct sl_via_push *push, struct sl_error *err)
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
		return look_again(push, err);
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

/* ---- the export ---- */

/* What is read of a layer goes by here. */
static ssize_t read_layer(void *ctx, const void **data, struct sl_error *err)
{
	struct sl_via_push *push = ctx;
	struct sl_load *load = push->load;
	ssize_t n = sl_exporter_data(load->exporter, data, err);
	push->source_failed = n < 0;
	if (n > 0) {
		atomic_fetch_add(&load->exported, (uint64_t)n);
		atomic_fetch_add(&load->nodes[0].sent, (uint64_t)n);
	}
	return n;
}

/* The first image that lacks the layer, or, of one of which that is not known, anything;
 * NULL: none. */
static struct sl_via_image *first_lacking(const struct sl_via_push *push, const struct sl_digest *diff_id)
{
	for (size_t i = 0; i < push->n_images; i++)
		for (size_t j = 0; j < push->load->images[i].n_layers; j++)
			if (!push->images[i].layers[j].there &&
			    (!sl_digest_known(diff_id) || sl_digest_equal(diff_id, &push->load->images[i].layers[j].diff_id)))
				return &push->images[i];
	return NULL;
}

static int send_blob(struct sl_via_push *push, const struct sl_blob *blob, struct sl_error *err)
{
	struct sl_via_image *mine = first_lacking(push, &blob->diff_id);
	int64_t size;
	if (!mine)
		return 0;
	int rc = sl_digest_known(&blob->digest) ? has_blob(push, mine->repository, &blob->digest, &size, err) : 0;
	if (rc)
		return rc < 0 ? -1 : 0;
	struct sl_dist_upload upload = { .source = { .read = read_layer, .ctx = push }, .size = blob->size, .digest = blob->digest };
	atomic_store(&push->load->nodes[0].phase, SL_PHASE_SENDING);
	rc = sl_dist_upload(push->via->dist, mine->repository, &upload, err);
	mine->bytes_sent += upload.sent;
	push->load->nodes[0].bytes_total += upload.sent;
	if (rc < 0)
		return -1;
	mine->layers_sent++;
	push->load->nodes[0].layers_sent++;
	return note_blob(push, mine->repository, &upload.digest, true, blob->size, err);
}

/* Have @mine's repository have the blob from another one of ours: 1, 0, -1. */
static int mount_blob(struct sl_via_push *push, const struct sl_via_image *mine, const struct sl_layer *given, struct sl_error *err)
{
	for (size_t i = 0; i < push->n_blobs; i++) {
		const struct sl_via_blob *blob = &push->blobs[i];
		if (!blob->there || !sl_digest_equal(&blob->digest, &given->blob) || !strcmp(blob->repository, mine->repository))
			continue;
		int rc = sl_dist_mount(push->via->dist, mine->repository, &given->blob, blob->repository, err);
		if (rc)
			return rc < 0 ? -1 : note_blob(push, mine->repository, &given->blob, true, given->size, err) < 0 ? -1 : 1;
	}
	return 0;
}

/* The exporter has told all that it knows: which blobs, now in the registry, are the layers. */
static int settle(struct sl_via_push *push, struct sl_error *err)
{
	for (size_t i = 0; i < push->n_images; i++) {
		struct sl_via_image *mine = &push->images[i];
		for (size_t j = 0; j < push->load->images[i].n_layers; j++) {
			const struct sl_layer *given = &push->load->images[i].layers[j];
			struct sl_via_layer *layer = &mine->layers[j];
			if (layer->there || given->size < 0 || !sl_digest_known(&given->blob))
				continue;
			int rc = take_if_there(push, mine, layer, &given->blob, given->size, given->media_type, err);
			if (rc == 0 && (rc = mount_blob(push, mine, given, err)) > 0)
				rc = take_if_there(push, mine, layer, &given->blob, given->size, given->media_type, err);
			if (rc < 0)
				return -1;
		}
	}
	return want(push, err);
}

static int export_blobs(struct sl_via_push *push, struct sl_error *err)
{
	struct sl_exporter *exporter = push->load->exporter;
	struct sl_blob blob;
	int rc;
	push->load->exporter_name = exporter->ops->name;
	push->source_failed = false;
	if (look_again(push, err) < 0)
		return -1;
	while ((rc = sl_exporter_next(exporter, &blob, err)) > 0)
		if (send_blob(push, &blob, err) < 0)
			return -1;
	push->source_failed = rc < 0 || sl_exporter_finish(exporter, err) < 0;
	return push->source_failed ? -1 : settle(push, err);
}

/* Is there something that only an export can give? */
static bool needs_export(const struct sl_via_push *push)
{
	if (push->load->nodes[0].n_wanted)
		return true;
	for (size_t i = 0; i < push->n_images; i++)
		if (!push->images[i].current && !push->load->images[i].config_text)
			return true;
	return false;
}

static int export_all(struct sl_via_push *push, struct sl_error *err)
{
	struct sl_load *load = push->load;
	for (int pass = 1; needs_export(push); pass++) {
		size_t before = load->nodes[0].layers_sent;
		struct sl_error why = SL_ERROR_INIT;
		if (sl_load_open_exporter(load, &why) < 0) {
			if (err)
				*err = why;
			return -1;
		}
		why = (struct sl_error)SL_ERROR_INIT; /* of those that were passed over */
		int rc = export_blobs(push, &why);
		sl_exporter_free(load->exporter);
		load->exporter = NULL;
		if (rc < 0 && why.status == SL_OK)
			sl_error_set(&why, SL_FAILED, "the export failed");
		bool next = rc < 0 && push->source_failed && !sl_cancelled(load->cancel) && pass < PASSES_MAX;
		if (rc == 0 && load->nodes[0].n_wanted && load->nodes[0].layers_sent == before)
			rc = sl_error_set(&why, SL_FAILED, "the export did not contain layer %s", load->nodes[0].wanted[0].text);
		else if (rc == 0 && pass == PASSES_MAX && needs_export(push))
			rc = sl_error_set(&why, SL_FAILED, "the export does not contain all of the images");
		if (rc < 0 && !(next && sl_load_next_exporter(load))) {
			if (err)
				*err = why;
			return -1;
		}
		if (rc < 0)
			sl_info("exporter %s broke off (%s); the next one takes over", load->exporter_name, why.message);
	}
	return 0;
}

/* ---- the names ---- */

struct text {
	const char *data;
	size_t len;
};

static ssize_t read_text(void *ctx, const void **data, struct sl_error *err)
{
	struct text *text = ctx;
	size_t n = text->len;
	*data = text->data;
	text->len = 0;
	return (ssize_t)n;
}

static int send_config(struct sl_via_push *push, struct sl_via_image *mine, const struct sl_image *image, struct sl_error *err)
{
	struct text text = { image->config_text, image->config_len };
	struct sl_dist_upload upload = { .source = { .read = read_text, .ctx = &text }, .size = (int64_t)image->config_len, .digest = image->config };
	int64_t size;
	int rc = has_blob(push, mine->repository, &image->config, &size, err);
	if (rc)
		return rc < 0 ? -1 : 0;
	rc = sl_dist_upload(push->via->dist, mine->repository, &upload, err);
	mine->bytes_sent += upload.sent;
	return rc < 0 ? -1 : note_blob(push, mine->repository, &image->config, true, size, err);
}

/* What the registry says that the name stands for must be what was pushed. */
static int confirm(struct sl_via_push *push, struct sl_via_image *mine, const struct sl_digest *expected, struct sl_error *err)
{
	sl_autobuf struct sl_buf text = SL_BUF_INIT;
	struct sl_digest digest;
	int rc = sl_dist_get_manifest(push->via->dist, mine->repository, mine->tag, &text, &digest, err);
	if (rc < 0)
		return -1;
	if (rc == 0 || !sl_digest_equal(&digest, expected))
		return sl_error_set(err, SL_FAILED, "the registry does not confirm the push: the name stands for %s there, not for %s; somebody "
				    "else may have moved it, push again", rc ? digest.text : "nothing", expected->text);
	mine->digest = digest;
	free(mine->pod_reference);
	if (asprintf(&mine->pod_reference, "%s/%s:%s@%s", push->via->pod_host, mine->repository, mine->tag, digest.text) < 0) {
		mine->pod_reference = NULL;
		return sl_error_nomem(err);
	}
	return 0;
}

static int put_name(struct sl_via_push *push, struct sl_via_image *mine, struct sl_image *image, struct sl_error *err)
{
	for (size_t j = 0; j < image->n_layers; j++) {
		image->layers[j].blob = mine->layers[j].blob;
		image->layers[j].size = mine->layers[j].size;
		image->layers[j].media_type = mine->layers[j].media_type;
	}
	if (send_config(push, mine, image, err) < 0 || sl_image_make_manifest(image, err) < 0)
		return -1;
	mine->current = sl_digest_equal(&image->manifest, &mine->digest);
	if (!mine->current) {
		if (sl_dist_put_manifest(push->via->dist, mine->repository, mine->tag, SL_MEDIA_MANIFEST, image->manifest_text, image->manifest_len,
					 err) < 0)
			return -1;
		mine->bytes_sent += image->manifest_len;
	}
	return confirm(push, mine, &image->manifest, err);
}

static int finish_image(struct sl_via_push *push, size_t i, struct sl_error *err)
{
	struct sl_via_image *mine = &push->images[i];
	struct sl_image *image = &push->load->images[i];
	if ((mine->current ? confirm(push, mine, &mine->digest, err) : put_name(push, mine, image, err)) < 0)
		return sl_error_wrap(err, "%s", mine->pushed);
	mine->bytes_total = (int64_t)image->config_len;
	for (size_t j = 0; j < image->n_layers; j++)
		mine->bytes_total += mine->layers[j].size;
	mine->done = true;
	mine->seconds = (double)(sl_now() - push->load->started) / 1000;
	return 0;
}

int sl_via_run(struct sl_via_push *push, struct sl_error *err)
{
	struct sl_load *load = push->load;
	load->started = sl_now();
	int rc = export_all(push, err);
	for (size_t i = 0; rc == 0 && i < push->n_images; i++)
		rc = finish_image(push, i, err);
	atomic_store(&load->nodes[0].phase, SL_PHASE_DONE);
	if (rc < 0 && sl_cancelled(load->cancel))
		return sl_error_set(err, SL_INTERRUPTED, "interrupted; no name was moved that is not whole");
	return rc;
}
