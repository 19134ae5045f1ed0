/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/registry.h"

#include <arpa/inet.h>
#include <errno.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/base64.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "base/sha256.h"
#include "engine/registry_door.h"
#include "image/image.h"

/*
 * Each connection has a thread of its own, which waits where it has to: an upload
 * for whoever takes its bytes, and the question for a second wanted layer until the
 * first one has come - so an upload needs no name to be known for what it is
 * (docker's graph driver tells the digest when all is said).
 */

#define REALM "sidelift"
/* What a connection may buffer; larger pieces are faster. */
#define CONNECTION_MEMORY ((size_t)256 << 10)
#define CONNECTIONS_MAX 32
/* A size for layers that are there only as we say; the engine repeats it. */
#define SOME_SIZE 1024
#define NO_LAYER SIZE_MAX
/* How long a wait may go on before it looks whether it is still wanted; ms. */
#define SLICE_MS 100
/* How long the first wanted layer waits for one below it to be asked for, too. */
#define SETTLE_MS 20

struct document {
	char *reference; /* the tag or digest under which it was pushed */
	struct sl_digest digest;
	struct sl_buf text;
};

/* One upload session. */
struct upload {
	struct upload *next;
	unsigned id;
	size_t layer;     /* the wanted one, or NO_LAYER */
	struct sl_sha256 *hash;
	int64_t size;     /* bytes so far */
	unsigned char head[4];
	struct sl_buf text; /* its bytes while it may be a document */
	FILE *spool;      /* of a wanted one whose size is not known in advance */
	bool broken;
};

/* The wanted layer that is handed over. */
struct handover {
	bool open, ended, bad, skip; /* skip: nobody reads it */
	struct sl_registry_blob blob;
	const void *data; /* the producer's, who waits until it is NULL again */
	size_t len;
	bool lent, data_lent; /* the reader has it */
};

struct wanted {
	bool asked, done;
};

struct sl_registry {
	struct MHD_Daemon *daemon;
	struct sl_door *door;
	char host[32], authorization[160];
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool reached, closing, over;
	int64_t progress; /* when something arrived last */
	struct sl_registry_round round;
	struct wanted *wanted; /* of each of the round's layers */
	int64_t asked_since;   /* when the first wanted one was asked for */
	size_t promised;  /* the wanted one that the engine has been asked for */
	struct upload *uploads;
	unsigned last_id;
	struct document *documents;
	size_t n_documents;
	struct handover hand;
};

enum kind { BASE, BLOB, MANIFEST, UPLOAD_NEW, UPLOAD, UNKNOWN };

/* A request while it comes in. */
struct request {
	enum kind kind;
	char reference[256]; /* digest, tag or session */
	struct upload *upload;
	struct sl_buf body;
	bool streaming; /* its bytes go to the reader as they come */
	bool failed, begun;
};

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

static void changed(struct sl_registry *self)
{
	self->progress = sl_now();
	pthread_cond_broadcast(&self->changed);
}

/* ---- documents ---- */

static struct document *find_document(struct sl_registry *self, const char *reference)
{
	for (size_t i = self->n_documents; i-- > 0;)
		if (!strcmp(self->documents[i].reference, reference) || !strcmp(self->documents[i].digest.text, reference))
			return &self->documents[i];
	return NULL;
}

/* Takes @text over. */
static int add_document(struct sl_registry *self, const char *reference, const struct sl_digest *digest, struct sl_buf *text)
{
	struct document *bigger = realloc(self->documents, (self->n_documents + 1) * sizeof(*bigger));
	if (!bigger)
		return -1;
	self->documents = bigger;
	struct document *document = &bigger[self->n_documents];
	*document = (struct document){ .reference = strdup(reference), .digest = *digest };
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
	const struct document *document = find_document(self, reference);
	pthread_mutex_unlock(&self->lock);
	return document ? &document->text : NULL;
}

/* ---- what is wanted ---- */

static size_t find_wanted(const struct sl_registry *self, const char *digest)
{
	for (size_t i = 0; i < self->round.n; i++)
		if (self->round.wanted[i] && !self->wanted[i].done && !strcmp(self->round.layers[i].text, digest))
			return i;
	return NO_LAYER;
}

/* The engine asks for several layers at once, in no order.  The lowest of them comes
 * first: a layer goes straight into a node's snapshot only when the one below is
 * there.  Has the turn of @layer come? */
static bool is_next(const struct sl_registry *self, size_t layer)
{
	bool all = true; /* that could come before it are asked for or done */
	if (self->promised != NO_LAYER)
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
	changed(self);
	while (!self->closing && !self->over && !is_next(self, layer))
		wait_ms(self, SETTLE_MS);
	self->promised = layer;
}

