/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "engine/http_curl.h"

/* Requests to a peer that is not an engine. */

#define REDIRECTS_MAX 5L

struct sl_http_session {
	const struct sl_endpoint *endpoint;
	CURLM *multi; /* which keeps the connections */
};

struct exchange {
	struct sl_http_call *call;
	const char *pending; /* of the source, not yet sent */
	size_t pending_len;
	uint64_t moved;      /* bytes, either way */
	bool endless;
	bool ending;         /* no more of the source; source_error says why */
	struct sl_error source_error;
};

struct sl_http_session *sl_http_session_new(const struct sl_endpoint *endpoint)
{
	struct sl_http_session *session = calloc(1, sizeof(*session));
	if (!session || !(session->multi = curl_multi_init())) {
		free(session);
		return NULL;
	}
	session->endpoint = endpoint;
	return session;
}

void sl_http_session_free(struct sl_http_session *session)
{
	if (!session)
		return;
	curl_multi_cleanup(session->multi);
	free(session);
}

void sl_http_call_release(struct sl_http_call *call)
{
	sl_buf_release(&call->head);
	sl_buf_release(&call->answer);
}

static size_t on_answer(char *data, size_t size, size_t n, void *ctx)
{
	struct exchange *exchange = ctx;
	exchange->moved += n;
	exchange->endless = sl_buf_add(&exchange->call->answer, data, n) < 0;
	return exchange->endless ? 0 : n;
}

static size_t on_answer_header(char *data, size_t size, size_t n, void *ctx)
{
	struct exchange *exchange = ctx;
	if (n > 5 && !memcmp(data, "HTTP/", 5)) /* 100, or a redirection's, has come before */
		sl_buf_clear(&exchange->call->head);
	exchange->moved += n;
	exchange->endless = sl_buf_add(&exchange->call->head, data, n) < 0;
	return exchange->endless ? 0 : n;
}

static size_t on_upload(char *to, size_t size, size_t max, void *ctx)
{
	struct exchange *exchange = ctx;
	const struct sl_source *source = exchange->call->source;
	if (exchange->ending)
		return 0;
	if (!exchange->pending_len) {
		const void *data = NULL;
		ssize_t n = source->read(source->ctx, &data, &exchange->source_error);
		if (n < 0) {
			exchange->ending = true;
			return 0;
		}
		exchange->pending = data;
		exchange->pending_len = (size_t)n;
	}
	size_t n = exchange->pending_len < max ? exchange->pending_len : max;
	if (n)
		memcpy(to, exchange->pending, n);
	exchange->pending += n;
	exchange->pending_len -= n;
	exchange->moved += n;
	exchange->call->sent += n;
	return n;
}

static struct curl_slist *call_headers(const struct sl_http_call *call, struct sl_error *err)
{
	const struct { const char *name, *value; } headers[] = {
		{ "Expect", NULL }, { "Authorization", call->authorization }, { "Accept", call->accept }, { "Content-Type", call->content_type },
	};
	struct curl_slist *list = NULL;
	for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); i++) {
		sl_autofree char *line = NULL;
		if (asprintf(&line, "%s:%s%s", headers[i].name, headers[i].value ? " " : "", headers[i].value ? headers[i].value : "") < 0)
			line = NULL;
		struct curl_slist *longer = line ? curl_slist_append(list, line) : NULL;
		if (!longer) {
			curl_slist_free_all(list);
			sl_error_nomem(err);
			return NULL;
		}
		list = longer;
	}
	return list;
}

static void set_call(CURL *easy, struct exchange *exchange)
{
	struct sl_http_call *call = exchange->call;
	curl_easy_setopt(easy, CURLOPT_URL, call->url);
	if (call->source) {
		curl_easy_setopt(easy, CURLOPT_UPLOAD, 1L);
		curl_easy_setopt(easy, CURLOPT_INFILESIZE_LARGE, (curl_off_t)-1);
		curl_easy_setopt(easy, CURLOPT_READFUNCTION, on_upload);
		curl_easy_setopt(easy, CURLOPT_READDATA, exchange);
		curl_easy_setopt(easy, CURLOPT_UPLOAD_BUFFERSIZE, 512L << 10);
		curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, call->method);
	} else {
		sl_curl_set_method(easy, call->method, !strcmp(call->method, "PUT") && !call->body ? "" : call->body, call->body_len);
	}
	bool reads = !strcmp(call->method, "GET") || !strcmp(call->method, "HEAD");
	curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, reads ? 1L : 0L);
	curl_easy_setopt(easy, CURLOPT_MAXREDIRS, REDIRECTS_MAX);
	curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(easy, CURLOPT_REDIR_PROTOCOLS_STR, !strncmp(call->url, "https:", 6) ? "https" : "http,https");
	curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_answer);
	curl_easy_setopt(easy, CURLOPT_WRITEDATA, exchange);
	curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_answer_header);
	curl_easy_setopt(easy, CURLOPT_HEADERDATA, exchange);
}

static int give_source_error(const struct exchange *exchange, struct sl_error *err)
{
	if (err)
		*err = exchange->source_error;
	return -1;
}

