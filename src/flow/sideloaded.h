/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_FLOW_SIDELOADED_H
#define SL_FLOW_SIDELOADED_H

/* Which images of a cluster came by a side-load: the nodes know. */

#include "cluster/cluster.h"

/* Append to @names the canonical names of the images that sidelift loaded into
 * any chosen node of @cluster and that still stand there for what it loaded.
 * The guard applies.  A node that cannot be asked is an error. */
int sl_sideloaded(const struct sl_cluster *cluster, const struct sl_cancel *cancel, struct sl_strv *names,
		  struct sl_error *err) SL_MUST_CHECK;

#endif
