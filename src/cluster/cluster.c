/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster/cluster.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/log.h"

static const struct sl_provider *const providers[] = {
	&sl_provider_kind,
};
#define N_PROVIDERS (sizeof(providers) / sizeof(providers[0]))

const struct sl_provider *sl_provider_by_name(const char *name)
{
	for (size_t i = 0; i < N_PROVIDERS; i++)
		if (!strcmp(providers[i]->name, name))
			return providers[i];
	return NULL;
}

static void release_node(struct sl_node *node)
{
	free(node->name);
	free(node->container);
	free(node->state);
	sl_strv_release(&node->endpoints);
}

void sl_cluster_release(struct sl_cluster *cluster)
{
	for (size_t i = 0; i < cluster->n_nodes; i++)
		release_node(&cluster->nodes[i]);
	free(cluster->nodes);
	sl_strv_release(&cluster->endpoints);
	free(cluster->name);
	free(cluster->evidence);
	free(cluster->context);
	free(cluster->ca);
	*cluster = (struct sl_cluster){ 0 };
}

void sl_clusters_free(struct sl_cluster *clusters, size_t n)
{
	for (size_t i = 0; i < n; i++)
		sl_cluster_release(&clusters[i]);
	free(clusters);
}

struct sl_cluster *sl_clusters_get(struct sl_cluster **clusters, size_t *n, const char *provider, const char *name,
				   const struct sl_engine *engine)
{
	for (size_t i = 0; i < *n; i++)
		if (!strcmp((*clusters)[i].provider, provider) && !strcmp((*clusters)[i].name, name))
			return &(*clusters)[i];
	struct sl_cluster *bigger = realloc(*clusters, (*n + 1) * sizeof(*bigger));
	if (!bigger)
		return NULL;
	*clusters = bigger;
	struct sl_cluster *cluster = &bigger[*n];
	*cluster = (struct sl_cluster){ .provider = provider, .engine = engine, .name = strdup(name) };
	if (!cluster->name)
		return NULL;
	++*n;
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

static int by_role_and_name(const void *a, const void *b)
{
	const struct sl_node *x = a, *y = b;
	if (x->control_plane != y->control_plane)
		return x->control_plane ? -1 : 1;
	return strcmp(x->name, y->name);
}

/* Is the endpoint "IP:PORT" where @context points? */
static bool reaches(const char *endpoint, const struct sl_context *context)
{
	const char *colon = strrchr(endpoint, ':');
	size_t len = (size_t)(colon - endpoint);
	if (atoi(colon + 1) != context->port)
		return false;
	if (strlen(context->host) == len && !strncmp(endpoint, context->host, len))
		return true;
	/* a port published on the loopback, or on every address, is reached by the
	 * loopback's names */
	bool loopback = !strcmp(context->host, "localhost") || !strcmp(context->host, "127.0.0.1") ||
			!strcmp(context->host, "::1") || !strcmp(context->host, "0.0.0.0");
	return loopback && ((len == 7 && !strncmp(endpoint, "0.0.0.0", len)) || (len == 2 && !strncmp(endpoint, "::", len)) ||
			    !strncmp(endpoint, "127.", 4) || (len == 3 && !strncmp(endpoint, "::1", len)));
}

static bool any_reaches(const struct sl_strv *endpoints, const struct sl_context *context)
{
	for (size_t i = 0; i < endpoints->n; i++)
		if (reaches(endpoints->items[i], context))
			return true;
	return false;
}

static bool publishes(const struct sl_cluster *cluster, const struct sl_context *context)
{
	for (size_t i = 0; i < cluster->n_nodes; i++)
		if (any_reaches(&cluster->nodes[i].endpoints, context))
			return true;
	return any_reaches(&cluster->endpoints, context);
}

const char *sl_guard_advice(void)
{
	return "sidelift loads into local clusters only; choose one by --kube-context or --cluster, "
	       "or push to a registry that this cluster pulls from";
}

/* Where the context's own cluster is stopped, say that instead of "not local". */
static const struct sl_cluster *stopped_namesake(const struct sl_cluster *clusters, size_t n, const char *context)
{
	for (size_t i = 0; i < n; i++) {
		size_t len = strlen(clusters[i].provider);
		bool named = !strncmp(context, clusters[i].provider, len) && context[len] == '-' &&
			     !strcmp(context + len + 1, clusters[i].name);
		for (size_t j = 0; named && j < clusters[i].n_nodes; j++)
			if (clusters[i].nodes[j].control_plane && !clusters[i].nodes[j].running)
				return &clusters[i];
	}
	return NULL;
}

static int refuse_context(const struct sl_cluster *clusters, size_t n, const struct sl_context *context,
			  struct sl_error *err)
{
	const struct sl_cluster *stopped = stopped_namesake(clusters, n, context->name);
	if (stopped)
		return sl_error_set(err, SL_REFUSED, "context '%s': the control plane of %s cluster '%s' is not running, "
				    "so it cannot be proven that %s is it; start it (docker start %s)",
				    context->name, stopped->provider, stopped->name, context->server, stopped->nodes[0].name);
	return sl_error_set(err, SL_REFUSED, "context '%s' (%s) is not provably a local cluster: "
			    "no node container of the engine publishes this address; %s",
			    context->name, context->server, sl_guard_advice());
}

/* "kind/dev, kind/test" */
static char *list_names(const struct sl_cluster *clusters, size_t n)
{
	sl_autobuf struct sl_buf text = SL_BUF_INIT;
	for (size_t i = 0; i < n; i++)
		sl_buf_printf(&text, "%s%s/%s", i ? ", " : "", clusters[i].provider, clusters[i].name);
	return sl_buf_steal(&text);
}

static struct sl_cluster *by_name(struct sl_cluster *clusters, size_t n, const char *wanted, struct sl_error *err)
{
	const char *slash = strchr(wanted, '/');
	for (size_t i = 0; i < n; i++) {
		size_t len = strlen(clusters[i].provider);
		bool provider = !slash || ((size_t)(slash - wanted) == len && !strncmp(wanted, clusters[i].provider, len));
		if (provider && !strcmp(clusters[i].name, slash ? slash + 1 : wanted))
			return &clusters[i];
	}
	sl_autofree char *names = list_names(clusters, n);
	sl_error_set(err, SL_NOT_FOUND, "no cluster '%s' on this engine (it runs: %s)", wanted,
		     names && *names ? names : "none");
	return NULL;
}

/* No context and no name: only a single cluster can be meant. */
static struct sl_cluster *the_only_one(struct sl_cluster *clusters, size_t n, const struct sl_error *why,
				       struct sl_error *err)
{
	if (n == 1)
		return clusters;
	sl_autofree char *names = list_names(clusters, n);
	if (n == 0)
		sl_error_set(err, SL_NOT_FOUND, "no local cluster: the engine runs no kind node, and %s; "
			     "create one (kind create cluster) or point DOCKER_HOST at the engine that runs it", why->message);
	else
		sl_error_set(err, SL_FAILED, "several clusters run here (%s), and %s; choose one by --cluster", names ? names : "",
			     why->message);
	return NULL;
}

static struct sl_cluster *choose(struct sl_cluster *clusters, size_t n, const struct sl_cluster_options *options,
				 struct sl_context *context, struct sl_error *err)
{
	if (options->cluster) {
		struct sl_cluster *named = by_name(clusters, n, options->cluster, err);
		if (named && !(named->evidence = strdup("named by --cluster")))
			sl_error_nomem(err);
		return named && named->evidence ? named : NULL;
	}
	struct sl_error why = SL_ERROR_INIT;
	if (sl_kubeconfig_context(options->kubeconfig, options->kube_context, context, &why) < 0) {
		if (why.status != SL_NOT_FOUND || options->kube_context || options->kubeconfig) {
			if (err)
				*err = why;
			return NULL;
		}
		struct sl_cluster *only = the_only_one(clusters, n, &why, err);
		if (only && !(only->evidence = strdup("the only local cluster")))
			sl_error_nomem(err);
		return only && only->evidence ? only : NULL;
	}
	for (size_t i = 0; i < n; i++) {
		if (!publishes(&clusters[i], context))
			continue;
		if (asprintf(&clusters[i].evidence, "context '%s' (%s)", context->name, context->server) < 0)
			clusters[i].evidence = NULL;
		clusters[i].context = SL_STEAL(context->name);
		clusters[i].ca = SL_STEAL(context->ca);
		return &clusters[i];
	}
	refuse_context(clusters, n, context, err);
	return NULL;
}

/* Keep the nodes that --node names. */
static int filter_nodes(struct sl_cluster *cluster, const struct sl_strv *wanted, struct sl_error *err)
{
	for (size_t i = 0; wanted && i < wanted->n; i++) {
		bool known = false;
		for (size_t j = 0; j < cluster->n_nodes; j++)
			known = known || !strcmp(cluster->nodes[j].name, wanted->items[i]);
		if (known)
			continue;
		sl_autobuf struct sl_buf names = SL_BUF_INIT;
		for (size_t j = 0; j < cluster->n_nodes; j++)
			sl_buf_printf(&names, "%s%s", j ? ", " : "", cluster->nodes[j].name);
		return sl_error_set(err, SL_NOT_FOUND, "cluster %s/%s has no node '%s' (it has: %s)", cluster->provider,
				    cluster->name, wanted->items[i], sl_buf_text(&names));
	}
	for (size_t j = 0; j < cluster->n_nodes; j++)
		cluster->nodes[j].chosen = !wanted || !wanted->n || sl_strv_has(wanted, cluster->nodes[j].name);
	return 0;
}

int sl_cluster_select(const struct sl_engine *engine, const struct sl_cluster_options *options,
		      struct sl_cluster *out, struct sl_error *err)
{
	struct sl_cluster *clusters = NULL;
	size_t n = 0;
	*out = (struct sl_cluster){ 0 };
	for (size_t i = 0; i < N_PROVIDERS; i++) {
		if (providers[i]->find(engine, &clusters, &n, err) < 0) {
			sl_clusters_free(clusters, n);
			return -1;
		}
	}
	for (size_t i = 0; i < n; i++)
		qsort(clusters[i].nodes, clusters[i].n_nodes, sizeof(clusters[i].nodes[0]), by_role_and_name);
	struct sl_context context = { 0 };
	struct sl_cluster *chosen = choose(clusters, n, options, &context, err);
	int rc = chosen ? filter_nodes(chosen, options->nodes, err) : -1;
	if (rc == 0) {
		*out = *chosen;
		*chosen = (struct sl_cluster){ 0 };
		sl_info("cluster %s/%s: %s", out->provider, out->name, out->evidence);
	}
	sl_context_release(&context);
	sl_clusters_free(clusters, n);
	return rc;
}
