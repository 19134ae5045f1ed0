/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_CLUSTER_CLUSTER_H
#define SL_CLUSTER_CLUSTER_H

/*
 * A local cluster and its nodes, as the engine that runs the node containers
 * shows them, and the proof that a kube context means it.
 *
 * Only local clusters are touched.  A context counts as one when its server
 * address is one that the cluster's own containers publish
 * (sl_cluster_select()) and its CA is the one on the node (sl_guard_check());
 * a name that looks right is not enough.
 */

#include <stdbool.h>

#include "base/strv.h"
#include "cluster/kubeconfig.h"
#include "engine/engine.h"

/* What runs a node's containers. */
enum sl_runtime {
	SL_RUNTIME_UNKNOWN, /* the provider does not tell: the node is asked */
	SL_RUNTIME_CONTAINERD,
	SL_RUNTIME_DOCKERD,
	SL_RUNTIME_CRIO,
};

/* How a machine is reached by ssh. */
struct sl_machine {
	char *host, *user, *key; /* the key's file; NULL: ssh's own choice */
	int port;
};

struct sl_node {
	char *name;
	/* the way to it: a container, a machine, or (neither) this machine itself */
	char *container; /* its ID on the engine of the nodes */
	struct sl_machine *machine;
	enum sl_runtime runtime;
	bool control_plane;
	bool running;
	bool chosen;     /* to be loaded into (--node) */
	char *state;     /* the engine's word: "running", "exited", "paused" */
	struct sl_strv endpoints; /* "127.0.0.1:41235": where its API server is published */
	struct sl_strv dockers;   /* where its Docker engine is (port 2376), TLS; minikube's only */
	struct sl_strv sshds;     /* where its ssh is (port 22) */
};

struct sl_cluster {
	const char *provider; /* "kind"; static */
	char *name;
	char *evidence;       /* why this one */
	char *shared;         /* why it uses the engine's images as they are; NULL: it does not */
	const struct sl_engine *engine; /* that runs the nodes; borrowed, NULL when they are no containers */
	const struct sl_cancel *cancel; /* borrowed; may be NULL */
	struct sl_node *nodes;
	size_t n_nodes;
	struct sl_strv endpoints; /* of a load balancer in front */
	/* where a kube context led here: what must be proven still */
	char *context; /* NULL when the cluster was named by --cluster, or is the only one */
	char *ca;      /* PEM from the kubeconfig */
};

void sl_cluster_release(struct sl_cluster *cluster);

struct sl_cluster_options {
	const char *kubeconfig;   /* --kubeconfig, or NULL */
	const char *kube_context; /* --kube-context, or NULL */
	const char *cluster;      /* --cluster PROVIDER/NAME, or NULL */
	const struct sl_strv *nodes; /* --node; empty: all */
};

/* The engines that may run nodes, one after the other, opened when they are asked
 * for. */
struct sl_cluster_sources {
	/* The next one (borrowed); NULL when there is none left, or with @err when one
	 * that the user named cannot be opened. */
	const struct sl_engine *(*next)(void *ctx, struct sl_error *err);
	void *ctx;
	const struct sl_engine *images; /* that has the images; NULL: not open */
	const struct sl_cancel *cancel; /* borrowed; may be NULL */
};

/* Find the cluster that the options and the kubeconfig mean, among minikube's
 * machines and what @sources run.  SL_REFUSED when the context is not one of them;
 * SL_NOT_FOUND when there is none; SL_FAILED when several could be meant (all
 * named).  The nodes are those chosen by --node, and always in the engine's order
 * by name with the control plane first. */
int sl_cluster_select(const struct sl_cluster_sources *sources, const struct sl_cluster_options *options,
		      struct sl_cluster *out, struct sl_error *err) SL_MUST_CHECK;

/* Whether @node_ca (PEM read from a control-plane node) is the CA that the
 * context trusts.  0, or -1 with SL_REFUSED. */
int sl_guard_check(const struct sl_cluster *cluster, const char *node_ca, struct sl_error *err) SL_MUST_CHECK;

/* Append the CA that the control plane @node shows, to @pem (bounded). */
int sl_cluster_read_ca(const struct sl_cluster *cluster, const struct sl_node *node, struct sl_buf *pem,
		       struct sl_error *err) SL_MUST_CHECK;

/* Start @argv (NULL-terminated) on @node, by whatever way leads there.  The caller
 * ends it (base/remote.h); NULL with @err when it cannot be started. */
struct sl_remote *sl_cluster_exec(const struct sl_cluster *cluster, const struct sl_node *node, const char *const *argv,
				  struct sl_error *err) SL_MUST_CHECK;

/* Append the command that starts @node of @cluster. */
void sl_cluster_put_start(struct sl_buf *out, const struct sl_cluster *cluster, const struct sl_node *node);

/* Ask @node which runtime its kubelet uses; SL_FAILED when it has none that can be
 * loaded into. */
int sl_runtime_ask(const struct sl_cluster *cluster, const struct sl_node *node, enum sl_runtime *runtime,
		   struct sl_error *err) SL_MUST_CHECK;

/* What a user does about a context that is not provably local; static. */
const char *sl_guard_advice(void);

#endif
