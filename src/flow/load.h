/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_FLOW_LOAD_H
#define SL_FLOW_LOAD_H

/*
 * Loading images into the nodes of a cluster:
 *
 *	sl_load_begin()    processes in the nodes: they start while the next is done
 *	sl_load_images()   what is to be loaded: inspected, or found in an archive
 *	sl_load_open()     what each node has, all nodes at once; the guard
 *	sl_load_plan()     what each node lacks
 *	sl_load_run()      one export, every node fed at once, names moved, verified;
 *	                   what failed is repeated once with the whole image
 *
 * A `struct sl_load` is filled in that order and read by whoever reports.  Fields
 * marked atomic may be read by another thread while sl_load_run() works.
 */

#include <stdatomic.h>

#include "cluster/target.h"
#include "engine/exporter.h"
#include "flow/feed.h"

enum sl_outcome {
	SL_OUTCOME_PENDING,
	SL_OUTCOME_PRESENT, /* it had everything already */
	SL_OUTCOME_LOADED,
	SL_OUTCOME_FAILED,
};

enum sl_phase { SL_PHASE_WAITING, SL_PHASE_SENDING, SL_PHASE_UNPACKING, SL_PHASE_DONE };

/* What a node is to get for one image. */
struct sl_todo {
	enum sl_presence presence;
	size_t n_missing;   /* layers it lacks, before the load */
};

struct sl_load_node {
	const struct sl_node *node;
	struct sl_target *target;  /* NULL once closed, or when opening failed; the worker's while it runs */
	char architecture[16];     /* known once it was opened */
	struct sl_todo *todo;      /* one per image */
	bool whole;                /* send every layer, whatever it seems to have */
	bool by_import;            /* the direct way has failed */
	enum sl_outcome outcome;
	struct sl_error error;     /* why it failed */
	size_t layers_sent;
	uint64_t bytes_total;      /* that went into it, all tries */
	double seconds;            /* from the start of sl_load_run() to its answer */
	int64_t busy_ms;           /* in which the node was at work, all tries: what the way in costs */
	int tries;
	size_t n_direct, n_imported; /* layers, by their way in; of the last try */
	bool direct_failed;        /* the way in failed, not the node */
	/* while running */
	struct sl_feed feed;
	bool feeding, detached, aborted; /* aborted: by the export, not by the node */
	bool plain;                /* it takes large layers as tars of a size that is not known; the worker's until it has begun */
	struct sl_digest *wanted;  /* diff IDs of the layers that it is to be given, sorted */
	size_t n_wanted;
	size_t n_owed;             /* of them it waits for */
	int64_t alone_ms;          /* time in which only it kept the export waiting */
	atomic_int phase;          /* enum sl_phase */
	atomic_uint_fast64_t sent; /* bytes of this try */
};

struct sl_load {
	const struct sl_engine *engine; /* that has the images; borrowed, NULL with an archive */
	const struct sl_cluster *cluster; /* borrowed */
	const struct sl_cancel *cancel; /* borrowed; may be NULL */
	const char *archive;            /* -i FILE; borrowed */
	struct sl_image *images;        /* NULL while only the end of a pipe can tell */
	size_t n_images;
	struct sl_exporter *exporter;   /* open already, for an archive */
	enum sl_importer importer;      /* --importer */
	const char *exporter_wanted;    /* --exporter; NULL: the first that works */
	bool exports;                   /* sl_load_run() will follow: what it needs of the engine may begin early */
	struct sl_early *early;         /* flow/early.c */
	size_t exporter_first;          /* in the order of flow/export.c: those before it failed */
	const char *exporter_name;      /* the one that was used; NULL when none was needed */
	struct sl_load_node *nodes;
	size_t n_nodes;
	int64_t started;
	atomic_uint_fast64_t exported;  /* bytes that came out of the source */
};

void sl_load_release(struct sl_load *load);

/* Inspect @references.  SL_NOT_FOUND names all that the engine lacks. */
int sl_load_images(struct sl_load *load, const struct sl_strv *references, struct sl_error *err) SL_MUST_CHECK;

/* The same for those that the engine has; the others are added to @missing. */
int sl_load_known_images(struct sl_load *load, const struct sl_strv *references, struct sl_strv *missing,
			 struct sl_error *err) SL_MUST_CHECK;

