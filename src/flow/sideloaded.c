/* SPDX-License-Identifier: Apache-2.0 */
#include "flow/sideloaded.h"

#include "flow/load.h"

static int collect(const struct sl_load *load, struct sl_strv *names, struct sl_error *err)
{
	for (size_t k = 0; k < load->n_nodes; k++) {
		const struct sl_load_node *node = &load->nodes[k];
		if (!node->target && err)
			*err = node->error;
		if (!node->target || sl_target_sideloaded(node->target, names, err) < 0)
			return sl_error_wrap(err, "node '%s'", node->node->name);
	}
	return 0;
}

int sl_sideloaded(const struct sl_cluster *cluster, const struct sl_cancel *cancel, struct sl_strv *names,
		  struct sl_error *err)
{
	struct sl_load load = { .cluster = cluster, .cancel = cancel };
	int rc = sl_load_open(&load, err) < 0 ? -1 : collect(&load, names, err);
	sl_load_release(&load);
	return rc;
}
