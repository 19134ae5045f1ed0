/* SPDX-License-Identifier: Apache-2.0 */
#include "base/yaml.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/cleanup.h"

static struct sl_yaml *parse_bytes(const char *text, size_t len)
{
	struct sl_error err = SL_ERROR_INIT;
	struct sl_yaml *yaml = sl_yaml_parse(text, len, "f.yaml", &err);
	if (!yaml)
		fail_msg("%s", err.message);
	return yaml;
}

static struct sl_yaml *parse(const char *text)
{
	return parse_bytes(text, strlen(text));
}

static void assert_refused_bytes(const char *text, size_t len, const char *message)
{
	struct sl_error err = SL_ERROR_INIT;
	sl_autoyaml struct sl_yaml *yaml = sl_yaml_parse(text, len, "f.yaml", &err);
	assert_null(yaml);
	assert_int_equal(err.status, SL_FAILED);
	if (strncmp(err.message, message, strlen(message)) != 0)
		fail_msg("'%s' does not begin with '%s'", err.message, message);
}

static void assert_refused(const char *text, const char *message)
{
	assert_refused_bytes(text, strlen(text), message);
}

/* The bytes that @node has in @text. */
static void assert_bytes(const char *text, const struct sl_yaml_node *node, const char *expected)
{
	assert_non_null(node);
	assert_int_equal(node->end - node->start, strlen(expected));
	assert_memory_equal(text + node->start, expected, strlen(expected));
}

static const struct sl_yaml_node *written(const struct sl_yaml_node *map, size_t pair)
{
	return map->items[2 * pair + 1];
}

static void value_is_found_by_its_key(void **state)
{
	sl_autoyaml struct sl_yaml *yaml = parse("a: 1\nb: [x, {c: y}]\n");
	const struct sl_yaml_node *root = sl_yaml_root(yaml, 0);
	assert_string_equal(sl_yaml_str(sl_yaml_get(root, "a")), "1");
	const struct sl_yaml_node *list = sl_yaml_get(root, "b");
	assert_int_equal(sl_yaml_len(list), 2);
	assert_string_equal(sl_yaml_str(sl_yaml_at(list, 0)), "x");
	assert_string_equal(sl_yaml_str(sl_yaml_get(sl_yaml_at(list, 1), "c")), "y");
	assert_null(sl_yaml_at(list, 2));
	assert_null(sl_yaml_get(root, "c"));
	assert_null(sl_yaml_str(sl_yaml_get(root, "b")));
	assert_null(sl_yaml_get(NULL, "a"));
	assert_null(sl_yaml_at(NULL, 0));
	assert_int_equal(sl_yaml_len(NULL), 0);
	assert_null(sl_yaml_str(NULL));
}

static void json_is_yaml(void **state)
{
	sl_autoyaml struct sl_yaml *yaml = parse("{\n\t\"a\": \"b\\/c\",\n\t\"d\": [1, null]\n}\n");
	const struct sl_yaml_node *root = sl_yaml_root(yaml, 0);
	assert_string_equal(sl_yaml_str(sl_yaml_get(root, "a")), "b/c");
	assert_true(sl_yaml_is_null(sl_yaml_at(sl_yaml_get(root, "d"), 1)));
}

static void last_of_two_equal_keys_counts(void **state)
{
	sl_autoyaml struct sl_yaml *yaml = parse("a: 1\na: 2\n");
	assert_string_equal(sl_yaml_str(sl_yaml_get(sl_yaml_root(yaml, 0), "a")), "2");
}

static void alias_stands_for_its_anchor(void **state)
{
	const char *text = "a: &x [1]\nb: *x\n";
	sl_autoyaml struct sl_yaml *yaml = parse(text);
	const struct sl_yaml_node *root = sl_yaml_root(yaml, 0);
	assert_ptr_equal(sl_yaml_get(root, "a"), sl_yaml_get(root, "b"));
	assert_bytes(text, written(root, 1), "*x");
	assert_bytes(text, written(root, 0), "&x [1]");
}

