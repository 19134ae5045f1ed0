/* SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/guest.h"
#include "flow/load.h"

/* The containerd image store does not tell an image's config, so without a look at
 * its manifest nothing can be said of what a node has.  The registry exporter's first
 * round is that look.  It works on copies: the nodes are asked for the images
 * meanwhile. */

struct sl_early {
	const struct sl_engine *engine;
	pthread_t thread;
	bool running;
	struct sl_image *copies;
	size_t n;
	struct sl_exporter *exporter; /* NULL: `error` says why */
	struct sl_error error;
};

static void *begin(void *ctx)
{
	struct sl_early *early = ctx;
	sl_guest_thread();
	early->exporter = sl_exporter_registry(early->engine, early->copies, early->n, &early->error);
	return NULL;
}

static bool is_wanted(const struct sl_load *load)
{
	if (!load->exports || !load->engine || load->archive || !load->n_images || load->early ||
	    (load->exporter_wanted && strcmp(load->exporter_wanted, "registry") != 0))
		return false;
	for (size_t i = 0; i < load->n_images; i++)
		if (!load->images[i].packed)
			return false;
	return true;
}

void sl_early_begin(struct sl_load *load)
{
	if (!is_wanted(load))
		return;
	struct sl_early *early = calloc(1, sizeof(*early));
	load->early = early;
	if (!early)
		return;
	early->engine = load->engine;
	early->copies = calloc(load->n_images, sizeof(*early->copies));
	while (early->copies && early->n < load->n_images && sl_image_copy(&load->images[early->n], &early->copies[early->n], NULL) == 0)
		early->n++;
	early->running = early->n == load->n_images && pthread_create(&early->thread, NULL, begin, early) == 0;
	if (!early->running)
		sl_early_release(load);
}

void sl_early_end(struct sl_load *load)
{
	struct sl_early *early = load->early;
	if (!early || !early->running)
		return;
	pthread_join(early->thread, NULL);
	early->running = false;
	if (!early->exporter)
		return;
	for (size_t i = 0; i < early->n; i++) {
		struct sl_image known = early->copies[i];
		early->copies[i] = load->images[i];
		load->images[i] = known;
	}
	early->exporter->images = load->images;
}

struct sl_exporter *sl_early_take(struct sl_load *load, struct sl_error *err)
{
	struct sl_early *early = load->early;
	if (!early)
		return NULL;
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
	sl_early_end(load);
	sl_exporter_free(early->exporter);
	for (size_t i = 0; i < early->n; i++)
		sl_image_release(&early->copies[i]);
	free(early->copies);
	free(early);
	load->early = NULL;
}
