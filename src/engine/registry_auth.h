/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_ENGINE_REGISTRY_AUTH_H
#define SL_ENGINE_REGISTRY_AUTH_H

/*
 * Showing a registry who asks: Basic, or a Bearer token from where the registry says
 * (distribution's "Token Authentication"), with the credentials that docker's
 * configuration has for it, or anonymously.  Credentials never leave a TLS registry for
 * a plain HTTP realm.
 */

#include "engine/credentials.h"
#include "engine/http.h"

struct sl_registry_auth {
	const char *host, *base;      /* of the registry; borrowed */
	const struct sl_cancel *cancel; /* borrowed */
	struct sl_credentials credentials;
	bool looked;                  /* for them */
	char *authorization;          /* the header's value for the next request; NULL: none yet */
};

void sl_registry_auth_release(struct sl_registry_auth *auth);

/* Act on a 401, of which @head are the headers: 1 when auth->authorization is a new
 * one, 0 when there is nothing better to show, -1 with @err. */
int sl_registry_auth_answer(struct sl_registry_auth *auth, struct sl_http_session *session, const struct sl_buf *head,
			    struct sl_error *err) SL_MUST_CHECK;

#endif
