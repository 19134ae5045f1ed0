/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_CLUSTER_PROVIDER_H
#define SL_CLUSTER_PROVIDER_H

/*
 * Where clusters are found; for the files that find them.
 *
 *	containers.c   nodes that are labelled containers: kind, minikube, k3d
 *	profiles.c     minikube's machines, and its `none` driver, from its files
 *	appliances.c   Docker Desktop, colima, Rancher Desktop, microk8s, k3s
 */

#include "cluster/cluster.h"

struct sl_provider {
	const char *name;
	const char *ca_path;    /* where the API server's CA lies in a control-plane node */
	const char *kubeconfig; /* the command that writes the kubeconfig anew; the name follows */
	const char *start;      /* the command that starts a cluster; the name follows.  NULL: each node by itself */
};

const struct sl_provider *sl_provider_by_name(const char *name);

/* Clusters as they are found. */
struct sl_clusters {
	struct sl_cluster *items;
	size_t n;
};

void sl_clusters_release(struct sl_clusters *clusters);

/* The cluster of that provider and name on @engine (NULL: on none), a new one
 * where there is none yet; NULL when memory is out. */
struct sl_cluster *sl_clusters_get(struct sl_clusters *clusters, const char *provider, const char *name,
				   const struct sl_engine *engine);

/* Append a node; NULL when memory is out. */
struct sl_node *sl_cluster_add_node(struct sl_cluster *cluster);

/* Append the clusters whose nodes are containers of @engine. */
int sl_clusters_in_containers(const struct sl_engine *engine, struct sl_clusters *clusters, struct sl_error *err) SL_MUST_CHECK;

/* Append minikube's clusters whose nodes are no containers: machines that are
 * reached by ssh, and this machine itself.  Profiles that cannot be read are
 * warned about, and passed over. */
int sl_clusters_in_profiles(struct sl_clusters *clusters, struct sl_error *err) SL_MUST_CHECK;

/* What @context is when it is an appliance's: *shared says why the cluster uses
 * the images of @engine (NULL: no engine is open) as they are, to be freed;
 * otherwise *advice (static) what to do instead.  Both NULL: it is none of
 * them. */
int sl_appliance_look(const struct sl_context *context, const struct sl_engine *engine, char **name, char **shared,
		      const char **advice, struct sl_error *err) SL_MUST_CHECK;

#endif
