/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_CLUSTER_TARGET_H
#define SL_CLUSTER_TARGET_H

/*
 * A node with its runtime, opened for a load: what it holds, and the way in.
 *
 *	1. sl_target_open() starts a process there, sl_target_look() asks it all that a
 *	   plan needs, in one go;
 *	2. where layers are missing: sl_target_prepare(), then sl_target_layer() for
 *	   each, in any order;
 *	3. sl_target_commit() makes the names stand for the images and has the node
 *	   confirm it; nothing is visible under a name before;
 *	4. sl_target_close() - without a commit the node takes back what is half done.
 *
 * Or, looked at for nothing in particular: sl_target_list() and sl_target_remove().
 *
 * One thread uses a target at a time.  A new kind of runtime is a new file with
 * its own ops and a line in the table in target.c.
 */

#include "cluster/cluster.h"
#include "cluster/session.h"
#include "image/archive.h"
#include "image/image.h"

/* What a node has of one image. */
enum sl_presence {
	SL_PRESENT,        /* the name stands for this config and it is unpacked */
	SL_PRESENT_UNNAMED,/* only the name is missing, or stands for something else */
	SL_PRESENT_LAYERS, /* every layer, but not the config */
	SL_PRESENT_PART,   /* some layers are missing */
};

/* A name in a node, and the image that it stands for. */
struct sl_listed {
	char *name;              /* canonical; "sha256:<config>" for an image that no name stands for any more */
	char *loaded_as;         /* the name under which sidelift loaded this image; NULL when it did not, or where
				  * the runtime cannot tell (dockerd, podman) */
	struct sl_digest config; /* empty when the node does not tell */
	struct sl_digest manifest; /* of the manifest or index; empty where the runtime keeps none */
	uint64_t size;           /* bytes unpacked, with layers that others share */
	char *loaded_by;         /* "user@host"; NULL as loaded_as */
	int64_t loaded_at;       /* seconds since 1970; 0 as loaded_as */
	bool sideloaded;         /* sidelift loaded this very image */
	bool used;               /* a container, running or not, stands on its layers */
};

/* Which way a layer takes into a node. */
enum sl_importer {
	SL_IMPORTER_AUTO,   /* each layer the way that is faster, if there is one but the runtime's own import */
	SL_IMPORTER_DIRECT, /* straight into the snapshot, wherever that is possible */
	SL_IMPORTER_IMPORT, /* the runtime's own import */
};

/* A layer on its way in.  Its source ends well only when all bytes were right. */
struct sl_incoming {
	struct sl_digest diff_id; /* may be empty: not known yet */
	int64_t size;             /* bytes that the source gives; with `unpacked` about half of them or fewer */
	bool packed;              /* they are not the layer's tar itself */
	bool unpacked;            /* on the way here: `size` is that of the packed layer */
	struct sl_source source;
};

struct sl_target;

struct sl_target_ops {
	const char *runtime;
	int (*version)(struct sl_target *target, struct sl_error *err); /* fill in `version`; NULL: it has been */
	int (*look)(struct sl_target *target, const struct sl_image *images, size_t n, struct sl_error *err);
	enum sl_presence (*presence)(const struct sl_target *target, const struct sl_image *image);
	int (*prepare)(struct sl_target *target, struct sl_error *err);
	int (*layer)(struct sl_target *target, const struct sl_digest *diff_id, int64_t size, struct sl_error *err);
	int (*data)(struct sl_target *target, const void *data, size_t len, struct sl_error *err);
	/* instead of the two, where there is another way in; may be NULL */
	int (*take)(struct sl_target *target, const struct sl_incoming *layer, struct sl_error *err);
	int (*commit)(struct sl_target *target, const struct sl_image *const *images, size_t n, struct sl_error *err);
	int (*sideloaded)(struct sl_target *target, struct sl_strv *names, struct sl_error *err); /* NULL: it cannot tell */
	int (*list)(struct sl_target *target, struct sl_listed **list, size_t *n, struct sl_error *err);
	int (*remove)(struct sl_target *target, const char *const *names, size_t n, struct sl_error *err);
	void (*close)(struct sl_target *target, bool done);
};

struct sl_target {
	const struct sl_target_ops *ops;
	const struct sl_node *node;  /* borrowed */
	bool looked;                 /* what follows is known, but for `version` */
	char *architecture;          /* amd64 */
	char *version;               /* of the runtime; NULL: it was not asked */
	char *engine_id;             /* of the Docker engine that is the runtime; else NULL */
	char *snapshotter;
	char *ca;                    /* PEM of a control plane's CA; "" elsewhere */
	bool discards;               /* its configuration wants unpacked layers' blobs gone */
	struct sl_digest *chains;    /* unpacked, sorted */
	size_t n_chains;
	uint64_t sent;               /* bytes written into the node so far */
	enum sl_importer importer;   /* the caller's wish, before sl_target_prepare() */
	bool takes_plain;            /* after sl_target_prepare(): large layers need not say their size, and are to
				      * come as they are, not packed, if that costs nobody else more */
	size_t n_direct, n_imported; /* layers that went the one way and the other */
	bool direct_failed;          /* the error is one of the direct way: import may do better */
};

