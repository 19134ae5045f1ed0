/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_ENGINE_ENGINE_H
#define SL_ENGINE_ENGINE_H

/*
 * A Docker engine, or what speaks its API: where it is, what it says of its
 * images and containers, and processes inside containers.
 *
 *	1. sl_engine_locate() (engine/locate.h) decides the address;
 *	2. sl_engine_open() asks the engine for its versions;
 *	3. the rest may be called from several threads.
 */

#include <jansson.h>

#include "base/remote.h"
#include "engine/http.h"
#include "image/image.h"

struct sl_engine {
	struct sl_endpoint endpoint;
	char *evidence;       /* why this address: "DOCKER_HOST", ... */
	char api[16];         /* "/v1.41" */
	const char *program;  /* "docker" or "podman": its command; static */
	char *version;        /* the server's own: "20.10.24" */
	char *architecture;   /* Go's spelling: amd64; NULL until sl_engine_ask_version() */
	char *id;             /* of the engine itself; NULL until sl_engine_identify() */
};

/* How long an engine may take for its first answer; milliseconds.  A busy one
 * needs more than the user who only asks where things are wants to wait. */
#define SL_ENGINE_PATIENCE 10000
#define SL_ENGINE_IMPATIENCE 1500

/* Connect to where @location says and agree on an API version (DOCKER_API_VERSION
 * decides where it is set, as with docker).  SL_TIMEOUT when there is no answer
 * within @patience_ms.  @cancel is borrowed. */
int sl_engine_open(struct sl_engine *engine, const struct sl_location *location, int64_t patience_ms,
		   const struct sl_cancel *cancel, struct sl_error *err) SL_MUST_CHECK;
void sl_engine_release(struct sl_engine *engine);

/* Have engine->architecture filled in, and the version as the engine itself tells it. */
int sl_engine_ask_version(struct sl_engine *engine, struct sl_error *err) SL_MUST_CHECK;

/* What the engine says of image @reference: requested, name (canonical), id,
 * platform, layers, and the config's digest where the engine's ID is it.
 * SL_NOT_FOUND when it has no such image; SL_USAGE when @reference is an ID. */
int sl_engine_inspect(const struct sl_engine *engine, const char *reference, struct sl_image *image,
		      struct sl_error *err) SL_MUST_CHECK;

/* What the engine says of itself (GET /info).  The caller decrefs; NULL on
 * failure. */
json_t *sl_engine_info(const struct sl_engine *engine, struct sl_error *err) SL_MUST_CHECK;

/* What the engine did to make image @id, newest first, with sizes.  The caller
 * decrefs; NULL on failure. */
json_t *sl_engine_history(const struct sl_engine *engine, const char *id, struct sl_error *err) SL_MUST_CHECK;

/* Learn engine->id, once ("" when it names none). */
int sl_engine_identify(struct sl_engine *engine, struct sl_error *err) SL_MUST_CHECK;

/* The images with a name, as the API lists them.  The caller decrefs; NULL on
 * failure. */
json_t *sl_engine_images(const struct sl_engine *engine, struct sl_error *err) SL_MUST_CHECK;

/* Containers (running and stopped) that have label @label ("key" or "key=value";
 * NULL: all), as the API lists them.  The caller decrefs; NULL on failure. */
json_t *sl_engine_containers(const struct sl_engine *engine, const char *label, struct sl_error *err) SL_MUST_CHECK;

/* Start @argv (NULL-terminated) in container @id with its three streams
 * attached.  The caller frees the remote; NULL on failure. */
struct sl_remote *sl_engine_exec(const struct sl_engine *engine, const char *id, const char *const *argv,
				 struct sl_error *err) SL_MUST_CHECK;

/* Attach to the three streams of container @id, which has not been started yet.  The
 * remote cannot tell an exit code; the container is not touched when it is freed. */
struct sl_remote *sl_engine_attach(const struct sl_engine *engine, const char *id, struct sl_error *err) SL_MUST_CHECK;

/* Begin GET /images/get for the images' IDs; see sl_http_open(). */
struct sl_http_response *sl_engine_save(const struct sl_engine *engine, const struct sl_image *images, size_t n,
					struct sl_error *err) SL_MUST_CHECK;

/* An error from an answer that is no success: its JSON "message", else its
 * text. */
int sl_engine_refused(int status, const struct sl_buf *answer, struct sl_error *err);

#endif
