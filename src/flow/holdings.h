/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_FLOW_HOLDINGS_H
#define SL_FLOW_HOLDINGS_H

/*
 * What the nodes and the engine hold, by name: what `images` prints, and what
 * `prune` removes from the nodes.
 */

#include "flow/load.h"

/* What a node has under a name, against the engine. */
enum sl_freshness {
	SL_FRESH_UNKNOWN, /* the engine has no such name, or does not tell its config */
	SL_FRESH_CURRENT, /* what the engine has under that name */
	SL_FRESH_STALE,   /* something else */
};

struct sl_held {
	const struct sl_listed *item; /* NULL: the node has no such name; owned by the holdings */
	enum sl_freshness freshness;
};

/* One name: what it stands for in the engine and in each node. */
struct sl_holding {
	const char *name;        /* borrowed */
	struct sl_digest engine; /* the config that it stands for in the engine; empty: not known */
	bool in_engine;
	uint64_t engine_size;    /* bytes */
	struct sl_held *nodes;   /* one per node of the load */
};

struct sl_holdings {
	struct sl_load load;     /* its nodes, opened */
	struct sl_listed **lists;/* one per node; NULL where the node cannot be asked */
	size_t *n_lists;
	struct sl_strv engine_names;
	struct sl_holding *items;/* sorted by name */
	size_t n;
};

/* Ask the nodes of @cluster, all at once, and @engine (NULL: it is left out).  A node
 * that cannot be asked says why in its load_node's error. */
int sl_holdings_read(const struct sl_cluster *cluster, const struct sl_engine *engine, const struct sl_cancel *cancel,
		     struct sl_holdings *out, struct sl_error *err) SL_MUST_CHECK;
void sl_holdings_release(struct sl_holdings *holdings);

/* Remove @names (as the nodes have them) from every node that has them, except where
 * a container uses the image and not @force.  *removed counts; SL_PARTIAL with the
 * first reason when some could not be removed. */
int sl_holdings_remove(struct sl_holdings *holdings, const struct sl_strv *names, bool force, size_t *removed,
		       struct sl_error *err) SL_MUST_CHECK;

/* Append the images that sidelift once loaded, that no name stands for any more and
 * that no container uses. */
int sl_holdings_superseded(const struct sl_holdings *holdings, struct sl_strv *names, struct sl_error *err) SL_MUST_CHECK;

#endif
