/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "cluster/provider.h"

/*
 * Which cluster is meant.  The kubeconfig's context belongs to the cluster that
 * publishes its server address; names are looked at only to explain.  Engines are
 * asked one after the other, until one runs that cluster.
 */

static int by_role_and_name(const void *a, const void *b)
{
	const struct sl_node *x = a, *y = b;
	if (x->control_plane != y->control_plane)
		return x->control_plane ? -1 : 1;
	return strcmp(x->name, y->name);
}

static bool is_loopback(const char *host)
{
	return !strcmp(host, "localhost") || !strncmp(host, "127.", 4) || !strcmp(host, "::1") || !strcmp(host, "0.0.0.0") ||
	       !strcmp(host, "::");
}

/* Is the endpoint "IP:PORT" where @context points? */
static bool reaches(const char *endpoint, const struct sl_context *context)
{
	const char *colon = strrchr(endpoint, ':');
	sl_autofree char *ip = strndup(endpoint, (size_t)(colon - endpoint));
	if (!ip || atoi(colon + 1) != context->port)
		return false;
	/* a port published on the loopback, or on every address, is reached by the
	 * loopback's names */
	return !strcmp(ip, context->host) || (is_loopback(ip) && is_loopback(context->host));
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
static const struct sl_cluster *stopped_namesake(const struct sl_clusters *clusters, const char *context)
{
	for (size_t i = 0; i < clusters->n; i++) {
		const struct sl_cluster *cluster = &clusters->items[i];
		size_t len = strlen(cluster->provider);
		bool named = (!strncmp(context, cluster->provider, len) && context[len] == '-' &&
			      !strcmp(context + len + 1, cluster->name)) ||
			     (!strcmp(cluster->provider, "minikube") && !strcmp(context, cluster->name));
		for (size_t j = 0; named && j < cluster->n_nodes; j++)
			if (cluster->nodes[j].control_plane && !cluster->nodes[j].running)
				return cluster;
	}
	return NULL;
}

static int refuse_context(const struct sl_clusters *clusters, const struct sl_context *context, struct sl_error *err)
{
	const struct sl_cluster *stopped = stopped_namesake(clusters, context->name);
	sl_autobuf struct sl_buf start = SL_BUF_INIT;
	if (stopped)
		sl_cluster_put_start(&start, stopped, &stopped->nodes[0]);
	if (stopped)
		return sl_error_set(err, SL_REFUSED, "context '%s': the control plane of %s cluster '%s' is not running, "
				    "so it cannot be proven that %s is it; start it (%s)",
				    context->name, stopped->provider, stopped->name, context->server, sl_buf_text(&start));
	return sl_error_set(err, SL_REFUSED, "context '%s' (%s) is not provably a local cluster: "
			    "no node container of the engine publishes this address; %s",
			    context->name, context->server, sl_guard_advice());
}

/* "kind/dev, kind/test" */
static char *list_names(const struct sl_clusters *clusters)
{
	sl_autobuf struct sl_buf text = SL_BUF_INIT;
	for (size_t i = 0; i < clusters->n; i++)
		sl_buf_printf(&text, "%s%s/%s", i ? ", " : "", clusters->items[i].provider, clusters->items[i].name);
	return sl_buf_steal(&text);
}

/* What is looked for, and what was found of it. */
struct search {
	const struct sl_cluster_sources *sources;
	const char *wanted;         /* --cluster, or NULL */
	struct sl_context context;  /* of the kubeconfig, unless `wanted` */
	struct sl_error no_context; /* why there is none; else SL_OK */
	struct sl_clusters found;
};

static bool is_named(const struct sl_cluster *cluster, const char *wanted)
{
	const char *slash = strchr(wanted, '/');
	size_t len = strlen(cluster->provider);
	bool provider = !slash || ((size_t)(slash - wanted) == len && !strncmp(wanted, cluster->provider, len));
	return provider && !strcmp(cluster->name, slash ? slash + 1 : wanted);
}

/* The one that is meant beyond doubt, of those that were found so far. */
static struct sl_cluster *meant(struct search *search)
{
	for (size_t i = 0; i < search->found.n; i++) {
		struct sl_cluster *cluster = &search->found.items[i];
		if (search->wanted ? is_named(cluster, search->wanted) : search->context.name && publishes(cluster, &search->context))
			return cluster;
	}
	return NULL;
}

/* An engine may be there under two addresses. */
static void drop_known(struct sl_clusters *clusters, size_t first)
{
	for (size_t i = first; i < clusters->n;) {
		struct sl_cluster *cluster = &clusters->items[i];
		bool known = false;
		for (size_t j = 0; j < first; j++)
			known = known || (clusters->items[j].n_nodes && cluster->n_nodes && clusters->items[j].nodes[0].container &&
					  !strcmp(clusters->items[j].nodes[0].container, cluster->nodes[0].container));
		if (!known) {
			i++;
			continue;
		}
		sl_cluster_release(cluster);
		*cluster = clusters->items[--clusters->n];
	}
}

static int look_into(struct search *search, const struct sl_engine *engine, struct sl_error *err)
{
	size_t first = search->found.n;
	if (sl_clusters_in_containers(engine, &search->found, err) < 0)
		return -1;
	for (size_t i = first; i < search->found.n; i++)
		qsort(search->found.items[i].nodes, search->found.items[i].n_nodes, sizeof(search->found.items[i].nodes[0]),
		      by_role_and_name);
	drop_known(&search->found, first);
	return 0;
}

/* No context and no name: only a single cluster can be meant. */
static struct sl_cluster *the_only_one(struct search *search, struct sl_error *err)
{
	const char *why = search->no_context.message;
	if (search->found.n == 1)
		return search->found.items;
	sl_autofree char *names = list_names(&search->found);
	if (search->found.n == 0)
		sl_error_set(err, SL_NOT_FOUND, "no local cluster: the engine runs no node of kind, minikube or k3d, and %s; "
			     "create one (kind create cluster) or point DOCKER_HOST at the engine that runs it", why);
	else
		sl_error_set(err, SL_FAILED, "several clusters run here (%s), and %s; choose one by --cluster", names ? names : "", why);
	return NULL;
}

/* What @context is, if not a cluster of nodes that can be reached. */
static struct sl_cluster *appliance(struct search *search, struct sl_error *err)
{
	sl_autofree char *name = NULL, *shared = NULL;
	const char *advice = NULL;
	if (sl_appliance_look(&search->context, search->sources->images, &name, &shared, &advice, err) < 0)
		return NULL;
	if (shared) {
		struct sl_cluster *cluster = sl_clusters_get(&search->found, "appliance", name, NULL);
		if (!cluster)
			sl_error_nomem(err);
		else
			cluster->shared = SL_STEAL(shared);
		return cluster;
	}
	if (advice)
		sl_error_set(err, SL_REFUSED, "context '%s' (%s) is %s, %s", search->context.name, search->context.server, name, advice);
	else
		refuse_context(&search->found, &search->context, err);
	return NULL;
}

static struct sl_cluster *none_was_meant(struct search *search, struct sl_error *err)
{
	if (search->wanted) {
		sl_autofree char *names = list_names(&search->found);
		sl_error_set(err, SL_NOT_FOUND, "no cluster '%s' on this engine (it runs: %s)", search->wanted,
			     names && *names ? names : "none");
		return NULL;
	}
	return search->context.name ? appliance(search, err) : the_only_one(search, err);
}

/* Ask one engine after the other. */
static struct sl_cluster *find(struct search *search, struct sl_error *err)
{
	if (sl_clusters_in_profiles(&search->found, err) < 0)
		return NULL;
	struct sl_cluster *cluster = meant(search);
	while (!cluster) {
		struct sl_error why = SL_ERROR_INIT;
		const struct sl_engine *engine = search->sources->next(search->sources->ctx, &why);
		if (!engine) {
			if (why.status == SL_OK)
				return none_was_meant(search, err);
			if (err)
				*err = why;
			return NULL;
		}
		if (look_into(search, engine, err) < 0)
			return NULL;
		cluster = meant(search);
	}
	return cluster;
}

static int add_evidence(struct search *search, struct sl_cluster *cluster, struct sl_error *err)
{
	struct sl_context *context = &search->context;
	int rc = 0;
	if (search->wanted)
		rc = asprintf(&cluster->evidence, "named by --cluster");
	else if (context->name)
		rc = asprintf(&cluster->evidence, "context '%s' (%s)", context->name, context->server);
	else
		rc = asprintf(&cluster->evidence, "the only local cluster");
	if (rc < 0) {
		cluster->evidence = NULL;
		return sl_error_nomem(err);
	}
	cluster->context = SL_STEAL(context->name);
	cluster->ca = SL_STEAL(context->ca);
	cluster->cancel = search->sources->cancel;
	return 0;
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

/* Without any context there may still be a single cluster; a broken kubeconfig, or
 * a context that was asked for by name, is an error. */
static int read_context(struct search *search, const struct sl_cluster_options *options, struct sl_error *err)
{
	if (search->wanted ||
	    sl_kubeconfig_context(options->kubeconfig, options->kube_context, &search->context, &search->no_context) == 0)
		return 0;
	if (search->no_context.status == SL_NOT_FOUND && !options->kube_context && !options->kubeconfig)
		return 0;
	if (err)
		*err = search->no_context;
	return -1;
}

int sl_cluster_select(const struct sl_cluster_sources *sources, const struct sl_cluster_options *options,
		      struct sl_cluster *out, struct sl_error *err)
{
	struct search search = { .sources = sources, .wanted = options->cluster };
	*out = (struct sl_cluster){ 0 };
	int rc = read_context(&search, options, err);
	struct sl_cluster *chosen = rc == 0 ? find(&search, err) : NULL;
	if (!chosen || add_evidence(&search, chosen, err) < 0 || filter_nodes(chosen, options->nodes, err) < 0)
		rc = -1;
	if (rc == 0) {
		*out = *chosen;
		*chosen = (struct sl_cluster){ 0 };
		sl_info("cluster %s/%s: %s", out->provider, out->name, out->evidence);
	}
	sl_context_release(&search.context);
	sl_clusters_release(&search.found);
	return rc;
}