/* Open @node of @cluster.  Where its runtime is known, no answer is waited for.  NULL
 * with @err. */
struct sl_target *sl_target_open(const struct sl_cluster *cluster, const struct sl_node *node, struct sl_error *err) SL_MUST_CHECK;

/* See what it has of @images [@n] (0: of nothing in particular), which stay the
 * caller's and where they are until it closes the target. */
int sl_target_look(struct sl_target *target, const struct sl_image *images, size_t n, struct sl_error *err) SL_MUST_CHECK;

/* Have target->version filled in. */
int sl_target_ask_version(struct sl_target *target, struct sl_error *err) SL_MUST_CHECK;

enum sl_presence sl_target_presence(const struct sl_target *target, const struct sl_image *image);
bool sl_target_has_chain(const struct sl_target *target, const struct sl_digest *chain_id);

/* What has to be done before the first layer; may take a moment that the export
 * takes as well. */
int sl_target_prepare(struct sl_target *target, struct sl_error *err) SL_MUST_CHECK;

/* Give it a layer, whose source is read to its end. */
int sl_target_layer(struct sl_target *target, const struct sl_incoming *layer, struct sl_error *err) SL_MUST_CHECK;

/* Make the images' names stand for them.  Each image has its manifest, unless it
 * is SL_PRESENT_UNNAMED; its layers are there or were given.  Returns when the
 * node has confirmed it. */
int sl_target_commit(struct sl_target *target, const struct sl_image *const *images, size_t n,
		     struct sl_error *err) SL_MUST_CHECK;

/* Append the names that sidelift loaded and that still stand for what it
 * loaded: 1, or 0 where the runtime keeps no record of that; -1 with @err. */
int sl_target_sideloaded(struct sl_target *target, struct sl_strv *names, struct sl_error *err) SL_MUST_CHECK;

/* Every name in the node, and every image without one, sorted by name.  The caller
 * frees the list (sl_listed_free()); on failure it is empty. */
int sl_target_list(struct sl_target *target, struct sl_listed **list, size_t *n, struct sl_error *err) SL_MUST_CHECK;
void sl_listed_free(struct sl_listed *list, size_t n);

/* Remove @names [@n], as sl_target_list() gives them; an image goes with its last
 * name, and what only it needed is freed.  Returns when the node has confirmed it;
 * a name that is not there is no error.  Whether a container uses an image is the
 * caller's to ask: containerd removes it all the same, dockerd and podman refuse. */
int sl_target_remove(struct sl_target *target, const char *const *names, size_t n, struct sl_error *err) SL_MUST_CHECK;

/* Close and free.  Unless @done, the node takes back what is half done and is
 * waited for.  NULL is fine. */
void sl_target_close(struct sl_target *target, bool done);

/* The table's entries. */
struct sl_target *sl_target_containerd(const struct sl_cluster *cluster, const struct sl_node *node,
				       struct sl_error *err) SL_MUST_CHECK;
struct sl_target *sl_target_dockerd(const struct sl_cluster *cluster, const struct sl_node *node, struct sl_error *err) SL_MUST_CHECK;
struct sl_target *sl_target_crio(const struct sl_cluster *cluster, const struct sl_node *node, struct sl_error *err) SL_MUST_CHECK;

/* For implementations.  Start @script (node.sh and its like) on @node. */
int sl_target_start(struct sl_session *session, const struct sl_cluster *cluster, const struct sl_node *node,
		    const char *script, struct sl_error *err) SL_MUST_CHECK;
/* Give @layer to the runtime's own import: ops->layer() and ops->data(). */
int sl_target_import_layer(struct sl_target *target, const struct sl_incoming *layer, struct sl_error *err) SL_MUST_CHECK;
/* Take the script's facts about its machine, and its process ID (the caller frees). */
int sl_target_take_machine(struct sl_target *target, char *section, char **pid, struct sl_error *err) SL_MUST_CHECK;
/* The script's command "remove" with @names. */
int sl_target_call_remove(struct sl_session *session, const char *const *names, size_t n, struct sl_error *err) SL_MUST_CHECK;
struct sl_listed *sl_listed_add(struct sl_listed **list, size_t *n, const char *name, struct sl_error *err) SL_MUST_CHECK;
void sl_target_release(struct sl_target *target);
int sl_target_set_chains(struct sl_target *target, char *listing, struct sl_error *err) SL_MUST_CHECK;

#endif
