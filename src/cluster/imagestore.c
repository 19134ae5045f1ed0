/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster/imagestore.h"

#include <stdlib.h>

static const char dockerd_script[] =
#include "cluster/node.sh.inc"
#include "cluster/imagestore.sh.inc"
#include "cluster/dockerd.sh.inc"
;

static const char podman_script[] =
#include "cluster/node.sh.inc"
#include "cluster/imagestore.sh.inc"
#include "cluster/podman.sh.inc"
;

/* How long a node may take back what is half done; milliseconds. */
#define CLEANUP_LIMIT 20000

int sl_imagestore_call(struct sl_imagestore *self, const char *what, const struct sl_strv *words, struct sl_error *err)
{
	int code = sl_session_callv(&self->session, SL_IMAGESTORE_ANSWER, (const char *const *)words->items, words->n, err);
	return code > 0 ? sl_session_failed(&self->session, what, code, err) : code;
}

static void imagestore_close(struct sl_target *target, bool done)
{
	struct sl_imagestore *self = sl_imagestore_of(target);
	sl_session_end(&self->session, done, CLEANUP_LIMIT);
	sl_session_release(&self->session);
	sl_node_archive_release(&self->archive);
	sl_imagestore_release_held(self);
	sl_sha256_free(self->hash);
	free(self->members);
	free(self->pid);
	sl_target_release(target);
	free(self);
}

#define OPS(name)                            \
	{                                    \
		.runtime = name,             \
		.look = sl_imagestore_look,  \
		.version = sl_imagestore_version, \
		.presence = sl_imagestore_presence, \
		.prepare = sl_imagestore_prepare, \
		.layer = sl_imagestore_layer, \
		.data = sl_imagestore_data,  \
		.commit = sl_imagestore_commit, \
		.list = sl_imagestore_list,  \
		.remove = sl_imagestore_remove, \
		.close = imagestore_close,   \
	}

static const struct sl_target_ops dockerd_ops = OPS("dockerd"), podman_ops = OPS("cri-o");
static const struct sl_store_kind dockerd_kind = { "dockerd", "docker load", dockerd_script };
static const struct sl_store_kind podman_kind = { "podman", "podman pull", podman_script };

static struct sl_target *open_store(const struct sl_store_kind *kind, const struct sl_target_ops *ops,
				    const struct sl_cluster *cluster, const struct sl_node *node, struct sl_error *err)
{
	struct sl_imagestore *self = calloc(1, sizeof(*self));
	if (!self) {
		sl_error_nomem(err);
		return NULL;
	}
	self->target.ops = ops;
	self->target.node = node;
	self->kind = kind;
	if (sl_target_start(&self->session, cluster, node, kind->script, err) < 0) {
		free(self);
		return NULL;
	}
	return &self->target;
}

struct sl_target *sl_target_dockerd(const struct sl_cluster *cluster, const struct sl_node *node, struct sl_error *err)
{
	return open_store(&dockerd_kind, &dockerd_ops, cluster, node, err);
}

struct sl_target *sl_target_crio(const struct sl_cluster *cluster, const struct sl_node *node, struct sl_error *err)
{
	return open_store(&podman_kind, &podman_ops, cluster, node, err);
}
