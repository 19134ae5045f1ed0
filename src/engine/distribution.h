/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_ENGINE_DISTRIBUTION_H
#define SL_ENGINE_DISTRIBUTION_H

/*
 * A registry elsewhere, as the OCI distribution spec has it: what it has, and pushing
 * to it.  (The one inside this process is engine/registry.h.)
 *
 *	1. sl_dist_open(); sl_dist_ping() finds out whether it is a registry;
 *	2. blobs: sl_dist_has_blob(), sl_dist_mount(), sl_dist_upload();
 *	3. sl_dist_put_manifest(), and sl_dist_get_manifest() to see what a name stands
 *	   for.
 *
 * TLS, but for hosts on the loopback or where the caller says so; proxies as the
 * environment has them, but for plain HTTP.  Credentials are docker's
 * (engine/registry_auth.h).  An upload that does not come to its end is cancelled at the
 * registry, also after an interruption.  One thread at a time.
 */

#include "engine/http.h"
#include "image/digest.h"

struct sl_dist;

enum sl_dist_scheme {
	SL_DIST_AUTO,  /* plain HTTP for localhost, 127.0.0.0/8 and [::1], TLS elsewhere */
	SL_DIST_PLAIN,
	SL_DIST_TLS,
};

/* @host is HOST[:PORT].  No request yet.  @cancel is borrowed; NULL with @err only when
 * memory is out. */
struct sl_dist *sl_dist_open(const char *host, enum sl_dist_scheme scheme, const struct sl_cancel *cancel, struct sl_error *err) SL_MUST_CHECK;
void sl_dist_free(struct sl_dist *dist); /* NULL is fine */

/* "https://registry.example:5000"; borrowed. */
const char *sl_dist_url(const struct sl_dist *dist);

/* Is it a registry, and does it answer? */
int sl_dist_ping(struct sl_dist *dist, struct sl_error *err) SL_MUST_CHECK;

/* Does @repository have blob @digest?  1 and its size (-1: it does not tell), 0, or -1
 * with @err. */
int sl_dist_has_blob(struct sl_dist *dist, const char *repository, const struct sl_digest *digest, int64_t *size,
		     struct sl_error *err) SL_MUST_CHECK;

/* Have @repository have blob @digest, which repository @from has: 1, or 0 where the
 * registry does not do that; -1 with @err. */
int sl_dist_mount(struct sl_dist *dist, const char *repository, const struct sl_digest *digest, const char *from,
		  struct sl_error *err) SL_MUST_CHECK;

struct sl_dist_upload {
	struct sl_source source;
	int64_t size;            /* bytes that it gives */
	struct sl_digest digest; /* of them; empty: worked out, and set */
	uint64_t sent;           /* bytes; set, also on failure */
};

int sl_dist_upload(struct sl_dist *dist, const char *repository, struct sl_dist_upload *upload, struct sl_error *err) SL_MUST_CHECK;

/* Append to @text a whole blob, or the manifest (or index) that @reference, a tag or a
 * digest, stands for; *digest is what its bytes hash to.  1, or 0 when there is none; -1
 * with @err. */
int sl_dist_get_blob(struct sl_dist *dist, const char *repository, const struct sl_digest *digest, struct sl_buf *text,
		     struct sl_error *err) SL_MUST_CHECK;
int sl_dist_get_manifest(struct sl_dist *dist, const char *repository, const char *reference, struct sl_buf *text,
			 struct sl_digest *digest, struct sl_error *err) SL_MUST_CHECK;

/* Have @tag stand for the manifest @text. */
int sl_dist_put_manifest(struct sl_dist *dist, const char *repository, const char *tag, const char *media_type, const char *text, size_t len,
			 struct sl_error *err) SL_MUST_CHECK;

/* How long a registry may take to take in a blob; milliseconds, and as many bytes a
 * millisecond. */
#define SL_DIST_COMMIT 60000
#define SL_DIST_COMMIT_RATE 20000

#endif
