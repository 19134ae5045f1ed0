/* SPDX-License-Identifier: Apache-2.0 */
#include "manifest/splice.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"

static void assert_added(struct sl_splices *splices, size_t start, size_t end, const char *text)
{
	struct sl_error err = SL_ERROR_INIT;
	assert_int_equal(sl_splices_add(splices, start, end, text, &err), 0);
}

static void edits_are_done_in_the_order_of_the_text(void **state)
{
	struct sl_error err = SL_ERROR_INIT;
	sl_autosplices struct sl_splices splices = SL_SPLICES_INIT;
	sl_autobuf struct sl_buf out = SL_BUF_INIT;
	assert_added(&splices, 6, 6, "!");
	assert_added(&splices, 3, 4, "");
	assert_added(&splices, 0, 2, "AB");
	assert_int_equal(sl_splices_apply(&splices, "abcdef", 6, &out, &err), 0);
	assert_string_equal(sl_buf_text(&out), "ABcef!");
}

static void insertions_at_one_place_keep_their_order(void **state)
{
	struct sl_error err = SL_ERROR_INIT;
	sl_autosplices struct sl_splices splices = SL_SPLICES_INIT;
	sl_autobuf struct sl_buf out = SL_BUF_INIT;
	for (const char *word = "12345678"; *word; word++)
		assert_added(&splices, 1, 1, (const char[]){ *word, '\0' });
	assert_int_equal(sl_splices_apply(&splices, "ab", 2, &out, &err), 0);
	assert_string_equal(sl_buf_text(&out), "a12345678b");
}

static void nothing_to_do_copies_the_text(void **state)
{
	struct sl_error err = SL_ERROR_INIT;
	sl_autosplices struct sl_splices splices = SL_SPLICES_INIT;
	sl_autobuf struct sl_buf out = SL_BUF_INIT;
	assert_int_equal(sl_splices_apply(&splices, "a\0b", 3, &out, &err), 0);
	assert_int_equal(out.len, 3);
	assert_memory_equal(out.data, "a\0b", 3);
}

static void overlap_is_refused(void **state)
{
	static const size_t ends[][2] = { { 1, 3 }, { 3, 2 }, { 3, 7 } };
	for (size_t i = 0; i < 3; i++) {
		struct sl_error err = SL_ERROR_INIT;
		sl_autosplices struct sl_splices splices = SL_SPLICES_INIT;
		sl_autobuf struct sl_buf out = SL_BUF_INIT;
		assert_added(&splices, 0, 2, "x");
		assert_added(&splices, ends[i][0], ends[i][1], "y");
		assert_int_equal(sl_splices_apply(&splices, "abcdef", 6, &out, &err), -1);
		assert_int_equal(err.status, SL_FAILED);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(edits_are_done_in_the_order_of_the_text),
		cmocka_unit_test(insertions_at_one_place_keep_their_order),
		cmocka_unit_test(nothing_to_do_copies_the_text),
		cmocka_unit_test(overlap_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
