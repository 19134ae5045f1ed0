/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_ENGINE_STORE_H
#define SL_ENGINE_STORE_H

/*
 * Where the store exporter reads the overlay2 graph driver's store
 * (image/layerdb.h): in this process, or in a container of the engine's own, for
 * who may use docker but not read its files.
 */

#include "engine/engine.h"

struct sl_store;

struct sl_store_ops {
	int (*config)(struct sl_store *store, const struct sl_digest *config, struct sl_buf *text, struct sl_error *err);
	int (*look)(struct sl_store *store, const struct sl_digest *chain, char diff_id[80], int64_t *size, struct sl_error *err);
	/* Begin to read a layer's tar; then its bytes, 0 at the end. */
	int (*open)(struct sl_store *store, const struct sl_digest *chain, struct sl_error *err);
	ssize_t (*read)(struct sl_store *store, const void **data, struct sl_error *err);
	/* Leave it, wherever that is. */
	void (*close)(struct sl_store *store);
	void (*free)(struct sl_store *store);
};

struct sl_store {
	const struct sl_store_ops *ops;
};

/* The store at @root (copied), with this process's own rights. */
struct sl_store *sl_store_local(const char *root, struct sl_error *err) SL_MUST_CHECK;

/* The same in a short-lived container that stands on image @id: no network, nothing
 * but the right to read, the store read-only, and gone when this process is. */
struct sl_store *sl_store_helper(const struct sl_engine *engine, const char *id, const char *root, struct sl_error *err) SL_MUST_CHECK;

void sl_store_free(struct sl_store *store); /* NULL is fine */

/* What the helper (src/helper/store.c) has of the store, below. */
#define SL_STORE_MOUNT "/sidelift-store"
#define SL_STORE_PROGRAM "/sidelift-helper"

#endif
