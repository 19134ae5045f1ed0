/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/registry_parts.h"

#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "base/cleanup.h"
#include "engine/registry_door.h"
#include "image/image.h"

/* What a connection may buffer; larger pieces are faster. */
#define CONNECTION_MEMORY ((size_t)256 << 10)
#define CONNECTIONS_MAX 32
/* A size for layers that are there only as we say; the engine repeats it. */
#define SOME_SIZE 1024
/* How long a wait may go on before it looks whether it is still wanted; ms. */
#define SLICE_MS 100
/* How long the first wanted layer waits for one below it to be asked for, too. */
#define SETTLE_MS 20

/* ---- waiting ---- */

/* With the lock; the caller looks at the state again. */
static void wait_ms(struct sl_registry *self, long ms)
{
	struct timespec until;
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += ms * 1000000L;
	until.tv_sec += until.tv_nsec / 1000000000L;
	until.tv_nsec %= 1000000000L;
	pthread_cond_timedwait(&self->changed, &self->lock, &until);
}

static void wait_a_slice(struct sl_registry *self)
{
	wait_ms(self, SLICE_MS);
}

void sl_registry_changed(struct sl_registry *self)
{
	self->progress = sl_now();
	pthread_cond_broadcast(&self->changed);
}

/* ---- documents ---- */

static struct sl_document *find_document(struct sl_registry *self, const char *reference)
{
	for (size_t i = self->n_documents; i-- > 0;)
		if (!strcmp(self->documents[i].reference, reference) || !strcmp(self->documents[i].digest.text, reference))
			return &self->documents[i];
	return NULL;
}

/* Takes @text over. */
int sl_registry_add_document(struct sl_registry *self, const char *reference, const struct sl_digest *digest, struct sl_buf *text)
{
	struct sl_document *bigger = realloc(self->documents, (self->n_documents + 1) * sizeof(*bigger));
	if (!bigger)
		return -1;
	self->documents = bigger;
	struct sl_document *document = &bigger[self->n_documents];
	*document = (struct sl_document){ .reference = strdup(reference), .digest = *digest };
	if (!document->reference)
		return -1;
	document->text = *text;
	*text = (struct sl_buf)SL_BUF_INIT;
	self->n_documents++;
	return 0;
}

const struct sl_buf *sl_registry_document(struct sl_registry *self, const char *reference)
{
	pthread_mutex_lock(&self->lock);
	const struct sl_document *document = find_document(self, reference);
	pthread_mutex_unlock(&self->lock);
	return document ? &document->text : NULL;
}

/* ---- what is wanted ---- */

static size_t find_wanted(const struct sl_registry *self, const char *digest)
{
	for (size_t i = 0; i < self->round.n; i++)
		if (self->round.wanted[i] && !self->wanted[i].done && !strcmp(self->round.layers[i].text, digest))
			return i;
	return SL_NO_LAYER;
}

/* The engine asks for several layers at once, in no order.  The lowest of them comes
 * first: a layer goes straight into a node's snapshot only when the one below is
 * there.  Has the turn of @layer come? */
static bool is_next(const struct sl_registry *self, size_t layer)
{
	bool all = true; /* that could come before it are asked for or done */
	if (self->promised != SL_NO_LAYER)
		return self->promised == layer;
	for (size_t i = 0; i < layer; i++) {
		if (self->wanted[i].asked && !self->wanted[i].done)
			return false;
		all = all && (!self->round.wanted[i] || self->wanted[i].done);
	}
	return all || sl_now() - self->asked_since >= SETTLE_MS;
}

/* Promise wanted @layer to the engine, when its turn has come.  With the lock. */
static void promise(struct sl_registry *self, size_t layer)
{
	if (!self->asked_since)
		self->asked_since = sl_now();
	self->wanted[layer].asked = true;
	sl_registry_changed(self);
	while (!self->closing && !self->over && !is_next(self, layer))
		wait_ms(self, SETTLE_MS);
	self->promised = layer;
}

/* Is the blob there, as the engine is to believe?  Its size, or -1.  With the lock. */
int64_t sl_registry_pretend(struct sl_registry *self, const char *digest, const char *accept)
{
	const struct sl_document *document = find_document(self, digest);
	if (document)
		return (int64_t)document->text.len;
	size_t layer = find_wanted(self, digest);
	if (layer != SL_NO_LAYER) {
		promise(self, layer);
		return -1;
	}
	if (self->round.all)
		return !strcmp(self->round.config.text, digest) || (accept && strstr(accept, "config")) ? -1 : SOME_SIZE;
	for (size_t i = 0; i < self->round.n; i++)
		if (!strcmp(self->round.layers[i].text, digest))
			return SOME_SIZE;
	return -1;
}

/* ---- uploads ---- */

static void free_upload(struct sl_upload *upload)
{
	sl_sha256_free(upload->hash);
	sl_buf_release(&upload->text);
	if (upload->spool)
		fclose(upload->spool);
	free(upload);
}

