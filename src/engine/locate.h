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
#include <stddef.h>

#include "base/error.h"

struct sl_engine_options {
	const char *host;    /* --docker-host, or NULL */
	const char *context; /* --docker-context, or NULL */
};

struct sl_location {
	char *url;
	char *context;  /* docker's, that it is from; or NULL */
	char *evidence; /* "DOCKER_HOST", "context 'colima' (DOCKER_CONTEXT)" */
	/* TLS; NULL without.  Files that exist, or are told to. */
	char *ca, *cert, *key;
	bool tls, verify;
};

void sl_location_release(struct sl_location *location);

/* SL_USAGE when both a host and a context are given; SL_FAILED when the context
 * that is meant does not exist or cannot be read, with the file's name. */
int sl_engine_locate(const struct sl_engine_options *options, struct sl_location *out, struct sl_error *err) SL_MUST_CHECK;

/* Engines other than the active one that may run the nodes, in this order: what
 * was active before minikube's docker-env (MINIKUBE_EXISTING_DOCKER_HOST); what
 * docker would take without DOCKER_HOST; the sockets of docker, rootless docker,
 * Docker Desktop, colima, Rancher Desktop, OrbStack and podman at which somebody
 * listens.  None has the address @active.  *out is an array of *n, to be released
 * and freed by sl_locations_free(). */
int sl_engine_locate_others(const char *active, struct sl_location **out, size_t *n, struct sl_error *err) SL_MUST_CHECK;
void sl_locations_free(struct sl_location *locations, size_t n);

#endif
