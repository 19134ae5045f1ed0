/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster/containerd.h"
#include "cluster/provider.h"

#include <stdlib.h>

static const char script[] =
#include "cluster/containerd.sh.inc"
;

/* How long a node may take back what is half done; milliseconds. */
#define CLEANUP_LIMIT 20000

static void containerd_close(struct sl_target *target, bool done)
{
	struct sl_containerd *self = sl_containerd_of(target);
	sl_session_end(&self->session, done, CLEANUP_LIMIT);
	sl_session_release(&self->session);
	sl_tar_writer_free(self->writer);
	sl_buf_release(&self->capture);
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
	if (sl_session_token(&self->session, err) < 0) {
		free(self);
		return NULL;
	}
	const char *ca = node->control_plane ? sl_provider_by_name(cluster->provider)->ca_path : "/dev/null";
	const char *const argv[] = { "sh", "-c", script, "sidelift", self->session.token, ca, NULL };
	struct sl_remote *remote = sl_cluster_exec(cluster, node, argv, err);
	if (!remote) {
		free(self);
		return NULL;
	}
	sl_session_attach(&self->session, remote);
	return &self->target;
}