static void later_anchor_of_the_same_name_takes_over(void **state)
{
	sl_autoyaml struct sl_yaml *yaml = parse("a: &x 1\nb: *x\nc: &x 2\nd: *x\n");
	const struct sl_yaml_node *root = sl_yaml_root(yaml, 0);
	assert_string_equal(sl_yaml_str(sl_yaml_get(root, "b")), "1");
	assert_string_equal(sl_yaml_str(sl_yaml_get(root, "d")), "2");
}

static void many_anchors_are_kept_apart(void **state)
{
	sl_autobuf struct sl_buf text = SL_BUF_INIT;
	for (int i = 0; i < 1000; i++)
		sl_buf_printf(&text, "a%d: &x%d v%d\n", i, i, i);
	for (int i = 0; i < 1000; i++)
		sl_buf_printf(&text, "b%d: *x%d\n", i, i);
	sl_autoyaml struct sl_yaml *yaml = parse(sl_buf_text(&text));
	assert_string_equal(sl_yaml_str(sl_yaml_get(sl_yaml_root(yaml, 0), "b777")), "v777");
}

static void merge_counts_at_its_place(void **state)
{
	/* kubectl assigns in the order of the text: a later '<<' overrides */
	sl_autoyaml struct sl_yaml *yaml = parse("b: &b {k: merged, m: m}\n"
						 "before: {<<: *b, k: own}\n"
						 "after: {k: own, <<: *b}\n");
	const struct sl_yaml_node *root = sl_yaml_root(yaml, 0);
	assert_string_equal(sl_yaml_str(sl_yaml_get(sl_yaml_get(root, "before"), "k")), "own");
	assert_string_equal(sl_yaml_str(sl_yaml_get(sl_yaml_get(root, "before"), "m")), "m");
	assert_string_equal(sl_yaml_str(sl_yaml_get(sl_yaml_get(root, "after"), "k")), "merged");
}

static void first_of_several_merged_maps_counts(void **state)
{
	sl_autoyaml struct sl_yaml *yaml = parse("a: &a {k: 1}\nb: &b {k: 2, l: 3}\nc: {<<: [*a, *b]}\n");
	const struct sl_yaml_node *c = sl_yaml_get(sl_yaml_root(yaml, 0), "c");
	assert_string_equal(sl_yaml_str(sl_yaml_get(c, "k")), "1");
	assert_string_equal(sl_yaml_str(sl_yaml_get(c, "l")), "3");
}

static void quoted_merge_key_is_a_key(void **state)
{
	sl_autoyaml struct sl_yaml *yaml = parse("a: {\"<<\": {k: 1}}\n");
	const struct sl_yaml_node *a = sl_yaml_get(sl_yaml_root(yaml, 0), "a");
	assert_null(sl_yaml_get(a, "k"));
	assert_non_null(sl_yaml_get(a, "<<"));
}

static void offsets_are_bytes_behind_wide_characters(void **state)
{
	const char *text = "\xef\xbb\xbf# \xc3\xa9\xf0\x9f\x98\x80\nk\xc3\xa9: \xe2\x82\xac  # x\nl: 'q'\nm: \"\xc3\xa9\" # \xc3\xa9\nn: z\n";
	sl_autoyaml struct sl_yaml *yaml = parse(text);
	const struct sl_yaml_node *root = sl_yaml_root(yaml, 0);
	assert_bytes(text, written(root, 0), "\xe2\x82\xac");
	assert_bytes(text, written(root, 1), "'q'");
	assert_bytes(text, written(root, 2), "\"\xc3\xa9\"");
	assert_bytes(text, written(root, 3), "z");
	assert_int_equal(written(root, 0)->line, 2);
	assert_int_equal(written(root, 0)->column, 5);
}

static void every_line_break_of_yaml_counts(void **state)
{
	const char *text = "a: 1 # x\xc2\x85" "b: 2 # y\xe2\x80\xa8" "c: 3 # z\xe2\x80\xa9" "d: 4\re: 5\r\nf: 6\n---\n\ng: ]";
	assert_refused(text, "f.yaml:9:4: ");
	sl_autoyaml struct sl_yaml *yaml = parse_bytes(text, strlen(text) - 1);
	const struct sl_yaml_node *root = sl_yaml_root(yaml, 0);
	assert_int_equal(root->n, 6);
	for (unsigned i = 0; i < 6; i++) {
		assert_int_equal(written(root, i)->line, i + 1);
		assert_int_equal(written(root, i)->column, 4);
	}
}

