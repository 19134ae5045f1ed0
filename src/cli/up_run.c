/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/up_run.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/guest.h"
#include "cli/progress.h"
#include "cli/push.h"
#include "cli/report.h"

const char *const sl_up_phase_names[SL_UP_PHASES] = { "read", "build", "load", "apply", "rollout" };

/* What took no time is not worth a line. */
#define WORTH_A_LINE 0.01 /* seconds */

static void next_phase(struct sl_up_run *run, const struct sl_cli *cli, int done)
{
	int64_t now = sl_now();
	run->seconds[done] = (double)(now - run->since) / 1000;
	run->since = now;
	if (!run->given->watch && !cli->quiet && run->seconds[done] >= WORTH_A_LINE)
		sl_progress_note(cli->progress, sl_up_phase_names[done], NULL, run->seconds[done]);
	run->phase = done < SL_UP_ROLLOUT ? (enum sl_up_phase)done + 1 : SL_UP_ROLLOUT;
}

/* "Waiting for deployment \"web\" rollout to finish: 1 of 2 updated replicas are available..." */
static void tell(void *ctx, const struct sl_up_workload *workload, const char *line)
{
	const struct sl_cli *cli = ctx;
	char what[300];
	const char *finish = strstr(line, "rollout to finish: ");
	snprintf(what, sizeof(what), "%s '%s'", workload->kind, workload->name);
	if (finish || strstr(line, "Waiting for "))
		sl_progress_note(cli->progress, what, finish ? finish + strlen("rollout to finish: ") : line, -1);
}

/* Into a registry instead: a load of its own, as it has no cluster. */
static int push(struct sl_up *up, struct sl_cli *cli, const char *way, struct sl_error *err)
{
	sl_autostrv struct sl_strv names = SL_STRV_INIT;
	struct sl_load load = { .engine = up->load.engine, .cancel = up->load.cancel };
	struct sl_via via = { 0 };
	struct sl_via_push push = { .via = &via, .load = &load };
	int rc = 0;
	for (size_t i = 0; rc == 0 && i < up->load.n_images; i++)
		rc = strchr(up->load.images[i].name, '@') ? 0 : sl_strv_add(&names, up->load.images[i].name);
	rc = rc < 0 ? sl_error_nomem(err) : sl_load_images(&load, &names, err);
	if (rc == 0)
		rc = sl_cli_via(cli, way, &via, err);
	if (rc == 0)
		rc = sl_cli_push_all(cli, &push, false, err);
	for (size_t i = 0; rc == 0 && i < push.n_images; i++)
		if (sl_strv_add(&up->pushed, push.images[i].name) < 0 || sl_strv_add(&up->references, push.images[i].pod_reference) < 0)
			rc = sl_error_nomem(err);
	sl_via_push_release(&push);
	sl_via_release(&via);
	sl_load_release(&load);
	return rc;
}

/* The guard comes before anything is sent or applied, also where there is nothing to
 * load. */
static int load(struct sl_up_run *run, struct sl_cli *cli, struct sl_error *err)
{
	struct sl_load *load = &run->up.load;
	if (sl_load_begin(load, err) < 0)
		return -1;
	if (sl_up_images(&run->up, err) < 0) {
		sl_load_leave_nodes(load);
		return -1;
	}
	load->exports = !run->given->dry_run && !cli->cluster.shared && !run->given->via;
	if (sl_load_open(load, err) < 0)
		return -1;
	if (run->given->dry_run || !load->n_images)
		return 0;
	if (run->given->via)
		return push(&run->up, cli, run->given->via, err);
	if (cli->cluster.shared)
		return 0;
	if (sl_load_plan(load, err) < 0)
		return -1;
	struct sl_progress *progress = sl_progress_start(load, cli->quiet ? "none" : cli->progress);
	int rc = sl_load_run(load, err);
	sl_progress_stop(progress);
	return rc;
}

/* A look at the cluster takes kubectl as long as the load takes the nodes: both at once. */
struct look {
	const struct sl_up *up;
	pthread_t thread;
	bool running;
	json_t *live;
	struct sl_error error;
};

static void *look_at_cluster(void *ctx)
{
	struct look *look = ctx;
	sl_guest_thread();
	look->live = sl_up_live(look->up, &look->error);
	return NULL;
}

static void begin_look(struct look *look)
{
	look->running = pthread_create(&look->thread, NULL, look_at_cluster, look) == 0;
}

static json_t *end_look(struct look *look, struct sl_error *err)
{
	if (look->running)
		pthread_join(look->thread, NULL);
	else
		look->live = sl_up_live(look->up, &look->error);
	if (!look->live && err)
		*err = look->error;
	return look->live;
}

int sl_up_run_steps(struct sl_up_run *run, struct sl_cli *cli, struct sl_error *err)
{
	struct sl_up *up = &run->up;
	bool dry = run->given->dry_run;
	run->phase = SL_UP_READ;
	if (!run->given->watch && !cli->quiet) {
		up->tell = tell;
		up->tell_ctx = cli;
	}
	if (sl_up_read(up, err) < 0)
		return -1;
	next_phase(run, cli, SL_UP_READ);
	if (!dry && sl_up_build(up, err) < 0)
		return -1;
	next_phase(run, cli, SL_UP_BUILD);
	struct look look = { .up = up };
	begin_look(&look);
	int loaded = load(run, cli, err);
	sl_autojson json_t *live = end_look(&look, loaded < 0 ? NULL : err);
	if (loaded < 0 || !live)
		return -1;
	next_phase(run, cli, SL_UP_LOAD);
	if (sl_up_mark(up, err) < 0 || sl_up_compare(up, live, err) < 0 || sl_up_apply(up, dry, err) < 0)
		return -1;
	next_phase(run, cli, SL_UP_APPLY);
	int rc = dry ? 0 : sl_up_wait(up, err);
	next_phase(run, cli, SL_UP_ROLLOUT);
	return rc;
}

/* ---- for the report ---- */

bool sl_up_nothing_sent(const struct sl_load *load)
{
	for (size_t k = 0; k < load->n_nodes; k++)
		if (load->nodes[k].outcome == SL_OUTCOME_LOADED)
			return false;
	return true;
}

json_t *sl_up_workload_json(const struct sl_up_workload *workload)
{
	size_t i;
	json_t *pod, *pods = json_array();
	json_array_foreach(workload->pods, i, pod)
		json_array_append_new(pods, json_pack("{s:s*, s:s*}", "name", sl_json_str(json_object_get(pod, "metadata"), "name"), "node",
						      sl_json_str(json_object_get(pod, "spec"), "nodeName")));
	return json_pack("{s:s, s:s, s:s, s:s, s:s*, s:b, s:o}", "kind", workload->kind, "name", workload->name, "namespace",
			 workload->namespace, "outcome", sl_report_state(workload), "note", workload->note, "replaced", workload->replaced,
			 "pods", pods);
}
