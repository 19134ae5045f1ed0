/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_MANIFEST_CHECK_H
#define SL_MANIFEST_CHECK_H

/*
 * The judge of an edit, which knows nothing of how it was planned: with all
 * aliases and merges expanded, the edited documents are the original ones, but
 * for the policies of the chosen containers.
 */

#include "manifest/policy.h"

/* Fails with the place in @before (a text called @name) of what would change, or
 * would not become what @rules say. */
int sl_manifest_check(const char *name, const struct sl_yaml *before, const struct sl_yaml *after,
		      const struct sl_rewrite_rules *rules, struct sl_error *err) SL_MUST_CHECK;

#endif
