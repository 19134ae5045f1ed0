/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/engine.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/log.h"
#include "image/reference.h"

/* The newest API that was read for; an older engine is asked in its own. */
#define API_MAJOR 1
#define API_MINOR 48
#define API_MINOR_MIN 24

void sl_engine_release(struct sl_engine *engine)
{
	sl_endpoint_release(&engine->endpoint);
	free(engine->evidence);
	free(engine->version);
	free(engine->architecture);
	free(engine->id);
	*engine = (struct sl_engine){ 0 };
}

int sl_engine_refused(int status, const struct sl_buf *answer, struct sl_error *err)
{
	sl_autojson json_t *json = json_loadb(sl_buf_text(answer), answer->len, 0, NULL);
	const char *message = sl_json_str(json, "message");
	return sl_error_set(err, status == 404 ? SL_NOT_FOUND : SL_FAILED, "the engine says: %s",
			    message ? message : answer->len ? sl_buf_text(answer) : "nothing");
}

/* A GET whose answer is JSON; NULL with @err. */
static json_t *get_json(const struct sl_engine *engine, const char *what, const char *path, struct sl_error *err)
{
	sl_autobuf struct sl_buf answer = SL_BUF_INIT;
	sl_autofree char *full = NULL;
	if (asprintf(&full, "%s%s", engine->api, path) < 0) {
		full = NULL;
		sl_error_nomem(err);
		return NULL;
	}
	int status = sl_http_request(&engine->endpoint, "GET", full, NULL, &answer, err);
	if (status < 0)
		return NULL;
	if (status != 200) {
		sl_engine_refused(status, &answer, err);
		return NULL;
	}
	return sl_json_parse(answer.data, answer.len, what, err);
}

static int negotiate(struct sl_engine *engine, const char *api, struct sl_error *err)
{
	int major = 0, minor = 0;
	if (!api || sscanf(api, "%d.%d", &major, &minor) != 2 || major != API_MAJOR)
		return sl_error_set(err, SL_FAILED, "what answers at %s is no Docker engine (it names no API version)",
				    engine->endpoint.url);
	if (minor < API_MINOR_MIN)
		return sl_error_set(err, SL_FAILED, "the engine at %s speaks API %s; at least %d.%d is needed",
				    engine->endpoint.url, api, API_MAJOR, API_MINOR_MIN);
	int use = minor < API_MINOR ? minor : API_MINOR;
	const char *told = getenv("DOCKER_API_VERSION");
	if (told && *told) {
		int end = 0;
		if (sscanf(told, "%d.%d%n", &major, &use, &end) != 2 || told[end] || major != API_MAJOR || use < API_MINOR_MIN || use > minor)
			return sl_error_set(err, SL_FAILED, "DOCKER_API_VERSION is '%s', which the engine at %s does not speak (its is %s); "
					    "unset it, and the version is agreed upon", told, engine->endpoint.url, api);
	}
	snprintf(engine->api, sizeof(engine->api), "/v%d.%d", API_MAJOR, use);
	return 0;
}

static int set_version(struct sl_engine *engine, const char *version, size_t len, bool podman, struct sl_error *err)
{
	free(engine->version);
	engine->version = strndup(version, len);
	engine->program = podman ? "podman" : "docker";
	return engine->version ? 0 : sl_error_nomem(err);
}

/* "Docker/20.10.24 (linux)", "Libpod/4.3.1 (linux)" and the API's version are in the
 * headers of every answer.  For /version docker runs runc and more, which takes 20 ms.
 * 1; 0 when they are not all there; -1. */
static int ping(struct sl_engine *engine, struct sl_error *err)
{
	int status, rc = 0;
	struct sl_http_response *response = sl_http_open(&engine->endpoint, "GET", "/_ping", NULL, 0, NULL, engine->endpoint.patience, &status, err);
	if (!response)
		return -1;
	const char *api = sl_http_answered(response, "Api-Version"), *server = sl_http_answered(response, "Server");
	bool podman = server && !strncmp(server, "Libpod/", 7);
	if (status == 200 && api && server && (podman || !strncmp(server, "Docker/", 7)))
		rc = negotiate(engine, api, err) < 0 || set_version(engine, server + 7, strcspn(server + 7, " "), podman, err) < 0 ? -1 : 1;
	sl_http_close(response);
	return rc;
}