/* Until it is done: libcurl's result in *result. */
static int exchange_all(struct sl_http_session *session, struct exchange *exchange, int64_t silence_ms, CURLcode *result, struct sl_error *err)
{
	const struct sl_cancel *cancel = session->endpoint->cancel;
	struct curl_waitfd extra = { .fd = cancel ? cancel->fd : -1, .events = CURL_WAIT_POLLIN };
	uint64_t moved = 0;
	int64_t deadline = sl_now() + silence_ms, last = SL_NEVER;
	for (;;) {
		int running = 0, left = 0;
		curl_multi_perform(session->multi, &running);
		const CURLMsg *message = curl_multi_info_read(session->multi, &left);
		if (message && message->msg == CURLMSG_DONE) {
			*result = message->data.result;
			return 0;
		}
		if (sl_cancelled(cancel) && !exchange->ending) {
			sl_error_set(&exchange->source_error, SL_INTERRUPTED, "interrupted");
			exchange->ending = true;
		}
		if (exchange->ending && last == SL_NEVER)
			last = sl_now() + (exchange->call->source ? SL_HTTP_GRACE : 0);
		if (moved != exchange->moved)
			deadline = sl_now() + silence_ms;
		moved = exchange->moved;
		int64_t rest = (deadline < last ? deadline : last) - sl_now();
		if (rest <= 0 && exchange->ending)
			return give_source_error(exchange, err);
		if (rest <= 0)
			return sl_error_set(err, SL_TIMEOUT, "the %s at %s does not answer", sl_curl_peer(session->endpoint), session->endpoint->url);
		curl_multi_poll(session->multi, &extra, cancel && !exchange->ending ? 1 : 0, rest > 1000 ? 1000 : (int)rest, NULL);
	}
}

/* @url's host is not always the session's own (who gives tokens, for one). */
static int call_failed(const struct sl_http_session *session, const struct exchange *exchange, CURLcode code, const char *detail,
		       struct sl_error *err)
{
	struct sl_endpoint there = *session->endpoint;
	const char *host = strstr(exchange->call->url, "://");
	size_t len = host ? (size_t)(host - exchange->call->url) + 3 + strcspn(host + 3, "/?") : 0;
	sl_autofree char *url = strndup(exchange->call->url, len);
	if (exchange->ending)
		return give_source_error(exchange, err);
	if (exchange->endless)
		return sl_error_set(err, SL_FAILED, "the %s at %s answers without end", sl_curl_peer(&there), url ? url : "");
	if (url)
		there.url = url;
	if (code == CURLE_SEND_ERROR)
		return sl_error_set(err, SL_CLOSED, "the %s at %s hangs up in the middle (%s)", sl_curl_peer(&there), there.url, detail);
	return sl_curl_failed(&there, code, detail, NULL, err);
}

int sl_http_call(struct sl_http_session *session, struct sl_http_call *call, int64_t silence_ms, struct sl_error *err)
{
	struct exchange exchange = { .call = call, .source_error = SL_ERROR_INIT };
	char detail[CURL_ERROR_SIZE] = "";
	CURLcode result = CURLE_OK;
	long status = 0;
	sl_buf_clear(&call->head);
	sl_buf_clear(&call->answer);
	call->head.max = SL_HTTP_HEAD_MAX;
	call->sent = 0;
	call->status = 0;
	struct curl_slist *headers = call_headers(call, err);
	CURL *easy = headers ? curl_easy_init() : NULL;
	if (!easy) {
		curl_slist_free_all(headers);
		return sl_error_nomem(err);
	}
	sl_curl_set_common(easy, session->endpoint);
	set_call(easy, &exchange);
	curl_easy_setopt(easy, CURLOPT_USERAGENT, "sidelift/" SIDELIFT_VERSION);
	curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers);
	curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, detail);
	sl_debug("%s %s", call->method, call->url);
	curl_multi_add_handle(session->multi, easy);
	int rc = exchange_all(session, &exchange, silence_ms, &result, err);
	if (rc == 0 && (result != CURLE_OK || exchange.ending))
		rc = call_failed(session, &exchange, result, detail, err);
	curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
	call->status = (int)status;
	curl_multi_remove_handle(session->multi, easy);
	curl_easy_cleanup(easy);
	curl_slist_free_all(headers);
	if (!call->source && call->body)
		call->sent = call->body_len;
	return rc < 0 ? -1 : (int)status;
}

char *sl_http_header(const struct sl_buf *head, const char *name, size_t nth)
{
	size_t len = strlen(name);
	for (const char *line = sl_buf_text(head); *line; line += strcspn(line, "\n"), line += *line == '\n') {
		if (strncasecmp(line, name, len) != 0 || line[len] != ':' || nth--)
			continue;
		const char *value = line + len + 1;
		value += strspn(value, " \t");
		size_t n = strcspn(value, "\r\n");
		while (n && (value[n - 1] == ' ' || value[n - 1] == '\t'))
			n--;
		return strndup(value, n);
	}
	return NULL;
}
