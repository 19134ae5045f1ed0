/* SPDX-License-Identifier: Apache-2.0 */
#include "manifest/rewrite.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "manifest/diff.h"

/* The images that are chosen in every test here. */
static char app[] = "docker.io/library/app:latest";
static char pinned[] = "docker.io/library/app@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
static char *items[] = { app, pinned };
static const struct sl_strv images = { items, 2 };

static int rewrite(const char *text, size_t len, const char *policy, struct sl_rewrite *out, struct sl_error *err)
{
	const struct sl_rewrite_rules rules = { .images = &images, .policy = policy };
	return sl_rewrite_text("f.yaml", text, len, &rules, out, err);
}

/* @before becomes @after, which stays as it is. */
static void assert_becomes(const char *before, const char *after)
{
	for (int round = 0; round < 2; round++) {
		struct sl_error err = SL_ERROR_INIT;
		sl_autorewrite struct sl_rewrite out = SL_REWRITE_INIT;
		if (rewrite(round ? after : before, strlen(round ? after : before), "Never", &out, &err) < 0)
			fail_msg("%s", err.message);
		assert_string_equal(sl_buf_text(&out.text), after);
		if (round)
			assert_int_equal(out.splices.n, 0);
	}
}

static void assert_stays(const char *text)
{
	assert_becomes(text, text);
}

static void assert_refused(const char *text, const char *message)
{
	struct sl_error err = SL_ERROR_INIT;
	sl_autorewrite struct sl_rewrite out = SL_REWRITE_INIT;
	if (rewrite(text, strlen(text), "Never", &out, &err) == 0)
		fail_msg("became '%s'", sl_buf_text(&out.text));
	assert_int_equal(err.status, SL_FAILED);
	assert_int_equal(out.text.len, 0);
	if (strncmp(err.message, message, strlen(message)) != 0)
		fail_msg("'%s' does not begin with '%s'", err.message, message);
}

/* In front of a list of containers and behind it. */
#define POD(text) "spec:\n  containers:\n" text

static void policy_is_inserted_below_the_image(void **state)
{
	assert_becomes(POD("  - image: app # c\n    name: a\n"),
		       POD("  - image: app # c\n    imagePullPolicy: Never\n    name: a\n"));
	assert_becomes(POD("  -   name: a\n      image: app   \n"),
		       POD("  -   name: a\n      image: app   \n      imagePullPolicy: Never\n"));
	assert_becomes(POD("  - image: app"), POD("  - image: app\n    imagePullPolicy: Never"));
}

static void policy_is_replaced_where_it_is(void **state)
{
	assert_becomes(POD("  - imagePullPolicy: Always # c\n    image: app\n"),
		       POD("  - imagePullPolicy: Never # c\n    image: app\n"));
	assert_stays(POD("  - imagePullPolicy: Never\n    image: app\n"));
	assert_becomes(POD("  - image: app\n    imagePullPolicy:\n"), POD("  - image: app\n    imagePullPolicy: Never\n"));
	assert_becomes(POD("  - image: app\n    imagePullPolicy: # c\n"),
		       POD("  - image: app\n    imagePullPolicy: Never # c\n"));
}

static void quotes_tags_and_anchors_stay(void **state)
{
	assert_becomes(POD("  - image: app\n    imagePullPolicy: 'Always'\n"),
		       POD("  - image: app\n    imagePullPolicy: 'Never'\n"));
	assert_becomes(POD("  - image: app\n    imagePullPolicy: &p !!str \"Always\"\n"),
		       POD("  - image: app\n    imagePullPolicy: &p !!str \"Never\"\n"));
	assert_becomes(POD("  - image: app\n    imagePullPolicy: !!str\n"),
		       POD("  - image: app\n    imagePullPolicy: !!str Never\n"));
	assert_becomes(POD("  - {\"image\": app, \"imagePullPolicy\": Always}\n"),
		       POD("  - {\"image\": app, \"imagePullPolicy\": Never}\n"));
	assert_becomes(POD("  - \"image\": \"app\"\n"),
		       POD("  - \"image\": \"app\"\n    \"imagePullPolicy\": \"Never\"\n"));
}

