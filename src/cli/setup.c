/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>

#include "cli/cli.h"

/* The place that the options mean, as they are now. */
static struct sl_place *place_of(struct sl_cli *cli)
{
	cli->place.options = (struct sl_place_options){
		.docker_host = cli->docker_host,
		.docker_context = cli->docker_context,
		.node_engine = cli->node_engine,
		.kubeconfig = cli->kubeconfig,
		.kube_context = cli->kube_context,
		.cluster = cli->cluster_name,
		.profile = cli->profile,
		.nodes = &cli->nodes,
		.patience = cli->patience,
	};
	cli->place.cancel = &cli->cancel;
	cli->place.engine = &cli->engine;
	cli->place.cluster = &cli->cluster;
	return &cli->place;
}

int sl_cli_engine(struct sl_cli *cli, struct sl_error *err)
{
	return sl_place_engine(place_of(cli), err);
}

int sl_cli_cluster(struct sl_cli *cli, struct sl_error *err)
{
	return sl_place_cluster(place_of(cli), err);
}

int sl_cli_switched(struct sl_cli *cli, struct sl_switched *out, struct sl_error *err)
{
	return sl_place_switched(place_of(cli), out, err);
}

int sl_cli_kubectl(struct sl_cli *cli, const char *namespace, struct sl_kubectl *out, struct sl_error *err)
{
	return sl_place_kubectl(place_of(cli), namespace, out, err);
}

int sl_cli_kubectl_reading(struct sl_cli *cli, char **context, struct sl_kubectl *out, struct sl_error *err)
{
	return sl_place_kubectl_reading(place_of(cli), context, out, err);
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
