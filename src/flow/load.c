/* SPDX-License-Identifier: Apache-2.0 */
#include "flow/load.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/strv.h"
#include "image/reference.h"

void sl_load_leave_nodes(struct sl_load *load)
{
	for (size_t k = 0; k < load->n_nodes; k++) {
		sl_target_close(load->nodes[k].target, true);
		sl_feed_release(&load->nodes[k].feed);
		free(load->nodes[k].todo);
		free(load->nodes[k].wanted);
	}
	free(load->nodes);
	load->nodes = NULL;
	load->n_nodes = 0;
}

void sl_load_release(struct sl_load *load)
{
	sl_load_leave_nodes(load);
	sl_exporter_free(load->exporter);
	sl_early_release(load);
	for (size_t i = 0; i < load->n_images; i++)
		sl_image_release(&load->images[i]);
	free(load->images);
	*load = (struct sl_load){ 0 };
}

/* ---- what is to be loaded ---- */

static bool same_name_before(const struct sl_load *load, const struct sl_image *image)
{
	for (size_t i = 0; i < load->n_images; i++)
		if (!strcmp(load->images[i].name, image->name))
			return true;
	return false;
}

/* Inspect @references; those that the engine lacks go to @missing. */
static int inspect(struct sl_load *load, const struct sl_strv *references, struct sl_strv *missing, struct sl_error *err)
{
	load->images = calloc(references->n + 1, sizeof(*load->images));
	if (!load->images)
		return sl_error_nomem(err);
	for (size_t i = 0; i < references->n; i++) {
		struct sl_error why = SL_ERROR_INIT;
		struct sl_image *image = &load->images[load->n_images];
		if (sl_engine_inspect(load->engine, references->items[i], image, &why) == 0) {
			if (same_name_before(load, image))
				sl_image_release(image);
			else
				load->n_images++;
		} else if (why.status == SL_NOT_FOUND) {
			if (sl_strv_add(missing, references->items[i]) < 0)
				return sl_error_nomem(err);
		} else {
			if (err)
				*err = why;
			return -1;
		}
	}
	return 0;
}

int sl_load_images(struct sl_load *load, const struct sl_strv *references, struct sl_error *err)
{
	sl_autostrv struct sl_strv missing = SL_STRV_INIT;
	sl_autobuf struct sl_buf names = SL_BUF_INIT;
	if (inspect(load, references, &missing, err) < 0)
		return -1;
	for (size_t i = 0; i < missing.n; i++)
		sl_buf_printf(&names, "%s'%s'", i ? ", " : "", missing.items[i]);
	if (missing.n)
		return sl_error_set(err, SL_NOT_FOUND, "no image %s in the engine at %s; build it there, or point DOCKER_HOST at the engine "
				    "that has it; nothing was loaded", sl_buf_text(&names), load->engine->endpoint.url);
	return 0;
}

int sl_load_known_images(struct sl_load *load, const struct sl_strv *references, struct sl_strv *missing, struct sl_error *err)
{
	return inspect(load, references, missing, err);
}

int sl_load_named_images(struct sl_load *load, const struct sl_strv *references, struct sl_error *err)
{
	sl_autostrv struct sl_strv missing = SL_STRV_INIT;
	if (sl_load_known_images(load, references, &missing, err) < 0)
		return -1;
	for (size_t i = 0; i < missing.n; i++)
		sl_warn("'%s' is not in the engine; it is left to the cluster", missing.items[i]);
	if (load->n_images)
		return 0;
	return sl_error_set(err, SL_NOT_FOUND, "the engine at %s has none of the images that the manifests name; build them first",
			    load->engine->endpoint.url);
}

/* Names in an archive are canonical already or short; both mean what Kubernetes
 * means by them. */
int sl_load_name_images(struct sl_load *load, struct sl_error *err)
{
	for (size_t i = 0; i < load->n_images; i++) {
		struct sl_image *image = &load->images[i];
		struct sl_reference reference;
		if (!image->name)
			return sl_error_set(err, SL_FAILED, "%s: image %s has no name in it; save it by name: docker save NAME",
					    load->archive, image->config.text);
		if (sl_reference_parse(image->name, &reference, err) < 0)
			return sl_error_wrap(err, "%s", load->archive);
		char *canonical = sl_reference_canonical(&reference);
		sl_reference_release(&reference);
		if (!canonical)
			return sl_error_nomem(err);
		free(image->name);
		image->name = canonical;
	}
	return 0;
}

