/* SPDX-License-Identifier: Apache-2.0 */
#include "flow/sources.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <glob.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "manifest/rewrite.h"

static bool is_manifest_name(const struct dirent *entry)
{
	const char *dot = strrchr(entry->d_name, '.');
	return dot && (!strcmp(dot, ".yaml") || !strcmp(dot, ".yml") || !strcmp(dot, ".json"));
}

static int take_manifest(const struct dirent *entry)
{
	return is_manifest_name(entry);
}

static int add_directory(const char *path, struct sl_strv *files, struct sl_error *err)
{
	struct dirent **entries;
	int n = scandir(path, &entries, take_manifest, alphasort), rc = 0;
	if (n < 0)
		return sl_error_errno(err, errno, "%s", path);
	for (int i = 0; i < n; i++) {
		sl_autofree char *full = NULL;
		if (rc == 0 && (asprintf(&full, "%s/%s", path, entries[i]->d_name) < 0 || sl_strv_add(files, full) < 0))
			rc = sl_error_nomem(err);
		free(entries[i]);
	}
	free(entries);
	if (rc == 0 && n == 0)
		return sl_error_set(err, SL_FAILED, "%s: no .yaml, .yml or .json is in this directory", path);
	return rc;
}

static int add_path(const char *path, struct sl_strv *files, struct sl_error *err)
{
	struct stat st;
	if (strstr(path, "://"))
		return sl_error_set(err, SL_USAGE, "%s: manifests are not fetched; save it to a file, look at it, and name that", path);
	if (strcmp(path, "-") != 0 && stat(path, &st) == 0 && S_ISDIR(st.st_mode))
		return add_directory(path, files, err);
	return sl_strv_add(files, path) < 0 ? sl_error_nomem(err) : 0;
}

static int add_pattern(const char *pattern, struct sl_strv *files, struct sl_error *err)
{
	glob_t found;
	struct stat st;
	if (stat(pattern, &st) == 0 || !strpbrk(pattern, "*?["))
		return add_path(pattern, files, err);
	if (glob(pattern, 0, NULL, &found) != 0)
		return sl_error_set(err, SL_NOT_FOUND, "no file matches '%s'", pattern);
	int rc = 0;
	for (size_t i = 0; rc == 0 && i < found.gl_pathc; i++)
		rc = add_path(found.gl_pathv[i], files, err);
	globfree(&found);
	return rc;
}

/* Whether the first instruction is FROM, behind comments, blank lines and ARG. */
static bool is_dockerfile(const char *text)
{
	while (*text) {
		text += strspn(text, " \t\r\n");
		if (!strncasecmp(text, "FROM", 4) && isblank((unsigned char)text[4]))
			return true;
		if (*text != '#' && (strncasecmp(text, "ARG", 3) != 0 || !isblank((unsigned char)text[3])))
			return false;
		text += strcspn(text, "\n");
	}
	return false;
}

/* @text behind what is in @stream.  JSON objects in a row become documents: kubectl
 * takes them only at the start of a stream. */
static int put(const char *name, const struct sl_buf *text, struct sl_buf *stream, struct sl_error *err)
{
	const char *at = sl_buf_text(text), *end = at + text->len;
	if (stream->len && stream->data[stream->len - 1] != '\n')
		sl_buf_puts(stream, "\n");
	at += strspn(at, " \t\r\n");
	if (*at != '{') {
		sl_buf_puts(stream, "---\n");
		return sl_buf_add(stream, at, (size_t)(end - at)) < 0 ? sl_error_set(err, SL_FAILED, "%s: too large", name) : 0;
	}
	while (at + strspn(at, " \t\r\n") < end) {
		json_error_t why;
		sl_autojson json_t *object = json_loadb(at, (size_t)(end - at), JSON_DISABLE_EOF_CHECK, &why);
		if (!object) { /* a YAML flow map */
			sl_buf_puts(stream, "---\n");
			return sl_buf_add(stream, at, (size_t)(end - at)) < 0 ? sl_error_nomem(err) : 0;
		}
		sl_buf_puts(stream, "---\n");
		if (sl_json_put(stream, object, JSON_COMPACT) < 0 || sl_buf_puts(stream, "\n") < 0)
			return sl_error_nomem(err);
		at += why.position;
	}
	return 0;
}

static int read_file(const char *path, struct sl_buf *stream, struct sl_strv *images, struct sl_error *err)
{
	const char *name = !strcmp(path, "-") ? "standard input" : path;
	sl_autobuf struct sl_buf text = SL_BUF_INIT;
	if (sl_file_read(path, &text, err) < 0)
		return -1;
	if (is_dockerfile(sl_buf_text(&text)))
		return sl_error_set(err, SL_USAGE, "%s: is a Dockerfile, not a manifest; its image is built by --build IMAGE=DIRECTORY", name);
	if (sl_manifest_images(name, sl_buf_text(&text), text.len, images, err) < 0)
		return -1;
	return put(name, &text, stream, err);
}

int sl_sources_kustomize(const char *dir, const struct sl_kubectl *kubectl, struct sl_buf *text, struct sl_error *err)
{
	const char *const args[] = { "kustomize", dir, NULL };
	if (strstr(dir, "://"))
		return sl_error_set(err, SL_USAGE, "%s: kustomizations are not fetched; save it to a directory, look at it, and name that", dir);
	return sl_kubectl_run(kubectl, args, NULL, text, err);
}

static int read_kustomize(const char *dir, const struct sl_kubectl *kubectl, struct sl_buf *stream, struct sl_strv *images,
			  struct sl_error *err)
{
	sl_autobuf struct sl_buf text = SL_BUF_INIT;
	if (sl_sources_kustomize(dir, kubectl, &text, err) < 0)
		return -1;
	if (sl_manifest_images("kustomize's output", sl_buf_text(&text), text.len, images, err) < 0)
		return -1;
	return put("kustomize's output", &text, stream, err);
}

int sl_sources_expand(const struct sl_strv *paths, struct sl_strv *files, struct sl_error *err)
{
	for (size_t i = 0; i < paths->n; i++)
		if (add_pattern(paths->items[i], files, err) < 0)
			return -1;
	return 0;
}

int sl_sources_read(const struct sl_sources *sources, const struct sl_kubectl *kubectl, struct sl_buf *stream,
		    struct sl_strv *images, struct sl_error *err)
{
	sl_autostrv struct sl_strv files = SL_STRV_INIT;
	if (sl_sources_expand(sources->paths, &files, err) < 0)
		return -1;
	for (size_t i = 0; i < files.n; i++)
		if (read_file(files.items[i], stream, images, err) < 0)
			return -1;
	if (sources->kustomize)
		return read_kustomize(sources->kustomize, kubectl, stream, images, err);
	return 0;
}