static void documents_are_cut_at_three_hyphens(void **state)
{
	const char *text = "a: 1\n--- # c\n\n---\n\xef\xbb\xbf" "b: 2\n...\n--- \nc: 3\n---  \n# nothing\n---\n";
	sl_autoyaml struct sl_yaml *yaml = parse(text);
	assert_int_equal(sl_yaml_documents(yaml), 3);
	assert_bytes(text, written(sl_yaml_root(yaml, 1), 0), "2");
	assert_int_equal(written(sl_yaml_root(yaml, 1), 0)->line, 5);
	assert_null(sl_yaml_root(yaml, 3));
}

static void nothing_is_no_document(void **state)
{
	sl_autoyaml struct sl_yaml *yaml = parse("");
	assert_int_equal(sl_yaml_documents(yaml), 0);
	sl_autoyaml struct sl_yaml *comment = parse("# c\n---\n");
	assert_int_equal(sl_yaml_documents(comment), 0);
}

static void content_beside_three_hyphens_is_refused(void **state)
{
	assert_refused("a: 1\n--- b: 2\n", "f.yaml:2:1: only a comment");
	assert_refused("a: 1\n...\nb: 2\n", "f.yaml:3:1: "); /* kubectl would leave b out silently */
	assert_refused("a: 1\n---- \n", "f.yaml:2:1: only a comment");
}

static void concatenated_json_objects_are_documents(void **state)
{
	const char *text = "{\"a\": \"\xc3\xa9}{\"}{\"a\": 2}\n\n  {\"a\":\n3}";
	sl_autoyaml struct sl_yaml *yaml = parse(text);
	assert_int_equal(sl_yaml_documents(yaml), 3);
	assert_bytes(text, written(sl_yaml_root(yaml, 1), 0), "2");
	assert_int_equal(written(sl_yaml_root(yaml, 1), 0)->column, 19);
	assert_bytes(text, written(sl_yaml_root(yaml, 2), 0), "3");
	assert_int_equal(written(sl_yaml_root(yaml, 2), 0)->line, 4);
	assert_refused("{\"a\": 1}{\"a\": 2\n", "f.yaml:2:1: ");
	assert_refused("{\"a\": 1} x", "f.yaml:1:10: ");
	assert_refused("a: b\n{\"a\": 1}", "f.yaml:");
}

static void what_looks_like_the_end_of_an_object_is_none(void **state)
{
	/* by JSON's rules a string begins at "x, and the object ends within YAML's */
	sl_autoyaml struct sl_yaml *yaml = parse("{a:\"x, b: \"} {\", c: d}");
	assert_int_equal(sl_yaml_documents(yaml), 1);
	assert_string_equal(sl_yaml_str(sl_yaml_get(sl_yaml_root(yaml, 0), "b")), "} {");
	sl_autoyaml struct sl_yaml *quoted = parse("{a: '} {', b: c}\n{a: '\"'}{\"b\": \"\\\"}{\"}");
	assert_int_equal(sl_yaml_documents(quoted), 3);
	assert_string_equal(sl_yaml_str(sl_yaml_get(sl_yaml_root(quoted, 0), "a")), "} {");
	assert_string_equal(sl_yaml_str(sl_yaml_get(sl_yaml_root(quoted, 1), "a")), "\"");
	assert_string_equal(sl_yaml_str(sl_yaml_get(sl_yaml_root(quoted, 2), "b")), "\"}{");
	assert_refused("{\"a\": 1}\n{\"a\": 1 2}\n{\"a\": b: c}", "f.yaml:3:8: ");
	assert_refused("{\"a\": 1}}{\"a\": 1}", "f.yaml:1:9: ");
}

