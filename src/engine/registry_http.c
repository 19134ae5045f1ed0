/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "engine/registry_parts.h"
#include "image/image.h"

#define REALM "sidelift"

enum kind { BASE, BLOB, MANIFEST, UPLOAD_NEW, UPLOAD, UNKNOWN };

/* A request while it comes in. */
struct request {
	enum kind kind;
	char reference[256]; /* digest, tag or session */
	struct sl_upload *upload;
	struct sl_buf body;
	bool streaming; /* its bytes go to the reader as they come */
	bool failed, begun;
};

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

static enum MHD_Result answer_accepted(struct MHD_Connection *connection, const char *repository, const struct sl_upload *upload)
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
	sl_registry_changed(self);
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
	struct sl_upload *upload = request->upload;
	const char *digest = MHD_lookup_connection_value(connection, MHD_GET_ARGUMENT_KIND, "digest");
	struct sl_registry_blob blob = { .layer = upload->layer, .size = content_length(connection), .media_type = sl_registry_media_type(upload) };
	request->streaming = !strcmp(method, "PUT") && blob.size > 0 && !upload->spool && sl_digest_parse(digest, &blob.digest);
	if (request->streaming)
		return sl_registry_hand_open(self, &blob);
	if (!upload->spool)
		upload->spool = tmpfile();
	return upload->spool ? 0 : -1;
}

static void take_piece(struct sl_registry *self, struct MHD_Connection *connection, struct request *request, const char *method,
		       const char *data, size_t len)
{
	struct sl_upload *upload = request->upload;
	if (upload->size < (int64_t)sizeof(upload->head)) {
		size_t room = sizeof(upload->head) - (size_t)upload->size;
		memcpy(upload->head + upload->size, data, len < room ? len : room);
	}
	upload->size += (int64_t)len;
	sl_sha256_update(upload->hash, data, len);
	bool wanted = upload->layer != SL_NO_LAYER;
	if (wanted && !request->begun)
		upload->broken |= begin_wanted(self, connection, request, method) < 0;
	request->begun = true;
	if (upload->broken)
		return;
	if (request->streaming)
		upload->broken = sl_registry_hand_data(self, data, len) < 0;
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
	int rc = sl_registry_add_document(self, request->reference, &digest, &request->body);
	sl_registry_changed(self);
	pthread_mutex_unlock(&self->lock);
	return rc < 0 ? answer_plain(connection, 500) : answer_created(connection, url, digest.text);
}

/* The bytes are all there and hashed as @digest. */
static int finish_wanted(struct sl_registry *self, struct request *request, const struct sl_digest *digest, bool good)
{
	struct sl_upload *upload = request->upload;
	if (!request->streaming && good && upload->spool) {
		const struct sl_registry_blob blob = { .layer = upload->layer, .digest = *digest, .size = upload->size, .media_type = sl_registry_media_type(upload) };
		good = fflush(upload->spool) == 0 && sl_registry_hand_open(self, &blob) == 0;
		request->streaming = good;
		good = good && sl_registry_hand_spool(self, upload) == 0;
	}
	if (request->streaming)
		sl_registry_hand_end(self, good);
	return good && request->streaming ? 0 : -1;
}

static enum MHD_Result end_upload(struct sl_registry *self, struct MHD_Connection *connection, struct request *request, const char *repository)
{
	struct sl_upload *upload = request->upload;
	const char *told = MHD_lookup_connection_value(connection, MHD_GET_ARGUMENT_KIND, "digest");
	char hex[SL_SHA256_HEX + 1], url[400];
	struct sl_digest digest;
	sl_sha256_final(upload->hash, hex);
	sl_digest_from_hex(hex, &digest);
	bool good = told && !strcmp(told, digest.text) && !upload->broken;
	size_t layer = upload->layer;
	if (layer != SL_NO_LAYER)
		good = finish_wanted(self, request, &digest, good) == 0;
	pthread_mutex_lock(&self->lock);
	if (good && layer == SL_NO_LAYER && upload->text.len && !upload->text.failed)
		good = sl_registry_add_document(self, digest.text, &digest, &upload->text) == 0;
	if (layer != SL_NO_LAYER) {
		self->wanted[layer] = (struct sl_wanted){ .asked = good, .done = good };
		self->promised = SL_NO_LAYER;
	}
	sl_registry_drop_upload(self, upload);
	request->upload = NULL;
	sl_registry_changed(self);
	pthread_mutex_unlock(&self->lock);
	snprintf(url, sizeof(url), "%s/blobs/%s", repository, digest.text);
	return good ? answer_created(connection, url, digest.text) : answer_plain(connection, 400);
}

static enum MHD_Result begin_upload(struct sl_registry *self, struct MHD_Connection *connection, const char *repository)
{
	const char *mount = MHD_lookup_connection_value(connection, MHD_GET_ARGUMENT_KIND, "mount");
	char url[400];
	pthread_mutex_lock(&self->lock);
	bool there = mount && sl_registry_pretend(self, mount, NULL) >= 0;
	const struct sl_upload *upload = there ? NULL : sl_registry_new_upload(self);
	sl_registry_changed(self);
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
	int64_t size = sl_registry_pretend(self, digest, accept);
	sl_registry_changed(self);
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

enum MHD_Result sl_registry_request(void *ctx, struct MHD_Connection *connection, const char *url, const char *method, const char *version,
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
			request->upload = sl_registry_find_upload(self, (unsigned)strtoul(reference, NULL, 10));
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

void sl_registry_completed(void *ctx, struct MHD_Connection *connection, void **state, enum MHD_RequestTerminationCode code)
{
	struct sl_registry *self = ctx;
	struct request *request = *state;
	if (!request)
		return;
	if (request->upload && code != MHD_REQUEST_TERMINATED_COMPLETED_OK) {
		/* the engine hung up in the middle; it may begin anew */
		if (request->streaming)
			sl_registry_hand_end(self, false);
		pthread_mutex_lock(&self->lock);
		sl_registry_drop_upload(self, request->upload);
		sl_registry_changed(self);
		pthread_mutex_unlock(&self->lock);
	}
	sl_buf_release(&request->body);
	free(request);
	*state = NULL;
}
