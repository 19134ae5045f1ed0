/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/engines.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"

static int open_location(struct sl_cli *cli, const struct sl_location *location, int64_t patience, struct sl_engine *engine,
			 struct sl_error *err)
{
	if (cli->patience && cli->patience < patience)
		patience = cli->patience;
	if (sl_engine_open(engine, location, patience, &cli->cancel, err) == 0)
		return 0;
	sl_engine_release(engine);
	return sl_error_wrap(err, "engine (%s)", location->evidence);
}

/* ---- the engines that may run nodes ---- */

static const struct sl_engine *first_engine(struct sl_node_engines *engines, struct sl_error *err)
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
		int rc = location.evidence ? open_location(cli, &location, SL_ENGINE_PATIENCE, &cli->node_engine_open, err) : sl_error_nomem(err);
		sl_location_release(&location);
		return rc < 0 ? NULL : &cli->node_engine_open;
	}
	if (sl_cli_engine(cli, &engines->active) == 0)
		return &cli->engine;
	return NULL;
}

const struct sl_engine *sl_node_engines_next(void *ctx, struct sl_error *err)
{
	struct sl_node_engines *engines = ctx;
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
		if (open_location(cli, &engines->others[engines->at++], SL_ENGINE_PATIENCE, engine, &why) == 0) {
			cli->n_other_engines++;
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

void sl_node_engines_release(struct sl_node_engines *engines)
{
	sl_locations_free(engines->others, engines->n_others);
}

/* ---- the engine that has the images ---- */

int sl_cli_switched(struct sl_cli *cli, struct sl_switched *out, struct sl_error *err)
{
	const struct sl_engine *engines[SL_CLI_ENGINES + 1];
	size_t n = 0;
	struct sl_node_engines others = { .cli = cli, .begun = true };
	*out = (struct sl_switched){ 0 };
	if (!getenv("MINIKUBE_ACTIVE_DOCKERD"))
		return 0;
	while (n < cli->n_other_engines)
		engines[n] = &cli->other_engines[n], n++;
	struct sl_error why = SL_ERROR_INIT;
	while (n < SL_CLI_ENGINES && (engines[n] = sl_node_engines_next(&others, &why)))
		n++;
	sl_node_engines_release(&others);
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
	int rc = open_location(cli, &location, SL_ENGINE_PATIENCE, &cli->engine, err);
	sl_location_release(&location);
	if (rc < 0 && !sl_cancelled(&cli->cancel))
		explain_switch(cli, err);
	if (rc < 0)
		cli->engine_error = *err;
	return rc;
}
