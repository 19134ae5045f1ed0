/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_ENGINE_PUSH_H
#define SL_ENGINE_PUSH_H

/* Having an engine push an image to a registry, and what it takes. */

#include "engine/engine.h"

struct sl_push {
	const struct sl_engine *engine; /* borrowed */
	const char *host;               /* of the registry; borrowed */
	char *credential;               /* as the header X-Registry-Auth has it */
	char *greeting;                 /* and as a body */
	char *repository;               /* HOST/sidelift */
};

int sl_push_init(struct sl_push *push, const struct sl_engine *engine, const char *host, const char *secret, struct sl_error *err) SL_MUST_CHECK;
void sl_push_release(struct sl_push *push);

/* Have the engine show the credential at the registry, and nothing else.  SL_OK
 * says nothing about who answered it. */
int sl_push_greet(const struct sl_push *push, struct sl_error *err) SL_MUST_CHECK;

/* Is the engine on this machine, so that it may reach its loopback at all? */
bool sl_push_is_near(const struct sl_engine *engine);

/* Give image @id the name REPOSITORY:@tag. */
int sl_push_tag(const struct sl_push *push, const char *id, const char *tag, struct sl_error *err) SL_MUST_CHECK;

/* Take the name @reference away, but not the image, even where it is its last name:
 * as long as there is an image called @other, which may be another one by now.  It is done even after an
 * interruption.  A name that is not there is no error. */
int sl_push_untag(const struct sl_engine *engine, const char *reference, const char *other, struct sl_error *err) SL_MUST_CHECK;

/* Begin to push REPOSITORY:@tag; what the engine then tells is read by
 * sl_push_follow().  @image says which platform it is. */
struct sl_http_response *sl_push_begin(const struct sl_push *push, const char *tag, const struct sl_image *image,
				       const struct sl_endpoint *endpoint, struct sl_error *err) SL_MUST_CHECK;

/* Read to the end; SL_FAILED with what the engine said when it did not succeed. */
int sl_push_follow(struct sl_http_response *response, int64_t silence_ms, struct sl_error *err) SL_MUST_CHECK;

#endif
