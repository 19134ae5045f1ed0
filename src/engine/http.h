/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_ENGINE_HTTP_H
#define SL_ENGINE_HTTP_H

/*
 * HTTP/1.1 to one endpoint, by libcurl: a request whose answer is a document, a
 * response that is read piece by piece as it arrives, and a connection that is
 * upgraded to a raw stream.  Each call has a connection of its own, so calls may
 * be made from several threads at once; but for those of a session, which keeps its
 * connections and belongs to one thread at a time.
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
#include "image/archive.h"

struct sl_endpoint {
	const char *peer;  /* who answers there, for messages: "registry"; static, NULL: "engine" */
	char *url;         /* as the user knows it: unix:///var/run/docker.sock */
	char *socket_path; /* unix; NULL for TCP */
	struct sl_strv command; /* ssh: what carries a connection on its standard streams; empty: none */
	char *base;        /* http://docker or http[s]://host:port, no trailing slash */
	char *ca, *cert, *key; /* PEM files for TLS; each may be NULL */
	bool verify;       /* the server's certificate */
	bool proxied;      /* the environment's proxy counts (https_proxy, no_proxy) */
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

/* The value of the answer's header @name, borrowed until the response is read from or
 * closed; NULL: there is none. */
const char *sl_http_answered(const struct sl_http_response *response, const char *name);

/* The next bytes of the body, at *data until the next call: their number, 0 at
 * the end, -1 with @err (also when the body was cut short). */
ssize_t sl_http_read(struct sl_http_response *response, const void **data, int64_t silence_ms,
		     struct sl_error *err) SL_MUST_CHECK;
void sl_http_close(struct sl_http_response *response);

/* A whole request: the body of the answer is appended to @answer (bounded by its
 * maximum).  Returns the HTTP status, or -1 with @err when no answer came. */
int sl_http_request(const struct sl_endpoint *endpoint, const char *method, const char *path, const char *body,
		    struct sl_buf *answer, struct sl_error *err) SL_MUST_CHECK;

/* Requests to a peer that is not an engine, with headers either way and bodies that
 * are streams; connections are kept from one to the next. */
struct sl_http_session;

/* @endpoint is borrowed, of which `base` need not be set.  NULL when memory is out. */
struct sl_http_session *sl_http_session_new(const struct sl_endpoint *endpoint);
void sl_http_session_free(struct sl_http_session *session); /* NULL is fine */

struct sl_http_call {
	const char *method;
	const char *url;              /* absolute; GET and HEAD follow where it leads, never from https to http */
	const char *authorization;    /* that header's value, which no other host gets; or NULL */
	const char *accept;           /* or NULL */
	const char *content_type;     /* or NULL */
	const char *body;             /* @body_len bytes; or NULL */
	size_t body_len;
	const struct sl_source *source; /* instead: in chunks until its end; it may wait */
	uint64_t sent;                /* of the body; set */
	int status;                   /* of the answer, 0 without one; set, also on failure */
	struct sl_buf head;           /* the answer's headers; the caller releases */
	struct sl_buf answer;         /* its body, up to its maximum; the caller releases */
};

/* When a source fails, or the token fires while one is read, the body is ended where it is
 * and the answer waited for, so long; milliseconds. */
#define SL_HTTP_GRACE 5000

/* Do it: the HTTP status, or -1 with @err, which is the source's own where that failed.
 * SL_TIMEOUT when nothing moves for @silence_ms. */
int sl_http_call(struct sl_http_session *session, struct sl_http_call *call, int64_t silence_ms, struct sl_error *err) SL_MUST_CHECK;
void sl_http_call_release(struct sl_http_call *call);

/* The value of header @name, the @nth (from 0) of that name, in @head: the caller frees it;
 * NULL: there is none. */
char *sl_http_header(const struct sl_buf *head, const char *name, size_t nth);

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
