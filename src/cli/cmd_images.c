/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/cleanup.h"
#include "cli/cli.h"
#include "flow/holdings.h"

#define JSON_VERSION 1

struct images_options {
	bool all;
};

#define AT(field) offsetof(struct images_options, field)
static const struct sl_option options[] = {
	{ "all", 'a', SL_OPTION_FLAG, NULL, AT(all), "also what was not side-loaded, and what is on no node" },
};

static const char *freshness_name(const struct sl_holding *holding, enum sl_freshness freshness)
{
	if (freshness == SL_FRESH_CURRENT)
		return "current";
	if (freshness == SL_FRESH_STALE)
		return "stale";
	return holding->in_engine ? "not comparable" : "not in the engine";
}

static bool shown(const struct sl_holdings *all, const struct sl_holding *holding, const struct images_options *given)
{
	bool any = given->all;
	for (size_t k = 0; !any && k < all->load.n_nodes; k++)
		any = holding->nodes[k].item && (holding->nodes[k].item->sideloaded || holding->in_engine);
	return any;
}

/* ---- JSON ---- */

static json_t *held_json(const struct sl_holding *holding, const char *node, const struct sl_held *held)
{
	const struct sl_listed *item = held->item;
	json_t *json = json_pack("{s:s, s:b}", "node", node, "present", item != NULL);
	if (item)
		json_object_update_new(json, json_pack("{s:s, s:s, s:I, s:s, s:b, s:b, s:s*}", "digest", item->config.text, "manifest",
						       item->manifest.text, "size", (json_int_t)item->size, "freshness",
						       freshness_name(holding, held->freshness), "used", item->used, "sideloaded",
						       item->sideloaded, "loadedBy", item->loaded_by));
	if (item && item->loaded_at)
		json_object_set_new(json, "loadedAt", json_integer((json_int_t)item->loaded_at));
	return json;
}

static void print_json(const struct sl_holdings *all, const struct images_options *given)
{
	json_t *images = json_array(), *failures = json_array();
	for (size_t i = 0; i < all->n; i++) {
		const struct sl_holding *holding = &all->items[i];
		if (!shown(all, holding, given))
			continue;
		json_t *nodes = json_array();
		for (size_t k = 0; k < all->load.n_nodes; k++)
			json_array_append_new(nodes, held_json(holding, all->load.nodes[k].node->name, &holding->nodes[k]));
		json_t *image = json_pack("{s:s, s:b, s:o}", "name", holding->name, "inEngine", holding->in_engine, "nodes", nodes);
		if (holding->in_engine)
			json_object_update_new(image, json_pack("{s:s, s:I}", "engineDigest", holding->engine.text, "engineSize",
								(json_int_t)holding->engine_size));
		json_array_append_new(images, image);
	}
	for (size_t k = 0; k < all->load.n_nodes; k++)
		if (all->load.nodes[k].error.message[0])
			json_array_append_new(failures, json_pack("{s:s, s:s}", "node", all->load.nodes[k].node->name, "error",
								  all->load.nodes[k].error.message));
	sl_autojson json_t *json = json_pack("{s:i, s:s, s:o, s:o}", "version", JSON_VERSION, "kind", "Images", "images", images,
					     "failures", failures);
	json_dumpf(json, stdout, JSON_INDENT(2));
	putchar('\n');
}

/* ---- for people ---- */

static void put_age(struct sl_buf *line, int64_t at)
{
	int64_t age = (int64_t)time(NULL) - at;
	if (age < 120)
		sl_buf_printf(line, "%lld s ago", (long long)(age < 0 ? 0 : age));
	else if (age < 7200)
		sl_buf_printf(line, "%lld min ago", (long long)age / 60);
	else if (age < 172800)
		sl_buf_printf(line, "%lld h ago", (long long)age / 3600);
	else
		sl_buf_printf(line, "%lld days ago", (long long)age / 86400);
}

/* What there is to say of a name in one node. */
static void put_held(struct sl_buf *line, const struct sl_holding *holding, const struct sl_held *held)
{
	const struct sl_listed *item = held->item;
	char size[16];
	if (!item) {
		sl_buf_puts(line, "-");
		return;
	}
	sl_buf_printf(line, "%.12s  %8s  %s%s", sl_digest_known(&item->config) ? sl_digest_hex(&item->config) : "?           ",
		      sl_human_bytes(item->size, size), freshness_name(holding, held->freshness), item->used ? ", in use" : "");
	if (!item->loaded_by)
		return;
	sl_buf_printf(line, ", loaded by %s ", item->loaded_by);
	put_age(line, item->loaded_at);
}

static int widest(const struct sl_holdings *all)
{
	size_t width = strlen("engine");
	for (size_t k = 0; k < all->load.n_nodes; k++)
		width = strlen(all->load.nodes[k].node->name) > width ? strlen(all->load.nodes[k].node->name) : width;
	return (int)width;
}

static void print_holding(const struct sl_holdings *all, const struct sl_holding *holding)
{
	char size[16];
	int width = widest(all);
	printf("%s\n", holding->name);
	if (holding->in_engine)
		printf("  %-*s  %.12s  %8s\n", width, "engine", sl_digest_known(&holding->engine) ? sl_digest_hex(&holding->engine) : "?           ",
		       sl_human_bytes(holding->engine_size, size));
	for (size_t k = 0; k < all->load.n_nodes; k++) {
		sl_autobuf struct sl_buf line = SL_BUF_INIT;
		put_held(&line, holding, &holding->nodes[k]);
		printf("  %-*s  %s\n", width, all->load.nodes[k].node->name, sl_buf_text(&line));
	}
}

static int report(struct sl_cli *cli, const struct sl_holdings *all, const struct images_options *given, struct sl_error *err)
{
	int rc = 0;
	if (cli->json)
		print_json(all, given);
	for (size_t i = 0; !cli->json && i < all->n; i++)
		if (shown(all, &all->items[i], given))
			print_holding(all, &all->items[i]);
	if (sl_cli_flush(err) < 0)
		return -1;
	for (size_t k = 0; rc == 0 && k < all->load.n_nodes; k++)
		if (all->load.nodes[k].error.message[0])
			rc = sl_error_set(err, SL_PARTIAL, "node '%s': %s", all->load.nodes[k].node->name, all->load.nodes[k].error.message);
	return rc;
}

static int run(int argc, char **argv, struct sl_cli *cli, struct sl_error *err)
{
	struct images_options given = { 0 };
	struct sl_holdings all = { 0 };
	int first;
	if (sl_cli_parse(cli, &sl_command_images, argc, argv, &given, &first, err) < 0 || cli->help)
		return 2;
	if (first < argc)
		return sl_error_set(err, SL_USAGE, "images takes no argument, not even '%s'", argv[first]);
	int rc = sl_cli_engine(cli, err) < 0 || sl_cli_cluster(cli, err) < 0 ? -1 : 0;
	if (rc == 0)
		rc = sl_holdings_read(&cli->cluster, &cli->engine, &cli->cancel, &all, err);
	if (rc == 0)
		rc = report(cli, &all, &given, err);
	sl_holdings_release(&all);
	return rc < 0 ? 1 : 0;
}

const struct sl_command sl_command_images = {
	.name = "images",
	.usage = "[--all]",
	.summary = "list what is in the nodes, against the engine",
	.help = "For each name: what the engine has under it, what each node has, whether that is the same, how\n"
		"large it is, who loaded it and when, and whether a container uses it.",
	.options = options,
	.n_options = sizeof(options) / sizeof(options[0]),
	.run = run,
};
