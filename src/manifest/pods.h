/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_MANIFEST_PODS_H
#define SL_MANIFEST_PODS_H

/*
 * Where a manifest has pods: maps with a list of containers of which one at least has
 * an image, at any depth and in every kind, as manifest/locate.h has the containers.
 */

#include "base/yaml.h"
#include "manifest/policy.h"

#define SL_PULL_SECRETS_KEY "imagePullSecrets"

struct sl_pod {
	const struct sl_yaml_node *spec;   /* the map with `containers` */
	const struct sl_yaml_node *object; /* the nearest one around it that has apiVersion and kind; NULL: none has */
};

struct sl_pods {
	struct sl_pod *items; /* borrowed from the tree they were found in */
	size_t n, size;
};

#define SL_PODS_INIT { NULL, 0, 0 }

void sl_pods_release(struct sl_pods *pods);
#define sl_autopods SL_CLEANUP(sl_pods_release)

/* Append the pods of all documents, in the order of the text. */
int sl_manifest_pods(const struct sl_yaml *yaml, struct sl_pods *pods, struct sl_error *err) SL_MUST_CHECK;

/* Whether @map is a pod's: it has a container with an image. */
bool sl_manifest_is_pod(const struct sl_yaml_node *map);

/* Whether nothing of the pod @spec need be pulled by the rules: every container has
 * a chosen image, there is no volume of an image, and the policy is not Always. */
bool sl_manifest_is_local(const struct sl_yaml_node *spec, const struct sl_rewrite_rules *rules);

#endif
