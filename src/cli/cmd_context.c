/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "cli/cli.h"
#include "cli/variables.h"
#include "flow/load.h"

/*
 * What sidelift would work with, and why: nothing is changed.  What cannot be
 * found out is said in its place, and the rest is told all the same.
 */

#define JSON_VERSION 1

struct findings {
	struct sl_cli *cli;
	struct sl_location location;
	struct sl_error engine_error, cluster_error, proof_error;
	bool have_cluster;
	struct sl_switched switched;
	struct sl_strv variables;
	struct sl_load nodes; /* opened, none of them written to */
};

static void find_engine(struct findings *all)
{
	struct sl_cli *cli = all->cli;
	const struct sl_engine_options options = { .host = cli->docker_host, .context = cli->docker_context };
	if (sl_engine_locate(&options, &all->location, &all->engine_error) == 0)
		if (sl_cli_engine(cli, &all->engine_error) == 0 && sl_engine_ask_version(&cli->engine, &all->engine_error) == 0)
			(void)!sl_engine_identify(&cli->engine, &all->engine_error);
}

static void ask_version(struct sl_load *load, struct sl_load_node *node, void *ctx)
{
	if (node->target)
		(void)!sl_target_ask_version(node->target, NULL);
}

static void find_cluster(struct findings *all)
{
	struct sl_cli *cli = all->cli;
	all->have_cluster = sl_cli_cluster(cli, &all->cluster_error) == 0;
	if (!all->have_cluster)
		return;
	all->nodes.cluster = &cli->cluster;
	all->nodes.cancel = &cli->cancel;
	if (cli->cluster.n_nodes && sl_load_open(&all->nodes, &all->proof_error) == 0)
		(void)!sl_each_node(&all->nodes, ask_version, NULL, &all->proof_error);
}

static int look(struct findings *all, struct sl_error *err)
{
	all->cli->patience = SL_ENGINE_IMPATIENCE;
	find_engine(all);
	if (all->engine_error.status == SL_USAGE) {
		*err = all->engine_error;
		return -1;
	}
	find_cluster(all);
	if (sl_cancelled(&all->cli->cancel))
		return sl_error_set(err, SL_INTERRUPTED, "interrupted");
	if (sl_cli_switched(all->cli, &all->switched, err) < 0)
		return -1;
	return sl_variables_list(&all->variables, err);
}

static void release(struct findings *all)
{
	sl_load_release(&all->nodes);
	sl_location_release(&all->location);
	sl_switched_release(&all->switched);
	sl_strv_release(&all->variables);
}

/* How a node is reached. */
static const char *way_to(const struct sl_node *node)
{
	return node->container ? "exec" : node->machine ? "ssh" : "local";
}

static const struct sl_load_node *opened(const struct findings *all, const struct sl_node *node)
{
	for (size_t k = 0; k < all->nodes.n_nodes; k++)
		if (all->nodes.nodes[k].node == node)
			return &all->nodes.nodes[k];
	return NULL;
}

/* Does the node's runtime use the very images of the engine that builds? */
static bool shares(const struct findings *all, const struct sl_load_node *node)
{
	const struct sl_target *target = node ? node->target : NULL;
	const char *ours = all->cli->engine.id;
	return target && target->engine_id && ours && *ours && !strcmp(target->engine_id, ours);
}

/* Why the context is this cluster, as far as was proven. */
static const char *proof(const struct findings *all)
{
	const struct sl_cluster *cluster = &all->cli->cluster;
	if (all->proof_error.status != SL_OK)
		return all->proof_error.message;
	if (cluster->shared)
		return cluster->shared;
	if (!cluster->context)
		return "none needed: no kubeconfig led here";
	return "its server address is published by the nodes, and the CA on the control plane is the kubeconfig's";
}

