/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Replays, with any compiler, what the fuzzer of `rewrite` starts from and what it
 * found.  Run from the top of the source tree.
 */

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/file.h"

#include "../fuzz/fuzz_rewrite.c"

static void replay(const char *directory)
{
	DIR *dir = opendir(directory);
	assert_non_null(dir);
	size_t n = 0;
	for (const struct dirent *entry; (entry = readdir(dir)) != NULL;) {
		if (entry->d_name[0] == '.')
			continue;
		char path[512];
		snprintf(path, sizeof(path), "%s/%s", directory, entry->d_name);
		struct sl_error err = SL_ERROR_INIT;
		sl_autobuf struct sl_buf text = SL_BUF_INIT;
		assert_int_equal(sl_file_read(path, &text, &err), 0);
		/* exactly as large as the text, for the sanitiser to see the end */
		sl_autofree uint8_t *data = malloc(text.len ? text.len : 1);
		memcpy(data, sl_buf_text(&text), text.len);
		LLVMFuzzerTestOneInput(data, text.len);
		n++;
	}
	closedir(dir);
	assert_true(n > 0);
}

static void corpus_holds_what_the_fuzzer_demands(void **state)
{
	replay("tests/fuzz/corpus/rewrite");
}

static void fixtures_hold_what_the_fuzzer_demands(void **state)
{
	replay("tests/integration/manifests");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(corpus_holds_what_the_fuzzer_demands),
		cmocka_unit_test(fixtures_hold_what_the_fuzzer_demands),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
