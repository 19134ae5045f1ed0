/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "cli/cli.h"
#include "cli/progress.h"
#include "cli/push.h"
#include "cli/report.h"
#include "flow/sources.h"
#include "flow/up.h"
#include "flow/via.h"

struct load_options {
	const char *input, *exporter, *importer, *via;
	const char *namespace;
	struct sl_strv paths, restart;
	bool dry_run;
};

#define AT(field) offsetof(struct load_options, field)
static const struct sl_option options[] = {
	{ "input", 'i', SL_OPTION_TEXT, "FILE", AT(input), "load what a docker save or OCI archive holds; - is standard input" },
	{ "filename", 'f', SL_OPTION_LIST, "PATH", AT(paths), "load what the manifests name and the engine has; may be repeated" },
	{ "restart", 0, SL_OPTION_LIST, "KIND/NAME", AT(restart), "then restart this workload and wait for it; may be repeated" },
	{ "namespace", 'n', SL_OPTION_TEXT, "NAME", AT(namespace), "of what is restarted (default: the context's)" },
	{ "exporter", 0, SL_OPTION_TEXT, "WAY", AT(exporter), "how images leave the engine: store, registry or save (default: the first that works)" },
	{ "importer", 0, SL_OPTION_TEXT, "WAY", AT(importer), "how layers enter containerd: direct (straight into snapshots), import, or auto (the default)" },
	{ "via", 0, SL_OPTION_TEXT, "WAY", AT(via), "push to a registry that the nodes pull from: registry (the cluster's own) or registry=HOST[:PORT][/PREFIX]" },
	{ "dry-run", 0, SL_OPTION_FLAG, NULL, AT(dry_run), "say what each node (or the registry) lacks, and load nothing" },
};

static int prepare(struct sl_cli *cli, struct sl_load *load, const struct sl_strv *references, bool manifests, bool dry_run,
		   struct sl_error *err)
{
	load->cancel = &cli->cancel;
	if (!load->archive) {
		if (sl_cli_engine(cli, err) < 0)
			return -1;
		load->engine = &cli->engine;
	}
	if (sl_cli_cluster(cli, err) < 0)
		return -1;
	load->cluster = &cli->cluster;
	if (sl_load_begin(load, err) < 0)
		return -1;
	if ((load->archive ? sl_load_archive(load, err) : manifests ? sl_load_named_images(load, references, err)
								    : sl_load_images(load, references, err)) < 0)
		return -1;
	int shared = sl_load_is_shared(load, err);
	if (shared)
		return shared < 0 ? -1 : 0;
	load->exports = !dry_run;
	return sl_load_open(load, err) < 0 ? -1 : sl_load_plan(load, err);
}

static int load_and_report(struct sl_cli *cli, struct sl_load *load, const struct load_options *given,
			   struct sl_error *err)
{
	if (load->cluster->shared) {
		sl_report_load(cli, load, NULL);
		return sl_cli_flush(err);
	}
	if (given->dry_run) {
		if (!load->images)
			return sl_error_set(err, SL_USAGE, "--dry-run cannot look into a pipe without emptying it; give it a file");
		return sl_report_plan(cli, load, err) < 0 ? -1 : sl_cli_flush(err);
	}
	struct sl_progress *progress = sl_progress_start(load, cli->quiet ? "none" : cli->progress);
	int rc = sl_load_run(load, err);
	sl_progress_stop(progress);
	if (sl_cancelled(&cli->cancel))
		return rc;
	sl_report_load(cli, load, rc < 0 ? err : NULL);
	struct sl_error why = SL_ERROR_INIT;
	if (sl_cli_flush(&why) < 0 && rc == 0) {
		*err = why;
		return -1;
	}
	return rc;
}

/* Restart what --restart names, and wait until it runs. */
static int restart(struct sl_cli *cli, const struct load_options *given, struct sl_error *err)
{
	struct sl_up up = { .patience_ms = SL_UP_PATIENCE };
	int rc = sl_cli_kubectl(cli, given->namespace, &up.kubectl, err);
	if (rc == 0)
		rc = sl_up_restart(&up, &given->restart, err);
	if (rc == 0)
		rc = sl_up_wait(&up, err);
	if (rc < 0)
		fputs(sl_buf_text(&up.words), stderr);
	for (size_t i = 0; rc == 0 && !cli->json && !cli->quiet && i < up.n_workloads; i++)
		sl_report_workload(&up.workloads[i]);
	sl_up_release(&up);
	return rc < 0 ? -1 : sl_cli_flush(err);
}