static bool load_needed(const struct findings *all)
{
	const struct sl_cluster *cluster = &all->cli->cluster;
	if (!all->have_cluster || cluster->shared)
		return false;
	for (size_t i = 0; i < cluster->n_nodes; i++)
		if (!shares(all, opened(all, &cluster->nodes[i])))
			return true;
	return false;
}

/* ---- JSON ---- */

static json_t *engine_json(const struct findings *all)
{
	const struct sl_engine *engine = &all->cli->engine;
	json_t *json = json_pack("{s:s*, s:s*}", "url", all->location.url, "evidence", all->location.evidence);
	if (all->engine_error.status != SL_OK)
		json_object_set_new(json, "error", json_string(all->engine_error.message));
	else
		json_object_update_new(json, json_pack("{s:s, s:s, s:s*, s:s*}", "version", engine->version, "api", engine->api + 2,
						       "architecture", engine->architecture, "id", engine->id));
	return json;
}

static json_t *node_json(const struct findings *all, const struct sl_node *node)
{
	const struct sl_load_node *open = opened(all, node);
	const struct sl_target *target = open ? open->target : NULL;
	json_t *json = json_pack("{s:s, s:s, s:s, s:s}", "name", node->name, "role", node->control_plane ? "control-plane" : "worker",
				 "state", node->state, "reachedBy", way_to(node));
	if (target)
		json_object_update_new(json, json_pack("{s:s, s:s*, s:s*, s:s*, s:b, s:b}", "runtime", target->ops->runtime, "runtimeVersion",
						       target->version, "architecture", target->architecture, "snapshotter", target->snapshotter,
						       "sharesEngine", shares(all, open), "loadNeeded", !shares(all, open)));
	else if (open)
		json_object_set_new(json, "error", json_string(open->error.message));
	return json;
}

static json_t *cluster_json(const struct findings *all)
{
	const struct sl_cluster *cluster = &all->cli->cluster;
	if (!all->have_cluster)
		return json_pack("{s:s}", "error", all->cluster_error.message);
	json_t *nodes = json_array();
	for (size_t i = 0; i < cluster->n_nodes; i++)
		json_array_append_new(nodes, node_json(all, &cluster->nodes[i]));
	return json_pack("{s:s, s:s, s:s*, s:s, s:s, s:b, s:s*, s:o}", "provider", cluster->provider, "name", cluster->name, "context",
			 cluster->context, "evidence", cluster->evidence, "proof", proof(all), "proven", all->proof_error.status == SL_OK,
			 "engine", cluster->engine ? cluster->engine->endpoint.url : NULL, "nodes", nodes);
}

static void print_json(const struct findings *all)
{
	json_t *variables = json_array();
	bool chosen = all->cli->docker_host || all->cli->docker_context;
	for (size_t i = 0; i < all->variables.n; i++) {
		const char *name = all->variables.items[i], *value = getenv(name);
		json_array_append_new(variables, json_pack("{s:s, s:s, s:s}", "name", name, "value", value ? value : "", "effect",
							   sl_variable_effect(name, chosen, all->location.evidence)));
	}
	sl_autojson json_t *json = json_pack("{s:i, s:s, s:o, s:o, s:b, s:o}", "version", JSON_VERSION, "kind", "Context", "engine",
					     engine_json(all), "cluster", cluster_json(all), "loadNeeded", load_needed(all), "variables",
					     variables);
	if (all->switched.profile)
		json_object_set_new(json, "switched", json_pack("{s:s, s:b, s:s, s:s}", "profile", all->switched.profile, "stale",
								all->switched.stale, "why", all->switched.why, "wayBack",
								"eval $(sidelift docker-env -u)"));
	json_dumpf(json, stdout, JSON_INDENT(2));
	putchar('\n');
}

/* ---- for people ---- */

