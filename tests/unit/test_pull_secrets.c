/* SPDX-License-Identifier: Apache-2.0 */
#include "manifest/rewrite.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/log.h"

static char app[] = "docker.io/library/app:dev";
static char *items[] = { app };
static const struct sl_strv images = { items, 1 };
static char pushed[] = "localhost:5001/app:dev@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
static char *becomes_items[] = { pushed };
static const struct sl_strv becomes = { becomes_items, 1 };
static const struct sl_rewrite_rules drop = { &images, "Never", NULL, true }, keep = { &images, "Never", NULL, false };
static const struct sl_rewrite_rules rename_rules = { &images, "IfNotPresent", &becomes, false };

static char warned[500];

static void take_warning(enum sl_log_level level, const char *line, void *ctx)
{
	snprintf(warned, sizeof(warned), "%s", line);
}

static void assert_becomes_by(const struct sl_rewrite_rules *rules, const char *before, const char *after, size_t needless)
{
	struct sl_error err = SL_ERROR_INIT;
	sl_autorewrite struct sl_rewrite out = SL_REWRITE_INIT;
	if (sl_rewrite_text("f.yaml", before, strlen(before), rules, &out, &err) < 0)
		fail_msg("%s", err.message);
	assert_string_equal(sl_buf_text(&out.text), after);
	assert_int_equal(out.needless, needless);
}

static void assert_refused_by(const struct sl_rewrite_rules *rules, const char *before, const char *message)
{
	struct sl_error err = SL_ERROR_INIT;
	sl_autorewrite struct sl_rewrite out = SL_REWRITE_INIT;
	if (sl_rewrite_text("f.yaml", before, strlen(before), rules, &out, &err) == 0)
		fail_msg("became '%s'", sl_buf_text(&out.text));
	if (strncmp(err.message, message, strlen(message)) != 0)
		fail_msg("'%s' does not begin with '%s'", err.message, message);
}

#define C "containers:\n- image: app:dev\n  imagePullPolicy: Never\n"

static void block_lines_go_with_their_comment(void **state)
{
	assert_becomes_by(&drop, "imagePullSecrets: # the hub\n- name: a # why\n- name: b\n" C, C, 1);
	assert_becomes_by(&drop, C "imagePullSecrets:\n  - name: a\n", C, 1);
	assert_becomes_by(&drop, C "imagePullSecrets: [{name: a}]\nx: 1\n", C "x: 1\n", 1);
	assert_becomes_by(&drop, C "imagePullSecrets: []\n# stays\nx: 1\n", C "# stays\nx: 1\n", 1);
	assert_becomes_by(&drop, C "\"imagePullSecrets\":\n\nx: 1\n", C "\nx: 1\n", 1);
}

static void line_ends_stay_what_they_are(void **state)
{
	assert_becomes_by(&drop, "containers:\r\n- image: app:dev\r\n  imagePullPolicy: Never\r\nimagePullSecrets:\r\n- name: a\r\nx: 1\r\n",
			  "containers:\r\n- image: app:dev\r\n  imagePullPolicy: Never\r\nx: 1\r\n", 1);
	assert_becomes_by(&drop, C "imagePullSecrets: [{name: a}]", "containers:\n- image: app:dev\n  imagePullPolicy: Never", 1);
	assert_becomes_by(&drop, "containers:\n- image: app:dev\nimagePullSecrets: [{name: a}]", "containers:\n- image: app:dev\n  imagePullPolicy: Never", 1);
}

static void the_first_key_behind_a_dash(void **state)
{
	assert_becomes_by(&drop, "- imagePullSecrets:\n  - name: a\n  containers:\n  - image: app:dev\n    imagePullPolicy: Never\n",
			  "- containers:\n  - image: app:dev\n    imagePullPolicy: Never\n", 1);
	assert_refused_by(&drop, "- imagePullSecrets: [{name: a}]\n  # about what follows\n  containers:\n  - image: app:dev\n    imagePullPolicy: Never\n",
			  "f.yaml:1:3: 'imagePullSecrets' cannot be removed here; write it on lines of its own");
}

static void flow_entries_go_with_one_comma(void **state)
{
#define F "containers: [{image: app:dev, imagePullPolicy: Never}]"
	assert_becomes_by(&drop, "{imagePullSecrets: [{name: a}], " F "}\n", "{" F "}\n", 1);
	assert_becomes_by(&drop, "{" F ", imagePullSecrets: [{name: a}]}\n", "{" F "}\n", 1);
	assert_becomes_by(&drop, "{a: 1, imagePullSecrets: [{name: a}], " F "}\n", "{a: 1, " F "}\n", 1);
	assert_becomes_by(&drop, "{a: 1,imagePullSecrets: [],\n " F "}\n", "{a: 1,\n " F "}\n", 1);
	assert_becomes_by(&drop, "{\n  \"imagePullSecrets\": [\n    {\"name\": \"a\"}\n  ],\n  " F "\n}\n", "{\n  " F "\n}\n", 1);
	assert_becomes_by(&drop, "{\n  " F ",\n  \"imagePullSecrets\": []\n}\n", "{\n  " F "\n}\n", 1);
}

