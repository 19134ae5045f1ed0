/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/distribution.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/log.h"
#include "base/sha256.h"
#include "engine/registry_auth.h"
#include "image/image.h"

/* Cancelling an upload; milliseconds. */
#define CANCEL_PATIENCE 5000
#define REFUSAL_MAX ((size_t)256 << 10)
#define ACCEPT SL_MEDIA_MANIFEST ", " SL_MEDIA_INDEX ", application/vnd.docker.distribution.manifest.v2+json, " \
	"application/vnd.docker.distribution.manifest.list.v2+json"

struct sl_dist {
	char *host;
	struct sl_endpoint endpoint;
	struct sl_http_session *session;
	struct sl_registry_auth auth;
};

/* ---- opening ---- */

static bool is_loopback(const char *host)
{
	size_t len = *host == '[' ? strcspn(host, "]") + 1 : strcspn(host, ":");
	return (len == 9 && !strncasecmp(host, "localhost", 9)) || (len == 5 && !strncmp(host, "[::1]", 5)) ||
	       (!strncmp(host, "127.", 4) && strspn(host, "0123456789.") == len);
}

/* Where docker looks for the CA of a registry; NULL: not there. */
static char *own_ca(const char *host)
{
	const char *home = getenv("HOME");
	char *path = NULL;
	if (asprintf(&path, "/etc/docker/certs.d/%s/ca.crt", host) >= 0 && access(path, R_OK) == 0)
		return path;
	free(path);
	path = NULL;
	if (home && asprintf(&path, "%s/.config/docker/certs.d/%s/ca.crt", home, host) >= 0 && access(path, R_OK) == 0)
		return path;
	free(path);
	return NULL;
}

struct sl_dist *sl_dist_open(const char *host, enum sl_dist_scheme scheme, const struct sl_cancel *cancel, struct sl_error *err)
{
	struct sl_dist *dist = calloc(1, sizeof(*dist));
	bool plain = scheme == SL_DIST_PLAIN || (scheme == SL_DIST_AUTO && is_loopback(host));
	if (!dist || !(dist->host = strdup(host)) || asprintf(&dist->endpoint.base, "%s://%s", plain ? "http" : "https", host) < 0 ||
	    !(dist->endpoint.url = strdup(dist->endpoint.base)) || !(dist->session = sl_http_session_new(&dist->endpoint))) {
		sl_dist_free(dist);
		sl_error_nomem(err);
		return NULL;
	}
	dist->endpoint.peer = "registry";
	dist->endpoint.verify = true;
	dist->endpoint.proxied = !plain && !is_loopback(host);
	dist->endpoint.ca = plain ? NULL : own_ca(host);
	dist->endpoint.patience = SL_HTTP_SILENCE;
	dist->endpoint.cancel = cancel;
	dist->auth = (struct sl_registry_auth){ .host = dist->host, .base = dist->endpoint.base, .cancel = cancel };
	return dist;
}

void sl_dist_free(struct sl_dist *dist)
{
	if (!dist)
		return;
	sl_http_session_free(dist->session);
	sl_registry_auth_release(&dist->auth);
	sl_endpoint_release(&dist->endpoint);
	free(dist->host);
	free(dist);
}

const char *sl_dist_url(const struct sl_dist *dist)
{
	return dist->endpoint.url;
}

/* ---- requests ---- */

static bool is_ours(const struct sl_dist *dist, const char *url)
{
	size_t len = strlen(dist->endpoint.base);
	return !strncmp(url, dist->endpoint.base, len) && strchr("/?", url[len]);
}

/* With what the registry wants to be shown; the status, or -1. */
static int perform(struct sl_dist *dist, struct sl_http_call *call, int64_t silence_ms, struct sl_error *err)
{
	for (bool asked = false;; asked = true) {
		call->authorization = is_ours(dist, call->url) ? dist->auth.authorization : NULL;
		int status = sl_http_call(dist->session, call, silence_ms, err);
		if (status != 401 || asked || call->source || !is_ours(dist, call->url))
			return status;
		int rc = sl_registry_auth_answer(&dist->auth, dist->session, &call->head, err);
		if (rc <= 0)
			return rc < 0 ? -1 : status;
	}
}

/* What a registry says when it refuses: its JSON's first message, else its first line. */
static void complaint(const struct sl_http_call *call, char text[256])
{
	const char *body = sl_buf_text(&call->answer);
	sl_autojson json_t *json = json_loadb(body, call->answer.len, 0, NULL);
	const json_t *first = json_array_get(json_object_get(json, "errors"), 0);
	const char *code = sl_json_str(first, "code"), *message = sl_json_str(first, "message");
	if (code || message)
		snprintf(text, 256, ": %s%s%s", code ? code : "", code && message ? ", " : "", message ? message : "");
	else if (*body && *body != '<' && *body != '{')
		snprintf(text, 256, ": %.*s", (int)(strcspn(body, "\r\n") < 200 ? strcspn(body, "\r\n") : 200), body);
	else
		text[0] = '\0';
}

