/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "cli/cli.h"
#include "cli/push.h"
#include "cli/report.h"
#include "cli/up_run.h"
#include "flow/up_changes.h"
#include "image/reference.h"
#include "manifest/policy.h"

#define AT(field) offsetof(struct sl_up_options, field)
static const struct sl_option options[] = {
	{ "filename", 'f', SL_OPTION_LIST, "PATH", AT(paths), "a manifest, a directory of them, a pattern, or -; may be repeated" },
	{ "kustomize", 'k', SL_OPTION_TEXT, "DIR", AT(kustomize), "a kustomization, by way of kubectl" },
	{ "build", 0, SL_OPTION_LIST, "IMAGE=DIR", AT(builds), "build it with docker or podman; may be repeated; options for it behind --" },
	{ "build-command", 0, SL_OPTION_LIST, "IMAGE=CMD", AT(commands), "build it with a command for sh; may be repeated" },
	{ "namespace", 'n', SL_OPTION_TEXT, "NAME", AT(namespace), "for objects that name none (default: the context's)" },
	{ "policy", 0, SL_OPTION_TEXT, "POLICY", AT(policy), "imagePullPolicy of what is loaded: Never (the default) or IfNotPresent" },
	{ "via", 0, SL_OPTION_TEXT, "WAY", AT(via), "by a registry that the nodes pull from: registry or registry=HOST[:PORT][/PREFIX]" },
	{ "replace", 0, SL_OPTION_FLAG, NULL, AT(replace), "delete and create anew the Pods and Jobs whose image changed" },
	{ "server-side", 0, SL_OPTION_FLAG, NULL, AT(server_side), "apply on the server" },
	{ "dry-run", 0, SL_OPTION_FLAG, NULL, AT(dry_run), "build and load nothing; have the server say what it would change" },
	{ "watch", 0, SL_OPTION_FLAG, NULL, AT(watch), "and again whenever what it is made of changes, until Ctrl-C" },
	{ "wait", 0, SL_OPTION_TEXT, "TIME", AT(wait), "how long pods may take to be ready (default: 120s)" },
};

/* ---- what is asked for ---- */

/* IMAGE=VALUE */
static int add_build(struct sl_up *up, const char *text, const char *option, bool command, struct sl_error *err)
{
	const char *equals = strchr(text, '=');
	struct sl_up_build *build = &up->builds[up->n_builds];
	sl_autoref struct sl_reference ref = SL_REFERENCE_INIT;
	if (!equals || equals == text || !equals[1])
		return sl_error_set(err, SL_USAGE, "%s is IMAGE=%s, not '%s'", option, command ? "COMMAND" : "DIRECTORY", text);
	*build = (struct sl_up_build){ .given = strndup(text, (size_t)(equals - text)) };
	up->n_builds++;
	char *value = strdup(equals + 1);
	*(command ? &build->command : &build->dir) = value;
	if (!build->given || !value)
		return sl_error_nomem(err);
	if (sl_reference_parse(build->given, &ref, err) < 0)
		return -1;
	build->image = sl_reference_canonical(&ref);
	return build->image ? 0 : sl_error_nomem(err);
}

static int take_builds(struct sl_up *up, const struct sl_up_options *given, struct sl_error *err)
{
	up->builds = calloc(given->builds.n + given->commands.n + 1, sizeof(*up->builds));
	if (!up->builds)
		return sl_error_nomem(err);
	for (size_t i = 0; i < given->builds.n; i++)
		if (add_build(up, given->builds.items[i], "--build", false, err) < 0)
			return -1;
	for (size_t i = 0; i < given->commands.n; i++)
		if (add_build(up, given->commands.items[i], "--build-command", true, err) < 0)
			return -1;
	return 0;
}