void sl_registry_drop_upload(struct sl_registry *self, struct sl_upload *upload)
{
	for (struct sl_upload **at = &self->uploads; *at; at = &(*at)->next) {
		if (*at == upload) {
			*at = upload->next;
			free_upload(upload);
			return;
		}
	}
}

struct sl_upload *sl_registry_find_upload(struct sl_registry *self, unsigned id)
{
	struct sl_upload *upload = self->uploads;
	while (upload && upload->id != id)
		upload = upload->next;
	return upload;
}

/* With the lock. */
struct sl_upload *sl_registry_new_upload(struct sl_registry *self)
{
	struct sl_upload *upload = calloc(1, sizeof(*upload));
	if (!upload || !(upload->hash = sl_sha256_new())) {
		free(upload);
		return NULL;
	}
	upload->id = ++self->last_id;
	upload->layer = self->promised;
	upload->text.max = SL_DOCUMENT_MAX;
	/* each promise is for one session */
	for (const struct sl_upload *other = self->uploads; other; other = other->next)
		if (other->layer == upload->layer)
			upload->layer = SL_NO_LAYER;
	upload->next = self->uploads;
	self->uploads = upload;
	return upload;
}

const char *sl_registry_media_type(const struct sl_upload *upload)
{
	if (upload->size >= 2 && upload->head[0] == 0x1f && upload->head[1] == 0x8b)
		return SL_MEDIA_LAYER_GZIP;
	return upload->size >= 4 && !memcmp(upload->head, "\x28\xb5\x2f\xfd", 4) ? SL_MEDIA_LAYER_ZSTD : SL_MEDIA_LAYER;
}

/* ---- handing over ---- */

/* Announce the layer to the reader; 0, or -1 when nobody reads any more. */
int sl_registry_hand_open(struct sl_registry *self, const struct sl_registry_blob *blob)
{
	pthread_mutex_lock(&self->lock);
	while (self->hand.open && !self->closing)
		wait_a_slice(self);
	bool closing = self->closing;
	if (!closing) {
		self->hand = (struct sl_handover){ .open = true, .blob = *blob };
		sl_registry_changed(self);
	}
	pthread_mutex_unlock(&self->lock);
	return closing ? -1 : 0;
}

/* Returns when the reader is done with @data. */
int sl_registry_hand_data(struct sl_registry *self, const void *data, size_t len)
{
	pthread_mutex_lock(&self->lock);
	struct sl_handover *hand = &self->hand;
	hand->data = data;
	hand->len = len;
	sl_registry_changed(self);
	while (hand->data && !hand->skip && !self->closing)
		wait_a_slice(self);
	hand->data = NULL;
	bool closing = self->closing;
	pthread_mutex_unlock(&self->lock);
	return closing ? -1 : 0;
}

void sl_registry_hand_end(struct sl_registry *self, bool good)
{
	pthread_mutex_lock(&self->lock);
	self->hand.ended = true;
	self->hand.bad = !good;
	if (self->hand.skip)
		self->hand.open = false;
	sl_registry_changed(self);
	pthread_mutex_unlock(&self->lock);
}

int sl_registry_hand_spool(struct sl_registry *self, struct sl_upload *upload)
{
	char piece[65536];
	size_t n;
	rewind(upload->spool);
	while ((n = fread(piece, 1, sizeof(piece), upload->spool)) > 0)
		if (sl_registry_hand_data(self, piece, n) < 0)
			return -1;
	return ferror(upload->spool) ? -1 : 0;
}

/* ---- the reader's side ---- */

/* With the lock.  -1 when the wait is over in another way. */
static int wait_for_engine(struct sl_registry *self, int64_t silence_ms, const struct sl_cancel *cancel, struct sl_error *err)
{
	wait_a_slice(self);
	if (sl_cancelled(cancel))
		return sl_error_set(err, SL_INTERRUPTED, "interrupted");
	if (sl_now() - self->progress > silence_ms)
		return sl_error_set(err, SL_TIMEOUT, "the engine does not go on pushing");
	return 0;
}

int sl_registry_next(struct sl_registry *self, struct sl_registry_blob *blob, int64_t silence_ms, const struct sl_cancel *cancel,
		     struct sl_error *err)
{
	int rc = 0;
	pthread_mutex_lock(&self->lock);
	struct sl_handover *hand = &self->hand;
	if (hand->open && hand->lent) { /* not read to its end */
		hand->skip = true;
		hand->open = !hand->ended;
		sl_registry_changed(self);
	}
	while (rc == 0 && (!hand->open || hand->skip) && !(self->over && !hand->open))
		rc = wait_for_engine(self, silence_ms, cancel, err);
	if (rc == 0 && hand->open) {
		hand->lent = true;
		*blob = hand->blob;
		rc = 1;
	}
	pthread_mutex_unlock(&self->lock);
	return rc;
}

