/* SPDX-License-Identifier: Apache-2.0 */
#include "manifest/locate.h"

#include <stdlib.h>

#include "base/cleanup.h"

void sl_containers_release(struct sl_containers *containers)
{
	free(containers->items);
	*containers = (struct sl_containers)SL_CONTAINERS_INIT;
}

const char *const sl_manifest_container_lists[] = { "initContainers", "containers", "ephemeralContainers", NULL };

bool sl_manifest_is_container_key(const struct sl_yaml_node *key)
{
	for (const char *const *list = sl_manifest_container_lists; *list; list++)
		if (sl_yaml_is(key, *list))
			return true;
	return false;
}

bool sl_manifest_is_opaque(const struct sl_yaml_node *map)
{
	const struct sl_yaml_node *kind = sl_yaml_get(map, "kind");
	return (sl_yaml_is(kind, "ConfigMap") || sl_yaml_is(kind, "Secret") ||
		sl_yaml_is(kind, "CustomResourceDefinition")) &&
	       sl_yaml_get(map, "apiVersion"); /* else it is some other field called kind */
}

const struct sl_yaml_node *sl_manifest_image(const struct sl_yaml_node *item)
{
	const struct sl_yaml_node *image = sl_yaml_get(item, "image");
	return image && sl_yaml_is_string(image) && sl_yaml_str(image) ? image : NULL;
}

struct locator {
	struct sl_containers *containers;
	unsigned char *taken; /* by node id: a container that was found already */
};

static int take(struct locator *locator, const struct sl_yaml_node *item)
{
	struct sl_containers *found = locator->containers;
	const struct sl_yaml_node *image = sl_manifest_image(item);
	if (!image || locator->taken[item->id])
		return 0;
	locator->taken[item->id] = 1;
	if (found->n == found->size) {
		size_t size = found->size ? found->size * 2 : 16;
		struct sl_container *items = realloc(found->items, size * sizeof(*items));
		if (!items)
			return -1;
		found->items = items;
		found->size = size;
	}
	found->items[found->n++] = (struct sl_container){ item, image };
	return 0;
}

/* An alias is followed only where it stands for a list of containers or for one
 * of them: whatever else it stands for is walked through where it is written. */
static int walk(struct locator *locator, const struct sl_yaml_node *node)
{
	if (node->kind == SL_YAML_SEQ) {
		for (size_t i = 0; i < node->n; i++)
			if (walk(locator, node->items[i]) < 0)
				return -1;
		return 0;
	}
	if (node->kind != SL_YAML_MAP || sl_manifest_is_opaque(node))
		return 0;
	for (size_t i = 0; i < node->n; i++) {
		const struct sl_yaml_node *value = node->items[2 * i + 1];
		bool list = sl_manifest_is_container_key(node->items[2 * i]);
		for (size_t j = 0; list && j < sl_yaml_len(value); j++) {
			const struct sl_yaml_node *item = sl_yaml_at(value, j);
			if (item && take(locator, item) < 0)
				return -1;
		}
		if (walk(locator, value) < 0)
			return -1;
	}
	return 0;
}

int sl_manifest_locate(const struct sl_yaml *yaml, struct sl_containers *containers, struct sl_error *err)
{
	sl_autofree unsigned char *taken = calloc(sl_yaml_nodes(yaml) + 1, 1);
	if (!taken)
		return sl_error_nomem(err);
	struct locator locator = { containers, taken };
	for (size_t i = 0; i < sl_yaml_documents(yaml); i++)
		if (walk(&locator, sl_yaml_root(yaml, i)) < 0)
			return sl_error_nomem(err);
	return 0;
}
