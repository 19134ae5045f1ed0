/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_MANIFEST_PLAN_H
#define SL_MANIFEST_PLAN_H

/*
 * What to do to the text so that a container gets its policy: nothing, a value
 * replaced, or a line or flow entry inserted that looks like its neighbours.
 */

#include "manifest/locate.h"
#include "manifest/source.h"
#include "manifest/splice.h"

/* Add to @splices what gives @container the @policy.  Fails where its own value
 * is a map or list, or where a later `<<` would override it. */
int sl_manifest_plan(const struct sl_source *source, const struct sl_container *container, const char *policy,
		     struct sl_splices *splices, struct sl_error *err) SL_MUST_CHECK;

#endif
