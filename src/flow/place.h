/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_FLOW_PLACE_H
#define SL_FLOW_PLACE_H

/*
 * Where images come from and where they go: the engine that has them and the
 * cluster, found by what the user said and by what docker and kubectl would take.
 * Each is looked for when it is first asked for, once.
 *
 *	struct sl_place place = { .options = ..., .engine = &engine, .cluster = &cluster };
 *	sl_place_cluster(&place, err);      (in any order,
 *	sl_place_engine(&place, err);        or one of them only)
 *	sl_place_release(&place);
 */

#include "cluster/switched.h"
#include "flow/kubectl.h"

/* More engines than any machine runs. */
#define SL_PLACE_ENGINES 12

/* What the user said; NULL, 0 or empty: nothing.  All of it is borrowed. */
struct sl_place_options {
	const char *docker_host, *docker_context; /* the engine that has the images */
	const char *node_engine;                  /* the URL of the one that runs the nodes */
	const char *kubeconfig, *kube_context;
	const char *cluster;                      /* "kind/dev" */
	const char *profile;                      /* minikube's */
	const struct sl_strv *nodes;
	int64_t patience; /* for an engine's first answer, milliseconds; 0: SL_ENGINE_PATIENCE */
};

struct sl_place {
	struct sl_place_options options;
	const struct sl_cancel *cancel; /* borrowed; may be NULL */
	/* where what is found goes: the caller's, zero at first */
	struct sl_engine *engine;
	struct sl_cluster *cluster;
	char *engine_context; /* docker's context that `engine` is from; NULL: none */
	/* for place.c */
	struct sl_error engine_error; /* why `engine` could not be opened */
	struct sl_engine node_engine;
	struct sl_engine others[SL_PLACE_ENGINES]; /* asked for nodes, beside the active one */
	size_t n_others;
};

/* Open the engine that has the images.  One that did not answer is not waited for
 * twice. */
int sl_place_engine(struct sl_place *place, struct sl_error *err) SL_MUST_CHECK;

/* Find the cluster, among minikube's machines and what the engines run: the one that
 * options.node_engine names, or the active one and then those that are not.
 * Without a cluster or context in the options, KIND_CLUSTER_NAME and MINIKUBE_PROFILE
 * stand for one. */
int sl_place_cluster(struct sl_place *place, struct sl_error *err) SL_MUST_CHECK;

/* What minikube's docker-env did to the environment, and whether that still holds. */
int sl_place_switched(struct sl_place *place, struct sl_switched *out, struct sl_error *err) SL_MUST_CHECK;

/* The user's kubectl, pinned to the context that led to the cluster: what was proven
 * to be local, whatever happens to the current context meanwhile.  @namespace may be
 * NULL.  Borrows from @place. */
int sl_place_kubectl(struct sl_place *place, const char *namespace, struct sl_kubectl *out, struct sl_error *err) SL_MUST_CHECK;

/* The same, pinned to the chosen or current context, which nothing proves to be local: to
 * read from only.  *context is its name, to be freed after use. */
int sl_place_kubectl_reading(struct sl_place *place, char **context, struct sl_kubectl *out, struct sl_error *err) SL_MUST_CHECK;

/* Release the engine, the cluster, and the other engines that were opened. */
void sl_place_release(struct sl_place *place);

#endif
