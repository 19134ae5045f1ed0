/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/sizes.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "image/tarsplit.h"

/* By tar-split, which has every byte's place; see engine/export_store.c. */
static bool from_store(const struct sl_image *image, int64_t *sizes)
{
	for (size_t i = 0; i < image->n_layers; i++) {
		sl_autofree char *path = NULL;
		if (asprintf(&path, "%s/image/overlay2/layerdb/sha256/%s/tar-split.json.gz", image->store,
			     sl_digest_hex(&image->layers[i].chain_id)) < 0) {
			path = NULL;
			return false;
		}
		sizes[i] = sl_tarsplit_size(path, NULL);
		if (sizes[i] < 0)
			return false;
	}
	return true;
}

/*
 * The history tells what was done, newest first: entries that made a layer have a
 * size, but so may none that did; only when there are as many sizes as layers is
 * it clear whose they are.
 */
static bool from_history(const json_t *history, size_t n_layers, int64_t *sizes)
{
	size_t i, n = 0;
	json_t *entry;
	json_array_foreach(history, i, entry) {
		int64_t size = sl_json_int(entry, "Size", 0);
		if (size > 0 && ++n <= n_layers)
			sizes[n_layers - n] = size;
	}
	return n == n_layers;
}

enum sl_size_source sl_engine_layer_sizes(const struct sl_engine *engine, const struct sl_image *image, int64_t *sizes)
{
	if (image->store && from_store(image, sizes))
		return SL_SIZE_EXACT;
	sl_autojson json_t *history = image->id ? sl_engine_history(engine, image->id, NULL) : NULL;
	if (history && from_history(history, image->n_layers, sizes))
		return SL_SIZE_ABOUT;
	for (size_t i = 0; i < image->n_layers; i++)
		sizes[i] = -1;
	return SL_SIZE_UNKNOWN;
}
