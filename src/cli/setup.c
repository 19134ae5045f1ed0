/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "cli/cli.h"

static int open_engine(struct sl_cli *cli, const char *host, const char *context, struct sl_engine *engine,
		       struct sl_error *err)
{
	const struct sl_engine_options options = { .host = host, .context = context };
	struct sl_location location;
	if (sl_engine_locate(&options, &location, err) < 0)
		return -1;
	int rc = sl_engine_open(engine, &location, &cli->cancel, err);
	if (rc < 0) {
		sl_engine_release(engine);
		sl_error_wrap(err, "engine (%s)", location.evidence);
	}
	sl_location_release(&location);
	return rc;
}

int sl_cli_engine(struct sl_cli *cli, struct sl_error *err)
{
	if (cli->engine.version)
		return 0;
	return open_engine(cli, cli->docker_host, cli->docker_context, &cli->engine, err);
}

/* KIND_CLUSTER_NAME stands for --cluster, unless the context is chosen by hand. */
static char *cluster_from_environment(const struct sl_cli *cli)
{
	const char *env = getenv("KIND_CLUSTER_NAME");
	char *text = NULL;
	if (cli->cluster_name || cli->kube_context || !env || !*env)
		return NULL;
	return asprintf(&text, "kind/%s", env) < 0 ? NULL : text;
}

int sl_cli_cluster(struct sl_cli *cli, struct sl_error *err)
{
	const struct sl_engine *engine = &cli->engine;
	if (cli->cluster.name)
		return 0;
	if (cli->node_engine) {
		if (open_engine(cli, cli->node_engine, NULL, &cli->node_engine_open, err) < 0)
			return sl_error_wrap(err, "--node-engine");
		engine = &cli->node_engine_open;
	} else if (sl_cli_engine(cli, err) < 0) {
		return -1;
	}
	sl_autofree char *from_env = cluster_from_environment(cli);
	const struct sl_cluster_options options = {
		.kubeconfig = cli->kubeconfig,
		.kube_context = cli->kube_context,
		.cluster = cli->cluster_name ? cli->cluster_name : from_env,
		.nodes = &cli->nodes,
	};
	return sl_cluster_select(engine, &options, &cli->cluster, err);
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
