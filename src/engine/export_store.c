/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/sha256.h"
#include "engine/exporter.h"
#include "engine/store.h"

/*
 * The store exporter: layers put together from the overlay2 graph driver's own
 * store (image/layerdb.h), without the engine's doing anything.
 *
 * All of it is content-addressed and checked: the config against its digest, each
 * layer against its diff ID.  So it does not matter whether the store at that path
 * is really this engine's - what is found there is right, or refused.
 */

struct store {
	struct sl_exporter exporter; /* first */
	struct sl_store *from;
	size_t image, layer; /* the next one to give */
	struct sl_layer *current;
	bool opened; /* it is read only where somebody wants it */
	struct sl_sha256 *hash;
};

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
	if (store->opened)
		store->from->ops->close(store->from);
	store->current = NULL;
	store->opened = false;
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
			blob->diff_id = blob->digest = layer->diff_id;
			blob->size = layer->size;
			blob->packed = false;
			char hex[SL_SHA256_HEX + 1];
			sl_sha256_final(store->hash, hex); /* of one that was not read to its end */
			store->current = layer;
			return 1;
		}
	}
	return 0;
}

static ssize_t store_data(struct sl_exporter *exporter, const void **data, struct sl_error *err)
{
	struct store *store = (struct store *)exporter;
	if (!store->current)
		return 0;
	if (!store->opened && store->from->ops->open(store->from, &store->current->chain_id, err) < 0)
		return -1;
	store->opened = true;
	ssize_t n = store->from->ops->read(store->from, data, err);
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
	sl_store_free(store->from);
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
static int look_up(struct sl_store *from, struct sl_image *image, const atomic_bool *stop, struct sl_error *err)
{
	sl_autobuf struct sl_buf config = SL_BUF_INIT;
	config.max = SL_DOCUMENT_MAX;
	if (from->ops->config(from, &image->config, &config, err) < 0 || sl_image_set_config(image, config.data, config.len, err) < 0)
		return -1;
	for (size_t i = 0; i < image->n_layers; i++) {
		struct sl_layer *layer = &image->layers[i];
		char diff_id[80];
		int64_t size;
		if (layer->size >= 0 && sl_digest_equal(&layer->blob, &layer->diff_id))
			continue; /* from an earlier try */
		if (stop && *stop)
			return sl_error_set(err, SL_INTERRUPTED, "it is not needed");
		if (from->ops->look(from, &layer->chain_id, diff_id, &size, err) < 0)
			return -1;
		if (strcmp(diff_id, layer->diff_id.text) != 0)
			return sl_error_set(err, SL_FAILED, "the engine's store has another layer under chain ID %s", layer->chain_id.text);
		layer->size = size;
		layer->blob = layer->diff_id;
		layer->media_type = SL_MEDIA_LAYER;
	}
	return 0;
}

static bool is_in_store(const struct sl_image *images, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!images[i].store || !sl_digest_known(&images[i].config) || strcmp(images[i].store, images[0].store) != 0)
			return false;
	return n > 0;
}

struct sl_exporter *sl_exporter_store(const struct sl_engine *helper, struct sl_image *images, size_t n, const atomic_bool *stop,
				      struct sl_error *err)
{
	if (!is_in_store(images, n)) {
		sl_error_set(err, SL_FAILED, "the engine does not keep its images in the overlay2 graph driver's store");
		return NULL;
	}
	struct sl_store *from = helper ? sl_store_helper(helper, images[0].id, images[0].store, err) : sl_store_local(images[0].store, err);
	struct store *store = from ? calloc(1, sizeof(*store)) : NULL;
	bool good = store && (store->hash = sl_sha256_new());
	if (from && !good)
		sl_error_nomem(err);
	for (size_t i = 0; i < n && good; i++)
		good = look_up(from, &images[i], stop, err) == 0;
	if (!good) {
		if (store)
			sl_sha256_free(store->hash);
		free(store);
		sl_store_free(from);
		return NULL;
	}
	store->from = from;
	store->exporter = (struct sl_exporter){ .ops = &store_ops, .images = images, .n_images = n };
	return &store->exporter;
}