static void policy_of_any_shape_becomes_a_word(void **state)
{
	assert_becomes(POD("  - image: app\n    imagePullPolicy: |# c\n      Always\n\n    name: a\n"),
		       POD("  - image: app\n    imagePullPolicy: Never # c\n\n    name: a\n"));
	assert_becomes(POD("  - image: app\n    imagePullPolicy: >-\n      Always"), POD("  - image: app\n    imagePullPolicy: Never"));
	assert_becomes(POD("  - image: app\n    ? imagePullPolicy\n"), POD("  - image: app\n    ? imagePullPolicy\n    : Never\n"));
	assert_becomes(POD("  - ? \"imagePullPolicy\"\n    :x: y\n    image: app\n"),
		       POD("  - ? \"imagePullPolicy\"\n    : \"Never\"\n    :x: y\n    image: app\n"));
	assert_becomes(POD("  - image: app\n    imagePullPolicy: &p:x\n"), POD("  - image: app\n    imagePullPolicy: &p Never\n"));
	assert_becomes(POD("  - image: app\n    imagePullPolicy: &p\n      Always\n"),
		       POD("  - image: app\n    imagePullPolicy: &p\n      Never\n"));
	assert_becomes(POD("  - {image: app, imagePullPolicy}\n"), POD("  - {image: app, imagePullPolicy: Never}\n"));
}

static void every_policy_can_be_set(void **state)
{
	static const char *const policies[] = { "Never", "IfNotPresent", "Always" };
	for (size_t i = 0; i < 3; i++) {
		struct sl_error err = SL_ERROR_INIT;
		sl_autorewrite struct sl_rewrite out = SL_REWRITE_INIT;
		const char *text = POD("  - image: app\n");
		char expected[100];
		snprintf(expected, sizeof(expected), POD("  - image: app\n    imagePullPolicy: %s\n"), policies[i]);
		assert_int_equal(rewrite(text, strlen(text), policies[i], &out, &err), 0);
		assert_string_equal(sl_buf_text(&out.text), expected);
	}
}

static void new_line_ends_like_its_neighbour(void **state)
{
	assert_becomes("containers:\r\n- image: app\r\n  name: a\n",
		       "containers:\r\n- image: app\r\n  imagePullPolicy: Never\r\n  name: a\n");
	assert_becomes("containers:\r- image: app\r  name: a\r",
		       "containers:\r- image: app\r  imagePullPolicy: Never\r  name: a\r");
	assert_becomes("containers:\r\n- image: app", "containers:\r\n- image: app\r\n  imagePullPolicy: Never");
	assert_becomes("[\r\n {\"containers\": [\r\n  {\r\n   \"image\": \"app\"\r\n}]}]",
		       "[\r\n {\"containers\": [\r\n  {\r\n   \"imagePullPolicy\": \"Never\",\r\n   \"image\": \"app\"\r\n}]}]");
}

static void json_policy_is_quoted(void **state)
{
	assert_becomes("{\"containers\":[{\"image\":\"app\"}]}",
		       "{\"containers\":[{\"imagePullPolicy\":\"Never\",\"image\":\"app\"}]}");
	assert_becomes("{\"containers\": [{\"image\": \"app\", \"imagePullPolicy\": null}]}",
		       "{\"containers\": [{\"image\": \"app\", \"imagePullPolicy\": \"Never\"}]}");
	assert_becomes("{\"containers\": [{\"image\": \"app\", \"imagePullPolicy\": true}]}",
		       "{\"containers\": [{\"image\": \"app\", \"imagePullPolicy\": \"Never\"}]}");
	assert_becomes("{\"containers\": [{\"image\": \"app\", \"imagePullPolicy\": \"\"}]}",
		       "{\"containers\": [{\"image\": \"app\", \"imagePullPolicy\": \"Never\"}]}");
}

