/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_FLOW_SOURCES_H
#define SL_FLOW_SOURCES_H

/*
 * The manifests that a command line names, as kubectl's -f and -k take them: files,
 * "-", and of a directory its .yaml, .yml and .json, not those of folders in it.  A
 * pattern that the shell left alone is expanded here.  URLs are refused: what is
 * applied to a cluster is what can be looked at here.
 */

#include "base/strv.h"
#include "flow/kubectl.h"

struct sl_sources {
	const struct sl_strv *paths;   /* -f */
	const char *kustomize;         /* -k, or NULL */
};

/* Append to @stream all of them, each a document of its own, and to @images what
 * their containers run, in canonical form and once each.  An error in a file is
 * "FILE:LINE:COLUMN: message". */
int sl_sources_read(const struct sl_sources *sources, const struct sl_kubectl *kubectl, struct sl_buf *stream,
		    struct sl_strv *images, struct sl_error *err) SL_MUST_CHECK;

/* Append to @files the files that @paths name; "-" stays what it is. */
int sl_sources_expand(const struct sl_strv *paths, struct sl_strv *files, struct sl_error *err) SL_MUST_CHECK;

/* Append to @text what kubectl makes of the kustomization in @dir. */
int sl_sources_kustomize(const char *dir, const struct sl_kubectl *kubectl, struct sl_buf *text, struct sl_error *err) SL_MUST_CHECK;

#endif
