/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/report.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "engine/sizes.h"

/*
 * `load --dry-run`: for each node, image and layer whether the node has it, what
 * would be sent and why, in bytes; and what `kind load` would send, which is the
 * whole image to every node that does not have it under that name.
 */

#define JSON_VERSION 1

struct sizes {
	int64_t *layers; /* bytes, -1 unknown */
	enum sl_size_source source;
	int64_t whole;   /* of all layers; -1 unknown */
};

static int read_sizes(const struct sl_load *load, const struct sl_image *image, struct sizes *sizes, struct sl_error *err)
{
	sizes->layers = calloc(image->n_layers + 1, sizeof(*sizes->layers));
	if (!sizes->layers)
		return sl_error_nomem(err);
	sizes->source = SL_SIZE_EXACT;
	if (load->engine)
		sizes->source = sl_engine_layer_sizes(load->engine, image, sizes->layers);
	else
		for (size_t i = 0; i < image->n_layers; i++)
			sizes->layers[i] = image->layers[i].size;
	for (size_t i = 0; i < image->n_layers && sizes->whole >= 0; i++)
		sizes->whole = sizes->layers[i] < 0 ? -1 : sizes->whole + sizes->layers[i];
	if (sizes->whole < 0 && image->engine_size > 0) {
		sizes->whole = image->engine_size;
		sizes->source = SL_SIZE_ABOUT;
	}
	return 0;
}

static bool sends(const struct sl_load_node *node, const struct sl_todo *todo, const struct sl_layer *layer)
{
	return todo->presence == SL_PRESENT_PART && node->target && !sl_target_has_chain(node->target, &layer->chain_id);
}

/* Bytes of layers that go into the node; -1 when a size is not known. */
static int64_t to_send(const struct sl_load_node *node, const struct sl_todo *todo, const struct sl_image *image,
		       const struct sizes *sizes)
{
	int64_t sum = 0;
	for (size_t j = 0; j < image->n_layers; j++) {
		if (!sends(node, todo, &image->layers[j]))
			continue;
		if (sizes->layers[j] < 0)
			return -1;
		sum += sizes->layers[j];
	}
	return sum;
}

static const char *reason(enum sl_presence presence)
{
	static const char *const reasons[] = {
		"the name stands for this very image, and it is unpacked",
		"the image is there under another name; only the name is missing",
		"every layer is there; the config is new",
		"layers are missing",
	};
	return reasons[presence];
}

/* What the peer would send for this image to this node. */
static int64_t kind_sends(const struct sl_todo *todo, const struct sizes *sizes)
{
	return todo->presence == SL_PRESENT ? 0 : sizes->whole;
}

/* ---- JSON ---- */

static json_t *size_json(int64_t bytes)
{
	return bytes < 0 ? json_null() : json_integer((json_int_t)bytes);
}

static json_t *image_json(const struct sl_load_node *node, const struct sl_todo *todo, const struct sl_image *image,
			  const struct sizes *sizes)
{
	static const char *const lacks[] = { "present", "name", "config", "layers" };
	json_t *layers = json_array();
	for (size_t j = 0; j < image->n_layers; j++)
		json_array_append_new(layers, json_pack("{s:s, s:o, s:b}", "diffID", image->layers[j].diff_id.text, "bytes",
							size_json(sizes->layers[j]), "send", sends(node, todo, &image->layers[j])));
	return json_pack("{s:s, s:s, s:s, s:i, s:o, s:b, s:o, s:o}", "image", image->name, "lacks", lacks[todo->presence], "why",
			 reason(todo->presence), "missingLayers", (int)todo->n_missing, "bytesToSend", size_json(to_send(node, todo, image, sizes)),
			 "bytesExact", sizes->source == SL_SIZE_EXACT, "kindWouldSend", size_json(kind_sends(todo, sizes)), "layers", layers);
}

