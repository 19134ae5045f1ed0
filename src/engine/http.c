/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/http.h"

#include <curl/curl.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
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
	if (endpoint->ca)
		curl_easy_setopt(easy, CURLOPT_CAINFO, endpoint->ca);
	if (endpoint->cert)
		curl_easy_setopt(easy, CURLOPT_SSLCERT, endpoint->cert);
	if (endpoint->key)
		curl_easy_setopt(easy, CURLOPT_SSLKEY, endpoint->key);
	if (!strncmp(endpoint->base, "https", 5) && !endpoint->verify) {
		curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 0L);
		curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 0L);
	}
	curl_easy_setopt(easy, CURLOPT_PROXY, "");
	curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)(endpoint->patience < SL_HTTP_CONNECT ? endpoint->patience : SL_HTTP_CONNECT));
	curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, 256L << 10);
	curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	return easy;
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
		return sl_error_set(err, SL_FAILED, "no engine answers at %s (%s); is it running?", endpoint->url, why);
	if (code == CURLE_OPERATION_TIMEDOUT)
		return sl_error_set(err, SL_TIMEOUT, "the engine at %s does not answer", endpoint->url);
	/* an engine that wants a client's certificate hangs up on one that has none */
	bool tls = !strncmp(endpoint->base, "https", 5);
	if (code == CURLE_PEER_FAILED_VERIFICATION || code == CURLE_SSL_CACERT_BADFILE || code == CURLE_SSL_CERTPROBLEM ||
	    code == CURLE_SSL_CONNECT_ERROR || (tls && !endpoint->cert))
		return sl_error_set(err, SL_FAILED, "TLS with the engine at %s fails (%s); ca.pem: %s, cert.pem: %s", endpoint->url, why,
				    endpoint->ca ? endpoint->ca : "none", endpoint->cert ? endpoint->cert : "none");
	if (code == CURLE_UNSUPPORTED_PROTOCOL || code == CURLE_WEIRD_SERVER_REPLY || code == CURLE_RECV_ERROR ||
	    code == CURLE_GOT_NOTHING)
		return sl_error_set(err, SL_FAILED, "what listens at %s does not speak HTTP as an engine does (%s)",
				    endpoint->url, why);
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
		return sl_error_set(err, SL_TIMEOUT, "the engine at %s does not answer", response->endpoint->url);
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
