/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_MANIFEST_REWRITE_H
#define SL_MANIFEST_REWRITE_H

/*
 * Setting imagePullPolicy in a manifest and leaving every other byte of it as
 * it is: find the containers, plan the edits, splice them in, and check by
 * parsing again that the result is the same document but for what was planned.
 * Where that cannot be had (an anchor that other values share) the text is
 * refused.
 */

#include "base/buf.h"
#include "manifest/policy.h"
#include "manifest/splice.h"

struct sl_rewrite {
	struct sl_buf text;        /* the whole edited text */
	struct sl_splices splices; /* how it came from the original, in the order of the text */
	size_t containers;         /* that have an image */
	size_t chosen;             /* of these */
	size_t changed;            /* of these, the others have the policy already */
	size_t needless;           /* pods with pull secrets of which every image is chosen */
};

#define SL_REWRITE_INIT { SL_BUF_INIT, SL_SPLICES_INIT, 0, 0, 0, 0 }

void sl_rewrite_release(struct sl_rewrite *rewrite);
#define sl_autorewrite SL_CLEANUP(sl_rewrite_release)

/* Rewrite the @len bytes at @text, a stream of YAML or JSON documents, into
 * @out.  @name is for errors ("NAME:LINE:COLUMN: message", SL_FAILED) and for
 * the warnings that sl_warn() gets about a key that is there twice, and about pull
 * secrets that nothing needs and that stay. */
int sl_rewrite_text(const char *name, const char *text, size_t len, const struct sl_rewrite_rules *rules,
		    struct sl_rewrite *out, struct sl_error *err) SL_MUST_CHECK;

/* Add to @images, in canonical form and once each, what the containers in @text
 * run.  What is no image name is left out, with a warning. */
int sl_manifest_images(const char *name, const char *text, size_t len, struct sl_strv *images,
		       struct sl_error *err) SL_MUST_CHECK;

#endif
