/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "cli/engines.h"

/* -p, KIND_CLUSTER_NAME and MINIKUBE_PROFILE stand for --cluster; the environment
 * does not when the context is chosen by hand. */
static char *cluster_from_environment(const struct sl_cli *cli)
{
	const char *kind = getenv("KIND_CLUSTER_NAME"), *minikube = getenv("MINIKUBE_PROFILE");
	char *text = NULL;
	int rc = -1;
	if (cli->profile)
		rc = asprintf(&text, "minikube/%s", cli->profile);
	else if (cli->cluster_name || cli->kube_context)
		return NULL;
	else if (kind && *kind)
		rc = asprintf(&text, "kind/%s", kind);
	else if (minikube && *minikube)
		rc = asprintf(&text, "minikube/%s", minikube);
	return rc < 0 ? NULL : text;
}

int sl_cli_cluster(struct sl_cli *cli, struct sl_error *err)
{
	if (cli->cluster.name)
		return 0;
	struct sl_node_engines engines = { .cli = cli };
	const struct sl_cluster_sources sources = {
		.next = sl_node_engines_next,
		.ctx = &engines,
		.images = &cli->engine,
		.cancel = &cli->cancel,
	};
	sl_autofree char *from_env = cluster_from_environment(cli);
	const struct sl_cluster_options options = {
		.kubeconfig = cli->kubeconfig,
		.kube_context = cli->kube_context,
		.cluster = cli->cluster_name ? cli->cluster_name : from_env,
		.nodes = &cli->nodes,
	};
	int rc = sl_cluster_select(&sources, &options, &cli->cluster, err);
	sl_node_engines_release(&engines);
	return rc;
}

int sl_cli_kubectl(struct sl_cli *cli, const char *namespace, struct sl_kubectl *out, struct sl_error *err)
{
	if (sl_cli_cluster(cli, err) < 0)
		return -1;
	if (!cli->cluster.context)
		return sl_error_set(err, SL_FAILED, "%s cluster '%s' was not found by a kube context, and kubectl needs one; choose it: --kube-context NAME",
				    cli->cluster.provider, cli->cluster.name);
	*out = (struct sl_kubectl){ cli->kubeconfig, cli->cluster.context, namespace, &cli->cancel };
	return 0;
}

int sl_cli_flush(struct sl_error *err)
{
	if (fflush(stdout) == EOF || ferror(stdout))
		return sl_error_errno(err, errno ? errno : EIO, "standard output");
	return 0;
}

const char *sl_human_bytes(uint64_t bytes, char text[16])
{
	static const char *const units[] = { "kB", "MB", "GB", "TB" };
	double value = (double)bytes / 1000;
	size_t unit = 0;
	while (value >= 1000 && unit < 3) {
		value /= 1000;
		unit++;
	}
	if (bytes < 1000)
		snprintf(text, 16, "%u B", (unsigned)bytes);
	else
		snprintf(text, 16, "%.1f %s", value, units[unit]);
	return text;
}
