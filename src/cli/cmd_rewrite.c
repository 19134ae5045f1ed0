/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/log.h"
#include "cli/cli.h"
#include "cli/push.h"
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
	const char *policy, *kustomize, *via;
	bool drop_pull_secrets, in_place, diff, check;
};

#define AT(field) offsetof(struct rewrite_options, field)
static const struct sl_option options[] = {
	{ "image", 0, SL_OPTION_LIST, "REF", AT(images), "change containers of this image; may be repeated (default: what was side-loaded)" },
	{ "policy", 0, SL_OPTION_TEXT, "POLICY", AT(policy), "Never (the default), IfNotPresent or Always" },
	{ "via", 0, SL_OPTION_TEXT, "WAY", AT(via), "name images as load --via pushed them, by digest: registry or registry=HOST[:PORT][/PREFIX]" },
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

/* The images in @given in canonical form. */
static int canonical_images(const struct sl_strv *given, struct sl_strv *images, struct sl_error *err)
{
	for (size_t i = 0; i < given->n; i++)
		if (sl_reference_add(images, given->items[i], err) < 0)
			return -1;
	return 0;
}

static int check_usage(const struct rewrite_options *given, const struct sl_strv *paths, struct sl_error *err)
{
	if (given->policy && !sl_policy_exists(given->policy))
		return sl_error_set(err, SL_USAGE, "--policy is Never, IfNotPresent or Always, not '%s'", given->policy);
	if (given->in_place + given->diff + given->check > 1)
		return sl_error_set(err, SL_USAGE, "--in-place, --diff and --check exclude each other");
	if (given->via && (sl_via_check(given->via, err) < 0))
		return -1;
	if (given->via && given->check)
		return sl_error_set(err, SL_USAGE, "--check asks what the nodes hold; with --via they pull");
	if (given->via && given->policy && !strcmp(given->policy, "Never"))
		return sl_error_set(err, SL_USAGE, "--policy Never keeps the nodes from pulling, which --via is for");
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

/* ---- what there is to rewrite ---- */

struct input {
	const char *path; /* NULL: of -k */
	const char *name;
	struct sl_buf text;
	struct sl_error error; /* why it could not be read */
};

struct inputs {
	struct input *items;
	size_t n;
};

static void inputs_release(struct inputs *inputs)
{
	for (size_t i = 0; i < inputs->n; i++)
		sl_buf_release(&inputs->items[i].text);
	free(inputs->items);
}
#define autoinputs SL_CLEANUP(inputs_release)

static int read_inputs(const struct sl_strv *files, const char *kustomize, const struct sl_cli *cli, struct inputs *inputs, struct sl_error *err)
{
	const struct sl_kubectl kubectl = { .kubeconfig = cli->kubeconfig, .cancel = &cli->cancel };
	inputs->items = calloc(files->n + 1, sizeof(*inputs->items));
	if (!inputs->items)
		return sl_error_nomem(err);
	for (; inputs->n < files->n; inputs->n++) {
		struct input *input = &inputs->items[inputs->n];
		input->path = files->items[inputs->n];
		input->name = !strcmp(input->path, "-") ? "standard input" : input->path;
		/* the others are served all the same */
		if (sl_file_read(input->path, &input->text, &input->error) < 0)
			sl_info("%s", input->error.message);
	}
	if (!kustomize)
		return 0;
	inputs->items[inputs->n].name = kustomize;
	return sl_sources_kustomize(kustomize, &kubectl, &inputs->items[inputs->n++].text, err);
}

/* All of them, also those behind a bad one; every error but the last, which is for
 * the caller, is printed here. */
static int rewrite_all(struct job *job, const struct inputs *inputs, struct sl_error *err)
{
	int bad = 0;
	for (size_t i = 0; i < inputs->n; i++) {
		const struct input *input = &inputs->items[i];
		struct sl_error why = input->error;
		if (why.status == SL_OK && rewrite_text(job, input->path, input->name, &input->text, &why) == 0)
			continue;
		if (bad++)
			fprintf(stderr, "sidelift: %s\n", err->message);
		*err = why;
		err->status = SL_FAILED;
	}
	return bad ? -1 : 0;
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

/* By --via: the images that the manifests name, or those of --image, as the registry has
 * them. */
static int ask_registry(struct sl_cli *cli, const struct rewrite_options *given, const struct inputs *inputs, struct sl_strv *images,
			struct sl_strv *becomes, struct sl_error *err)
{
	sl_autostrv struct sl_strv names = *images;
	struct sl_via via = { 0 };
	int rc = 0;
	*images = (struct sl_strv)SL_STRV_INIT;
	for (size_t i = 0; rc == 0 && !given->images.n && i < inputs->n; i++) {
		struct sl_error ignored = SL_ERROR_INIT; /* it is told when the file is rewritten */
		if (sl_manifest_images(inputs->items[i].name, sl_buf_text(&inputs->items[i].text), inputs->items[i].text.len, &names, &ignored) < 0)
			sl_debug("%s", ignored.message);
	}
	if (rc == 0)
		rc = sl_cli_via(cli, given->via, &via, err);
	if (rc == 0)
		rc = sl_via_references(&via, &names, given->images.n > 0, images, becomes, err);
	sl_via_release(&via);
	return rc;
}

/* Which images are chosen: those in @images, which are those of --image, or by whom it is
 * known. */
static int choose_images(struct sl_cli *cli, const struct rewrite_options *given, const struct inputs *inputs, struct sl_strv *images,
			 struct sl_strv *becomes, struct sl_facts *facts, struct sl_error *err)
{
	if (given->via)
		return ask_registry(cli, given, inputs, images, becomes, err);
	return given->images.n ? 0 : ask_cluster(cli, given, images, facts, err);
}

static int run_with(struct sl_cli *cli, const struct rewrite_options *given, const struct sl_strv *paths, struct sl_facts *facts,
		    struct sl_error *err)
{
	sl_autostrv struct sl_strv images = SL_STRV_INIT, becomes = SL_STRV_INIT, files = SL_STRV_INIT;
	autoinputs struct inputs inputs = { NULL, 0 };
	if (check_usage(given, paths, err) < 0 || canonical_images(&given->images, &images, err) < 0 || sl_sources_expand(paths, &files, err) < 0 ||
	    read_inputs(&files, given->kustomize, cli, &inputs, err) < 0 || choose_images(cli, given, &inputs, &images, &becomes, facts, err) < 0)
		return -1;
	const struct sl_lint_cluster cluster = { facts, sl_facts_ask };
	struct job job = {
		.given = given,
		.rules = { .images = &images, .policy = given->policy ? given->policy : given->via ? "IfNotPresent" : "Never",
			   .becomes = given->via ? &becomes : NULL, .drop_pull_secrets = given->drop_pull_secrets },
		.cluster = given->images.n ? NULL : &cluster,
		.several = files.n > 1,
		.quiet = cli->quiet,
		.output = { .max = OUTPUT_MAX },
	};
	int failed = rewrite_all(&job, &inputs, err);
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
