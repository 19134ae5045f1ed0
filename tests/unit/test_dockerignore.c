/* SPDX-License-Identifier: Apache-2.0 */
/* tests/cluster/watch.bats compares the same rules with docker itself. */
#include "flow/dockerignore.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct sl_ignore parsed(const char *text)
{
	struct sl_error err = SL_ERROR_INIT;
	struct sl_ignore ignore;
	if (sl_ignore_parse(text, strlen(text), &ignore, &err) < 0)
		fail_msg("'%s': %s", text, err.message);
	return ignore;
}

static void assert_ignored(const char *text, const char *path, bool ignored)
{
	struct sl_ignore ignore = parsed(text);
	if (sl_ignore_matches(&ignore, path) != ignored)
		fail_msg("'%s' %s '%s'", text, ignored ? "does not ignore" : "ignores", path);
	sl_ignore_release(&ignore);
}

static void the_cases_of_moby(void **state)
{
	/* patternmatcher_test.go, matchTests */
	static const struct { const char *pattern, *path; bool ignored; } cases[] = {
		{ "**", "file", true }, { "**", "file/", true }, { "**/", "file", true }, { "**/", "dir/file", true },
		{ "**/**", "dir/file", true }, { "dir/**", "dir/file", true }, { "dir/**", "dir/dir2/file", true },
		{ "**/dir", "dir", true }, { "**/dir", "dir/file", true }, { "**/dir2/*", "dir/dir2/file", true },
		{ "**/dir2/*", "dir/dir2/dir2/file", true }, { "**/dir2/**", "dir/dir2/dir2/file", true },
		{ "**file", "file", true }, { "**file", "dir/file", true }, { "**/file", "dir/file", true },
		{ "**file", "dir/dir/file", true }, { "**/file*", "dir/dir/file", true }, { "**/file*", "dir/dir/file.txt", true },
		{ "**/file*txt", "dir/dir/file.txt", true }, { "**/file*.txt", "dir/dir/file.txt", true },
		{ "**/file*.txt*", "dir/dir/file.txt", true }, { "**/**/*.txt", "dir/dir/file.txt", true },
		{ "**/**/*.txt2", "dir/dir/file.txt", false }, { "**/*.txt", "file.txt", true }, { "**/**/*.txt", "file.txt", true },
		{ "a**/*.txt", "a/file.txt", true }, { "a**/*.txt", "a/dir/file.txt", true }, { "a**/*.txt", "a/dir/dir/file.txt", true },
		{ "a/*.txt", "a/dir/file.txt", false }, { "a/*.txt", "a/file.txt", true }, { "a/*.txt**", "a/file.txt", true },
		{ "a[b-d]e", "ae", false }, { "a[b-d]e", "ace", true }, { "a[b-d]e", "aae", false }, { "a[^b-d]e", "aze", true },
		{ ".*", ".foo", true }, { ".*", "foo", false }, { "abc.def", "abcdef", false }, { "abc.def", "abc.def", true },
		{ "abc.def", "abcZdef", false }, { "abc?def", "abcZdef", true }, { "abc?def", "abcdef", false },
		{ "a\\*b", "a*b", true }, { "a\\*b", "axb", false }, { "**/foo/bar", "foo/bar", true }, { "**/foo/bar", "dir/foo/bar", true },
		{ "**/foo/bar", "dir/dir2/foo/bar", true }, { "abc/**", "abc", false }, { "abc/**", "abc/def", true },
		{ "abc/**", "abc/def/ghi", true }, { "**/.foo", ".foo", true }, { "**/.foo", "bar.foo", false },
		{ "a(b)c/def", "a(b)c/def", true }, { "a(b)c/def", "a(b)c/xyz", false }, { "a.|)$(}+{bc", "a.|)$(}+{bc", true },
		{ "dist/proxy.py-2.4.0rc3.dev36+g08acad9-py3-none-any.whl", "dist/proxy.py-2.4.0rc3.dev36+g08acad9-py3-none-any.whl", true },
		{ "dist/*.whl", "dist/proxy.py-2.4.0rc3.dev36+g08acad9-py3-none-any.whl", true },
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		if (strcmp(cases[i].path, "file/") != 0)
			assert_ignored(cases[i].pattern, cases[i].path, cases[i].ignored);
}

static void the_last_pattern_decides(void **state)
{
	assert_ignored("*.md\n!README.md", "README.md", false);
	assert_ignored("*.md\n!README.md", "NEWS.md", true);
	assert_ignored("!README.md\n*.md", "README.md", true);
	assert_ignored("docs\n!docs/keep\ndocs/keep/not", "docs/keep/not/x", true);
	assert_ignored("docs\n!docs/keep\ndocs/keep/not", "docs/keep/x", false);
	assert_ignored("*\n!src", "src/deep/main.c", false);
	assert_ignored("*\n!src", "lib/main.c", true);
}

static void a_pattern_stands_for_all_below(void **state)
{
	assert_ignored("node_modules", "node_modules/a/b/c.js", true);
	assert_ignored("node_modules", "web/node_modules/a.js", false);
	assert_ignored("*/temp*", "a/temporary/x", true);
	assert_ignored("*/temp*", "a/b/temporary", false);
}

static void lines_are_cleaned(void **state)
{
	assert_ignored("# *\n  # x\n", "x", false);
	assert_ignored(" #x", "#x", true);
	assert_ignored("/build/", "build/x", true);
	assert_ignored("//build", "build", true);
	assert_ignored("./build", "build", true);
	assert_ignored("a/../build/./x//y/", "build/x/y", true);
	assert_ignored("  build\t \r\n", "build", true);
	assert_ignored("\xef\xbb\xbf" "build", "build", true);
	assert_ignored("! keep\n", "keep", false);
	assert_ignored("*\n!  ./keep/", "keep", false);
	assert_ignored("*\n!/keep", "keep", false);
	assert_ignored("..", "build", false);
	assert_ignored("../build", "build", false);
	assert_ignored("../../x/../build", "build", false);
	assert_ignored(".", "build", false);
	assert_ignored("/", "build", false);
	assert_ignored("a/..", "a", false);
	assert_ignored("", "a", false);
	assert_ignored("\n\n", "a", false);
	assert_ignored("with blank", "with blank", true);
}

static void case_counts_and_characters_are_not_bytes(void **state)
{
	assert_ignored("build", "Build", false);
	assert_ignored("?.txt", "\xc3\xa4.txt", true);
	assert_ignored("[\xc3\xa0-\xc3\xbc].txt", "\xc3\xa4.txt", true);
	assert_ignored("??.txt", "\xc3\xa4.txt", false);
}

static void what_docker_refuses_is_refused(void **state)
{
	static const char *const bad[] = { "[", "a[", "[]a]", "[-]", "[x-]", "a\\", "!", "! ", "[^]", "ok\n[a" };
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct sl_error err = SL_ERROR_INIT;
		struct sl_ignore ignore;
		if (sl_ignore_parse(bad[i], strlen(bad[i]), &ignore, &err) == 0)
			fail_msg("'%s' was taken", bad[i]);
		assert_int_equal(err.status, SL_FAILED);
		assert_non_null(strstr(err.message, "docker refuses it as well"));
		assert_non_null(strstr(err.message, i == 9 ? "line 2" : "line 1"));
		assert_null(ignore.patterns);
	}
}

