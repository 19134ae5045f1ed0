/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "engine/dial.h"
#include "engine/http.h"

void sl_endpoint_release(struct sl_endpoint *endpoint)
{
	free(endpoint->url);
	free(endpoint->socket_path);
	sl_strv_release(&endpoint->command);
	free(endpoint->base);
	free(endpoint->ca);
	free(endpoint->cert);
	free(endpoint->key);
	*endpoint = (struct sl_endpoint){ 0 };
}

static int set_unix(const char *path, struct sl_endpoint *out, struct sl_error *err)
{
	if (!*path)
		return sl_error_set(err, SL_USAGE, "engine address '%s' has no socket path; it should look like unix:///var/run/docker.sock", out->url);
	out->socket_path = strdup(path);
	out->base = strdup("http://docker");
	return out->socket_path && out->base ? 0 : sl_error_nomem(err);
}

static int copy_file_name(const char *from, char **to, struct sl_error *err)
{
	return from && !(*to = strdup(from)) ? sl_error_nomem(err) : 0;
}

static int set_tcp(const struct sl_location *location, const char *host, struct sl_endpoint *out, struct sl_error *err)
{
	size_t len = strcspn(host, "/");
	if (!len)
		return sl_error_set(err, SL_USAGE, "engine address '%s' has no host; it should look like tcp://127.0.0.1:2375", out->url);
	if (asprintf(&out->base, "%s://%.*s", location->tls ? "https" : "http", (int)len, host) < 0) {
		out->base = NULL;
		return sl_error_nomem(err);
	}
	if (!location->tls)
		return 0;
	out->verify = location->verify;
	return copy_file_name(location->ca, &out->ca, err) < 0 || copy_file_name(location->cert, &out->cert, err) < 0 ||
	       copy_file_name(location->key, &out->key, err) < 0 ? -1 : 0;
}

static int set_endpoint(const struct sl_location *location, struct sl_endpoint *out, struct sl_error *err)
{
	const char *url = location->url;
	const char *rest = strstr(url, "://");
	if (!rest)
		return set_tcp(location, url, out, err); /* as docker takes it */
	rest += 3;
	if (!strncmp(url, "unix://", 7))
		return set_unix(rest, out, err);
	if (!strncmp(url, "tcp://", 6) || !strncmp(url, "http://", 7))
		return set_tcp(location, rest, out, err);
	if (!strncmp(url, "ssh://", 6)) {
		out->base = strdup("http://127.0.0.1"); /* never looked up: the command is the connection */
		return out->base ? sl_dial_command(url, &out->command, err) : sl_error_nomem(err);
	}
	if (!strncmp(url, "npipe://", 8))
		return sl_error_set(err, SL_USAGE, "engine address '%s' is a Windows pipe; run sidelift in WSL2, where the engine has a unix socket", url);
	return sl_error_set(err, SL_USAGE, "engine address '%s' is of a kind that sidelift cannot reach; use unix://, tcp:// or ssh://", url);
}

int sl_endpoint_set(const struct sl_location *location, struct sl_endpoint *out, struct sl_error *err)
{
	*out = (struct sl_endpoint){ .url = strdup(location->url) };
	int rc = out->url ? set_endpoint(location, out, err) : sl_error_nomem(err);
	if (rc < 0)
		sl_endpoint_release(out);
	return rc;
}
