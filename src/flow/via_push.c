/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "flow/via_parts.h"

/*
 * The push: what is lacking comes out of an exporter, once, and goes to the first image's
 * repository; others have the registry mount it from there.  Then come the configs, and
 * the names last.
 */

/* Of an export: each way out once, and once more for what a registry would not mount. */
#define PASSES_MAX 5

/* ---- the export ---- */

/* What is read of a layer goes by here. */
static ssize_t read_layer(void *ctx, const void **data, struct sl_error *err)
{
	struct sl_via_push *push = ctx;
	struct sl_load *load = push->load;
	ssize_t n = sl_exporter_data(load->exporter, data, err);
	push->source_failed = n < 0;
	if (n > 0) {
		atomic_fetch_add(&load->exported, (uint64_t)n);
		atomic_fetch_add(&load->nodes[0].sent, (uint64_t)n);
	}
	return n;
}

/* The first image that lacks the layer, or, of one of which that is not known, anything;
 * NULL: none. */
static struct sl_via_image *first_lacking(const struct sl_via_push *push, const struct sl_digest *diff_id)
{
	for (size_t i = 0; i < push->n_images; i++)
		for (size_t j = 0; j < push->load->images[i].n_layers; j++)
			if (!push->images[i].layers[j].there &&
			    (!sl_digest_known(diff_id) || sl_digest_equal(diff_id, &push->load->images[i].layers[j].diff_id)))
				return &push->images[i];
	return NULL;
}

static int send_blob(struct sl_via_push *push, const struct sl_blob *blob, struct sl_error *err)
{
	struct sl_via_image *mine = first_lacking(push, &blob->diff_id);
	int64_t size;
	if (!mine)
		return 0;
	int rc = sl_digest_known(&blob->digest) ? sl_via_has_blob(push, mine->repository, &blob->digest, &size, err) : 0;
	if (rc)
		return rc < 0 ? -1 : 0;
	struct sl_dist_upload upload = { .source = { .read = read_layer, .ctx = push }, .size = blob->size, .digest = blob->digest };
	atomic_store(&push->load->nodes[0].phase, SL_PHASE_SENDING);
	rc = sl_dist_upload(push->via->dist, mine->repository, &upload, err);
	mine->bytes_sent += upload.sent;
	push->load->nodes[0].bytes_total += upload.sent;
	if (rc < 0)
		return -1;
	mine->layers_sent++;
	push->load->nodes[0].layers_sent++;
	return sl_via_note_blob(push, mine->repository, &upload.digest, true, blob->size, err);
}

/* Have @mine's repository have the blob from another one of ours: 1, 0, -1. */
static int mount_blob(struct sl_via_push *push, const struct sl_via_image *mine, const struct sl_layer *given, struct sl_error *err)
{
	for (size_t i = 0; i < push->n_blobs; i++) {
		const struct sl_via_blob *blob = &push->blobs[i];
		if (!blob->there || !sl_digest_equal(&blob->digest, &given->blob) || !strcmp(blob->repository, mine->repository))
			continue;
		int rc = sl_dist_mount(push->via->dist, mine->repository, &given->blob, blob->repository, err);
		if (rc)
			return rc < 0 ? -1 : sl_via_note_blob(push, mine->repository, &given->blob, true, given->size, err) < 0 ? -1 : 1;
	}
	return 0;
}

/* The exporter has told all that it knows: which blobs, now in the registry, are the layers. */
static int settle(struct sl_via_push *push, struct sl_error *err)
{
	for (size_t i = 0; i < push->n_images; i++) {
		struct sl_via_image *mine = &push->images[i];
		for (size_t j = 0; j < push->load->images[i].n_layers; j++) {
			const struct sl_layer *given = &push->load->images[i].layers[j];
			struct sl_via_layer *layer = &mine->layers[j];
			if (layer->there || given->size < 0 || !sl_digest_known(&given->blob))
				continue;
			int rc = sl_via_take_if_there(push, mine, layer, &given->blob, given->size, given->media_type, err);
			if (rc == 0 && (rc = mount_blob(push, mine, given, err)) > 0)
				rc = sl_via_take_if_there(push, mine, layer, &given->blob, given->size, given->media_type, err);
			if (rc < 0)
				return -1;
		}
	}
	return sl_via_want(push, err);
}

static int export_blobs(struct sl_via_push *push, struct sl_error *err)
{
	struct sl_exporter *exporter = push->load->exporter;
	struct sl_blob blob;
	int rc;
	push->load->exporter_name = exporter->ops->name;
	push->source_failed = false;
	if (sl_via_look_again(push, err) < 0)
		return -1;
	while ((rc = sl_exporter_next(exporter, &blob, err)) > 0)
		if (send_blob(push, &blob, err) < 0)
			return -1;
	push->source_failed = rc < 0 || sl_exporter_finish(exporter, err) < 0;
	return push->source_failed ? -1 : settle(push, err);
}

/* Is there something that only an export can give? */
static bool needs_export(const struct sl_via_push *push)
{
	if (push->load->nodes[0].n_wanted)
		return true;
	for (size_t i = 0; i < push->n_images; i++)
		if (!push->images[i].current && !push->load->images[i].config_text)
			return true;
	return false;
}

