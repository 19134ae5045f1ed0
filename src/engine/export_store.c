/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/log.h"
#include "base/sha256.h"
#include "engine/exporter.h"
#include "image/tarsplit.h"

/*
 * The store exporter: layers put together from the overlay2 graph driver's own
 * store, without the engine's doing anything:
 *
 *	ROOT/image/overlay2/imagedb/content/sha256/CONFIG    the config
 *	ROOT/image/overlay2/layerdb/sha256/CHAIN/diff        the layer's diff ID
 *	                                        /cache-id    its directory's name
 *	                                        /tar-split.json.gz
 *	ROOT/overlay2/CACHE-ID/diff                          its files
 *
 * All of it is content-addressed and checked: the config against its digest, each
 * layer against its diff ID.  So it does not matter whether the store at that path
 * is really this engine's - what is found there is right, or refused.
 */

struct store {
	struct sl_exporter exporter; /* first */
	size_t image, layer; /* the next one to give */
	struct sl_tarsplit *split;
	struct sl_layer *current;
	struct sl_sha256 *hash;
};

static int store_path(const struct sl_image *image, const struct sl_layer *layer, const char *file, char **path,
		      struct sl_error *err)
{
	int n = asprintf(path, "%s/image/overlay2/layerdb/sha256/%s/%s", image->store, sl_digest_hex(&layer->chain_id), file);
	if (n < 0) {
		*path = NULL;
		return sl_error_nomem(err);
	}
	return 0;
}

static int read_small(const struct sl_image *image, const struct sl_layer *layer, const char *file, struct sl_buf *text,
		      struct sl_error *err)
{
	sl_autofree char *path = NULL;
	text->max = 4096;
	return store_path(image, layer, file, &path, err) < 0 ? -1 : sl_file_read(path, text, err);
}

/* Open layer's tar; only its size is needed when @root is not. */
static int open_layer(struct store *store, const struct sl_image *image, const struct sl_layer *layer, struct sl_error *err)
{
	sl_autobuf struct sl_buf cache_id = SL_BUF_INIT;
	sl_autofree char *path = NULL, *root = NULL;
	if (read_small(image, layer, "cache-id", &cache_id, err) < 0 || store_path(image, layer, "tar-split.json.gz", &path, err) < 0)
		return -1;
	if (!cache_id.len || strspn(cache_id.data, "0123456789abcdef-") != cache_id.len)
		return sl_error_set(err, SL_FAILED, "the engine's store names an impossible cache-id");
	if (asprintf(&root, "%s/overlay2/%s/diff", image->store, cache_id.data) < 0) {
		root = NULL;
		return sl_error_nomem(err);
	}
	store->split = sl_tarsplit_open(path, root, err);
	return store->split ? 0 : -1;
}

static bool given_before(const struct store *store, const struct sl_digest *diff_id)
{
	for (size_t i = 0; i <= store->image; i++) {
		const struct sl_image *image = &store->exporter.images[i];
		size_t end = i < store->image ? image->n_layers : store->layer;
		for (size_t j = 0; j < end; j++)
			if (sl_digest_equal(&image->layers[j].diff_id, diff_id))
				return true;
	}
	return false;
}

static void close_layer(struct store *store)
{
	sl_tarsplit_free(store->split);
	store->split = NULL;
	store->current = NULL;
}

static int store_next(struct sl_exporter *exporter, struct sl_blob *blob, struct sl_error *err)
{
	struct store *store = (struct store *)exporter;
	close_layer(store);
	for (; store->image < exporter->n_images; store->image++, store->layer = 0) {
		struct sl_image *image = &exporter->images[store->image];
		while (store->layer < image->n_layers) {
			struct sl_layer *layer = &image->layers[store->layer];
			bool before = given_before(store, &layer->diff_id);
			store->layer++;
			if (before)
				continue;
			blob->diff_id = layer->diff_id;
			blob->size = layer->size;
			blob->packed = false;
			char hex[SL_SHA256_HEX + 1];
			sl_sha256_final(store->hash, hex); /* of one that was not read to its end */
			store->current = layer;
			return open_layer(store, image, layer, err) < 0 ? -1 : 1;
		}
	}
	return 0;
}

