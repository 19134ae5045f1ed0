/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_CLI_VARIABLES_H
#define SL_CLI_VARIABLES_H

/* What DOCKER_* and MINIKUBE_* variables do here. */

#include <stdbool.h>

#include "base/error.h"
#include "base/strv.h"

/* The names of those that are set, sorted. */
int sl_variables_list(struct sl_strv *names, struct sl_error *err) SL_MUST_CHECK;

/* What NAME does, in words; static.  @chosen: the engine was named by an option;
 * @evidence: why the engine is the one it is (sl_location). */
const char *sl_variable_effect(const char *name, bool chosen, const char *evidence);

#endif
