/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_ENGINE_EXPORTER_H
#define SL_ENGINE_EXPORTER_H

/*
 * An image on its way out: a sequence of layer blobs, each seen once, in an
 * order that the source decides.
 *
 *	while (sl_exporter_next(exporter, &blob, err) == 1)
 *		while (sl_exporter_data(exporter, &data, err) > 0)
 *			...                     (or no data: the blob is passed over)
 *	sl_exporter_finish(exporter, err);      config, blobs and sizes are known
 *
 * Blobs whose bytes are read are hashed, and one that does not match its digest
 * is an error at its end.  A new way out is a new file with its own ops.
 */

#include <stdatomic.h>

#include "engine/engine.h"
#include "image/image.h"

struct sl_blob {
	struct sl_digest diff_id; /* empty: which layer this is only the end will tell */
	struct sl_digest digest;  /* of the bytes; empty: not known before they were read */
	int64_t size;             /* bytes that sl_exporter_data() will give */
	bool packed;              /* these are not the layer's tar itself, checked against its diff ID */
};

struct sl_exporter;

struct sl_exporter_ops {
	const char *name;
	int (*next)(struct sl_exporter *exporter, struct sl_blob *blob, struct sl_error *err);
	ssize_t (*data)(struct sl_exporter *exporter, const void **data, struct sl_error *err);
	int (*finish)(struct sl_exporter *exporter, struct sl_error *err);
	void (*free)(struct sl_exporter *exporter);
};

struct sl_exporter {
	const struct sl_exporter_ops *ops;
	struct sl_image *images; /* NULL while only the end can tell (a pipe) */
	size_t n_images;
};

/* From the overlay2 graph driver's own store: the fastest, as only the layers that
 * are asked for are touched.  Read by this process (@helper NULL), or in a container
 * of engine @helper's (engine/store.h).  The images must have been inspected; they are
 * borrowed, and complete on return.  That takes time in proportion to their files:
 * once *@stop is true (NULL: never) it is given up, SL_INTERRUPTED. */
struct sl_exporter *sl_exporter_store(const struct sl_engine *helper, struct sl_image *images, size_t n, const atomic_bool *stop,
				      struct sl_error *err) SL_MUST_CHECK;

/* By having the engine push to a registry in this process (engine/registry.h).  The
 * images must have been inspected; they are borrowed, and complete on return but for
 * the sizes of what is to come. */
struct sl_exporter *sl_exporter_registry(const struct sl_engine *engine, struct sl_image *images, size_t n,
					 struct sl_error *err) SL_MUST_CHECK;

/* Only the layers of which the diff ID is among @lacking [@n] (taken over) come out;
 * to be called before the first one is asked for. */
void sl_exporter_registry_want(struct sl_exporter *exporter, struct sl_digest *lacking, size_t n);

/* By GET /images/get: the images must have been inspected.  They are borrowed,
 * and completed by finish. */
struct sl_exporter *sl_exporter_save(const struct sl_engine *engine, struct sl_image *images, size_t n,
				     struct sl_error *err) SL_MUST_CHECK;

/* From a docker save or OCI archive at @path ("-": standard input).  A file is
 * looked through first, so `images` is known at once; a pipe is read once, and
 * `images` is set by finish.  Either way they are the caller's to release.  When
 * the same file is exported once more, @images [@n] are those of the first time
 * (else NULL, 0).  Of several platforms the one for @architecture is taken (NULL:
 * this machine's). */
struct sl_exporter *sl_exporter_archive(const char *path, const char *architecture, struct sl_image *images, size_t n,
					const struct sl_cancel *cancel, struct sl_error *err) SL_MUST_CHECK;

/* 1 and the next blob, 0 at the end, -1 with @err. */
int sl_exporter_next(struct sl_exporter *exporter, struct sl_blob *blob, struct sl_error *err) SL_MUST_CHECK;

/* The next bytes of the blob, at *data until the next call; 0 at its end. */
ssize_t sl_exporter_data(struct sl_exporter *exporter, const void **data, struct sl_error *err) SL_MUST_CHECK;

int sl_exporter_finish(struct sl_exporter *exporter, struct sl_error *err) SL_MUST_CHECK;
void sl_exporter_free(struct sl_exporter *exporter);

#endif
