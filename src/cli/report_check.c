/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/report_check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"

#define JSON_VERSION 1

void sl_check_release(struct sl_check *check)
{
	for (size_t i = 0; i < check->n_files; i++) {
		free(check->files[i].name);
		sl_findings_release(&check->files[i].findings);
	}
	free(check->files);
	*check = (struct sl_check){ 0 };
}

int sl_check_text(struct sl_check *check, const char *name, const struct sl_buf *text, const struct sl_rewrite_rules *rules,
		  const struct sl_lint_cluster *cluster, struct sl_error *err)
{
	sl_autofindings struct sl_findings findings = SL_FINDINGS_INIT;
	if (sl_lint_text(name, sl_buf_text(text), text->len, rules, cluster, &findings, err) < 0)
		return -1;
	if (!findings.n)
		return 0;
	sl_autofree char *copy = strdup(name);
	struct sl_checked *files = realloc(check->files, (check->n_files + 1) * sizeof(*files));
	if (files)
		check->files = files;
	if (!copy || !files)
		return sl_error_nomem(err);
	files[check->n_files++] = (struct sl_checked){ SL_STEAL(copy), findings };
	check->n += findings.n;
	findings = (struct sl_findings)SL_FINDINGS_INIT;
	return 0;
}

static void print_json(const struct sl_check *check)
{
	json_t *list = json_array();
	for (size_t i = 0; i < check->n_files; i++) {
		const struct sl_checked *file = &check->files[i];
		for (size_t j = 0; j < file->findings.n; j++) {
			const struct sl_finding *found = &file->findings.items[j];
			json_array_append_new(list, json_pack("{s:s, s:i, s:i, s:s, s:s}", "file", file->name, "line", (int)found->line, "column",
							      (int)found->column, "rule", sl_lint_word(found->rule), "message", found->message));
		}
	}
	sl_autojson json_t *json = json_pack("{s:i, s:s, s:o}", "version", JSON_VERSION, "kind", "CheckResult", "findings", list);
	json_dumpf(json, stdout, JSON_INDENT(2));
	putchar('\n');
}

void sl_check_print(const struct sl_check *check, bool json)
{
	if (json) {
		print_json(check);
		return;
	}
	for (size_t i = 0; i < check->n_files; i++) {
		const struct sl_checked *file = &check->files[i];
		for (size_t j = 0; j < file->findings.n; j++) {
			const struct sl_finding *found = &file->findings.items[j];
			printf("%s:%u:%u: %s [%s]\n", file->name, found->line, found->column, found->message, sl_lint_word(found->rule));
		}
	}
}