static void escaped_surrogates_are_read(void **state)
{
	sl_autoyaml struct sl_yaml *yaml = parse("{\"a\": \"\\ud83d\\ude00\", \"b\": \"x\\\\ud83d\"}");
	const struct sl_yaml_node *root = sl_yaml_root(yaml, 0);
	assert_string_equal(sl_yaml_str(sl_yaml_get(root, "a")), "\xef\xbf\xbd\xef\xbf\xbd");
	assert_string_equal(sl_yaml_str(sl_yaml_get(root, "b")), "x\\ud83d");
	assert_refused("{\"a\": \"\\ud83d\"}", "f.yaml:1:");
}

static void null_is_not_text(void **state)
{
	sl_autoyaml struct sl_yaml *yaml = parse("a:\nb: ~\nc: null\nd: ''\ne: 'null'\nf: \"x\\0y\"\n");
	const struct sl_yaml_node *root = sl_yaml_root(yaml, 0);
	assert_null(sl_yaml_str(sl_yaml_get(root, "a")));
	assert_null(sl_yaml_str(sl_yaml_get(root, "b")));
	assert_null(sl_yaml_str(sl_yaml_get(root, "c")));
	assert_string_equal(sl_yaml_str(sl_yaml_get(root, "d")), "");
	assert_string_equal(sl_yaml_str(sl_yaml_get(root, "e")), "null");
	assert_null(sl_yaml_str(sl_yaml_get(root, "f")));
}

static void string_is_what_yaml_1_1_does_not_type(void **state)
{
	static const char *const others[] = { "y", "No", "true", "off", "1", "-1.5", "0x1F", "1_000", "1e3", ".5", ".inf", "~", "" };
	static const char *const strings[] = { "nginx", "1.2.3", "'1'", "\"true\"", "!!str 1", "! 1", "12ab", "1e", ".", "0x", "yep" };
	char text[64];
	for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++) {
		snprintf(text, sizeof(text), "a: %s\n", others[i]);
		sl_autoyaml struct sl_yaml *yaml = parse(text);
		if (sl_yaml_is_string(sl_yaml_get(sl_yaml_root(yaml, 0), "a")))
			fail_msg("'%s' is taken for a string", others[i]);
	}
	for (size_t i = 0; i < sizeof(strings) / sizeof(*strings); i++) {
		snprintf(text, sizeof(text), "a: %s\n", strings[i]);
		sl_autoyaml struct sl_yaml *yaml = parse(text);
		if (!sl_yaml_is_string(sl_yaml_get(sl_yaml_root(yaml, 0), "a")))
			fail_msg("'%s' is not taken for a string", strings[i]);
	}
}

static void what_is_no_utf8_text_is_refused_with_its_place(void **state)
{
	assert_refused_bytes("a: 1\nb: \0\n", 10, "f.yaml:2:4: a NUL byte");
	assert_refused("a: 1\nb: \xc3\xa9\xff\n", "f.yaml:2:5: ");
	assert_refused("a: 1\n---\nb: \x01\n", "f.yaml:3:4: ");
	assert_refused("\xff\xfe" "a\0", "f.yaml:1:1: UTF-16");
	assert_refused("\xfe\xff" "\0a", "f.yaml:1:1: UTF-16");
	assert_refused_bytes("a\0:\0 \0", 6, "f.yaml:1:2: a NUL byte");
}

static void template_is_refused(void **state)
{
	assert_refused("a: {{ .Values.x }}\n", "f.yaml:1:5: a map or list is used as a key");
	assert_refused("{{- if .Values.x }}\na: 1\n", "f.yaml:");
	assert_refused("? [a]\n: b\n", "f.yaml:1:3: a map or list is used as a key");
	assert_refused("x: &x {}\n*x : b\n", "f.yaml:2:1: a map or list is used as a key");
}

static void bad_alias_is_refused(void **state)
{
	assert_refused("a: *x\n", "f.yaml:1:4: the alias names an anchor that is not defined");
	assert_refused("a: &x 1\n---\nb: *x\n", "f.yaml:3:4: the alias names");
	assert_refused("a: &x [*x]\n", "f.yaml:1:8: the alias stands for something that contains it");
	assert_refused("a: &x {<<: *x}\n", "f.yaml:1:12: the alias stands for");
	assert_refused("a: {<<: 1}\n", "f.yaml:1:5: '<<' merges maps only");
	assert_refused("a: {<<: [{}, 1]}\n", "f.yaml:1:5: '<<' merges maps only");
}

