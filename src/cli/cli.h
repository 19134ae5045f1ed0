/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_CLI_CLI_H
#define SL_CLI_CLI_H

/*
 * What the commands share: the global options as they were given, the cancel
 * token of the process, and the engine and cluster that the options mean.  One
 * file a command; each ends in a `const struct sl_command`, and one array serves
 * dispatch and help.
 */

#include "cli/options.h"
#include "flow/place.h"

struct sl_cli {
	/* global options */
	const char *docker_host, *docker_context, *node_engine, *kubeconfig, *kube_context, *cluster_name, *profile;
	const char *output, *progress, *timeout;
	struct sl_strv nodes;
	bool quiet, help, version;
	int verbose;
	/* for the commands */
	bool json; /* -o json */
	int64_t patience; /* milliseconds for an engine's first answer; 0: SL_ENGINE_PATIENCE */
	struct sl_cancel cancel;
	struct sl_engine engine;   /* empty until sl_cli_engine() */
	struct sl_cluster cluster; /* empty until sl_cli_cluster() */
	struct sl_place place;     /* how these two are found */
};

struct sl_command {
	const char *name;
	const char *usage;   /* what follows the name */
	const char *summary; /* one line, for the list */
	const char *help;    /* more, for its own help */
	const struct sl_option *options;
	size_t n_options;
	/* Returns the exit code; an error to be printed goes to @err (its status then
	 * decides, and the return value is ignored). */
	int (*run)(int argc, char **argv, struct sl_cli *cli, struct sl_error *err);
};

extern const struct sl_command sl_command_load;
extern const struct sl_command sl_command_up;
extern const struct sl_command sl_command_rewrite;
extern const struct sl_command sl_command_context;
extern const struct sl_command sl_command_docker_env;
extern const struct sl_command sl_command_images;
extern const struct sl_command sl_command_prune;

/* Parse a command's own options, mixed with the global ones, into @values. */
int sl_cli_parse(struct sl_cli *cli, const struct sl_command *command, int argc, char **argv, void *values,
		 int *first, struct sl_error *err) SL_MUST_CHECK;

/* What the global options mean (flow/place.h). */
int sl_cli_engine(struct sl_cli *cli, struct sl_error *err) SL_MUST_CHECK;
int sl_cli_cluster(struct sl_cli *cli, struct sl_error *err) SL_MUST_CHECK;
int sl_cli_switched(struct sl_cli *cli, struct sl_switched *out, struct sl_error *err) SL_MUST_CHECK;
int sl_cli_kubectl(struct sl_cli *cli, const char *namespace, struct sl_kubectl *out, struct sl_error *err) SL_MUST_CHECK;

int sl_cli_kubectl_reading(struct sl_cli *cli, char **context, struct sl_kubectl *out, struct sl_error *err) SL_MUST_CHECK;

/* "90s", "5m", "1500ms" or "90", in milliseconds; SL_USAGE when it is no time. */
int sl_cli_time(const char *text, int64_t *ms, struct sl_error *err) SL_MUST_CHECK;

/* Flush standard output; SL_FAILED when what was printed did not arrive. */
int sl_cli_flush(struct sl_error *err) SL_MUST_CHECK;

/* "12.3 MB" */
const char *sl_human_bytes(uint64_t bytes, char text[16]);

#endif
