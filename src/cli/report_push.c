/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "cli/report.h"
#include "engine/sizes.h"

/*
 * `load --via`: for each image its name in the registry, with the digest that the registry has
 * confirmed, and what was sent of it; with --dry-run what the registry lacks.
 */

#define JSON_VERSION 1

/* Bytes of the layers: as the registry has them, else as they would be sent.  -1 unknown. */
struct sizes {
	int64_t *layers;
	bool about;
};

static int read_sizes(const struct sl_via_push *push, size_t i, struct sizes *sizes, struct sl_error *err)
{
	const struct sl_image *image = &push->load->images[i];
	sizes->layers = calloc(image->n_layers + 1, sizeof(*sizes->layers));
	if (!sizes->layers)
		return sl_error_nomem(err);
	bool known = true;
	for (size_t j = 0; j < image->n_layers; j++) {
		const struct sl_via_layer *layer = &push->images[i].layers[j];
		sizes->layers[j] = layer->there ? layer->size : image->layers[j].size;
		known = known && sizes->layers[j] >= 0;
	}
	if (known || !push->load->engine)
		return 0;
	sl_autofree int64_t *guessed = calloc(image->n_layers + 1, sizeof(*guessed));
	if (!guessed)
		return sl_error_nomem(err);
	sizes->about = sl_engine_layer_sizes(push->load->engine, image, guessed) != SL_SIZE_EXACT;
	for (size_t j = 0; j < image->n_layers; j++)
		if (sizes->layers[j] < 0)
			sizes->layers[j] = guessed[j];
	return 0;
}

/* Of the layers that are lacking (or of all); -1 when a size is not known. */
static int64_t sum(const struct sl_via_push *push, size_t i, const struct sizes *sizes, bool all)
{
	int64_t bytes = 0;
	for (size_t j = 0; bytes >= 0 && j < push->load->images[i].n_layers; j++)
		if (all || !push->images[i].layers[j].there)
			bytes = sizes->layers[j] < 0 ? -1 : bytes + sizes->layers[j];
	return bytes;
}

static size_t n_lacking(const struct sl_via_push *push, size_t i)
{
	size_t n = 0;
	for (size_t j = 0; j < push->load->images[i].n_layers; j++)
		n += !push->images[i].layers[j].there;
	return n;
}

/* ---- JSON ---- */

static json_t *size_json(int64_t bytes)
{
	return bytes < 0 ? json_null() : json_integer((json_int_t)bytes);
}

static const char *outcome(const struct sl_via_image *mine)
{
	return !mine->done ? "pending" : mine->bytes_sent || !mine->current ? "pushed" : "present";
}

static json_t *image_json(const struct sl_via_push *push, size_t i)
{
	const struct sl_image *image = &push->load->images[i];
	const struct sl_via_image *mine = &push->images[i];
	return json_pack("{s:s, s:s, s:s, s:s*, s:s*, s:s*, s:s, s:i, s:I, s:o, s:i, s:f}", "requested", image->requested, "name", image->name, "digest",
			 image->config.text, "reference", mine->pushed, "manifest", mine->done ? mine->digest.text : NULL, "podReference",
			 mine->done ? mine->pod_reference : NULL, "outcome", outcome(mine), "layers", (int)image->n_layers, "bytesSent",
			 (json_int_t)mine->bytes_sent, "bytes", size_json(mine->done ? mine->bytes_total : -1), "layersSent", (int)mine->layers_sent,
			 "seconds", mine->seconds);
}

static json_t *plan_json(const struct sl_via_push *push, size_t i, const struct sizes *sizes)
{
	const struct sl_image *image = &push->load->images[i];
	json_t *layers = json_array();
	for (size_t j = 0; j < image->n_layers; j++)
		json_array_append_new(layers, json_pack("{s:s, s:o, s:b}", "diffID", image->layers[j].diff_id.text, "bytes",
							size_json(sizes->layers[j]), "send", !push->images[i].layers[j].there));
	return json_pack("{s:s, s:s, s:s, s:s*, s:b, s:i, s:o, s:b, s:o, s:o}", "requested", image->requested, "name", image->name, "digest",
			 image->config.text, "reference", push->images[i].pushed, "present", push->images[i].current, "missingLayers",
			 (int)n_lacking(push, i), "bytesToSend", size_json(sum(push, i, sizes, false)), "bytesExact", !sizes->about, "bytes",
			 size_json(sum(push, i, sizes, true)), "layers", layers);
}

