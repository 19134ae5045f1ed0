/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_CLUSTER_SWITCHED_H
#define SL_CLUSTER_SWITCHED_H

/*
 * minikube's docker-env points DOCKER_HOST at the engine inside a node and leaves
 * the profile's name in MINIKUBE_ACTIVE_DOCKERD (minikube,
 * cmd/minikube/cmd/docker-env.go).  Nothing undoes that when the cluster goes or
 * its ports change.
 */

#include "cluster/cluster.h"

struct sl_switched {
	const char *profile; /* MINIKUBE_ACTIVE_DOCKERD; NULL: docker is not switched.  Borrowed from the environment */
	bool stale;
	char *why;           /* "node 'minikube' publishes it", "minikube cluster 'dev' is not there any more" */
};

void sl_switched_release(struct sl_switched *switched);

/* Hold the environment against minikube's machines and what @engines [@n] run. */
int sl_switched_look(const struct sl_engine *const *engines, size_t n, struct sl_switched *out, struct sl_error *err) SL_MUST_CHECK;

#endif