ssize_t sl_registry_data(struct sl_registry *self, const void **data, int64_t silence_ms, const struct sl_cancel *cancel,
			 struct sl_error *err)
{
	int rc = 0;
	ssize_t n = 0;
	pthread_mutex_lock(&self->lock);
	struct sl_handover *hand = &self->hand;
	if (hand->data_lent) { /* and is done with it */
		hand->data = NULL;
		hand->data_lent = false;
		sl_registry_changed(self);
	}
	while (rc == 0 && hand->open && !hand->data && !hand->ended && !self->over)
		rc = wait_for_engine(self, silence_ms, cancel, err);
	if (rc == 0 && hand->open && hand->data) {
		*data = hand->data;
		n = (ssize_t)hand->len;
		hand->data_lent = true;
	} else if (rc == 0 && hand->open) {
		if (!hand->ended || hand->bad)
			rc = sl_error_set(err, SL_FAILED, "layer %s did not come whole from the engine", hand->blob.digest.text);
		hand->open = false;
		sl_registry_changed(self);
	}
	pthread_mutex_unlock(&self->lock);
	return rc < 0 ? -1 : n;
}

void sl_registry_round(struct sl_registry *self, const struct sl_registry_round *round)
{
	pthread_mutex_lock(&self->lock);
	free(self->wanted);
	self->wanted = calloc(round->n ? round->n : 1, sizeof(*self->wanted));
	self->round = *round;
	if (!self->wanted)
		self->round.n = 0;
	self->asked_since = 0;
	self->promised = SL_NO_LAYER;
	self->over = false;
	while (self->uploads)
		sl_registry_drop_upload(self, self->uploads);
	sl_registry_changed(self);
	pthread_mutex_unlock(&self->lock);
}

void sl_registry_over(struct sl_registry *self)
{
	pthread_mutex_lock(&self->lock);
	self->over = true;
	sl_registry_changed(self);
	pthread_mutex_unlock(&self->lock);
}

bool sl_registry_was_reached(struct sl_registry *self)
{
	pthread_mutex_lock(&self->lock);
	bool reached = self->reached;
	pthread_mutex_unlock(&self->lock);
	return reached;
}

const char *sl_registry_host(const struct sl_registry *self)
{
	return self->host;
}

/* ---- start and stop ---- */

static void on_visitor(void *ctx, int fd, const struct sockaddr *address, socklen_t len)
{
	struct sl_registry *self = ctx;
	/* closes it when it fails */
	MHD_add_connection(self->daemon, fd, address, len);
}

static int start(struct sl_registry *self, const struct sl_registry_identity *identity, struct sl_error *err)
{
	char pair[96];
	pthread_condattr_t attributes;
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_mutex_init(&self->lock, NULL);
	pthread_cond_init(&self->changed, &attributes);
	pthread_condattr_destroy(&attributes);
	self->promised = SL_NO_LAYER;
	self->progress = sl_now();
	snprintf(pair, sizeof(pair), SL_REGISTRY_USER ":%s", identity->secret);
	sl_autofree char *encoded = sl_base64(pair, false);
	if (!encoded)
		return sl_error_nomem(err);
	snprintf(self->authorization, sizeof(self->authorization), "Basic %s", encoded);
	self->daemon = MHD_start_daemon(MHD_USE_THREAD_PER_CONNECTION | MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_NO_LISTEN_SOCKET | MHD_USE_ITC,
					0, NULL, NULL, sl_registry_request, self, MHD_OPTION_NOTIFY_COMPLETED, sl_registry_completed, self,
					MHD_OPTION_CONNECTION_MEMORY_LIMIT, CONNECTION_MEMORY, MHD_OPTION_CONNECTION_LIMIT, CONNECTIONS_MAX,
					MHD_OPTION_END);
	if (!self->daemon)
		return sl_error_set(err, SL_FAILED, "the loopback registry does not start");
	int port = 0;
	self->door = sl_door_open(identity->port, SL_REGISTRY_PORTS, &port, on_visitor, self, err);
	snprintf(self->host, sizeof(self->host), "127.0.0.1:%d", port);
	return self->door ? 0 : -1;
}

struct sl_registry *sl_registry_start(const struct sl_registry_identity *identity, struct sl_error *err)
{
	struct sl_registry *self = calloc(1, sizeof(*self));
	if (!self) {
		sl_error_nomem(err);
		return NULL;
	}
	if (start(self, identity, err) < 0) {
		sl_registry_stop(self);
		return NULL;
	}
	return self;
}

void sl_registry_stop_serving(struct sl_registry *self)
{
	if (!self)
		return;
	pthread_mutex_lock(&self->lock);
	self->closing = true;
	pthread_cond_broadcast(&self->changed);
	pthread_mutex_unlock(&self->lock);
}

void sl_registry_stop(struct sl_registry *self)
{
	if (!self)
		return;
	sl_registry_stop_serving(self);
	sl_door_close(self->door);
	if (self->daemon)
		MHD_stop_daemon(self->daemon);
	while (self->uploads)
		sl_registry_drop_upload(self, self->uploads);
	for (size_t i = 0; i < self->n_documents; i++) {
		free(self->documents[i].reference);
		sl_buf_release(&self->documents[i].text);
	}
	free(self->documents);
	free(self->wanted);
	pthread_cond_destroy(&self->changed);
	pthread_mutex_destroy(&self->lock);
	free(self);
}
