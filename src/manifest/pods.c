/* SPDX-License-Identifier: Apache-2.0 */
#include "manifest/pods.h"

#include <stdlib.h>
#include <string.h>

#include "manifest/locate.h"

void sl_pods_release(struct sl_pods *pods)
{
	free(pods->items);
	*pods = (struct sl_pods)SL_PODS_INIT;
}

bool sl_manifest_is_pod(const struct sl_yaml_node *map)
{
	for (const char *const *list = sl_manifest_container_lists; *list; list++) {
		const struct sl_yaml_node *containers = sl_yaml_get(map, *list);
		for (size_t i = 0; i < sl_yaml_len(containers); i++)
			if (sl_manifest_image(sl_yaml_at(containers, i)))
				return true;
	}
	return false;
}

bool sl_manifest_is_local(const struct sl_yaml_node *spec, const struct sl_rewrite_rules *rules)
{
	const struct sl_yaml_node *volumes = sl_yaml_get(spec, "volumes");
	for (size_t i = 0; i < sl_yaml_len(volumes); i++)
		if (sl_yaml_get(sl_yaml_at(volumes, i), "image"))
			return false;
	for (const char *const *list = sl_manifest_container_lists; *list; list++) {
		const struct sl_yaml_node *containers = sl_yaml_get(spec, *list);
		for (size_t i = 0; i < sl_yaml_len(containers); i++) {
			const struct sl_yaml_node *image = sl_manifest_image(sl_yaml_at(containers, i));
			if (!image || !sl_policy_chooses(rules, image))
				return false;
		}
	}
	/* what is pulled from the cluster's own registry may well need them */
	return !rules->becomes && strcmp(rules->policy, "Always") != 0;
}

struct walker {
	struct sl_pods *pods;
	const struct sl_yaml_node *object;
};

static int add(struct sl_pods *pods, const struct sl_yaml_node *spec, const struct sl_yaml_node *object)
{
	if (pods->n == pods->size) {
		size_t size = pods->size ? pods->size * 2 : 16;
		struct sl_pod *items = realloc(pods->items, size * sizeof(*items));
		if (!items)
			return -1;
		pods->items = items;
		pods->size = size;
	}
	pods->items[pods->n++] = (struct sl_pod){ spec, object };
	return 0;
}

/* What an alias stands for is walked through where it is written. */
static int walk(struct walker walker, const struct sl_yaml_node *node)
{
	if (node->kind == SL_YAML_SEQ) {
		for (size_t i = 0; i < node->n; i++)
			if (walk(walker, node->items[i]) < 0)
				return -1;
		return 0;
	}
	if (node->kind != SL_YAML_MAP || sl_manifest_is_opaque(node))
		return 0;
	if (sl_yaml_get(node, "apiVersion") && sl_yaml_get(node, "kind"))
		walker.object = node;
	if (sl_manifest_is_pod(node) && add(walker.pods, node, walker.object) < 0)
		return -1;
	for (size_t i = 0; i < node->n; i++)
		if (walk(walker, node->items[2 * i + 1]) < 0)
			return -1;
	return 0;
}

int sl_manifest_pods(const struct sl_yaml *yaml, struct sl_pods *pods, struct sl_error *err)
{
	for (size_t i = 0; i < sl_yaml_documents(yaml); i++)
		if (walk((struct walker){ pods, NULL }, sl_yaml_root(yaml, i)) < 0)
			return sl_error_nomem(err);
	return 0;
}