static void print_json(const struct sl_load *load, const struct sizes *sizes)
{
	json_t *images = json_array(), *nodes = json_array();
	for (size_t i = 0; i < load->n_images; i++)
		json_array_append_new(images, json_pack("{s:s, s:s*, s:s, s:i, s:o}", "requested", load->images[i].requested, "name",
							load->images[i].name, "digest", load->images[i].config.text, "layers",
							(int)load->images[i].n_layers, "bytes", size_json(sizes[i].whole)));
	for (size_t k = 0; k < load->n_nodes; k++) {
		const struct sl_load_node *node = &load->nodes[k];
		json_t *todo = json_array(), *json = json_pack("{s:s}", "name", node->node->name);
		for (size_t i = 0; node->todo && i < load->n_images; i++)
			json_array_append_new(todo, image_json(node, &node->todo[i], &load->images[i], &sizes[i]));
		json_object_set_new(json, "images", todo);
		if (node->outcome == SL_OUTCOME_FAILED)
			json_object_set_new(json, "error", json_string(node->error.message));
		json_array_append_new(nodes, json);
	}
	sl_autojson json_t *all = json_pack("{s:i, s:s, s:o, s:o, s:{s:s, s:s, s:s*}}", "version", JSON_VERSION, "kind", "LoadPlan", "images",
					    images, "nodes", nodes, "cluster", "provider", load->cluster->provider, "name", load->cluster->name,
					    "context", load->cluster->context);
	json_dumpf(all, stdout, JSON_INDENT(2));
	putchar('\n');
}

/* ---- for people ---- */

/* "about 1.5 GB" */
static const char *amount(int64_t bytes, enum sl_size_source source, char text[32])
{
	char number[16];
	if (bytes < 0)
		return "an unknown amount";
	snprintf(text, 32, "%s%s", source == SL_SIZE_ABOUT && bytes ? "about " : "", sl_human_bytes((uint64_t)bytes, number));
	return text;
}

static void print_image(const struct sl_load_node *node, const struct sl_todo *todo, const struct sl_image *image,
			const struct sizes *sizes)
{
	char text[32];
	printf("    %s: ", image->name);
	if (todo->presence == SL_PRESENT)
		printf("present already, nothing to send\n");
	else if (todo->presence == SL_PRESENT_PART)
		printf("lacks %zu of %zu layers, %s to send\n", todo->n_missing, image->n_layers,
		       amount(to_send(node, todo, image, sizes), sizes->source, text));
	else
		printf("%s\n", reason(todo->presence));
	for (size_t j = 0; todo->presence == SL_PRESENT_PART && j < image->n_layers; j++)
		printf("      layer %-3zu %-5s %10s  %s\n", j + 1, sends(node, todo, &image->layers[j]) ? "send" : "has",
		       sizes->layers[j] < 0 ? "?" : amount(sizes->layers[j], SL_SIZE_EXACT, text), image->layers[j].diff_id.text);
	printf("      kind load would send %s\n", todo->presence == SL_PRESENT ? "nothing either" : amount(sizes->whole, sizes->source, text));
}

static void print_plan(const struct sl_load *load, const struct sizes *sizes)
{
	sl_report_images(load);
	for (size_t k = 0; k < load->n_nodes; k++) {
		const struct sl_load_node *node = &load->nodes[k];
		printf("  %s\n", node->node->name);
		if (node->outcome == SL_OUTCOME_FAILED)
			printf("    cannot be loaded into: %s\n", node->error.message);
		for (size_t i = 0; node->todo && i < load->n_images; i++)
			print_image(node, &node->todo[i], &load->images[i], &sizes[i]);
	}
}

int sl_report_plan(const struct sl_cli *cli, const struct sl_load *load, struct sl_error *err)
{
	struct sizes *sizes = calloc(load->n_images + 1, sizeof(*sizes));
	int rc = sizes ? 0 : sl_error_nomem(err);
	for (size_t i = 0; rc == 0 && i < load->n_images; i++)
		rc = read_sizes(load, &load->images[i], &sizes[i], err);
	if (rc == 0 && cli->json)
		print_json(load, sizes);
	else if (rc == 0)
		print_plan(load, sizes);
	for (size_t i = 0; sizes && i < load->n_images; i++)
		free(sizes[i].layers);
	free(sizes);
	return rc;
}