static void all_of_them_when_the_key_is_there_twice(void **state)
{
	assert_becomes_by(&drop, "imagePullSecrets: [{name: a}]\n" C "imagePullSecrets: [{name: b}]\n", C, 1);
}

static void secrets_that_something_needs_stay(void **state)
{
	static const char *const texts[] = {
		"imagePullSecrets: [{name: a}]\n" C "- image: other:1\n",
		"imagePullSecrets: [{name: a}]\n" C "initContainers: [{image: other:1}]\n",
		"imagePullSecrets: [{name: a}]\n" C "volumes: [{name: v, image: {reference: 'other:1'}}]\n",
		"imagePullSecrets: [{name: a}]\n" C "- name: without-an-image\n",
		("kind: ServiceAccount\nimagePullSecrets: [{name: a}]\n---\n" C),
	};
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		assert_becomes_by(&drop, texts[i], texts[i], 0);
	/* what is pulled at each start may need them */
	const struct sl_rewrite_rules always = { &images, "Always", NULL, true };
	const char *text = "imagePullSecrets: [{name: a}]\ncontainers:\n- image: app:dev\n  imagePullPolicy: Always\n";
	assert_becomes_by(&always, text, text, 0);
}

static void what_others_share_is_refused(void **state)
{
	assert_refused_by(&drop, "base: &b {imagePullSecrets: [{name: a}]}\npod:\n  <<: *b\n  containers: [{image: app:dev, imagePullPolicy: Never}]\n",
			  "f.yaml:3:3: 'imagePullSecrets' comes by this '<<' and cannot be removed here");
	assert_refused_by(&drop, "a:\n  imagePullSecrets: &s [{name: a}]\n  containers: [{image: app:dev, imagePullPolicy: Never}]\nb: *s\n",
			  "f.yaml: cannot be edited, it would become");
}

static void needless_ones_are_named_where_they_stay(void **state)
{
	sl_log_set(take_warning, SL_LOG_WARN, NULL);
	assert_becomes_by(&keep, "imagePullSecrets: [{name: a}]\n" C, "imagePullSecrets: [{name: a}]\n" C, 1);
	sl_log_set(NULL, SL_LOG_WARN, NULL);
	assert_string_equal(warned, "f.yaml:1:1: imagePullSecrets is needless here, as no image of this pod is pulled; --drop-pull-secrets removes it");
}

static void images_become_what_was_pushed(void **state)
{
#define P "localhost:5001/app:dev@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	assert_becomes_by(&rename_rules, "imagePullSecrets: []\ncontainers:\n- image: app:dev # c\n- image: other\n",
			  "imagePullSecrets: []\ncontainers:\n- image: " P " # c\n  imagePullPolicy: IfNotPresent\n- image: other\n", 0);
	assert_becomes_by(&rename_rules, "{containers: [{\"image\": \"app:dev\"}, {image: 'docker.io/library/app:dev',imagePullPolicy: Always}]}\n",
			  "{containers: [{\"imagePullPolicy\": \"IfNotPresent\", \"image\": \"" P "\"}, {image: '" P "',imagePullPolicy: IfNotPresent}]}\n", 0);
	assert_becomes_by(&rename_rules, "containers:\n- image: >-\n    app:dev\n", "containers:\n- image: " P "\n  imagePullPolicy: IfNotPresent\n", 0);
	assert_refused_by(&rename_rules, "b: &b {image: app:dev}\ncontainers:\n- <<: *b\n", "f.yaml:1:15: this image comes by a '<<'");
	assert_refused_by(&rename_rules, "containers:\n- image: &i app:dev\nother: *i\n", "f.yaml:2:10: this would change together");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(block_lines_go_with_their_comment),
		cmocka_unit_test(line_ends_stay_what_they_are),
		cmocka_unit_test(the_first_key_behind_a_dash),
		cmocka_unit_test(flow_entries_go_with_one_comma),
		cmocka_unit_test(all_of_them_when_the_key_is_there_twice),
		cmocka_unit_test(secrets_that_something_needs_stay),
		cmocka_unit_test(what_others_share_is_refused),
		cmocka_unit_test(needless_ones_are_named_where_they_stay),
		cmocka_unit_test(images_become_what_was_pushed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
