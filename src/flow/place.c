/* SPDX-License-Identifier: Apache-2.0 */
#include "flow/place.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/log.h"

static int open_location(const struct sl_place *place, const struct sl_location *location, struct sl_engine *engine,
			 struct sl_error *err)
{
	int64_t patience = place->options.patience ? place->options.patience : SL_ENGINE_PATIENCE;
	if (sl_engine_open(engine, location, patience, place->cancel, err) == 0)
		return 0;
	sl_engine_release(engine);
	return sl_error_wrap(err, "engine (%s)", location->evidence);
}

/* ---- the engines that may run nodes ---- */

/* In turn: the one that options.node_engine names, and no other; or the active one,
 * then those that are not active (sl_engine_locate_others()). */
struct node_engines {
	struct sl_place *place; /* owns the engines that are opened */
	struct sl_location *others;
	size_t n_others, at;
	bool begun;
	struct sl_error active; /* why the active one is not open */
};

static const struct sl_engine *first_engine(struct node_engines *engines, struct sl_error *err)
{
	struct sl_place *place = engines->place;
	engines->begun = true;
	if (place->options.node_engine) {
		const struct sl_engine_options options = { .host = place->options.node_engine };
		struct sl_location location;
		if (sl_engine_locate(&options, &location, err) < 0)
			return NULL;
		free(location.evidence);
		location.evidence = strdup("--node-engine");
		int rc = location.evidence ? open_location(place, &location, &place->node_engine, err) : sl_error_nomem(err);
		sl_location_release(&location);
		return rc < 0 ? NULL : &place->node_engine;
	}
	if (sl_place_engine(place, &engines->active) == 0)
		return place->engine;
	return NULL;
}

/* A struct sl_cluster_sources' next. */
static const struct sl_engine *next_engine(void *ctx, struct sl_error *err)
{
	struct node_engines *engines = ctx;
	struct sl_place *place = engines->place;
	if (!engines->begun) {
		const struct sl_engine *engine = first_engine(engines, err);
		if (engine || place->options.node_engine)
			return engine;
		if (engines->active.status == SL_INTERRUPTED || engines->active.status == SL_USAGE) {
			*err = engines->active;
			return NULL;
		}
	}
	if (place->options.node_engine)
		return NULL;
	if (!engines->others &&
	    sl_engine_locate_others(place->engine->version ? place->engine->endpoint.url : NULL, &engines->others, &engines->n_others, err) < 0)
		return NULL;
	while (engines->at < engines->n_others && place->n_others < SL_PLACE_ENGINES) {
		struct sl_engine *engine = &place->others[place->n_others];
		struct sl_error why = SL_ERROR_INIT;
		if (open_location(place, &engines->others[engines->at++], engine, &why) == 0) {
			place->n_others++;
			return engine;
		}
		if (why.status == SL_TIMEOUT)
			sl_warn("%s; the nodes that it may run are not seen", why.message);
		else
			sl_info("%s", why.message);
	}
	*err = engines->active;
	return NULL;
}

static void release_engines(struct node_engines *engines)
{
	sl_locations_free(engines->others, engines->n_others);
}

/* ---- the engine that has the images ---- */

int sl_place_switched(struct sl_place *place, struct sl_switched *out, struct sl_error *err)
{
	const struct sl_engine *engines[SL_PLACE_ENGINES + 1];
	size_t n = 0;
	struct node_engines others = { .place = place, .begun = true };
	*out = (struct sl_switched){ 0 };
	if (!getenv("MINIKUBE_ACTIVE_DOCKERD"))
		return 0;
	while (n < place->n_others)
		engines[n] = &place->others[n], n++;
	struct sl_error why = SL_ERROR_INIT;
	while (n < SL_PLACE_ENGINES && (engines[n] = next_engine(&others, &why)))
		n++;
	release_engines(&others);
	return sl_switched_look(engines, n, out, err);
}

/* Where docker-env's switch is why there is no engine, say so. */
static void explain_switch(struct sl_place *place, struct sl_error *err)
{
	struct sl_switched switched = { 0 };
	if (!err || place->options.docker_host || place->options.docker_context || sl_place_switched(place, &switched, NULL) < 0)
		return;
	if (switched.profile && switched.stale) {
		struct sl_error why = *err;
		sl_error_set(err, why.status, "%s; DOCKER_HOST is what minikube docker-env set for profile '%s', but %s; "
			     "go back by: eval $(sidelift docker-env -u)", why.message, switched.profile, switched.why);
	}
	sl_switched_release(&switched);
}

