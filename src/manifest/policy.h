/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_MANIFEST_POLICY_H
#define SL_MANIFEST_POLICY_H

/* Which containers get which imagePullPolicy: the rules of a rewrite, and the
 * questions about them that planning and checking ask alike. */

#include "base/strv.h"
#include "base/yaml.h"

#define SL_POLICY_KEY "imagePullPolicy"

struct sl_rewrite_rules {
	const struct sl_strv *images; /* canonical references; containers that run one of them are chosen */
	const char *policy;           /* what they get; sl_policy_exists() */
	const struct sl_strv *becomes;/* what their image becomes, one for each of `images`; NULL: it stays */
	bool drop_pull_secrets;       /* from pods of which every image is chosen */
};

/* Whether @policy is one that Kubernetes knows: Never, IfNotPresent, Always. */
bool sl_policy_exists(const char *policy);

/* Whether @image, a string, is one of the images of @rules. */
bool sl_policy_chooses(const struct sl_rewrite_rules *rules, const struct sl_yaml_node *image);

/* What @image, that of a chosen container, becomes; NULL: it stays. */
const char *sl_policy_becomes(const struct sl_rewrite_rules *rules, const struct sl_yaml_node *image);

/* Whether @value, which may be NULL, is the string @policy. */
bool sl_policy_is(const struct sl_yaml_node *value, const char *policy);

#endif