static void flow_map_without_braces_gets_them(void **state)
{
	assert_becomes("containers: [image: app, image: x]\n",
		       "containers: [{imagePullPolicy: Never, image: app}, image: x]\n");
	assert_becomes("containers: [? image\n  : app ]\n", "containers: [{imagePullPolicy: Never, ? image\n  : app} ]\n");
}

static void only_items_of_container_lists_change(void **state)
{
	assert_stays("container:\n  image: app\n");
	assert_stays("containers:\n  image: app\n");
	assert_stays("steps:\n- image: app\nsidecars:\n- image: app\n");
	assert_stays("containers:\n- - image: app\n- x:\n    image: app\n");
	assert_stays("volumes:\n- image: {reference: app, pullPolicy: Always}\n");
	assert_becomes("a: {initContainers: [{image: app}]}\n",
		       "a: {initContainers: [{imagePullPolicy: Never, image: app}]}\n");
	assert_becomes("- x:\n  - ephemeralContainers:\n    - image: app\n",
		       "- x:\n  - ephemeralContainers:\n    - image: app\n      imagePullPolicy: Never\n");
}

static void only_an_image_string_counts(void **state)
{
	assert_stays(POD("  - image:\n  - image: ~\n  - image: true\n  - image: 5\n  - image: {app: app}\n  - name: app\n  -\n"));
	assert_stays(POD("  - image: |\n      app\n"));
	assert_stays(POD("  - image: \" app\"\n"));
}

static void opaque_kinds_stay(void **state)
{
	assert_stays("apiVersion: v1\nkind: ConfigMap\ncontainers: [{image: app}]\n");
	assert_stays("apiVersion: v1\nkind: Secret\ncontainers: [{image: app}]\n");
	assert_stays("items: [{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, containers: [{image: app}]}]\n");
	assert_stays("apiVersion: v1\nkind: ConfigMap\ndata:\n  a: |\n    containers:\n    - image: app\n");
	assert_becomes("kind: Secret\ncontainers: [{image: app}]\n",
		       "kind: Secret\ncontainers: [{imagePullPolicy: Never, image: app}]\n");
}

static void all_spellings_of_a_name_are_one(void **state)
{
	static const char *const names[] = { "app", "app:latest", "library/app", "docker.io/app", "index.docker.io/library/app:latest",
					     "app:v1@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef" };
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		char before[200], after[250];
		snprintf(before, sizeof(before), POD("  - image: %s\n"), names[i]);
		snprintf(after, sizeof(after), POD("  - image: %s\n    imagePullPolicy: Never\n"), names[i]);
		assert_becomes(before, after);
	}
	assert_stays(POD("  - image: app:v1\n  - image: team/app\n  - image: localhost/app\n"));
	assert_stays(POD("  - image: app@sha256:1123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\n"));
	assert_stays(POD("  - image: NOT A NAME\n"));
}

static void container_behind_an_alias_is_edited_once(void **state)
{
	assert_becomes("containers:\n- &c {image: app}\ninitContainers:\n- *c\n- *c\n",
		       "containers:\n- &c {imagePullPolicy: Never, image: app}\ninitContainers:\n- *c\n- *c\n");
	assert_becomes("containers: &c\n- image: app\ninitContainers: *c\n",
		       "containers: &c\n- image: app\n  imagePullPolicy: Never\ninitContainers: *c\n");
}

static void aliased_policy_becomes_a_word(void **state)
{
	assert_becomes("p: &p Always\ncontainers:\n- image: app\n  imagePullPolicy: *p # c\n",
		       "p: &p Always\ncontainers:\n- image: app\n  imagePullPolicy: Never # c\n");
	assert_stays("p: &p Never\ncontainers:\n- image: app\n  imagePullPolicy: *p\n");
}

