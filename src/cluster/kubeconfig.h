/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_CLUSTER_KUBECONFIG_H
#define SL_CLUSTER_KUBECONFIG_H

/*
 * What a kubeconfig says of one context: its cluster's server and CA.  Users and
 * their credentials are not looked at.
 */

#include "base/error.h"

struct sl_context {
	char *name;
	char *cluster; /* the cluster entry's name */
	char *server;  /* https://127.0.0.1:41235 */
	char *host;    /* 127.0.0.1 (an IPv6 address without its brackets) */
	int port;
	char *ca;      /* PEM; NULL when the entry has none */
	char *file;    /* that named the context */
};

void sl_context_release(struct sl_context *context);

/* Read context @name (NULL: the current one) from @path (NULL: KUBECONFIG, a
 * colon-separated list, or ~/.kube/config), as kubectl merges them: the first
 * file that names a thing wins.  SL_NOT_FOUND when there is no kubeconfig, no
 * current context or no such context. */
int sl_kubeconfig_context(const char *path, const char *name, struct sl_context *out, struct sl_error *err) SL_MUST_CHECK;

#endif
