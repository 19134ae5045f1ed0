/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/http.h"

#include <curl/curl.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "engine/dial.h"

/* What one pass of libcurl may leave in our hands before it is paused. */
#define CHUNK_MAX ((size_t)512 << 10)
#define HEAD_MAX ((size_t)64 << 10)

int sl_http_init(struct sl_error *err)
{
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		return sl_error_set(err, SL_FAILED, "libcurl cannot be initialised");
	return 0;
}

static void set_common(CURL *easy, const struct sl_endpoint *endpoint)
{
	if (endpoint->ca)
		curl_easy_setopt(easy, CURLOPT_CAINFO, endpoint->ca);
	if (endpoint->cert)
		curl_easy_setopt(easy, CURLOPT_SSLCERT, endpoint->cert);
	if (endpoint->key)
		curl_easy_setopt(easy, CURLOPT_SSLKEY, endpoint->key);
	if (endpoint->base && !strncmp(endpoint->base, "https", 5) && !endpoint->verify) {
		curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 0L);
		curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 0L);
	}
	if (!endpoint->proxied)
		curl_easy_setopt(easy, CURLOPT_PROXY, "");
	curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)(endpoint->patience < SL_HTTP_CONNECT ? endpoint->patience : SL_HTTP_CONNECT));
	curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, 256L << 10);
	curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
}

/* A handle with what every request to @endpoint has in common.  @dial carries its
 * connection where that goes through a command; it is released after the handle. */
static CURL *new_easy(const struct sl_endpoint *endpoint, const char *path, struct sl_dial *dial)
{
	CURL *easy = curl_easy_init();
	sl_autofree char *url = NULL;
	dial->listener = -1;
	if (!easy || (endpoint->command.n && sl_dial_listen(dial, &endpoint->command, NULL) < 0) || asprintf(&url, "%s%s", endpoint->base, path) < 0) {
		url = NULL;
		curl_easy_cleanup(easy);
		return NULL;
	}
	curl_easy_setopt(easy, CURLOPT_URL, url);
	if (endpoint->command.n)
		curl_easy_setopt(easy, CURLOPT_ABSTRACT_UNIX_SOCKET, dial->name);
	if (endpoint->socket_path)
		curl_easy_setopt(easy, CURLOPT_UNIX_SOCKET_PATH, endpoint->socket_path);
	set_common(easy, endpoint);
	return easy;
}

static const char *peer(const struct sl_endpoint *endpoint)
{
	return endpoint->peer ? endpoint->peer : "engine";
}

static int tls_failed(const struct sl_endpoint *endpoint, const char *why, struct sl_error *err)
{
	if (endpoint->peer)
		return sl_error_set(err, SL_FAILED, "TLS with the %s at %s fails (%s); the CA that signed its certificate must be known here: %s",
				    endpoint->peer, endpoint->url, why, endpoint->ca ? endpoint->ca : "this system's");
	return sl_error_set(err, SL_FAILED, "TLS with the engine at %s fails (%s); ca.pem: %s, cert.pem: %s", endpoint->url, why,
			    endpoint->ca ? endpoint->ca : "none", endpoint->cert ? endpoint->cert : "none");
}

