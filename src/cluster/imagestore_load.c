/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster/imagestore.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"

/*
 * Each importer takes an archive that lacks the layers which the node has: docker
 * load (graph drivers) as it looks for a layer's file only when the chain ID is
 * unknown, docker load (containerd's store) as it looks for the snapshot, podman
 * as it looks for a layer with the digest.
 */

#define STAGING "sidelift.invalid/staging" /* also in the scripts */

static int begin_staging(struct sl_imagestore *self, struct sl_error *err)
{
	static const char *const words[] = { "stage" };
	self->staging = true;
	self->archive.session = &self->session;
	self->archive.importer = self->kind->client;
	return sl_session_send(&self->session, words, 1, err) < 0 ? -1 : sl_node_archive_begin(&self->archive, err);
}

int sl_imagestore_prepare(struct sl_target *target, struct sl_error *err)
{
	struct sl_imagestore *self = sl_imagestore_of(target);
	int code = sl_session_call(&self->session, SL_IMAGESTORE_ANSWER, err, "sweep", NULL);
	return code < 0 ? -1 : begin_staging(self, err);
}

/* The member at hand is complete. */
static void end_member(struct sl_imagestore *self)
{
	char hex[SL_SHA256_HEX + 1];
	if (!self->hash)
		return;
	sl_sha256_final(self->hash, hex);
	sl_digest_from_hex(hex, &self->members[self->n_members - 1].blob);
	sl_sha256_free(self->hash);
	self->hash = NULL;
}

int sl_imagestore_layer(struct sl_target *target, const struct sl_digest *diff_id, int64_t size, struct sl_error *err)
{
	struct sl_imagestore *self = sl_imagestore_of(target);
	struct sl_member_name *bigger = realloc(self->members, (self->n_members + 1) * sizeof(*bigger));
	if (!bigger)
		return sl_error_nomem(err);
	self->members = bigger;
	struct sl_member_name *member = &bigger[self->n_members];
	*member = (struct sl_member_name){ .diff_id = *diff_id };
	if (sl_digest_known(diff_id)) {
		snprintf(member->name, sizeof(member->name), "blobs/sha256/%s", sl_digest_hex(diff_id));
	} else {
		snprintf(member->name, sizeof(member->name), "blobs/member-%zu", self->n_members);
		if (!(self->hash = sl_sha256_new()))
			return sl_error_nomem(err);
	}
	self->n_members++;
	int rc = sl_node_archive_layer(&self->archive, member->name, size, err);
	if (rc == 0 && size == 0)
		end_member(self);
	target->sent = self->session.remote->sent;
	return rc;
}

int sl_imagestore_data(struct sl_target *target, const void *data, size_t len, struct sl_error *err)
{
	struct sl_imagestore *self = sl_imagestore_of(target);
	if (self->hash)
		sl_sha256_update(self->hash, data, len);
	int rc = sl_node_archive_data(&self->archive, data, len, err);
	if (rc == 0 && self->archive.seen == self->archive.size)
		end_member(self);
	target->sent = self->session.remote->sent;
	return rc;
}

/* ---- the documents ---- */

/* The member that carries @layer; NULL: it was not sent, the node has it. */
static const struct sl_member_name *member_of(const struct sl_imagestore *self, const struct sl_layer *layer)
{
	for (size_t i = 0; i < self->n_members; i++) {
		const struct sl_member_name *member = &self->members[i];
		if (sl_digest_known(&member->diff_id) ? sl_digest_equal(&member->diff_id, &layer->diff_id) :
							sl_digest_equal(&member->blob, &layer->blob))
			return member;
	}
	return NULL;
}

static void staging_name(const struct sl_imagestore *self, size_t i, char *name, size_t size)
{
	snprintf(name, size, STAGING "/p%s:%s-%zu", self->pid, self->session.token, i);
}

static json_t *docker_entry(const struct sl_imagestore *self, const struct sl_image *image, const char *name)
{
	json_t *layers = json_array();
	for (size_t j = 0; j < image->n_layers; j++) {
		const struct sl_member_name *member = member_of(self, &image->layers[j]);
		json_array_append_new(layers, member ? json_string(member->name) :
				      json_sprintf("blobs/sha256/%s", sl_digest_hex(&image->layers[j].diff_id)));
	}
	return json_pack("{s:o, s:[s], s:o}", "Config", json_sprintf("%s.json", sl_digest_hex(&image->config)),
			 "RepoTags", name, "Layers", layers);
}