static void what_is_no_text_is_refused(void **state)
{
	struct sl_error err = SL_ERROR_INIT;
	struct sl_ignore ignore;
	assert_int_equal(sl_ignore_parse("a\0b", 3, &ignore, &err), -1);
	char *wide = malloc(SL_IGNORE_LINE + 10);
	memset(wide, 'a', SL_IGNORE_LINE + 10);
	assert_int_equal(sl_ignore_parse(wide, SL_IGNORE_LINE + 10, &ignore, &err), -1);
	assert_int_equal(sl_ignore_parse(wide, SL_IGNORE_LINE - 1, &ignore, &err), 0);
	sl_ignore_release(&ignore);
	free(wide);
}

static void assert_may_return(const char *text, const char *path, bool may)
{
	struct sl_ignore ignore = parsed(text);
	if (sl_ignore_may_return(&ignore, path) != may)
		fail_msg("'%s': '%s'", text, path);
	sl_ignore_release(&ignore);
}

static void a_directory_with_an_exception_inside_is_not_passed_over(void **state)
{
	assert_may_return("node_modules", "node_modules", false);
	assert_may_return("node_modules\n!node_modules/mine", "node_modules", true);
	assert_may_return("node_modules\n!node_modules/mine", "node_modules/mine", false);
	assert_may_return("node_modules\n!node_modules/mine", "node_modules/other", false);
	assert_may_return("*\n!src", "lib", false);
	assert_may_return("*\n!src/*/x", "src/a", true);
	assert_may_return("*\n!**/x", "any/where", true);
	assert_may_return("*\n!l*/x", "lib", true);
	assert_may_return("*\n!l*/x", "src", false);
	assert_may_return("*\n!a/b/c", "a/b", true);
}

static void no_pattern_takes_long(void **state)
{
	char text[2001], path[2001];
	for (size_t i = 0; i < 2000; i++) {
		text[i] = "**/a*"[i % 5];
		path[i] = i % 7 ? 'a' : '/';
	}
	text[2000] = path[2000] = '\0';
	path[0] = 'a';
	struct sl_ignore ignore = parsed(text);
	for (int i = 0; i < 20; i++)
		assert_false(sl_ignore_matches(&ignore, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab"));
	(void)sl_ignore_matches(&ignore, path);
	sl_ignore_release(&ignore);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_cases_of_moby),
		cmocka_unit_test(the_last_pattern_decides),
		cmocka_unit_test(a_pattern_stands_for_all_below),
		cmocka_unit_test(lines_are_cleaned),
		cmocka_unit_test(case_counts_and_characters_are_not_bytes),
		cmocka_unit_test(what_docker_refuses_is_refused),
		cmocka_unit_test(what_is_no_text_is_refused),
		cmocka_unit_test(a_directory_with_an_exception_inside_is_not_passed_over),
		cmocka_unit_test(no_pattern_takes_long),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
