/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "cli/up_run.h"
#include "cluster/kubeconfig.h"
#include "flow/up_changes.h"

/* A round, and how it went: "running", "unchanged", "superseded" or "failed". */
struct round {
	unsigned number;
	struct sl_buf why; /* "app:dev changed (main.c)" */
	const char *outcome;
	double build, export, import, kubelet, total; /* seconds */
};

/* ---- what was pinned ---- */

/* Builds by a command find their engine by themselves: it stays the one that is loaded
 * from, also when another context becomes docker's current one. */
static void pin_engine(const struct sl_cli *cli)
{
	if (!getenv("DOCKER_HOST") && !cli->docker_host && !strcmp(cli->engine.program, "docker"))
		setenv("DOCKER_CONTEXT", cli->place.engine_context ? cli->place.engine_context : "default", 1);
}

/* kubectl is given the context by name; it must still mean the cluster that was proven. */
static int check_context(const struct sl_cli *cli, const struct sl_context *pinned, struct sl_error *err)
{
	struct sl_context now = { 0 };
	if (sl_kubeconfig_context(cli->kubeconfig, pinned->name, &now, err) < 0)
		return -1;
	bool same = !strcmp(now.server, pinned->server) && !now.ca == !pinned->ca && (!now.ca || !strcmp(now.ca, pinned->ca));
	sl_context_release(&now);
	return same ? 0 : sl_error_set(err, SL_REFUSED, "context '%s' means another cluster than when --watch began; start it again for that one", pinned->name);
}

/* ---- one round ---- */

static void measure(struct round *round, const struct sl_up_run *run, int64_t since)
{
	const struct sl_up *up = &run->up;
	int64_t now = sl_now(), import = 0;
	for (size_t i = 0; i < up->n_builds; i++)
		round->build += up->builds[i].seconds;
	for (size_t k = 0; k < up->load.n_nodes; k++)
		import = up->load.nodes[k].busy_ms > import ? up->load.nodes[k].busy_ms : import;
	round->import = (double)import / 1000;
	round->export = run->seconds[SL_UP_LOAD] > round->import ? run->seconds[SL_UP_LOAD] - round->import : 0;
	round->kubelet = run->seconds[SL_UP_APPLY];
	round->total = (double)(now - since) / 1000;
	if (!up->running_at)
		return;
	/* what comes after it is the look whether the pods last */
	double lasting = (double)(now - up->running_at) / 1000;
	if (run->seconds[SL_UP_ROLLOUT] > lasting)
		round->kubelet += run->seconds[SL_UP_ROLLOUT] - lasting;
	round->total -= lasting;
}

static const char *phase_of(const struct sl_up_run *run)
{
	static const char *const names[] = { "reading", "the build", "the load", "applying", "the rollout" };
	return names[run->phase];
}

static void print_line(const struct round *round, const struct sl_up_run *run)
{
	const struct sl_up *up = &run->up;
	printf("round %u: %s: ", round->number, sl_buf_text(&round->why));
	if (!strcmp(round->outcome, "superseded")) {
		printf("superseded during %s, after %.2f s\n", phase_of(run), round->total);
	} else if (!strcmp(round->outcome, "failed")) {
		printf("failed after %.2f s\n", round->total);
	} else {
		if (!strcmp(round->outcome, "unchanged"))
			printf("nothing to do, nodes and cluster have it; ");
		printf("build %.2f s, export %.2f s, import %.2f s, kubelet %.2f s; total %.2f s", round->build, round->export, round->import,
		       round->kubelet, round->total);
		for (size_t i = 0; i < up->n_workloads; i++)
			if (up->workloads[i].note)
				printf("; %s '%s': %s", up->workloads[i].kind, up->workloads[i].name, up->workloads[i].note);
		putchar('\n');
	}
}

