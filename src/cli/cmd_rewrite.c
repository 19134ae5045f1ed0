/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/log.h"
#include "cli/cli.h"
#include "flow/sideloaded.h"
#include "image/reference.h"
#include "manifest/diff.h"
#include "manifest/rewrite.h"

#define OUTPUT_MAX ((size_t)1 << 30) /* bytes, of all files together */

struct rewrite_options {
	struct sl_strv images;
	const char *policy;
	bool in_place, diff, check;
};

#define AT(field) offsetof(struct rewrite_options, field)
static const struct sl_option options[] = {
	{ "image", 0, SL_OPTION_LIST, "REF", AT(images), "change containers of this image; may be repeated (default: what was side-loaded)" },
	{ "policy", 0, SL_OPTION_TEXT, "POLICY", AT(policy), "Never (the default), IfNotPresent or Always" },
	{ "in-place", 0, SL_OPTION_FLAG, NULL, AT(in_place), "change the files themselves" },
	{ "diff", 0, SL_OPTION_FLAG, NULL, AT(diff), "print what would change, for patch" },
	{ "check", 0, SL_OPTION_FLAG, NULL, AT(check), "change nothing; exit 4 if something would change" },
};

/* One run over all files. */
struct job {
	const struct rewrite_options *given;
	struct sl_rewrite_rules rules;
	bool several, quiet;
	struct sl_buf output; /* printed at the end */
	size_t changed;       /* files */
};

static int check_usage(const struct rewrite_options *given, int n_paths, char **paths, struct sl_error *err)
{
	if (given->policy && !sl_policy_exists(given->policy))
		return sl_error_set(err, SL_USAGE, "--policy is Never, IfNotPresent or Always, not '%s'", given->policy);
	if (given->in_place + given->diff + given->check > 1)
		return sl_error_set(err, SL_USAGE, "--in-place, --diff and --check exclude each other");
	if (!n_paths)
		return sl_error_set(err, SL_USAGE, "no manifest; name one: sidelift rewrite FILE, or - for standard input");
	int standard = 0;
	for (int i = 0; i < n_paths; i++)
		standard += !strcmp(paths[i], "-");
	if (standard && given->in_place)
		return sl_error_set(err, SL_USAGE, "--in-place changes files, and - is standard input");
	if (standard > 1)
		return sl_error_set(err, SL_USAGE, "- stands for standard input, which can be read once");
	return 0;
}

/* The images in @given in canonical form. */
static int canonical_images(const struct sl_strv *given, struct sl_strv *images, struct sl_error *err)
{
	for (size_t i = 0; i < given->n; i++) {
		sl_autoref struct sl_reference ref = SL_REFERENCE_INIT;
		if (sl_reference_parse(given->items[i], &ref, err) < 0)
			return -1;
		sl_autofree char *canonical = sl_reference_canonical(&ref);
		if (!canonical || sl_strv_add_new(images, canonical) < 0)
			return sl_error_nomem(err);
	}
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

static int read_manifest(const char *path, struct sl_buf *text, struct sl_error *err)
{
	struct stat st;
	if (strcmp(path, "-") != 0 && stat(path, &st) == 0 && S_ISDIR(st.st_mode))
		return sl_error_set(err, SL_FAILED, "%s: is a directory; name its files: sidelift rewrite %s/*.yaml", path, path);
	return sl_file_read(path, text, err);
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

static int use_result(struct job *job, const char *path, const char *name, const struct sl_buf *text,
		      const struct sl_rewrite *rewrite, struct sl_error *err)
{
	const struct rewrite_options *given = job->given;
	if (given->diff)
		return sl_diff_unified(name, sl_buf_text(text), text->len, rewrite, &job->output, err);
	if (!given->check && !given->in_place) {
		put_document(job, &rewrite->text);
		return 0;
	}
	if (!rewrite->changed)
		return 0;
	if (given->in_place && sl_file_replace(path, rewrite->text.data, rewrite->text.len, err) < 0)
		return -1;
	if (!job->quiet)
		sl_buf_printf(&job->output, "%s: %s %s in %zu of %zu containers\n", name,
			      given->in_place ? "imagePullPolicy is now" : "imagePullPolicy would become", job->rules.policy,
			      rewrite->changed, rewrite->containers);
	return 0;
}

static int rewrite_file(struct job *job, const char *path, struct sl_error *err)
{
	const char *name = !strcmp(path, "-") ? "standard input" : path;
	sl_autobuf struct sl_buf text = SL_BUF_INIT;
	sl_autorewrite struct sl_rewrite rewrite = SL_REWRITE_INIT;
	if (read_manifest(path, &text, err) < 0 ||
	    sl_rewrite_text(name, sl_buf_text(&text), text.len, &job->rules, &rewrite, err) < 0)
		return -1;
	sl_info("%s: %zu containers, %zu with a chosen image, %zu to change", name, rewrite.containers, rewrite.chosen,
		rewrite.changed);
	job->changed += rewrite.changed > 0;
	return use_result(job, path, name, &text, &rewrite, err);
}

/* All files, also those behind a bad one; every error but the last, which is for
 * the caller, is printed here. */
static int rewrite_files(struct job *job, int n_paths, char **paths, struct sl_error *err)
{
	int bad = 0;
	for (int i = 0; i < n_paths; i++) {
		struct sl_error why = SL_ERROR_INIT;
		if (rewrite_file(job, paths[i], &why) == 0)
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
static int finish(struct job *job, int failed, struct sl_error *err)
{
	const struct rewrite_options *given = job->given;
	bool filter = !given->in_place && !given->diff && !given->check;
	if (job->output.failed)
		return sl_error_set(err, SL_FAILED, "more output than %zu MiB", OUTPUT_MAX >> 20);
	if (failed && filter)
		return -1;
	fwrite(sl_buf_text(&job->output), 1, job->output.len, stdout);
	if (failed)
		return -1;
	if (sl_cli_flush(err) < 0)
		return -1;
	return given->check && job->changed ? SL_ANSWER_NO : 0;
}

static int run_with(struct sl_cli *cli, const struct rewrite_options *given, int n_paths, char **paths,
		    struct sl_error *err)
{
	sl_autostrv struct sl_strv images = SL_STRV_INIT;
	if (check_usage(given, n_paths, paths, err) < 0 || canonical_images(&given->images, &images, err) < 0)
		return -1;
	if (!given->images.n && sideloaded_images(cli, &images, err) < 0)
		return -1;
	struct job job = {
		.given = given,
		.rules = { &images, given->policy ? given->policy : "Never" },
		.several = n_paths > 1,
		.quiet = cli->quiet,
		.output = { .max = OUTPUT_MAX },
	};
	int failed = rewrite_files(&job, n_paths, paths, err);
	int code = finish(&job, failed, err);
	sl_buf_release(&job.output);
	return code;
}

static int run(int argc, char **argv, struct sl_cli *cli, struct sl_error *err)
{
	struct rewrite_options given = { 0 };
	int first, code = 2;
	if (sl_cli_parse(cli, &sl_command_rewrite, argc, argv, &given, &first, err) == 0 && !cli->help)
		code = run_with(cli, &given, argc - first, argv + first, err);
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
