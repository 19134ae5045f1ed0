/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/log.h"
#include "cluster/cluster.h"

static const char script[] =
#include "cluster/runtime.sh.inc"
;

/* A node that is merely busy answers within this; milliseconds. */
#define ANSWER_LIMIT 20000

int sl_runtime_ask(const struct sl_cluster *cluster, const struct sl_node *node, enum sl_runtime *runtime,
		   struct sl_error *err)
{
	static const struct {
		const char *part;
		enum sl_runtime runtime;
	} table[] = {
		{ "docker", SL_RUNTIME_DOCKERD }, /* cri-dockerd.sock, dockershim.sock, docker.sock */
		{ "crio", SL_RUNTIME_CRIO },
		{ "containerd", SL_RUNTIME_CONTAINERD },
	};
	const char *const argv[] = { "sh", "-c", script, NULL };
	struct sl_remote *remote = sl_cluster_exec(cluster, node, argv, err);
	int code = 0, rc = remote ? sl_remote_finish(remote, &code, ANSWER_LIMIT, err) : -1;
	*runtime = SL_RUNTIME_UNKNOWN;
	for (size_t i = 0; rc == 0 && i < sizeof(table) / sizeof(table[0]) && *runtime == SL_RUNTIME_UNKNOWN; i++)
		if (strstr(sl_buf_text(&remote->out), table[i].part))
			*runtime = table[i].runtime;
	if (rc == 0)
		sl_debug("node '%s': its kubelet talks to %s", node->name, remote->out.len ? sl_buf_text(&remote->out) : "nobody");
	sl_remote_free(remote);
	if (rc == 0 && *runtime == SL_RUNTIME_UNKNOWN)
		rc = sl_error_set(err, SL_FAILED, "neither containerd nor dockerd nor CRI-O was found on it");
	return rc;
}
