/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/locate.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "base/sha256.h"

#define DEFAULT_URL "unix:///var/run/docker.sock"
#define META_MAX ((size_t)1 << 20)

void sl_location_release(struct sl_location *location)
{
	free(location->url);
	free(location->evidence);
	free(location->ca);
	free(location->cert);
	free(location->key);
	*location = (struct sl_location){ 0 };
}

static const char *env(const char *name)
{
	const char *value = getenv(name);
	return value && *value ? value : NULL;
}

static char *config_dir(void)
{
	const char *dir = env("DOCKER_CONFIG"), *home = env("HOME");
	char *path = NULL;
	if (dir)
		return strdup(dir);
	return asprintf(&path, "%s/.docker", home ? home : "") < 0 ? NULL : path;
}

/* Read a JSON file; NULL with @err, which is SL_NOT_FOUND when there is none. */
static json_t *read_json(const char *path, struct sl_error *err)
{
	sl_autobuf struct sl_buf text = SL_BUF_INIT;
	text.max = META_MAX;
	return sl_file_read(path, &text, err) < 0 ? NULL : sl_json_parse(sl_buf_text(&text), text.len, path, err);
}

/* currentContext of the configuration; *name stays NULL when there is none. */
static int current_context(const char *dir, char **name, struct sl_error *err)
{
	sl_autofree char *path = NULL;
	struct sl_error why = SL_ERROR_INIT;
	if (asprintf(&path, "%s/config.json", dir) < 0) {
		path = NULL;
		return sl_error_nomem(err);
	}
	sl_autojson json_t *config = read_json(path, &why);
	if (!config) {
		/* as docker: a file that cannot be read is worth a warning, not an end */
		if (why.status != SL_NOT_FOUND)
			sl_warn("%s; whatever context it names is not used", why.message);
		return 0;
	}
	const char *current = sl_json_str(config, "currentContext");
	if (current && *current && !(*name = strdup(current)))
		return sl_error_nomem(err);
	return 0;
}

/* DIR/FILE in *path if it exists. */
static int existing(const char *dir, const char *file, char **path, struct sl_error *err)
{
	char *full = NULL;
	if (asprintf(&full, "%s/%s", dir, file) < 0)
		return sl_error_nomem(err);
	if (access(full, R_OK) == 0)
		*path = full;
	else
		free(full);
	return 0;
}

static int take_certificates(const char *dir, struct sl_location *out, struct sl_error *err)
{
	return existing(dir, "ca.pem", &out->ca, err) < 0 || existing(dir, "cert.pem", &out->cert, err) < 0 ||
	       existing(dir, "key.pem", &out->key, err) < 0 ? -1 : 0;
}

/* A context lies in contexts/meta/SHA256-OF-NAME/meta.json; a name is hashed, so
 * it cannot lead anywhere else. */
static int take_context(const char *dir, const char *name, const char *origin, struct sl_location *out, struct sl_error *err)
{
	char id[SL_SHA256_HEX + 1];
	sl_autofree char *path = NULL, *tls = NULL;
	sl_sha256_hex(name, strlen(name), id);
	if (asprintf(&path, "%s/contexts/meta/%s/meta.json", dir, id) < 0 || asprintf(&tls, "%s/contexts/tls/%s/docker", dir, id) < 0)
		return sl_error_nomem(err);
	struct sl_error why = SL_ERROR_INIT;
	sl_autojson json_t *meta = read_json(path, &why);
	if (!meta && why.status == SL_NOT_FOUND)
		return sl_error_set(err, SL_FAILED, "docker context '%s' (%s) does not exist; see docker context ls, or docker context use NAME",
				    name, origin);
	if (!meta) {
		if (err)
			*err = why;
		return sl_error_wrap(err, "docker context '%s' (%s)", name, origin);
	}
	const json_t *endpoint = json_object_get(json_object_get(meta, "Endpoints"), "docker");
	const char *host = sl_json_str(endpoint, "Host");
	if (!endpoint)
		return sl_error_set(err, SL_FAILED, "docker context '%s' (%s) has no docker endpoint: %s", name, origin, path);
	out->url = strdup(host && *host ? host : DEFAULT_URL);
	if (asprintf(&out->evidence, "docker context '%s', %s", name, origin) < 0)
		out->evidence = NULL;
	if (!out->url || !out->evidence || take_certificates(tls, out, err) < 0)
		return sl_error_nomem(err);
	out->tls = out->ca || out->cert;
	out->verify = !json_is_true(json_object_get(endpoint, "SkipTLSVerify"));
	return 0;
}

/* An address of its own: TLS is then what the environment says. */
static int take_host(const char *url, const char *origin, struct sl_location *out, struct sl_error *err)
{
	out->url = strdup(url);
	out->evidence = strdup(origin);
	if (!out->url || !out->evidence)
		return sl_error_nomem(err);
	out->verify = env("DOCKER_TLS_VERIFY") != NULL;
	out->tls = out->verify || env("DOCKER_TLS");
	if (!out->tls)
		return 0;
	sl_autofree char *dir = config_dir();
	const char *certificates = env("DOCKER_CERT_PATH");
	return dir ? take_certificates(certificates ? certificates : dir, out, err) : sl_error_nomem(err);
}

static int locate(const struct sl_engine_options *options, struct sl_location *out, struct sl_error *err)
{
	if (options->host && options->context)
		return sl_error_set(err, SL_USAGE, "--docker-host and --docker-context exclude each other");
	sl_autofree char *dir = config_dir(), *current = NULL;
	if (!dir)
		return sl_error_nomem(err);
	const char *name = options->context, *origin = "--docker-context";
	if (options->host)
		return take_host(options->host, "--docker-host", out, err);
	if (!name && env("DOCKER_HOST"))
		return take_host(env("DOCKER_HOST"), "DOCKER_HOST", out, err);
	if (!name) {
		name = env("DOCKER_CONTEXT");
		origin = "DOCKER_CONTEXT";
	}
	if (!name) {
		if (current_context(dir, &current, err) < 0)
			return -1;
		name = current;
		origin = "the current one";
	}
	if (!name || !strcmp(name, "default"))
		return take_host(DEFAULT_URL, "the default socket", out, err);
	return take_context(dir, name, origin, out, err);
}

int sl_engine_locate(const struct sl_engine_options *options, struct sl_location *out, struct sl_error *err)
{
	*out = (struct sl_location){ 0 };
	int rc = locate(options, out, err);
	if (rc < 0)
		sl_location_release(out);
	return rc;
}
