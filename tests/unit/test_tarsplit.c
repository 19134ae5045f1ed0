/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "image/tarsplit.h"

static char dir[64], split_path[96], root_path[96];

static int make_dir(void **state)
{
	snprintf(dir, sizeof(dir), "/tmp/sidelift-tarsplit-XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	snprintf(split_path, sizeof(split_path), "%s/split.gz", dir);
	snprintf(root_path, sizeof(root_path), "%s/diff", dir);
	return mkdir(root_path, 0755);
}

static int remove_dir(void **state)
{
	char command[128];
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	return system(command);
}

static void write_split(const char *text)
{
	gzFile gz = gzopen(split_path, "wb");
	gzwrite(gz, text, (unsigned)strlen(text));
	gzclose(gz);
}

static void write_file(const char *name, const char *text)
{
	char path[256];
	snprintf(path, sizeof(path), "%s/%s", root_path, name);
	FILE *file = fopen(path, "w");
	fputs(text, file);
	fclose(file);
}

/* Everything that comes out; -1 on failure. */
static int read_all(struct sl_buf *out, struct sl_error *err)
{
	struct sl_tarsplit *split = sl_tarsplit_open(split_path, root_path, err);
	const void *data;
	ssize_t n = -1;
	while (split && (n = sl_tarsplit_read(split, &data, err)) > 0)
		sl_buf_add(out, data, (size_t)n);
	sl_tarsplit_free(split);
	return (int)n;
}

static void assert_gives(const char *expected)
{
	struct sl_error err = SL_ERROR_INIT;
	sl_autobuf struct sl_buf out = SL_BUF_INIT;
	if (read_all(&out, &err) < 0)
		fail_msg("%s", err.message);
	assert_string_equal(sl_buf_text(&out), expected);
	assert_int_equal(sl_tarsplit_size(split_path, &err), strlen(expected));
}

static void assert_fails(const char *message)
{
	struct sl_error err = SL_ERROR_INIT;
	sl_autobuf struct sl_buf out = SL_BUF_INIT;
	assert_int_equal(read_all(&out, &err), -1);
	if (!strstr(err.message, message))
		fail_msg("'%s' does not say '%s'", err.message, message);
}

static void segments_and_files_alternate(void **state)
{
	write_file("a", "first");
	write_file("b", "2nd");
	write_split("{\"type\":2,\"payload\":\"SEVBRA==\",\"position\":0}\n"
		    "{\"type\":1,\"name\":\"a\",\"size\":5,\"payload\":\"AAAAAAAAAAA=\",\"position\":1}\n"
		    "{\"type\":2,\"payload\":\"UEFE\",\"position\":2}\n"
		    "{\"type\":1,\"name\":\"./b\",\"size\":3,\"payload\":\"AAAAAAAAAAA=\",\"position\":3}\n"
		    "{\"type\":1,\"name\":\"empty\",\"payload\":null,\"position\":4}\n"
		    "{\"type\":2,\"payload\":\"RU5E\",\"position\":5}\n");
	assert_gives("HEADfirstPAD2ndEND");
}

static void names_may_be_escaped_or_raw(void **state)
{
	write_file("a&b\"c", "x");
	write_file("\xff", "y");
	write_split("{\"type\":1,\"name\":\"a\\u0026b\\\"c\",\"size\":1,\"payload\":\"AAAAAAAAAAA=\",\"position\":0}\n"
		    "{\"type\":1,\"name_raw\":\"/w==\",\"size\":1,\"payload\":\"AAAAAAAAAAA=\",\"position\":1}\n");
	assert_gives("xy");
}

static void a_name_cannot_fake_a_field(void **state)
{
	write_file("q\",\"size\":9,\"", "z");
	write_split("{\"type\":1,\"name\":\"q\\\",\\\"size\\\":9,\\\"\",\"size\":1,\"payload\":\"AAAAAAAAAAA=\",\"position\":0}\n");
	assert_gives("z");
}

static void nothing_outside_the_layer_is_read(void **state)
{
	char secret[96], link[128];
	snprintf(secret, sizeof(secret), "%s/secret", dir);
	FILE *file = fopen(secret, "w");
	fputs("hidden", file);
	fclose(file);
	write_split("{\"type\":1,\"name\":\"../secret\",\"size\":6,\"payload\":\"AAAAAAAAAAA=\",\"position\":0}\n");
	assert_fails("No such file");
	snprintf(link, sizeof(link), "%s/up", root_path);
	assert_int_equal(symlink("..", link), 0);
	write_split("{\"type\":1,\"name\":\"up/secret\",\"size\":6,\"payload\":\"AAAAAAAAAAA=\",\"position\":0}\n");
	assert_fails("No such file");
	snprintf(link, sizeof(link), "%s/leaf", root_path);
	assert_int_equal(symlink(secret, link), 0);
	write_split("{\"type\":1,\"name\":\"leaf\",\"size\":6,\"payload\":\"AAAAAAAAAAA=\",\"position\":0}\n");
	assert_fails("symbolic links");
}

static void links_inside_the_layer_are_followed(void **state)
{
	char path[256];
	snprintf(path, sizeof(path), "%s/usr", root_path);
	mkdir(path, 0755);
	write_file("usr/x", "inside");
	snprintf(path, sizeof(path), "%s/bin", root_path);
	assert_int_equal(symlink("/usr", path), 0);
	write_split("{\"type\":1,\"name\":\"bin/x\",\"size\":6,\"payload\":\"AAAAAAAAAAA=\",\"position\":0}\n");
	assert_gives("inside");
}

static void a_file_that_shrank_is_an_error(void **state)
{
	write_file("a", "abc");
	write_split("{\"type\":1,\"name\":\"a\",\"size\":5,\"payload\":\"AAAAAAAAAAA=\",\"position\":0}\n");
	assert_fails("shorter than it was");
}

static void a_missing_file_is_named(void **state)
{
	write_split("{\"type\":1,\"name\":\"gone\",\"size\":5,\"payload\":\"AAAAAAAAAAA=\",\"position\":0}\n");
	assert_fails("the engine's copy of 'gone'");
}

static void other_forms_are_refused(void **state)
{
	write_split("{\"type\":7,\"payload\":\"\",\"position\":0}\n");
	assert_fails("unknown form");
	write_split("hello\n");
	assert_fails("unknown form");
	write_split("{\"type\":2,\"payload\":\"***=\",\"position\":0}\n");
	assert_fails("not base64");
	write_split("{\"type\":1,\"size\":5,\"payload\":\"\",\"position\":0}\n");
	assert_fails("no name");
}

static void a_cut_off_file_is_an_error(void **state)
{
	char text[8192];
	for (size_t i = 0; i + 1 < sizeof(text); i++)
		text[i] = (char)(' ' + rand() % 90);
	text[sizeof(text) - 1] = '\0';
	write_split(text);
	struct stat st;
	assert_int_equal(stat(split_path, &st), 0);
	assert_int_equal(truncate(split_path, st.st_size / 2), 0);
	struct sl_error err = SL_ERROR_INIT;
	assert_int_equal(sl_tarsplit_size(split_path, &err), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(segments_and_files_alternate, make_dir, remove_dir),
		cmocka_unit_test_setup_teardown(names_may_be_escaped_or_raw, make_dir, remove_dir),
		cmocka_unit_test_setup_teardown(a_name_cannot_fake_a_field, make_dir, remove_dir),
		cmocka_unit_test_setup_teardown(nothing_outside_the_layer_is_read, make_dir, remove_dir),
		cmocka_unit_test_setup_teardown(links_inside_the_layer_are_followed, make_dir, remove_dir),
		cmocka_unit_test_setup_teardown(a_file_that_shrank_is_an_error, make_dir, remove_dir),
		cmocka_unit_test_setup_teardown(a_missing_file_is_named, make_dir, remove_dir),
		cmocka_unit_test_setup_teardown(other_forms_are_refused, make_dir, remove_dir),
		cmocka_unit_test_setup_teardown(a_cut_off_file_is_an_error, make_dir, remove_dir),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
