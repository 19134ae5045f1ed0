/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/registry_auth.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/base64.h"
#include "base/cleanup.h"
#include "base/json.h"

#define TOKEN_MAX ((size_t)256 << 10)
#define CHALLENGES_MAX 8

struct challenge {
	char *realm, *service, *scope;
};

void sl_registry_auth_release(struct sl_registry_auth *auth)
{
	sl_credentials_release(&auth->credentials);
	free(auth->authorization);
	*auth = (struct sl_registry_auth){ 0 };
}

static void release_challenge(struct challenge *challenge)
{
	free(challenge->realm);
	free(challenge->service);
	free(challenge->scope);
}

/* The value of @name among `name="value", name=value`; the caller frees it. */
static char *parameter(const char *text, const char *name)
{
	size_t len = strlen(name);
	while (*text) {
		text += strspn(text, " \t,");
		size_t n = strcspn(text, "=, ");
		bool ours = n == len && !strncasecmp(text, name, len) && text[n] == '=';
		text += n + (text[n] == '=');
		const char *value = text;
		if (*text == '"') {
			size_t quoted = strcspn(++value, "\"");
			if (ours)
				return strndup(value, quoted);
			text = value + quoted + (value[quoted] == '"');
		} else {
			text += strcspn(text, ",");
			if (ours)
				return strndup(value, (size_t)(text - value));
		}
	}
	return NULL;
}

static void put_escaped(struct sl_buf *buf, const char *name, const char *value)
{
	if (!value)
		return;
	sl_buf_printf(buf, "&%s=", name);
	for (; *value; value++)
		sl_buf_printf(buf, isalnum((unsigned char)*value) || strchr("-._~", *value) ? "%c" : "%%%02X", (unsigned char)*value);
}

/* "Basic ..." for the credentials; NULL when memory is out. */
static char *basic(const struct sl_credentials *credentials)
{
	sl_autofree char *pair = NULL, *coded = NULL;
	char *header = NULL;
	if (asprintf(&pair, "%s:%s", credentials->user, credentials->secret) < 0) {
		pair = NULL;
		return NULL;
	}
	coded = sl_base64(pair, false);
	return coded && asprintf(&header, "Basic %s", coded) >= 0 ? header : NULL;
}

/* Take @authorization (owned; NULL: out of memory): 1 if it is another one than before. */
static int take(struct sl_registry_auth *auth, char *authorization, struct sl_error *err)
{
	if (!authorization)
		return sl_error_nomem(err);
	bool same = auth->authorization && !strcmp(auth->authorization, authorization);
	free(auth->authorization);
	auth->authorization = authorization;
	return !same;
}

static int take_token(struct sl_registry_auth *auth, const struct sl_http_call *call, int status, const char *realm, struct sl_error *err)
{
	if (status == 400 || status == 401 || status == 403)
		return 0; /* the registry's own 401 is the one to be reported */
	if (status != 200)
		return sl_error_set(err, SL_FAILED, "%s, which gives tokens for the registry at %s, answers %d", realm, auth->host, status);
	sl_autojson json_t *answer = sl_json_parse(sl_buf_text(&call->answer), call->answer.len, realm, err);
	const char *token = sl_json_str(answer, "token");
	if (!token || !*token)
		token = sl_json_str(answer, "access_token");
	if (!answer)
		return -1;
	if (!token || !*token || strpbrk(token, " \r\n"))
		return sl_error_set(err, SL_FAILED, "%s, which gives tokens for the registry at %s, gave none", realm, auth->host);
	char *header = NULL;
	if (asprintf(&header, "Bearer %s", token) < 0)
		header = NULL;
	return take(auth, header, err);
}

static int fetch_token(struct sl_registry_auth *auth, struct sl_http_session *session, const struct challenge *challenge, struct sl_error *err)
{
	const struct sl_credentials *credentials = &auth->credentials;
	sl_autobuf struct sl_buf query = SL_BUF_INIT;
	sl_autofree char *url = NULL, *authorization = NULL;
	struct sl_http_call call = { .method = credentials->token ? "POST" : "GET", .answer = { .max = TOKEN_MAX } };
	put_escaped(&query, "service", challenge->service);
	put_escaped(&query, "scope", challenge->scope);
	put_escaped(&query, "client_id", "sidelift");
	if (credentials->token) {
		put_escaped(&query, "grant_type", "refresh_token");
		put_escaped(&query, "refresh_token", credentials->token);
		call.content_type = "application/x-www-form-urlencoded";
		call.body = sl_buf_text(&query) + 1;
		call.body_len = query.len - 1;
	} else if (credentials->user && !(call.authorization = authorization = basic(credentials))) {
		return sl_error_nomem(err);
	}
	const char *mark = strchr(challenge->realm, '?');
	if (query.failed || asprintf(&url, "%s%s%s", challenge->realm, credentials->token ? "" : mark ? "&" : "?",
				     credentials->token ? "" : sl_buf_text(&query) + 1) < 0) {
		url = NULL;
		return sl_error_nomem(err);
	}
	call.url = url;
	int status = sl_http_call(session, &call, SL_HTTP_SILENCE, err);
	int rc = status < 0 ? -1 : take_token(auth, &call, status, challenge->realm, err);
	sl_http_call_release(&call);
	return rc;
}

static int bearer(struct sl_registry_auth *auth, struct sl_http_session *session, const char *text, struct sl_error *err)
{
	struct challenge challenge = { parameter(text, "realm"), parameter(text, "service"), parameter(text, "scope") };
	int rc;
	if (!challenge.realm || (strncmp(challenge.realm, "http://", 7) != 0 && strncmp(challenge.realm, "https://", 8) != 0))
		rc = sl_error_set(err, SL_FAILED, "the registry at %s wants a token and does not say from where", auth->host);
	else if (!strncmp(auth->base, "https:", 6) && strncmp(challenge.realm, "https:", 6) != 0)
		rc = sl_error_set(err, SL_FAILED, "the registry at %s wants credentials shown to %s, without TLS; they are not", auth->host, challenge.realm);
	else
		rc = fetch_token(auth, session, &challenge, err);
	release_challenge(&challenge);
	return rc;
}

int sl_registry_auth_answer(struct sl_registry_auth *auth, struct sl_http_session *session, const struct sl_buf *head, struct sl_error *err)
{
	if (!auth->looked && sl_credentials_find(auth->host, auth->cancel, &auth->credentials, err) < 0)
		return -1;
	auth->looked = true;
	for (size_t i = 0; i < CHALLENGES_MAX; i++) {
		sl_autofree char *challenge = sl_http_header(head, "WWW-Authenticate", i);
		if (!challenge)
			break;
		if (!strncasecmp(challenge, "Bearer ", 7))
			return bearer(auth, session, challenge + 7, err);
		if (!strncasecmp(challenge, "Basic", 5))
			return auth->credentials.user ? take(auth, basic(&auth->credentials), err) : 0;
	}
	return 0;
}
