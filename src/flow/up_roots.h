/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_FLOW_UP_ROOTS_H
#define SL_FLOW_UP_ROOTS_H

/*
 * The directories that `up --watch` watches, and what in each of them counts.
 * For flow/up_changes.c.
 */

#include "base/watch.h"
#include "flow/dockerignore.h"
#include "flow/up.h"

enum sl_root_kind {
	SL_ROOT_CONTEXT,   /* a build's: all but what is ignored */
	SL_ROOT_FILE,      /* one file: `name` */
	SL_ROOT_MANIFESTS, /* what -f takes of a directory */
	SL_ROOT_PATTERN,   /* what -f takes by a pattern: `name` */
	SL_ROOT_KUSTOMIZE, /* a tree */
};

struct sl_root {
	enum sl_root_kind kind;
	char *dir;   /* as it was given */
	char *real;  /* and without links */
	char *name;
	void *owner; /* whose changes they are; the user's */
	struct sl_watch *watch; /* borrowed */
	const struct sl_watch_ops *ops;
	/* of a context */
	char *dockerfile;     /* relative to it; NULL when it lies elsewhere */
	char *own_ignore;     /* DOCKERFILE.dockerignore, if that is preferred; or NULL */
	bool podman;          /* which has .containerignore */
	struct sl_ignore ignore;
};

/* Growing; each item is its own allocation, whose address stays. */
struct sl_roots {
	struct sl_root **items;
	size_t n;
};

void sl_roots_release(struct sl_roots *roots);

/* Watch what @build is built from, or with @manifests what they are read from; what is
 * watched already is not added again.  @ops->tell is told, with the root. */
int sl_roots_add_build(struct sl_roots *roots, struct sl_watch *watch, const struct sl_watch_ops *ops, const struct sl_up *up,
		       const struct sl_up_build *build, void *owner, struct sl_error *err) SL_MUST_CHECK;
int sl_roots_add_manifests(struct sl_roots *roots, struct sl_watch *watch, const struct sl_watch_ops *ops, const struct sl_up *up, void *owner,
			   struct sl_error *err) SL_MUST_CHECK;

/* sl_watch_ops.ask, of a root. */
enum sl_watch_answer sl_root_ask(const char *path, bool directory, void *root);

/* Whether @path decides what is ignored; and: read that anew. */
bool sl_root_is_ignore(const struct sl_root *root, const char *path);
int sl_root_read_ignore(struct sl_root *root, struct sl_error *err) SL_MUST_CHECK;

#endif
