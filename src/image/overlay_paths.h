/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_IMAGE_OVERLAY_PATHS_H
#define SL_IMAGE_OVERLAY_PATHS_H

/*
 * What the layer at hand has made so far, by path; for image/overlay.c only.
 * Paths are relative to the layer's root and clean: "a/b", "" is the root.  They
 * are kept as keyed hashes, so that memory grows by a few bytes an entry.
 */

#include <stdint.h>

#include "base/buf.h"
#include "base/sha256.h"

/* More entries than this in one layer are left to containerd; so is what does not
 * fit in the arena (links' targets, directories' metadata). */
#define SL_PATHS_MAX 300000
#define SL_PATHS_ARENA ((size_t)8 << 20)
/* Longer paths nothing can open. */
#define SL_PATH_LEN 4000

enum sl_made {
	SL_MADE_NOTHING,
	SL_MADE_IMPLIED,  /* a directory that the layer does not mention but for what is in it */
	SL_MADE_DIRECTORY,
	SL_MADE_SYMLINK,
	SL_MADE_WHITEOUT,
	SL_MADE_OTHER,
};

struct sl_paths {
	struct sl_sha256 *hash;
	unsigned char key[16];
	struct sl_paths_slot *slots;
	size_t n, size;
	struct sl_buf arena;
};

/* 0, or -1 when memory or random bytes are out. */
int sl_paths_init(struct sl_paths *paths) SL_MUST_CHECK;
void sl_paths_release(struct sl_paths *paths);

/* What is at @path; *value: what was put with it. */
enum sl_made sl_paths_get(struct sl_paths *paths, const char *path, uint64_t *value);

/* Put @made at @path, with @value (61 bits).  -1 when it is too much. */
int sl_paths_put(struct sl_paths *paths, const char *path, enum sl_made made, uint64_t value) SL_MUST_CHECK;

/* Keep @len bytes; *at is where, a value for sl_paths_put().  -1 when it is too much. */
int sl_paths_keep(struct sl_paths *paths, const void *data, size_t len, uint64_t *at) SL_MUST_CHECK;

/* Resolve @name as a directory, as Go's filepath.Clean and containerd's fs.RootPath
 * do: through the links that the layer made, whose targets (sl_paths_keep()'s, a
 * uint64_t and a string) never lead above the root.  -1 when it is too long or has
 * too many links. */
int sl_paths_resolve(struct sl_paths *paths, const char *name, char out[SL_PATH_LEN]) SL_MUST_CHECK;

/* Go's filepath.Clean of "/" and @name, without the first slash.  -1: too long. */
int sl_paths_clean(const char *name, char out[SL_PATH_LEN]) SL_MUST_CHECK;

#endif
