/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_CLI_ENGINES_H
#define SL_CLI_ENGINES_H

/*
 * The engines that may run nodes, in turn: the one that --node-engine names, and no
 * other; or the active one, then those that are not active
 * (sl_engine_locate_others()).  Zero but for `cli` at first.
 */

#include "cli/cli.h"

struct sl_node_engines {
	struct sl_cli *cli; /* owns the engines that are opened */
	struct sl_location *others;
	size_t n_others, at;
	bool begun;
	struct sl_error active; /* why the active one is not open */
};

/* A struct sl_cluster_sources' next; @ctx is a struct sl_node_engines. */
const struct sl_engine *sl_node_engines_next(void *ctx, struct sl_error *err);
void sl_node_engines_release(struct sl_node_engines *engines);

#endif
