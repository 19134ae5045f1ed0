/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster/containerd.h"

#include <stdlib.h>

static const char script[] =
#include "cluster/node.sh.inc"
#include "cluster/containerd_direct.sh.inc"
#include "cluster/containerd.sh.inc"
;

/* How long a node may take back what is half done; milliseconds. */
#define CLEANUP_LIMIT 20000

static void containerd_close(struct sl_target *target, bool done)
{
	struct sl_containerd *self = sl_containerd_of(target);
	if (done)
		sl_containerd_drop_blobs(self);
	sl_strv_release(&self->drop);
	sl_session_end(&self->session, done, CLEANUP_LIMIT);
	sl_session_release(&self->session);
	sl_node_archive_release(&self->archive);
	sl_direct_release(&self->direct);
	sl_containerd_release_records(self);
	free(self->pid);
	sl_target_release(target);
	free(self);
}

static const struct sl_target_ops containerd_ops = {
	.runtime = "containerd",
	.version = sl_containerd_version,
	.look = sl_containerd_look,
	.presence = sl_containerd_presence,
	.prepare = sl_containerd_prepare,
	.layer = sl_containerd_layer,
	.data = sl_containerd_data,
	.take = sl_containerd_take,
	.commit = sl_containerd_commit,
	.sideloaded = sl_containerd_sideloaded,
	.list = sl_containerd_list,
	.remove = sl_containerd_remove,
	.close = containerd_close,
};

struct sl_target *sl_target_containerd(const struct sl_cluster *cluster, const struct sl_node *node,
				       struct sl_error *err)
{
	struct sl_containerd *self = calloc(1, sizeof(*self));
	if (!self) {
		sl_error_nomem(err);
		return NULL;
	}
	self->target.ops = &containerd_ops;
	self->target.node = node;
	if (sl_target_start(&self->session, cluster, node, script, err) < 0) {
		free(self);
		return NULL;
	}
	return &self->target;
}
