/* SPDX-License-Identifier: Apache-2.0 */
#include "flow/schedule.h"

#include <stdlib.h>
#include <string.h>

static bool same(const char *a, const char *b)
{
	return a && b && !strcmp(a, b);
}

/* ---- labels ---- */

/* pkg/apis/core/v1/helper: a NodeSelectorRequirement, of @have (NULL: the label is not there). */
static bool meets(const struct sl_yaml_node *requirement, const char *have)
{
	const struct sl_yaml_node *operator = sl_yaml_get(requirement, "operator"), *values = sl_yaml_get(requirement, "values");
	const char *first = sl_yaml_str(sl_yaml_at(values, 0));
	bool among = false;
	for (size_t i = 0; i < sl_yaml_len(values); i++)
		among = among || same(have, sl_yaml_str(sl_yaml_at(values, i)));
	if (sl_yaml_is(operator, "In"))
		return among;
	if (sl_yaml_is(operator, "NotIn"))
		return !among;
	if (sl_yaml_is(operator, "Exists"))
		return have != NULL;
	if (sl_yaml_is(operator, "DoesNotExist"))
		return !have;
	if (sl_yaml_is(operator, "Gt"))
		return have && first && strtoll(have, NULL, 10) > strtoll(first, NULL, 10);
	if (sl_yaml_is(operator, "Lt"))
		return have && first && strtoll(have, NULL, 10) < strtoll(first, NULL, 10);
	return false;
}

/* All of a term's requirements; a term without any matches nothing. */
static bool term_matches(const struct sl_yaml_node *term, const json_t *metadata)
{
	const struct sl_yaml_node *labels = sl_yaml_get(term, "matchExpressions"), *fields = sl_yaml_get(term, "matchFields");
	for (size_t i = 0; i < sl_yaml_len(labels); i++) {
		const char *key = sl_yaml_str(sl_yaml_get(sl_yaml_at(labels, i), "key"));
		if (!key || !meets(sl_yaml_at(labels, i), sl_json_str(json_object_get(metadata, "labels"), key)))
			return false;
	}
	for (size_t i = 0; i < sl_yaml_len(fields); i++)
		if (!meets(sl_yaml_at(fields, i), sl_json_str(metadata, "name")))
			return false;
	return sl_yaml_len(labels) + sl_yaml_len(fields) > 0;
}

static bool is_selected(const struct sl_yaml_node *spec, const json_t *metadata)
{
	const struct sl_yaml_node *selector = sl_yaml_resolve(sl_yaml_get(spec, "nodeSelector"));
	for (size_t i = 0; selector && selector->kind == SL_YAML_MAP && i < selector->n; i++) {
		const char *key = sl_yaml_str(selector->items[2 * i]);
		if (key && !same(sl_json_str(json_object_get(metadata, "labels"), key), sl_yaml_str(selector->items[2 * i + 1])))
			return false;
	}
	const struct sl_yaml_node *affinity = sl_yaml_get(sl_yaml_get(spec, "affinity"), "nodeAffinity");
	const struct sl_yaml_node *terms = sl_yaml_get(sl_yaml_get(affinity, "requiredDuringSchedulingIgnoredDuringExecution"), "nodeSelectorTerms");
	bool any = !terms;
	for (size_t i = 0; i < sl_yaml_len(terms); i++)
		any = any || term_matches(sl_yaml_at(terms, i), metadata);
	return any;
}

/* ---- taints ---- */

static bool tolerates(const struct sl_yaml_node *toleration, const json_t *taint)
{
	const char *key = sl_yaml_str(sl_yaml_get(toleration, "key")), *effect = sl_yaml_str(sl_yaml_get(toleration, "effect"));
	const char *value = sl_yaml_str(sl_yaml_get(toleration, "value")), *has = sl_json_str(taint, "value");
	if (effect && *effect && !same(effect, sl_json_str(taint, "effect")))
		return false;
	bool exists = sl_yaml_is(sl_yaml_get(toleration, "operator"), "Exists");
	if (!key || !*key)
		return exists;
	return same(key, sl_json_str(taint, "key")) && (exists || !strcmp(value ? value : "", has ? has : ""));
}

static bool is_kept_off(const struct sl_yaml_node *spec, const json_t *taint)
{
	const struct sl_yaml_node *tolerations = sl_yaml_get(spec, "tolerations");
	const char *effect = sl_json_str(taint, "effect");
	if (!same(effect, "NoSchedule") && !same(effect, "NoExecute"))
		return false;
	for (size_t i = 0; i < sl_yaml_len(tolerations); i++)
		if (tolerates(sl_yaml_at(tolerations, i), taint))
			return false;
	return true;
}

bool sl_schedule_may_run(const struct sl_yaml_node *spec, const json_t *node)
{
	const json_t *metadata = json_object_get(node, "metadata");
	const char *wanted = sl_yaml_str(sl_yaml_get(spec, "nodeName"));
	size_t i;
	json_t *taint;
	if (wanted && *wanted) /* the scheduler is not asked then */
		return same(wanted, sl_json_str(metadata, "name"));
	if (!is_selected(spec, metadata))
		return false;
	json_array_foreach(json_object_get(json_object_get(node, "spec"), "taints"), i, taint)
		if (is_kept_off(spec, taint))
			return false;
	return true;
}
