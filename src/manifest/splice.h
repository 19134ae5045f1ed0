/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_MANIFEST_SPLICE_H
#define SL_MANIFEST_SPLICE_H

/*
 * Edits of a text as what they are: some of its bytes replaced by others.  All
 * offsets are of the original text, in whatever order the edits were found.
 */

#include <stddef.h>

#include "base/buf.h"

struct sl_splice {
	size_t start, end; /* the bytes that go; none for an insertion */
	char *text;        /* what comes in their place; "" for nothing */
	size_t order;      /* among insertions at one place */
};

struct sl_splices {
	struct sl_splice *items;
	size_t n, size;
};

#define SL_SPLICES_INIT { NULL, 0, 0 }

void sl_splices_release(struct sl_splices *splices);
#define sl_autosplices SL_CLEANUP(sl_splices_release)

/* Replace the bytes [@start, @end) by a copy of @text. */
int sl_splices_add(struct sl_splices *splices, size_t start, size_t end, const char *text,
		   struct sl_error *err) SL_MUST_CHECK;

/* Append to @out the @len bytes at @text with all edits done, which are then in
 * the order of the text; insertions at one place stay in the order in which they
 * were added.  Edits that overlap are a failure. */
int sl_splices_apply(struct sl_splices *splices, const char *text, size_t len, struct sl_buf *out,
		     struct sl_error *err) SL_MUST_CHECK;

#endif
