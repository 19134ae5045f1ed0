/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/log.h"
#include "cli/cli.h"
#include "cli/report_check.h"
#include "flow/facts.h"
#include "flow/sideloaded.h"
#include "flow/sources.h"
#include "image/reference.h"
#include "manifest/diff.h"
#include "manifest/rewrite.h"

#define OUTPUT_MAX ((size_t)1 << 30) /* bytes, of all files together */

struct rewrite_options {
	struct sl_strv images;
	const char *policy, *kustomize;
	bool drop_pull_secrets, in_place, diff, check;
};

#define AT(field) offsetof(struct rewrite_options, field)
static const struct sl_option options[] = {
	{ "image", 0, SL_OPTION_LIST, "REF", AT(images), "change containers of this image; may be repeated (default: what was side-loaded)" },
	{ "policy", 0, SL_OPTION_TEXT, "POLICY", AT(policy), "Never (the default), IfNotPresent or Always" },
	{ "drop-pull-secrets", 0, SL_OPTION_FLAG, NULL, AT(drop_pull_secrets), "remove imagePullSecrets from pods of which every image is chosen" },
	{ "kustomize", 'k', SL_OPTION_TEXT, "DIR", AT(kustomize), "what kubectl makes of the kustomization there" },
	{ "in-place", 0, SL_OPTION_FLAG, NULL, AT(in_place), "change the files themselves" },
	{ "diff", 0, SL_OPTION_FLAG, NULL, AT(diff), "print what would change, for patch" },
	{ "check", 0, SL_OPTION_FLAG, NULL, AT(check), "change nothing; exit 4 with FILE:LINE:COLUMN: message for what would change, fail, or is unwise" },
};

/* One run over all files. */
struct job {
	const struct rewrite_options *given;
	struct sl_rewrite_rules rules;
	const struct sl_lint_cluster *cluster; /* for --check; or NULL */
	bool several, quiet;
	struct sl_buf output; /* printed at the end */
	struct sl_check check;
};

static int check_usage(const struct rewrite_options *given, const struct sl_strv *paths, struct sl_error *err)
{
	if (given->policy && !sl_policy_exists(given->policy))
		return sl_error_set(err, SL_USAGE, "--policy is Never, IfNotPresent or Always, not '%s'", given->policy);
	if (given->in_place + given->diff + given->check > 1)
		return sl_error_set(err, SL_USAGE, "--in-place, --diff and --check exclude each other");
	if (given->kustomize && paths->n)
		return sl_error_set(err, SL_USAGE, "-k is a kustomization; files beside it are named in a run of their own");
	if (given->kustomize && given->in_place)
		return sl_error_set(err, SL_USAGE, "--in-place changes files, and what -k makes is none");
	if (!given->kustomize && !paths->n)
		return sl_error_set(err, SL_USAGE, "no manifest; name one: sidelift rewrite FILE, or - for standard input");
	size_t standard = 0;
	for (size_t i = 0; i < paths->n; i++)
		standard += !strcmp(paths->items[i], "-");
	if (standard && given->in_place)
		return sl_error_set(err, SL_USAGE, "--in-place changes files, and - is standard input");
	if (standard > 1)
		return sl_error_set(err, SL_USAGE, "- stands for standard input, which can be read once");
	return 0;
}

/* The images in @given in canonical form. */
static int canonical_images(const struct sl_strv *given, struct sl_strv *images, struct sl_error *err)
{
	for (size_t i = 0; i < given->n; i++)
		if (sl_reference_add(images, given->items[i], err) < 0)
			return -1;
	return 0;
}

/* The images that were side-loaded into the active cluster, in canonical form. */
static int sideloaded_images(struct sl_cli *cli, struct sl_strv *images, struct sl_error *err)
{
	struct sl_error ignored = SL_ERROR_INIT;
	if (sl_cli_cluster(cli, err) == 0 &&
	    sl_sideloaded(&cli->cluster, sl_cli_engine(cli, &ignored) == 0 ? &cli->engine : NULL, &cli->cancel, images, err) == 0)
		return 0;
	err->status = SL_FAILED;
	return sl_error_wrap(err, "no --image, and which images were side-loaded is not known");
}

/* One file's text behind the others'.  kubectl takes what starts with '{' for
 * JSON alone, so each of several begins with a separator of its own. */
