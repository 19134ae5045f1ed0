/* SPDX-License-Identifier: Apache-2.0 */
#include "manifest/lint.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"

/* What is local in every test here. */
static char app[] = "docker.io/library/app:dev", untagged[] = "docker.io/library/app:latest";
static char *items[] = { app, untagged };
static const struct sl_strv images = { items, 2 };
static const struct sl_rewrite_rules rules = { &images, "Never", NULL, false };

/* What the cluster of a test answers, whatever the image. */
static int answer(void *ctx, const char *image, const struct sl_pod *pod, struct sl_lint_image *out, struct sl_error *err)
{
	const struct sl_lint_image *given = ctx;
	assert_non_null(pod->spec);
	out->held = given->held;
	out->in_engine = given->in_engine;
	sl_buf_puts(&out->lacking, sl_buf_text(&given->lacking));
	sl_buf_puts(&out->contents, sl_buf_text(&given->contents));
	return 0;
}

/* @found is "LINE:COLUMN rule" for each, separated by blanks. */
static void assert_found(const char *text, struct sl_lint_image *known, const char *found)
{
	struct sl_error err = SL_ERROR_INIT;
	sl_autofindings struct sl_findings findings = SL_FINDINGS_INIT;
	sl_autobuf struct sl_buf got = SL_BUF_INIT;
	const struct sl_lint_cluster cluster = { known, answer };
	if (sl_lint_text("f.yaml", text, strlen(text), &rules, known ? &cluster : NULL, &findings, &err) < 0)
		fail_msg("%s", err.message);
	for (size_t i = 0; i < findings.n; i++)
		sl_buf_printf(&got, "%s%u:%u %s", i ? " " : "", findings.items[i].line, findings.items[i].column, sl_lint_word(findings.items[i].rule));
	if (strcmp(sl_buf_text(&got), found) != 0)
		fail_msg("%s\nfound '%s', not '%s'", text, sl_buf_text(&got), found);
}

#define IMAGE(text) "containers:\n- image: " text "\n"

static void local_images_that_would_be_pulled(void **state)
{
	assert_found(IMAGE("app:dev"), NULL, "2:10 would-change");
	assert_found(IMAGE("app:dev\n  imagePullPolicy: Never"), NULL, "");
	assert_found(IMAGE("app:dev\n  imagePullPolicy: Always"), NULL, "3:20 would-change");
	assert_found(IMAGE("app"), NULL, "2:10 would-change");
	assert_found("initContainers:\n- image: app:dev\n", NULL, "2:10 would-change");
}

static void no_tag_with_a_policy_that_pulls(void **state)
{
	assert_found(IMAGE("other"), NULL, "2:10 pulls-latest");
	assert_found(IMAGE("other:latest"), NULL, "2:10 pulls-latest");
	assert_found(IMAGE("other\n  imagePullPolicy: Always"), NULL, "3:20 pulls-latest");
	assert_found(IMAGE("other\n  imagePullPolicy: IfNotPresent"), NULL, "");
	assert_found(IMAGE("other\n  imagePullPolicy:"), NULL, "2:10 pulls-latest");
	assert_found(IMAGE("other:1\n  imagePullPolicy: Always"), NULL, "");
	assert_found(IMAGE("other@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"), NULL, "");
}

static void what_kubernetes_refuses(void **state)
{
	assert_found(IMAGE("other:1\n  imagePullPolicy: never"), NULL, "3:20 fails");
	assert_found(IMAGE("Not/A/Name"), NULL, "2:10 fails");
}

static void what_the_nodes_hold(void **state)
{
	struct sl_lint_image none = { 0 }, everywhere = { .held = true };
	char lack[] = "'dev-worker2'", both[] = "3b3c on 'a'; 9f20 on 'b'";
	struct sl_lint_image some = { .held = true, .lacking = { lack, strlen(lack), sizeof(lack), 0, false } };
	struct sl_lint_image two = { .held = true, .contents = { both, strlen(both), sizeof(both), 0, false } };
	assert_found(IMAGE("other:1"), &none, "2:10 absent");
	assert_found(IMAGE("other:1\n  imagePullPolicy: Never"), &none, "2:10 fails");
	assert_found(IMAGE("other:1"), &everywhere, "");
	assert_found(IMAGE("other:1\n  imagePullPolicy: Never"), &some, "2:10 only-some-nodes");
	assert_found(IMAGE("other:1"), &some, ""); /* it is pulled there */
	assert_found(IMAGE("app:dev\n  imagePullPolicy: Never"), &some, "2:10 only-some-nodes");
	assert_found(IMAGE("other:1"), &two, "2:10 ambiguous");
}

#define POD(kind, rest) "apiVersion: v1\nkind: " kind "\nspec:\n" rest
#define FINE "  automountServiceAccountToken: false\n  containers:\n  - image: other:1\n    resources: {limits: {cpu: 1}}\n"

static void the_usual_advice(void **state)
{
	assert_found(POD("Pod", "  containers:\n  - image: other:1\n"), NULL, "4:3 token 5:5 no-limits 5:5 no-probe");
	assert_found(POD("Pod", FINE "    livenessProbe: {}\n"), NULL, "");
	assert_found(POD("Pod", FINE "    startupProbe: {}\n"), NULL, "");
	assert_found(POD("Pod", FINE), NULL, "6:5 no-probe");
	assert_found(POD("Job", FINE), NULL, "");
	assert_found(POD("Pod", FINE "  restartPolicy: Never\n"), NULL, "");
	assert_found(POD("Job", "  serviceAccountName: mine\n  containers:\n  - image: other:1\n    resources: {limits: {cpu: 1}}\n"), NULL, "");
	assert_found(POD("Job", "  serviceAccountName: default\n  containers:\n  - image: other:1\n    resources: {limits: {cpu: 1}}\n"), NULL, "4:3 token");
	assert_found(POD("Job", FINE "  initContainers:\n  - image: other:1\n"), NULL, "9:5 no-limits");
	assert_found(POD("Job", FINE "  ephemeralContainers:\n  - image: other:1\n"), NULL, "");
	assert_found(POD("Job", "  resources: {limits: {cpu: 1}}\n  automountServiceAccountToken: false\n  containers:\n  - image: other:1\n"), NULL, "");
	/* a part of an object, as in a patch, says nothing of the rest */
	assert_found(IMAGE("other:1"), NULL, "");
}

static void pods_are_found_where_containers_are(void **state)
{
	assert_found("apiVersion: v1\nkind: ConfigMap\ndata:\n  containers:\n  - image: other\n", NULL, "");
	assert_found("apiVersion: v1\nkind: List\nitems:\n- apiVersion: batch/v1\n  kind: CronJob\n  spec:\n    jobTemplate:\n      spec:\n        template:\n"
		     "          spec:\n            automountServiceAccountToken: false\n            containers:\n            - image: other\n"
		     "              resources: {limits: {cpu: 1}}\n", NULL, "13:22 pulls-latest");
	assert_found("a: &a\n- image: app:dev\nb: {containers: *a}\nc: {containers: *a}\n", NULL, "2:10 would-change");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(local_images_that_would_be_pulled),
		cmocka_unit_test(no_tag_with_a_policy_that_pulls),
		cmocka_unit_test(what_kubernetes_refuses),
		cmocka_unit_test(what_the_nodes_hold),
		cmocka_unit_test(the_usual_advice),
		cmocka_unit_test(pods_are_found_where_containers_are),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