static int export_all(struct sl_via_push *push, struct sl_error *err)
{
	struct sl_load *load = push->load;
	for (int pass = 1; needs_export(push); pass++) {
		size_t before = load->nodes[0].layers_sent;
		struct sl_error why = SL_ERROR_INIT;
		if (sl_load_open_exporter(load, &why) < 0) {
			if (err)
				*err = why;
			return -1;
		}
		why = (struct sl_error)SL_ERROR_INIT; /* of those that were passed over */
		int rc = export_blobs(push, &why);
		sl_exporter_free(load->exporter);
		load->exporter = NULL;
		if (rc < 0 && why.status == SL_OK)
			sl_error_set(&why, SL_FAILED, "the export failed");
		bool next = rc < 0 && push->source_failed && !sl_cancelled(load->cancel) && pass < PASSES_MAX;
		if (rc == 0 && load->nodes[0].n_wanted && load->nodes[0].layers_sent == before)
			rc = sl_error_set(&why, SL_FAILED, "the export did not contain layer %s", load->nodes[0].wanted[0].text);
		else if (rc == 0 && pass == PASSES_MAX && needs_export(push))
			rc = sl_error_set(&why, SL_FAILED, "the export does not contain all of the images");
		if (rc < 0 && !(next && sl_load_next_exporter(load))) {
			if (err)
				*err = why;
			return -1;
		}
		if (rc < 0)
			sl_info("exporter %s broke off (%s); the next one takes over", load->exporter_name, why.message);
	}
	return 0;
}

/* ---- the names ---- */

struct text {
	const char *data;
	size_t len;
};

static ssize_t read_text(void *ctx, const void **data, struct sl_error *err)
{
	struct text *text = ctx;
	size_t n = text->len;
	*data = text->data;
	text->len = 0;
	return (ssize_t)n;
}

static int send_config(struct sl_via_push *push, struct sl_via_image *mine, const struct sl_image *image, struct sl_error *err)
{
	struct text text = { image->config_text, image->config_len };
	struct sl_dist_upload upload = { .source = { .read = read_text, .ctx = &text }, .size = (int64_t)image->config_len, .digest = image->config };
	int64_t size;
	int rc = sl_via_has_blob(push, mine->repository, &image->config, &size, err);
	if (rc)
		return rc < 0 ? -1 : 0;
	rc = sl_dist_upload(push->via->dist, mine->repository, &upload, err);
	mine->bytes_sent += upload.sent;
	return rc < 0 ? -1 : sl_via_note_blob(push, mine->repository, &image->config, true, size, err);
}

/* What the registry says that the name stands for must be what was pushed. */
static int confirm(struct sl_via_push *push, struct sl_via_image *mine, const struct sl_digest *expected, struct sl_error *err)
{
	sl_autobuf struct sl_buf text = SL_BUF_INIT;
	struct sl_digest digest;
	int rc = sl_dist_get_manifest(push->via->dist, mine->repository, mine->tag, &text, &digest, err);
	if (rc < 0)
		return -1;
	if (rc == 0 || !sl_digest_equal(&digest, expected))
		return sl_error_set(err, SL_FAILED, "the registry does not confirm the push: the name stands for %s there, not for %s; somebody "
				    "else may have moved it, push again", rc ? digest.text : "nothing", expected->text);
	mine->digest = digest;
	free(mine->pod_reference);
	if (asprintf(&mine->pod_reference, "%s/%s:%s@%s", push->via->pod_host, mine->repository, mine->tag, digest.text) < 0) {
		mine->pod_reference = NULL;
		return sl_error_nomem(err);
	}
	return 0;
}

static int put_name(struct sl_via_push *push, struct sl_via_image *mine, struct sl_image *image, struct sl_error *err)
{
	for (size_t j = 0; j < image->n_layers; j++) {
		image->layers[j].blob = mine->layers[j].blob;
		image->layers[j].size = mine->layers[j].size;
		image->layers[j].media_type = mine->layers[j].media_type;
	}
	if (send_config(push, mine, image, err) < 0 || sl_image_make_manifest(image, err) < 0)
		return -1;
	mine->current = sl_digest_equal(&image->manifest, &mine->digest);
	if (!mine->current) {
		if (sl_dist_put_manifest(push->via->dist, mine->repository, mine->tag, SL_MEDIA_MANIFEST, image->manifest_text, image->manifest_len,
					 err) < 0)
			return -1;
		mine->bytes_sent += image->manifest_len;
	}
	return confirm(push, mine, &image->manifest, err);
}

static int finish_image(struct sl_via_push *push, size_t i, struct sl_error *err)
{
	struct sl_via_image *mine = &push->images[i];
	struct sl_image *image = &push->load->images[i];
	if ((mine->current ? confirm(push, mine, &mine->digest, err) : put_name(push, mine, image, err)) < 0)
		return sl_error_wrap(err, "%s", mine->pushed);
	mine->bytes_total = (int64_t)image->config_len;
	for (size_t j = 0; j < image->n_layers; j++)
		mine->bytes_total += mine->layers[j].size;
	mine->done = true;
	mine->seconds = (double)(sl_now() - push->load->started) / 1000;
	return 0;
}

int sl_via_run(struct sl_via_push *push, struct sl_error *err)
{
	struct sl_load *load = push->load;
	load->started = sl_now();
	int rc = export_all(push, err);
	for (size_t i = 0; rc == 0 && i < push->n_images; i++)
		rc = finish_image(push, i, err);
	atomic_store(&load->nodes[0].phase, SL_PHASE_DONE);
	if (rc < 0 && sl_cancelled(load->cancel))
		return sl_error_set(err, SL_INTERRUPTED, "interrupted; no name was moved that is not whole");
	return rc;
}