/* Is the blob there, as the engine is to believe?  Its size, or -1.  With the lock. */
static int64_t pretend(struct sl_registry *self, const char *digest, const char *accept)
{
	const struct document *document = find_document(self, digest);
	if (document)
		return (int64_t)document->text.len;
	size_t layer = find_wanted(self, digest);
	if (layer != NO_LAYER) {
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

static void free_upload(struct upload *upload)
{
	sl_sha256_free(upload->hash);
	sl_buf_release(&upload->text);
	if (upload->spool)
		fclose(upload->spool);
	free(upload);
}

static void drop_upload(struct sl_registry *self, struct upload *upload)
{
	for (struct upload **at = &self->uploads; *at; at = &(*at)->next) {
		if (*at == upload) {
			*at = upload->next;
			free_upload(upload);
			return;
		}
	}
}

static struct upload *find_upload(struct sl_registry *self, unsigned id)
{
	struct upload *upload = self->uploads;
	while (upload && upload->id != id)
		upload = upload->next;
	return upload;
}

/* With the lock. */
static struct upload *new_upload(struct sl_registry *self)
{
	struct upload *upload = calloc(1, sizeof(*upload));
	if (!upload || !(upload->hash = sl_sha256_new())) {
		free(upload);
		return NULL;
	}
	upload->id = ++self->last_id;
	upload->layer = self->promised;
	upload->text.max = SL_DOCUMENT_MAX;
	/* each promise is for one session */
	for (const struct upload *other = self->uploads; other; other = other->next)
		if (other->layer == upload->layer)
			upload->layer = NO_LAYER;
	upload->next = self->uploads;
	self->uploads = upload;
	return upload;
}

static const char *media_type(const struct upload *upload)
{
	if (upload->size >= 2 && upload->head[0] == 0x1f && upload->head[1] == 0x8b)
		return SL_MEDIA_LAYER_GZIP;
	return upload->size >= 4 && !memcmp(upload->head, "\x28\xb5\x2f\xfd", 4) ? SL_MEDIA_LAYER_ZSTD : SL_MEDIA_LAYER;
}

/* ---- handing over ---- */

/* Announce the layer to the reader; 0, or -1 when nobody reads any more. */
static int hand_open(struct sl_registry *self, const struct sl_registry_blob *blob)
{
	pthread_mutex_lock(&self->lock);
	while (self->hand.open && !self->closing)
		wait_a_slice(self);
	bool closing = self->closing;
	if (!closing) {
		self->hand = (struct handover){ .open = true, .blob = *blob };
		changed(self);
	}
	pthread_mutex_unlock(&self->lock);
	return closing ? -1 : 0;
}

/* Returns when the reader is done with @data. */
static int hand_data(struct sl_registry *self, const void *data, size_t len)
{
	pthread_mutex_lock(&self->lock);
	struct handover *hand = &self->hand;
	hand->data = data;
	hand->len = len;
	changed(self);
	while (hand->data && !hand->skip && !self->closing)
		wait_a_slice(self);
	hand->data = NULL;
	bool closing = self->closing;
	pthread_mutex_unlock(&self->lock);
	return closing ? -1 : 0;
}

static void hand_end(struct sl_registry *self, bool good)
{
	pthread_mutex_lock(&self->lock);
	self->hand.ended = true;
	self->hand.bad = !good;
	if (self->hand.skip)
		self->hand.open = false;
	changed(self);
	pthread_mutex_unlock(&self->lock);
}

static int hand_spool(struct sl_registry *self, struct upload *upload)
{
	char piece[65536];
	size_t n;
	rewind(upload->spool);
	while ((n = fread(piece, 1, sizeof(piece), upload->spool)) > 0)
		if (hand_data(self, piece, n) < 0)
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
	struct handover *hand = &self->hand;
	if (hand->open && hand->lent) { /* not read to its end */
		hand->skip = true;
		hand->open = !hand->ended;
		changed(self);
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
	struct handover *hand = &self->hand;
	if (hand->data_lent) { /* and is done with it */
		hand->data = NULL;
		hand->data_lent = false;
		changed(self);
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
		changed(self);
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
	self->promised = NO_LAYER;
	self->over = false;
	while (self->uploads)
		drop_upload(self, self->uploads);
	changed(self);
	pthread_mutex_unlock(&self->lock);
}

void sl_registry_over(struct sl_registry *self)
{
	pthread_mutex_lock(&self->lock);
	self->over = true;
	changed(self);
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

/* ---- answers ---- */

struct header {
	const char *name, *value;
};

/* Never asked: a HEAD has no body. */
static ssize_t no_body(void *ctx, uint64_t at, char *out, size_t max)
{
	return MHD_CONTENT_READER_END_WITH_ERROR;
}

/* @size bytes are told, and none sent. */
static enum MHD_Result answer(struct MHD_Connection *connection, unsigned status, int64_t size, const struct header *headers, size_t n)
{
	struct MHD_Response *response = size > 0 ?
		MHD_create_response_from_callback((uint64_t)size, 1024, no_body, NULL, NULL) :
		MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT);
	if (!response)
		return MHD_NO;
	MHD_add_response_header(response, "Docker-Distribution-API-Version", "registry/2.0");
	for (size_t i = 0; i < n; i++)
		MHD_add_response_header(response, headers[i].name, headers[i].value);
	enum MHD_Result rc = MHD_queue_response(connection, status, response);
	MHD_destroy_response(response);
	return rc;
}

static enum MHD_Result answer_plain(struct MHD_Connection *connection, unsigned status)
{
	return answer(connection, status, 0, NULL, 0);
}

static enum MHD_Result answer_created(struct MHD_Connection *connection, const char *url, const char *digest)
{
	const struct header headers[] = { { "Location", url }, { "Docker-Content-Digest", digest } };
	return answer(connection, 201, 0, headers, 2);
}

static enum MHD_Result answer_accepted(struct MHD_Connection *connection, const char *repository, const struct upload *upload)
{
	char location[400], id[16], range[40];
	snprintf(location, sizeof(location), "%s/blobs/uploads/%u", repository, upload->id);
	snprintf(id, sizeof(id), "%u", upload->id);
	snprintf(range, sizeof(range), "0-%lld", (long long)(upload->size ? upload->size - 1 : 0));
	const struct header headers[] = { { "Location", location }, { "Docker-Upload-UUID", id }, { "Range", range } };
	return answer(connection, 202, 0, headers, 3);
}

/* ---- requests ---- */

/* "/v2/REPOSITORY/blobs/uploads/ID": what it is about; @repository gets what is
 * before, with the slash in front. */
static enum kind classify(const char *url, char *reference, size_t size, char *repository, size_t repository_size)
{
	static const struct {
		const char *mark;
		enum kind kind;
	} kinds[] = { { "/blobs/uploads/", UPLOAD }, { "/blobs/", BLOB }, { "/manifests/", MANIFEST } };
	*reference = *repository = '\0';
	if (!strcmp(url, "/v2/") || !strcmp(url, "/v2"))
		return BASE;
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		const char *at = strstr(url, kinds[i].mark);
		if (!at || strncmp(url, "/v2/", 4) != 0)
			continue;
		snprintf(repository, repository_size, "%.*s", (int)(at - url), url);
		snprintf(reference, size, "%s", at + strlen(kinds[i].mark));
		return kinds[i].kind == UPLOAD && !*reference ? UPLOAD_NEW : kinds[i].kind;
	}
	return UNKNOWN;
}

static bool is_authorised(struct sl_registry *self, struct MHD_Connection *connection)
{
	const char *given = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Authorization");
	if (!given || strcmp(given, self->authorization) != 0)
		return false;
	pthread_mutex_lock(&self->lock);
	self->reached = true;
	changed(self);
	pthread_mutex_unlock(&self->lock);
	return true;
}

/* ---- bodies ---- */

static int64_t content_length(struct MHD_Connection *connection)
{
	const char *text = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Content-Length");
	return text ? strtoll(text, NULL, 10) : -1;
}

/* A wanted layer whose size and digest are told beforehand goes to the reader as it
 * comes; any other one waits in a file. */
static int begin_wanted(struct sl_registry *self, struct MHD_Connection *connection, struct request *request, const char *method)
{
	struct upload *upload = request->upload;
	const char *digest = MHD_lookup_connection_value(connection, MHD_GET_ARGUMENT_KIND, "digest");
	struct sl_registry_blob blob = { .layer = upload->layer, .size = content_length(connection), .media_type = media_type(upload) };
	request->streaming = !strcmp(method, "PUT") && blob.size > 0 && !upload->spool && sl_digest_parse(digest, &blob.digest);
	if (request->streaming)
		return hand_open(self, &blob);
	if (!upload->spool)
		upload->spool = tmpfile();
	return upload->spool ? 0 : -1;
}

static void take_piece(struct sl_registry *self, struct MHD_Connection *connection, struct request *request, const char *method,
		       const char *data, size_t len)
{
	struct upload *upload = request->upload;
	if (upload->size < (int64_t)sizeof(upload->head)) {
		size_t room = sizeof(upload->head) - (size_t)upload->size;
		memcpy(upload->head + upload->size, data, len < room ? len : room);
	}
	upload->size += (int64_t)len;
	sl_sha256_update(upload->hash, data, len);
	bool wanted = upload->layer != NO_LAYER;
	if (wanted && !request->begun)
		upload->broken |= begin_wanted(self, connection, request, method) < 0;
	request->begun = true;
	if (upload->broken)
		return;
	if (request->streaming)
		upload->broken = hand_data(self, data, len) < 0;
	else if (wanted)
		upload->broken = fwrite(data, 1, len, upload->spool) != len;
	else if (upload->head[0] == '{')
		sl_buf_add(&upload->text, data, len);
	pthread_mutex_lock(&self->lock);
	self->progress = sl_now();
	pthread_mutex_unlock(&self->lock);
}

static void take_body(struct sl_registry *self, struct MHD_Connection *connection, struct request *request, const char *method,
		      const char *data, size_t len)
{
	if (request->kind == MANIFEST) {
		request->body.max = SL_DOCUMENT_MAX;
		sl_buf_add(&request->body, data, len);
	} else if (request->kind == UPLOAD) {
		if (request->upload)
			take_piece(self, connection, request, method, data, len);
	}
}

/* ---- complete requests ---- */

static enum MHD_Result put_manifest(struct sl_registry *self, struct MHD_Connection *connection, struct request *request, const char *url)
{
	struct sl_digest digest;
	if (request->body.failed || !request->body.len)
		return answer_plain(connection, 400);
	sl_digest_of(request->body.data, request->body.len, &digest);
	pthread_mutex_lock(&self->lock);
	int rc = add_document(self, request->reference, &digest, &request->body);
	changed(self);
	pthread_mutex_unlock(&self->lock);
	return rc < 0 ? answer_plain(connection, 500) : answer_created(connection, url, digest.text);
}

/* The bytes are all there and hashed as @digest. */
static int finish_wanted(struct sl_registry *self, struct request *request, const struct sl_digest *digest, bool good)
{
	struct upload *upload = request->upload;
	if (!request->streaming && good && upload->spool) {
		const struct sl_registry_blob blob = { .layer = upload->layer, .digest = *digest, .size = upload->size, .media_type = media_type(upload) };
		good = fflush(upload->spool) == 0 && hand_open(self, &blob) == 0;
		request->streaming = good;
		good = good && hand_spool(self, upload) == 0;
	}
	if (request->streaming)
		hand_end(self, good);
	return good && request->streaming ? 0 : -1;
}

static enum MHD_Result end_upload(struct sl_registry *self, struct MHD_Connection *connection, struct request *request, const char *repository)
{
	struct upload *upload = request->upload;
	const char *told = MHD_lookup_connection_value(connection, MHD_GET_ARGUMENT_KIND, "digest");
	char hex[SL_SHA256_HEX + 1], url[400];
	struct sl_digest digest;
	sl_sha256_final(upload->hash, hex);
	sl_digest_from_hex(hex, &digest);
	bool good = told && !strcmp(told, digest.text) && !upload->broken;
	size_t layer = upload->layer;
	if (layer != NO_LAYER)
		good = finish_wanted(self, request, &digest, good) == 0;
	pthread_mutex_lock(&self->lock);
	if (good && layer == NO_LAYER && upload->text.len && !upload->text.failed)
		good = add_document(self, digest.text, &digest, &upload->text) == 0;
	if (layer != NO_LAYER) {
		self->wanted[layer] = (struct wanted){ .asked = good, .done = good };
		self->promised = NO_LAYER;
	}
	drop_upload(self, upload);
	request->upload = NULL;
	changed(self);
	pthread_mutex_unlock(&self->lock);
	snprintf(url, sizeof(url), "%s/blobs/%s", repository, digest.text);
	return good ? answer_created(connection, url, digest.text) : answer_plain(connection, 400);
}

static enum MHD_Result begin_upload(struct sl_registry *self, struct MHD_Connection *connection, const char *repository)
{
	const char *mount = MHD_lookup_connection_value(connection, MHD_GET_ARGUMENT_KIND, "mount");
	char url[400];
	pthread_mutex_lock(&self->lock);
	bool there = mount && pretend(self, mount, NULL) >= 0;
	const struct upload *upload = there ? NULL : new_upload(self);
	changed(self);
	pthread_mutex_unlock(&self->lock);
	snprintf(url, sizeof(url), "%s/blobs/%s", repository, mount ? mount : "");
	return there ? answer_created(connection, url, mount) : upload ? answer_accepted(connection, repository, upload) : answer_plain(connection, 500);
}

static enum MHD_Result answer_blob(struct sl_registry *self, struct MHD_Connection *connection, const char *method, const char *digest)
{
	const char *accept = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Accept");
	if (strcmp(method, "HEAD") != 0)
		return answer_plain(connection, 404);
	pthread_mutex_lock(&self->lock);
	int64_t size = pretend(self, digest, accept);
	changed(self);
	pthread_mutex_unlock(&self->lock);
	sl_debug("registry: HEAD %s: %s", digest, size < 0 ? "lacking" : "there");
	const struct header headers[] = { { "Docker-Content-Digest", digest }, { "Content-Type", "application/octet-stream" } };
	return size < 0 ? answer_plain(connection, 404) : answer(connection, 200, size, headers, 2);
}

static enum MHD_Result answer_request(struct sl_registry *self, struct MHD_Connection *connection, struct request *request,
				      const char *method, const char *url, const char *repository)
{
	switch (request->kind) {
	case BASE:
		return answer_plain(connection, 200);
	case BLOB:
		return answer_blob(self, connection, method, request->reference);
	case MANIFEST:
		return strcmp(method, "PUT") ? answer_plain(connection, 404) : put_manifest(self, connection, request, url);
	case UPLOAD_NEW:
		return strcmp(method, "POST") ? answer_plain(connection, 405) : begin_upload(self, connection, repository);
	case UPLOAD:
		if (!request->upload)
			return answer_plain(connection, 404);
		if (!strcmp(method, "PUT"))
			return end_upload(self, connection, request, repository);
		return strcmp(method, "PATCH") ? answer_plain(connection, 405) : answer_accepted(connection, repository, request->upload);
	default:
		return answer_plain(connection, 404);
	}
}

static bool is_closing(struct sl_registry *self)
{
	pthread_mutex_lock(&self->lock);
	bool closing = self->closing;
	pthread_mutex_unlock(&self->lock);
	return closing;
}

static enum MHD_Result on_request(void *ctx, struct MHD_Connection *connection, const char *url, const char *method, const char *version,
				  const char *data, size_t *size, void **state)
{
	struct sl_registry *self = ctx;
	struct request *request = *state;
	char repository[300], reference[256];
	enum kind kind = classify(url, reference, sizeof(reference), repository, sizeof(repository));
	if (!request) {
		if (!is_authorised(self, connection)) {
			const struct header challenge = { "WWW-Authenticate", "Basic realm=\"" REALM "\"" };
			return answer(connection, 401, 0, &challenge, 1);
		}
		request = calloc(1, sizeof(*request));
		if (!request)
			return MHD_NO;
		*state = request;
		request->kind = kind;
		memcpy(request->reference, reference, sizeof(reference));
		if (kind == UPLOAD) {
			pthread_mutex_lock(&self->lock);
			request->upload = find_upload(self, (unsigned)strtoul(reference, NULL, 10));
			pthread_mutex_unlock(&self->lock);
		}
		return MHD_YES;
	}
	if (*size) {
		take_body(self, connection, request, method, data, *size);
		*size = 0;
		return is_closing(self) ? MHD_NO : MHD_YES;
	}
	if (kind != BLOB)
		sl_debug("registry: %s %s", method, url);
	return answer_request(self, connection, request, method, url, repository);
}

static void on_completed(void *ctx, struct MHD_Connection *connection, void **state, enum MHD_RequestTerminationCode code)
{
	struct sl_registry *self = ctx;
	struct request *request = *state;
	if (!request)
		return;
	if (request->upload && code != MHD_REQUEST_TERMINATED_COMPLETED_OK) {
		/* the engine hung up in the middle; it may begin anew */
		if (request->streaming)
			hand_end(self, false);
		pthread_mutex_lock(&self->lock);
		drop_upload(self, request->upload);
		changed(self);
		pthread_mutex_unlock(&self->lock);
	}
	sl_buf_release(&request->body);
	free(request);
	*state = NULL;
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
	self->promised = NO_LAYER;
	self->progress = sl_now();
	snprintf(pair, sizeof(pair), SL_REGISTRY_USER ":%s", identity->secret);
	sl_autofree char *encoded = sl_base64(pair, false);
	if (!encoded)
		return sl_error_nomem(err);
	snprintf(self->authorization, sizeof(self->authorization), "Basic %s", encoded);
	self->daemon = MHD_start_daemon(MHD_USE_THREAD_PER_CONNECTION | MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_NO_LISTEN_SOCKET | MHD_USE_ITC,
					0, NULL, NULL, on_request, self, MHD_OPTION_NOTIFY_COMPLETED, on_completed, self,
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
		drop_upload(self, self->uploads);
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