int sl_place_engine(struct sl_place *place, struct sl_error *err)
{
	const struct sl_engine_options options = { .host = place->options.docker_host, .context = place->options.docker_context };
	struct sl_location location;
	struct sl_error why = SL_ERROR_INIT;
	if (place->engine->version)
		return 0;
	if (place->engine_error.status != SL_OK) {
		if (err)
			*err = place->engine_error;
		return -1;
	}
	if (sl_engine_locate(&options, &location, err) < 0)
		return -1;
	int rc = open_location(place, &location, place->engine, &why);
	free(place->engine_context);
	place->engine_context = location.context;
	location.context = NULL;
	sl_location_release(&location);
	if (rc == 0)
		return 0;
	if (!sl_cancelled(place->cancel))
		explain_switch(place, &why);
	place->engine_error = why;
	if (err)
		*err = why;
	return -1;
}

/* ---- the cluster ---- */

/* A profile, KIND_CLUSTER_NAME and MINIKUBE_PROFILE stand for a cluster's name; the
 * environment does not when the context is chosen by hand. */
static char *cluster_by_other_names(const struct sl_place_options *options)
{
	const char *kind = getenv("KIND_CLUSTER_NAME"), *minikube = getenv("MINIKUBE_PROFILE");
	char *text = NULL;
	int rc = -1;
	if (options->profile)
		rc = asprintf(&text, "minikube/%s", options->profile);
	else if (options->cluster || options->kube_context)
		return NULL;
	else if (kind && *kind)
		rc = asprintf(&text, "kind/%s", kind);
	else if (minikube && *minikube)
		rc = asprintf(&text, "minikube/%s", minikube);
	return rc < 0 ? NULL : text;
}

int sl_place_cluster(struct sl_place *place, struct sl_error *err)
{
	if (place->cluster->name)
		return 0;
	struct node_engines engines = { .place = place };
	const struct sl_cluster_sources sources = {
		.next = next_engine,
		.ctx = &engines,
		.images = place->engine,
		.cancel = place->cancel,
	};
	sl_autofree char *other = cluster_by_other_names(&place->options);
	const struct sl_cluster_options options = {
		.kubeconfig = place->options.kubeconfig,
		.kube_context = place->options.kube_context,
		.cluster = place->options.cluster ? place->options.cluster : other,
		.nodes = place->options.nodes,
	};
	int rc = sl_cluster_select(&sources, &options, place->cluster, err);
	release_engines(&engines);
	return rc;
}

int sl_place_kubectl(struct sl_place *place, const char *namespace, struct sl_kubectl *out, struct sl_error *err)
{
	if (sl_place_cluster(place, err) < 0)
		return -1;
	const struct sl_cluster *cluster = place->cluster;
	if (!cluster->context)
		return sl_error_set(err, SL_FAILED, "%s cluster '%s' was not found by a kube context, and kubectl needs one; choose it: --kube-context NAME",
				    cluster->provider, cluster->name);
	*out = (struct sl_kubectl){ place->options.kubeconfig, cluster->context, namespace, place->cancel };
	return 0;
}

int sl_place_kubectl_reading(struct sl_place *place, char **context, struct sl_kubectl *out, struct sl_error *err)
{
	const struct sl_place_options *options = &place->options;
	sl_autofree char *by_other_names = cluster_by_other_names(options);
	const char *named = options->cluster ? options->cluster : by_other_names;
	struct sl_context found;
	if (named)
		return sl_error_set(err, SL_USAGE, "the cluster's own registry is asked for through a kube context, not by the cluster's name ('%s'); "
				    "choose one: --kube-context NAME, or give the registry: --via registry=HOST:PORT", named);
	if (sl_kubeconfig_context(options->kubeconfig, options->kube_context, &found, err) < 0)
		return -1;
	*context = SL_STEAL(found.name);
	sl_context_release(&found);
	*out = (struct sl_kubectl){ options->kubeconfig, *context, NULL, place->cancel };
	return 0;
}

void sl_place_release(struct sl_place *place)
{
	if (place->cluster)
		sl_cluster_release(place->cluster);
	if (place->engine)
		sl_engine_release(place->engine);
	sl_engine_release(&place->node_engine);
	for (size_t i = 0; i < place->n_others; i++)
		sl_engine_release(&place->others[i]);
	free(place->engine_context);
	*place = (struct sl_place){ 0 };
}
