/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/shell.h"

#include <stdlib.h>
#include <string.h>

struct sl_shell {
	const char *names[4];
	const char *set, *unset; /* N stands for the name, V for the value */
	const char *special;     /* characters of a value that need an escape */
	const char *before, *after; /* it: what is put around one */
	const char *eval[2];     /* around a command whose output is to be evaluated */
};

/* The forms are those of minikube's docker-env (pkg/minikube/shell), which users
 * have in their start files; the escapes are each shell's own. */
static const struct sl_shell shells[] = {
	{ { "bash", "zsh", "sh" }, "export N=\"V\";\n", "unset N;\n", "\"\\$`", "\\", "", { "eval $(", ")" } },
	{ { "fish" }, "set -gx N \"V\";\n", "set -e N;\n", "\"\\$", "\\", "", { "", " | source" } },
	{ { "powershell", "pwsh" }, "$Env:N = \"V\"\n", "Remove-Item Env:\\\\N\n", "\"$`", "`", "", { "& ", " | Invoke-Expression" } },
	{ { "cmd" }, "SET N=V\n", "SET N=\n", "", "", "", { "@FOR /f \"tokens=*\" %i IN ('", "') DO @%i" } },
	{ { "tcsh", "csh" }, "setenv N \"V\";\n", "unsetenv N;\n", "\"\\$`!", "\"\\", "\"", { "eval `", "`" } },
	{ { "emacs" }, "(setenv \"N\" \"V\")\n", "(setenv \"N\" nil)\n", "\"\\", "\\", "", { "(with-temp-buffer (shell-command \"", "\" t) (eval-buffer))" } },
	{ { "none" }, "N=V\n", "N\n", "", "", "", { "", "" } },
};
#define N_SHELLS (sizeof(shells) / sizeof(shells[0]))

static const struct sl_shell *find(const char *name)
{
	for (size_t i = 0; i < N_SHELLS; i++)
		for (const char *const *at = shells[i].names; *at; at++)
			if (!strcmp(*at, name))
				return &shells[i];
	return NULL;
}

const struct sl_shell *sl_shell_by_name(const char *name, struct sl_error *err)
{
	if (!name) {
		const char *path = getenv("SHELL");
		const char *slash = path ? strrchr(path, '/') : NULL;
		const struct sl_shell *shell = path ? find(slash ? slash + 1 : path) : NULL;
		return shell ? shell : shells;
	}
	const struct sl_shell *shell = find(name);
	if (!shell)
		sl_error_set(err, SL_USAGE, "--shell is bash, zsh, fish, powershell, cmd, tcsh, emacs or none, not '%s'", name);
	return shell;
}

static void put(const struct sl_shell *shell, struct sl_buf *out, const char *form, const char *name, const char *value)
{
	for (; *form; form++) {
		bool is_name = *form == 'N' && (form[1] == '=' || form[1] == '"' || form[1] == ';' || form[1] == ' ' || form[1] == '\n');
		if (is_name) {
			sl_buf_puts(out, name);
		} else if (*form == 'V' && value) {
			for (const char *at = value; *at; at++) {
				bool special = strchr(shell->special, *at) != NULL;
				sl_buf_puts(out, special ? shell->before : "");
				sl_buf_add(out, at, 1);
				sl_buf_puts(out, special ? shell->after : "");
			}
		} else {
			sl_buf_add(out, form, 1);
		}
	}
}

int sl_shell_set(const struct sl_shell *shell, struct sl_buf *out, const char *name, const char *value, struct sl_error *err)
{
	for (const char *at = value; *at; at++)
		if ((unsigned char)*at < ' ' || *at == 127)
			return sl_error_set(err, SL_FAILED, "%s has a control character in its value", name);
	put(shell, out, shell->set, name, value);
	return out->failed ? sl_error_nomem(err) : 0;
}

void sl_shell_unset(const struct sl_shell *shell, struct sl_buf *out, const char *name)
{
	put(shell, out, shell->unset, name, NULL);
}

void sl_shell_hint(const struct sl_shell *shell, struct sl_buf *out, const char *command)
{
	sl_buf_printf(out, "%s%s%s", shell->eval[0], command, shell->eval[1]);
}
