/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "engine/http_curl.h"

/* Upgraded connections. */

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
	head->max = SL_HTTP_HEAD_MAX;
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
	if (!stream || !(stream->easy = sl_curl_new(endpoint, "", &stream->dial))) {
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
		sl_curl_failed(endpoint, code, NULL, &stream->dial, err);
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
