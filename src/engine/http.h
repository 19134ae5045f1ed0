/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_ENGINE_HTTP_H
#define SL_ENGINE_HTTP_H

/*
 * HTTP/1.1 to one endpoint, by libcurl: a request whose answer is a document, a
 * response that is read piece by piece as it arrives, and a connection that is
 * upgraded to a raw stream.  Each call has a connection of its own, so calls may
 * be made from several threads at once.
 *
 * Whatever waits gives up with SL_TIMEOUT when the peer is silent for longer
 * than the stated milliseconds, and with SL_INTERRUPTED when the endpoint's
 * cancel token fires.
 */

#include <stdint.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/cancel.h"
#include "base/strv.h"
#include "engine/locate.h"

struct sl_endpoint {
	char *url;         /* as the user knows it: unix:///var/run/docker.sock */
	char *socket_path; /* unix; NULL for TCP */
	struct sl_strv command; /* ssh: what carries a connection on its standard streams; empty: none */
	char *base;        /* http://docker or http[s]://host:port, no trailing slash */
	char *ca, *cert, *key; /* PEM files for TLS; each may be NULL */
	bool verify;       /* the server's certificate */
	int64_t patience;  /* silence of a simple request that is tolerated, milliseconds */
	const struct sl_cancel *cancel; /* borrowed; may be NULL */
};

/* Take apart the address of @location: unix:///path, tcp://host:port or
 * http://host:port, with TLS if it says so, ssh://[user@]host[:port][/socket].
 * SL_USAGE for anything else, with what is supported. */
int sl_endpoint_set(const struct sl_location *location, struct sl_endpoint *out, struct sl_error *err) SL_MUST_CHECK;
void sl_endpoint_release(struct sl_endpoint *endpoint);

/* Silence that is tolerated, in milliseconds; and how long a connection may take. */
#define SL_HTTP_SILENCE 30000
#define SL_HTTP_CONNECT 5000

struct sl_http_response; /* a response being read */

/* Send a request and read the answer's head.  @body (@body_len bytes of JSON) and
 * @header (one more, "Name: value") may be NULL.  *status is the HTTP status.  The caller closes the response;
 * NULL with @err when no answer came. */
struct sl_http_response *sl_http_open(const struct sl_endpoint *endpoint, const char *method, const char *path,
				      const char *body, size_t body_len, const char *header, int64_t silence_ms,
				      int *status, struct sl_error *err) SL_MUST_CHECK;

/* The next bytes of the body, at *data until the next call: their number, 0 at
 * the end, -1 with @err (also when the body was cut short). */
ssize_t sl_http_read(struct sl_http_response *response, const void **data, int64_t silence_ms,
		     struct sl_error *err) SL_MUST_CHECK;
void sl_http_close(struct sl_http_response *response);

/* A whole request: the body of the answer is appended to @answer (bounded by its
 * maximum).  Returns the HTTP status, or -1 with @err when no answer came. */
int sl_http_request(const struct sl_endpoint *endpoint, const char *method, const char *path, const char *body,
		    struct sl_buf *answer, struct sl_error *err) SL_MUST_CHECK;

struct sl_http_stream; /* an upgraded connection */

/* POST @body to @path asking for an upgrade to a raw stream.  NULL with @err,
 * also when the peer answers with anything but 101 or 200. */
struct sl_http_stream *sl_http_upgrade(const struct sl_endpoint *endpoint, const char *path, const char *body,
				       struct sl_error *err) SL_MUST_CHECK;
void sl_http_stream_free(struct sl_http_stream *stream);

/* The descriptor to poll, never to read from or write to. */
int sl_http_stream_fd(const struct sl_http_stream *stream);

/* Non-blocking; the number of bytes, 0 when it would block, -1 with @err.  At
 * the end of the stream sl_http_stream_recv() returns -1 with SL_CLOSED. */
ssize_t sl_http_stream_send(struct sl_http_stream *stream, const void *data, size_t len, struct sl_error *err) SL_MUST_CHECK;
ssize_t sl_http_stream_recv(struct sl_http_stream *stream, void *data, size_t size, struct sl_error *err) SL_MUST_CHECK;

/* No more will be sent; the peer sees the end of its input. */
void sl_http_stream_shutdown(struct sl_http_stream *stream);

/* Once per process, before threads start. */
int sl_http_init(struct sl_error *err) SL_MUST_CHECK;

#endif
