/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_ENGINE_LOCATE_H
#define SL_ENGINE_LOCATE_H

/*
 * Which engine is the active one, as the docker CLI decides it (docker/cli,
 * cli/command/cli.go, resolveContextName): --docker-context or --docker-host,
 * DOCKER_HOST, DOCKER_CONTEXT, currentContext in $DOCKER_CONFIG/config.json, the
 * default socket.
 */

#include <stdbool.h>

#include "base/error.h"

struct sl_engine_options {
	const char *host;    /* --docker-host, or NULL */
	const char *context; /* --docker-context, or NULL */
};

struct sl_location {
	char *url;
	char *evidence; /* "DOCKER_HOST", "context 'colima' (DOCKER_CONTEXT)" */
	/* TLS; NULL without.  Files that exist, or are told to. */
	char *ca, *cert, *key;
	bool tls, verify;
};

void sl_location_release(struct sl_location *location);

/* SL_USAGE when both a host and a context are given; SL_FAILED when the context
 * that is meant does not exist or cannot be read, with the file's name. */
int sl_engine_locate(const struct sl_engine_options *options, struct sl_location *out, struct sl_error *err) SL_MUST_CHECK;

#endif
