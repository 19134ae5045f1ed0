/* SPDX-License-Identifier: Apache-2.0 */
#include "flow/holdings.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "image/reference.h"

void sl_holdings_release(struct sl_holdings *all)
{
	for (size_t i = 0; i < all->n; i++)
		free(all->items[i].nodes);
	free(all->items);
	for (size_t k = 0; all->lists && k < all->load.n_nodes; k++)
		sl_listed_free(all->lists[k], all->n_lists[k]);
	free(all->lists);
	free(all->n_lists);
	sl_strv_release(&all->engine_names);
	sl_load_release(&all->load);
	*all = (struct sl_holdings){ 0 };
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct sl_holding *)a)->name, ((const struct sl_holding *)b)->name);
}

/* The holding of @name, a new one (appended, not sorted) where there is none. */
static struct sl_holding *get(struct sl_holdings *all, const char *name, struct sl_error *err)
{
	for (size_t i = 0; i < all->n; i++)
		if (!strcmp(all->items[i].name, name))
			return &all->items[i];
	struct sl_holding *bigger = realloc(all->items, (all->n + 1) * sizeof(*bigger));
	struct sl_held *nodes = calloc(all->load.n_nodes + 1, sizeof(*nodes));
	if (bigger)
		all->items = bigger;
	if (!bigger || !nodes) {
		free(nodes);
		sl_error_nomem(err);
		return NULL;
	}
	bigger[all->n] = (struct sl_holding){ .name = name, .nodes = nodes };
	return &bigger[all->n++];
}

/* ---- the engine ---- */

/* One of an image's names; what the digest of its config is, only some engines
 * tell in the listing. */
static int take_engine_name(struct sl_holdings *all, const struct sl_engine *engine, const char *tag, const json_t *image,
			    struct sl_error *err)
{
	struct sl_reference reference;
	if (sl_reference_parse(tag, &reference, NULL) < 0)
		return 0; /* <none>:<none> */
	sl_autofree char *name = sl_reference_canonical(&reference);
	sl_reference_release(&reference);
	if (!name || sl_strv_add_new(&all->engine_names, name) < 0)
		return sl_error_nomem(err);
	struct sl_holding *holding = get(all, all->engine_names.items[all->engine_names.n - 1], err);
	if (!holding)
		return -1;
	holding->in_engine = true;
	holding->engine_size = (uint64_t)sl_json_int(image, "Size", 0);
	bool wanted = false;
	for (size_t k = 0; k < all->load.n_nodes; k++)
		wanted = wanted || holding->nodes[k].item;
	struct sl_image known = { 0 };
	if (wanted && sl_engine_inspect(engine, name, &known, NULL) == 0)
		holding->engine = known.config;
	else if (!wanted)
		sl_digest_parse(sl_json_str(image, "Id"), &holding->engine);
	sl_image_release(&known);
	return 0;
}

static int take_engine(struct sl_holdings *all, const struct sl_engine *engine, struct sl_error *err)
{
	sl_autojson json_t *list = sl_engine_images(engine, err);
	size_t i, j;
	json_t *image, *tag;
	if (!list)
		return -1;
	json_array_foreach(list, i, image) {
		json_array_foreach(json_object_get(image, "RepoTags"), j, tag) {
			const char *text = json_string_value(tag);
			if (text && take_engine_name(all, engine, text, image, err) < 0)
				return -1;
		}
	}
	return 0;
}

/* ---- the nodes ---- */

static void list_node(struct sl_load *load, struct sl_load_node *node, void *ctx)
{
	struct sl_holdings *all = ctx;
	size_t k = (size_t)(node - load->nodes);
	if (node->target && sl_target_list(node->target, &all->lists[k], &all->n_lists[k], &node->error) < 0)
		node->outcome = SL_OUTCOME_FAILED;
}

static int take_nodes(struct sl_holdings *all, struct sl_error *err)
{
	for (size_t k = 0; k < all->load.n_nodes; k++) {
		for (size_t i = 0; i < all->n_lists[k]; i++) {
			struct sl_holding *holding = get(all, all->lists[k][i].name, err);
			if (!holding)
				return -1;
			holding->nodes[k].item = &all->lists[k][i];
		}
	}
	return 0;
}

