/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_CLUSTER_IMAGESTORE_H
#define SL_CLUSTER_IMAGESTORE_H

/*
 * Runtimes that are spoken to by a command of docker's kind in the node: dockerd
 * by docker, containers/storage (which CRI-O uses) by podman.  For the files of
 * these targets only.
 *
 *	imagestore.sh, and dockerd.sh or podman.sh  the node's side
 *	imagestore.c           the conversation, and the table of what they can do
 *	imagestore_look.c      what the node holds, what of it goes
 *	imagestore_load.c      layers, documents and names on their way in
 *
 * An image is imported under a staging name and then given its real one, which is
 * atomic with both.  What was loaded by whom can be recorded with neither.
 */

#include "base/sha256.h"
#include "cluster/node_archive.h"
#include "cluster/target.h"

/* A node that is merely busy answers within this; milliseconds. */
#define SL_IMAGESTORE_ANSWER 20000

/* What the importer reads. */
enum sl_import_form {
	SL_IMPORT_DOCKER,  /* docker's archive: manifest.json */
	SL_IMPORT_OCI,     /* an OCI layout */
	SL_IMPORT_LAYOUTS, /* an OCI layout for each image, numbered, with the blobs in common */
};

struct sl_store_kind {
	const char *runtime, *client, *script;
};

/* An image that the node holds. */
struct sl_stored {
	struct sl_digest id;     /* what the runtime calls it */
	struct sl_digest config; /* empty where the node does not tell */
	struct sl_strv names;    /* canonical */
	struct sl_layer *layers; /* their blobs, where the node has them as such and tells */
	size_t n_layers;
	uint64_t size;           /* bytes */
	bool used;               /* by a container */
};

struct sl_imagestore {
	struct sl_target target; /* first */
	const struct sl_store_kind *kind;
	struct sl_session session;
	char *pid;               /* of the script, in the node */
	enum sl_import_form form;
	struct sl_stored *held;
	size_t n_held;
	/* the archive on its way */
	struct sl_node_archive archive;
	bool staging;
	struct sl_member_name {
		char name[96];
		struct sl_digest diff_id; /* or, where that is not known, */
		struct sl_digest blob;    /* the digest of its bytes */
	} *members;
	size_t n_members;
	struct sl_sha256 *hash;  /* of the member at hand; NULL: not needed */
};

static inline struct sl_imagestore *sl_imagestore_of(struct sl_target *target)
{
	return (struct sl_imagestore *)target;
}

/* Call a command; an error names @what. */
int sl_imagestore_call(struct sl_imagestore *self, const char *what, const struct sl_strv *words, struct sl_error *err) SL_MUST_CHECK;

/* ---- imagestore_look.c ---- */

int sl_imagestore_look(struct sl_target *target, const struct sl_image *images, size_t n, struct sl_error *err);
int sl_imagestore_version(struct sl_target *target, struct sl_error *err);
enum sl_presence sl_imagestore_presence(const struct sl_target *target, const struct sl_image *image);
int sl_imagestore_list(struct sl_target *target, struct sl_listed **list, size_t *n, struct sl_error *err);
int sl_imagestore_remove(struct sl_target *target, const char *const *names, size_t n, struct sl_error *err);
void sl_imagestore_release_held(struct sl_imagestore *self);

/* Take the images in @lines (cut up in place) instead of those known. */
int sl_imagestore_take_held(struct sl_imagestore *self, char *lines, struct sl_error *err) SL_MUST_CHECK;

/* The layer with that chain ID of an image that is there; NULL when there is none. */
const struct sl_layer *sl_imagestore_layer_of(const struct sl_imagestore *self, const struct sl_digest *chain_id);

/* The image that @name stands for, or that is @config; NULL when there is none. */
const struct sl_stored *sl_imagestore_named(const struct sl_imagestore *self, const char *name);
const struct sl_stored *sl_imagestore_with_config(const struct sl_imagestore *self, const struct sl_digest *config);

/* ---- imagestore_load.c ---- */

int sl_imagestore_prepare(struct sl_target *target, struct sl_error *err);
int sl_imagestore_layer(struct sl_target *target, const struct sl_digest *diff_id, int64_t size, struct sl_error *err);
int sl_imagestore_data(struct sl_target *target, const void *data, size_t len, struct sl_error *err);
int sl_imagestore_commit(struct sl_target *target, const struct sl_image *const *images, size_t n, struct sl_error *err);

#endif