static int curl_failed(const struct sl_endpoint *endpoint, CURLcode code, const char *detail, struct sl_dial *dial,
		       struct sl_error *err)
{
	char line[256] = "";
	if (endpoint->command.n && code != CURLE_OPERATION_TIMEDOUT)
		sl_dial_complaint(dial, line, sizeof(line));
	if (strstr(line, "Host key verification failed"))
		return sl_error_set(err, SL_FAILED, "no engine answers at %s (%s): the host's key is new or another one than in known_hosts; "
				    "if that is right, ssh there once, or forget the old key: ssh-keygen -R HOST", endpoint->url, line);
	if (*line)
		return sl_error_set(err, SL_FAILED, "no engine answers at %s (%s)", endpoint->url, line);
	const char *why = detail && *detail ? detail : curl_easy_strerror(code);
	if (code == CURLE_COULDNT_CONNECT || code == CURLE_COULDNT_RESOLVE_HOST)
		return sl_error_set(err, SL_FAILED, "no %s answers at %s (%s); is it running?", peer(endpoint), endpoint->url, why);
	if (code == CURLE_OPERATION_TIMEDOUT)
		return sl_error_set(err, SL_TIMEOUT, "the %s at %s does not answer", peer(endpoint), endpoint->url);
	/* an engine that wants a client's certificate hangs up on one that has none */
	bool tls = endpoint->base && !strncmp(endpoint->base, "https", 5) && !endpoint->peer;
	if (code == CURLE_PEER_FAILED_VERIFICATION || code == CURLE_SSL_CACERT_BADFILE || code == CURLE_SSL_CERTPROBLEM ||
	    code == CURLE_SSL_CONNECT_ERROR || (tls && !endpoint->cert))
		return tls_failed(endpoint, why, err);
	if (code == CURLE_UNSUPPORTED_PROTOCOL || code == CURLE_WEIRD_SERVER_REPLY || code == CURLE_RECV_ERROR ||
	    code == CURLE_GOT_NOTHING)
		return sl_error_set(err, SL_FAILED, "what listens at %s does not speak HTTP as %s %s does (%s)",
				    endpoint->url, endpoint->peer ? "a" : "an", peer(endpoint), why);
	return sl_error_set(err, SL_FAILED, "%s: %s", endpoint->url, why);
}

struct sl_http_response {
	const struct sl_endpoint *endpoint;
	CURLM *multi;
	CURL *easy;
	struct curl_slist *headers;
	struct sl_dial dial;
	struct sl_buf chunk; /* arrived, not yet handed out */
	struct sl_buf out;   /* handed out last */
	char detail[CURL_ERROR_SIZE];
	bool head_done, paused, done;
	CURLcode result;
};

static size_t on_body(char *data, size_t size, size_t n, void *ctx)
{
	struct sl_http_response *response = ctx;
	response->head_done = true;
	if (response->chunk.len + n > CHUNK_MAX && response->chunk.len) {
		response->paused = true;
		return CURL_WRITEFUNC_PAUSE;
	}
	return sl_buf_add(&response->chunk, data, n) < 0 ? 0 : n;
}

static size_t on_header(char *data, size_t size, size_t n, void *ctx)
{
	struct sl_http_response *response = ctx;
	if (n <= 2 && (*data == '\r' || *data == '\n')) {
		long status = 0;
		curl_easy_getinfo(response->easy, CURLINFO_RESPONSE_CODE, &status);
		response->head_done = status >= 200;
	}
	return n;
}

/* Let libcurl do what it can without waiting. */
static void step(struct sl_http_response *response)
{
	int running = 0, left = 0;
	curl_multi_perform(response->multi, &running);
	sl_dial_serve(&response->dial);
	CURLMsg *message;
	while ((message = curl_multi_info_read(response->multi, &left))) {
		if (message->msg == CURLMSG_DONE) {
			response->done = true;
			response->result = message->data.result;
		}
	}
}

static int wait_for_peer(struct sl_http_response *response, int64_t deadline, struct sl_error *err)
{
	const struct sl_cancel *cancel = response->endpoint->cancel;
	struct curl_waitfd extra = { .fd = cancel ? cancel->fd : -1, .events = CURL_WAIT_POLLIN };
	int64_t left = deadline - sl_now();
	if (left <= 0)
		return sl_error_set(err, SL_TIMEOUT, "the %s at %s does not answer", peer(response->endpoint), response->endpoint->url);
	curl_multi_poll(response->multi, &extra, cancel ? 1 : 0, left > 1000 ? 1000 : (int)left, NULL);
	if (sl_cancelled(cancel))
		return sl_error_set(err, SL_INTERRUPTED, "interrupted");
	return 0;
}