/* What has to do with nodes does not go with a registry. */
static int check_via(const struct sl_cli *cli, const struct load_options *given, struct sl_error *err)
{
	if (sl_via_check(given->via, err) < 0)
		return -1;
	const char *other = given->importer ? "--importer" : cli->nodes.n ? "--node" : given->restart.n ? "--restart" : NULL;
	return other ? sl_error_set(err, SL_USAGE, "%s does not go with --via: the images go into a registry, and no node is touched", other) : 0;
}

static int check_usage(const struct sl_cli *cli, const struct load_options *given, size_t n_references, struct sl_error *err)
{
	if (!n_references && !given->input && !given->paths.n)
		return sl_error_set(err, SL_USAGE, "no image; name one: sidelift load IMAGE, or give an archive: sidelift load -i FILE");
	if (given->input && (n_references || given->paths.n))
		return sl_error_set(err, SL_USAGE, "-i loads what the archive holds; image names do not go with it");
	if (given->paths.n && n_references)
		return sl_error_set(err, SL_USAGE, "-f loads what the manifests name; image names do not go with it");
	if (given->exporter && !sl_load_is_exporter(given->exporter))
		return sl_error_set(err, SL_USAGE, "--exporter is store, registry or save, not '%s'", given->exporter);
	return given->via ? check_via(cli, given, err) : 0;
}

static int load_with(struct sl_cli *cli, const struct load_options *given, struct sl_strv *references, struct sl_error *err)
{
	const struct sl_sources sources = { &given->paths, NULL };
	sl_autobuf struct sl_buf stream = SL_BUF_INIT;
	struct sl_load load = { .archive = given->input, .exporter_wanted = given->exporter };
	if (given->importer && sl_load_importer(given->importer, &load.importer) < 0)
		return sl_error_set(err, SL_USAGE, "--importer is direct, import or auto, not '%s'", given->importer);
	if (given->paths.n && sl_sources_read(&sources, NULL, &stream, references, err) < 0)
		return -1;
	if (given->via) {
		int pushed = sl_cli_push(cli, given->via, &load, references, given->paths.n > 0, given->dry_run, err);
		sl_load_release(&load);
		return pushed;
	}
	int rc = prepare(cli, &load, references, given->paths.n > 0, given->dry_run, err);
	if (rc == 0)
		rc = load_and_report(cli, &load, given, err);
	else if (cli->json)
		sl_report_load(cli, &load, err);
	sl_load_release(&load);
	if (rc == 0 && given->restart.n && !given->dry_run)
		rc = restart(cli, given, err);
	return rc;
}

static int run(int argc, char **argv, struct sl_cli *cli, struct sl_error *err)
{
	struct load_options given = { 0 };
	sl_autostrv struct sl_strv references = SL_STRV_INIT;
	int first, rc = -1;
	if (sl_cli_parse(cli, &sl_command_load, argc, argv, &given, &first, err) == 0 && !cli->help) {
		rc = 0;
		for (int i = first; rc == 0 && i < argc; i++)
			rc = sl_strv_add_new(&references, argv[i]) < 0 ? sl_error_nomem(err) : 0;
		if (rc == 0)
			rc = check_usage(cli, &given, references.n, err);
		if (rc == 0)
			rc = load_with(cli, &given, &references, err);
	}
	sl_strv_release(&given.paths);
	sl_strv_release(&given.restart);
	return rc < 0 ? 1 : 0;
}

const struct sl_command sl_command_load = {
	.name = "load",
	.usage = "IMAGE... | -f PATH... | -i FILE",
	.summary = "side-load images into every node of the local cluster",
	.help = "Takes each image out of the container engine once and puts into each node only the layers\n"
		"that it lacks, all nodes at once; then has the node confirm that the name stands for it.",
	.options = options,
	.n_options = sizeof(options) / sizeof(options[0]),
	.run = run,
};
