/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_IMAGE_IMAGE_H
#define SL_IMAGE_IMAGE_H

/*
 * One image as everybody here sees it: an ordered list of layers and a config,
 * whose digest is what the image *is*.  An engine's inspect tells the layers and
 * often the config's digest; the config's bytes and the layers' sizes come with
 * the export, and with them the manifest that the nodes are given.
 */

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "image/digest.h"

/* More layers than any engine makes (overlay2 stops at 128). */
#define SL_LAYERS_MAX 512
/* A config or manifest larger than this is refused. */
#define SL_DOCUMENT_MAX ((size_t)8 << 20)

/* A layer, and the blob that carries it on its way to the nodes. */
struct sl_layer {
	struct sl_digest diff_id;
	struct sl_digest chain_id;
	struct sl_digest blob;  /* empty until exported; the diff ID when uncompressed */
	_Atomic int64_t size;   /* of the blob, bytes; -1 until exported, or until the engine's store was looked
				 * into, which is while nodes may be asking */
	const char *media_type; /* of the blob; static */
};

struct sl_image {
	char *requested; /* as the user wrote it, or the archive names it */
	char *name;      /* canonical: docker.io/library/app:dev */
	char *id;        /* the engine's own identifier; NULL from an archive */
	char *os, *architecture, *variant; /* variant may be NULL */
	bool packed;     /* the engine keeps the layers packed, and calls the image by its manifest or index
			  * (containerd image store) */
	char *store;     /* the engine's directory, when it keeps the image in overlay2's store; else NULL */
	int64_t engine_size; /* bytes, as the engine counts them; 0 unknown */
	struct sl_layer *layers;
	size_t n_layers;
	struct sl_digest config; /* empty while only the export can tell */
	char *config_text;       /* NULL until exported */
	size_t config_len;
	char *manifest_text;     /* made by sl_image_make_manifest() */
	size_t manifest_len;
	struct sl_digest manifest;
};

void sl_image_release(struct sl_image *image);

/* Make @copy a copy of @image, without a manifest. */
int sl_image_copy(const struct sl_image *image, struct sl_image *copy, struct sl_error *err) SL_MUST_CHECK;

#define SL_MEDIA_LAYER "application/vnd.oci.image.layer.v1.tar"
#define SL_MEDIA_LAYER_GZIP "application/vnd.oci.image.layer.v1.tar+gzip"
#define SL_MEDIA_LAYER_ZSTD "application/vnd.oci.image.layer.v1.tar+zstd"
#define SL_MEDIA_CONFIG "application/vnd.oci.image.config.v1+json"
#define SL_MEDIA_MANIFEST "application/vnd.oci.image.manifest.v1+json"
#define SL_MEDIA_INDEX "application/vnd.oci.image.index.v1+json"

/* Set the layers from a JSON array of diff IDs (RootFS.Layers, rootfs.diff_ids)
 * and work out the chain IDs.  SL_FAILED when one is no digest, or too many. */
int sl_image_set_layers(struct sl_image *image, const json_t *diff_ids, struct sl_error *err) SL_MUST_CHECK;

/* Take the config's bytes (copied).  Where digest, layers or platform are known
 * already they must agree, otherwise they are set from it.
 * SL_FAILED with the discrepancy. */
int sl_image_set_config(struct sl_image *image, const char *text, size_t len, struct sl_error *err) SL_MUST_CHECK;

/* The chain ID of the whole image; empty when it has no layer. */
struct sl_digest sl_image_chain(const struct sl_image *image);

/* Make manifest_text and its digest (OCI image manifest, schema version 2) from
 * config and layers, whose blobs and sizes must be known. */
int sl_image_make_manifest(struct sl_image *image, struct sl_error *err) SL_MUST_CHECK;

/* Append to @buf an OCI index that lists image @i's manifest under names[i]
 * (annotations io.containerd.image.name, and the image spec's own for podman). */
int sl_image_put_index(struct sl_buf *buf, const struct sl_image *const *images, const char *const *names,
		       size_t n, struct sl_error *err) SL_MUST_CHECK;

/* The media type, as SL_MEDIA_LAYER…, that a manifest's layer entry @media_type
 * (OCI or Docker spelling) stands for; NULL when it is none that can be
 * loaded (a foreign or encrypted layer, an artifact). */
const char *sl_layer_media_type(const char *media_type);

#endif
