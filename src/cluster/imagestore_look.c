/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster/imagestore.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "image/reference.h"

static void release(struct sl_stored *held)
{
	sl_strv_release(&held->names);
	free(held->layers);
}

void sl_imagestore_release_held(struct sl_imagestore *self)
{
	for (size_t i = 0; i < self->n_held; i++)
		release(&self->held[i]);
	free(self->held);
	self->held = NULL;
	self->n_held = 0;
}

/* docker shortens its names, podman does not. */
static int add_names(struct sl_strv *names, const json_t *tags)
{
	size_t i;
	json_t *tag;
	json_array_foreach(tags, i, tag) {
		sl_autoref struct sl_reference reference = SL_REFERENCE_INIT;
		if (!json_is_string(tag) || sl_reference_parse(json_string_value(tag), &reference, NULL) < 0)
			continue;
		sl_autofree char *canonical = sl_reference_canonical(&reference);
		if (!canonical || sl_strv_add(names, canonical) < 0)
			return -1;
	}
	return 0;
}

/* podman's IDs are bare hex. */
static bool parse_id(const char *text, struct sl_digest *id)
{
	return sl_digest_parse(text, id) || (text && strlen(text) == SL_SHA256_HEX && sl_digest_from_hex(text, id));
}

static int take_line(struct sl_imagestore *self, const char *line, struct sl_error *err)
{
	sl_autojson json_t *json = json_loads(line, 0, NULL);
	struct sl_stored held = { .names = SL_STRV_INIT };
	if (!parse_id(sl_json_str(json, "id"), &held.id))
		return 0;
	struct sl_image shape = { .requested = held.id.text };
	const json_t *layers = json_object_get(json, "layers");
	if (json_is_array(layers) && sl_image_set_layers(&shape, layers, err) < 0)
		return -1;
	held.layers = shape.layers;
	held.n_layers = shape.n_layers;
	held.size = (uint64_t)sl_json_int(json, "size", 0);
	if (self->form != SL_IMPORT_OCI)
		held.config = held.id;
	struct sl_stored *bigger = realloc(self->held, (self->n_held + 1) * sizeof(*bigger));
	if (bigger)
		self->held = bigger;
	if (!bigger || add_names(&held.names, json_object_get(json, "tags")) < 0) {
		release(&held);
		return sl_error_nomem(err);
	}
	self->held[self->n_held++] = held;
	return 0;
}

int sl_imagestore_take_held(struct sl_imagestore *self, char *lines, struct sl_error *err)
{
	char *save = NULL;
	sl_imagestore_release_held(self);
	for (char *line = lines ? strtok_r(lines, "\n", &save) : NULL; line; line = strtok_r(NULL, "\n", &save))
		if (take_line(self, line, err) < 0)
			return -1;
	return 0;
}

/* The blobs of the image's layers, of those that are there. */
static void take_blobs(struct sl_stored *held, const json_t *layers, const char *blobs)
{
	size_t j;
	json_t *entry;
	if (json_array_size(layers) != held->n_layers)
		return;
	json_array_foreach(layers, j, entry) {
		struct sl_layer *layer = &held->layers[j];
		layer->media_type = sl_layer_media_type(sl_json_str(entry, "mediaType"));
		layer->size = sl_json_int(entry, "size", -1);
		if (!sl_digest_parse(sl_json_str(entry, "digest"), &layer->blob) || !layer->media_type || layer->size < 0 ||
		    !strstr(blobs, sl_digest_hex(&layer->blob)))
			layer->blob = (struct sl_digest)SL_DIGEST_NONE;
	}
}

/* A section "DIGEST, newline, MANIFEST": config and blobs of the image of that ID.
 * An index is left alone: its image counts as something else. */
static void take_manifest(struct sl_imagestore *self, const char *section, const char *blobs)
{
	const char *body = strchr(section, '\n');
	struct sl_digest digest;
	if (!body || strncmp(section, "sha256:", 7) != 0 || !sl_digest_from_hex(section + 7, &digest))
		return;
	sl_autojson json_t *json = json_loads(body, JSON_DISABLE_EOF_CHECK, NULL);
	for (size_t i = 0; i < self->n_held; i++) {
		if (!sl_digest_equal(&self->held[i].id, &digest))
			continue;
		sl_digest_parse(sl_json_str(json_object_get(json, "config"), "digest"), &self->held[i].config);
		take_blobs(&self->held[i], json_object_get(json, "layers"), blobs);
	}
}

static void take_manifests(struct sl_imagestore *self, char **at, const char *blobs)
{
	char *section;
	while ((section = sl_session_section(&self->session, at)))
		take_manifest(self, section, blobs);
}

/* What the node has, where it does not list its layers: those of its images.
 * dockerd takes no image of whose layers a blob is missing, unpacked or not. */
