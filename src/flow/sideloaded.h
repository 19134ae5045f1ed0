/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_FLOW_SIDELOADED_H
#define SL_FLOW_SIDELOADED_H

/* Which images of a cluster came by a side-load: the nodes know; where their runtime
 * keeps no record (dockerd, podman), the names that stand for what the engine has. */

#include "cluster/cluster.h"

/* Append to @names the canonical names of the images that sidelift loaded into
 * any chosen node of @cluster and that still stand there for what it loaded.
 * @engine (NULL: there is none) has the images.  The guard applies.  A node that
 * cannot be asked is an error. */
int sl_sideloaded(const struct sl_cluster *cluster, const struct sl_engine *engine, const struct sl_cancel *cancel,
		  struct sl_strv *names, struct sl_error *err) SL_MUST_CHECK;

#endif