static void put_document(struct job *job, const struct sl_buf *text)
{
	struct sl_buf *out = &job->output;
	if (out->len && out->data[out->len - 1] != '\n')
		sl_buf_puts(out, "\n");
	if (job->several && strncmp(sl_buf_text(text), "---", 3) != 0)
		sl_buf_puts(out, "---\n");
	sl_buf_add(out, sl_buf_text(text), text->len);
}

/* "imagePullPolicy is now Never in 1 of 2 containers, imagePullSecrets removed from 1 pod" */
static void put_summary(struct job *job, const char *name, const struct sl_rewrite *rewrite)
{
	struct sl_buf *out = &job->output;
	sl_buf_printf(out, "%s: ", name);
	if (rewrite->changed)
		sl_buf_printf(out, "imagePullPolicy is now %s in %zu of %zu containers", job->rules.policy, rewrite->changed, rewrite->containers);
	if (job->rules.drop_pull_secrets && rewrite->needless)
		sl_buf_printf(out, "%simagePullSecrets removed from %zu pod%s", rewrite->changed ? ", " : "", rewrite->needless,
			      rewrite->needless == 1 ? "" : "s");
	sl_buf_puts(out, "\n");
}

static int use_result(struct job *job, const char *path, const char *name, const struct sl_buf *text,
		      const struct sl_rewrite *rewrite, struct sl_error *err)
{
	const struct rewrite_options *given = job->given;
	if (given->diff)
		return sl_diff_unified(name, sl_buf_text(text), text->len, rewrite, &job->output, err);
	if (!given->in_place) {
		put_document(job, &rewrite->text);
		return 0;
	}
	if (!rewrite->splices.n)
		return 0;
	if (sl_file_replace(path, rewrite->text.data, rewrite->text.len, err) < 0)
		return -1;
	if (!job->quiet)
		put_summary(job, name, rewrite);
	return 0;
}

static int rewrite_text(struct job *job, const char *path, const char *name, const struct sl_buf *text, struct sl_error *err)
{
	sl_autorewrite struct sl_rewrite rewrite = SL_REWRITE_INIT;
	if (sl_rewrite_text(name, sl_buf_text(text), text->len, &job->rules, &rewrite, err) < 0)
		return -1;
	if (job->given->check)
		return sl_check_text(&job->check, name, text, &job->rules, job->cluster, err);
	sl_info("%s: %zu containers, %zu with a chosen image, %zu to change", name, rewrite.containers, rewrite.chosen,
		rewrite.changed);
	return use_result(job, path, name, text, &rewrite, err);
}

static int rewrite_file(struct job *job, const char *path, struct sl_error *err)
{
	const char *name = !strcmp(path, "-") ? "standard input" : path;
	sl_autobuf struct sl_buf text = SL_BUF_INIT;
	return sl_file_read(path, &text, err) < 0 ? -1 : rewrite_text(job, path, name, &text, err);
}

/* All files, also those behind a bad one; every error but the last, which is for
 * the caller, is printed here. */
static int rewrite_files(struct job *job, const struct sl_strv *files, struct sl_error *err)
{
	int bad = 0;
	for (size_t i = 0; i < files->n; i++) {
		struct sl_error why = SL_ERROR_INIT;
		if (rewrite_file(job, files->items[i], &why) == 0)
			continue;
		if (bad++)
			fprintf(stderr, "sidelift: %s\n", err->message);
		*err = why;
		err->status = SL_FAILED;
	}
	return bad ? -1 : 0;
}

static int rewrite_kustomization(struct job *job, const struct sl_cli *cli, struct sl_error *err)
{
	const struct sl_kubectl kubectl = { .kubeconfig = cli->kubeconfig, .cancel = &cli->cancel };
	sl_autobuf struct sl_buf text = SL_BUF_INIT;
	if (sl_sources_kustomize(job->given->kustomize, &kubectl, &text, err) < 0)
		return -1;
	return rewrite_text(job, NULL, job->given->kustomize, &text, err);
}

/* Print what there is.  A filter prints nothing when a file was bad: half of what
 * was asked for is nothing to pipe into kubectl apply. */