static int take_chains(struct sl_imagestore *self, struct sl_error *err)
{
	sl_autobuf struct sl_buf listing = SL_BUF_INIT;
	for (size_t i = 0; i < self->n_held; i++)
		for (size_t j = 0; j < self->held[i].n_layers; j++)
			if (self->form != SL_IMPORT_OCI || sl_digest_known(&self->held[i].layers[j].blob))
				sl_buf_printf(&listing, "%s Committed\n", self->held[i].layers[j].chain_id.text);
	if (listing.failed)
		return sl_error_nomem(err);
	return sl_target_set_chains(&self->target, listing.len ? listing.data : (char[]){ "" }, err);
}

static int set(char **field, const char *value)
{
	free(*field);
	*field = value ? strdup(value) : NULL;
	return !value || *field ? 0 : -1;
}

/* "DRIVER STORE [VERSION ID]", the latter two of an engine. */
static int take_store(struct sl_imagestore *self, char *section, struct sl_error *err)
{
	char *save = NULL;
	const char *driver = strtok_r(section, " \n", &save), *store = driver ? strtok_r(NULL, " \n", &save) : NULL;
	const char *version = store ? strtok_r(NULL, " \n", &save) : NULL, *id = version ? strtok_r(NULL, " \n", &save) : NULL;
	if (!store)
		return sl_error_set(err, SL_FAILED, "its %s does not say how it stores images", self->kind->runtime);
	if (!strcmp(store, "podman"))
		self->form = SL_IMPORT_LAYOUTS;
	else
		self->form = !strcmp(store, "containerd") ? SL_IMPORT_OCI : SL_IMPORT_DOCKER;
	int bad = set(&self->target.snapshotter, driver) | set(&self->target.version, version) | set(&self->target.engine_id, id);
	return bad ? sl_error_nomem(err) : 0;
}

static int take_look(struct sl_imagestore *self, struct sl_error *err)
{
	struct sl_session *session = &self->session;
	char *at = NULL;
	char *facts = sl_session_section(session, &at), *ca = sl_session_section(session, &at);
	char *store = sl_session_section(session, &at), *lines = sl_session_section(session, &at);
	char none[] = "";
	if (!lines)
		lines = none;
	if (!facts || !ca || !store)
		return sl_error_set(err, SL_FAILED, "it did not answer as a node with %s does", self->kind->runtime);
	self->target.ca = strdup(ca);
	if (!self->target.ca)
		return sl_error_nomem(err);
	if (sl_target_take_machine(&self->target, facts, &self->pid, err) < 0 || take_store(self, store, err) < 0)
		return -1;
	char *more = sl_session_section(session, &at); /* chain IDs, or blobs */
	if (sl_imagestore_take_held(self, lines, err) < 0)
		return -1;
	if (self->form == SL_IMPORT_DOCKER)
		return sl_target_set_chains(&self->target, more ? more : none, err);
	take_manifests(self, &at, more ? more : none);
	return take_chains(self, err);
}

int sl_imagestore_look(struct sl_target *target, const struct sl_image *images, size_t n, struct sl_error *err)
{
	struct sl_imagestore *self = sl_imagestore_of(target);
	sl_autostrv struct sl_strv words = SL_STRV_INIT;
	int bad = sl_strv_add(&words, "look");
	for (size_t i = 0; i < n; i++) {
		if (strchr(images[i].name, '@'))
			return sl_error_set(err, SL_FAILED, "%s gives no image a name with a digest; load '%s' by a tag",
					    self->kind->runtime, images[i].requested);
		bad |= sl_strv_add(&words, images[i].name);
		if (sl_digest_known(&images[i].config))
			bad |= sl_strv_add_new(&words, images[i].config.text);
	}
	if (bad)
		return sl_error_nomem(err);
	return sl_imagestore_call(self, "asking for its images", &words, err) < 0 ? -1 : take_look(self, err);
}

/* podman's; an engine has told its version before. */
int sl_imagestore_version(struct sl_target *target, struct sl_error *err)
{
	struct sl_imagestore *self = sl_imagestore_of(target);
	int code = sl_session_call(&self->session, SL_IMAGESTORE_ANSWER, err, "version", NULL);
	if (code)
		return code < 0 ? -1 : sl_session_failed(&self->session, "asking for its version", code, err);
	char *at = NULL, *section = sl_session_section(&self->session, &at);
	if (section)
		section[strcspn(section, "\n")] = '\0';
	return set(&target->version, section) < 0 ? sl_error_nomem(err) : 0;
}

const struct sl_stored *sl_imagestore_named(const struct sl_imagestore *self, const char *name)
{
	for (size_t i = 0; i < self->n_held; i++)
		if (sl_strv_has(&self->held[i].names, name))
			return &self->held[i];
	return NULL;
}

