/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "cluster/provider.h"

/*
 * Clusters that come with a desktop application or a distribution's service: their
 * nodes are out of reach, but where the kubelet uses the very engine that builds,
 * there is nothing to load.  None of them was at hand when this was written; what
 * is looked at is from their sources and documentation.
 */

struct appliance {
	const char *name;
	const char *context;   /* its context's name, or the beginning of it before '-' */
	const char *server;    /* or the host that only it has; NULL */
	int port;              /* and its port; 0: any */
	/* of the engine's answer about itself: a field, and what is in it, where its
	 * kubelet uses that engine */
	const char *field, *contains;
	const char *advice;    /* otherwise */
};

static const struct appliance appliances[] = {
	{ "Docker Desktop's own Kubernetes", "docker-desktop", "kubernetes.docker.internal", 0, "OperatingSystem", "Docker Desktop",
	  "whose images are those of Docker Desktop's engine; point docker at it (docker context use desktop-linux)" },
	{ "colima's Kubernetes", "colima", NULL, 0, "Name", "colima",
	  "whose images are those of colima's engine; point docker at it (docker context use colima), or with colima's "
	  "containerd: colima nerdctl -- -n k8s.io load" },
	{ "Rancher Desktop's Kubernetes", "rancher-desktop", NULL, 0, "Name", "rancher-desktop",
	  "whose images are those of its own engine; point docker at it (docker context use rancher-desktop), or with its "
	  "containerd: nerdctl -n k8s.io load" },
	{ "microk8s", "microk8s", NULL, 16443, NULL, NULL,
	  "which sidelift does not reach; import there: docker save IMAGE | sudo microk8s ctr image import -" },
	{ "k3s", "default", NULL, 6443, NULL, NULL,
	  "it seems, which sidelift does not reach; import there: docker save IMAGE | sudo k3s ctr images import -" },
};

static bool is_local(const char *host)
{
	return !strcmp(host, "localhost") || !strncmp(host, "127.", 4) || !strcmp(host, "::1");
}

static const struct appliance *find(const struct sl_context *context)
{
	for (size_t i = 0; i < sizeof(appliances) / sizeof(appliances[0]); i++) {
		const struct appliance *item = &appliances[i];
		size_t len = strlen(item->context);
		bool named = !strncmp(context->name, item->context, len) && (!context->name[len] || context->name[len] == '-');
		bool there = is_local(context->host) || (item->server && !strcmp(context->host, item->server));
		if (named && there && (!item->port || item->port == context->port))
			return item;
	}
	return NULL;
}

int sl_appliance_look(const struct sl_context *context, const struct sl_engine *engine, char **name, char **shared,
		      const char **advice, struct sl_error *err)
{
	const struct appliance *item = find(context);
	*name = *shared = NULL;
	*advice = NULL;
	if (!item)
		return 0;
	if (!(*name = strdup(item->name)))
		return sl_error_nomem(err);
	sl_autojson json_t *info = engine && engine->version && item->field ? sl_engine_info(engine, NULL) : NULL;
	const char *value = info ? sl_json_str(info, item->field) : NULL;
	if (!value || !strstr(value, item->contains)) {
		*advice = item->advice;
		return 0;
	}
	if (asprintf(shared, "its kubelet uses the engine at %s (%s: %s)", engine->endpoint.url, item->field, value) < 0) {
		*shared = NULL;
		return sl_error_nomem(err);
	}
	return 0;
}
