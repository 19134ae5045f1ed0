/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_IMAGE_REFERENCE_H
#define SL_IMAGE_REFERENCE_H

/*
 * Image names, read as distribution/reference reads them, so that a name means
 * here what it means to docker, containerd and the kubelet: `nginx`,
 * `nginx:latest` and `index.docker.io/library/nginx` are one name.
 */

#include <stdbool.h>

#include "base/error.h"
#include "base/strv.h"

struct sl_reference {
	char *name;   /* domain and path: "docker.io/library/nginx" */
	char *tag;    /* "latest" when the text had neither; NULL when it had a digest only */
	char *digest; /* "sha256:..." or NULL */
};

#define SL_REFERENCE_INIT { NULL, NULL, NULL }

/* Parse and normalise @text into @out (what it held is not released).  Returns
 * 0, or -1 with SL_USAGE and what is wrong with the name; @out is empty then. */
int sl_reference_parse(const char *text, struct sl_reference *out, struct sl_error *err) SL_MUST_CHECK;

void sl_reference_release(struct sl_reference *ref);
#define sl_autoref SL_CLEANUP(sl_reference_release)

/* The one spelling of @ref: "docker.io/library/nginx:latest", or
 * "docker.io/library/nginx@sha256:..." when there is a digest (a tag beside it
 * says nothing, as with the CRI).  The caller frees it; NULL when memory is
 * out. */
char *sl_reference_canonical(const struct sl_reference *ref);

/* Add the canonical spelling of @text to @references, unless it is there already;
 * SL_USAGE as above. */
int sl_reference_add(struct sl_strv *references, const char *text, struct sl_error *err) SL_MUST_CHECK;

/* The short spelling that parses to the same: "nginx:latest".  The caller frees
 * it; NULL when memory is out. */
char *sl_reference_familiar(const struct sl_reference *ref);

/* Whether both have the same canonical spelling. */
bool sl_reference_equal(const struct sl_reference *a, const struct sl_reference *b);

#endif
