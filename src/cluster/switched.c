/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster/switched.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "cluster/provider.h"

void sl_switched_release(struct sl_switched *switched)
{
	free(switched->why);
	*switched = (struct sl_switched){ 0 };
}

/* HOST:PORT of DOCKER_HOST; NULL when it has none. */
static char *address_of(const char *url)
{
	const char *at = strstr(url, "://");
	char *address = NULL;
	if (!at)
		return NULL;
	at += 3;
	size_t len = strcspn(at, "/");
	const char *user = memchr(at, '@', len);
	if (user) {
		len -= (size_t)(user + 1 - at);
		at = user + 1;
	}
	bool port = memchr(at, ':', len) != NULL;
	return asprintf(&address, "%.*s%s", (int)len, at, port ? "" : ":22") < 0 ? NULL : address;
}

static bool is_there(const struct sl_node *node, const char *address, bool ssh)
{
	char text[160];
	if (sl_strv_has(ssh ? &node->sshds : &node->dockers, address))
		return true;
	if (!ssh || !node->machine)
		return false;
	snprintf(text, sizeof(text), "%s:%d", node->machine->host, node->machine->port);
	return !strcmp(text, address);
}

static const struct sl_node *node_at(const struct sl_cluster *cluster, const char *address, bool ssh)
{
	for (size_t i = 0; i < cluster->n_nodes; i++)
		if (is_there(&cluster->nodes[i], address, ssh))
			return &cluster->nodes[i];
	return NULL;
}

static bool runs(const struct sl_cluster *cluster)
{
	for (size_t i = 0; i < cluster->n_nodes; i++)
		if (cluster->nodes[i].running)
			return true;
	return false;
}

static int judge(const struct sl_clusters *clusters, const char *url, const char *address, struct sl_switched *out)
{
	bool ssh = !strncmp(url, "ssh://", 6);
	const struct sl_cluster *ours = NULL, *other = NULL;
	for (size_t i = 0; i < clusters->n; i++) {
		const struct sl_cluster *cluster = &clusters->items[i];
		if (strcmp(cluster->provider, "minikube") != 0)
			continue;
		if (!strcmp(cluster->name, out->profile))
			ours = cluster;
		else if (address && node_at(cluster, address, ssh))
			other = cluster;
	}
	const struct sl_node *node = ours && address ? node_at(ours, address, ssh) : NULL;
	out->stale = true;
	if (node && runs(ours)) {
		out->stale = false;
		return asprintf(&out->why, "node '%s' of minikube cluster '%s' is there", node->name, ours->name);
	}
	if (other)
		return asprintf(&out->why, "that is where minikube cluster '%s' is now", other->name);
	if (ours && runs(ours))
		return asprintf(&out->why, "minikube cluster '%s' is at another address now", ours->name);
	if (ours)
		return asprintf(&out->why, "minikube cluster '%s' is stopped", ours->name);
	return asprintf(&out->why, "there is no minikube cluster '%s' any more", out->profile);
}

int sl_switched_look(const struct sl_engine *const *engines, size_t n, struct sl_switched *out, struct sl_error *err)
{
	const char *profile = getenv("MINIKUBE_ACTIVE_DOCKERD"), *url = getenv("DOCKER_HOST");
	struct sl_clusters clusters = { 0 };
	*out = (struct sl_switched){ 0 };
	if (!profile || !*profile || !url || !*url)
		return 0;
	out->profile = profile;
	int rc = sl_clusters_in_profiles(&clusters, err);
	for (size_t i = 0; rc == 0 && i < n; i++)
		rc = sl_clusters_in_containers(engines[i], &clusters, err);
	sl_autofree char *address = address_of(url);
	if (rc == 0 && judge(&clusters, url, address, out) < 0) {
		out->why = NULL;
		rc = sl_error_nomem(err);
	}
	sl_clusters_release(&clusters);
	return rc;
}