static void merged_image_gets_an_override_behind_the_merge(void **state)
{
	assert_becomes("b: &b {image: app, imagePullPolicy: Always}\ncontainers:\n- <<: *b\n  name: a\n",
		       "b: &b {image: app, imagePullPolicy: Always}\ncontainers:\n- <<: *b\n  imagePullPolicy: Never\n  name: a\n");
	assert_becomes("b: &b {imagePullPolicy: Always}\ncontainers:\n- image: app\n  <<: [*b]\n",
		       "b: &b {imagePullPolicy: Always}\ncontainers:\n- image: app\n  <<: [*b]\n  imagePullPolicy: Never\n");
	assert_becomes("b: &b {imagePullPolicy: Always}\ncontainers: [{image: app, <<: *b}]\n",
		       "b: &b {imagePullPolicy: Always}\ncontainers: [{image: app, <<: *b, imagePullPolicy: Never}]\n");
	assert_stays("b: &b {imagePullPolicy: Never}\ncontainers:\n- image: app\n  <<: *b\n");
}

static void merge_that_overrides_the_policy_is_refused(void **state)
{
	assert_refused("b: &b {imagePullPolicy: Always}\ncontainers:\n- image: app\n  imagePullPolicy: Never\n  <<: *b\n",
		       "f.yaml:5:3: this '<<' overrides the 'imagePullPolicy' above it");
}

static void change_of_an_unchosen_container_is_refused(void **state)
{
	assert_refused("containers:\n- &c {image: app}\n- <<: *c\n  image: nginx\n", "f.yaml:3:3: this would change");
	assert_refused("containers:\n- image: app\n  imagePullPolicy: &p Always\n- image: nginx\n  imagePullPolicy: *p\n",
		       "f.yaml:3:20: this would change");
	assert_becomes("containers:\n- &c {image: app}\n- <<: *c\n  image: nginx\n  imagePullPolicy: Always\n",
		       "containers:\n- &c {imagePullPolicy: Never, image: app}\n- <<: *c\n  image: nginx\n  imagePullPolicy: Always\n");
}

static void change_of_another_value_is_refused(void **state)
{
	assert_refused("containers:\n- image: app\n  imagePullPolicy: &p Always\nother: *p\n", "f.yaml:3:20: this would change");
	assert_refused("x: &c {image: app}\ncontainers:\n- *c\n", "f.yaml:1:4: this would change");
	assert_refused("containers: &c\n- image: app\nother: *c\n", "f.yaml:2:3: this would change");
	assert_refused("- &m {apiVersion: v1, kind: Secret, x: &c [{image: app}]}\n- containers: *c\n",
		       "f.yaml:1:44: this would change");
}

static void container_that_the_edit_would_miss_is_refused(void **state)
{
	assert_refused("- {apiVersion: v1, kind: Secret, x: &c {containers: [{image: app}]}}\n- *c\n", "f.yaml:1:54: the policy");
}

static void policy_that_is_no_string_is_refused(void **state)
{
	assert_refused(POD("  - image: app\n    imagePullPolicy: {a: b}\n"), "f.yaml:4:22: the value of 'imagePullPolicy'");
	assert_refused(POD("  - image: app\n    imagePullPolicy: [Always]\n"), "f.yaml:4:22: the value of 'imagePullPolicy'");
	assert_refused(POD("  - image: app\n    imagePullPolicy: !x Always\n"), "f.yaml:4:22: the value of 'imagePullPolicy'");
}

static void one_bad_document_refuses_the_text(void **state)
{
	assert_refused(POD("  - image: app\n") "---\na: [\n", "f.yaml:");
	assert_refused(POD("  - image: app\n") "---\n\ttab: x\n", "f.yaml:5:1: ");
	assert_refused(POD("  - image: {{ .Values.image }}\n"), "f.yaml:3:13: a map or list is used as a key");
}