static ssize_t store_data(struct sl_exporter *exporter, const void **data, struct sl_error *err)
{
	struct store *store = (struct store *)exporter;
	if (!store->split)
		return 0;
	ssize_t n = sl_tarsplit_read(store->split, data, err);
	if (n > 0)
		sl_sha256_update(store->hash, *data, (size_t)n);
	if (n)
		return n;
	char hex[SL_SHA256_HEX + 1];
	sl_sha256_final(store->hash, hex);
	const struct sl_layer *layer = store->current;
	if (strcmp(hex, sl_digest_hex(&layer->diff_id)) != 0)
		return sl_error_set(err, SL_FAILED, "the engine's store does not hold layer %s as it was (it gives sha256:%s)",
				    layer->diff_id.text, hex);
	close_layer(store);
	return 0;
}

static int store_finish(struct sl_exporter *exporter, struct sl_error *err)
{
	return 0; /* everything was known from the start */
}

static void store_free(struct sl_exporter *exporter)
{
	struct store *store = (struct store *)exporter;
	close_layer(store);
	sl_sha256_free(store->hash);
	free(store);
}

static const struct sl_exporter_ops store_ops = {
	.name = "store",
	.next = store_next,
	.data = store_data,
	.finish = store_finish,
	.free = store_free,
};

/* The config's bytes and the layers' sizes. */
static int look_up(struct sl_image *image, struct sl_error *err)
{
	sl_autobuf struct sl_buf config = SL_BUF_INIT;
	sl_autofree char *config_path = NULL;
	config.max = SL_DOCUMENT_MAX;
	if (asprintf(&config_path, "%s/image/overlay2/imagedb/content/sha256/%s", image->store, sl_digest_hex(&image->config)) < 0) {
		config_path = NULL;
		return sl_error_nomem(err);
	}
	if (sl_file_read(config_path, &config, err) < 0 || sl_image_set_config(image, config.data, config.len, err) < 0)
		return -1;
	for (size_t i = 0; i < image->n_layers; i++) {
		struct sl_layer *layer = &image->layers[i];
		sl_autobuf struct sl_buf diff = SL_BUF_INIT;
		sl_autofree char *split = NULL;
		if (read_small(image, layer, "diff", &diff, err) < 0)
			return -1;
		if (strcmp(diff.data, layer->diff_id.text) != 0)
			return sl_error_set(err, SL_FAILED, "the engine's store has another layer under chain ID %s", layer->chain_id.text);
		if (layer->size < 0 && (store_path(image, layer, "tar-split.json.gz", &split, err) < 0 ||
					(layer->size = sl_tarsplit_size(split, err)) < 0))
			return -1;
		layer->blob = layer->diff_id;
		layer->media_type = SL_MEDIA_LAYER;
	}
	return 0;
}

struct sl_exporter *sl_exporter_store(struct sl_image *images, size_t n, struct sl_error *err)
{
	for (size_t i = 0; i < n; i++) {
		if (!images[i].store || !sl_digest_known(&images[i].config)) {
			sl_error_set(err, SL_FAILED, "the engine does not keep its images in the overlay2 graph driver's store");
			return NULL;
		}
		if (access(images[i].store, R_OK | X_OK) < 0) {
			sl_error_errno(err, errno, "the engine's store at %s is not readable here", images[i].store);
			return NULL;
		}
		if (look_up(&images[i], err) < 0)
			return NULL;
	}
	struct store *store = calloc(1, sizeof(*store));
	if (!store || !(store->hash = sl_sha256_new())) {
		free(store);
		sl_error_nomem(err);
		return NULL;
	}
	store->exporter = (struct sl_exporter){ .ops = &store_ops, .images = images, .n_images = n };
	return &store->exporter;
}