int sl_load_archive(struct sl_load *load, struct sl_error *err)
{
	load->exporter = sl_exporter_archive(load->archive, NULL, NULL, 0, load->cancel, err);
	if (!load->exporter)
		return -1;
	load->images = load->exporter->images;
	load->n_images = load->exporter->n_images;
	return load->images ? sl_load_name_images(load, err) : 0;
}

int sl_load_is_shared(const struct sl_load *load, struct sl_error *err)
{
	const struct sl_cluster *cluster = load->cluster;
	if (cluster->shared && load->archive)
		return sl_error_set(err, SL_FAILED, "%s (%s); load the archive there: docker load -i %s", cluster->name, cluster->shared,
				    load->archive);
	return cluster->shared != NULL;
}

int sl_load_importer(const char *name, enum sl_importer *importer)
{
	static const char *const names[] = { [SL_IMPORTER_AUTO] = "auto", [SL_IMPORTER_DIRECT] = "direct", [SL_IMPORTER_IMPORT] = "import" };
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		*importer = (enum sl_importer)i;
		if (!strcmp(names[i], name))
			return 0;
	}
	return -1;
}

/* ---- what the nodes have ---- */

static void open_early(struct sl_load *load, struct sl_load_node *node, void *ctx)
{
	if (node->node->runtime == SL_RUNTIME_UNKNOWN)
		return; /* that takes an answer */
	node->target = sl_target_open(load->cluster, node->node, &node->error);
	if (!node->target)
		node->outcome = SL_OUTCOME_FAILED;
}

static void open_node(struct sl_load *load, struct sl_load_node *node, void *ctx)
{
	if (node->outcome != SL_OUTCOME_PENDING || (node->target && node->target->looked))
		return; /* done or open */
	if (!node->target)
		node->target = sl_target_open(load->cluster, node->node, &node->error);
	if (node->target && sl_target_look(node->target, load->images, load->n_images, &node->error) < 0) {
		sl_target_close(node->target, true);
		node->target = NULL;
	}
	if (!node->target) {
		node->outcome = SL_OUTCOME_FAILED;
		return;
	}
	node->target->importer = node->by_import ? SL_IMPORTER_IMPORT : load->importer;
	snprintf(node->architecture, sizeof(node->architecture), "%s", node->target->architecture);
}

/* The CA of a control plane: of one that is open, or read for the purpose. */
static int prove(const struct sl_load *load, struct sl_error *err)
{
	const struct sl_cluster *cluster = load->cluster;
	if (!cluster->context)
		return 0;
	for (size_t k = 0; k < load->n_nodes; k++)
		if (load->nodes[k].target && load->nodes[k].node->control_plane)
			return sl_guard_check(cluster, load->nodes[k].target->ca, err);
	for (size_t i = 0; i < cluster->n_nodes; i++) {
		const struct sl_node *node = &cluster->nodes[i];
		sl_autobuf struct sl_buf ca = SL_BUF_INIT;
		if (!node->control_plane || !node->running)
			continue;
		if (sl_cluster_read_ca(cluster, node, &ca, err) < 0)
			return sl_error_wrap(err, "node '%s'", node->name);
		return sl_guard_check(cluster, sl_buf_text(&ca), err);
	}
	return sl_error_set(err, SL_REFUSED, "no control plane of %s cluster '%s' is running, so it cannot be proven that context '%s' is it",
			    cluster->provider, cluster->name, cluster->context);
}

static int choose_nodes(struct sl_load *load, struct sl_error *err)
{
	const struct sl_cluster *cluster = load->cluster;
	load->nodes = calloc(cluster->n_nodes + 1, sizeof(*load->nodes));
	if (!load->nodes)
		return sl_error_nomem(err);
	for (size_t i = 0; i < cluster->n_nodes; i++)
		if (cluster->nodes[i].chosen)
			load->nodes[load->n_nodes++].node = &cluster->nodes[i];
	return 0;
}

int sl_load_begin(struct sl_load *load, struct sl_error *err)
{
	if (load->cluster->shared)
		return 0;
	return choose_nodes(load, err) < 0 ? -1 : sl_each_node(load, open_early, NULL, err);
}

