/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster/kubeconfig.h"

#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/strv.h"
#include "base/yaml.h"

#define FILES_MAX 32

struct file {
	char *path;
	struct sl_yaml *yaml;
};

struct files {
	struct file items[FILES_MAX];
	size_t n;
};

void sl_context_release(struct sl_context *context)
{
	free(context->name);
	free(context->cluster);
	free(context->server);
	free(context->host);
	free(context->ca);
	free(context->file);
	*context = (struct sl_context){ 0 };
}

static void release_files(struct files *files)
{
	for (size_t i = 0; i < files->n; i++) {
		free(files->items[i].path);
		sl_yaml_free(files->items[i].yaml);
	}
}

/* Read one file; one that does not exist is passed over, as kubectl does. */
static int add_file(struct files *files, const char *path, bool must_exist, struct sl_error *err)
{
	sl_autobuf struct sl_buf text = SL_BUF_INIT;
	struct sl_error why = SL_ERROR_INIT;
	if (sl_file_read(path, &text, &why) < 0) {
		if (why.status == SL_NOT_FOUND && !must_exist)
			return 0;
		if (err)
			*err = why;
		return sl_error_wrap(err, "kubeconfig");
	}
	if (files->n == FILES_MAX)
		return sl_error_set(err, SL_FAILED, "KUBECONFIG lists more than %d files", FILES_MAX);
	struct file *file = &files->items[files->n];
	file->yaml = sl_yaml_parse(text.data, text.len, path, err);
	if (!file->yaml)
		return sl_error_wrap(err, "kubeconfig");
	file->path = strdup(path);
	if (!file->path) {
		sl_yaml_free(file->yaml);
		return sl_error_nomem(err);
	}
	files->n++;
	return 0;
}

static int read_files(struct files *files, const char *path, struct sl_error *err)
{
	const char *env = getenv("KUBECONFIG"), *home = getenv("HOME");
	if (path)
		return add_file(files, path, true, err);
	if (env && *env) {
		sl_autofree char *list = strdup(env);
		char *save = NULL;
		if (!list)
			return sl_error_nomem(err);
		for (char *item = strtok_r(list, ":", &save); item; item = strtok_r(NULL, ":", &save))
			if (add_file(files, item, false, err) < 0)
				return -1;
		return 0;
	}
	sl_autofree char *standard = NULL;
	if (asprintf(&standard, "%s/.kube/config", home ? home : "") < 0) {
		standard = NULL;
		return sl_error_nomem(err);
	}
	return add_file(files, standard, false, err);
}

/* The entry @name of list @list ("contexts"), its @part ("context"), in the first
 * file that has one; *file is that one. */
static const struct sl_yaml_node *find_entry(const struct files *files, const char *list, const char *part,
					     const char *name, const struct file **file)
{
	for (size_t i = 0; i < files->n; i++) {
		const struct sl_yaml_node *entries = sl_yaml_get(sl_yaml_root(files->items[i].yaml, 0), list);
		for (size_t j = 0; j < sl_yaml_len(entries); j++) {
			const struct sl_yaml_node *entry = sl_yaml_at(entries, j);
			const char *entry_name = sl_yaml_str(sl_yaml_get(entry, "name"));
			if (entry_name && !strcmp(entry_name, name)) {
				*file = &files->items[i];
				return sl_yaml_get(entry, part);
			}
		}
	}
	return NULL;
}

/* certificate-authority-data, or the file that certificate-authority names,
 * relative to the kubeconfig. */
