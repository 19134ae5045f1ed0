/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/push.h"

#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "base/cleanup.h"
#include "base/json.h"
#include "engine/registry_identity.h"

/* From this API version on a push can be of one platform of an index. */
#define API_PLATFORM 46
/* Giving a name and taking it away; milliseconds. */
#define NAMING_PATIENCE 10000

static bool is_podman(const struct sl_engine *engine)
{
	return !strcmp(engine->program, "podman");
}

int sl_push_init(struct sl_push *push, const struct sl_engine *engine, const char *host, const char *secret, struct sl_error *err)
{
	*push = (struct sl_push){ .engine = engine, .host = host };
	/* podman tries plain HTTP for this name only where it logs in */
	sl_autofree char *local = NULL;
	if (asprintf(&local, "localhost%s", strchr(host, ':')) < 0) {
		local = NULL;
		return sl_error_nomem(err);
	}
	sl_autojson json_t *json = json_pack("{s:s, s:s, s:s}", "username", SL_REGISTRY_USER, "password", secret,
					     "serveraddress", is_podman(engine) ? local : host);
	push->greeting = json_dumps(json, JSON_COMPACT);
	push->credential = push->greeting ? sl_base64(push->greeting, true) : NULL;
	if (!push->credential || asprintf(&push->repository, "%s/sidelift", host) < 0) {
		push->repository = NULL;
		sl_push_release(push);
		return sl_error_nomem(err);
	}
	return 0;
}

void sl_push_release(struct sl_push *push)
{
	free(push->credential);
	free(push->greeting);
	free(push->repository);
	*push = (struct sl_push){ 0 };
}

bool sl_push_is_near(const struct sl_engine *engine)
{
	const char *base = engine->endpoint.base;
	const char *host = strstr(base, "://");
	return !engine->endpoint.command.n &&
	       (engine->endpoint.socket_path || !strncmp(host, "://127.", 7) || !strncmp(host, "://localhost", 12) || !strncmp(host, "://[::1]", 8));
}

/* A request whose answer is no more than yes or no; the status, or -1. */
static int ask(const struct sl_endpoint *endpoint, const char *method, const char *path, const char *body, struct sl_error *err)
{
	sl_autobuf struct sl_buf answer = SL_BUF_INIT;
	answer.max = 1 << 20;
	int status = sl_http_request(endpoint, method, path, body, &answer, err);
	if (status >= 300)
		sl_engine_refused(status, &answer, err);
	return status;
}

int sl_push_greet(const struct sl_push *push, struct sl_error *err)
{
	char path[32];
	snprintf(path, sizeof(path), "%s/auth", push->engine->api);
	int status = ask(&push->engine->endpoint, "POST", path, push->greeting, err);
	return status >= 200 && status < 300 ? 0 : -1;
}

static int tag(const struct sl_engine *engine, const struct sl_endpoint *endpoint, const char *image, const char *repository, const char *name,
	       struct sl_error *err)
{
	sl_autofree char *path = NULL;
	if (asprintf(&path, "%s/images/%s/tag?repo=%s&tag=%s", engine->api, image, repository, name) < 0) {
		path = NULL;
		return sl_error_nomem(err);
	}
	int status = ask(endpoint, "POST", path, "", err);
	return status >= 200 && status < 300 ? 0 : -1;
}

/* For what must not be left half done, or unknown whether it was. */
static struct sl_endpoint lasting(const struct sl_engine *engine)
{
	struct sl_endpoint endpoint = engine->endpoint;
	endpoint.cancel = NULL;
	endpoint.patience = NAMING_PATIENCE;
	return endpoint;
}

int sl_push_tag(const struct sl_push *push, const char *id, const char *name, struct sl_error *err)
{
	const struct sl_endpoint endpoint = lasting(push->engine);
	return tag(push->engine, &endpoint, id, push->repository, name, err);
}

/* How many tags the image called @reference has; -1 when there is none. */
static int count_tags(const struct sl_engine *engine, const struct sl_endpoint *endpoint, const char *reference)
{
	sl_autobuf struct sl_buf answer = SL_BUF_INIT;
	sl_autofree char *path = NULL;
	if (asprintf(&path, "%s/images/%s/json", engine->api, reference) < 0) {
		path = NULL;
		return -1;
	}
	if (sl_http_request(endpoint, "GET", path, NULL, &answer, NULL) != 200)
		return -1;
	sl_autojson json_t *info = json_loadb(answer.data, answer.len, 0, NULL);
	return (int)json_array_size(json_object_get(info, "RepoTags"));
}

static int delete_name(const struct sl_engine *engine, const struct sl_endpoint *endpoint, const char *reference, struct sl_error *err)
{
	sl_autofree char *path = NULL;
	if (asprintf(&path, "%s/images/%s?noprune=1", engine->api, reference) < 0) {
		path = NULL;
		return sl_error_nomem(err);
	}
	int status = ask(endpoint, "DELETE", path, NULL, err);
	return (status >= 200 && status < 300) || status == 404 ? 0 : -1;
}

