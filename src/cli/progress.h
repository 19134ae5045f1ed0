/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_CLI_PROGRESS_H
#define SL_CLI_PROGRESS_H

/*
 * What the user sees on standard error while a load runs: a line a node with the
 * bytes that went in, redrawn on a terminal, one line a change elsewhere.
 */

#include "flow/load.h"

struct sl_progress;

/* Begin showing @load; @mode is auto, tty, plain, json or none.  NULL when
 * nothing is to be shown. */
struct sl_progress *sl_progress_start(const struct sl_load *load, const char *mode);

/* Show the last state and stop.  NULL is fine. */
void sl_progress_stop(struct sl_progress *progress);

/* Beside a load: that @what (a phase, a workload) has come so far, on a line of its own;
 * @how says it in words, or @seconds how long it took (negative: it is not over). */
void sl_progress_note(const char *mode, const char *what, const char *how, double seconds);

#endif
