/* SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/guest.h"
#include "flow/load.h"

/* What the first way out can do before it is known what has to go that way.  It works
 * on copies: the nodes are asked for the images meanwhile.
 *
 * The containerd image store does not tell an image's config, so without a look at
 * its manifest nothing can be said of what a node has.  The registry exporter's first
 * round is that look, and it is waited for.
 *
 * The store exporter reads how large the layers are, which takes time in proportion to
 * the files in the image.  It is waited for only where something has to be exported. */

struct sl_early {
	const struct sl_engine *engine;
	bool store;
	pthread_t thread;
	bool running;
	atomic_bool stop;
	struct sl_image *copies;
	size_t n;
	struct sl_exporter *exporter; /* NULL: `error` says why */
	struct sl_error error;
};

static void *begin(void *ctx)
{
	struct sl_early *early = ctx;
	sl_guest_thread();
	early->exporter = early->store ? sl_exporter_store(NULL, early->copies, early->n, &early->stop, &early->error)
				       : sl_exporter_registry(early->engine, early->copies, early->n, &early->error);
	return NULL;
}

static bool is_wanted(const struct sl_load *load, const char *way, bool packed)
{
	if (!load->exports || !load->engine || load->archive || !load->n_images || load->early ||
	    (load->exporter_wanted && strcmp(load->exporter_wanted, way) != 0))
		return false;
	for (size_t i = 0; i < load->n_images; i++)
		if (load->images[i].packed != packed)
			return false;
	return true;
}

void sl_early_begin(struct sl_load *load)
{
	bool store = is_wanted(load, "store", false);
	if (!store && !is_wanted(load, "registry", true))
		return;
	struct sl_early *early = calloc(1, sizeof(*early));
	load->early = early;
	if (!early)
		return;
	early->engine = load->engine;
	early->store = store;
	early->copies = calloc(load->n_images, sizeof(*early->copies));
	while (early->copies && early->n < load->n_images && sl_image_copy(&load->images[early->n], &early->copies[early->n], NULL) == 0)
		early->n++;
	early->running = early->n == load->n_images && pthread_create(&early->thread, NULL, begin, early) == 0;
	if (!early->running)
		sl_early_release(load);
}

/* What was found out about the copies, into the images, which node threads may be
 * using: they stay where they are. */
static int adopt(const struct sl_early *early, struct sl_image *images, struct sl_error *err)
{
	for (size_t i = 0; i < early->n; i++) {
		const struct sl_image *copy = &early->copies[i];
		if (sl_image_set_config(&images[i], copy->config_text, copy->config_len, err) < 0)
			return -1;
		for (size_t j = 0; j < images[i].n_layers; j++) {
			struct sl_layer *layer = &images[i].layers[j];
			layer->size = copy->layers[j].size;
			layer->blob = copy->layers[j].blob;
			layer->media_type = copy->layers[j].media_type;
		}
	}
	return 0;
}

static void join(struct sl_early *early)
{
	if (early->running)
		pthread_join(early->thread, NULL);
	early->running = false;
}

static void finish(struct sl_load *load, struct sl_early *early)
{
	if (!early->running)
		return;
	join(early);
	if (!early->exporter)
		return;
	if (adopt(early, load->images, &early->error) < 0) {
		sl_exporter_free(early->exporter);
		early->exporter = NULL;
		return;
	}
	early->exporter->images = load->images;
}

void sl_early_end(struct sl_load *load)
{
	if (load->early && !load->early->store)
		finish(load, load->early);
}

struct sl_exporter *sl_early_take(struct sl_load *load, bool store, struct sl_error *err)
{
	struct sl_early *early = load->early;
	if (!early || early->store != store)
		return NULL;
	finish(load, early);
	struct sl_exporter *exporter = early->exporter;
	early->exporter = NULL;
	if (!exporter && err)
		*err = early->error;
	sl_early_release(load);
	return exporter;
}

void sl_early_release(struct sl_load *load)
{
	struct sl_early *early = load->early;
	if (!early)
		return;
	early->stop = true;
	join(early);
	sl_exporter_free(early->exporter);
	for (size_t i = 0; i < early->n; i++)
		sl_image_release(&early->copies[i]);
	free(early->copies);
	free(early);
	load->early = NULL;
}