static int check_usage(const struct sl_up_options *given, const char *timeout, size_t n_extra, struct sl_error *err)
{
	if (!given->paths.n && !given->kustomize)
		return sl_error_set(err, SL_USAGE, "no manifest; name one: sidelift up -f PATH, or -k DIRECTORY");
	if (given->policy && strcmp(given->policy, "Never") != 0 && strcmp(given->policy, "IfNotPresent") != 0)
		return sl_error_set(err, SL_USAGE, "--policy is Never or IfNotPresent, not '%s'", given->policy);
	if (given->watch && given->dry_run)
		return sl_error_set(err, SL_USAGE, "--watch and --dry-run exclude each other");
	if (given->watch && sl_strv_has(&given->paths, "-"))
		return sl_error_set(err, SL_USAGE, "--watch cannot read standard input again; name a file instead of -f -");
	if (given->watch && timeout)
		return sl_error_set(err, SL_USAGE, "--timeout (or SIDELIFT_TIMEOUT) does not go with --watch, which has no end; --wait limits each rollout");
	if (given->via && sl_via_check(given->via, err) < 0)
		return -1;
	if (given->via && given->policy)
		return sl_error_set(err, SL_USAGE, "with --via the nodes pull by digest, and the policy is IfNotPresent");
	if (given->via && given->watch)
		return sl_error_set(err, SL_USAGE, "--watch loads into the nodes; --via does not go with it");
	if (n_extra && given->builds.n != 1)
		return sl_error_set(err, SL_USAGE, "what stands behind -- goes to the build, and there must be one --build for it");
	return 0;
}

/* ---- engine and cluster ---- */

/* The builder is to use the engine that is loaded from. */
static int set_builder(struct sl_up_run *run, const struct sl_cli *cli, struct sl_error *err)
{
	bool podman = !strcmp(cli->engine.program, "podman");
	const char *option = NULL, *value = cli->engine.endpoint.url;
	run->up.builder = cli->engine.program;
	if (cli->docker_context && !podman) {
		option = "--context";
		value = cli->docker_context;
	} else if (cli->place.engine_context && !podman) {
		option = "--context"; /* what is current may change meanwhile */
		value = cli->place.engine_context;
	} else if (cli->docker_host || (cli->engine.endpoint.socket_path && !podman)) {
		option = podman ? "--url" : "--host";
	}
	if (option && (sl_strv_add(&run->globals, option) < 0 || sl_strv_add(&run->globals, value) < 0))
		return sl_error_nomem(err);
	run->up.builder_globals = &run->globals;
	run->up.build_options = &run->extra;
	return 0;
}

static int prepare(struct sl_up_run *run, struct sl_cli *cli, struct sl_error *err)
{
	const struct sl_up_options *given = run->given;
	struct sl_up *up = &run->up;
	up->sources = (struct sl_sources){ &given->paths, given->kustomize };
	up->policy = given->policy ? given->policy : given->via ? "IfNotPresent" : "Never";
	up->replace = given->replace;
	up->server_side = given->server_side;
	up->quiet_build = cli->quiet;
	up->patience_ms = SL_UP_PATIENCE;
	up->load.cancel = &cli->cancel;
	if (given->wait && sl_cli_time(given->wait, &up->patience_ms, err) < 0)
		return -1;
	if (take_builds(up, given, err) < 0 || sl_cli_engine(cli, err) < 0 || sl_cli_kubectl(cli, given->namespace, &up->kubectl, err) < 0 ||
	    set_builder(run, cli, err) < 0)
		return -1;
	up->load.engine = &cli->engine;
	up->load.cluster = &cli->cluster;
	return 0;
}

/* ---- the report ---- */

static void print_json(const struct sl_up_run *run, const struct sl_error *failure)
{
	const struct sl_up *up = &run->up;
	sl_autojson json_t *images = json_array(), *applied = json_array(), *workloads = json_array(), *seconds = json_object();
	for (size_t i = 0; i < up->load.n_images; i++)
		json_array_append_new(images, json_pack("{s:s, s:s, s:s*}", "name", up->load.images[i].name, "digest", up->load.images[i].config.text,
							"podReference", sl_up_pushed_as(up, &up->load.images[i])));
	for (size_t i = 0; i < up->applied.n; i++)
		json_array_append_new(applied, json_string(up->applied.items[i]));
	for (size_t i = 0; i < up->n_workloads; i++)
		json_array_append_new(workloads, sl_up_workload_json(&up->workloads[i]));
	for (size_t i = 0; i < SL_UP_PHASES; i++)
		json_object_set_new(seconds, sl_up_phase_names[i], json_real(run->seconds[i]));
	sl_autojson json_t *all = json_pack("{s:i, s:s, s:O, s:O, s:O, s:O, s:b}", "version", 1, "kind", "UpResult", "images", images,
					    "applied", applied, "workloads", workloads, "seconds", seconds, "changed",
					    !up->unchanged || !sl_up_nothing_sent(&up->load));
	if (failure)
		json_object_set_new(all, "error", json_pack("{s:i, s:s, s:s}", "exitCode", sl_status_exit_code(failure->status), "message",
							    failure->message, "words", sl_buf_text(&up->words)));
	json_dumpf(all, stdout, JSON_INDENT(2));
	putchar('\n');
}