int sl_engine_ask_version(struct sl_engine *engine, struct sl_error *err)
{
	sl_autojson json_t *version = get_json(engine, "the engine's version", "/version", err);
	if (!version || (!*engine->api && negotiate(engine, sl_json_str(version, "ApiVersion"), err) < 0))
		return -1;
	const char *text = sl_json_str(version, "Version"), *arch = sl_json_str(version, "Arch");
	const char *component = sl_json_str(json_array_get(json_object_get(version, "Components"), 0), "Name");
	free(engine->architecture);
	engine->architecture = strdup(arch ? arch : "");
	if (!text)
		text = "?";
	if (!engine->architecture)
		return sl_error_nomem(err);
	return set_version(engine, text, strlen(text), component && !strcmp(component, "Podman Engine"), err);
}

int sl_engine_open(struct sl_engine *engine, const struct sl_location *location, int64_t patience_ms,
		   const struct sl_cancel *cancel, struct sl_error *err)
{
	*engine = (struct sl_engine){ 0 };
	if (sl_endpoint_set(location, &engine->endpoint, err) < 0)
		return -1;
	engine->endpoint.cancel = cancel;
	engine->endpoint.patience = patience_ms;
	int told = ping(engine, err);
	if (told < 0 || (!told && sl_engine_ask_version(engine, err) < 0)) {
		sl_engine_release(engine);
		return -1;
	}
	engine->endpoint.patience = SL_HTTP_SILENCE;
	engine->evidence = strdup(location->evidence);
	if (!engine->evidence) {
		sl_engine_release(engine);
		return sl_error_nomem(err);
	}
	sl_info("engine %s (%s): version %s, API %s", location->url, location->evidence, engine->version, engine->api + 1);
	return 0;
}

/* Does one of the names that the engine knows for the image stand for @canonical? */
static bool is_named(const json_t *info, const char *canonical)
{
	static const char *const lists[] = { "RepoTags", "RepoDigests" };
	for (size_t l = 0; l < 2; l++) {
		size_t i;
		json_t *item;
		json_array_foreach(json_object_get(info, lists[l]), i, item) {
			struct sl_reference reference;
			const char *text = json_string_value(item);
			if (!text || sl_reference_parse(text, &reference, NULL) < 0)
				continue;
			sl_autofree char *known = sl_reference_canonical(&reference);
			sl_reference_release(&reference);
			if (known && !strcmp(known, canonical))
				return true;
		}
	}
	return false;
}

/* An ID (or its beginning) was given where a name is needed. */
static bool is_id(const json_t *info, const char *reference)
{
	const char *id = sl_json_str(info, "Id");
	const char *hex = id && !strncmp(id, "sha256:", 7) ? id + 7 : id;
	size_t len = strlen(reference);
	return (id && !strncmp(id, reference, len)) || (hex && len >= 4 && !strncmp(hex, reference, len));
}

static int refuse_id(const json_t *info, const char *reference, struct sl_error *err)
{
	const char *tag = json_string_value(json_array_get(json_object_get(info, "RepoTags"), 0));
	if (tag)
		return sl_error_set(err, SL_USAGE, "'%s' is an image ID; a pod refers to an image by name, so name it: %s",
				    reference, tag);
	return sl_error_set(err, SL_USAGE, "'%s' is the ID of an image without a name; give it one: docker tag %s NAME:TAG",
			    reference, reference);
}

json_t *sl_engine_info(const struct sl_engine *engine, struct sl_error *err)
{
	return get_json(engine, "the engine's answer about itself", "/info", err);
}

