/* SPDX-License-Identifier: Apache-2.0 */
#include "flow/up_roots.h"

#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/log.h"
#include "base/yaml.h"

#define ROOTS_MAX 1000 /* nobody's kustomization names more */
#define DEPTH_MAX 32   /* of kustomizations in each other */

void sl_roots_release(struct sl_roots *roots)
{
	for (size_t i = 0; i < roots->n; i++) {
		struct sl_root *root = roots->items[i];
		free(root->dir);
		free(root->real);
		free(root->name);
		free(root->dockerfile);
		free(root->own_ignore);
		sl_ignore_release(&root->ignore);
		free(root);
	}
	free(roots->items);
	*roots = (struct sl_roots){ 0 };
}

/* ---- what counts ---- */

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');
	return slash ? slash + 1 : path;
}

/* What vim, Emacs, nano, gedit and the JetBrains IDEs put beside a file while it is edited. */
static bool is_editors(const char *name)
{
	static const char *const patterns[] = { "*~", ".*.sw[a-z]", ".#*", "#*#", "4913", ".goutputstream-*", "*___jb_tmp___", "*___jb_old___" };
	for (size_t i = 0; i < sizeof(patterns) / sizeof(patterns[0]); i++)
		if (fnmatch(patterns[i], name, 0) == 0)
			return true;
	return false;
}

static bool is_manifest(const char *name)
{
	const char *dot = strrchr(name, '.');
	return dot && (!strcmp(dot, ".yaml") || !strcmp(dot, ".yml") || !strcmp(dot, ".json"));
}

static bool is_below(const char *path, const char *dir)
{
	size_t len = strlen(dir);
	return path && !strncmp(path, dir, len) && path[len] == '/';
}

bool sl_root_is_ignore(const struct sl_root *root, const char *path)
{
	return root->kind == SL_ROOT_CONTEXT && (!strcmp(path, ".dockerignore") || (root->own_ignore && !strcmp(path, root->own_ignore)) ||
						 (root->podman && !strcmp(path, ".containerignore")));
}

static enum sl_watch_answer ask_context(const struct sl_root *root, const char *path, bool directory)
{
	/* the builder gets these, whatever is ignored */
	if (!directory && (sl_root_is_ignore(root, path) || (root->dockerfile && !strcmp(path, root->dockerfile))))
		return SL_WATCH_TAKE;
	if (is_editors(base_name(path)))
		return SL_WATCH_PASS;
	if (!sl_ignore_matches(&root->ignore, path))
		return SL_WATCH_TAKE;
	return sl_ignore_may_return(&root->ignore, path) || is_below(root->dockerfile, path) || is_below(root->own_ignore, path) ?
	       SL_WATCH_PASS : SL_WATCH_SKIP;
}

static size_t depth_of(const char *path)
{
	size_t n = 0;
	for (; *path; path++)
		n += *path == '/';
	return n;
}

/* A pattern of -f stands for files, and for directories with manifests in them. */
static enum sl_watch_answer ask_pattern(const struct sl_root *root, const char *path, bool directory)
{
	sl_autofree char *full = NULL, *parent = NULL;
	const char *dir = !strcmp(root->dir, ".") && strncmp(root->name, "./", 2) != 0 ? "" : root->dir;
	if (asprintf(&full, "%s%s%s", dir, *dir && strcmp(dir, "/") != 0 ? "/" : "", path) < 0 || !(parent = strdup(full)))
		return SL_WATCH_TAKE;
	char *slash = strrchr(parent, '/');
	if (slash)
		*slash = '\0';
	bool matches = fnmatch(root->name, full, FNM_PATHNAME | FNM_PERIOD) == 0;
	if (directory)
		return depth_of(full) < depth_of(root->name) || matches ? SL_WATCH_PASS : SL_WATCH_SKIP;
	if (matches)
		return SL_WATCH_TAKE;
	if (slash && is_manifest(path) && fnmatch(root->name, parent, FNM_PATHNAME | FNM_PERIOD) == 0)
		return SL_WATCH_TAKE;
	return SL_WATCH_PASS;
}

