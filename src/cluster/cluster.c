/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster/cluster.h"

#include <stdlib.h>
#include <string.h>

#include "cluster/provider.h"

static void release_machine(struct sl_machine *machine)
{
	if (!machine)
		return;
	free(machine->host);
	free(machine->user);
	free(machine->key);
	free(machine);
}

static void release_node(struct sl_node *node)
{
	free(node->name);
	free(node->container);
	release_machine(node->machine);
	free(node->state);
	sl_strv_release(&node->endpoints);
	sl_strv_release(&node->dockers);
	sl_strv_release(&node->sshds);
}

void sl_cluster_release(struct sl_cluster *cluster)
{
	for (size_t i = 0; i < cluster->n_nodes; i++)
		release_node(&cluster->nodes[i]);
	free(cluster->nodes);
	sl_strv_release(&cluster->endpoints);
	free(cluster->name);
	free(cluster->evidence);
	free(cluster->shared);
	free(cluster->context);
	free(cluster->ca);
	*cluster = (struct sl_cluster){ 0 };
}

void sl_clusters_release(struct sl_clusters *clusters)
{
	for (size_t i = 0; i < clusters->n; i++)
		sl_cluster_release(&clusters->items[i]);
	free(clusters->items);
	*clusters = (struct sl_clusters){ 0 };
}

struct sl_cluster *sl_clusters_get(struct sl_clusters *clusters, const char *provider, const char *name,
				   const struct sl_engine *engine)
{
	for (size_t i = 0; i < clusters->n; i++) {
		struct sl_cluster *known = &clusters->items[i];
		if (known->engine == engine && !strcmp(known->provider, provider) && !strcmp(known->name, name))
			return known;
	}
	struct sl_cluster *bigger = realloc(clusters->items, (clusters->n + 1) * sizeof(*bigger));
	if (!bigger)
		return NULL;
	clusters->items = bigger;
	struct sl_cluster *cluster = &bigger[clusters->n];
	*cluster = (struct sl_cluster){ .provider = provider, .engine = engine, .name = strdup(name) };
	if (!cluster->name)
		return NULL;
	clusters->n++;
	return cluster;
}

struct sl_node *sl_cluster_add_node(struct sl_cluster *cluster)
{
	struct sl_node *nodes = realloc(cluster->nodes, (cluster->n_nodes + 1) * sizeof(*nodes));
	if (!nodes)
		return NULL;
	cluster->nodes = nodes;
	struct sl_node *node = &nodes[cluster->n_nodes++];
	*node = (struct sl_node){ 0 };
	return node;
}