static char warnings[500];

static void keep_warning(enum sl_log_level level, const char *line, void *ctx)
{
	if (level == SL_LOG_WARN) {
		size_t len = strlen(warnings);
		snprintf(warnings + len, sizeof(warnings) - len, "%s\n", line);
	}
}

static void duplicate_policies_are_all_set_with_a_warning(void **state)
{
	warnings[0] = '\0';
	sl_log_set(keep_warning, SL_LOG_WARN, NULL);
	struct sl_error err = SL_ERROR_INIT;
	sl_autorewrite struct sl_rewrite out = SL_REWRITE_INIT;
	const char *text = POD("  - image: app\n    imagePullPolicy: Always\n    imagePullPolicy:\n");
	assert_int_equal(rewrite(text, strlen(text), "Never", &out, &err), 0);
	sl_log_set(NULL, SL_LOG_WARN, NULL);
	assert_string_equal(sl_buf_text(&out.text),
			    POD("  - image: app\n    imagePullPolicy: Never\n    imagePullPolicy: Never\n"));
	assert_non_null(strstr(warnings, "f.yaml:4:5: 'imagePullPolicy' is there 2 times"));
	assert_int_equal(out.changed, 1);
}

static void containers_are_counted(void **state)
{
	struct sl_error err = SL_ERROR_INIT;
	sl_autorewrite struct sl_rewrite out = SL_REWRITE_INIT;
	const char *text = POD("  - image: app\n  - image: app\n    imagePullPolicy: Never\n  - image: nginx\n  - name: x\n");
	assert_int_equal(rewrite(text, strlen(text), "Never", &out, &err), 0);
	assert_int_equal(out.containers, 3);
	assert_int_equal(out.chosen, 2);
	assert_int_equal(out.changed, 1);
}

static void images_are_listed_once(void **state)
{
	warnings[0] = '\0';
	sl_log_set(keep_warning, SL_LOG_WARN, NULL);
	struct sl_error err = SL_ERROR_INIT;
	sl_autostrv struct sl_strv found = SL_STRV_INIT;
	const char *text = POD("  - image: app\n  - image: nginx:1\n  - image: docker.io/app\n  - image: X Y\n");
	assert_int_equal(sl_manifest_images("f.yaml", text, strlen(text), &found, &err), 0);
	sl_log_set(NULL, SL_LOG_WARN, NULL);
	assert_int_equal(found.n, 2);
	assert_string_equal(found.items[0], "docker.io/library/app:latest");
	assert_string_equal(found.items[1], "docker.io/library/nginx:1");
	assert_non_null(strstr(warnings, "f.yaml:6:12: image name 'X Y'"));
	assert_int_equal(sl_manifest_images("f.yaml", "a: [", 4, &found, &err), -1);
}

static void assert_diff(const char *text, const char *expected)
{
	struct sl_error err = SL_ERROR_INIT;
	sl_autorewrite struct sl_rewrite out = SL_REWRITE_INIT;
	sl_autobuf struct sl_buf diff = SL_BUF_INIT;
	assert_int_equal(rewrite(text, strlen(text), "Never", &out, &err), 0);
	assert_int_equal(sl_diff_unified("f.yaml", text, strlen(text), &out, &diff, &err), 0);
	assert_string_equal(sl_buf_text(&diff), expected);
}

static void diff_has_hunks_with_context(void **state)
{
	assert_diff("a: 1\n", "");
	assert_diff("a: 1\nb: 2\nc: 3\nd: 4\ncontainers:\n- image: app\n  x: 1\n  y: 2\n  z: 3\n  w: 4\n",
		    "--- f.yaml\n+++ f.yaml\n@@ -4,6 +4,7 @@\n d: 4\n containers:\n - image: app\n+  imagePullPolicy: Never\n"
		    "   x: 1\n   y: 2\n   z: 3\n");
	assert_diff("containers: [{image: app}]", "--- f.yaml\n+++ f.yaml\n@@ -1 +1 @@\n-containers: [{image: app}]\n"
						  "\\ No newline at end of file\n"
						  "+containers: [{imagePullPolicy: Never, image: app}]\n"
						  "\\ No newline at end of file\n");
}

