/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_FLOW_FEED_H
#define SL_FLOW_FEED_H

/*
 * The queue between the one thread that exports and the thread of one node.
 * Bytes are in chunks that all nodes share, so that what is under way is bounded
 * by one queue's maximum, however many nodes there are.
 */

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/cancel.h"
#include "image/digest.h"

/* Bytes that may wait for one node. */
#define SL_FEED_MAX ((size_t)6 << 20)

struct sl_chunk; /* shared, counted bytes */

/* A copy of @len bytes with one reference; NULL when memory is out. */
struct sl_chunk *sl_chunk_new(const void *data, size_t len);
struct sl_chunk *sl_chunk_ref(struct sl_chunk *chunk);
void sl_chunk_unref(struct sl_chunk *chunk);
const void *sl_chunk_data(const struct sl_chunk *chunk, size_t *len);

enum sl_feed_kind {
	SL_FEED_LAYER, /* a layer begins */
	SL_FEED_DATA,
	SL_FEED_COMMIT,/* everything is there */
	SL_FEED_ABORT, /* the export failed */
};

struct sl_feed_item {
	enum sl_feed_kind kind;
	struct sl_chunk *chunk;   /* SL_FEED_DATA; the reader's to unref */
	struct sl_digest diff_id; /* SL_FEED_LAYER */
	int64_t size;
	bool packed, unpacked; /* as in struct sl_incoming */
};

struct sl_feed {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct sl_feed_item *items; /* a ring */
	size_t capacity, first, n;
	size_t bytes;
	bool begun; /* the reader has asked for its first item, or is gone */
	bool gone;  /* the reader takes no more */
};

int sl_feed_init(struct sl_feed *feed);
void sl_feed_release(struct sl_feed *feed);

/* Append @item (a chunk's reference goes along).  Waits up to @wait_ms for room:
 * 1 done, 0 no room in time (nothing changed), -1 the reader is gone (the chunk
 * is released). */
int sl_feed_push(struct sl_feed *feed, const struct sl_feed_item *item, int wait_ms);

/* Wait up to @wait_ms for the reader to begin.  Whether it has: what it wrote before can
 * be read. */
bool sl_feed_wait_begun(struct sl_feed *feed, int wait_ms);

/* The next item, waiting without limit (the writer always ends with COMMIT or
 * ABORT). */
void sl_feed_pop(struct sl_feed *feed, struct sl_feed_item *item);

/* Drop what waits and give the reader SL_FEED_ABORT, without waiting. */
void sl_feed_abort(struct sl_feed *feed);

/* The reader takes no more; what waits is released. */
void sl_feed_leave(struct sl_feed *feed);

/* Whether nothing waits (the reader is as fast as the export). */
bool sl_feed_idle(struct sl_feed *feed);

#endif
