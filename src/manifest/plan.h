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

/* Add to @splices what gives @container the @policy, and the image @becomes (NULL: it
 * keeps its own).  Fails where its own value is a map or list, or where a later `<<`
 * would override it. */
int sl_manifest_plan(const struct sl_source *source, const struct sl_container *container, const char *policy, const char *becomes,
		     struct sl_splices *splices, struct sl_error *err) SL_MUST_CHECK;

/* Add to @splices what takes the key @key and its value out of @map: its lines, or its
 * entry with one comma (manifest/plan_drop.c).  Fails where it comes by a `<<`, or
 * shares its lines with something else. */
int sl_manifest_plan_drop(const struct sl_source *source, const struct sl_yaml_node *map, const char *key,
			  struct sl_splices *splices, struct sl_error *err) SL_MUST_CHECK;

#endif