static void print_json(const struct sl_via_push *push, bool plan, const struct sizes *sizes, const struct sl_error *failure)
{
	json_t *images = json_array();
	for (size_t i = 0; i < push->n_images; i++)
		json_array_append_new(images, plan ? plan_json(push, i, &sizes[i]) : image_json(push, i));
	sl_autojson json_t *all = json_pack("{s:i, s:s, s:o}", "version", JSON_VERSION, "kind", plan ? "PushPlan" : "PushResult", "images", images);
	if (push->via->dist)
		json_object_set_new(all, "registry", json_pack("{s:s, s:s, s:s, s:s}", "url", sl_dist_url(push->via->dist), "host", push->via->host,
							       "podHost", push->via->pod_host, "evidence", push->via->evidence));
	if (push->load->exporter_name)
		json_object_set_new(all, "exporter", json_string(push->load->exporter_name));
	if (failure)
		json_object_set_new(all, "error", json_pack("{s:i, s:s}", "exitCode", sl_status_exit_code(failure->status), "message", failure->message));
	json_dumpf(all, stdout, JSON_INDENT(2));
	putchar('\n');
}

/* ---- for people ---- */

static void print_image(const struct sl_via_push *push, size_t i)
{
	const struct sl_via_image *mine = &push->images[i];
	char sent[16], all[16];
	if (!mine->done)
		return;
	printf("%s@%s  ", mine->pushed, mine->digest.text);
	if (mine->current && !mine->bytes_sent)
		printf("nothing to push\n");
	else
		printf("pushed %s of %s in %.2f s\n", sl_human_bytes(mine->bytes_sent, sent), sl_human_bytes((uint64_t)mine->bytes_total, all), mine->seconds);
	if (strcmp(push->via->host, push->via->pod_host) != 0)
		printf("  in pods: %s\n", mine->pod_reference);
}

/* "about 1.5 GB" */
static const char *amount(int64_t bytes, bool about, char text[32])
{
	char number[16];
	if (bytes < 0)
		return "an unknown amount";
	snprintf(text, 32, "%s%s", about && bytes ? "about " : "", sl_human_bytes((uint64_t)bytes, number));
	return text;
}

static void print_plan(const struct sl_via_push *push, size_t i, const struct sizes *sizes)
{
	const struct sl_image *image = &push->load->images[i];
	const struct sl_via_image *mine = &push->images[i];
	size_t lacking = n_lacking(push, i);
	char some[32], all[32];
	printf("%s  ", mine->pushed);
	if (mine->current)
		printf("nothing to push\n");
	else if (!lacking)
		printf("the registry has every layer; the name does not stand for the image\n");
	else
		printf("the registry lacks %zu of %zu layers, %s of %s\n", lacking, image->n_layers, amount(sum(push, i, sizes, false), sizes->about, some),
		       amount(sum(push, i, sizes, true), sizes->about, all));
	for (size_t j = 0; lacking && j < image->n_layers; j++)
		printf("  layer %-3zu %-5s %10s  %s\n", j + 1, mine->layers[j].there ? "has" : "send", amount(sizes->layers[j], false, some),
		       image->layers[j].diff_id.text);
}

int sl_report_push(const struct sl_cli *cli, const struct sl_via_push *push, bool plan, const struct sl_error *failure, struct sl_error *err)
{
	struct sizes *sizes = calloc(push->n_images + 1, sizeof(*sizes));
	int rc = sizes ? 0 : sl_error_nomem(err);
	plan = plan && !failure;
	for (size_t i = 0; rc == 0 && plan && i < push->n_images; i++)
		rc = read_sizes(push, i, &sizes[i], err);
	if (rc == 0 && cli->json)
		print_json(push, plan, sizes, failure);
	for (size_t i = 0; rc == 0 && !cli->json && i < push->n_images; i++) {
		if (plan)
			print_plan(push, i, &sizes[i]);
		else if (!cli->quiet)
			print_image(push, i);
	}
	for (size_t i = 0; sizes && i < push->n_images; i++)
		free(sizes[i].layers);
	free(sizes);
	return rc;
}