static void print_engine(const struct findings *all)
{
	const struct sl_engine *engine = &all->cli->engine;
	printf("engine   %s\n", all->location.url ? all->location.url : "none");
	if (all->location.evidence)
		printf("         because of: %s\n", all->location.evidence);
	if (all->engine_error.status != SL_OK)
		printf("         %s\n", all->engine_error.message);
	else
		printf("         version %s, API %s, %s\n", engine->version, engine->api + 2, engine->architecture);
	if (all->switched.profile)
		printf("         switched by docker-env to minikube profile '%s'%s: %s\n         the way back: eval $(sidelift docker-env -u)\n",
		       all->switched.profile, all->switched.stale ? ", which no longer holds" : "", all->switched.why);
}

static void print_nodes(const struct findings *all)
{
	const struct sl_cluster *cluster = &all->cli->cluster;
	for (size_t i = 0; i < cluster->n_nodes; i++) {
		const struct sl_node *node = &cluster->nodes[i];
		const struct sl_load_node *open = opened(all, node);
		const struct sl_target *target = open ? open->target : NULL;
		printf("node     %s  %s, ", node->name, node->control_plane ? "control plane" : "worker");
		if (target)
			printf("%s%s%s, %s%s%s, by %s%s\n", target->ops->runtime, target->version ? " " : "", target->version ? target->version : "",
			       target->architecture, target->snapshotter ? ", snapshotter " : "", target->snapshotter ? target->snapshotter : "",
			       way_to(node), shares(all, open) ? "; it is the engine itself: nothing to load" : "");
		else
			printf("%s: %s\n", node->state, open ? open->error.message : "not looked at");
	}
}

static void print_cluster(const struct findings *all)
{
	const struct sl_cluster *cluster = &all->cli->cluster;
	if (!all->have_cluster) {
		printf("cluster  none\n         %s\n", all->cluster_error.message);
		return;
	}
	printf("cluster  %s/%s\n         because of: %s\n         proof: %s\n", cluster->provider, cluster->name, cluster->evidence, proof(all));
	if (cluster->engine)
		printf("         its nodes are containers of %s\n", cluster->engine->endpoint.url);
	print_nodes(all);
	if (all->proof_error.status == SL_OK)
		printf("load     %s\n", load_needed(all) ? "needed: sidelift load IMAGE" : "not needed: what is built in the engine is there already");
}

static void print_all(const struct findings *all)
{
	bool chosen = all->cli->docker_host || all->cli->docker_context;
	print_engine(all);
	print_cluster(all);
	for (size_t i = 0; i < all->variables.n; i++) {
		const char *name = all->variables.items[i], *value = getenv(name);
		printf("%s  %s=%s\n         %s\n", i ? "       " : "setting", name, value ? value : "",
		       sl_variable_effect(name, chosen, all->location.evidence));
	}
}

static int run(int argc, char **argv, struct sl_cli *cli, struct sl_error *err)
{
	struct findings all = { .cli = cli };
	int first;
	if (sl_cli_parse(cli, &sl_command_context, argc, argv, NULL, &first, err) < 0 || cli->help)
		return 2;
	if (first < argc)
		return sl_error_set(err, SL_USAGE, "context takes no argument, not even '%s'", argv[first]);
	int rc = look(&all, err);
	if (rc == 0) {
		if (cli->json)
			print_json(&all);
		else
			print_all(&all);
		rc = sl_cli_flush(err);
	}
	/* told already, in its place */
	bool whole = all.engine_error.status == SL_OK && all.have_cluster && all.proof_error.status == SL_OK;
	int code = rc < 0 || !whole;
	if (rc == 0 && (all.proof_error.status == SL_REFUSED || all.cluster_error.status == SL_REFUSED))
		code = sl_status_exit_code(SL_REFUSED);
	release(&all);
	return code;
}

const struct sl_command sl_command_context = {
	.name = "context",
	.usage = "",
	.summary = "say which engine and cluster are meant, and why",
	.help = "Prints the engine, the cluster, its nodes and their runtimes, whether a load is needed, and what\n"
		"each of docker's and minikube's variables does; for each the evidence.  Changes nothing.",
	.run = run,
};