/* Forty levels, each nine times the one before, as lists and as merges: refused
 * at once, not after an hour. */
static void bombs_are_refused_within_a_second(void **state)
{
	static const char *const shapes[][2] = { { "[", "]\n" }, { "{<<: [", "]}\n" } };
	for (size_t shape = 0; shape < 2; shape++) {
		sl_autobuf struct sl_buf text = SL_BUF_INIT;
		sl_buf_puts(&text, "l0: &l0 {k: v}\n");
		for (int level = 1; level < 40; level++) {
			sl_buf_printf(&text, "l%d: &l%d %s", level, level, shapes[shape][0]);
			for (int i = 0; i < 9; i++)
				sl_buf_printf(&text, "%s*l%d", i ? ", " : "", level - 1);
			sl_buf_puts(&text, shapes[shape][1]);
		}
		clock_t start = clock();
		assert_refused(sl_buf_text(&text), "f.yaml:7:");
		assert_true(clock() - start < CLOCKS_PER_SEC);
	}
}

static void deep_nesting_is_refused_within_a_second(void **state)
{
	char *text = malloc(1000001);
	memset(text, '[', 1000000);
	text[1000000] = '\0';
	clock_t start = clock();
	assert_refused(text, "f.yaml:1:257: nested too deeply (the maximum is 256)");
	for (int i = 0; i < 1000000; i++)
		text[i] = i % 2 ? ' ' : '-';
	assert_refused(text, "f.yaml:1:513: nested too deeply");
	assert_true(clock() - start < CLOCKS_PER_SEC);
	free(text);
}

static void flood_of_objects_is_refused(void **state)
{
	sl_autobuf struct sl_buf text = SL_BUF_INIT;
	for (int i = 0; i < 20000; i++)
		sl_buf_puts(&text, "{}\n");
	assert_refused(sl_buf_text(&text), "f.yaml:10001:1: more than 10000 objects");
}

static void indent_is_that_of_the_entries(void **state)
{
	sl_autoyaml struct sl_yaml *yaml = parse("a:\n  - &x\n    ? b\n    : c\n  - &y d: e\n");
	const struct sl_yaml_node *list = sl_yaml_get(sl_yaml_root(yaml, 0), "a");
	assert_int_equal(list->indent, 2);
	assert_int_equal(sl_yaml_at(list, 0)->indent, 4);
	assert_int_equal(sl_yaml_at(list, 1)->indent, 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(value_is_found_by_its_key),
		cmocka_unit_test(json_is_yaml),
		cmocka_unit_test(last_of_two_equal_keys_counts),
		cmocka_unit_test(alias_stands_for_its_anchor),
		cmocka_unit_test(later_anchor_of_the_same_name_takes_over),
		cmocka_unit_test(many_anchors_are_kept_apart),
		cmocka_unit_test(merge_counts_at_its_place),
		cmocka_unit_test(first_of_several_merged_maps_counts),
		cmocka_unit_test(quoted_merge_key_is_a_key),
		cmocka_unit_test(offsets_are_bytes_behind_wide_characters),
		cmocka_unit_test(every_line_break_of_yaml_counts),
		cmocka_unit_test(documents_are_cut_at_three_hyphens),
		cmocka_unit_test(nothing_is_no_document),
		cmocka_unit_test(content_beside_three_hyphens_is_refused),
		cmocka_unit_test(concatenated_json_objects_are_documents),
		cmocka_unit_test(what_looks_like_the_end_of_an_object_is_none),
		cmocka_unit_test(escaped_surrogates_are_read),
		cmocka_unit_test(null_is_not_text),
		cmocka_unit_test(string_is_what_yaml_1_1_does_not_type),
		cmocka_unit_test(what_is_no_utf8_text_is_refused_with_its_place),
		cmocka_unit_test(template_is_refused),
		cmocka_unit_test(bad_alias_is_refused),
		cmocka_unit_test(bombs_are_refused_within_a_second),
		cmocka_unit_test(deep_nesting_is_refused_within_a_second),
		cmocka_unit_test(flood_of_objects_is_refused),
		cmocka_unit_test(indent_is_that_of_the_entries),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
