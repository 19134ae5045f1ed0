/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "cluster/cluster.h"

/*
 * kind: node containers labelled io.x-k8s.kind.cluster=NAME with a role of
 * control-plane or worker; a load balancer in front of several control planes
 * publishes their address.
 */

#define LABEL_CLUSTER "io.x-k8s.kind.cluster"
#define LABEL_ROLE "io.x-k8s.kind.role"
#define API_PORT 6443

/* Remember where port 6443 of @container is reached: published on the host, and
 * at the container's own addresses. */
static int add_endpoints(struct sl_strv *endpoints, const json_t *container)
{
	size_t i;
	json_t *port, *network;
	const char *key;
	char text[128];
	json_array_foreach(json_object_get(container, "Ports"), i, port) {
		const char *ip = sl_json_str(port, "IP");
		json_int_t public = sl_json_int(port, "PublicPort", 0);
		if (sl_json_int(port, "PrivatePort", 0) != API_PORT || !public)
			continue;
		snprintf(text, sizeof(text), "%s:%d", ip && *ip ? ip : "0.0.0.0", (int)public);
		if (sl_strv_add_new(endpoints, text) < 0)
			return -1;
	}
	json_t *networks = json_object_get(json_object_get(container, "NetworkSettings"), "Networks");
	json_object_foreach(networks, key, network) {
		const char *ip = sl_json_str(network, "IPAddress");
		if (!ip || !*ip)
			continue;
		snprintf(text, sizeof(text), "%s:%d", ip, API_PORT);
		if (sl_strv_add_new(endpoints, text) < 0)
			return -1;
	}
	return 0;
}

static int add_node(struct sl_cluster *cluster, const json_t *container, const char *role)
{
	const char *id = sl_json_str(container, "Id"), *state = sl_json_str(container, "State");
	const char *name = json_string_value(json_array_get(json_object_get(container, "Names"), 0));
	if (!id || !name)
		return 0;
	struct sl_node *node = sl_cluster_add_node(cluster);
	if (!node)
		return -1;
	node->name = strdup(name + (name[0] == '/'));
	node->container = strdup(id);
	node->state = strdup(state ? state : "");
	node->running = state && !strcmp(state, "running");
	node->control_plane = !strcmp(role, "control-plane");
	node->runtime = SL_RUNTIME_CONTAINERD;
	if (!node->name || !node->container || !node->state)
		return -1;
	return node->control_plane ? add_endpoints(&node->endpoints, container) : 0;
}

static int find(const struct sl_engine *engine, struct sl_cluster **clusters, size_t *n, struct sl_error *err)
{
	sl_autojson json_t *list = sl_engine_containers(engine, LABEL_CLUSTER, err);
	if (!list)
		return -1;
	size_t i;
	json_t *container;
	json_array_foreach(list, i, container) {
		const json_t *labels = json_object_get(container, "Labels");
		const char *name = sl_json_str(labels, LABEL_CLUSTER), *role = sl_json_str(labels, LABEL_ROLE);
		if (!name || !*name || !role)
			continue;
		struct sl_cluster *cluster = sl_clusters_get(clusters, n, "kind", name, engine);
		if (!cluster)
			return sl_error_nomem(err);
		int rc = 0;
		if (!strcmp(role, "control-plane") || !strcmp(role, "worker"))
			rc = add_node(cluster, container, role);
		else if (!strcmp(role, "external-load-balancer"))
			rc = add_endpoints(&cluster->endpoints, container);
		if (rc < 0)
			return sl_error_nomem(err);
	}
	return 0;
}

const struct sl_provider sl_provider_kind = {
	.name = "kind",
	.find = find,
	.ca_path = "/etc/kubernetes/pki/ca.crt",
};
