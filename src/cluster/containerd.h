/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_CLUSTER_CONTAINERD_H
#define SL_CLUSTER_CONTAINERD_H

/*
 * containerd in a node, by the node's own ctr; for the files of this target only.
 *
 *	containerd.sh          the node's side
 *	containerd.c           the conversation with it, and the table of what it can do
 *	containerd_look.c      what the node holds
 *	containerd_archive.c   layers and documents on their way in
 *	containerd_direct.c    or straight into snapshots; containerd_direct.sh
 *	containerd_commit.c    the names, which move last
 *	containerd_label.c     who loaded what
 *	containerd_list.c      all that it holds, and its removal
 */

#include "cluster/containerd_direct.h"
#include "cluster/node_archive.h"
#include "cluster/target.h"

/* A node that is merely busy answers within this; milliseconds. */
#define SL_CONTAINERD_ANSWER 20000
/* More images than this in one call nobody loads. */
#define SL_CONTAINERD_IMAGES_MAX 256

/* One line of `ctr images ls`, and what its manifest says. */
struct sl_record {
	char *name;
	struct sl_digest manifest, config;
	size_t manifest_len;
	bool managed; /* the CRI plugin knows it */
};

struct sl_containerd {
	struct sl_target target; /* first */
	struct sl_session session;
	char *pid;               /* of the script, in the node */
	const struct sl_image *images; /* that it was opened for; borrowed */
	size_t n_images;
	struct sl_record *records;
	size_t n_records;
	bool asked_configs;      /* the node was asked for the records of all the images' configs */
	/* the archive on its way */
	struct sl_node_archive archive;
	bool staging;
	size_t n_members;
	struct sl_direct direct;
	struct sl_strv drop;     /* the command that lets needless blobs go */
};

static inline struct sl_containerd *sl_containerd_of(struct sl_target *target)
{
	return (struct sl_containerd *)target;
}

/* ---- containerd_look.c ---- */

int sl_containerd_version(struct sl_target *target, struct sl_error *err);
int sl_containerd_look(struct sl_target *target, const struct sl_image *images, size_t n, struct sl_error *err);
enum sl_presence sl_containerd_presence(const struct sl_target *target, const struct sl_image *image);

/* Take the records from a listing (cut up in place); those before are released. */
int sl_containerd_set_records(struct sl_containerd *self, char *listing, struct sl_error *err) SL_MUST_CHECK;
/* Take a section "DIGEST, newline, MANIFEST": what config the records' manifest names. */
void sl_containerd_take_manifest(struct sl_containerd *self, const char *section);
void sl_containerd_release_records(struct sl_containerd *self);
const struct sl_record *sl_containerd_record(const struct sl_containerd *self, const char *name);

/* ---- containerd_archive.c ---- */

int sl_containerd_prepare(struct sl_target *target, struct sl_error *err);
int sl_containerd_layer(struct sl_target *target, const struct sl_digest *diff_id, int64_t size, struct sl_error *err);
int sl_containerd_data(struct sl_target *target, const void *data, size_t len, struct sl_error *err);

/* Begin another archive. */
int sl_containerd_new_archive(struct sl_containerd *self, struct sl_error *err) SL_MUST_CHECK;

/* The end of an archive: configs and manifests (@blobs: unless the node has them),
 * and the index that gives them @names. */
int sl_containerd_send_documents(struct sl_containerd *self, const struct sl_image *const *images,
				 const char *const *names, size_t n, bool blobs, struct sl_error *err) SL_MUST_CHECK;

/* ---- containerd_direct.c ---- */

/* A layer, the one way or the other. */
int sl_containerd_take(struct sl_target *target, const struct sl_incoming *layer, struct sl_error *err);

/* Append labels that tell which chains are lacking, for the script's note; none when
 * nothing goes the direct way.  0 or -1. */
int sl_direct_note_words(struct sl_containerd *self, struct sl_strv *words) SL_MUST_CHECK;

/* Give the archive the layers that could not be used yet. */
int sl_direct_import_held(struct sl_containerd *self, struct sl_error *err) SL_MUST_CHECK;

/* When the image is there: append commands, each closed by ";;", that leave its
 * snapshots to the garbage collector, 0 or -1; then do away with this load's note,
 * without waiting for it. */
int sl_direct_release_words(const struct sl_containerd *self, struct sl_strv *words) SL_MUST_CHECK;
int sl_direct_settled(struct sl_containerd *self, struct sl_error *err) SL_MUST_CHECK;

/* ---- containerd_commit.c ---- */

int sl_containerd_commit(struct sl_target *target, const struct sl_image *const *images, size_t n,
			 struct sl_error *err);

/* The last thing of all: the node lets blobs go that it no longer needs, and nobody waits
 * for it. */
void sl_containerd_drop_blobs(struct sl_containerd *self);

/* Where staging names begin. */
#define SL_CONTAINERD_STAGING "sidelift.invalid/staging" /* also in the script */

/* ---- containerd_label.c ---- */

/* That a name was loaded, by whom and when, for the config that the label is on. */
struct sl_loaded {
	char *name, *by;
	struct sl_digest config;
	int64_t at; /* seconds since 1970 */
};

struct sl_loaded_list {
	struct sl_loaded *items;
	size_t n;
};

/* Append what the labels in a line of `ctr content ls` say; 0 or -1. */
int sl_containerd_take_labels(const char *line, struct sl_loaded_list *list) SL_MUST_CHECK;
void sl_containerd_release_loaded(struct sl_loaded_list *list);

/* Append the words of a command that labels the image's config with who loaded
 * it, now; after ";;" when @separated.  0 or -1. */
int sl_containerd_label_words(struct sl_strv *words, bool separated, const struct sl_image *image) SL_MUST_CHECK;
int sl_containerd_sideloaded(struct sl_target *target, struct sl_strv *names, struct sl_error *err);

/* ---- containerd_list.c ---- */

int sl_containerd_list(struct sl_target *target, struct sl_listed **list, size_t *n, struct sl_error *err);
int sl_containerd_remove(struct sl_target *target, const char *const *names, size_t n, struct sl_error *err);

#endif