static int finish(struct job *job, int failed, bool json, struct sl_error *err)
{
	const struct rewrite_options *given = job->given;
	bool filter = !given->in_place && !given->diff && !given->check;
	if (job->output.failed)
		return sl_error_set(err, SL_FAILED, "more output than %zu MiB", OUTPUT_MAX >> 20);
	if (failed && filter)
		return -1;
	fwrite(sl_buf_text(&job->output), 1, job->output.len, stdout);
	if (given->check)
		sl_check_print(&job->check, json);
	if (failed)
		return -1;
	if (sl_cli_flush(err) < 0)
		return -1;
	return job->check.n ? SL_ANSWER_NO : 0;
}

/* What is asked of the cluster where no --image is given: which images are local, and
 * for --check what else there is to know. */
static int ask_cluster(struct sl_cli *cli, const struct rewrite_options *given, struct sl_strv *images, struct sl_facts *facts,
		       struct sl_error *err)
{
	struct sl_error ignored = SL_ERROR_INIT;
	struct sl_kubectl kubectl;
	if (!given->check)
		return sideloaded_images(cli, images, err);
	if (sl_cli_cluster(cli, err) == 0) {
		const struct sl_engine *engine = sl_cli_engine(cli, &ignored) == 0 ? &cli->engine : NULL;
		bool served = sl_cli_kubectl(cli, NULL, &kubectl, &ignored) == 0;
		int rc = sl_facts_read(&cli->cluster, engine, served ? &kubectl : NULL, &cli->cancel, facts, err);
		for (size_t i = 0; rc == 0 && i < facts->local.n; i++)
			rc = sl_strv_add(images, facts->local.items[i]) < 0 ? sl_error_nomem(err) : 0;
		if (rc == 0)
			return 0;
	}
	if (err->status != SL_INTERRUPTED)
		err->status = SL_FAILED;
	return sl_error_wrap(err, "no --image, and what the cluster has is not known");
}

static int run_with(struct sl_cli *cli, const struct rewrite_options *given, const struct sl_strv *paths, struct sl_facts *facts,
		    struct sl_error *err)
{
	sl_autostrv struct sl_strv images = SL_STRV_INIT;
	sl_autostrv struct sl_strv files = SL_STRV_INIT;
	if (check_usage(given, paths, err) < 0 || canonical_images(&given->images, &images, err) < 0 || sl_sources_expand(paths, &files, err) < 0)
		return -1;
	if (!given->images.n && ask_cluster(cli, given, &images, facts, err) < 0)
		return -1;
	const struct sl_lint_cluster cluster = { facts, sl_facts_ask };
	struct job job = {
		.given = given,
		.rules = { .images = &images, .policy = given->policy ? given->policy : "Never", .drop_pull_secrets = given->drop_pull_secrets },
		.cluster = given->images.n ? NULL : &cluster,
		.several = files.n > 1,
		.quiet = cli->quiet,
		.output = { .max = OUTPUT_MAX },
	};
	int failed = given->kustomize ? rewrite_kustomization(&job, cli, err) : rewrite_files(&job, &files, err);
	int code = finish(&job, failed, cli->json, err);
	sl_buf_release(&job.output);
	sl_check_release(&job.check);
	return code;
}

static int run(int argc, char **argv, struct sl_cli *cli, struct sl_error *err)
{
	struct rewrite_options given = { 0 };
	struct sl_facts facts = { 0 };
	sl_autostrv struct sl_strv paths = SL_STRV_INIT;
	int first, code = 2;
	if (sl_cli_parse(cli, &sl_command_rewrite, argc, argv, &given, &first, err) == 0 && !cli->help) {
		code = 0;
		for (int i = first; code == 0 && i < argc; i++)
			code = sl_strv_add(&paths, argv[i]) < 0 ? sl_error_nomem(err) : 0;
		if (code == 0)
			code = run_with(cli, &given, &paths, &facts, err);
	}
	sl_facts_release(&facts);
	sl_strv_release(&given.images);
	return code < 0 ? 1 : code;
}

const struct sl_command sl_command_rewrite = {
	.name = "rewrite",
	.usage = "[--image REF]... [--in-place | --diff | --check] PATH...|-",
	.summary = "set imagePullPolicy in manifests for side-loaded images",
	.help = "Sets imagePullPolicy in every container that runs one of the images, and leaves every other\n"
		"byte of the manifests as it is.  Prints the result, so that it serves as a filter:\n"
		"kustomize build | sidelift rewrite - | kubectl apply -f -",
	.options = options,
	.n_options = sizeof(options) / sizeof(options[0]),
	.run = run,
};
