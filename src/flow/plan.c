/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "flow/load.h"

static bool lacks(const struct sl_load_node *node, const struct sl_layer *layer)
{
	return node->whole || !sl_target_has_chain(node->target, &layer->chain_id);
}

static int compare(const void *a, const void *b)
{
	return strcmp(((const struct sl_digest *)a)->text, ((const struct sl_digest *)b)->text);
}

int sl_load_want(const struct sl_load *load, struct sl_load_node *node, struct sl_error *err)
{
	size_t max = 0, n = 0;
	for (size_t i = 0; i < load->n_images; i++)
		max += load->images[i].n_layers;
	free(node->wanted);
	node->n_wanted = 0;
	node->wanted = calloc(max ? max : 1, sizeof(*node->wanted));
	if (!node->wanted)
		return sl_error_nomem(err);
	for (size_t i = 0; i < load->n_images; i++)
		for (size_t j = 0; j < load->images[i].n_layers; j++)
			if (lacks(node, &load->images[i].layers[j]))
				node->wanted[n++] = load->images[i].layers[j].diff_id;
	if (n)
		qsort(node->wanted, n, sizeof(*node->wanted), compare);
	/* a layer may be lacking at two places */
	for (size_t i = 0; i < n; i++)
		if (!i || compare(&node->wanted[i], &node->wanted[i - 1]) != 0)
			node->wanted[node->n_wanted++] = node->wanted[i];
	return 0;
}

bool sl_load_wants(const struct sl_load_node *node, const struct sl_digest *diff_id)
{
	return node->n_wanted && bsearch(diff_id, node->wanted, node->n_wanted, sizeof(*diff_id), compare);
}

bool sl_load_is_lacking(const struct sl_load *load, const struct sl_digest *diff_id)
{
	for (size_t k = 0; k < load->n_nodes; k++)
		if (load->nodes[k].feeding && sl_load_wants(&load->nodes[k], diff_id))
			return true;
	return false;
}

bool sl_load_needs_export(const struct sl_load *load, const struct sl_load_node *node)
{
	if (!load->images || node->whole)
		return true;
	for (size_t i = 0; i < load->n_images; i++)
		if (node->todo[i].presence == SL_PRESENT_LAYERS || node->todo[i].presence == SL_PRESENT_PART)
			return true;
	return false;
}

size_t sl_load_due(const struct sl_load *load, const struct sl_load_node *node, const struct sl_image **list)
{
	size_t n = 0;
	for (size_t i = 0; i < load->n_images; i++)
		if (node->whole || !node->todo || sl_target_presence(node->target, &load->images[i]) != SL_PRESENT)
			list[n++] = &load->images[i];
	return n;
}

static int check_platform(const struct sl_image *image, const struct sl_load_node *node, struct sl_error *err)
{
	if (strcmp(image->os, "linux") != 0)
		return sl_error_set(err, SL_FAILED, "image '%s' is for %s, the nodes run linux", image->requested, image->os);
	if (strcmp(image->architecture, node->architecture) != 0)
		return sl_error_set(err, SL_FAILED, "image '%s' is for %s, but node '%s' is %s; build it for the node: "
				    "docker build --platform linux/%s", image->requested, image->architecture, node->node->name,
				    node->architecture, node->architecture);
	return 0;
}

int sl_load_check_platforms(const struct sl_load *load, struct sl_error *err)
{
	for (size_t k = 0; k < load->n_nodes; k++)
		for (size_t i = 0; load->nodes[k].architecture[0] && i < load->n_images; i++)
			if (check_platform(&load->images[i], &load->nodes[k], err) < 0)
				return -1;
	return 0;
}

static void plan_image(const struct sl_load_node *node, const struct sl_image *image, struct sl_todo *todo)
{
	todo->presence = sl_target_presence(node->target, image);
	for (size_t j = 0; j < image->n_layers; j++)
		todo->n_missing += lacks(node, &image->layers[j]);
	sl_info("node '%s', image '%s': %s, lacks %zu of %zu layers", node->node->name, image->requested,
		todo->presence == SL_PRESENT ? "present" :
		todo->presence == SL_PRESENT_UNNAMED ? "only the name is missing" :
		todo->presence == SL_PRESENT_LAYERS ? "the config is new" : "layers are new",
		todo->n_missing, image->n_layers);
}

int sl_load_plan(struct sl_load *load, struct sl_error *err)
{
	if (!load->images)
		return 0;
	if (sl_load_check_platforms(load, err) < 0)
		return -1;
	for (size_t k = 0; k < load->n_nodes; k++) {
		struct sl_load_node *node = &load->nodes[k];
		if (node->outcome != SL_OUTCOME_PENDING || !node->target)
			continue; /* done, or not to be helped */
		free(node->todo);
		node->todo = calloc(load->n_images, sizeof(*node->todo));
		if (!node->todo)
			return sl_error_nomem(err);
		bool all = !node->whole;
		for (size_t i = 0; i < load->n_images; i++) {
			plan_image(node, &load->images[i], &node->todo[i]);
			all = all && node->todo[i].presence == SL_PRESENT;
		}
		if (all)
			node->outcome = SL_OUTCOME_PRESENT;
	}
	return 0;
}
