/* SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/guest.h"
#include "base/json.h"
#include "base/log.h"
#include "engine/exporter.h"
#include "engine/push.h"
#include "engine/registry.h"
#include "engine/sizes.h"

/*
 * The registry exporter: the engine pushes to a registry in this process, and only
 * what some node lacks.  In a first round it is told that every layer is there; the
 * manifest then says by which digest it knows each of them.  In a second one it is
 * asked for the lacking ones.
 *
 * With a graph driver the engine packs what it pushes, and does not know the digest
 * of a layer that it never pushed: that one it packs and uploads in the first round
 * already, to no avail.
 */

/* How long the engine may take for what comes after the last layer. */
#define TAIL_MS 5000

/* One image's stay in the engine under a name for pushing. */
struct tagged {
	char *tag, *reference;
	struct sl_journal_entry *note;
};

struct pushing {
	struct sl_http_response *response;
	struct sl_endpoint endpoint; /* the engine's, with a cancel token of our own */
	struct sl_cancel stop;
	pthread_t thread;
	bool running;
	struct sl_error error;
};

struct registry_export {
	struct sl_exporter exporter; /* first */
	const struct sl_engine *engine;
	struct sl_digest *lacking; /* diff IDs, sorted; owned */
	size_t n_lacking;
	struct sl_registry *registry;
	struct sl_registry_identity identity;
	struct sl_push push;
	struct tagged *tagged;  /* one per image */
	size_t image;           /* the one that is pushed now */
	struct pushing pushing;
	struct sl_digest *blobs;/* of its layers, as the engine knows them */
	bool *wanted;           /* those of them that have not come yet */
	size_t n_wanted;
	pthread_t tidier;       /* ends the last push and removes the names, while the nodes are at work */
	bool tidying;
	struct sl_registry_blob current;
};

static int compare(const void *a, const void *b)
{
	return strcmp(((const struct sl_digest *)a)->text, ((const struct sl_digest *)b)->text);
}

static bool is_lacking(const struct registry_export *self, const struct sl_digest *diff_id)
{
	return self->n_lacking && bsearch(diff_id, self->lacking, self->n_lacking, sizeof(*diff_id), compare);
}

/* ---- pushing ---- */

static void *follow(void *ctx)
{
	struct registry_export *self = ctx;
	struct pushing *pushing = &self->pushing;
	sl_guest_thread();
	if (sl_push_follow(pushing->response, SL_NEVER / 2, &pushing->error) < 0 && pushing->error.status == SL_OK)
		pushing->error.status = SL_FAILED;
	sl_registry_over(self->registry);
	return NULL;
}

static int begin_push(struct registry_export *self, const struct sl_registry_round *round, struct sl_error *err)
{
	struct pushing *pushing = &self->pushing;
	pushing->error = (struct sl_error)SL_ERROR_INIT;
	sl_registry_round(self->registry, round);
	if (sl_cancel_init(&pushing->stop, err) < 0)
		return -1;
	pushing->endpoint = self->engine->endpoint;
	pushing->endpoint.cancel = &pushing->stop;
	pushing->response = sl_push_begin(&self->push, self->tagged[self->image].tag, &self->exporter.images[self->image],
					  &pushing->endpoint, err);
	if (pushing->response && pthread_create(&pushing->thread, NULL, follow, self) == 0) {
		pushing->running = true;
		return 0;
	}
	if (pushing->response)
		sl_error_nomem(err);
	sl_http_close(pushing->response);
	pushing->response = NULL;
	sl_cancel_release(&pushing->stop);
	return -1;
}

/* Wait for its end; with @stop have it end. */
static int end_push(struct registry_export *self, bool stop, struct sl_error *err)
{
	struct pushing *pushing = &self->pushing;
	if (!pushing->running)
		return 0;
	if (stop)
		sl_cancel_fire(&pushing->stop, 1);
	pthread_join(pushing->thread, NULL);
	sl_http_close(pushing->response);
	sl_cancel_release(&pushing->stop);
	pushing->running = false;
	pushing->response = NULL;
	if (pushing->error.status == SL_OK)
		return 0;
	if (err)
		*err = pushing->error;
	return -1;
}

/* ---- what was pushed ---- */

/* Of an index the manifest for @image's platform; @manifest itself otherwise. */
static const struct sl_buf *choose_manifest(struct registry_export *self, const struct sl_buf *manifest, const struct sl_image *image)
{
	sl_autojson json_t *json = json_loadb(manifest->data, manifest->len, 0, NULL);
	const json_t *list = json_object_get(json, "manifests"), *entry;
	size_t i;
	if (!list)
		return manifest;
	json_array_foreach(list, i, entry) {
		const json_t *platform = json_object_get(entry, "platform");
		const char *os = sl_json_str(platform, "os"), *architecture = sl_json_str(platform, "architecture");
		const char *digest = sl_json_str(entry, "digest");
		const struct sl_buf *text = digest ? sl_registry_document(self->registry, digest) : NULL;
		if (text && (!platform || (os && architecture && !strcmp(os, image->os) && !strcmp(architecture, image->architecture))))
			return text;
	}
	return NULL;
}

