/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_MANIFEST_DIFF_H
#define SL_MANIFEST_DIFF_H

/* What a rewrite did, as a unified diff that `patch` takes. */

#include "manifest/rewrite.h"

/* Append to @out the difference between the @len bytes at @text and @rewrite, the
 * rewrite of them; nothing if there is none.  @name stands in both headers. */
int sl_diff_unified(const char *name, const char *text, size_t len, const struct sl_rewrite *rewrite,
		    struct sl_buf *out, struct sl_error *err) SL_MUST_CHECK;

#endif