enum sl_watch_answer sl_root_ask(const char *path, bool directory, void *ctx)
{
	const struct sl_root *root = ctx;
	const char *name = base_name(path);
	if (!strcmp(name, ".git"))
		return SL_WATCH_SKIP;
	switch (root->kind) {
	case SL_ROOT_CONTEXT:
		return ask_context(root, path, directory);
	case SL_ROOT_FILE:
		return directory ? SL_WATCH_SKIP : !strcmp(path, root->name) ? SL_WATCH_TAKE : SL_WATCH_PASS;
	case SL_ROOT_MANIFESTS:
		return directory ? SL_WATCH_SKIP : is_manifest(name) && !is_editors(name) ? SL_WATCH_TAKE : SL_WATCH_PASS;
	case SL_ROOT_PATTERN:
		return ask_pattern(root, path, directory);
	case SL_ROOT_KUSTOMIZE:
		break;
	}
	return is_editors(name) ? SL_WATCH_PASS : SL_WATCH_TAKE;
}

/* ---- .dockerignore ---- */

/* -1 when it is there and cannot be taken; *found otherwise. */
static int try_ignore(struct sl_root *root, const char *name, bool *found, struct sl_error *err)
{
	sl_autofree char *path = NULL;
	sl_autobuf struct sl_buf text = SL_BUF_INIT;
	struct sl_error why = SL_ERROR_INIT;
	if (asprintf(&path, "%s/%s", root->dir, name) < 0) {
		path = NULL;
		return sl_error_nomem(err);
	}
	*found = sl_file_read(path, &text, &why) == 0;
	if (!*found && why.status == SL_NOT_FOUND)
		return 0;
	if (!*found) {
		*err = why;
		return -1;
	}
	return sl_ignore_parse(sl_buf_text(&text), text.len, &root->ignore, err) < 0 ? sl_error_wrap(err, "%s", path) : 0;
}

int sl_root_read_ignore(struct sl_root *root, struct sl_error *err)
{
	const char *const names[] = { root->own_ignore, root->podman ? ".containerignore" : NULL, ".dockerignore" };
	bool found = false;
	sl_ignore_release(&root->ignore);
	for (size_t i = 0; !found && i < sizeof(names) / sizeof(names[0]); i++)
		if (names[i] && try_ignore(root, names[i], &found, err) < 0)
			return -1;
	return 0;
}

/* ---- roots ---- */

static bool is_there(const struct sl_roots *roots, const struct sl_root *wanted)
{
	for (size_t i = 0; i < roots->n; i++) {
		const struct sl_root *root = roots->items[i];
		if (root->kind == wanted->kind && root->owner == wanted->owner && !strcmp(root->dir, wanted->dir) &&
		    (!root->name || !strcmp(root->name, wanted->name)))
			return true;
	}
	return false;
}

/* What the parts below share. */
struct adding {
	struct sl_roots *roots;
	struct sl_watch *watch;
	const struct sl_watch_ops *ops;
	void *owner;
};

/* *@out: the root, or NULL when it was there. */
static int add(const struct adding *adding, enum sl_root_kind kind, const char *dir, const char *name, struct sl_root **out, struct sl_error *err)
{
	struct sl_roots *roots = adding->roots;
	const struct sl_root wanted = { .kind = kind, .dir = (char *)dir, .name = (char *)name, .owner = adding->owner };
	*out = NULL;
	if (is_there(roots, &wanted))
		return 0;
	if (roots->n >= ROOTS_MAX)
		return sl_error_set(err, SL_FAILED, "more than %d files and directories to watch for the manifests", ROOTS_MAX);
	struct sl_root **items = realloc(roots->items, (roots->n + 1) * sizeof(*items));
	if (!items)
		return sl_error_nomem(err);
	roots->items = items;
	struct sl_root *root = calloc(1, sizeof(*root));
	if (!root)
		return sl_error_nomem(err);
	roots->items[roots->n++] = root;
	*root = (struct sl_root){ .kind = kind, .dir = strdup(dir), .real = realpath(dir, NULL), .name = name ? strdup(name) : NULL,
				  .owner = adding->owner };
	if (!root->dir || (name && !root->name))
		return sl_error_nomem(err);
	*out = root;
	return 0;
}

static int add_and_watch(const struct adding *adding, enum sl_root_kind kind, const char *dir, const char *name, struct sl_error *err)
{
	struct sl_root *root;
	if (add(adding, kind, dir, name, &root, err) < 0)
		return -1;
	return root ? sl_watch_add(adding->watch, root->dir, adding->ops, root, err) : 0;
}

/* The file @path, in its directory: it may be replaced, and be away for a moment. */
static int add_name(const struct adding *adding, const char *path, struct sl_error *err)
{
	const char *name = base_name(path);
	sl_autofree char *dir = name == path ? strdup(".") : strndup(path, name - path > 1 ? (size_t)(name - path - 1) : 1);
	return dir ? add_and_watch(adding, SL_ROOT_FILE, dir, name, err) : sl_error_nomem(err);
}

