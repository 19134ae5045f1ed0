/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_IMAGE_LAYERDB_H
#define SL_IMAGE_LAYERDB_H

/*
 * Docker's overlay2 graph driver on disk:
 *
 *	ROOT/image/overlay2/imagedb/content/sha256/CONFIG    the config
 *	ROOT/image/overlay2/layerdb/sha256/CHAIN/diff        the layer's diff ID
 *	                                        /cache-id    its directory's name
 *	                                        /tar-split.json.gz
 *	ROOT/overlay2/CACHE-ID/diff                          its files
 *
 * CONFIG and CHAIN are the 64 hex digits.  Nothing is checked against a digest here.
 */

#include "base/buf.h"
#include "image/tarsplit.h"

/* Append the config to @text, up to its maximum. */
int sl_layerdb_config(const char *root, const char *config, struct sl_buf *text, struct sl_error *err) SL_MUST_CHECK;

/* The diff ID, as it stands there, into @diff_id, and the size of the layer's tar. */
int sl_layerdb_look(const char *root, const char *chain, char diff_id[80], int64_t *size, struct sl_error *err) SL_MUST_CHECK;

/* Open the layer's tar; NULL with @err. */
struct sl_tarsplit *sl_layerdb_open(const char *root, const char *chain, struct sl_error *err) SL_MUST_CHECK;

#endif
