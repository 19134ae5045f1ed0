/* SPDX-License-Identifier: Apache-2.0 */
#include "flow/result.h"

#include <stdlib.h>

#include "base/strv.h"

/* The lists are of pointers, so that their items may grow with a later version. */
struct result {
	struct sidelift_result public; /* first */
	struct sidelift_image *images;
	struct sidelift_node *nodes;
	const struct sidelift_image **image_list;
	const struct sidelift_node **node_list;
	struct sl_strv texts; /* all strings */
	bool failed;          /* memory is out */
};

static const char *keep(struct result *self, const char *text)
{
	if (!text)
		return NULL;
	if (sl_strv_add(&self->texts, text) < 0) {
		self->failed = true;
		return NULL;
	}
	return self->texts.items[self->texts.n - 1];
}

static void fill_images(struct result *self, const struct sl_load *load)
{
	for (size_t i = 0; i < load->n_images; i++) {
		const struct sl_image *image = &load->images[i];
		self->images[i] = (struct sidelift_image){
			.requested = keep(self, image->requested),
			.name = keep(self, image->name),
			.digest = keep(self, image->config.text),
			.layers = image->n_layers,
		};
		self->image_list[i] = &self->images[i];
	}
}

/* Why @node failed. */
static const char *reason(const struct sl_load *load, const struct sl_load_node *node)
{
	if (sl_cancelled(load->cancel) && (node->aborted || !node->error.message[0]))
		return "interrupted";
	return node->error.message[0] ? node->error.message : "not tried";
}

static void fill_nodes(struct result *self, const struct sl_load *load)
{
	for (size_t k = 0; k < load->n_nodes; k++) {
		const struct sl_load_node *node = &load->nodes[k];
		bool present = node->outcome == SL_OUTCOME_PRESENT, loaded = node->outcome == SL_OUTCOME_LOADED;
		self->nodes[k] = (struct sidelift_node){
			.name = keep(self, node->node->name),
			.outcome = present ? SIDELIFT_PRESENT : loaded ? SIDELIFT_LOADED : SIDELIFT_FAILED,
			.bytes = node->bytes_total,
			.layers = node->layers_sent,
			.seconds = node->seconds,
		};
		if (!present && !loaded)
			self->nodes[k].error = keep(self, reason(load, node));
		self->node_list[k] = &self->nodes[k];
	}
}

struct sidelift_result *sl_result_of(const struct sl_load *load)
{
	struct result *self = calloc(1, sizeof(*self));
	if (!self)
		return NULL;
	self->images = calloc(load->n_images + 1, sizeof(*self->images));
	self->nodes = calloc(load->n_nodes + 1, sizeof(*self->nodes));
	self->image_list = calloc(load->n_images + 1, sizeof(*self->image_list));
	self->node_list = calloc(load->n_nodes + 1, sizeof(*self->node_list));
	self->failed = !self->images || !self->nodes || !self->image_list || !self->node_list;
	if (!self->failed) {
		fill_images(self, load);
		fill_nodes(self, load);
	}
	self->public = (struct sidelift_result){
		.n_images = load->n_images,
		.n_nodes = load->n_nodes,
		.images = self->image_list,
		.nodes = self->node_list,
		.exporter = keep(self, load->exporter_name),
		.shared = keep(self, load->cluster ? load->cluster->shared : NULL),
	};
	if (!self->failed)
		return &self->public;
	sidelift_result_free(&self->public);
	return NULL;
}

void sidelift_result_free(struct sidelift_result *result)
{
	struct result *self = (struct result *)result;
	if (!self)
		return;
	free(self->images);
	free(self->nodes);
	free(self->image_list);
	free(self->node_list);
	sl_strv_release(&self->texts);
	free(self);
}