static int put_docker(struct sl_imagestore *self, const struct sl_image *const *images, const char *const *names,
		      size_t n, struct sl_error *err)
{
	sl_autobuf struct sl_buf text = SL_BUF_INIT;
	sl_autojson json_t *manifest = json_array();
	int bad = 0;
	for (size_t i = 0; i < n; i++) {
		char name[SL_DIGEST_MAX + 8];
		snprintf(name, sizeof(name), "%s.json", sl_digest_hex(&images[i]->config));
		bad |= sl_node_archive_put(&self->archive, name, images[i]->config_text, images[i]->config_len) |
		       json_array_append_new(manifest, docker_entry(self, images[i], names[i]));
	}
	bad = bad || sl_json_put(&text, manifest, JSON_COMPACT) < 0 ||
	      sl_node_archive_put(&self->archive, "manifest.json", text.data, text.len) < 0;
	return bad ? sl_error_nomem(err) : 0;
}

static int put_documents(struct sl_imagestore *self, const struct sl_image *const *images, const char *const *names,
			 size_t n, struct sl_error *err)
{
	char prefix[32];
	int rc = 0;
	if (self->form == SL_IMPORT_DOCKER)
		return put_docker(self, images, names, n, err);
	if (self->form == SL_IMPORT_OCI)
		return sl_node_archive_put_layout(&self->archive, "", images, names, n, true, err);
	for (size_t i = 0; i < n && rc == 0; i++) {
		snprintf(prefix, sizeof(prefix), "%zu/", i);
		rc = sl_node_archive_put_layout(&self->archive, prefix, &images[i], &names[i], 1, true, err);
	}
	return rc;
}

/* ---- the names ---- */

/* podman: the files are the blobs that the manifests name. */
static int import_layouts(struct sl_imagestore *self, const struct sl_image *const *images, size_t n, struct sl_error *err)
{
	sl_autostrv struct sl_strv words = SL_STRV_INIT;
	char word[192];
	snprintf(word, sizeof(word), "%zu", n);
	int bad = sl_strv_add(&words, "import") | sl_strv_add(&words, word);
	for (size_t i = 0; i < n; i++) {
		for (size_t j = 0; j < images[i]->n_layers; j++) {
			const struct sl_layer *layer = &images[i]->layers[j];
			const struct sl_member_name *member = member_of(self, layer);
			snprintf(word, sizeof(word), "%s=%s", member ? member->name : "", sl_digest_hex(&layer->blob));
			if (member && strcmp(strrchr(member->name, '/') + 1, sl_digest_hex(&layer->blob)) != 0)
				bad |= sl_strv_add_new(&words, word);
		}
	}
	if (bad)
		return sl_error_nomem(err);
	int64_t limit = sl_node_archive_limit(&self->archive);
	int code = sl_session_callv(&self->session, limit, (const char *const *)words.items, words.n, err);
	return code > 0 ? sl_session_failed(&self->session, self->kind->client, code, err) : code;
}

static int stage(struct sl_imagestore *self, const struct sl_image *const *images, size_t n, struct sl_error *err)
{
	sl_autostrv struct sl_strv names = SL_STRV_INIT;
	for (size_t i = 0; i < n; i++) {
		char name[96];
		staging_name(self, i, name, sizeof(name));
		if (sl_strv_add(&names, name) < 0)
			return sl_error_nomem(err);
	}
	if ((!self->staging && begin_staging(self, err) < 0) ||
	    put_documents(self, images, (const char *const *)names.items, n, err) < 0 || sl_node_archive_end(&self->archive, err) < 0)
		return -1;
	int code = sl_session_receive(&self->session, sl_node_archive_limit(&self->archive), err);
	if (code)
		return code < 0 ? -1 : sl_session_failed(&self->session, self->kind->client, code, err);
	return self->form == SL_IMPORT_LAYOUTS ? import_layouts(self, images, n, err) : 0;
}

/* ---- the images as this node gets them ---- */

/* A layer that is not sent must go by the blob that the node has; podman finds it
 * by the digest of the plain tar only, and looks at no size. */
static int adapt_layers(const struct sl_imagestore *self, struct sl_image *copy, struct sl_error *err)
{
	for (size_t j = 0; j < copy->n_layers; j++) {
		struct sl_layer *layer = &copy->layers[j];
		const struct sl_layer *there = sl_imagestore_layer_of(self, &layer->chain_id);
		if (member_of(self, layer))
			continue;
		bool plain = sl_digest_equal(&layer->blob, &layer->diff_id);
		layer->blob = there ? there->blob : layer->diff_id;
		layer->media_type = there ? there->media_type : SL_MEDIA_LAYER;
		layer->size = there ? there->size : plain ? layer->size : 0;
	}
	return sl_image_make_manifest(copy, err);
}

/* *copy shares all but layers and manifest with @image. */
static int adapt(const struct sl_imagestore *self, const struct sl_image *image, struct sl_image *copy, struct sl_error *err)
{
	*copy = *image;
	copy->layers = calloc(image->n_layers ? image->n_layers : 1, sizeof(*copy->layers));
	copy->manifest_text = NULL;
	if (!copy->layers)
		return sl_error_nomem(err);
	if (image->n_layers)
		memcpy(copy->layers, image->layers, image->n_layers * sizeof(*copy->layers));
	return image->manifest_text ? adapt_layers(self, copy, err) : 0;
}

