/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_ENGINE_REGISTRY_PARTS_H
#define SL_ENGINE_REGISTRY_PARTS_H

/*
 * The loopback registry's two halves: what it has and wants, and the reader
 * (registry.c); and the requests (registry_http.c).  Each connection has a thread of
 * its own, which waits where it has to: an upload for whoever takes its bytes, and the
 * question for a second wanted layer until the first one has come - so an upload
 * needs no name to be known for what it is (docker's graph driver tells the digest
 * when all is said).
 */

#include <microhttpd.h>
#include <pthread.h>
#include <stdio.h>

#include "base/sha256.h"
#include "engine/registry.h"

#define SL_NO_LAYER SIZE_MAX

struct sl_document {
	char *reference; /* the tag or digest under which it was pushed */
	struct sl_digest digest;
	struct sl_buf text;
};

/* One upload session. */
struct sl_upload {
	struct sl_upload *next;
	unsigned id;
	size_t layer;     /* the wanted one, or NO_LAYER */
	struct sl_sha256 *hash;
	int64_t size;     /* bytes so far */
	unsigned char head[4];
	struct sl_buf text; /* its bytes while it may be a document */
	FILE *spool;      /* of a wanted one whose size is not known in advance */
	bool broken;
};

/* The wanted layer that is handed over. */
struct sl_handover {
	bool open, ended, bad, skip; /* skip: nobody reads it */
	struct sl_registry_blob blob;
	const void *data; /* the producer's, who waits until it is NULL again */
	size_t len;
	bool lent, data_lent; /* the reader has it */
};

struct sl_wanted {
	bool asked, done;
};

struct sl_registry {
	struct MHD_Daemon *daemon;
	struct sl_door *door;
	char host[32], authorization[160];
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool reached, closing, over;
	int64_t progress; /* when something arrived last */
	struct sl_registry_round round;
	struct sl_wanted *wanted; /* of each of the round's layers */
	int64_t asked_since;   /* when the first wanted one was asked for */
	size_t promised;  /* the wanted one that the engine has been asked for */
	struct sl_upload *uploads;
	unsigned last_id;
	struct sl_document *documents;
	size_t n_documents;
	struct sl_handover hand;
};

/* Of these, those marked so are called with the lock. */

/* Something has arrived or happened: whoever waits looks again.  With the lock. */
void sl_registry_changed(struct sl_registry *self);

/* Keep a manifest or config; @text is taken over.  -1 without memory.  With the lock. */
int sl_registry_add_document(struct sl_registry *self, const char *reference, const struct sl_digest *digest, struct sl_buf *text);

/* Is the blob there, as the engine is to believe?  Its size, or -1; for a wanted
 * layer, when its turn has come.  @accept: the request's header, or NULL.  With the
 * lock. */
int64_t sl_registry_pretend(struct sl_registry *self, const char *digest, const char *accept);

/* Uploads, with the lock.  A new one is of the wanted layer that the engine has been
 * asked for, if any; NULL without memory. */
struct sl_upload *sl_registry_new_upload(struct sl_registry *self);
struct sl_upload *sl_registry_find_upload(struct sl_registry *self, unsigned id);
void sl_registry_drop_upload(struct sl_registry *self, struct sl_upload *upload);

/* By its first bytes. */
const char *sl_registry_media_type(const struct sl_upload *upload);

/* Hand a wanted layer to the reader: announce it; give it bytes, which may be used
 * again on return; end it.  -1 when nobody reads any more. */
int sl_registry_hand_open(struct sl_registry *self, const struct sl_registry_blob *blob);
int sl_registry_hand_data(struct sl_registry *self, const void *data, size_t len);
int sl_registry_hand_spool(struct sl_registry *self, struct sl_upload *upload);
void sl_registry_hand_end(struct sl_registry *self, bool good);

/* libmicrohttpd's callbacks. */
enum MHD_Result sl_registry_request(void *ctx, struct MHD_Connection *connection, const char *url, const char *method, const char *version,
				    const char *data, size_t *size, void **state);
void sl_registry_completed(void *ctx, struct MHD_Connection *connection, void **state, enum MHD_RequestTerminationCode code);

#endif
