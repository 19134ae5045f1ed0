/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_FLOW_VIA_H
#define SL_FLOW_VIA_H

/*
 * Images by way of a registry from which the nodes pull (--via): the cluster's own,
 * which ConfigMap local-registry-hosting in kube-public tells (KEP-1755), or a given one.
 *
 *	sl_via_open()     which registry, and does it answer
 *	sl_via_look()     what one of its names stands for now; nothing is changed
 * or
 *	sl_via_plan()     what it has of the images of a load
 *	sl_via_run()      the blobs that it lacks, then the names; and it is asked
 *
 * An image keeps its familiar name below the registry's: app:dev becomes HOST/app:dev,
 * ghcr.io/o/app:1 becomes HOST/ghcr.io/o/app:1, and the colon of a port, which no
 * repository may have, a hyphen.  A pod is to use it by digest: a kubelet that has
 * the tag already would not pull a moved one.
 */

#include "engine/distribution.h"
#include "flow/kubectl.h"
#include "flow/load.h"

struct sl_via {
	struct sl_dist *dist;
	char *host;     /* HOST[:PORT], to push to */
	char *pod_host; /* the same registry as the nodes reach it */
	char *prefix;   /* of all repositories; "" or "team/dev" */
	char *evidence; /* why this one */
};

/* A layer, and the blob that stands for it in the registry. */
struct sl_via_layer {
	bool there;
	struct sl_digest blob;
	int64_t size; /* bytes; -1 not known */
	const char *media_type; /* static */
};

struct sl_via_image {
	char *name;              /* canonical, as the load has it */
	char *repository, *tag;  /* in the registry */
	char *pushed;            /* HOST/REPOSITORY:TAG */
	struct sl_digest digest; /* that it stands for; empty until known */
	char *pod_reference;     /* POD_HOST/REPOSITORY:TAG@DIGEST; NULL until then */
	/* of a push */
	bool current;            /* the name stood for the image before */
	bool done;
	struct sl_via_layer *layers; /* as the load's image has them */
	struct sl_via_layer *known;  /* of what the name stood for, with diff IDs of their own: */
	struct sl_digest *known_diff_ids;
	size_t n_known;
	uint64_t bytes_sent;     /* of its blobs and documents; shared ones count for the first image */
	int64_t bytes_total;     /* of the image, in the registry; -1 not known */
	size_t layers_sent;
	double seconds;          /* from the start of sl_via_run() until it was confirmed */
};

/* SL_USAGE unless @way is one: "registry" or "registry=[http[s]://]HOST[:PORT][/PREFIX]". */
int sl_via_check(const char *way, struct sl_error *err) SL_MUST_CHECK;

/* Whether @way leaves it to the cluster to say which. */
bool sl_via_asks_cluster(const char *way);

/* Find the registry that @way means; @kubectl reads the ConfigMap and may be NULL
 * unless sl_via_asks_cluster().  The caller releases.  @cancel is borrowed. */
int sl_via_open(const char *way, const struct sl_kubectl *kubectl, const struct sl_cancel *cancel, struct sl_via *out,
		struct sl_error *err) SL_MUST_CHECK;
void sl_via_release(struct sl_via *via);

/* Fill in name, repository, tag and pushed for the image called @name.  SL_USAGE when it
 * cannot be called so in a registry. */
int sl_via_name(const struct sl_via *via, const char *name, struct sl_via_image *out, struct sl_error *err) SL_MUST_CHECK;
void sl_via_image_release(struct sl_via_image *image);

/* The same, with what the registry has under that name now: digest and pod_reference.
 * SL_NOT_FOUND when it has none. */
int sl_via_look(struct sl_via *via, const char *name, struct sl_via_image *out, struct sl_error *err) SL_MUST_CHECK;

/* For manifests: append to @images each of @names (canonical) that the registry has, and to
 * @becomes what a pod is to name it by.  Left out are those that have a digest, and those
 * that it does not have - or, with @all, these are SL_NOT_FOUND. */
int sl_via_references(struct sl_via *via, const struct sl_strv *names, bool all, struct sl_strv *images, struct sl_strv *becomes,
		      struct sl_error *err) SL_MUST_CHECK;

struct sl_via_push {
	struct sl_via *via;     /* borrowed */
	struct sl_load *load;   /* with its images, and without a cluster; borrowed.  It gets one node,
				 * which is the registry */
	struct sl_via_image *images; /* as the load has them */
	size_t n_images;
	struct sl_node registry;
	struct sl_via_blob *blobs; /* asked for, or sent */
	size_t n_blobs;
	bool source_failed;        /* it was the exporter, not the registry */
};

/* What the registry has of the images.  With @look_inside also for images of which only an export
 * tells the layers' blobs, if that costs no more than a moment; those layers are taken for
 * lacking otherwise. */
int sl_via_plan(struct sl_via_push *push, bool look_inside, struct sl_error *err) SL_MUST_CHECK;

/* After sl_via_plan().  0 when every name stands for its image, which the registry has
 * confirmed; each image says how far it got. */
int sl_via_run(struct sl_via_push *push, struct sl_error *err) SL_MUST_CHECK;
void sl_via_push_release(struct sl_via_push *push);

#endif