/* What the runtime calls @image: of those it held, or of those just staged. */
static const char *id_of(const struct sl_imagestore *self, const struct sl_image *image, bool staged)
{
	if (self->form != SL_IMPORT_OCI)
		return image->config.text;
	const struct sl_stored *held = staged ? NULL : sl_imagestore_with_config(self, &image->config);
	return held ? held->id.text : image->manifest.text;
}

static int move_names(struct sl_imagestore *self, const struct sl_image *const *images, const bool *staged, size_t n,
		      struct sl_error *err)
{
	sl_autostrv struct sl_strv words = SL_STRV_INIT;
	int bad = sl_strv_add(&words, "tag");
	for (size_t i = 0; i < n; i++)
		bad |= sl_strv_add(&words, id_of(self, images[i], staged[i])) | sl_strv_add(&words, images[i]->name);
	return bad ? sl_error_nomem(err) : sl_imagestore_call(self, "naming the image", &words, err);
}

/* The node is asked what the names stand for now. */
static int verify(struct sl_imagestore *self, const struct sl_image *const *images, const struct sl_strv *ids, size_t n,
		  struct sl_error *err)
{
	sl_autostrv struct sl_strv words = SL_STRV_INIT;
	int bad = sl_strv_add(&words, "names");
	for (size_t i = 0; i < n; i++)
		bad |= sl_strv_add(&words, images[i]->name);
	if (bad)
		return sl_error_nomem(err);
	char *at = NULL;
	if (sl_imagestore_call(self, "asking for the result", &words, err) < 0 ||
	    sl_imagestore_take_held(self, sl_session_section(&self->session, &at), err) < 0)
		return -1;
	for (size_t i = 0; i < n; i++) {
		const struct sl_stored *held = sl_imagestore_named(self, images[i]->name);
		if (!held || strcmp(held->id.text, ids->items[i]) != 0 || held->n_layers != images[i]->n_layers)
			return sl_error_set(err, SL_FAILED, "after the load '%s' does not stand for the image there", images[i]->name);
	}
	return 0;
}

static int publish(struct sl_imagestore *self, const struct sl_image *const *images, const bool *staged, size_t n,
		   struct sl_error *err)
{
	static const char *const settle[] = { "settle" };
	sl_autostrv struct sl_strv ids = SL_STRV_INIT;
	for (size_t i = 0; i < n; i++)
		if (sl_strv_add(&ids, id_of(self, images[i], staged[i])) < 0)
			return sl_error_nomem(err);
	if (move_names(self, images, staged, n, err) < 0 || verify(self, images, &ids, n, err) < 0)
		return -1;
	int code = self->staging ? sl_session_callv(&self->session, SL_IMAGESTORE_ANSWER, settle, 1, err) : 0;
	self->staging = false;
	self->target.sent = self->session.remote->sent;
	return code > 0 ? sl_session_failed(&self->session, "removing the staging names", code, err) : code;
}

/* @images are this node's own copies; those with a manifest can be imported. */
static int commit(struct sl_imagestore *self, const struct sl_image *const *images, size_t n, struct sl_error *err)
{
	sl_autofree const struct sl_image **due = calloc(n, sizeof(*due));
	sl_autofree bool *staged = calloc(n, sizeof(*staged));
	size_t n_due = 0;
	if (!due || !staged)
		return sl_error_nomem(err);
	for (size_t i = 0; i < n; i++) {
		staged[i] = images[i]->manifest_text && (self->staging || !sl_imagestore_with_config(self, &images[i]->config));
		if (staged[i])
			due[n_due++] = images[i];
	}
	if ((self->staging || n_due) && stage(self, due, n_due, err) < 0)
		return -1;
	return publish(self, images, staged, n, err);
}

int sl_imagestore_commit(struct sl_target *target, const struct sl_image *const *images, size_t n, struct sl_error *err)
{
	struct sl_imagestore *self = sl_imagestore_of(target);
	sl_autofree struct sl_image *copies = calloc(n, sizeof(*copies));
	sl_autofree const struct sl_image **list = calloc(n, sizeof(*list));
	int rc = copies && list ? 0 : sl_error_nomem(err);
	for (size_t i = 0; i < n && rc == 0; i++) {
		rc = adapt(self, images[i], &copies[i], err);
		list[i] = &copies[i];
	}
	if (rc == 0)
		rc = commit(self, list, n, err);
	for (size_t i = 0; copies && i < n; i++) {
		free(copies[i].layers);
		free(copies[i].manifest_text);
	}
	return rc;
}
