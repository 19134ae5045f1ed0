/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/cleanup.h"
#include "cluster/provider.h"

/* A node that is merely busy answers within this; milliseconds. */
#define READ_LIMIT 20000

/* The base64 body of the first certificate in @pem, blanks removed: what makes
 * two PEM texts the same certificate. */
static int body_of(const char *pem, struct sl_buf *body)
{
	static const char begin[] = "-----BEGIN CERTIFICATE-----", end[] = "-----END CERTIFICATE-----";
	const char *from = pem ? strstr(pem, begin) : NULL;
	const char *to = from ? strstr(from, end) : NULL;
	if (!to)
		return -1;
	for (from += sizeof(begin) - 1; from < to; from++)
		if (!strchr(" \t\r\n", *from) && sl_buf_add(body, from, 1) < 0)
			return -1;
	return body->len ? 0 : -1;
}

int sl_cluster_read_ca(const struct sl_cluster *cluster, const struct sl_node *node, struct sl_buf *pem,
		       struct sl_error *err)
{
	const char *const argv[] = { "cat", sl_provider_by_name(cluster->provider)->ca_path, NULL };
	struct sl_remote *remote = sl_cluster_exec(cluster, node, argv, err);
	int code = 0;
	int rc = remote ? sl_remote_finish(remote, &code, READ_LIMIT, err) : -1;
	if (rc == 0 && (code || sl_buf_add(pem, sl_buf_text(&remote->out), remote->out.len) < 0))
		rc = sl_error_set(err, SL_REFUSED, "its certificate authority %s cannot be read", argv[1]);
	sl_remote_free(remote);
	return rc;
}

int sl_guard_check(const struct sl_cluster *cluster, const char *node_ca, struct sl_error *err)
{
	sl_autobuf struct sl_buf theirs = SL_BUF_INIT, ours = SL_BUF_INIT;
	if (!cluster->context)
		return 0;
	if (body_of(cluster->ca, &theirs) < 0)
		return sl_error_set(err, SL_REFUSED, "context '%s' names no certificate authority, so it cannot be proven that it is "
				    "%s cluster '%s'; %s", cluster->context, cluster->provider, cluster->name, sl_guard_advice());
	if (body_of(node_ca, &ours) < 0)
		return sl_error_set(err, SL_REFUSED, "the control plane of %s cluster '%s' shows no certificate authority, so it cannot be "
				    "proven that context '%s' is it", cluster->provider, cluster->name, cluster->context);
	if (theirs.len != ours.len || memcmp(theirs.data, ours.data, ours.len) != 0)
		return sl_error_set(err, SL_REFUSED, "context '%s' points at the address of %s cluster '%s' but trusts another certificate "
				    "authority than that cluster has; the kubeconfig may be older than the cluster (%s %s)",
				    cluster->context, cluster->provider, cluster->name, sl_provider_by_name(cluster->provider)->kubeconfig,
				    cluster->name);
	return 0;
}
