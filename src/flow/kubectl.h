/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_FLOW_KUBECTL_H
#define SL_FLOW_KUBECTL_H

/*
 * The user's own kubectl, pinned to one kubeconfig and one context: manifests mean
 * what it takes them for, and what it may do it does with the user's rights.
 */

#include "base/json.h"
#include "base/remote.h"
#include "base/strv.h"

struct sl_kubectl {
	const char *kubeconfig; /* borrowed; NULL: KUBECONFIG or ~/.kube/config, as kubectl has it */
	const char *context;    /* borrowed */
	const char *namespace;  /* -n; borrowed; NULL: the context's */
	const struct sl_cancel *cancel; /* borrowed; may be NULL */
};

/* How long it may take for anything but waiting; milliseconds. */
#define SL_KUBECTL_LIMIT 60000

/* Start kubectl with @args (NULL-terminated).  The caller ends it by
 * sl_child_remote_stop(). */
struct sl_remote *sl_kubectl_start(const struct sl_kubectl *kubectl, const char *const *args, struct sl_error *err) SL_MUST_CHECK;

/* Run it with @input (may be NULL) to its end and append what it printed to @out.
 * An exit code other than 0 is SL_FAILED with what it complained of. */
int sl_kubectl_run(const struct sl_kubectl *kubectl, const char *const *args, const struct sl_buf *input, struct sl_buf *out,
		   struct sl_error *err) SL_MUST_CHECK;

/* The same where it prints JSON: all the objects, those in a List by themselves, as
 * an array.  The caller decrefs; NULL on failure. */
json_t *sl_kubectl_objects(const struct sl_kubectl *kubectl, const char *const *args, const struct sl_buf *input,
			   struct sl_error *err) SL_MUST_CHECK;

#endif
