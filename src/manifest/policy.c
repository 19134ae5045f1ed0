/* SPDX-License-Identifier: Apache-2.0 */
#include "manifest/policy.h"

#include <string.h>

#include "base/cleanup.h"
#include "image/reference.h"

bool sl_policy_exists(const char *policy)
{
	return !strcmp(policy, "Never") || !strcmp(policy, "IfNotPresent") || !strcmp(policy, "Always");
}

bool sl_policy_chooses(const struct sl_rewrite_rules *rules, const struct sl_yaml_node *image)
{
	sl_autoref struct sl_reference ref = SL_REFERENCE_INIT;
	if (sl_reference_parse(sl_yaml_str(image), &ref, NULL) < 0)
		return false;
	sl_autofree char *canonical = sl_reference_canonical(&ref);
	return canonical && sl_strv_has(rules->images, canonical);
}

bool sl_policy_is(const struct sl_yaml_node *value, const char *policy)
{
	return value && sl_yaml_is_string(value) && sl_yaml_is(value, policy);
}
