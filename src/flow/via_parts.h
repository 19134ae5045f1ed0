/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_FLOW_VIA_PARTS_H
#define SL_FLOW_VIA_PARTS_H

/* What planning a push (flow/via_plan.c) and doing it (flow/via_push.c) share; for them only. */

#include "flow/via.h"

/* What is known of a blob in a repository. */
struct sl_via_blob {
	char *repository;
	struct sl_digest digest;
	bool there;
	int64_t size; /* -1: it does not tell */
};

int sl_via_note_blob(struct sl_via_push *push, const char *repository, const struct sl_digest *digest, bool there, int64_t size,
		     struct sl_error *err) SL_MUST_CHECK;

/* 1 and its size, 0, or -1; the registry is asked once. */
int sl_via_has_blob(struct sl_via_push *push, const char *repository, const struct sl_digest *digest, int64_t *size,
		    struct sl_error *err) SL_MUST_CHECK;

/* Whether @blob is in @mine's repository; then it is the layer's.  @size is that which is
 * believed where the registry tells none (-1: not known). */
int sl_via_take_if_there(struct sl_via_push *push, const struct sl_via_image *mine, struct sl_via_layer *layer, const struct sl_digest *blob,
			 int64_t size, const char *media_type, struct sl_error *err) SL_MUST_CHECK;

/* Make what is lacking now the wishes of the load's node, which is the registry. */
int sl_via_want(struct sl_via_push *push, struct sl_error *err) SL_MUST_CHECK;

/* Look once more when an exporter is open, and with it blobs are known that were not. */
int sl_via_look_again(struct sl_via_push *push, struct sl_error *err) SL_MUST_CHECK;

#endif