static void print_json(const struct round *round, const struct sl_up_run *run, const struct sl_error *failure)
{
	const struct sl_up *up = &run->up;
	sl_autojson json_t *images = json_array(), *applied = json_array(), *workloads = json_array();
	for (size_t i = 0; i < up->load.n_images; i++)
		json_array_append_new(images, json_pack("{s:s, s:s}", "name", up->load.images[i].name, "digest", up->load.images[i].config.text));
	for (size_t i = 0; i < up->applied.n; i++)
		json_array_append_new(applied, json_string(up->applied.items[i]));
	for (size_t i = 0; i < up->n_workloads; i++)
		json_array_append_new(workloads, sl_up_workload_json(&up->workloads[i]));
	sl_autojson json_t *all = json_pack("{s:i, s:s, s:i, s:o, s:s, s:{s:f, s:f, s:f, s:f, s:f}, s:s*, s:O, s:O, s:O}", "version", 1, "kind",
					    "UpRound", "round", (int)round->number, "changed", sl_up_changes_json(up->changes), "outcome",
					    round->outcome, "seconds", "build", round->build, "export", round->export, "import", round->import,
					    "kubelet", round->kubelet, "total", round->total, "exporter", up->load.exporter_name, "images", images,
					    "applied", applied, "workloads", workloads);
	if (failure)
		json_object_set_new(all, "error", json_pack("{s:i, s:s, s:s}", "exitCode", sl_status_exit_code(failure->status), "message",
							    failure->message, "words", sl_buf_text(&up->words)));
	json_dumpf(all, stdout, JSON_COMPACT);
	putchar('\n');
}

static void report(struct round *round, const struct sl_up_run *run, const struct sl_cli *cli, const struct sl_error *failure)
{
	bool failed = failure && strcmp(round->outcome, "superseded") != 0;
	if (cli->json)
		print_json(round, run, failed ? failure : NULL);
	else
		print_line(round, run);
	if (!failed)
		return;
	if (!cli->json)
		fputs(sl_buf_text(&run->up.words), stderr);
	fprintf(stderr, "sidelift: %s\n", failure->message);
}

/* -1 only when the watch is over. */
static int run_round(struct sl_up_run *run, struct sl_cli *cli, const struct sl_context *pinned, unsigned number, struct sl_error *err)
{
	struct sl_up *up = &run->up;
	struct round round = { .number = number, .why = SL_BUF_INIT };
	struct sl_error why = SL_ERROR_INIT;
	sl_up_changes_begin(up->changes, up, &round.why);
	if (!cli->quiet && (!cli->progress || strcmp(cli->progress, "none") != 0))
		fprintf(stderr, "round %u begins: %s\n", number, sl_buf_text(&round.why));
	memset(run->seconds, 0, sizeof(run->seconds));
	run->since = sl_now();
	/* what was stopped when the watch began may run by now: the attempt tells */
	for (size_t i = 0; i < cli->cluster.n_nodes; i++)
		cli->cluster.nodes[i].running = true;
	int rc = check_context(cli, pinned, &why);
	if (rc == 0)
		rc = sl_up_run_steps(run, cli, &why);
	bool over = sl_cancelled(&cli->cancel);
	if (!over) {
		measure(&round, run, sl_up_changes_since(up->changes));
		round.outcome = rc == 0 ? (up->unchanged && sl_up_nothing_sent(&up->load) ? "unchanged" : "running") :
				why.status == SL_INTERRUPTED ? "superseded" : "failed";
		report(&round, run, cli, rc < 0 ? &why : NULL);
		rc = sl_cli_flush(err);
		over = rc < 0;
	} else {
		rc = sl_error_set(err, SL_INTERRUPTED, "interrupted; the cluster stays as it is");
	}
	sl_up_changes_end(up->changes, up);
	sl_up_reset(up);
	sl_buf_release(&round.why);
	return over ? rc : 0;
}

int sl_up_run_watch(struct sl_up_run *run, struct sl_cli *cli, struct sl_error *err)
{
	struct sl_up *up = &run->up;
	struct sl_context pinned = { 0 };
	if (sl_kubeconfig_context(cli->kubeconfig, cli->cluster.context, &pinned, err) < 0)
		return -1;
	pin_engine(cli);
	up->changes = sl_up_changes_new(up, err);
	int rc = up->changes ? 0 : -1;
	for (unsigned number = 1; rc == 0; number++) {
		rc = run_round(run, cli, &pinned, number, err);
		if (rc == 0)
			rc = sl_up_changes_wait(up->changes, &cli->cancel, err);
	}
	if (sl_cancelled(&cli->cancel))
		sl_error_set(err, SL_INTERRUPTED, "interrupted; the cluster stays as it is");
	sl_up_changes_free(up->changes);
	up->changes = NULL;
	sl_context_release(&pinned);
	return rc;
}