static void print_people(const struct sl_up_run *run, const struct sl_cli *cli)
{
	const struct sl_up *up = &run->up;
	if (cli->quiet)
		return;
	if (run->given->dry_run) {
		for (size_t i = 0; i < up->n_builds; i++)
			printf("%s would be built\n", up->builds[i].given);
		for (size_t i = 0; i < up->load.n_images; i++)
			printf("%s would be loaded\n", up->load.images[i].name);
	} else if (!run->given->via) {
		sl_report_load(cli, &up->load, NULL);
	}
	for (size_t i = 0; i < up->pushed.n; i++)
		printf("%s is pulled as %s\n", up->pushed.items[i], up->references.items[i]);
	for (size_t i = 0; i < up->missing.n; i++)
		printf("%s is left to the cluster: the engine does not have it\n", up->missing.items[i]);
	for (size_t i = 0; i < up->applied.n; i++)
		printf("%s\n", up->applied.items[i]);
	if (run->given->dry_run)
		return;
	for (size_t i = 0; i < up->n_workloads; i++)
		sl_report_workload(&up->workloads[i]);
	if (up->unchanged && sl_up_nothing_sent(&up->load))
		printf("nothing to do: the %s the images, and the cluster has the objects\n", up->pushed.n ? "registry has" : "nodes have");
	for (size_t i = 0; i < SL_UP_PHASES; i++)
		printf("%s%s %.2f s", i ? ", " : "", sl_up_phase_names[i], run->seconds[i]);
	putchar('\n');
}

static void report(const struct sl_up_run *run, const struct sl_cli *cli, const struct sl_error *failure)
{
	if (cli->json)
		print_json(run, failure);
	else if (!failure)
		print_people(run, cli);
	else
		fputs(sl_buf_text(&run->up.words), stderr);
}

static int run_with(struct sl_cli *cli, struct sl_up_run *run, struct sl_error *err)
{
	run->since = sl_now();
	if (prepare(run, cli, err) < 0)
		return -1;
	if (run->given->watch)
		return sl_up_run_watch(run, cli, err);
	int rc = sl_up_run_steps(run, cli, err);
	if (rc < 0 && sl_cancelled(&cli->cancel))
		return -1;
	report(run, cli, rc < 0 ? err : NULL);
	if (rc == 0)
		return sl_cli_flush(err);
	fflush(stdout);
	return -1;
}

static int run(int argc, char **argv, struct sl_cli *cli, struct sl_error *err)
{
	struct sl_up_options given = { 0 };
	struct sl_up_run run = { .given = &given };
	int first, rc = -1, words = argc;
	for (int i = 1; i < words; i++)
		if (!strcmp(argv[i], "--"))
			words = i;
	for (int i = words + 1; i < argc; i++)
		if (sl_strv_add(&run.extra, argv[i]) < 0)
			return sl_error_nomem(err);
	if (sl_cli_parse(cli, &sl_command_up, words, argv, &given, &first, err) == 0 && !cli->help) {
		if (first < words)
			rc = sl_error_set(err, SL_USAGE, "'%s' is not an option; manifests are named by -f", argv[first]);
		else if (check_usage(&given, cli->timeout, run.extra.n, err) == 0)
			rc = run_with(cli, &run, err);
	}
	sl_up_release(&run.up);
	sl_strv_release(&run.globals);
	sl_strv_release(&run.extra);
	sl_strv_release(&given.paths);
	sl_strv_release(&given.builds);
	sl_strv_release(&given.commands);
	return rc < 0 ? 1 : 0;
}

const struct sl_command sl_command_up = {
	.name = "up",
	.usage = "-f PATH... [--build IMAGE=DIR]... [-- BUILD-OPTION...]",
	.summary = "build, load, apply, and wait until the new code runs",
	.help = "Builds what --build names, loads every image of the manifests that the engine has, applies the\n"
		"manifests with imagePullPolicy for these, and waits for the rollout, which happens exactly when an\n"
		"image's content or the manifests changed.  The files themselves stay as they are.\n"
		"With --watch it goes on until Ctrl-C: what changed is built, loaded and applied again.",
	.options = options,
	.n_options = sizeof(options) / sizeof(options[0]),
	.run = run,
};