/* The config, and by which digests the engine knows the layers.  1 when the config
 * has not come, its digest then in *config. */
static int take_manifest(struct registry_export *self, struct sl_image *image, struct sl_digest *config, struct sl_error *err)
{
	const struct sl_buf *text = sl_registry_document(self->registry, self->tagged[self->image].tag);
	text = text ? choose_manifest(self, text, image) : NULL;
	if (!text)
		return sl_error_set(err, SL_FAILED, "the engine pushed no manifest for %s/%s", image->os, image->architecture);
	sl_autojson json_t *manifest = sl_json_parse(text->data, text->len, "the manifest that the engine pushed", err);
	const json_t *layers = json_object_get(manifest, "layers");
	if (!manifest)
		return -1;
	if (!sl_digest_parse(sl_json_str(json_object_get(manifest, "config"), "digest"), config))
		return sl_error_set(err, SL_FAILED, "the manifest that the engine pushed names no config");
	const struct sl_buf *document = sl_registry_document(self->registry, config->text);
	if (!document)
		return 1;
	if (sl_image_set_config(image, document->data, document->len, err) < 0)
		return -1;
	if (json_array_size(layers) != image->n_layers)
		return sl_error_set(err, SL_FAILED, "the engine pushed %zu layers, the image has %zu", json_array_size(layers), image->n_layers);
	for (size_t i = 0; i < image->n_layers; i++) {
		struct sl_layer *layer = &image->layers[i];
		const json_t *entry = json_array_get(layers, i);
		const char *type = sl_layer_media_type(sl_json_str(entry, "mediaType"));
		if (!type || !sl_digest_parse(sl_json_str(entry, "digest"), &layer->blob))
			return sl_error_set(err, SL_FAILED, "layer %zu is of a kind that no node can unpack", i + 1);
		layer->media_type = sl_digest_equal(&layer->blob, &layer->diff_id) ? SL_MEDIA_LAYER : type;
		layer->size = sl_json_int(entry, "size", 0);
	}
	return 0;
}

/* With a graph driver the sizes in the manifest are those that we told it. */
static void estimate_sizes(const struct registry_export *self, struct sl_image *image)
{
	sl_autofree int64_t *sizes = calloc(image->n_layers ? image->n_layers : 1, sizeof(*sizes));
	if (!sizes || sl_engine_layer_sizes(self->engine, image, sizes) == SL_SIZE_UNKNOWN)
		return;
	for (size_t i = 0; i < image->n_layers; i++)
		if (sizes[i] >= 0)
			image->layers[i].size = sizes[i];
}

/* ---- the rounds ---- */

static int first_round(struct registry_export *self, struct sl_image *image, struct sl_error *err)
{
	struct sl_registry_round round = { .all = true, .config = image->config };
	struct sl_registry_blob ignored;
	struct sl_digest config;
	int rc = begin_push(self, &round, err);
	if (rc == 0)
		rc = sl_registry_next(self->registry, &ignored, SL_HTTP_SILENCE, self->engine->endpoint.cancel, err);
	if (end_push(self, rc < 0, rc < 0 ? NULL : err) < 0 || rc < 0 || (rc = take_manifest(self, image, &config, err)) < 0)
		return -1;
	if (rc) { /* the same again, without pretending to have this one */
		round.config = config;
		rc = begin_push(self, &round, err);
		if (rc == 0)
			rc = sl_registry_next(self->registry, &ignored, SL_HTTP_SILENCE, self->engine->endpoint.cancel, err);
		if (end_push(self, rc < 0, rc < 0 ? NULL : err) < 0 || rc < 0 || (rc = take_manifest(self, image, &config, err)) < 0)
			return -1;
	}
	if (rc)
		return sl_error_set(err, SL_FAILED, "the engine does not push the image's config");
	if (!image->packed)
		estimate_sizes(self, image);
	return 0;
}

static bool was_pushed(const struct registry_export *self, const struct sl_digest *diff_id)
{
	for (size_t i = 0; i < self->image; i++)
		for (size_t j = 0; j < self->exporter.images[i].n_layers; j++)
			if (sl_digest_equal(&self->exporter.images[i].layers[j].diff_id, diff_id))
				return true;
	return false;
}