json_t *sl_engine_images(const struct sl_engine *engine, struct sl_error *err)
{
	return get_json(engine, "the engine's list of images", "/images/json", err);
}

json_t *sl_engine_history(const struct sl_engine *engine, const char *id, struct sl_error *err)
{
	sl_autofree char *path = NULL;
	if (asprintf(&path, "/images/%s/history", id) < 0) {
		path = NULL;
		sl_error_nomem(err);
		return NULL;
	}
	return get_json(engine, "the engine's history of an image", path, err);
}

int sl_engine_identify(struct sl_engine *engine, struct sl_error *err)
{
	if (engine->id)
		return 0;
	sl_autojson json_t *info = sl_engine_info(engine, err);
	const char *id = sl_json_str(info, "ID");
	if (!info)
		return -1;
	engine->id = strdup(id ? id : "");
	return engine->id ? 0 : sl_error_nomem(err);
}

/* Where the engine keeps its things: ROOT in ROOT/overlay2/CACHE-ID/diff.  An image
 * without layers has no such directory; then the engine is asked. */
static int take_store(const struct sl_engine *engine, const json_t *info, struct sl_image *image)
{
	const char *upper = sl_json_str(json_object_get(json_object_get(info, "GraphDriver"), "Data"), "UpperDir");
	const char *end = upper ? strstr(upper, "/overlay2/") : NULL;
	sl_autojson json_t *engine_info = upper ? NULL : sl_engine_info(engine, NULL);
	const char *root = sl_json_str(engine_info, "DockerRootDir");
	if (end && *upper == '/')
		image->store = strndup(upper, (size_t)(end - upper));
	else if (root && *root == '/')
		image->store = strdup(root);
	else
		return 0;
	return image->store ? 0 : -1;
}

static int take_inspect(const struct sl_engine *engine, const json_t *info, struct sl_image *image,
			struct sl_error *err)
{
	const char *id = sl_json_str(info, "Id"), *os = sl_json_str(info, "Os");
	const char *arch = sl_json_str(info, "Architecture"), *variant = sl_json_str(info, "Variant");
	const json_t *layers = json_object_get(json_object_get(info, "RootFS"), "Layers");
	if (!id || !os || !arch)
		return sl_error_set(err, SL_FAILED, "the engine's answer about image '%s' lacks Id, Os or Architecture",
				    image->requested);
	/* podman leaves the prefix away */
	if (asprintf(&image->id, "%s%s", strchr(id, ':') ? "" : "sha256:", id) < 0)
		image->id = NULL;
	image->os = strdup(os);
	image->architecture = strdup(arch);
	if (variant && *variant)
		image->variant = strdup(variant);
	image->engine_size = sl_json_int(info, "Size", 0);
	if (!image->id || !image->os || !image->architecture)
		return sl_error_nomem(err);
	/* with the containerd image store (API 1.48 and later say so by a Descriptor,
	 * earlier ones by a repo digest that equals it) the ID is a manifest's or an
	 * index's digest, and only the export tells the config's */
	const char *driver = sl_json_str(json_object_get(info, "GraphDriver"), "Name");
	image->packed = json_is_object(json_object_get(info, "Descriptor")) || !driver || !*driver || !strcmp(driver, "overlayfs");
	if (!image->packed)
		sl_digest_parse(image->id, &image->config);
	if (driver && !strcmp(driver, "overlay2") && take_store(engine, info, image) < 0)
		return sl_error_nomem(err);
	if (layers && sl_image_set_layers(image, layers, err) < 0)
		return -1;
	if (!layers)
		return sl_image_set_layers(image, NULL, err);
	return 0;
}

