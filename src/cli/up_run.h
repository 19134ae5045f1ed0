/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_CLI_UP_RUN_H
#define SL_CLI_UP_RUN_H

/* What `sidelift up` (cli/cmd_up.c) and its --watch (cli/up_watch.c) do, once. */

#include "cli/cli.h"
#include "flow/up.h"

struct sl_up_options {
	struct sl_strv paths, builds, commands;
	const char *kustomize, *policy, *wait, *namespace, *via;
	bool replace, server_side, dry_run, watch;
};

enum sl_up_phase { SL_UP_READ, SL_UP_BUILD, SL_UP_LOAD, SL_UP_APPLY, SL_UP_ROLLOUT, SL_UP_PHASES };

extern const char *const sl_up_phase_names[SL_UP_PHASES];

struct sl_up_run {
	struct sl_up up;
	const struct sl_up_options *given;
	struct sl_strv globals, extra; /* the builder's options */
	double seconds[SL_UP_PHASES];
	enum sl_up_phase phase;        /* that runs */
	int64_t since;                 /* when it began (base/cancel.h) */
};

/* All of it, once: read, build, load, apply, wait.  run->since is when it begins. */
int sl_up_run_steps(struct sl_up_run *run, struct sl_cli *cli, struct sl_error *err) SL_MUST_CHECK;

/* Again and again, with engine and cluster as they are now; -1 at Ctrl-C. */
int sl_up_run_watch(struct sl_up_run *run, struct sl_cli *cli, struct sl_error *err) SL_MUST_CHECK;

/* For the report. */
bool sl_up_nothing_sent(const struct sl_load *load);
json_t *sl_up_workload_json(const struct sl_up_workload *workload);

#endif