/* 1 when there is something to push, 0 when not. */
static int second_round(struct registry_export *self, struct sl_error *err)
{
	const struct sl_image *image = &self->exporter.images[self->image];
	size_t n = image->n_layers;
	free(self->blobs);
	free(self->wanted);
	self->n_wanted = 0;
	self->blobs = calloc(n ? n : 1, sizeof(*self->blobs));
	self->wanted = calloc(n ? n : 1, sizeof(*self->wanted));
	if (!self->blobs || !self->wanted)
		return sl_error_nomem(err);
	for (size_t i = 0; i < n; i++) {
		const struct sl_digest *diff_id = &image->layers[i].diff_id;
		self->blobs[i] = image->layers[i].blob;
		self->wanted[i] = is_lacking(self, diff_id) && !was_pushed(self, diff_id);
		for (size_t j = 0; j < i; j++)
			self->wanted[i] = self->wanted[i] && !sl_digest_equal(&image->layers[j].diff_id, diff_id);
		self->n_wanted += self->wanted[i];
	}
	const struct sl_registry_round round = { .layers = self->blobs, .wanted = self->wanted, .n = n };
	return self->n_wanted ? (begin_push(self, &round, err) < 0 ? -1 : 1) : 0;
}

/* ---- the exporter ---- */

static int begin_tidying(struct registry_export *self);

/* The next layer of the image at hand: 1, or 0 when all have come. */
static int next_layer(struct registry_export *self, struct sl_blob *blob, struct sl_error *err)
{
	const struct sl_image *image = &self->exporter.images[self->image];
	if (!self->n_wanted)
		return 0;
	int rc = sl_registry_next(self->registry, &self->current, SL_HTTP_SILENCE, self->engine->endpoint.cancel, err);
	if (rc < 0)
		return -1;
	if (rc == 0) {
		if (end_push(self, false, err) == 0)
			sl_error_set(err, SL_FAILED, "the engine did not push all that was asked for");
		return -1;
	}
	const struct sl_layer *layer = &image->layers[self->current.layer];
	self->wanted[self->current.layer] = false;
	self->n_wanted--;
	*blob = (struct sl_blob){ .diff_id = layer->diff_id, .digest = self->current.digest, .size = self->current.size,
				  .packed = !sl_digest_equal(&self->current.digest, &layer->diff_id) };
	return 1;
}

static int registry_next(struct sl_exporter *exporter, struct sl_blob *blob, struct sl_error *err)
{
	struct registry_export *self = (struct registry_export *)exporter;
	for (; self->image < exporter->n_images; self->image++) {
		int rc = self->pushing.running ? 1 : second_round(self, err);
		if (rc > 0)
			rc = next_layer(self, blob, err);
		if (rc)
			return rc;
		bool last = self->image + 1 == exporter->n_images;
		/* what the engine still says is of no interest; but two pushes would be in each other's way */
		if (!last && end_push(self, false, err) < 0)
			return -1;
	}
	return begin_tidying(self);
}

static ssize_t registry_data(struct sl_exporter *exporter, const void **data, struct sl_error *err)
{
	struct registry_export *self = (struct registry_export *)exporter;
	ssize_t n = sl_registry_data(self->registry, data, SL_HTTP_SILENCE, self->engine->endpoint.cancel, err);
	if (n)
		return n;
	/* as it came, which with a graph driver is known only now */
	struct sl_layer *layer = &exporter->images[self->image].layers[self->current.layer];
	if (!sl_digest_equal(&layer->blob, &self->current.digest) || layer->size != self->current.size) {
		layer->blob = self->current.digest;
		layer->size = self->current.size;
		layer->media_type = sl_digest_equal(&layer->blob, &layer->diff_id) ? SL_MEDIA_LAYER : self->current.media_type;
	}
	return 0;
}

static int registry_finish(struct sl_exporter *exporter, struct sl_error *err)
{
	return 0; /* everything is known since the first round, or since the layer came */
}

/* From the tidier, or when there is none. */
static void untag(struct registry_export *self, size_t i)
{
	struct tagged *tagged = &self->tagged[i];
	struct sl_error why = SL_ERROR_INIT;
	bool gone = !tagged->note || sl_push_untag(self->engine, tagged->reference, self->exporter.images[i].requested, &why) == 0;
	if (!gone)
		sl_warn("the name %s stays in the engine until the next load: %s", tagged->reference, why.message);
	sl_journal_strike(tagged->note, gone);
	free(tagged->tag);
	free(tagged->reference);
}

static void tidy(struct registry_export *self)
{
	struct sl_error why = SL_ERROR_INIT;
	struct sl_registry_blob ignored;
	bool stop = self->pushing.running &&
		    sl_registry_next(self->registry, &ignored, TAIL_MS, self->engine->endpoint.cancel, &why) != 0;
	if (end_push(self, stop, &why) < 0)
		sl_debug("the push has ended: %s", why.message);
	for (size_t i = 0; i < self->exporter.n_images; i++)
		untag(self, i);
}