/* With its last name an image would go, and a pushed one has its digest as a name
 * besides: it gets another name, which is then given to @other. */
static int delete_last_name(const struct sl_engine *engine, const struct sl_endpoint *endpoint, const char *reference, const char *repository,
			    const char *name, const char *other, struct sl_error *err)
{
	sl_autofree char *kept = NULL, *kept_reference = NULL;
	if (asprintf(&kept, "%s-kept", repository) < 0 || asprintf(&kept_reference, "%s-kept:%s", repository, name) < 0) {
		kept_reference = NULL;
		return sl_error_nomem(err);
	}
	return tag(engine, endpoint, reference, kept, name, err) < 0 || delete_name(engine, endpoint, reference, err) < 0 ||
	       tag(engine, endpoint, other, kept, name, err) < 0 ? -1 : delete_name(engine, endpoint, kept_reference, err);
}

int sl_push_untag(const struct sl_engine *engine, const char *reference, const char *other, struct sl_error *err)
{
	const struct sl_endpoint endpoint = lasting(engine);
	sl_autofree char *repository = strdup(reference);
	char *colon = repository ? strrchr(repository, ':') : NULL;
	if (!colon)
		return sl_error_nomem(err);
	*colon = '\0';
	/* where the other one has gone as well, its owner has removed the image */
	if (count_tags(engine, &endpoint, reference) == 1 && other && count_tags(engine, &endpoint, other) > 0)
		return delete_last_name(engine, &endpoint, reference, repository, colon + 1, other, err);
	return delete_name(engine, &endpoint, reference, err);
}

struct sl_http_response *sl_push_begin(const struct sl_push *push, const char *name, const struct sl_image *image,
				       const struct sl_endpoint *endpoint, struct sl_error *err)
{
	sl_autobuf struct sl_buf path = SL_BUF_INIT;
	sl_autofree char *header = NULL;
	const struct sl_engine *engine = push->engine;
	int minor = 0, status = 0;
	sscanf(engine->api, "/v1.%d", &minor);
	sl_buf_printf(&path, "%s/images/%s/push?tag=%s", engine->api, push->repository, name);
	if (is_podman(engine))
		sl_buf_puts(&path, "&tlsVerify=false");
	/* an index may name platforms that are not there, and attestations */
	if (image->packed && minor >= API_PLATFORM)
		sl_buf_printf(&path, "&platform=%%7B%%22os%%22%%3A%%22%s%%22%%2C%%22architecture%%22%%3A%%22%s%%22%s%s%s%%7D", image->os,
			      image->architecture, image->variant ? "%2C%22variant%22%3A%22" : "", image->variant ? image->variant : "",
			      image->variant ? "%22" : "");
	if (path.failed || asprintf(&header, "X-Registry-Auth: %s", push->credential) < 0) {
		header = NULL;
		sl_error_nomem(err);
		return NULL;
	}
	struct sl_http_response *response = sl_http_open(endpoint, "POST", path.data, "", 0, header, SL_HTTP_SILENCE, &status, err);
	if (!response || status == 200)
		return response;
	sl_autobuf struct sl_buf answer = SL_BUF_INIT;
	const void *data;
	ssize_t n;
	answer.max = 65536;
	while ((n = sl_http_read(response, &data, SL_HTTP_SILENCE, NULL)) > 0)
		if (sl_buf_add(&answer, data, (size_t)n) < 0)
			break;
	sl_http_close(response);
	sl_engine_refused(status, &answer, err);
	return NULL;
}

/* The engine tells its progress, one JSON object after the other. */
static void look_for_error(struct sl_buf *said, struct sl_error *why)
{
	json_error_t where;
	for (;;) {
		size_t blank = said->len ? strspn(said->data, " \r\n\t") : 0;
		sl_buf_drop(said, blank);
		sl_autojson json_t *line = said->len ? json_loadb(said->data, said->len, JSON_DISABLE_EOF_CHECK, &where) : NULL;
		if (!line)
			return;
		const char *error = sl_json_str(line, "error");
		if (error)
			sl_error_set(why, SL_FAILED, "the engine says: %s", error);
		sl_buf_drop(said, (size_t)where.position);
	}
}

int sl_push_follow(struct sl_http_response *response, int64_t silence_ms, struct sl_error *err)
{
	sl_autobuf struct sl_buf said = SL_BUF_INIT;
	struct sl_error why = SL_ERROR_INIT;
	const void *data;
	ssize_t n;
	said.max = 1 << 20;
	while ((n = sl_http_read(response, &data, silence_ms, err)) > 0) {
		sl_buf_add(&said, data, (size_t)n);
		look_for_error(&said, &why);
	}
	if (n < 0)
		return -1;
	if (why.status != SL_OK && err)
		*err = why;
	return why.status == SL_OK ? 0 : -1;
}
