/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster/cluster.h"

struct sl_remote *sl_cluster_exec(const struct sl_cluster *cluster, const struct sl_node *node, const char *const *argv,
				  struct sl_error *err)
{
	return sl_engine_exec(cluster->engine, node->container, argv, err);
}