static void compare(struct sl_holdings *all)
{
	for (size_t i = 0; i < all->n; i++) {
		struct sl_holding *holding = &all->items[i];
		for (size_t k = 0; k < all->load.n_nodes; k++) {
			struct sl_held *held = &holding->nodes[k];
			if (held->item && sl_digest_known(&holding->engine) && sl_digest_known(&held->item->config))
				held->freshness = sl_digest_equal(&holding->engine, &held->item->config) ? SL_FRESH_CURRENT : SL_FRESH_STALE;
		}
	}
}

int sl_holdings_read(const struct sl_cluster *cluster, const struct sl_engine *engine, const struct sl_cancel *cancel,
		     struct sl_holdings *out, struct sl_error *err)
{
	*out = (struct sl_holdings){ .load = { .cluster = cluster, .cancel = cancel } };
	if (cluster->n_nodes && sl_load_open(&out->load, err) < 0)
		return -1;
	out->lists = calloc(out->load.n_nodes + 1, sizeof(struct sl_listed *));
	out->n_lists = calloc(out->load.n_nodes + 1, sizeof(size_t));
	if (!out->lists || !out->n_lists)
		return sl_error_nomem(err);
	if (sl_each_node(&out->load, list_node, out, err) < 0 || take_nodes(out, err) < 0 || (engine && take_engine(out, engine, err) < 0))
		return -1;
	if (sl_cancelled(cancel))
		return sl_error_set(err, SL_INTERRUPTED, "interrupted");
	if (out->n)
		qsort(out->items, out->n, sizeof(out->items[0]), by_name);
	compare(out);
	return 0;
}

/* ---- removing ---- */

struct removal {
	struct sl_holdings *all;
	const struct sl_strv *names;
	bool force;
	atomic_size_t removed;
};

static void remove_from(struct sl_load *load, struct sl_load_node *node, void *ctx)
{
	struct removal *removal = ctx;
	struct sl_holdings *all = removal->all;
	size_t k = (size_t)(node - load->nodes), n = 0;
	const char **names = calloc(all->n_lists[k] + 1, sizeof(*names));
	if (!names || !node->target) {
		free(names);
		return;
	}
	for (size_t i = 0; i < all->n_lists[k]; i++) {
		const struct sl_listed *item = &all->lists[k][i];
		if (!sl_strv_has(removal->names, item->name))
			continue;
		if (!item->used || removal->force)
			names[n++] = item->name;
		else if (!node->error.message[0])
			sl_error_set(&node->error, SL_FAILED, "a container uses '%s'; stop it, or --force", item->name);
	}
	struct sl_error why = SL_ERROR_INIT;
	if (n && sl_target_remove(node->target, names, n, &why) < 0)
		node->error = why;
	else
		atomic_fetch_add(&removal->removed, n);
	free(names);
}

int sl_holdings_remove(struct sl_holdings *all, const struct sl_strv *names, bool force, size_t *removed, struct sl_error *err)
{
	struct removal removal = { .all = all, .names = names, .force = force };
	int rc = sl_each_node(&all->load, remove_from, &removal, err);
	*removed = removal.removed;
	for (size_t k = 0; rc == 0 && k < all->load.n_nodes; k++)
		if (all->load.nodes[k].error.message[0])
			rc = sl_error_set(err, *removed ? SL_PARTIAL : SL_FAILED, "node '%s': %s", all->load.nodes[k].node->name,
					  all->load.nodes[k].error.message);
	return rc;
}

int sl_holdings_superseded(const struct sl_holdings *all, struct sl_strv *names, struct sl_error *err)
{
	for (size_t k = 0; k < all->load.n_nodes; k++) {
		for (size_t i = 0; i < all->n_lists[k]; i++) {
			const struct sl_listed *item = &all->lists[k][i];
			if (item->sideloaded && !item->used && !strncmp(item->name, "sha256:", 7) && !sl_strv_has(names, item->name) &&
			    sl_strv_add(names, item->name) < 0)
				return sl_error_nomem(err);
		}
	}
	return 0;
}
