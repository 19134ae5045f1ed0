/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "cluster/provider.h"

/*
 * Clusters whose nodes are containers: each tool labels them with the cluster's
 * name and the node's role.  A load balancer in front of several control planes
 * publishes their address.
 */

struct scheme {
	struct sl_provider provider;
	const char *label_cluster, *label_role;
	const char *label_node;    /* the node's name; NULL: the container's */
	const char *control_plane; /* the role's word */
	const char *worker;        /* NULL: whatever is not one of the others */
	const char *balancer;      /* NULL: none */
	int api_port;
	int engine_port, ssh_port; /* of a Docker engine in the node, and of its ssh; 0: none */
	enum sl_runtime runtime;
};

static const struct scheme schemes[] = {
	{ /* kind, pkg/cluster/constants, internal/providers/common */
		.provider = { "kind", "/etc/kubernetes/pki/ca.crt", "kind export kubeconfig --name", NULL },
		.label_cluster = "io.x-k8s.kind.cluster", .label_role = "io.x-k8s.kind.role",
		.control_plane = "control-plane", .worker = "worker", .balancer = "external-load-balancer",
		.api_port = 6443, .runtime = SL_RUNTIME_CONTAINERD,
	},
	{ /* minikube with the docker or podman driver, pkg/drivers/kic/oci */
		.provider = { "minikube", "/var/lib/minikube/certs/ca.crt", "minikube update-context -p", "minikube start -p" },
		.label_cluster = "name.minikube.sigs.k8s.io", .label_role = "role.minikube.sigs.k8s.io",
		.label_node = "mode.minikube.sigs.k8s.io", .control_plane = "control-plane", .api_port = 8443, .engine_port = 2376, .ssh_port = 22,
	},
	{ /* k3d, pkg/types */
		.provider = { "k3d", "/var/lib/rancher/k3s/server/tls/server-ca.crt", "k3d kubeconfig merge", "k3d cluster start" },
		.label_cluster = "k3d.cluster", .label_role = "k3d.role",
		.control_plane = "server", .worker = "agent", .balancer = "loadbalancer",
		.api_port = 6443, .runtime = SL_RUNTIME_CONTAINERD,
	},
};
#define N_SCHEMES (sizeof(schemes) / sizeof(schemes[0]))

const struct sl_provider *sl_provider_by_name(const char *name)
{
	for (size_t i = 0; i < N_SCHEMES; i++)
		if (!strcmp(schemes[i].provider.name, name))
			return &schemes[i].provider;
	return NULL;
}

void sl_cluster_put_start(struct sl_buf *out, const struct sl_cluster *cluster, const struct sl_node *node)
{
	const struct sl_provider *provider = sl_provider_by_name(cluster->provider);
	if (provider && provider->start)
		sl_buf_printf(out, "%s %s", provider->start, cluster->name);
	else
		sl_buf_printf(out, "%s start %s", cluster->engine ? cluster->engine->program : "docker", node->name);
}

/* Remember where port @private of @container is reached: published on the host, and at the
 * container's own addresses. */
static int add_endpoints(struct sl_strv *endpoints, const json_t *container, int private)
{
	size_t i;
	json_t *port, *network;
	const char *key;
	char text[128];
	json_array_foreach(json_object_get(container, "Ports"), i, port) {
		const char *ip = sl_json_str(port, "IP");
		json_int_t public = sl_json_int(port, "PublicPort", 0);
		if (sl_json_int(port, "PrivatePort", 0) != private || !public)
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
		snprintf(text, sizeof(text), "%s:%d", ip, private);
		if (sl_strv_add_new(endpoints, text) < 0)
			return -1;
	}
	return 0;
}

static int add_node(struct sl_cluster *cluster, const struct scheme *scheme, const json_t *container, bool control_plane)
{
	const char *id = sl_json_str(container, "Id"), *state = sl_json_str(container, "State");
	const char *name = json_string_value(json_array_get(json_object_get(container, "Names"), 0));
	const char *given = scheme->label_node ? sl_json_str(json_object_get(container, "Labels"), scheme->label_node) : NULL;
	if (!id || !name)
		return 0;
	struct sl_node *node = sl_cluster_add_node(cluster);
	if (!node)
		return -1;
	node->name = strdup(given && *given ? given : name + (name[0] == '/'));
	node->container = strdup(id);
	node->state = strdup(state ? state : "");
	node->running = state && !strcmp(state, "running");
	node->control_plane = control_plane;
	node->runtime = scheme->runtime;
	if (!node->name || !node->container || !node->state)
		return -1;
	if (scheme->engine_port && (add_endpoints(&node->dockers, container, scheme->engine_port) < 0 ||
				    add_endpoints(&node->sshds, container, scheme->ssh_port) < 0))
		return -1;
	return control_plane ? add_endpoints(&node->endpoints, container, scheme->api_port) : 0;
}

static int take_container(const struct scheme *scheme, const struct sl_engine *engine, const json_t *container,
			  struct sl_clusters *clusters)
{
	const json_t *labels = json_object_get(container, "Labels");
	const char *name = sl_json_str(labels, scheme->label_cluster), *role = sl_json_str(labels, scheme->label_role);
	if (!name || !*name || (!role && scheme->worker))
		return 0;
	struct sl_cluster *cluster = sl_clusters_get(clusters, scheme->provider.name, name, engine);
	if (!cluster)
		return -1;
	bool control_plane = role && !strcmp(role, scheme->control_plane);
	if (control_plane || !scheme->worker || !strcmp(role, scheme->worker))
		return add_node(cluster, scheme, container, control_plane);
	if (scheme->balancer && !strcmp(role, scheme->balancer))
		return add_endpoints(&cluster->endpoints, container, scheme->api_port);
	return 0;
}

int sl_clusters_in_containers(const struct sl_engine *engine, struct sl_clusters *clusters, struct sl_error *err)
{
	sl_autojson json_t *list = sl_engine_containers(engine, NULL, err);
	if (!list)
		return -1;
	size_t i;
	json_t *container;
	json_array_foreach(list, i, container)
		for (size_t s = 0; s < N_SCHEMES; s++)
			if (take_container(&schemes[s], engine, container, clusters) < 0)
				return sl_error_nomem(err);
	return 0;
}
