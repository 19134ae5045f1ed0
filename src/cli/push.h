/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_CLI_PUSH_H
#define SL_CLI_PUSH_H

/* --via: by a registry, and into no node. */

#include "cli/cli.h"
#include "flow/via.h"

/* Find the registry that @way means.  The caller releases it. */
int sl_cli_via(struct sl_cli *cli, const char *way, struct sl_via *via, struct sl_error *err) SL_MUST_CHECK;

/* Plan @push and, unless @dry_run, do it and show how far it is. */
int sl_cli_push_all(const struct sl_cli *cli, struct sl_via_push *push, bool dry_run, struct sl_error *err) SL_MUST_CHECK;

/* Push what @load is to have - the images @references, of those only what the engine has
 * where @known_only, or load->archive - to the registry that @way means, and report it. */
int sl_cli_push(struct sl_cli *cli, const char *way, struct sl_load *load, const struct sl_strv *references, bool known_only, bool dry_run,
		struct sl_error *err) SL_MUST_CHECK;

#endif
