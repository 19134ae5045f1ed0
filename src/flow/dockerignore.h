/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_FLOW_DOCKERIGNORE_H
#define SL_FLOW_DOCKERIGNORE_H

/*
 * What a .dockerignore leaves out of a build's context, by docker's own rules
 * (moby/patternmatcher): a pattern stands for what it matches and all below it, the
 * last one that matches decides, `!` takes back, `**` is any number of directories.
 * Paths are relative to the context, without a slash in front.
 */

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

struct sl_ignore_pattern;

struct sl_ignore {
	struct sl_ignore_pattern *patterns;
	size_t n;
	bool exceptions; /* there are any */
};

#define SL_IGNORE_INIT { NULL, 0, false }

/* No more lines than this, and none longer, are taken. */
#define SL_IGNORE_LINES 10000
#define SL_IGNORE_LINE 4096

/* Read the @len bytes of a .dockerignore.  SL_FAILED for a pattern at which docker
 * ends the build, too. */
int sl_ignore_parse(const char *text, size_t len, struct sl_ignore *out, struct sl_error *err) SL_MUST_CHECK;
void sl_ignore_release(struct sl_ignore *ignore);

/* Whether @path is left out. */
bool sl_ignore_matches(const struct sl_ignore *ignore, const char *path);

/* Whether something below the directory @path may come back by an exception.  In doubt
 * it may: docker's two builders do not agree about exceptions with wildcards. */
bool sl_ignore_may_return(const struct sl_ignore *ignore, const char *path);

#endif
