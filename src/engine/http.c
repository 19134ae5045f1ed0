/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/http.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "engine/http_curl.h"

/* What one pass of libcurl may leave in our hands before it is paused. */
#define CHUNK_MAX ((size_t)512 << 10)

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
		return sl_error_set(err, SL_TIMEOUT, "the %s at %s does not answer", sl_curl_peer(response->endpoint), response->endpoint->url);
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
	response->easy = sl_curl_new(endpoint, path, &response->dial);
	response->headers = curl_slist_append(curl_slist_append(NULL, "Expect:"), "Content-Type: application/json");
	if (header && response->headers)
		response->headers = curl_slist_append(response->headers, header);
	if (!response->multi || !response->easy || !response->headers) {
		sl_error_nomem(err);
		sl_http_close(response);
		return NULL;
	}
	CURL *easy = response->easy;
	sl_curl_set_method(easy, method, body, body_len);
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
		sl_curl_failed(endpoint, response->result, response->detail, &response->dial, err);
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
			return sl_curl_failed(response->endpoint, response->result, response->detail, &response->dial, err);
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
