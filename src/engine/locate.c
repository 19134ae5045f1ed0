/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/locate.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
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
	free(location->context);
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
	out->context = strdup(name);
	if (!out->url || !out->evidence || !out->context || take_certificates(tls, out, err) < 0)
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

/* Sockets of engines that docker would not find by itself, in the order in which
 * they are tried. */
static const struct socket {
	const char *base; /* an environment variable, or NULL */
	const char *path, *whose;
} sockets[] = {
	{ NULL, "/var/run/docker.sock", "docker's socket" },
	{ "XDG_RUNTIME_DIR", "/docker.sock", "rootless docker's socket" },
	{ "HOME", "/.docker/run/docker.sock", "Docker Desktop's socket" },
	{ "HOME", "/.docker/desktop/docker.sock", "Docker Desktop's socket" },
	{ "HOME", "/.colima/default/docker.sock", "colima's socket" },
	{ "HOME", "/.rd/docker.sock", "Rancher Desktop's socket" },
	{ "HOME", "/.orbstack/run/docker.sock", "OrbStack's socket" },
	{ "XDG_RUNTIME_DIR", "/podman/podman.sock", "podman's socket (rootless)" },
	{ NULL, "/run/podman/podman.sock", "podman's socket" },
};
#define N_SOCKETS (sizeof(sockets) / sizeof(sockets[0]))

static bool listens(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	if (strlen(path) >= sizeof(address.sun_path))
		return false;
	strcpy(address.sun_path, path);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	bool ok = fd >= 0 && (connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0 || errno == EAGAIN);
	if (fd >= 0)
		close(fd);
	return ok;
}

/* The address of a socket at which somebody listens; *url stays NULL otherwise. */
static int try_socket(const struct socket *socket, char **url, struct sl_error *err)
{
	const char *base = socket->base ? env(socket->base) : "";
	char *text = NULL;
	if (!base)
		return 0;
	if (asprintf(&text, "unix://%s%s", base, socket->path) < 0)
		return sl_error_nomem(err);
	if (listens(text + strlen("unix://")))
		*url = text;
	else
		free(text);
	return 0;
}

/* Docker's default, or, where that does not even exist, the first other socket. */
static int take_default(struct sl_location *out, struct sl_error *err)
{
	for (size_t i = 1; access(sockets[0].path, F_OK) < 0 && i < N_SOCKETS; i++) {
		sl_autofree char *url = NULL;
		if (try_socket(&sockets[i], &url, err) < 0)
			return -1;
		if (url)
			return take_host(url, sockets[i].whose, out, err);
	}
	return take_host(DEFAULT_URL, "the default socket", out, err);
}

static int locate(const struct sl_engine_options *options, bool use_host, struct sl_location *out, struct sl_error *err)
{
	if (options->host && options->context)
		return sl_error_set(err, SL_USAGE, "--docker-host and --docker-context exclude each other");
	sl_autofree char *dir = config_dir(), *current = NULL;
	if (!dir)
		return sl_error_nomem(err);
	const char *name = options->context, *origin = "--docker-context";
	if (options->host)
		return take_host(options->host, "--docker-host", out, err);
	if (!name && use_host && env("DOCKER_HOST"))
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
		return take_default(out, err);
	return take_context(dir, name, origin, out, err);
}

int sl_engine_locate(const struct sl_engine_options *options, struct sl_location *out, struct sl_error *err)
{
	*out = (struct sl_location){ 0 };
	int rc = locate(options, true, out, err);
	if (rc < 0)
		sl_location_release(out);
	return rc;
}

/* ---- other engines ---- */

void sl_locations_free(struct sl_location *locations, size_t n)
{
	for (size_t i = 0; i < n; i++)
		sl_location_release(&locations[i]);
	free(locations);
}

/* The same address, also where a link leads there. */
static bool same_address(const char *a, const char *b)
{
	if (!strcmp(a, b))
		return true;
	if (strncmp(a, "unix://", 7) != 0 || strncmp(b, "unix://", 7) != 0)
		return false;
	sl_autofree char *x = realpath(a + 7, NULL), *y = realpath(b + 7, NULL);
	return x && y && !strcmp(x, y);
}

struct others {
	const char *active;
	struct sl_location *items;
	size_t n;
};

/* Takes @location over. */
static int add_other(struct others *others, struct sl_location *location, struct sl_error *err)
{
	bool known = !location->url || (others->active && same_address(location->url, others->active));
	for (size_t i = 0; !known && i < others->n; i++)
		known = same_address(location->url, others->items[i].url);
	if (known) {
		sl_location_release(location);
		return 0;
	}
	struct sl_location *bigger = realloc(others->items, (others->n + 1) * sizeof(*bigger));
	if (!bigger) {
		sl_location_release(location);
		return sl_error_nomem(err);
	}
	others->items = bigger;
	others->items[others->n++] = *location;
	return 0;
}

/* What minikube's docker-env put aside (minikube, cmd/minikube/cmd/docker-env.go). */
static int add_existing(struct others *others, struct sl_error *err)
{
	const char *host = env("MINIKUBE_EXISTING_DOCKER_HOST"), *certificates = env("MINIKUBE_EXISTING_DOCKER_CERT_PATH");
	struct sl_location location = { .verify = env("MINIKUBE_EXISTING_DOCKER_TLS_VERIFY") != NULL };
	if (!host)
		return 0;
	location.tls = location.verify;
	location.url = strdup(host);
	location.evidence = strdup("MINIKUBE_EXISTING_DOCKER_HOST");
	if (!location.url || !location.evidence || (certificates && take_certificates(certificates, &location, err) < 0)) {
		sl_location_release(&location);
		return sl_error_nomem(err);
	}
	return add_other(others, &location, err);
}

static int add_others(struct others *others, struct sl_error *err)
{
	static const struct sl_engine_options none;
	struct sl_location location = { 0 };
	if (add_existing(others, err) < 0)
		return -1;
	/* a context that dangles is no engine; it was complained about where it counts */
	if (locate(&none, false, &location, NULL) < 0)
		sl_location_release(&location);
	else if (add_other(others, &location, err) < 0)
		return -1;
	for (size_t i = 0; i < N_SOCKETS; i++) {
		sl_autofree char *url = NULL;
		location = (struct sl_location){ 0 };
		if (try_socket(&sockets[i], &url, err) < 0)
			return -1;
		if (url && (take_host(url, sockets[i].whose, &location, err) < 0 || add_other(others, &location, err) < 0))
			return -1;
	}
	return 0;
}

int sl_engine_locate_others(const char *active, struct sl_location **out, size_t *n, struct sl_error *err)
{
	struct others others = { .active = active };
	int rc = add_others(&others, err);
	if (rc < 0) {
		sl_locations_free(others.items, others.n);
		return -1;
	}
	*out = others.items;
	*n = others.n;
	return 0;
}
