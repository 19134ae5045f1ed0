/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_ENGINE_CREDENTIALS_H
#define SL_ENGINE_CREDENTIALS_H

/*
 * What docker's configuration knows of a registry ($DOCKER_CONFIG/config.json, what
 * `docker login` writes): credHelpers, credsStore, auths, in docker's order.  Helpers
 * are programs, docker-credential-NAME, and speak docker-credential-helpers' protocol.
 */

#include "base/cancel.h"

struct sl_credentials {
	char *user, *secret; /* NULL: none */
	char *token;         /* instead: an identity token, to be exchanged for others (OAuth2) */
	char *origin;        /* "docker-credential-pass", a file's path */
};

/* Find those for @host (HOST[:PORT]): 1, or 0 when there are none.  A configuration
 * or helper that does not work is worth a warning, not an end; -1 only when
 * interrupted or out of memory. */
int sl_credentials_find(const char *host, const struct sl_cancel *cancel, struct sl_credentials *out, struct sl_error *err) SL_MUST_CHECK;
void sl_credentials_release(struct sl_credentials *credentials);

#endif
