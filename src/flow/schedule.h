/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_FLOW_SCHEDULE_H
#define SL_FLOW_SCHEDULE_H

/*
 * Where a pod may go, as far as its own words and the nodes' decide it: nodeName,
 * nodeSelector, required node affinity, taints and tolerations.  What depends on other
 * pods or on resources rules nothing out.
 */

#include <stdbool.h>

#include "base/json.h"
#include "base/yaml.h"

/* Whether the pod @spec (PodSpec, v1) may run on @node (Node, v1). */
bool sl_schedule_may_run(const struct sl_yaml_node *spec, const json_t *node);

#endif