void sl_http_close(struct sl_http_response *response)
{
	if (!response)
		return;
	if (response->easy && response->multi)
		curl_multi_remove_handle(response->multi, response->easy);
	curl_easy_cleanup(response->easy);
	curl_multi_cleanup(response->multi);
	sl_dial_release(&response->dial);
	curl_slist_free_all(response->headers);
	sl_buf_release(&response->chunk);
	sl_buf_release(&response->out);
	free(response);
}

static void set_method(CURL *easy, const char *method, const char *body, size_t body_len)
{
	if (!strcmp(method, "HEAD"))
		curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
	else if (!strcmp(method, "POST") || body) {
		curl_easy_setopt(easy, CURLOPT_POST, 1L);
		curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE, (long)body_len);
		curl_easy_setopt(easy, CURLOPT_POSTFIELDS, body ? body : "");
	}
	if (strcmp(method, "GET") != 0 && strcmp(method, "POST") != 0 && strcmp(method, "HEAD") != 0)
		curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, method);
}

struct sl_http_response *sl_http_open(const struct sl_endpoint *endpoint, const char *method, const char *path,
				      const char *body, size_t body_len, const char *header, int64_t silence_ms,
				      int *status, struct sl_error *err)
{
	struct sl_http_response *response = calloc(1, sizeof(*response));
	if (!response) {
		sl_error_nomem(err);
		return NULL;
	}
	response->endpoint = endpoint;
	response->multi = curl_multi_init();
	response->easy = new_easy(endpoint, path, &response->dial);
	response->headers = curl_slist_append(curl_slist_append(NULL, "Expect:"), "Content-Type: application/json");
	if (header && response->headers)
		response->headers = curl_slist_append(response->headers, header);
	if (!response->multi || !response->easy || !response->headers) {
		sl_error_nomem(err);
		sl_http_close(response);
		return NULL;
	}
	CURL *easy = response->easy;
	set_method(easy, method, body, body_len);
	curl_easy_setopt(easy, CURLOPT_HTTPHEADER, response->headers);
	curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, response->detail);
	curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(easy, CURLOPT_WRITEDATA, response);
	curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(easy, CURLOPT_HEADERDATA, response);
	curl_multi_add_handle(response->multi, easy);
	sl_debug("%s %s%s", method, endpoint->url, path);
	int64_t deadline = sl_now() + silence_ms;
	while (step(response), !response->head_done && !response->done) {
		if (wait_for_peer(response, deadline, err) < 0) {
			sl_http_close(response);
			return NULL;
		}
	}
	if (response->done && response->result != CURLE_OK) {
		curl_failed(endpoint, response->result, response->detail, &response->dial, err);
		sl_http_close(response);
		return NULL;
	}
	long code = 0;
	curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &code);
	*status = (int)code;
	return response;
}

const char *sl_http_answered(const struct sl_http_response *response, const char *name)
{
	struct curl_header *header;
	return curl_easy_header(response->easy, name, 0, CURLH_HEADER, -1, &header) == CURLHE_OK ? header->value : NULL;
}

ssize_t sl_http_read(struct sl_http_response *response, const void **data, int64_t silence_ms, struct sl_error *err)
{
	int64_t deadline = sl_now() + silence_ms;
	while (!response->chunk.len && !response->done) {
		if (response->paused) {
			response->paused = false;
			curl_easy_pause(response->easy, CURLPAUSE_CONT);
		}
		step(response);
		if (!response->chunk.len && !response->done && !response->paused &&
		    wait_for_peer(response, deadline, err) < 0)
			return -1;
	}
	if (!response->chunk.len) {
		if (response->result != CURLE_OK)
			return curl_failed(response->endpoint, response->result, response->detail, &response->dial, err);
		return 0;
	}
	struct sl_buf swap = response->out;
	response->out = response->chunk;
	response->chunk = swap;
	sl_buf_clear(&response->chunk);
	*data = response->out.data;
	return (ssize_t)response->out.len;
}

