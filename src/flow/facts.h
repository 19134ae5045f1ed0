/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_FLOW_FACTS_H
#define SL_FLOW_FACTS_H

/*
 * What a check of manifests (manifest/lint.h) wants to know of a cluster: which names
 * its nodes hold, for which contents, and where a pod may go.
 */

#include "flow/holdings.h"
#include "flow/kubectl.h"
#include "manifest/lint.h"

struct sl_facts {
	struct sl_holdings holdings;
	json_t *nodes;        /* Node objects; NULL: no API server told, and a pod may go everywhere */
	struct sl_strv local; /* canonical names that were side-loaded into some node */
};

/* Ask the nodes of @cluster, @engine (NULL: it is left out) and, by @kubectl (NULL
 * likewise), its API server.  A node that cannot be asked is an error: what it holds
 * would be missing everywhere. */
int sl_facts_read(const struct sl_cluster *cluster, const struct sl_engine *engine, const struct sl_kubectl *kubectl,
		  const struct sl_cancel *cancel, struct sl_facts *out, struct sl_error *err) SL_MUST_CHECK;
void sl_facts_release(struct sl_facts *facts);

/* A struct sl_lint_cluster's `ask`; @ctx is a struct sl_facts. */
int sl_facts_ask(void *ctx, const char *image, const struct sl_pod *pod, struct sl_lint_image *out, struct sl_error *err) SL_MUST_CHECK;

#endif
