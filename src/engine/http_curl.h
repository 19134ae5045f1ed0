/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_ENGINE_HTTP_CURL_H
#define SL_ENGINE_HTTP_CURL_H

/*
 * What the files of HTTP have in common; for them only.  Nothing else sees libcurl.
 *
 *	http.c          a request to an engine, and its answer as it comes
 *	http_session.c  requests to a registry
 *	http_stream.c   upgraded connections
 */

#include <curl/curl.h>

#include "engine/dial.h"
#include "engine/http.h"

/* An answer's head; bytes. */
#define SL_HTTP_HEAD_MAX ((size_t)64 << 10)

/* What every request to @endpoint has in common. */
void sl_curl_set_common(CURL *easy, const struct sl_endpoint *endpoint);

/* A handle with that, for @path.  @dial carries its connection where that goes through a
 * command; it is released after the handle.  NULL when memory is out. */
CURL *sl_curl_new(const struct sl_endpoint *endpoint, const char *path, struct sl_dial *dial);

void sl_curl_set_method(CURL *easy, const char *method, const char *body, size_t body_len);

/* What the peer is called in messages: "engine". */
const char *sl_curl_peer(const struct sl_endpoint *endpoint);

/* Why @code, for people; -1.  @detail and @dial may be NULL. */
int sl_curl_failed(const struct sl_endpoint *endpoint, CURLcode code, const char *detail, struct sl_dial *dial, struct sl_error *err);

#endif
