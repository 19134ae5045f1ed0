/* SPDX-License-Identifier: Apache-2.0 */
#include "image/image.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"

void sl_image_release(struct sl_image *image)
{
	free(image->requested);
	free(image->name);
	free(image->id);
	free(image->store);
	free(image->os);
	free(image->architecture);
	free(image->variant);
	free(image->layers);
	free(image->config_text);
	free(image->manifest_text);
	*image = (struct sl_image){ 0 };
}

/* 1 when memory is out. */
static int copy_text(const char *from, char **to)
{
	*to = from ? strdup(from) : NULL;
	return from && !*to;
}

int sl_image_copy(const struct sl_image *image, struct sl_image *copy, struct sl_error *err)
{
	*copy = *image;
	copy->manifest_text = NULL;
	copy->layers = calloc(image->n_layers ? image->n_layers : 1, sizeof(*copy->layers));
	/* all of them, so that what follows may be released */
	int bad = copy_text(image->requested, &copy->requested) | copy_text(image->name, &copy->name) | copy_text(image->id, &copy->id) |
		  copy_text(image->store, &copy->store) | copy_text(image->os, &copy->os) | copy_text(image->architecture, &copy->architecture) |
		  copy_text(image->variant, &copy->variant) | copy_text(image->config_text, &copy->config_text);
	if (bad || !copy->layers) {
		sl_image_release(copy);
		return sl_error_nomem(err);
	}
	if (image->n_layers)
		memcpy(copy->layers, image->layers, image->n_layers * sizeof(*copy->layers));
	return 0;
}

static int same_layers(const struct sl_image *image, const json_t *diff_ids, struct sl_error *err)
{
	if (json_array_size(diff_ids) != image->n_layers)
		return sl_error_set(err, SL_FAILED, "image '%s': the exported config lists %zu layers, the engine said %zu",
				    image->requested, json_array_size(diff_ids), image->n_layers);
	for (size_t i = 0; i < image->n_layers; i++) {
		const char *text = json_string_value(json_array_get(diff_ids, i));
		if (!text || strcmp(text, image->layers[i].diff_id.text) != 0)
			return sl_error_set(err, SL_FAILED, "image '%s': layer %zu of the exported config is not what the engine said",
					    image->requested, i + 1);
	}
	return 0;
}

int sl_image_set_layers(struct sl_image *image, const json_t *diff_ids, struct sl_error *err)
{
	size_t n = json_array_size(diff_ids);
	if (n > SL_LAYERS_MAX)
		return sl_error_set(err, SL_FAILED, "image '%s' has %zu layers; at most %d are handled",
				    image->requested, n, SL_LAYERS_MAX);
	struct sl_layer *layers = calloc(n ? n : 1, sizeof(*layers));
	if (!layers)
		return sl_error_nomem(err);
	struct sl_digest chain = SL_DIGEST_NONE;
	for (size_t i = 0; i < n; i++) {
		struct sl_layer *layer = &layers[i];
		layer->size = -1;
		layer->media_type = SL_MEDIA_LAYER;
		const char *text = json_string_value(json_array_get(diff_ids, i));
		if (!sl_digest_parse(text, &layer->diff_id)) {
			free(layers);
			return sl_error_set(err, SL_FAILED, "image '%s': diff ID %zu is '%s', not a sha256 digest",
					    image->requested, i + 1, text ? text : "(no string)");
		}
		sl_chain_next(&chain, &layer->diff_id, &layer->chain_id);
		chain = layer->chain_id;
	}
	free(image->layers);
	image->layers = layers;
	image->n_layers = n;
	return 0;
}

static int set_string(char **field, const char *value, struct sl_error *err)
{
	if (*field || !value || !*value)
		return 0;
	*field = strdup(value);
	return *field ? 0 : sl_error_nomem(err);
}

int sl_image_set_config(struct sl_image *image, const char *text, size_t len, struct sl_error *err)
{
	if (len > SL_DOCUMENT_MAX)
		return sl_error_set(err, SL_FAILED, "image '%s': its config has %zu bytes; at most %zu are handled",
				    image->requested, len, SL_DOCUMENT_MAX);
	struct sl_digest digest;
	sl_digest_of(text, len, &digest);
	if (sl_digest_known(&image->config) && !sl_digest_equal(&digest, &image->config))
		return sl_error_set(err, SL_FAILED, "image '%s': the exported config is %s, not %s",
				    image->requested, digest.text, image->config.text);
	sl_autojson json_t *config = sl_json_parse(text, len, "the image's config", err);
	if (!config)
		return -1;
	const json_t *rootfs = json_object_get(config, "rootfs");
	const json_t *diff_ids = json_object_get(rootfs, "diff_ids");
	/* an image without layers may leave the list away */
	if (!json_is_object(rootfs) || (diff_ids && !json_is_array(diff_ids) && !json_is_null(diff_ids)))
		return sl_error_set(err, SL_FAILED, "image '%s': its config has no rootfs.diff_ids", image->requested);
	if ((image->layers ? same_layers(image, diff_ids, err) : sl_image_set_layers(image, diff_ids, err)) < 0 ||
	    set_string(&image->os, sl_json_str(config, "os"), err) < 0 ||
	    set_string(&image->architecture, sl_json_str(config, "architecture"), err) < 0 ||
	    set_string(&image->variant, sl_json_str(config, "variant"), err) < 0)
		return -1;
	char *copy = malloc(len + 1);
	if (!copy)
		return sl_error_nomem(err);
	memcpy(copy, text, len);
	copy[len] = '\0';
	free(image->config_text);
	image->config_text = copy;
	image->config_len = len;
	image->config = digest;
	return 0;
}