static int refused(const struct sl_dist *dist, const char *repository, const struct sl_http_call *call, int status, struct sl_error *err)
{
	char said[256];
	complaint(call, said);
	const struct sl_credentials *credentials = &dist->auth.credentials;
	if (status == 401 && !credentials->origin)
		return sl_error_set(err, SL_FAILED, "the registry at %s wants credentials for '%s', and docker's configuration has none for it; docker login %s",
				    dist->endpoint.url, repository, dist->host);
	if (status == 401)
		return sl_error_set(err, SL_FAILED, "the registry at %s does not accept for '%s' the credentials that %s has%s; docker login %s",
				    dist->endpoint.url, repository, credentials->origin, said, dist->host);
	if (status == 403)
		return sl_error_set(err, SL_FAILED, "the registry at %s does not let you push to '%s'%s", dist->endpoint.url, repository, said);
	return sl_error_set(err, SL_FAILED, "the registry at %s answers %s of '%s' with %d%s", dist->endpoint.url, call->method, repository, status, said);
}

static char *make_url(const struct sl_dist *dist, const char *repository, const char *rest, const char *last, struct sl_error *err)
{
	char *url = NULL;
	if (asprintf(&url, "%s/v2/%s%s%s", dist->endpoint.base, repository, rest, last) >= 0)
		return url;
	sl_error_nomem(err);
	return NULL;
}

int sl_dist_ping(struct sl_dist *dist, struct sl_error *err)
{
	sl_autofree char *url = make_url(dist, "", "", "", err);
	struct sl_http_call call = { .method = "GET", .url = url, .answer = { .max = REFUSAL_MAX } };
	int status = url ? sl_http_call(dist->session, &call, SL_HTTP_SILENCE, err) : -1, rc = status < 0 ? -1 : 0;
	sl_autofree char *type = sl_http_header(&call.head, "Content-Type", 0);
	if (status >= 500)
		rc = refused(dist, "/v2/", &call, status, err);
	else if (status >= 0 && (type ? !strncasecmp(type, "text/html", 9) : false))
		rc = sl_error_set(err, SL_FAILED, "what listens at %s is no registry (GET /v2/ gives a web page, %d)", dist->endpoint.url, status);
	else if (status >= 0 && status != 200 && status != 401 && status != 403)
		rc = sl_error_set(err, SL_FAILED, "what listens at %s is no registry (GET /v2/ gives %d)%s", dist->endpoint.url, status,
				  status == 400 && !strncmp(dist->endpoint.base, "http:", 5) ? "; with TLS it is registry=https://HOST" : "");
	sl_http_call_release(&call);
	return rc;
}

/* ---- what it has ---- */

int sl_dist_has_blob(struct sl_dist *dist, const char *repository, const struct sl_digest *digest, int64_t *size, struct sl_error *err)
{
	sl_autofree char *url = make_url(dist, repository, "/blobs/", digest->text, err);
	struct sl_http_call call = { .method = "HEAD", .url = url, .answer = { .max = REFUSAL_MAX } };
	int status = url ? perform(dist, &call, SL_HTTP_SILENCE, err) : -1, rc = -1;
	*size = -1;
	if (status == 200) {
		sl_autofree char *length = sl_http_header(&call.head, "Content-Length", 0);
		*size = length ? strtoll(length, NULL, 10) : -1;
		rc = 1;
	} else if (status == 404) {
		rc = 0;
	} else if (status >= 0) {
		rc = refused(dist, repository, &call, status, err);
	}
	sl_http_call_release(&call);
	return rc;
}

static int get(struct sl_dist *dist, const char *repository, const char *rest, const char *last, const char *accept, struct sl_buf *text,
	       struct sl_error *err)
{
	sl_autofree char *url = make_url(dist, repository, rest, last, err);
	struct sl_http_call call = { .method = "GET", .url = url, .accept = accept, .answer = { .max = SL_DOCUMENT_MAX } };
	int status = url ? perform(dist, &call, SL_HTTP_SILENCE, err) : -1, rc = -1;
	if (status == 200)
		rc = sl_buf_add(text, sl_buf_text(&call.answer), call.answer.len) < 0 ? sl_error_nomem(err) : 1;
	else if (status == 404)
		rc = 0;
	else if (status >= 0)
		rc = refused(dist, repository, &call, status, err);
	sl_http_call_release(&call);
	return rc;
}

