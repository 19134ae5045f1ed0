/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/variables.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

extern char **environ;

static int compare(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

int sl_variables_list(struct sl_strv *names, struct sl_error *err)
{
	for (char **at = environ; *at; at++) {
		if (strncmp(*at, "DOCKER_", 7) != 0 && strncmp(*at, "MINIKUBE_", 9) != 0)
			continue;
		sl_autofree char *name = strndup(*at, strcspn(*at, "="));
		if (!name || sl_strv_add(names, name) < 0)
			return sl_error_nomem(err);
	}
	if (names->n)
		qsort(names->items, names->n, sizeof(names->items[0]), compare);
	return 0;
}

/* Those whose effect does not depend on others. */
static const char *const plain[][2] = {
	{ "DOCKER_CONFIG", "docker's configuration and contexts are there" },
	{ "DOCKER_API_VERSION", "the API version is this one, not agreed upon" },
	{ "DOCKER_BUILDKIT", "docker build's alone" },
	{ "DOCKER_DEFAULT_PLATFORM", "docker build's and run's alone" },
	{ "MINIKUBE_ACTIVE_DOCKERD", "docker is switched to the engine of this minikube profile" },
	{ "MINIKUBE_HOME", "minikube's profiles and machines are there" },
	{ "MINIKUBE_PROFILE", "the cluster is this profile, unless --cluster, -p or --kube-context says otherwise" },
};

const char *sl_variable_effect(const char *name, bool chosen, const char *evidence)
{
	const char *value = getenv(name), *host = getenv("DOCKER_HOST");
	bool by_host = evidence && !strcmp(evidence, "DOCKER_HOST");
	if (!value || !*value)
		return "none: it is empty";
	for (size_t i = 0; i < sizeof(plain) / sizeof(plain[0]); i++)
		if (!strcmp(plain[i][0], name))
			return plain[i][1];
	if (!strncmp(name, "MINIKUBE_EXISTING_", 18))
		return "what docker-env put aside, and docker-env -u brings back";
	if (!strcmp(name, "DOCKER_HOST"))
		return chosen ? "none: an option says otherwise" : "it is the engine";
	if (!strcmp(name, "DOCKER_CONTEXT"))
		return chosen ? "none: an option says otherwise" : host && *host ? "none: DOCKER_HOST goes before it" : "the engine is this context's";
	if (!strcmp(name, "DOCKER_TLS_VERIFY") || !strcmp(name, "DOCKER_TLS") || !strcmp(name, "DOCKER_CERT_PATH")) {
		if (!by_host && !chosen)
			return "none: a context brings its own, and a socket needs none";
		if (host && !strncmp(host, "unix:", 5))
			return "none: a socket needs no TLS";
		return !strcmp(name, "DOCKER_CERT_PATH") ? "the certificates are there" : "TLS to the engine";
	}
	return "none here";
}
