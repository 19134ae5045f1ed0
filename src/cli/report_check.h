/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_CLI_REPORT_CHECK_H
#define SL_CLI_REPORT_CHECK_H

/* What `rewrite --check` found, on standard output: "FILE:LINE:COLUMN: message [rule]",
 * or one JSON object (docs/sidelift.1, "JSON"). */

#include "manifest/lint.h"

/* Of one file. */
struct sl_checked {
	char *name;
	struct sl_findings findings;
};

struct sl_check {
	struct sl_checked *files; /* that something was found in */
	size_t n_files;
	size_t n;                 /* findings, of all */
};

/* Check @text, called @name. */
int sl_check_text(struct sl_check *check, const char *name, const struct sl_buf *text, const struct sl_rewrite_rules *rules,
		  const struct sl_lint_cluster *cluster, struct sl_error *err) SL_MUST_CHECK;

void sl_check_print(const struct sl_check *check, bool json);
void sl_check_release(struct sl_check *check);

#endif