/* And where it leads, if it is a link. */
static int add_file(const struct adding *adding, const char *path, struct sl_error *err)
{
	struct stat st;
	if (add_name(adding, path, err) < 0)
		return -1;
	if (lstat(path, &st) < 0 || !S_ISLNK(st.st_mode))
		return 0;
	sl_autofree char *real = realpath(path, NULL);
	return real ? add_name(adding, real, err) : 0;
}

/* ---- of a build ---- */

/* The last -f or --file among the builder's options. */
static const char *dockerfile_of(const struct sl_strv *options)
{
	const char *file = NULL;
	for (size_t i = 0; options && i < options->n; i++) {
		const char *option = options->items[i];
		if ((!strcmp(option, "-f") || !strcmp(option, "--file")) && i + 1 < options->n)
			file = options->items[++i];
		else if (!strncmp(option, "--file=", 7))
			file = option + 7;
		else if (!strncmp(option, "-f", 2) && option[2])
			file = option + 2 + (option[2] == '=');
	}
	return file;
}

/* @file, which may not exist yet, relative to @dir; NULL when it is not below it. */
static char *relative_to(const char *dir, const char *file)
{
	const char *name = base_name(file);
	sl_autofree char *parent = name == file ? strdup(".") : strndup(file, (size_t)(name - file));
	sl_autofree char *real = parent ? realpath(parent, NULL) : NULL, *real_dir = realpath(dir, NULL);
	char *path = NULL;
	if (!real || !real_dir)
		return NULL;
	if (!strcmp(real, real_dir))
		return strdup(name);
	if (!is_below(real, real_dir) && strcmp(real_dir, "/") != 0)
		return NULL;
	return asprintf(&path, "%s/%s", real + strlen(real_dir) + (strcmp(real_dir, "/") != 0), name) < 0 ? NULL : path;
}

/* Which Dockerfile, and which ignore file goes with it.  The classic builder knows only
 * .dockerignore. */
static int set_dockerfile(const struct adding *adding, struct sl_root *root, const struct sl_up *up, struct sl_error *err)
{
	const char *buildkit = getenv("DOCKER_BUILDKIT"), *given = dockerfile_of(up->build_options);
	bool classic = buildkit && !strcmp(buildkit, "0");
	root->podman = !strcmp(up->builder, "podman");
	root->dockerfile = given ? relative_to(root->dir, given) : strdup("Dockerfile");
	if (given && !root->dockerfile && strcmp(given, "-") != 0 && add_file(adding, given, err) < 0)
		return -1;
	if (root->dockerfile && !root->podman && !classic && asprintf(&root->own_ignore, "%s.dockerignore", root->dockerfile) < 0)
		root->own_ignore = NULL;
	return 0;
}

int sl_roots_add_build(struct sl_roots *roots, struct sl_watch *watch, const struct sl_watch_ops *ops, const struct sl_up *up,
		       const struct sl_up_build *build, void *owner, struct sl_error *err)
{
	const struct adding adding = { roots, watch, ops, owner };
	const char *dir = build->dir ? build->dir : ".";
	struct sl_root *root;
	struct stat st;
	if (stat(dir, &st) < 0 || !S_ISDIR(st.st_mode))
		return sl_error_set(err, SL_USAGE, "--watch: '%s', from which '%s' is built, is not a directory here", dir, build->given);
	if (add(&adding, SL_ROOT_CONTEXT, dir, NULL, &root, err) < 0)
		return -1;
	if (!root)
		return 0;
	if (build->dir && set_dockerfile(&adding, root, up, err) < 0)
		return -1;
	struct sl_error why = SL_ERROR_INIT;
	if (sl_root_read_ignore(root, &why) < 0)
		sl_warn("%s; until then nothing is ignored", why.message);
	return sl_watch_add(watch, root->dir, ops, root, err);
}

/* ---- of the manifests ---- */

static int add_kustomization(const struct adding *adding, const char *dir, unsigned depth, struct sl_error *err);

/* What @text, somewhere in the kustomization in @dir, may name: a file or a directory,
 * as `path` or as `key=path`. */