const struct sl_layer *sl_imagestore_layer_of(const struct sl_imagestore *self, const struct sl_digest *chain_id)
{
	for (size_t i = 0; i < self->n_held; i++)
		for (size_t j = 0; j < self->held[i].n_layers; j++)
			if (sl_digest_equal(&self->held[i].layers[j].chain_id, chain_id) && sl_digest_known(&self->held[i].layers[j].blob))
				return &self->held[i].layers[j];
	return NULL;
}

const struct sl_stored *sl_imagestore_with_config(const struct sl_imagestore *self, const struct sl_digest *config)
{
	for (size_t i = 0; sl_digest_known(config) && i < self->n_held; i++)
		if (sl_digest_equal(&self->held[i].config, config))
			return &self->held[i];
	return NULL;
}

enum sl_presence sl_imagestore_presence(const struct sl_target *target, const struct sl_image *image)
{
	const struct sl_imagestore *self = (const struct sl_imagestore *)target;
	for (size_t i = 0; i < image->n_layers; i++)
		if (!sl_target_has_chain(target, &image->layers[i].chain_id))
			return SL_PRESENT_PART;
	const struct sl_stored *named = sl_imagestore_named(self, image->name);
	if (named && sl_digest_known(&image->config) && sl_digest_equal(&named->config, &image->config))
		return SL_PRESENT;
	return sl_imagestore_with_config(self, &image->config) ? SL_PRESENT_UNNAMED : SL_PRESENT_LAYERS;
}

/* ---- all of them ---- */

/* "1.57GB", as docker prints sizes: three digits of it. */
static uint64_t parse_size(const char *text)
{
	static const struct {
		const char *unit;
		double bytes;
	} units[] = { { "kB", 1e3 }, { "MB", 1e6 }, { "GB", 1e9 }, { "TB", 1e12 }, { "B", 1 } };
	char *unit;
	double value = strtod(text, &unit);
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
		if (!strncmp(unit, units[i].unit, strlen(units[i].unit)) && value >= 0)
			return (uint64_t)(value * units[i].bytes);
	return 0;
}

/* A section of lines "ID [SIZE]": without a size they are of images in use. */
static void take_marks(struct sl_imagestore *self, char *section)
{
	char *save = NULL;
	for (char *line = strtok_r(section, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		struct sl_digest id;
		char *size = strchr(line, ' ');
		if (size)
			*size++ = '\0';
		for (size_t i = 0; parse_id(line, &id) && i < self->n_held; i++) {
			if (!sl_digest_equal(&self->held[i].id, &id))
				continue;
			if (size)
				self->held[i].size = parse_size(size);
			else
				self->held[i].used = true;
		}
	}
}

static int add_held(const struct sl_imagestore *self, const struct sl_stored *held, const char *name, struct sl_listed **list,
		    size_t *n, struct sl_error *err)
{
	struct sl_listed *item = sl_listed_add(list, n, name, err);
	if (!item)
		return -1;
	item->config = held->config;
	if (self->form == SL_IMPORT_OCI)
		item->manifest = held->id;
	item->size = held->size;
	item->used = held->used;
	return 0;
}

int sl_imagestore_list(struct sl_target *target, struct sl_listed **list, size_t *n, struct sl_error *err)
{
	struct sl_imagestore *self = sl_imagestore_of(target);
	int code = sl_session_call(&self->session, SL_IMAGESTORE_ANSWER, err, "list", NULL);
	if (code)
		return code < 0 ? -1 : sl_session_failed(&self->session, "listing its images", code, err);
	char *at = NULL;
	char *lines = sl_session_section(&self->session, &at), *sizes = sl_session_section(&self->session, &at);
	char *used = sl_session_section(&self->session, &at);
	if (sl_imagestore_take_held(self, lines, err) < 0)
		return -1;
	if (sizes)
		take_marks(self, sizes);
	if (used)
		take_marks(self, used);
	take_manifests(self, &at, "");
	for (size_t i = 0; i < self->n_held; i++) {
		const struct sl_stored *held = &self->held[i];
		for (size_t j = 0; j < held->names.n; j++)
			if (add_held(self, held, held->names.items[j], list, n, err) < 0)
				return -1;
		const char *nameless = sl_digest_known(&held->config) ? held->config.text : held->id.text;
		if (!held->names.n && add_held(self, held, nameless, list, n, err) < 0)
			return -1;
	}
	return 0;
}

int sl_imagestore_remove(struct sl_target *target, const char *const *names, size_t n, struct sl_error *err)
{
	struct sl_imagestore *self = sl_imagestore_of(target);
	sl_autofree const char **ids = calloc(n, sizeof(*ids));
	if (!ids)
		return sl_error_nomem(err);
	for (size_t i = 0; i < n; i++) {
		struct sl_digest config;
		const struct sl_stored *held = sl_digest_parse(names[i], &config) ? sl_imagestore_with_config(self, &config) : NULL;
		ids[i] = held ? held->id.text : names[i];
	}
	return sl_target_call_remove(&self->session, ids, n, err);
}
