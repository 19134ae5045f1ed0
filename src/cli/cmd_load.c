/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "cli/cli.h"
#include "cli/progress.h"
#include "cli/report.h"
#include "flow/load.h"

struct load_options {
	const char *input, *exporter, *importer;
	bool dry_run;
};

#define AT(field) offsetof(struct load_options, field)
static const struct sl_option options[] = {
	{ "input", 'i', SL_OPTION_TEXT, "FILE", AT(input), "load what a docker save or OCI archive holds; - is standard input" },
	{ "exporter", 0, SL_OPTION_TEXT, "WAY", AT(exporter), "how images leave the engine: store or save (default: the first that works)" },
	{ "importer", 0, SL_OPTION_TEXT, "WAY", AT(importer), "how layers enter containerd: direct (straight into snapshots), import, or auto (the default)" },
	{ "dry-run", 0, SL_OPTION_FLAG, NULL, AT(dry_run), "say what each node lacks, and load nothing" },
};

static int take_importer(const char *name, struct sl_load *load, struct sl_error *err)
{
	static const char *const names[] = { [SL_IMPORTER_AUTO] = "auto", [SL_IMPORTER_DIRECT] = "direct", [SL_IMPORTER_IMPORT] = "import" };
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		load->importer = (enum sl_importer)i;
		if (!strcmp(names[i], name))
			return 0;
	}
	return sl_error_set(err, SL_USAGE, "--importer is direct, import or auto, not '%s'", name);
}

static int prepare(struct sl_cli *cli, struct sl_load *load, const struct sl_strv *references, struct sl_error *err)
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
	if ((load->archive ? sl_load_archive(load, err) : sl_load_images(load, references, err)) < 0)
		return -1;
	if (load->cluster->shared && load->archive)
		return sl_error_set(err, SL_FAILED, "%s (%s); load the archive there: docker load -i %s", load->cluster->name,
				    load->cluster->shared, load->archive);
	if (load->cluster->shared)
		return 0;
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

static int run(int argc, char **argv, struct sl_cli *cli, struct sl_error *err)
{
	struct load_options given = { 0 };
	sl_autostrv struct sl_strv references = SL_STRV_INIT;
	int first;
	if (sl_cli_parse(cli, &sl_command_load, argc, argv, &given, &first, err) < 0 || cli->help)
		return 2;
	for (int i = first; i < argc; i++)
		if (sl_strv_add_new(&references, argv[i]) < 0)
			return sl_error_nomem(err);
	if (!references.n && !given.input)
		return sl_error_set(err, SL_USAGE, "no image; name one: sidelift load IMAGE, or give an archive: sidelift load -i FILE");
	if (references.n && given.input)
		return sl_error_set(err, SL_USAGE, "-i loads what the archive holds; image names do not go with it");
	if (given.exporter && !sl_load_is_exporter(given.exporter))
		return sl_error_set(err, SL_USAGE, "--exporter is store or save, not '%s'", given.exporter);
	struct sl_load load = { .archive = given.input, .exporter_wanted = given.exporter };
	if (given.importer && take_importer(given.importer, &load, err) < 0)
		return -1;
	int rc = prepare(cli, &load, &references, err);
	if (rc == 0)
		rc = load_and_report(cli, &load, &given, err);
	else if (cli->json)
		sl_report_load(cli, &load, err);
	sl_load_release(&load);
	return rc < 0 ? 1 : 0;
}

const struct sl_command sl_command_load = {
	.name = "load",
	.usage = "IMAGE... | -i FILE",
	.summary = "side-load images into every node of the local cluster",
	.help = "Takes each image out of the container engine once and puts into each node only the layers\n"
		"that it lacks, all nodes at once; then has the node confirm that the name stands for it.",
	.options = options,
	.n_options = sizeof(options) / sizeof(options[0]),
	.run = run,
};
