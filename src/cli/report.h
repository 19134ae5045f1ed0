/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_CLI_REPORT_H
#define SL_CLI_REPORT_H

/* What a load came to, on standard output: for people, or as one JSON object
 * (docs/sidelift.1, "JSON"). */

#include "cli/cli.h"
#include "flow/load.h"
#include "flow/up.h"
#include "flow/via.h"

/* @failure: the error that ends the command, or NULL. */
void sl_report_load(const struct sl_cli *cli, const struct sl_load *load, const struct sl_error *failure);

/* What would be done, in bytes (cli/report_plan.c). */
int sl_report_plan(const struct sl_cli *cli, const struct sl_load *load, struct sl_error *err) SL_MUST_CHECK;

/* What a push came to, or (@plan) what it would send (cli/report_push.c). */
int sl_report_push(const struct sl_cli *cli, const struct sl_via_push *push, bool plan, const struct sl_error *failure, struct sl_error *err) SL_MUST_CHECK;

/* The images' names, digests and layers, for people. */
void sl_report_images(const struct sl_load *load);

/* Where a workload runs, for people, on a line; and its state in a word, static. */
void sl_report_workload(const struct sl_up_workload *workload);
const char *sl_report_state(const struct sl_up_workload *workload);

#endif