static int read_ca(const struct sl_yaml_node *cluster, const struct file *file, char **ca, struct sl_error *err)
{
	const char *data = sl_yaml_str(sl_yaml_get(cluster, "certificate-authority-data"));
	const char *path = sl_yaml_str(sl_yaml_get(cluster, "certificate-authority"));
	sl_autobuf struct sl_buf pem = SL_BUF_INIT;
	if (data && *data) {
		if (sl_base64_decode(data, &pem) < 0)
			return sl_error_set(err, SL_FAILED, "kubeconfig %s: certificate-authority-data is not base64", file->path);
	} else if (path && *path) {
		const char *slash = strrchr(file->path, '/');
		sl_autofree char *full = NULL;
		int dir = *path == '/' || !slash ? 0 : (int)(slash + 1 - file->path);
		if (asprintf(&full, "%.*s%s", dir, file->path, path) < 0) {
			full = NULL;
			return sl_error_nomem(err);
		}
		if (sl_file_read(full, &pem, err) < 0)
			return sl_error_wrap(err, "kubeconfig %s: certificate-authority", file->path);
	} else {
		return 0;
	}
	*ca = sl_buf_steal(&pem);
	return *ca ? 0 : sl_error_nomem(err);
}

/* https://HOST[:PORT][/…] */
static int split_server(struct sl_context *context, struct sl_error *err)
{
	const char *at = strstr(context->server, "://");
	at = at ? at + 3 : context->server;
	const char *end = at + strcspn(at, "/");
	const char *close = *at == '[' ? memchr(at, ']', (size_t)(end - at)) : NULL;
	const char *colon = memrchr(close ? close : at, ':', (size_t)(end - (close ? close : at)));
	const char *host_end = close ? close : colon ? colon : end;
	context->host = strndup(at + (close ? 1 : 0), (size_t)(host_end - at - (close ? 1 : 0)));
	context->port = colon ? atoi(colon + 1) : !strncmp(context->server, "http://", 7) ? 80 : 443;
	return context->host ? 0 : sl_error_nomem(err);
}

static int take_cluster(const struct files *files, struct sl_context *out, struct sl_error *err)
{
	const struct file *file = NULL;
	const struct sl_yaml_node *cluster = find_entry(files, "clusters", "cluster", out->cluster, &file);
	const char *server = sl_yaml_str(sl_yaml_get(cluster, "server"));
	if (!server)
		return sl_error_set(err, SL_FAILED, "kubeconfig %s: context '%s' names cluster '%s', which has no server",
				    out->file, out->name, out->cluster);
	out->server = strdup(server);
	if (!out->server)
		return sl_error_nomem(err);
	return split_server(out, err) < 0 ? -1 : read_ca(cluster, file, &out->ca, err);
}

static int take_context(const struct files *files, const char *name, struct sl_context *out, struct sl_error *err)
{
	if (!files->n)
		return sl_error_set(err, SL_NOT_FOUND, "there is no kubeconfig");
	for (size_t i = 0; !name && i < files->n; i++) {
		const char *current = sl_yaml_str(sl_yaml_get(sl_yaml_root(files->items[i].yaml, 0), "current-context"));
		name = current && *current ? current : NULL;
	}
	if (!name)
		return sl_error_set(err, SL_NOT_FOUND, "the kubeconfig has no current context");
	const struct file *file = NULL;
	const struct sl_yaml_node *context = find_entry(files, "contexts", "context", name, &file);
	const char *cluster = sl_yaml_str(sl_yaml_get(context, "cluster"));
	if (!cluster)
		return sl_error_set(err, SL_FAILED, "the kubeconfig has no context '%s' (see kubectl config get-contexts)", name);
	out->name = strdup(name);
	out->cluster = strdup(cluster);
	out->file = strdup(file->path);
	if (!out->name || !out->cluster || !out->file)
		return sl_error_nomem(err);
	return take_cluster(files, out, err);
}

int sl_kubeconfig_context(const char *path, const char *name, struct sl_context *out, struct sl_error *err)
{
	struct files files = { 0 };
	*out = (struct sl_context){ 0 };
	int rc = read_files(&files, path, err) < 0 || take_context(&files, name, out, err) < 0 ? -1 : 0;
	release_files(&files);
	if (rc < 0)
		sl_context_release(out);
	return rc;
}