int sl_dist_get_blob(struct sl_dist *dist, const char *repository, const struct sl_digest *digest, struct sl_buf *text, struct sl_error *err)
{
	struct sl_digest actual;
	int rc = get(dist, repository, "/blobs/", digest->text, NULL, text, err);
	if (rc <= 0)
		return rc;
	sl_digest_of(sl_buf_text(text), text->len, &actual);
	if (sl_digest_equal(&actual, digest))
		return 1;
	return sl_error_set(err, SL_FAILED, "the registry at %s gives for blob %s bytes of %s", dist->endpoint.url, digest->text, actual.text);
}

int sl_dist_get_manifest(struct sl_dist *dist, const char *repository, const char *reference, struct sl_buf *text, struct sl_digest *digest,
			 struct sl_error *err)
{
	int rc = get(dist, repository, "/manifests/", reference, ACCEPT, text, err);
	*digest = (struct sl_digest)SL_DIGEST_NONE;
	if (rc <= 0)
		return rc;
	sl_digest_of(sl_buf_text(text), text->len, digest);
	if (!strchr(reference, ':') || !strcmp(reference, digest->text))
		return 1;
	return sl_error_set(err, SL_FAILED, "the registry at %s gives for manifest %s bytes of %s", dist->endpoint.url, reference, digest->text);
}

/* ---- pushing ---- */

/* Where an upload goes on, by the answer's Location; the caller frees it. */
static char *location(const struct sl_dist *dist, const struct sl_http_call *call, struct sl_error *err)
{
	sl_autofree char *at = sl_http_header(&call->head, "Location", 0);
	char *url = NULL;
	if (at && *at == '/' && at[1] != '/' && asprintf(&url, "%s%s", dist->endpoint.base, at) >= 0)
		return url;
	if (at && (!strncmp(at, "https://", 8) || (!strncmp(at, "http://", 7) && !strncmp(dist->endpoint.base, "http:", 5))))
		return SL_STEAL(at);
	sl_error_set(err, SL_FAILED, "the registry at %s does not say where an upload is to go (Location: %s)", dist->endpoint.url, at ? at : "none");
	return NULL;
}

/* Whatever happens, nothing half done stays there. */
static void cancel_upload(struct sl_dist *dist, const char *url)
{
	struct sl_http_call call = { .method = "DELETE", .url = url, .answer = { .max = REFUSAL_MAX } };
	const struct sl_cancel *cancel = dist->endpoint.cancel;
	dist->endpoint.cancel = NULL;
	struct sl_error why = SL_ERROR_INIT;
	int status = perform(dist, &call, CANCEL_PATIENCE, &why);
	dist->endpoint.cancel = cancel;
	if (status < 0 || status >= 300)
		sl_info("an upload that was begun stays at the registry until it tidies up: %s", status < 0 ? why.message : "it does not cancel it");
	sl_http_call_release(&call);
}

int sl_dist_mount(struct sl_dist *dist, const char *repository, const struct sl_digest *digest, const char *from, struct sl_error *err)
{
	sl_autofree char *query = NULL;
	if (asprintf(&query, "mount=sha256%%3A%s&from=%s", sl_digest_hex(digest), from) < 0) {
		query = NULL;
		return sl_error_nomem(err);
	}
	sl_autofree char *url = make_url(dist, repository, "/blobs/uploads/?", query, err);
	struct sl_http_call call = { .method = "POST", .url = url, .answer = { .max = REFUSAL_MAX } };
	int status = url ? perform(dist, &call, SL_HTTP_SILENCE, err) : -1, rc = -1;
	if (status == 202) {
		sl_autofree char *begun = location(dist, &call, NULL);
		if (begun)
			cancel_upload(dist, begun);
	}
	if (status >= 0)
		rc = status == 201;
	sl_http_call_release(&call);
	return rc;
}

/* The bytes on their way, hashed where nobody knows their digest. */
struct passing {
	struct sl_dist_upload *upload;
	struct sl_sha256 *hash;
	int64_t seen;
	bool ended; /* a source must not be asked again: it may have gone on to the next layer */
};

static ssize_t pass(void *ctx, const void **data, struct sl_error *err)
{
	struct passing *passing = ctx;
	ssize_t n = passing->ended ? 0 : passing->upload->source.read(passing->upload->source.ctx, data, err);
	if (n < 0)
		return -1;
	passing->ended = n == 0;
	passing->seen += n;
	if (passing->seen > passing->upload->size || (n == 0 && passing->seen < passing->upload->size))
		return sl_error_set(err, SL_FAILED, "a layer has another size than was said: not %lld bytes", (long long)passing->upload->size);
	if (n && passing->hash)
		sl_sha256_update(passing->hash, *data, (size_t)n);
	return n;
}