static void diff_joins_hunks_that_touch(void **state)
{
	assert_diff("containers:\n- image: app\n  a: 1\n- image: app\n- image: x\n  a: 1\n  b: 2\n  c: 3\n  d: 4\n  e: 5\n  f: 6\n"
		    "- image: app\n",
		    "--- f.yaml\n+++ f.yaml\n@@ -1,7 +1,9 @@\n containers:\n - image: app\n+  imagePullPolicy: Never\n   a: 1\n"
		    " - image: app\n+  imagePullPolicy: Never\n - image: x\n   a: 1\n   b: 2\n"
		    "@@ -10,3 +12,4 @@\n   e: 5\n   f: 6\n - image: app\n+  imagePullPolicy: Never\n");
}

/* Both parses, the check and the edit: 8 MB/s is the aim, a loaded machine and
 * sanitisers are not to fail it. */
static void large_text_is_no_trouble(void **state)
{
	sl_autobuf struct sl_buf text = SL_BUF_INIT;
	for (int i = 0; i < 10000; i++)
		sl_buf_puts(&text, "---\napiVersion: v1\nkind: Pod\nmetadata: {name: x}\n" POD("  - name: a # c\n    image: app\n"));
	struct sl_error err = SL_ERROR_INIT;
	sl_autorewrite struct sl_rewrite out = SL_REWRITE_INIT;
	clock_t start = clock();
	assert_int_equal(rewrite(sl_buf_text(&text), text.len, "Never", &out, &err), 0);
	assert_true(clock() - start < 5 * CLOCKS_PER_SEC);
	assert_int_equal(out.changed, 10000);
	assert_int_equal(out.text.len, text.len + 10000 * strlen("\n    imagePullPolicy: Never"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(policy_is_inserted_below_the_image),
		cmocka_unit_test(policy_is_replaced_where_it_is),
		cmocka_unit_test(quotes_tags_and_anchors_stay),
		cmocka_unit_test(policy_of_any_shape_becomes_a_word),
		cmocka_unit_test(every_policy_can_be_set),
		cmocka_unit_test(new_line_ends_like_its_neighbour),
		cmocka_unit_test(json_policy_is_quoted),
		cmocka_unit_test(flow_map_without_braces_gets_them),
		cmocka_unit_test(only_items_of_container_lists_change),
		cmocka_unit_test(only_an_image_string_counts),
		cmocka_unit_test(opaque_kinds_stay),
		cmocka_unit_test(all_spellings_of_a_name_are_one),
		cmocka_unit_test(container_behind_an_alias_is_edited_once),
		cmocka_unit_test(aliased_policy_becomes_a_word),
		cmocka_unit_test(merged_image_gets_an_override_behind_the_merge),
		cmocka_unit_test(merge_that_overrides_the_policy_is_refused),
		cmocka_unit_test(change_of_an_unchosen_container_is_refused),
		cmocka_unit_test(change_of_another_value_is_refused),
		cmocka_unit_test(container_that_the_edit_would_miss_is_refused),
		cmocka_unit_test(policy_that_is_no_string_is_refused),
		cmocka_unit_test(one_bad_document_refuses_the_text),
		cmocka_unit_test(duplicate_policies_are_all_set_with_a_warning),
		cmocka_unit_test(containers_are_counted),
		cmocka_unit_test(images_are_listed_once),
		cmocka_unit_test(diff_has_hunks_with_context),
		cmocka_unit_test(diff_joins_hunks_that_touch),
		cmocka_unit_test(large_text_is_no_trouble),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
