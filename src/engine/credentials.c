/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/credentials.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "base/child.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"

/* Somebody may have to unlock something; milliseconds. */
#define HELPER_LIMIT 30000
#define CONFIG_MAX ((size_t)4 << 20)
/* By this name a helper says that the secret is an identity token. */
#define TOKEN_USER "<token>"

void sl_credentials_release(struct sl_credentials *credentials)
{
	free(credentials->user);
	free(credentials->secret);
	free(credentials->token);
	free(credentials->origin);
	*credentials = (struct sl_credentials){ 0 };
}

static char *config_path(void)
{
	const char *dir = getenv("DOCKER_CONFIG"), *home = getenv("HOME");
	char *path = NULL;
	int n = dir && *dir ? asprintf(&path, "%s/config.json", dir) : asprintf(&path, "%s/.docker/config.json", home ? home : "");
	return n < 0 ? NULL : path;
}

static int put(struct sl_credentials *out, const char *user, const char *secret, const char *token, const char *origin, struct sl_error *err)
{
	*out = (struct sl_credentials){ 0 };
	if ((!token && (!(out->user = strdup(user)) || !(out->secret = strdup(secret)))) || (token && !(out->token = strdup(token))) ||
	    !(out->origin = strdup(origin))) {
		sl_credentials_release(out);
		return sl_error_nomem(err);
	}
	return 1;
}

/* ---- helpers ---- */

/* The answer of `docker-credential-NAME get`; NULL, with @why where it did not work. */
static json_t *ask_helper(const char *program, const char *host, const struct sl_cancel *cancel, struct sl_error *why)
{
	const char *const argv[] = { program, "get", NULL };
	int code = 0;
	struct sl_remote *remote = sl_child_remote(argv, cancel, why);
	if (!remote)
		return NULL;
	json_t *answer = NULL;
	struct sl_error wrote = SL_ERROR_INIT;
	int rc = sl_remote_write(remote, host, strlen(host), HELPER_LIMIT, &wrote);
	if (rc < 0 && wrote.status != SL_CLOSED)
		*why = wrote;
	else if (sl_remote_finish(remote, &code, HELPER_LIMIT, why) == 0 && code == 0)
		answer = sl_json_parse(sl_buf_text(&remote->out), remote->out.len, "its answer", why);
	else if (code && !strstr(sl_buf_text(&remote->out), "not found"))
		sl_error_set(why, SL_FAILED, "%s", remote->out.len ? sl_buf_text(&remote->out) : "it failed");
	sl_remote_free(remote);
	return answer;
}

static int from_helper(const char *name, const char *host, const struct sl_cancel *cancel, struct sl_credentials *out, struct sl_error *err)
{
	sl_autofree char *program = NULL;
	struct sl_error why = SL_ERROR_INIT;
	if (strchr(name, '/'))
		return 0;
	if (asprintf(&program, "docker-credential-%s", name) < 0) {
		program = NULL;
		return sl_error_nomem(err);
	}
	sl_autojson json_t *answer = ask_helper(program, host, cancel, &why);
	if (why.status == SL_INTERRUPTED) {
		if (err)
			*err = why;
		return -1;
	}
	if (why.status != SL_OK)
		sl_warn("%s: %s; going on without credentials for %s", program, why.message, host);
	const char *user = sl_json_str(answer, "Username"), *secret = sl_json_str(answer, "Secret");
	if (!user || !secret)
		return 0;
	return put(out, user, secret, strcmp(user, TOKEN_USER) ? NULL : secret, program, err);
}

/* ---- auths ---- */

/* Whether @key, as docker or its elders wrote it ("https://host/v1/"), is of @host. */
static bool is_of(const char *key, const char *host)
{
	const char *at = strstr(key, "://");
	at = at ? at + 3 : key;
	size_t len = strcspn(at, "/");
	return len == strlen(host) && !strncmp(at, host, len);
}

static int from_auths(const json_t *auths, const char *host, const char *path, struct sl_credentials *out, struct sl_error *err)
{
	const json_t *entry = json_object_get(auths, host), *other;
	const char *key;
	if (!entry)
		json_object_foreach((json_t *)auths, key, other)
			if (!entry && is_of(key, host))
				entry = other;
	const char *token = sl_json_str(entry, "identitytoken"), *auth = sl_json_str(entry, "auth");
	const char *user = sl_json_str(entry, "username"), *secret = sl_json_str(entry, "password");
	sl_autobuf struct sl_buf text = SL_BUF_INIT;
	if (token && *token)
		return put(out, NULL, NULL, token, path, err);
	if (auth && *auth) {
		char *colon = sl_base64_decode(auth, &text) == 0 && text.data ? strchr(text.data, ':') : NULL;
		if (!colon) {
			sl_warn("%s: the entry for %s is not base64 of USER:PASSWORD; going on without credentials", path, host);
			return 0;
		}
		*colon = '\0';
		return put(out, text.data, colon + 1, NULL, path, err);
	}
	return user && *user && secret ? put(out, user, secret, NULL, path, err) : 0;
}

int sl_credentials_find(const char *host, const struct sl_cancel *cancel, struct sl_credentials *out, struct sl_error *err)
{
	sl_autofree char *path = config_path();
	sl_autobuf struct sl_buf text = SL_BUF_INIT;
	struct sl_error why = SL_ERROR_INIT;
	*out = (struct sl_credentials){ 0 };
	text.max = CONFIG_MAX;
	if (!path)
		return sl_error_nomem(err);
	sl_autojson json_t *config = sl_file_read(path, &text, &why) < 0 ? NULL : sl_json_parse(sl_buf_text(&text), text.len, path, &why);
	if (!config) {
		if (why.status != SL_NOT_FOUND)
			sl_warn("%s; whatever credentials it has are not used", why.message);
		return 0;
	}
	const char *helper = sl_json_str(json_object_get(config, "credHelpers"), host);
	if (!helper)
		helper = sl_json_str(config, "credsStore");
	if (helper && *helper) {
		int rc = from_helper(helper, host, cancel, out, err);
		if (rc)
			return rc;
	}
	return from_auths(json_object_get(config, "auths"), host, path, out, err);
}
