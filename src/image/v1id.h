/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_IMAGE_V1ID_H
#define SL_IMAGE_V1ID_H

/*
 * Docker up to 24 saves each layer as <v1 ID>/layer.tar, sorted by that ID, with
 * <v1 ID>/json before it and manifest.json behind everything.  The v1 ID is a
 * hash over that json and the layer's chain ID (moby image/v1/imagev1.go,
 * CreateID), so for an image whose chain IDs are known the json tells which
 * layer its neighbour is - before the layer's bytes arrive.
 */

#include "image/image.h"

/* The position in @image of the layer whose v1 directory is named @hex (64
 * digits) and holds the json @text; -1 when it is none of its layers. */
int sl_v1id_position(const struct sl_image *image, const char *hex, const char *text, size_t len);

#endif