int sl_engine_inspect(const struct sl_engine *engine, const char *reference, struct sl_image *image,
		      struct sl_error *err)
{
	*image = (struct sl_image){ 0 };
	struct sl_reference parsed;
	struct sl_error bad = SL_ERROR_INIT;
	bool valid = sl_reference_parse(reference, &parsed, &bad) == 0;
	/* an ID is no reference, but the engine knows it: ask, to give the better error */
	if (!valid && strspn(reference, "0123456789abcdefsh:") != strlen(reference)) {
		if (err)
			*err = bad;
		return -1;
	}
	image->requested = strdup(reference);
	image->name = valid ? sl_reference_canonical(&parsed) : strdup("");
	if (valid)
		sl_reference_release(&parsed);
	sl_autofree char *path = NULL;
	if (!image->requested || !image->name || asprintf(&path, "/images/%s/json", reference) < 0) {
		path = NULL;
		sl_image_release(image);
		return sl_error_nomem(err);
	}
	sl_autojson json_t *info = get_json(engine, "the engine's answer about an image", path, err);
	int rc = -1;
	if (!info && err && err->status == SL_NOT_FOUND)
		sl_error_set(err, SL_NOT_FOUND, "no image '%s' in the engine at %s; build it, or see 'docker images'",
			     reference, engine->endpoint.url);
	else if (info && (!valid || (!is_named(info, image->name) && is_id(info, reference))))
		refuse_id(info, reference, err);
	else if (info)
		rc = take_inspect(engine, info, image, err);
	if (rc < 0)
		sl_image_release(image);
	return rc;
}

/* @text with everything but unreserved characters as %XX; NULL without memory. */
static char *escape(const char *text)
{
	sl_autobuf struct sl_buf buf = SL_BUF_INIT;
	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;
		if (isalnum(c) || strchr("-._~", c))
			sl_buf_add(&buf, text, 1);
		else
			sl_buf_printf(&buf, "%%%02X", c);
	}
	return buf.failed ? NULL : sl_buf_steal(&buf);
}

json_t *sl_engine_containers(const struct sl_engine *engine, const char *label, struct sl_error *err)
{
	sl_autojson json_t *filter = label ? json_pack("{s:[s]}", "label", label) : json_object();
	sl_autofree char *text = filter ? json_dumps(filter, JSON_COMPACT) : NULL;
	sl_autofree char *escaped = text ? escape(text) : NULL;
	sl_autofree char *path = NULL;
	if (!escaped || asprintf(&path, "/containers/json?all=1&filters=%s", escaped) < 0) {
		path = NULL;
		sl_error_nomem(err);
		return NULL;
	}
	json_t *list = get_json(engine, "the engine's list of containers", path, err);
	if (list && !json_is_array(list)) {
		json_decref(list);
		sl_error_set(err, SL_FAILED, "the engine's list of containers is not a list");
		return NULL;
	}
	return list;
}

struct sl_http_response *sl_engine_save(const struct sl_engine *engine, const struct sl_image *images, size_t n,
					struct sl_error *err)
{
	sl_autobuf struct sl_buf path = SL_BUF_INIT;
	sl_buf_printf(&path, "%s/images/get?", engine->api);
	int64_t size = 0;
	for (size_t i = 0; i < n; i++) {
		sl_buf_printf(&path, "%snames=%s", i ? "&" : "", images[i].id);
		size += images[i].engine_size;
	}
	if (path.failed) {
		sl_error_nomem(err);
		return NULL;
	}
	int status = 0;
	/* the daemon writes every layer to a temporary folder before the first byte
	 * comes: silence in proportion to the size is normal */
	int64_t silence = SL_HTTP_SILENCE + size / 5000;
	struct sl_http_response *response = sl_http_open(&engine->endpoint, "GET", path.data, NULL, 0, NULL, silence, &status, err);
	if (!response || status == 200)
		return response;
	sl_autobuf struct sl_buf answer = SL_BUF_INIT;
	answer.max = 65536;
	const void *data;
	ssize_t len;
	while ((len = sl_http_read(response, &data, SL_HTTP_SILENCE, NULL)) > 0)
		if (sl_buf_add(&answer, data, (size_t)len) < 0)
			break;
	sl_http_close(response);
	sl_engine_refused(status, &answer, err);
	return NULL;
}
