/* SPDX-License-Identifier: Apache-2.0 */
#include "flow/feed.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct sl_chunk {
	atomic_int refs;
	size_t len;
	char data[];
};

struct sl_chunk *sl_chunk_new(const void *data, size_t len)
{
	struct sl_chunk *chunk = malloc(sizeof(*chunk) + len);
	if (!chunk)
		return NULL;
	atomic_init(&chunk->refs, 1);
	chunk->len = len;
	memcpy(chunk->data, data, len);
	return chunk;
}

struct sl_chunk *sl_chunk_ref(struct sl_chunk *chunk)
{
	atomic_fetch_add(&chunk->refs, 1);
	return chunk;
}

void sl_chunk_unref(struct sl_chunk *chunk)
{
	if (chunk && atomic_fetch_sub(&chunk->refs, 1) == 1)
		free(chunk);
}

const void *sl_chunk_data(const struct sl_chunk *chunk, size_t *len)
{
	*len = chunk->len;
	return chunk->data;
}

/* A chunk is seldom smaller than this, so the ring never fills before its bytes
 * do; when it does, the writer waits. */
#define RING 1024

int sl_feed_init(struct sl_feed *feed)
{
	*feed = (struct sl_feed){ .capacity = RING };
	feed->items = calloc(RING, sizeof(*feed->items));
	if (!feed->items)
		return -1;
	pthread_mutex_init(&feed->lock, NULL);
	pthread_condattr_t attr;
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&feed->changed, &attr);
	pthread_condattr_destroy(&attr);
	return 0;
}

static void drop_all(struct sl_feed *feed)
{
	for (; feed->n; feed->n--, feed->first = (feed->first + 1) % feed->capacity)
		sl_chunk_unref(feed->items[feed->first].chunk);
	feed->bytes = 0;
}

void sl_feed_release(struct sl_feed *feed)
{
	if (!feed->items)
		return;
	drop_all(feed);
	free(feed->items);
	pthread_mutex_destroy(&feed->lock);
	pthread_cond_destroy(&feed->changed);
	*feed = (struct sl_feed){ 0 };
}

static size_t weight(const struct sl_feed_item *item)
{
	return item->chunk ? item->chunk->len : 0;
}

static bool has_room(const struct sl_feed *feed, const struct sl_feed_item *item)
{
	return feed->n < feed->capacity && (!feed->bytes || feed->bytes + weight(item) <= SL_FEED_MAX);
}

static struct timespec deadline_in(int wait_ms)
{
	struct timespec until;
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += wait_ms / 1000;
	until.tv_nsec += (long)(wait_ms % 1000) * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000;
	}
	return until;
}

bool sl_feed_wait_begun(struct sl_feed *feed, int wait_ms)
{
	struct timespec until = deadline_in(wait_ms);
	pthread_mutex_lock(&feed->lock);
	while (!feed->begun && !feed->gone && pthread_cond_timedwait(&feed->changed, &feed->lock, &until) != ETIMEDOUT)
		;
	bool begun = feed->begun || feed->gone;
	pthread_mutex_unlock(&feed->lock);
	return begun;
}

int sl_feed_push(struct sl_feed *feed, const struct sl_feed_item *item, int wait_ms)
{
	struct timespec until = deadline_in(wait_ms);
	int rc = 1;
	pthread_mutex_lock(&feed->lock);
	while (!feed->gone && !has_room(feed, item) && rc)
		if (pthread_cond_timedwait(&feed->changed, &feed->lock, &until) == ETIMEDOUT)
			rc = 0;
	if (feed->gone) {
		sl_chunk_unref(item->chunk);
		rc = -1;
	} else if (has_room(feed, item)) {
		feed->items[(feed->first + feed->n++) % feed->capacity] = *item;
		feed->bytes += weight(item);
		pthread_cond_broadcast(&feed->changed);
		rc = 1;
	}
	pthread_mutex_unlock(&feed->lock);
	return rc;
}

void sl_feed_pop(struct sl_feed *feed, struct sl_feed_item *item)
{
	pthread_mutex_lock(&feed->lock);
	if (!feed->begun) {
		feed->begun = true;
		pthread_cond_broadcast(&feed->changed);
	}
	while (!feed->n)
		pthread_cond_wait(&feed->changed, &feed->lock);
	*item = feed->items[feed->first];
	feed->first = (feed->first + 1) % feed->capacity;
	feed->n--;
	feed->bytes -= weight(item);
	pthread_cond_broadcast(&feed->changed);
	pthread_mutex_unlock(&feed->lock);
}

void sl_feed_abort(struct sl_feed *feed)
{
	pthread_mutex_lock(&feed->lock);
	drop_all(feed);
	feed->items[feed->first] = (struct sl_feed_item){ .kind = SL_FEED_ABORT };
	feed->n = 1;
	feed->gone = true; /* for the writer */
	pthread_cond_broadcast(&feed->changed);
	pthread_mutex_unlock(&feed->lock);
}

void sl_feed_leave(struct sl_feed *feed)
{
	pthread_mutex_lock(&feed->lock);
	feed->gone = true;
	drop_all(feed);
	pthread_cond_broadcast(&feed->changed);
	pthread_mutex_unlock(&feed->lock);
}

bool sl_feed_idle(struct sl_feed *feed)
{
	pthread_mutex_lock(&feed->lock);
	bool idle = feed->n == 0;
	pthread_mutex_unlock(&feed->lock);
	return idle;
}