int sl_load_open(struct sl_load *load, struct sl_error *err)
{
	const struct sl_cluster *cluster = load->cluster;
	load->started = sl_now();
	if (!load->nodes && choose_nodes(load, err) < 0)
		return -1;
	sl_early_begin(load);
	int rc = sl_each_node(load, open_node, NULL, err);
	sl_early_end(load);
	if (rc < 0)
		return -1;
	if (sl_cancelled(load->cancel))
		return sl_error_set(err, SL_INTERRUPTED, "interrupted");
	size_t n_open = 0;
	for (size_t k = 0; k < load->n_nodes; k++)
		n_open += load->nodes[k].target != NULL;
	if (!n_open) {
		if (err && load->n_nodes) {
			*err = load->nodes[0].error;
			sl_error_wrap(err, "node '%s'", load->nodes[0].node->name);
		}
		return load->n_nodes ? -1 : sl_error_set(err, SL_NOT_FOUND, "cluster %s/%s has no nodes", cluster->provider, cluster->name);
	}
	return prove(load, err);
}

/* ---- the load itself ---- */

/* Repeating helps where an import broke or could not be verified; not where the
 * disk is full, the export failed or the user said stop. */
static bool worth_repeating(const struct sl_load *load, const struct sl_load_node *node)
{
	if (node->detached || node->aborted || node->direct_failed)
		return true;
	return node->outcome == SL_OUTCOME_FAILED && node->tries == 1 && node->error.status != SL_NOSPACE &&
	       node->error.status != SL_INTERRUPTED && !sl_cancelled(load->cancel);
}

/* Reopen what is to be repeated; how many. */
static size_t prepare_repeat(struct sl_load *load, struct sl_error *err)
{
	size_t n = 0;
	for (size_t k = 0; k < load->n_nodes; k++) {
		struct sl_load_node *node = &load->nodes[k];
		if (!worth_repeating(load, node))
			continue;
		if (node->direct_failed) {
			sl_info("node '%s': %s; by import instead", node->node->name, node->error.message);
			node->by_import = true;
			node->tries--;
		} else if (node->aborted) {
			node->tries--;
		} else if (!node->detached) {
			sl_warn("node '%s': %s; trying once more with the whole image", node->node->name, node->error.message);
			node->whole = node->by_import = true;
		}
		node->outcome = SL_OUTCOME_PENDING;
		node->detached = node->aborted = node->direct_failed = false;
		n++;
	}
	if (n && (sl_each_node(load, open_node, NULL, err) < 0 || sl_load_plan(load, err) < 0))
		return 0;
	return n;
}

/* Only what a node has confirmed counts. */
static int conclude(const struct sl_load *load, struct sl_error *err)
{
	size_t good = 0;
	const struct sl_load_node *bad = NULL;
	for (size_t k = 0; k < load->n_nodes; k++) {
		const struct sl_load_node *node = &load->nodes[k];
		if (node->outcome == SL_OUTCOME_PRESENT || node->outcome == SL_OUTCOME_LOADED)
			good++;
		else if (!bad)
			bad = node;
	}
	if (!bad)
		return 0;
	return sl_error_set(err, good ? SL_PARTIAL : SL_FAILED, "node '%s': %s", bad->node->name,
			    bad->error.message[0] ? bad->error.message : "it was not served");
}

/* At most: each way out once, and once more what failed or was detached. */
#define PASSES_MAX 4

int sl_load_run(struct sl_load *load, struct sl_error *err)
{
	bool pipe = load->archive && !load->images;
	load->started = sl_now();
	for (int pass = 1;; pass++) {
		struct sl_error why = SL_ERROR_INIT;
		int rc = sl_load_stream(load, &why);
		if (sl_cancelled(load->cancel))
			return sl_error_set(err, SL_INTERRUPTED, "interrupted; what was half done is taken back");
		/* when every node broke off, what they said is the cause */
		if (rc < 0 && why.status != SL_CLOSED) {
			const char *name = load->exporter_name;
			if (pipe || !sl_load_next_exporter(load)) {
				for (size_t k = 0; k < load->n_nodes; k++)
					if (load->nodes[k].aborted)
						load->nodes[k].error = why;
				if (err)
					*err = why;
				return -1;
			}
			sl_info("exporter %s broke off (%s); the next one takes over", name ? name : "", why.message);
		}
		sl_exporter_free(load->exporter);
		load->exporter = NULL;
		if (pipe || pass == PASSES_MAX || !prepare_repeat(load, err))
			break;
	}
	return conclude(load, err);
}
