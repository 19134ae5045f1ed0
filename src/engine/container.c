/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/container.h"

#include <string.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/log.h"

/* A container that was only created for so long is nobody's any more; seconds. */
#define ABANDONED 60

/* The status, or -1; a refusal is told. */
static int ask(const struct sl_engine *engine, const char *method, const char *path, const char *body, struct sl_buf *answer, struct sl_error *err)
{
	sl_autofree char *full = NULL;
	if (asprintf(&full, "%s/containers/%s", engine->api, path) < 0) {
		full = NULL;
		return sl_error_nomem(err);
	}
	int status = sl_http_request(&engine->endpoint, method, full, body, answer, err);
	if (status >= 300 && status != 304)
		sl_engine_refused(status, answer, err);
	return status;
}

char *sl_container_create(const struct sl_engine *engine, const json_t *spec, struct sl_error *err)
{
	sl_autobuf struct sl_buf answer = SL_BUF_INIT;
	sl_autofree char *text = json_dumps(spec, JSON_COMPACT);
	if (!text) {
		sl_error_nomem(err);
		return NULL;
	}
	if (ask(engine, "POST", "create", text, &answer, err) != 201)
		return NULL;
	sl_autojson json_t *json = sl_json_parse(answer.data, answer.len, "the engine's answer", err);
	const char *id = sl_json_str(json, "Id");
	if (json && !id)
		sl_error_set(err, SL_FAILED, "the engine's answer names no container");
	return id ? strdup(id) : NULL;
}

static int do_with(const struct sl_engine *engine, const char *method, const char *id, const char *what, struct sl_error *err)
{
	sl_autobuf struct sl_buf answer = SL_BUF_INIT;
	char path[160];
	snprintf(path, sizeof(path), "%s%s", id, what);
	int status = ask(engine, method, path, *method == 'P' ? "" : NULL, &answer, err);
	/* 409: the engine is removing it already */
	bool gone = *method == 'D' && (status == 404 || status == 409);
	return (status >= 200 && status < 300) || status == 304 || gone ? 0 : -1;
}

int sl_container_start(const struct sl_engine *engine, const char *id, struct sl_error *err)
{
	return do_with(engine, "POST", id, "/start", err);
}

int sl_container_remove(const struct sl_engine *engine, const char *id, struct sl_error *err)
{
	return do_with(engine, "DELETE", id, "?force=1&v=1", err);
}

void sl_container_sweep(const struct sl_engine *engine)
{
	sl_autojson json_t *list = sl_engine_containers(engine, SL_CONTAINER_LABEL, NULL);
	const json_t *entry;
	size_t i;
	json_array_foreach(list, i, entry) {
		const char *id = sl_json_str(entry, "Id"), *state = sl_json_str(entry, "State");
		if (id && state && strcmp(state, "running") != 0 && time(NULL) - sl_json_int(entry, "Created", 0) > ABANDONED &&
		    sl_container_remove(engine, id, NULL) == 0)
			sl_info("removed helper container %.12s, which another run left", id);
	}
}