int sl_http_request(const struct sl_endpoint *endpoint, const char *method, const char *path, const char *body,
		    struct sl_buf *answer, struct sl_error *err)
{
	int status = 0;
	struct sl_http_response *response = sl_http_open(endpoint, method, path, body, body ? strlen(body) : 0, NULL,
							 endpoint->patience, &status, err);
	if (!response)
		return -1;
	const void *data;
	ssize_t n;
	while ((n = sl_http_read(response, &data, endpoint->patience, err)) > 0) {
		if (sl_buf_add(answer, data, (size_t)n) < 0) {
			n = sl_error_set(err, SL_FAILED, "the engine at %s answers without end", endpoint->url);
			break;
		}
	}
	sl_http_close(response);
	return n < 0 ? -1 : status;
}

/* ---- sessions ---- */

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
		set_method(easy, call->method, !strcmp(call->method, "PUT") && !call->body ? "" : call->body, call->body_len);
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
			return sl_error_set(err, SL_TIMEOUT, "the %s at %s does not answer", peer(session->endpoint), session->endpoint->url);
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
		return sl_error_set(err, SL_FAILED, "the %s at %s answers without end", peer(&there), url ? url : "");
	if (url)
		there.url = url;
	if (code == CURLE_SEND_ERROR)
		return sl_error_set(err, SL_CLOSED, "the %s at %s hangs up in the middle (%s)", peer(&there), there.url, detail);
	return curl_failed(&there, code, detail, NULL, err);
}