static void *keep_tidy(void *ctx)
{
	sl_guest_thread();
	tidy(ctx);
	return NULL;
}

static int begin_tidying(struct registry_export *self)
{
	self->tidying = self->tidying || pthread_create(&self->tidier, NULL, keep_tidy, self) == 0;
	return 0;
}

static void registry_free(struct sl_exporter *exporter)
{
	struct registry_export *self = (struct registry_export *)exporter;
	if (self->tidying) {
		pthread_join(self->tidier, NULL);
	} else {
		if (self->pushing.running)
			sl_cancel_fire(&self->pushing.stop, 1);
		sl_registry_stop_serving(self->registry);
		tidy(self);
	}
	sl_registry_stop(self->registry);
	sl_push_release(&self->push);
	free(self->tagged);
	free(self->blobs);
	free(self->wanted);
	free(self->lacking);
	free(self);
}

static const struct sl_exporter_ops registry_ops = {
	.name = "registry",
	.next = registry_next,
	.data = registry_data,
	.finish = registry_finish,
	.free = registry_free,
};

/* ---- opening ---- */

static int remove_left(void *ctx, const char *line)
{
	struct registry_export *self = ctx;
	char reference[128] = "", other[512] = "";
	if (sscanf(line, "%127s %511s", reference, other) < 1)
		return 0;
	sl_info("removing %s, which another run left in the engine", reference);
	return sl_push_untag(self->engine, reference, *other ? other : NULL, NULL);
}

static int tag_image(struct registry_export *self, size_t i, struct sl_error *err)
{
	static atomic_int count;
	struct tagged *tagged = &self->tagged[i];
	const struct sl_image *image = &self->exporter.images[i];
	sl_autofree char *line = NULL;
	if (asprintf(&tagged->tag, "p%d-%d", (int)getpid(), atomic_fetch_add(&count, 1)) < 0 ||
	    asprintf(&tagged->reference, "%s:%s", self->push.repository, tagged->tag) < 0 ||
	    asprintf(&line, "%s %s", tagged->reference, image->requested) < 0)
		return sl_error_nomem(err);
	tagged->note = sl_journal_note(self->engine->endpoint.url, line, err);
	return tagged->note ? sl_push_tag(&self->push, image->id, tagged->tag, err) : -1;
}

static int open_registry(struct registry_export *self, struct sl_error *err)
{
	if (!sl_push_is_near(self->engine))
		return sl_error_set(err, SL_FAILED, "the engine is on another machine, whose loopback is not this one");
	sl_journal_sweep(self->engine->endpoint.url, remove_left, self);
	if (sl_registry_identity(&self->identity, err) < 0 || !(self->registry = sl_registry_start(&self->identity, err)) ||
	    sl_push_init(&self->push, self->engine, sl_registry_host(self->registry), self->identity.secret, err) < 0)
		return -1;
	struct sl_error why = SL_ERROR_INIT;
	int rc = sl_push_greet(&self->push, &why);
	if (!sl_registry_was_reached(self->registry))
		return sl_error_set(err, SL_FAILED, "the engine does not reach this process at %s%s%s", sl_registry_host(self->registry),
				    rc < 0 ? ": " : "", why.message);
	for (size_t i = 0; i < self->exporter.n_images; i++) {
		self->image = i;
		if (tag_image(self, i, err) < 0 || first_round(self, &self->exporter.images[i], err) < 0)
			return -1;
	}
	self->image = 0;
	return 0;
}

struct sl_exporter *sl_exporter_registry(const struct sl_engine *engine, struct sl_image *images, size_t n, struct sl_error *err)
{
	struct registry_export *self = calloc(1, sizeof(*self));
	struct tagged *tagged = calloc(n, sizeof(*tagged));
	if (!self || !tagged) {
		free(self);
		free(tagged);
		sl_error_nomem(err);
		return NULL;
	}
	*self = (struct registry_export){ .exporter = { .ops = &registry_ops, .images = images, .n_images = n }, .engine = engine, .tagged = tagged };
	if (open_registry(self, err) == 0)
		return &self->exporter;
	registry_free(&self->exporter);
	return NULL;
}

void sl_exporter_registry_want(struct sl_exporter *exporter, struct sl_digest *lacking, size_t n)
{
	struct registry_export *self = (struct registry_export *)exporter;
	free(self->lacking);
	self->lacking = lacking;
	self->n_lacking = n;
	if (n)
		qsort(lacking, n, sizeof(*lacking), compare);
}