/* The same of what manifests name: a warning for each other one, SL_NOT_FOUND when the
 * engine has none. */
int sl_load_named_images(struct sl_load *load, const struct sl_strv *references, struct sl_error *err) SL_MUST_CHECK;

/* Or: look into load->archive. */
int sl_load_archive(struct sl_load *load, struct sl_error *err) SL_MUST_CHECK;

/* Whether the cluster uses the engine's images as they are, so that there is nothing
 * to load: 1 or 0; -1 with @err for an archive, which is not in the engine. */
int sl_load_is_shared(const struct sl_load *load, struct sl_error *err) SL_MUST_CHECK;

/* Where the cluster is known before the images are: have what is needed in the nodes
 * start already, which takes longer than to ask an engine.  May be left out. */
int sl_load_begin(struct sl_load *load, struct sl_error *err) SL_MUST_CHECK;
/* It was in vain: nothing is said of the nodes, for they were not tried. */
void sl_load_leave_nodes(struct sl_load *load);

/* Open the chosen nodes, all at once, and prove that the context means this
 * cluster.  A node that cannot be opened is marked failed; -1 when none could be,
 * or when the guard refuses. */
int sl_load_open(struct sl_load *load, struct sl_error *err) SL_MUST_CHECK;

/* Call @work for every node, all at once, each in a thread of its own (flow/each.c).
 * -1 only when memory is out. */
int sl_each_node(struct sl_load *load, void (*work)(struct sl_load *load, struct sl_load_node *node, void *ctx), void *ctx,
		 struct sl_error *err) SL_MUST_CHECK;

/* Work out what each node lacks; SL_FAILED when an image cannot run on a node. */
int sl_load_plan(struct sl_load *load, struct sl_error *err) SL_MUST_CHECK;

/* Do it.  0 when every node has the images now; -1 with SL_PARTIAL when some
 * have, SL_FAILED when none has; each node says why. */
int sl_load_run(struct sl_load *load, struct sl_error *err) SL_MUST_CHECK;

/* For the parts of the flow.  Work out node->wanted, before its worker starts. */
int sl_load_want(const struct sl_load *load, struct sl_load_node *node, struct sl_error *err) SL_MUST_CHECK;
bool sl_load_wants(const struct sl_load_node *node, const struct sl_digest *diff_id);

/* Does any node that takes part in this pass? */
bool sl_load_is_lacking(const struct sl_load *load, const struct sl_digest *diff_id);

/* SL_FAILED when an image cannot run on a node that was opened. */
int sl_load_check_platforms(const struct sl_load *load, struct sl_error *err) SL_MUST_CHECK;

/* Does @node need anything that only an export can give? */
bool sl_load_needs_export(const struct sl_load *load, const struct sl_load_node *node);

/* Give every image of an archive its canonical name. */
int sl_load_name_images(struct sl_load *load, struct sl_error *err) SL_MUST_CHECK;

/* Open the next way out that works (flow/export.c); and, after one has failed on
 * the way, whether there is another. */
int sl_load_open_exporter(struct sl_load *load, struct sl_error *err) SL_MUST_CHECK;
bool sl_load_next_exporter(struct sl_load *load);

/* Have the first way out begin while the nodes are looked at (flow/early.c); and wait
 * for it where only it can tell what the images are (registry), which completes them.
 * Then: take the exporter, of the store or of the registry, or why there is none; NULL
 * with @err untouched when it has not been tried. */
void sl_early_begin(struct sl_load *load);
void sl_early_end(struct sl_load *load);
struct sl_exporter *sl_early_take(struct sl_load *load, bool store, struct sl_error *err);
void sl_early_release(struct sl_load *load);

/* Whether @name is a way out; and which way in it is: 0, or -1 when there is no such. */
bool sl_load_is_exporter(const char *name);
int sl_load_importer(const char *name, enum sl_importer *importer) SL_MUST_CHECK;

/* One pass of the export over the pending nodes (flow/stream.c).  SL_CLOSED when
 * no node took it to the end. */
int sl_load_stream(struct sl_load *load, struct sl_error *err) SL_MUST_CHECK;

/* Images that @node is still to be given; their number, into @list. */
size_t sl_load_due(const struct sl_load *load, const struct sl_load_node *node, const struct sl_image **list);

#endif
