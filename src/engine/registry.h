/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_ENGINE_REGISTRY_H
#define SL_ENGINE_REGISTRY_H

/*
 * A registry on the loopback, inside this process, to which an engine pushes (OCI
 * distribution spec, "Push"; libmicrohttpd).  It keeps manifests and configs, and
 * hands layers over as they arrive; nothing can be pulled from it.
 *
 *	1. sl_registry_start(); whoever shows the credential has reached this process;
 *	2. for each push: sl_registry_round() says which layers are wanted, then the
 *	   engine is told to push, and when it is done sl_registry_over();
 *	3. meanwhile, in one thread: sl_registry_next() and sl_registry_data().
 *
 * Every blob is hashed; one that does not match its digest is refused.
 */

#include <sys/types.h>

#include "base/buf.h"
#include "base/cancel.h"
#include "engine/registry_identity.h"
#include "image/digest.h"

struct sl_registry;

/* What the engine is told to have been pushed before. */
struct sl_registry_round {
	/* the first round: every layer whose digest the engine knows, for the manifest
	 * then tells which layers the image has; what it uploads all the same is lost */
	bool all;
	struct sl_digest config;        /* of that, never the config; may be empty */
	/* the second: of these everything but the wanted ones */
	const struct sl_digest *layers; /* borrowed while the round lasts */
	const bool *wanted;
	size_t n;
};

/* A wanted layer that arrives. */
struct sl_registry_blob {
	size_t layer;            /* of the round's */
	struct sl_digest digest; /* of its bytes, which need not be the one that was asked for */
	int64_t size;            /* bytes */
	const char *media_type;  /* by its first bytes: SL_MEDIA_LAYER... */
};

struct sl_registry *sl_registry_start(const struct sl_registry_identity *identity, struct sl_error *err) SL_MUST_CHECK;
/* Nobody waits here any more: requests in flight end.  Both: NULL is fine. */
void sl_registry_stop_serving(struct sl_registry *registry);
/* And free it, once the engine has been told to stop. */
void sl_registry_stop(struct sl_registry *registry);

/* "127.0.0.1:PORT" */
const char *sl_registry_host(const struct sl_registry *registry);

/* Has somebody shown the credential? */
bool sl_registry_was_reached(struct sl_registry *registry);

void sl_registry_round(struct sl_registry *registry, const struct sl_registry_round *round);

/* The push has ended, well or not.  From any thread. */
void sl_registry_over(struct sl_registry *registry);

/* Wait for the next wanted layer: 1, or 0 when the push is over.  SL_TIMEOUT when
 * nothing at all arrives for @silence_ms. */
int sl_registry_next(struct sl_registry *registry, struct sl_registry_blob *blob, int64_t silence_ms,
		     const struct sl_cancel *cancel, struct sl_error *err) SL_MUST_CHECK;

/* Its next bytes, at *data until the next call; 0 at its end.  What is not read is
 * passed over by the next sl_registry_next(). */
ssize_t sl_registry_data(struct sl_registry *registry, const void **data, int64_t silence_ms, const struct sl_cancel *cancel,
			 struct sl_error *err) SL_MUST_CHECK;

/* A manifest or config that was pushed, by its digest or (a manifest) its tag; NULL:
 * none.  Borrowed; not while a push lasts. */
const struct sl_buf *sl_registry_document(struct sl_registry *registry, const char *reference);

#endif