struct sl_digest sl_image_chain(const struct sl_image *image)
{
	return image->n_layers ? image->layers[image->n_layers - 1].chain_id : (struct sl_digest)SL_DIGEST_NONE;
}

static json_t *descriptor(const char *media_type, const struct sl_digest *digest, int64_t size)
{
	return json_pack("{s:s, s:s, s:I}", "mediaType", media_type, "digest", digest->text, "size", (json_int_t)size);
}

int sl_image_make_manifest(struct sl_image *image, struct sl_error *err)
{
	if (!image->config_text)
		return sl_error_set(err, SL_FAILED, "image '%s': the export did not contain its config", image->requested);
	sl_autojson json_t *layers = json_array();
	for (size_t i = 0; i < image->n_layers; i++) {
		const struct sl_layer *layer = &image->layers[i];
		if (!sl_digest_known(&layer->blob) || layer->size < 0)
			return sl_error_set(err, SL_FAILED, "image '%s': the export did not contain layer %zu (%s)",
					    image->requested, i + 1, layer->diff_id.text);
		json_array_append_new(layers, descriptor(layer->media_type, &layer->blob, layer->size));
	}
	sl_autojson json_t *manifest = json_pack("{s:i, s:s, s:o, s:O}", "schemaVersion", 2, "mediaType", SL_MEDIA_MANIFEST,
						 "config", descriptor(SL_MEDIA_CONFIG, &image->config, (int64_t)image->config_len),
						 "layers", layers);
	sl_autobuf struct sl_buf text = SL_BUF_INIT;
	if (!manifest || sl_json_put(&text, manifest, JSON_COMPACT) < 0)
		return sl_error_nomem(err);
	free(image->manifest_text);
	image->manifest_len = text.len;
	image->manifest_text = sl_buf_steal(&text);
	if (!image->manifest_text)
		return sl_error_nomem(err);
	sl_digest_of(image->manifest_text, image->manifest_len, &image->manifest);
	return 0;
}

int sl_image_put_index(struct sl_buf *buf, const struct sl_image *const *images, const char *const *names,
		       size_t n, struct sl_error *err)
{
	sl_autojson json_t *manifests = json_array();
	for (size_t i = 0; i < n; i++) {
		json_t *entry = descriptor(SL_MEDIA_MANIFEST, &images[i]->manifest, (int64_t)images[i]->manifest_len);
		json_object_set_new(entry, "annotations", json_pack("{s:s, s:s}", "io.containerd.image.name", names[i],
									 "org.opencontainers.image.ref.name", names[i]));
		json_t *platform = json_pack("{s:s, s:s}", "architecture", images[i]->architecture, "os", images[i]->os);
		if (platform && images[i]->variant)
			json_object_set_new(platform, "variant", json_string(images[i]->variant));
		json_object_set_new(entry, "platform", platform);
		json_array_append_new(manifests, entry);
	}
	sl_autojson json_t *index = json_pack("{s:i, s:s, s:O}", "schemaVersion", 2, "mediaType", SL_MEDIA_INDEX,
					      "manifests", manifests);
	return index && sl_json_put(buf, index, JSON_COMPACT) == 0 ? 0 : sl_error_nomem(err);
}

const char *sl_layer_media_type(const char *media_type)
{
	static const struct {
		const char *theirs, *ours;
	} table[] = {
		{ "application/vnd.oci.image.layer.v1.tar", SL_MEDIA_LAYER },
		{ "application/vnd.oci.image.layer.v1.tar+gzip", SL_MEDIA_LAYER_GZIP },
		{ "application/vnd.oci.image.layer.v1.tar+zstd", SL_MEDIA_LAYER_ZSTD },
		{ "application/vnd.docker.image.rootfs.diff.tar", SL_MEDIA_LAYER },
		{ "application/vnd.docker.image.rootfs.diff.tar.gzip", SL_MEDIA_LAYER_GZIP },
		{ "application/vnd.docker.image.rootfs.diff.tar.zstd", SL_MEDIA_LAYER_ZSTD },
	};
	for (size_t i = 0; media_type && i < sizeof(table) / sizeof(table[0]); i++)
		if (!strcmp(table[i].theirs, media_type))
			return table[i].ours;
	return NULL;
}
