/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "flow/load.h"

/* The ways out of an engine, the best first.  One that cannot be used here, or
 * fails on the way, gives place to the next; the user loses nothing but time. */

static struct sl_exporter *open_store(struct sl_load *load, struct sl_error *err)
{
	struct sl_error why = SL_ERROR_INIT;
	struct sl_exporter *exporter = sl_early_take(load, true, &why);
	if (!exporter && why.status != SL_OK) {
		*err = why;
		return NULL;
	}
	return exporter ? exporter : sl_exporter_store(NULL, load->images, load->n_images, NULL, err);
}

static struct sl_exporter *open_helper(struct sl_load *load, struct sl_error *err)
{
	return sl_exporter_store(load->engine, load->images, load->n_images, NULL, err);
}

/* An engine that packs what it pushes is slower than its own export where all of an
 * image has to come. */
static bool packs_all(const struct sl_load *load)
{
	for (size_t i = 0; i < load->n_images; i++) {
		const struct sl_image *image = &load->images[i];
		size_t n = 0;
		for (size_t j = 0; j < image->n_layers; j++)
			n += sl_load_is_lacking(load, &image->layers[j].diff_id);
		if (!image->packed && n && n == image->n_layers)
			return true;
	}
	return false;
}

/* Tell it what to bring. */
static int want_lacking(const struct sl_load *load, struct sl_exporter *exporter, struct sl_error *err)
{
	size_t n = 0;
	for (size_t i = 0; i < load->n_images; i++)
		n += load->images[i].n_layers;
	struct sl_digest *lacking = calloc(n ? n : 1, sizeof(*lacking));
	if (!lacking)
		return sl_error_nomem(err);
	n = 0;
	for (size_t i = 0; i < load->n_images; i++)
		for (size_t j = 0; j < load->images[i].n_layers; j++)
			if (sl_load_is_lacking(load, &load->images[i].layers[j].diff_id))
				lacking[n++] = load->images[i].layers[j].diff_id;
	sl_exporter_registry_want(exporter, lacking, n);
	return 0;
}

static struct sl_exporter *open_registry(struct sl_load *load, struct sl_error *err)
{
	struct sl_error why = SL_ERROR_INIT;
	struct sl_exporter *exporter = sl_early_take(load, false, &why);
	if (!exporter && why.status != SL_OK) {
		*err = why;
		return NULL;
	}
	if (!exporter && !load->exporter_wanted && packs_all(load)) {
		sl_error_set(err, SL_FAILED, "the engine would have to pack every layer first");
		return NULL;
	}
	if (!exporter)
		exporter = sl_exporter_registry(load->engine, load->images, load->n_images, err);
	if (exporter && want_lacking(load, exporter, err) < 0) {
		sl_exporter_free(exporter);
		return NULL;
	}
	return exporter;
}

static struct sl_exporter *open_save(struct sl_load *load, struct sl_error *err)
{
	return sl_exporter_save(load->engine, load->images, load->n_images, err);
}

static const struct {
	const char *name;
	struct sl_exporter *(*open)(struct sl_load *load, struct sl_error *err);
} ways[] = {
	{ "store", open_store },
	{ "store", open_helper },
	{ "registry", open_registry },
	{ "save", open_save },
};
#define N_WAYS (sizeof(ways) / sizeof(ways[0]))

bool sl_load_is_exporter(const char *name)
{
	for (size_t i = 0; i < N_WAYS; i++)
		if (!strcmp(ways[i].name, name))
			return true;
	return false;
}

int sl_load_open_exporter(struct sl_load *load, struct sl_error *err)
{
	if (load->exporter)
		return 0;
	if (load->archive) {
		load->exporter = sl_exporter_archive(load->archive, NULL, load->images, load->n_images, load->cancel, err);
		return load->exporter ? 0 : -1;
	}
	const char *wanted = load->exporter_wanted;
	struct sl_error last = SL_ERROR_INIT;
	for (; load->exporter_first < N_WAYS; load->exporter_first++) {
		const char *name = ways[load->exporter_first].name;
		if (wanted && strcmp(wanted, name) != 0)
			continue;
		struct sl_error why = SL_ERROR_INIT;
		load->exporter = ways[load->exporter_first].open(load, &why);
		if (load->exporter) {
			sl_info("exporter: %s", name);
			return 0;
		}
		if (err)
			*err = why;
		if (sl_cancelled(load->cancel))
			return -1;
		if (strcmp(why.message, last.message) != 0) /* `store` is two ways */
			sl_info("exporter %s is passed over: %s", name, why.message);
		last = why;
	}
	return -1;
}

/* One that broke off has read the same bytes as its like would. */
bool sl_load_next_exporter(struct sl_load *load)
{
	if (load->archive || load->exporter_wanted || load->exporter_first >= N_WAYS)
		return false;
	const char *name = ways[load->exporter_first].name;
	while (load->exporter_first < N_WAYS && !strcmp(ways[load->exporter_first].name, name))
		load->exporter_first++;
	return load->exporter_first < N_WAYS;
}
