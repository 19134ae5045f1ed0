/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_MANIFEST_LOCATE_H
#define SL_MANIFEST_LOCATE_H

/*
 * Where a manifest has containers: items with an `image` string in lists named
 * containers, initContainers or ephemeralContainers, at any depth and in every
 * kind, but nothing inside a ConfigMap, a Secret or a CustomResourceDefinition.
 */

#include "base/yaml.h"

struct sl_container {
	const struct sl_yaml_node *map;   /* the item, not an alias of it */
	const struct sl_yaml_node *image; /* the string that counts */
};

struct sl_containers {
	struct sl_container *items; /* borrowed from the tree they were found in */
	size_t n, size;
};

#define SL_CONTAINERS_INIT { NULL, 0, 0 }

void sl_containers_release(struct sl_containers *containers);
#define sl_autocontainers SL_CLEANUP(sl_containers_release)

/* Append the containers of all documents, each once however many aliases stand
 * for it. */
int sl_manifest_locate(const struct sl_yaml *yaml, struct sl_containers *containers,
		       struct sl_error *err) SL_MUST_CHECK;

/* What the above consists of, for whoever must agree with it. */

/* The lists that hold a pod's containers; NULL at the end. */
extern const char *const sl_manifest_container_lists[];

/* Whether the list at @key holds containers. */
bool sl_manifest_is_container_key(const struct sl_yaml_node *key);

/* Whether @map is an object in which nothing is a container. */
bool sl_manifest_is_opaque(const struct sl_yaml_node *map);

/* The image of @item of a list of containers; NULL if it has none. */
const struct sl_yaml_node *sl_manifest_image(const struct sl_yaml_node *item);

#endif
