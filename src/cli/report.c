/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/report.h"

#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"

#define JSON_VERSION 1

static const char *outcome_name(enum sl_outcome outcome)
{
	static const char *const names[] = { "pending", "present", "loaded", "failed" };
	return names[outcome];
}

static const char *presence_name(enum sl_presence presence)
{
	static const char *const names[] = { "present", "name", "config", "layers" };
	return names[presence];
}

/* ---- JSON ---- */

static json_t *image_json(const struct sl_image *image)
{
	return json_pack("{s:s, s:s*, s:s, s:i}", "requested", image->requested, "name", image->name, "digest",
			 image->config.text, "layers", (int)image->n_layers);
}

static json_t *node_json(const struct sl_load *load, const struct sl_load_node *node)
{
	json_t *todo = json_array();
	for (size_t i = 0; node->todo && i < load->n_images; i++)
		json_array_append_new(todo, json_pack("{s:s, s:s, s:i}", "image", load->images[i].name, "lacks",
						      presence_name(node->todo[i].presence), "missingLayers",
						      (int)node->todo[i].n_missing));
	json_t *json = json_pack("{s:s, s:s, s:I, s:i, s:f, s:f, s:o}", "name", node->node->name, "outcome",
				 outcome_name(node->outcome), "bytesSent", (json_int_t)node->bytes_total, "layersSent",
				 (int)node->layers_sent, "seconds", node->seconds, "importSeconds", (double)node->busy_ms / 1000, "images", todo);
	if (node->n_direct + node->n_imported)
		json_object_set_new(json, "importer", json_string(!node->n_direct ? "import" : node->n_imported ? "mixed" : "direct"));
	if (node->error.message[0] && node->outcome == SL_OUTCOME_FAILED)
		json_object_set_new(json, "error", json_string(node->error.message));
	return json;
}

static void print_json(const char *kind, const struct sl_load *load, const struct sl_error *failure)
{
	sl_autojson json_t *images = json_array(), *nodes = json_array();
	for (size_t i = 0; i < load->n_images; i++)
		json_array_append_new(images, image_json(&load->images[i]));
	for (size_t k = 0; k < load->n_nodes; k++)
		json_array_append_new(nodes, node_json(load, &load->nodes[k]));
	sl_autojson json_t *all = json_pack("{s:i, s:s, s:O, s:O}", "version", JSON_VERSION, "kind", kind, "images", images,
					    "nodes", nodes);
	if (load->cluster)
		json_object_set_new(all, "cluster", json_pack("{s:s, s:s, s:s*, s:s*}", "provider", load->cluster->provider, "name",
							      load->cluster->name, "context", load->cluster->context, "shared",
							      load->cluster->shared));
	if (load->exporter_name)
		json_object_set_new(all, "exporter", json_string(load->exporter_name));
	if (failure)
		json_object_set_new(all, "error", json_pack("{s:i, s:s}", "exitCode", sl_status_exit_code(failure->status),
							    "message", failure->message));
	json_dumpf(all, stdout, JSON_INDENT(2));
	putchar('\n');
}

/* ---- for people ---- */

void sl_report_images(const struct sl_load *load)
{
	for (size_t i = 0; i < load->n_images; i++) {
		const struct sl_image *image = &load->images[i];
		const char *digest = sl_digest_known(&image->config) ? sl_digest_hex(&image->config) : "(unknown)";
		printf("%s  %.12s  %zu layer%s\n", image->name, digest, image->n_layers, image->n_layers == 1 ? "" : "s");
	}
}

static int widest(const struct sl_load *load)
{
	size_t width = 0;
	for (size_t k = 0; k < load->n_nodes; k++)
		width = strlen(load->nodes[k].node->name) > width ? strlen(load->nodes[k].node->name) : width;
	return (int)width;
}

void sl_report_load(const struct sl_cli *cli, const struct sl_load *load, const struct sl_error *failure)
{
	char size[16];
	if (cli->json) {
		print_json("LoadResult", load, failure);
		return;
	}
	if (cli->quiet && !failure)
		return;
	sl_report_images(load);
	if (load->cluster && load->cluster->shared)
		printf("  nothing to load: %s: %s\n", load->cluster->name, load->cluster->shared);
	for (size_t k = 0; k < load->n_nodes; k++) {
		const struct sl_load_node *node = &load->nodes[k];
		printf("  %-*s  ", widest(load), node->node->name);
		if (node->outcome == SL_OUTCOME_PRESENT)
			printf("present already\n");
		else if (node->outcome == SL_OUTCOME_LOADED)
			printf("loaded: %zu layer%s, %s in %.2f s\n", node->layers_sent, node->layers_sent == 1 ? "" : "s",
			       sl_human_bytes(node->bytes_total, size), node->seconds);
		else
			printf("FAILED: %s\n", node->error.message[0] ? node->error.message : "not tried");
	}
}

const char *sl_report_state(const struct sl_up_workload *workload)
{
	static const char *const names[] = { "pending", "ready", "left", "failed" };
	return names[workload->state];
}

void sl_report_workload(const struct sl_up_workload *workload)
{
	size_t i;
	json_t *pod;
	if (workload->note && workload->state != SL_UP_READY) {
		printf("%s '%s': %s\n", workload->kind, workload->name, workload->note);
		return;
	}
	printf("%s '%s' %s", workload->kind, workload->name, sl_report_state(workload));
	json_array_foreach(workload->pods, i, pod) {
		const char *node = sl_json_str(json_object_get(pod, "spec"), "nodeName");
		printf("%s %s on %s", i ? "," : ":", sl_json_str(json_object_get(pod, "metadata"), "name"), node ? node : "no node yet");
	}
	if (workload->note)
		printf("; %s", workload->note);
	putchar('\n');
}
