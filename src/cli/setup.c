/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "cli/cli.h"

static int open_location(struct sl_cli *cli, const struct sl_location *location, struct sl_engine *engine, struct sl_error *err)
{
	if (sl_engine_open(engine, location, cli->patience ? cli->patience : SL_ENGINE_PATIENCE, &cli->cancel, err) == 0)
		return 0;
	sl_engine_release(engine);
	return sl_error_wrap(err, "engine (%s)", location->evidence);
}

/* ---- the engines that may run nodes ---- */

/* In turn: the one that --node-engine names, and no other; or the active one, then
 * those that are not active. */
struct node_engines {
	struct sl_cli *cli;
	struct sl_location *others;
	size_t n_others, at;
	bool begun;
	struct sl_error active; /* why the active one is not open */
};

static const struct sl_engine *first_engine(struct node_engines *engines, struct sl_error *err)
{
	struct sl_cli *cli = engines->cli;
	engines->begun = true;
	if (cli->node_engine) {
		const struct sl_engine_options options = { .host = cli->node_engine };
		struct sl_location location;
		if (sl_engine_locate(&options, &location, err) < 0)
			return NULL;
		free(location.evidence);
		location.evidence = strdup("--node-engine");
		int rc = location.evidence ? open_location(cli, &location, &cli->node_engine_open, err) : sl_error_nomem(err);
		sl_location_release(&location);
		return rc < 0 ? NULL : &cli->node_engine_open;
	}
	if (sl_cli_engine(cli, &engines->active) == 0)
		return &cli->engine;
	return NULL;
}

/* A struct sl_cluster_sources' next. */
static const struct sl_engine *next_engine(void *ctx, struct sl_error *err)
{
	struct node_engines *engines = ctx;
	struct sl_cli *cli = engines->cli;
	if (!engines->begun) {
		const struct sl_engine *engine = first_engine(engines, err);
		if (engine || cli->node_engine)
			return engine;
		if (engines->active.status == SL_INTERRUPTED || engines->active.status == SL_USAGE) {
			*err = engines->active;
			return NULL;
		}
	}
	if (cli->node_engine)
		return NULL;
	if (!engines->others &&
	    sl_engine_locate_others(cli->engine.version ? cli->engine.endpoint.url : NULL, &engines->others, &engines->n_others, err) < 0)
		return NULL;
	while (engines->at < engines->n_others && cli->n_other_engines < SL_CLI_ENGINES) {
		struct sl_engine *engine = &cli->other_engines[cli->n_other_engines];
		struct sl_error why = SL_ERROR_INIT;
		if (open_location(cli, &engines->others[engines->at++], engine, &why) == 0) {
			cli->n_other_engines++;
			return engine;
		}
		sl_info("%s", why.message);
	}
	*err = engines->active;
	return NULL;
}

/* ---- the engine that has the images ---- */

int sl_cli_switched(struct sl_cli *cli, struct sl_switched *out, struct sl_error *err)
{
	const struct sl_engine *engines[SL_CLI_ENGINES + 1];
	size_t n = 0;
	struct node_engines others = { .cli = cli, .begun = true, .active = SL_ERROR_INIT };
	*out = (struct sl_switched){ 0 };
	if (!getenv("MINIKUBE_ACTIVE_DOCKERD"))
		return 0;
	while (n < cli->n_other_engines)
		engines[n] = &cli->other_engines[n], n++;
	struct sl_error why = SL_ERROR_INIT;
	while (n < SL_CLI_ENGINES && (engines[n] = next_engine(&others, &why)))
		n++;
	sl_locations_free(others.others, others.n_others);
	return sl_switched_look(engines, n, out, err);
}

/* Where docker-env's switch is why there is no engine, say so. */
static void explain_switch(struct sl_cli *cli, struct sl_error *err)
{
	struct sl_switched switched = { 0 };
	if (!err || cli->docker_host || cli->docker_context || sl_cli_switched(cli, &switched, NULL) < 0)
		return;
	if (switched.profile && switched.stale) {
		struct sl_error why = *err;
		sl_error_set(err, why.status, "%s; DOCKER_HOST is what minikube docker-env set for profile '%s', but %s; "
			     "go back by: eval $(sidelift docker-env -u)", why.message, switched.profile, switched.why);
	}
	sl_switched_release(&switched);
}

int sl_cli_engine(struct sl_cli *cli, struct sl_error *err)
{
	const struct sl_engine_options options = { .host = cli->docker_host, .context = cli->docker_context };
	struct sl_location location;
	if (cli->engine.version)
		return 0;
	if (cli->engine_error.status != SL_OK) { /* it is not waited for twice */
		*err = cli->engine_error;
		return -1;
	}
	if (sl_engine_locate(&options, &location, err) < 0)
		return -1;
	int rc = open_location(cli, &location, &cli->engine, err);
	sl_location_release(&location);
	if (rc < 0 && !sl_cancelled(&cli->cancel))
		explain_switch(cli, err);
	if (rc < 0)
		cli->engine_error = *err;
	return rc;
}

/* -p, KIND_CLUSTER_NAME and MINIKUBE_PROFILE stand for --cluster; the environment
 * does not when the context is chosen by hand. */
static char *cluster_from_environment(const struct sl_cli *cli)
{
	const char *kind = getenv("KIND_CLUSTER_NAME"), *minikube = getenv("MINIKUBE_PROFILE");
	char *text = NULL;
	int rc = -1;
	if (cli->profile)
		rc = asprintf(&text, "minikube/%s", cli->profile);
	else if (cli->cluster_name || cli->kube_context)
		return NULL;
	else if (kind && *kind)
		rc = asprintf(&text, "kind/%s", kind);
	else if (minikube && *minikube)
		rc = asprintf(&text, "minikube/%s", minikube);
	return rc < 0 ? NULL : text;
}

int sl_cli_cluster(struct sl_cli *cli, struct sl_error *err)
{
	if (cli->cluster.name)
		return 0;
	struct node_engines engines = { .cli = cli, .active = SL_ERROR_INIT };
	const struct sl_cluster_sources sources = {
		.next = next_engine,
		.ctx = &engines,
		.images = &cli->engine,
		.cancel = &cli->cancel,
	};
	sl_autofree char *from_env = cluster_from_environment(cli);
	const struct sl_cluster_options options = {
		.kubeconfig = cli->kubeconfig,
		.kube_context = cli->kube_context,
		.cluster = cli->cluster_name ? cli->cluster_name : from_env,
		.nodes = &cli->nodes,
	};
	int rc = sl_cluster_select(&sources, &options, &cli->cluster, err);
	sl_locations_free(engines.others, engines.n_others);
	return rc;
}

int sl_cli_flush(struct sl_error *err)
{
	if (fflush(stdout) == EOF || ferror(stdout))
		return sl_error_errno(err, errno ? errno : EIO, "standard output");
	return 0;
}

const char *sl_human_bytes(uint64_t bytes, char text[16])
{
	static const char *const units[] = { "kB", "MB", "GB", "TB" };
	double value = (double)bytes / 1000;
	size_t unit = 0;
	while (value >= 1000 && unit < 3) {
		value /= 1000;
		unit++;
	}
	if (bytes < 1000)
		snprintf(text, 16, "%u B", (unsigned)bytes);
	else
		snprintf(text, 16, "%.1f %s", value, units[unit]);
	return text;
}
