/* SPDX-License-Identifier: Apache-2.0 */
#include "flow/schedule.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"

static const char plane[] = "{\"metadata\": {\"name\": \"dev-control-plane\", \"labels\": {\"disk\": \"ssd\", \"cores\": \"4\","
			    "\"kubernetes.io/hostname\": \"dev-control-plane\"}},"
			    "\"spec\": {\"taints\": [{\"key\": \"node-role.kubernetes.io/control-plane\", \"effect\": \"NoSchedule\"},"
			    "{\"key\": \"soft\", \"effect\": \"PreferNoSchedule\"}]}}";
static const char worker[] = "{\"metadata\": {\"name\": \"dev-worker\", \"labels\": {\"disk\": \"hdd\", \"cores\": \"16\"}}, \"spec\": {}}";
static const char gpu[] = "{\"metadata\": {\"name\": \"dev-gpu\"}, \"spec\": {\"taints\": [{\"key\": \"gpu\", \"value\": \"a100\", \"effect\": \"NoExecute\"}]}}";

/* Whether a pod of @spec, YAML, may go to each: "pwg" all three, "" none. */
static void assert_goes(const char *spec, const char *where)
{
	static const char *const nodes[] = { plane, worker, gpu };
	struct sl_error err = SL_ERROR_INIT;
	sl_autoyaml struct sl_yaml *yaml = sl_yaml_parse(spec, strlen(spec), "spec", &err);
	char got[4] = "";
	size_t n = 0;
	if (!yaml)
		fail_msg("%s", err.message);
	for (size_t i = 0; i < 3; i++) {
		sl_autojson json_t *node = json_loads(nodes[i], 0, NULL);
		assert_non_null(node);
		if (sl_schedule_may_run(sl_yaml_root(yaml, 0), node))
			got[n++] = "pwg"[i];
	}
	if (strcmp(got, where) != 0)
		fail_msg("%s: goes to '%s', not '%s'", spec, got, where);
}

static void taints_keep_off_what_does_not_tolerate_them(void **state)
{
	assert_goes("containers: []", "w");
	assert_goes("tolerations: [{operator: Exists}]", "pwg");
	assert_goes("tolerations: [{key: node-role.kubernetes.io/control-plane, operator: Exists}]", "pw");
	assert_goes("tolerations: [{key: node-role.kubernetes.io/control-plane}]", "pw");
	assert_goes("tolerations: [{key: node-role.kubernetes.io/control-plane, value: x}]", "w");
	assert_goes("tolerations: [{key: node-role.kubernetes.io/control-plane, operator: Exists, effect: NoExecute}]", "w");
	assert_goes("tolerations: [{key: gpu, value: a100}]", "wg");
	assert_goes("tolerations: [{key: gpu, value: h100}]", "w");
	assert_goes("tolerations: [{key: '', value: a100}]", "w");
}

static void a_node_by_its_name_is_past_the_scheduler(void **state)
{
	assert_goes("nodeName: dev-control-plane", "p");
	assert_goes("{nodeName: dev-gpu, nodeSelector: {disk: ssd}}", "g");
	assert_goes("nodeName: ''", "w");
}

static void a_selector_needs_every_label(void **state)
{
	assert_goes("nodeSelector: {disk: hdd}", "w");
	assert_goes("nodeSelector: {disk: hdd, cores: '16'}", "w");
	assert_goes("nodeSelector: {disk: hdd, cores: '4'}", "");
	assert_goes("nodeSelector: {absent: ''}", "");
	assert_goes("{nodeSelector: {disk: ssd}, tolerations: [{operator: Exists}]}", "p");
}

#define REQUIRED(terms) "{tolerations: [{operator: Exists}], affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [" terms "]}}}}"

static void required_affinity_is_one_of_its_terms(void **state)
{
	assert_goes(REQUIRED("{matchExpressions: [{key: disk, operator: In, values: [hdd, nvme]}]}"), "w");
	assert_goes(REQUIRED("{matchExpressions: [{key: disk, operator: NotIn, values: [hdd]}]}"), "pg");
	assert_goes(REQUIRED("{matchExpressions: [{key: disk, operator: Exists}]}"), "pw");
	assert_goes(REQUIRED("{matchExpressions: [{key: disk, operator: DoesNotExist}]}"), "g");
	assert_goes(REQUIRED("{matchExpressions: [{key: cores, operator: Gt, values: ['8']}]}"), "w");
	assert_goes(REQUIRED("{matchExpressions: [{key: cores, operator: Lt, values: ['8']}]}"), "p");
	assert_goes(REQUIRED("{matchExpressions: [{key: disk, operator: Exists}, {key: cores, operator: In, values: ['4']}]}"), "p");
	assert_goes(REQUIRED("{matchExpressions: [{key: disk, operator: In, values: [ssd]}]}, {matchFields: [{key: metadata.name, operator: In, values: [dev-gpu]}]}"),
		    "pg");
	assert_goes(REQUIRED("{}"), "");
	assert_goes(REQUIRED("{matchExpressions: [{key: disk, operator: Sometimes}]}"), "");
}

static void preferences_rule_nothing_out(void **state)
{
	assert_goes("affinity: {nodeAffinity: {preferredDuringSchedulingIgnoredDuringExecution: [{weight: 1, preference: {matchExpressions: "
		    "[{key: absent, operator: Exists}]}}]}}", "w");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(taints_keep_off_what_does_not_tolerate_them),
		cmocka_unit_test(a_node_by_its_name_is_past_the_scheduler),
		cmocka_unit_test(a_selector_needs_every_label),
		cmocka_unit_test(required_affinity_is_one_of_its_terms),
		cmocka_unit_test(preferences_rule_nothing_out),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