static int add_named(const struct adding *adding, const char *dir, const char *text, unsigned depth, struct sl_error *err)
{
	const char *const candidates[] = { text, strchr(text, '=') ? strchr(text, '=') + 1 : NULL };
	if (strlen(text) > 1000 || strpbrk(text, "\n") || strstr(text, "://"))
		return 0;
	for (size_t i = 0; i < 2; i++) {
		sl_autofree char *path = NULL;
		struct stat st;
		if (!candidates[i] || !*candidates[i] || candidates[i][0] == '/')
			continue;
		if (asprintf(&path, "%s/%s", dir, candidates[i]) < 0) {
			path = NULL;
			return sl_error_nomem(err);
		}
		if (stat(path, &st) < 0)
			continue;
		if (S_ISDIR(st.st_mode) ? add_kustomization(adding, path, depth + 1, err) < 0 : S_ISREG(st.st_mode) && add_file(adding, path, err) < 0)
			return -1;
	}
	return 0;
}

static int add_all_named(const struct adding *adding, const char *dir, const struct sl_yaml_node *node, unsigned depth, struct sl_error *err)
{
	node = sl_yaml_resolve(node);
	if (!node)
		return 0;
	if (node->kind == SL_YAML_SCALAR)
		return sl_yaml_str(node) ? add_named(adding, dir, sl_yaml_str(node), depth, err) : 0;
	size_t n = node->kind == SL_YAML_MAP ? 2 * node->n : node->n;
	for (size_t i = node->kind == SL_YAML_MAP; i < n; i += node->kind == SL_YAML_MAP ? 2 : 1)
		if (add_all_named(adding, dir, node->items[i], depth, err) < 0)
			return -1;
	return 0;
}

static int add_kustomization(const struct adding *adding, const char *dir, unsigned depth, struct sl_error *err)
{
	static const char *const names[] = { "kustomization.yaml", "kustomization.yml", "Kustomization" };
	sl_autofree char *real = realpath(dir, NULL);
	size_t before = adding->roots->n;
	if (!real || depth > DEPTH_MAX)
		return 0;
	if (add_and_watch(adding, depth ? SL_ROOT_MANIFESTS : SL_ROOT_KUSTOMIZE, depth ? real : dir, NULL, err) < 0)
		return -1;
	if (depth && adding->roots->n == before)
		return 0; /* a circle, or known already */
	for (size_t i = 0; i < 3; i++) {
		sl_autofree char *path = NULL;
		sl_autobuf struct sl_buf text = SL_BUF_INIT;
		struct sl_error ignored = SL_ERROR_INIT;
		if (asprintf(&path, "%s/%s", dir, names[i]) < 0) {
			path = NULL;
			return sl_error_nomem(err);
		}
		/* what is wrong with it kubectl says, in the round */
		if (sl_file_read(path, &text, &ignored) < 0)
			continue;
		sl_autoyaml struct sl_yaml *yaml = sl_yaml_parse(sl_buf_text(&text), text.len, path, &ignored);
		if (add_file(adding, path, err) < 0 || (yaml && add_all_named(adding, dir, sl_yaml_root(yaml, 0), depth, err) < 0))
			return -1;
	}
	return 0;
}

/* Watched is the directory before the first wildcard. */
static int add_pattern(const struct adding *adding, const char *pattern, struct sl_error *err)
{
	size_t len = strcspn(pattern, "*?[");
	while (len && pattern[len - 1] != '/')
		len--;
	sl_autofree char *dir = len > 1 ? strndup(pattern, len - 1) : strdup(len ? "/" : ".");
	return dir ? add_and_watch(adding, SL_ROOT_PATTERN, dir, pattern, err) : sl_error_nomem(err);
}

int sl_roots_add_manifests(struct sl_roots *roots, struct sl_watch *watch, const struct sl_watch_ops *ops, const struct sl_up *up, void *owner,
			   struct sl_error *err)
{
	const struct adding adding = { roots, watch, ops, owner };
	for (size_t i = 0; i < up->sources.paths->n; i++) {
		const char *path = up->sources.paths->items[i];
		struct stat st;
		bool there = stat(path, &st) == 0;
		int rc = there && S_ISDIR(st.st_mode) ? add_and_watch(&adding, SL_ROOT_MANIFESTS, path, NULL, err) :
			 !there && strpbrk(path, "*?[") ? add_pattern(&adding, path, err) : add_file(&adding, path, err);
		if (rc < 0)
			return -1;
	}
	return up->sources.kustomize ? add_kustomization(&adding, up->sources.kustomize, 0, err) : 0;
}
