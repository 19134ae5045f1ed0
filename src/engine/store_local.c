/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/store.h"
#include "image/layerdb.h"

struct local {
	struct sl_store store; /* first */
	char *root;
	struct sl_tarsplit *split;
};

static int local_config(struct sl_store *store, const struct sl_digest *config, struct sl_buf *text, struct sl_error *err)
{
	return sl_layerdb_config(((struct local *)store)->root, sl_digest_hex(config), text, err);
}

static int local_look(struct sl_store *store, const struct sl_digest *chain, char diff_id[80], int64_t *size, struct sl_error *err)
{
	return sl_layerdb_look(((struct local *)store)->root, sl_digest_hex(chain), diff_id, size, err);
}

static int local_open(struct sl_store *store, const struct sl_digest *chain, struct sl_error *err)
{
	struct local *self = (struct local *)store;
	self->split = sl_layerdb_open(self->root, sl_digest_hex(chain), err);
	return self->split ? 0 : -1;
}

static ssize_t local_read(struct sl_store *store, const void **data, struct sl_error *err)
{
	return sl_tarsplit_read(((struct local *)store)->split, data, err);
}

static void local_close(struct sl_store *store)
{
	struct local *self = (struct local *)store;
	sl_tarsplit_free(self->split);
	self->split = NULL;
}

static void local_free(struct sl_store *store)
{
	struct local *self = (struct local *)store;
	local_close(store);
	free(self->root);
	free(self);
}

static const struct sl_store_ops local_ops = {
	.config = local_config,
	.look = local_look,
	.open = local_open,
	.read = local_read,
	.close = local_close,
	.free = local_free,
};

struct sl_store *sl_store_local(const char *root, struct sl_error *err)
{
	if (access(root, R_OK | X_OK) < 0) {
		sl_error_errno(err, errno, "the engine's store at %s is not readable here", root);
		return NULL;
	}
	struct local *self = calloc(1, sizeof(*self));
	if (!self || !(self->root = strdup(root))) {
		free(self);
		sl_error_nomem(err);
		return NULL;
	}
	self->store.ops = &local_ops;
	return &self->store;
}

void sl_store_free(struct sl_store *store)
{
	if (store)
		store->ops->free(store);
}
