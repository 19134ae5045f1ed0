/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_CLI_SHELL_H
#define SL_CLI_SHELL_H

/* Setting and unsetting environment variables in the words of many shells, to be
 * evaluated there. */

#include "base/buf.h"

struct sl_shell; /* one kind of shell */

/* By its name (bash, zsh, sh, fish, powershell, cmd, tcsh, csh, emacs, none); NULL:
 * by $SHELL, bash when that says nothing.  SL_USAGE for a name that is none. */
const struct sl_shell *sl_shell_by_name(const char *name, struct sl_error *err) SL_MUST_CHECK;

/* Append the line that sets NAME to @value.  SL_FAILED when the value has control
 * characters, which not every shell can be told. */
int sl_shell_set(const struct sl_shell *shell, struct sl_buf *out, const char *name, const char *value,
		 struct sl_error *err) SL_MUST_CHECK;
void sl_shell_unset(const struct sl_shell *shell, struct sl_buf *out, const char *name);

/* Append what has this shell evaluate the output of @command. */
void sl_shell_hint(const struct sl_shell *shell, struct sl_buf *out, const char *command);

#endif
