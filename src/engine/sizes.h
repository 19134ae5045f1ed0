/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_ENGINE_SIZES_H
#define SL_ENGINE_SIZES_H

/* How large an image's layers are, without exporting them. */

#include "engine/engine.h"

enum sl_size_source {
	SL_SIZE_UNKNOWN,
	SL_SIZE_ABOUT, /* what the files in a layer come to, as the engine counts them */
	SL_SIZE_EXACT, /* of the layer's tar */
};

/* Fill @sizes (one per layer of @image, bytes; -1 unknown) from the engine's own
 * store where that can be read, otherwise from the image's history.  What the least
 * known of them is. */
enum sl_size_source sl_engine_layer_sizes(const struct sl_engine *engine, const struct sl_image *image, int64_t *sizes);

#endif
