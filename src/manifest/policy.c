/* SPDX-License-Identifier: Apache-2.0 */
#include "manifest/policy.h"

#include <stdint.h>
#include <string.h>

#include "base/cleanup.h"
#include "image/reference.h"

bool sl_policy_exists(const char *policy)
{
	return !strcmp(policy, "Never") || !strcmp(policy, "IfNotPresent") || !strcmp(policy, "Always");
}

#define NOT_CHOSEN SIZE_MAX

/* Which of the images of @rules @image is. */
static size_t find(const struct sl_rewrite_rules *rules, const struct sl_yaml_node *image)
{
	sl_autoref struct sl_reference ref = SL_REFERENCE_INIT;
	if (sl_reference_parse(sl_yaml_str(image), &ref, NULL) < 0)
		return NOT_CHOSEN;
	sl_autofree char *canonical = sl_reference_canonical(&ref);
	for (size_t i = 0; canonical && i < rules->images->n; i++)
		if (!strcmp(rules->images->items[i], canonical))
			return i;
	return NOT_CHOSEN;
}

bool sl_policy_chooses(const struct sl_rewrite_rules *rules, const struct sl_yaml_node *image)
{
	return find(rules, image) != NOT_CHOSEN;
}

const char *sl_policy_becomes(const struct sl_rewrite_rules *rules, const struct sl_yaml_node *image)
{
	size_t i = rules->becomes ? find(rules, image) : NOT_CHOSEN;
	return i == NOT_CHOSEN ? NULL : rules->becomes->items[i];
}

bool sl_policy_is(const struct sl_yaml_node *value, const char *policy)
{
	return value && sl_yaml_is_string(value) && sl_yaml_is(value, policy);
}