/* Only the end of the source says whether its bytes were right. */
static int see_end(struct passing *passing, struct sl_error *err)
{
	const void *data;
	ssize_t n = pass(passing, &data, err);
	if (n)
		return n < 0 ? -1 : sl_error_set(err, SL_FAILED, "the registry did not take all of a layer");
	if (!passing->hash)
		return 0;
	char hex[SL_SHA256_HEX + 1];
	sl_sha256_final(passing->hash, hex);
	sl_digest_from_hex(hex, &passing->upload->digest);
	return 0;
}

static int begin_upload(struct sl_dist *dist, const char *repository, char **at, struct sl_error *err)
{
	sl_autofree char *url = make_url(dist, repository, "/blobs/uploads/", "", err);
	struct sl_http_call call = { .method = "POST", .url = url, .answer = { .max = REFUSAL_MAX } };
	int status = url ? perform(dist, &call, SL_HTTP_SILENCE, err) : -1, rc = -1;
	if (status == 202)
		rc = (*at = location(dist, &call, err)) ? 0 : -1;
	else if (status >= 0)
		rc = refused(dist, repository, &call, status, err);
	sl_http_call_release(&call);
	return rc;
}

/* *at: where it goes on, also after a failure; NULL: nowhere. */
static int send_bytes(struct sl_dist *dist, const char *repository, struct sl_dist_upload *upload, char **at, struct sl_error *err)
{
	struct passing passing = { .upload = upload, .hash = sl_digest_known(&upload->digest) ? NULL : sl_sha256_new() };
	const struct sl_source source = { .read = pass, .ctx = &passing };
	struct sl_http_call call = { .method = "PATCH", .url = *at, .content_type = "application/octet-stream", .source = &source,
				     .answer = { .max = REFUSAL_MAX } };
	int status = perform(dist, &call, SL_HTTP_SILENCE, err), rc = -1;
	upload->sent = call.sent;
	if (call.status == 202 || call.status == 201 || call.status == 204) {
		char *next = location(dist, &call, status < 0 ? NULL : err);
		free(*at);
		*at = next;
		rc = status < 0 || !next ? -1 : see_end(&passing, err);
	} else if (status >= 0) {
		rc = refused(dist, repository, &call, status, err);
	} else if (!call.status && sl_cancelled(dist->endpoint.cancel)) {
		free(*at); /* a registry that hangs would not cancel it either */
		*at = NULL;
	}
	sl_http_call_release(&call);
	sl_sha256_free(passing.hash);
	return rc;
}

static int commit_upload(struct sl_dist *dist, const char *repository, const struct sl_dist_upload *upload, const char *at, struct sl_error *err)
{
	sl_autofree char *url = NULL;
	if (asprintf(&url, "%s%cdigest=sha256%%3A%s", at, strchr(at, '?') ? '&' : '?', sl_digest_hex(&upload->digest)) < 0) {
		url = NULL;
		return sl_error_nomem(err);
	}
	struct sl_http_call call = { .method = "PUT", .url = url, .answer = { .max = REFUSAL_MAX } };
	int status = perform(dist, &call, SL_DIST_COMMIT + upload->size / SL_DIST_COMMIT_RATE, err), rc = -1;
	if (status == 201 || status == 204)
		rc = 0;
	else if (status >= 0)
		rc = refused(dist, repository, &call, status, err);
	sl_http_call_release(&call);
	return rc;
}

int sl_dist_upload(struct sl_dist *dist, const char *repository, struct sl_dist_upload *upload, struct sl_error *err)
{
	sl_autofree char *at = NULL;
	upload->sent = 0;
	if (begin_upload(dist, repository, &at, err) < 0)
		return -1;
	if (send_bytes(dist, repository, upload, &at, err) == 0 && commit_upload(dist, repository, upload, at, err) == 0)
		return 0;
	if (at)
		cancel_upload(dist, at);
	return -1;
}

int sl_dist_put_manifest(struct sl_dist *dist, const char *repository, const char *tag, const char *media_type, const char *text, size_t len,
			 struct sl_error *err)
{
	sl_autofree char *url = make_url(dist, repository, "/manifests/", tag, err);
	struct sl_http_call call = { .method = "PUT", .url = url, .content_type = media_type, .body = text, .body_len = len,
				     .answer = { .max = REFUSAL_MAX } };
	int status = url ? perform(dist, &call, SL_HTTP_SILENCE, err) : -1, rc = -1;
	if (status == 201 || status == 200)
		rc = 0;
	else if (status >= 0)
		rc = refused(dist, repository, &call, status, err);
	sl_http_call_release(&call);
	return rc;
}
