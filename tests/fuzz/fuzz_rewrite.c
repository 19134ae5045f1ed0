/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Any text is either refused, with a message, or rewritten so that a second run
 * finds nothing to do and the edits are the whole difference.  That the result
 * means the same is what the rewrite itself checks (manifest/check.h).
 *
 *	make BUILD=fuzz fuzzers
 *	build/fuzz/fuzz/fuzz_rewrite tests/fuzz/corpus/rewrite tests/integration/manifests
 *
 * tests/unit/test_rewrite_corpus.c replays both directories with any compiler.
 */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "manifest/diff.h"
#include "manifest/lint.h"
#include "manifest/rewrite.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(what) \
	do {          \
		if (!(what)) \
			abort(); \
	} while (0)

/* The splices are in order, and what is between them is the original. */
static void require_only_splices(const char *text, size_t len, const struct sl_rewrite *rewrite)
{
	const char *out = sl_buf_text(&rewrite->text);
	size_t done = 0, at = 0;
	for (size_t i = 0; i < rewrite->splices.n; i++) {
		const struct sl_splice *splice = &rewrite->splices.items[i];
		REQUIRE(!memcmp(text + done, out + at, splice->start - done));
		at += splice->start - done;
		REQUIRE(!memcmp(out + at, splice->text, strlen(splice->text)));
		at += strlen(splice->text);
		done = splice->end;
	}
	REQUIRE(rewrite->text.len - at == len - done && !memcmp(text + done, out + at, len - done));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char app[] = "docker.io/library/app:dev", a[] = "docker.io/library/a:latest";
	static char *items[] = { app, a };
	static const struct sl_strv images = { items, 2 };
	static const struct sl_rewrite_rules rules = { .images = &images, .policy = "Never", .drop_pull_secrets = true };

	struct sl_error err = SL_ERROR_INIT;
	sl_autorewrite struct sl_rewrite once = SL_REWRITE_INIT;
	sl_autorewrite struct sl_rewrite twice = SL_REWRITE_INIT;
	sl_autobuf struct sl_buf diff = SL_BUF_INIT;
	const char *text = (const char *)data;
	if (sl_rewrite_text("input", text, size, &rules, &once, &err) < 0) {
		REQUIRE(err.status == SL_FAILED && !strncmp(err.message, "input:", 6));
		return 0;
	}
	require_only_splices(text, size, &once);
	sl_autofindings struct sl_findings findings = SL_FINDINGS_INIT;
	REQUIRE(sl_lint_text("input", text, size, &rules, NULL, &findings, &err) == 0);
	REQUIRE(sl_diff_unified("input", text, size, &once, &diff, &err) == 0);
	REQUIRE(!diff.len == !once.splices.n);
	REQUIRE(sl_rewrite_text("input", sl_buf_text(&once.text), once.text.len, &rules, &twice, &err) == 0);
	REQUIRE(twice.splices.n == 0 && twice.chosen == once.chosen);
	return 0;
}