int sl_http_call(struct sl_http_session *session, struct sl_http_call *call, int64_t silence_ms, struct sl_error *err)
{
	struct exchange exchange = { .call = call, .source_error = SL_ERROR_INIT };
	char detail[CURL_ERROR_SIZE] = "";
	CURLcode result = CURLE_OK;
	long status = 0;
	sl_buf_clear(&call->head);
	sl_buf_clear(&call->answer);
	call->head.max = HEAD_MAX;
	call->sent = 0;
	call->status = 0;
	struct curl_slist *headers = call_headers(call, err);
	CURL *easy = headers ? curl_easy_init() : NULL;
	if (!easy) {
		curl_slist_free_all(headers);
		return sl_error_nomem(err);
	}
	set_common(easy, session->endpoint);
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

/* ---- upgraded connections ---- */

struct sl_http_stream {
	CURL *easy;
	curl_socket_t fd;
	struct sl_dial dial;
	struct sl_buf early; /* stream bytes that came with the head */
};

void sl_http_stream_free(struct sl_http_stream *stream)
{
	if (!stream)
		return;
	curl_easy_cleanup(stream->easy);
	sl_dial_release(&stream->dial);
	sl_buf_release(&stream->early);
	free(stream);
}

int sl_http_stream_fd(const struct sl_http_stream *stream)
{
	return stream->fd;
}

ssize_t sl_http_stream_send(struct sl_http_stream *stream, const void *data, size_t len, struct sl_error *err)
{
	size_t sent = 0;
	CURLcode code = curl_easy_send(stream->easy, data, len, &sent);
	if (code == CURLE_OK)
		return (ssize_t)sent;
	if (code == CURLE_AGAIN)
		return 0;
	return sl_error_set(err, SL_CLOSED, "the connection was closed by the other side");
}

ssize_t sl_http_stream_recv(struct sl_http_stream *stream, void *data, size_t size, struct sl_error *err)
{
	if (stream->early.len) {
		size_t n = stream->early.len < size ? stream->early.len : size;
		memcpy(data, stream->early.data, n);
		sl_buf_drop(&stream->early, n);
		return (ssize_t)n;
	}
	size_t got = 0;
	CURLcode code = curl_easy_recv(stream->easy, data, size, &got);
	if (code == CURLE_AGAIN)
		return 0;
	if (code != CURLE_OK || got == 0)
		return sl_error_set(err, SL_CLOSED, "the connection was closed by the other side");
	return (ssize_t)got;
}

void sl_http_stream_shutdown(struct sl_http_stream *stream)
{
	shutdown(stream->fd, SHUT_WR);
}

static int send_all(struct sl_http_stream *stream, const struct sl_endpoint *endpoint, const char *data, size_t len,
		    int64_t deadline, struct sl_error *err)
{
	while (len) {
		ssize_t n = sl_http_stream_send(stream, data, len, err);
		if (n < 0)
			return -1;
		data += n;
		len -= (size_t)n;
		if (n == 0 && sl_wait_fd(stream->fd, POLLOUT, endpoint->cancel, deadline, err) < 0)
			return -1;
	}
	return 0;
}

/* Read up to the blank line; what follows it is the stream already. */
static int read_head(struct sl_http_stream *stream, const struct sl_endpoint *endpoint, int64_t deadline,
		     struct sl_buf *head, struct sl_error *err)
{
	char chunk[4096];
	head->max = HEAD_MAX;
	for (;;) {
		ssize_t n = sl_http_stream_recv(stream, chunk, sizeof(chunk), err);
		if (n < 0)
			return -1;
		if (n == 0) {
			if (sl_wait_fd(stream->fd, POLLIN, endpoint->cancel, deadline, err) < 0)
				return -1;
			continue;
		}
		if (sl_buf_add(head, chunk, (size_t)n) < 0)
			return sl_error_set(err, SL_FAILED, "the answer's head has no end");
		char *blank = memmem(head->data, head->len, "\r\n\r\n", 4);
		if (!blank)
			continue;
		size_t keep = (size_t)(blank - head->data) + 4;
		sl_buf_add(&stream->early, head->data + keep, head->len - keep);
		head->len = keep;
		head->data[keep] = '\0';
		return 0;
	}
}

/* A refusal's body: {"message": "…"}, near enough for an error text. */
static void describe_refusal(struct sl_http_stream *stream, const struct sl_buf *head, struct sl_error *err)
{
	char text[512];
	ssize_t n = sl_http_stream_recv(stream, text, sizeof(text) - 1, NULL);
	text[n > 0 ? n : 0] = '\0';
	sl_error_set(err, SL_FAILED, "the engine refused the stream (%.*s) %s",
		     (int)strcspn(head->data, "\r\n"), head->data, text);
}

struct sl_http_stream *sl_http_upgrade(const struct sl_endpoint *endpoint, const char *path, const char *body,
				       struct sl_error *err)
{
	sl_autobuf struct sl_buf request = SL_BUF_INIT, head = SL_BUF_INIT;
	struct sl_http_stream *stream = calloc(1, sizeof(*stream));
	if (!stream || !(stream->easy = new_easy(endpoint, "", &stream->dial))) {
		sl_http_stream_free(stream);
		sl_error_nomem(err);
		return NULL;
	}
	curl_easy_setopt(stream->easy, CURLOPT_CONNECT_ONLY, 1L);
	CURLcode code = curl_easy_perform(stream->easy);
	sl_dial_serve(&stream->dial);
	if (code == CURLE_OK)
		code = curl_easy_getinfo(stream->easy, CURLINFO_ACTIVESOCKET, &stream->fd);
	if (code != CURLE_OK) {
		curl_failed(endpoint, code, NULL, &stream->dial, err);
		sl_http_stream_free(stream);
		return NULL;
	}
	sl_buf_printf(&request, "POST %s HTTP/1.1\r\nHost: docker\r\nContent-Type: application/json\r\n"
		      "Connection: Upgrade\r\nUpgrade: tcp\r\nContent-Length: %zu\r\n\r\n%s", path, strlen(body), body);
	sl_debug("POST %s%s (upgrade)", endpoint->url, path);
	int64_t deadline = sl_now() + SL_HTTP_SILENCE;
	if (request.failed)
		sl_error_nomem(err);
	if (request.failed || send_all(stream, endpoint, request.data, request.len, deadline, err) < 0 ||
	    read_head(stream, endpoint, deadline, &head, err) < 0) {
		sl_http_stream_free(stream);
		return NULL;
	}
	if (strncmp(head.data, "HTTP/1.1 101", 12) != 0 && strncmp(head.data, "HTTP/1.1 200", 12) != 0) {
		describe_refusal(stream, &head, err);
		sl_http_stream_free(stream);
		return NULL;
	}
	return stream;
}
