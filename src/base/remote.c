/* SPDX-License-Identifier: Apache-2.0 */
#include "base/remote.h"

#include <stdio.h>
#include <string.h>

int sl_remote_write(struct sl_remote *remote, const void *data, size_t len, int64_t silence_ms, struct sl_error *err)
{
	const char *p = data;
	int64_t deadline = sl_now() + silence_ms;
	while (len) {
		if (remote->ended)
			return sl_error_set(err, SL_CLOSED, "the process ended before it had read all of its input");
		ssize_t n = remote->ops->write(remote, p, len, err);
		if (n < 0)
			return -1;
		if (n > 0) {
			p += n;
			len -= (size_t)n;
			remote->sent += (uint64_t)n;
			deadline = sl_now() + silence_ms;
		} else if (remote->ops->pump(remote, true, deadline, err) < 0) {
			return -1;
		}
	}
	return 0;
}

int sl_remote_finish(struct sl_remote *remote, int *code, int64_t limit_ms, struct sl_error *err)
{
	int64_t deadline = sl_now() + limit_ms;
	remote->ops->close_input(remote);
	while (!remote->ended)
		if (remote->ops->pump(remote, false, deadline, err) < 0)
			return -1;
	return remote->ops->exit_code(remote, code, deadline, err);
}

void sl_remote_free(struct sl_remote *remote)
{
	if (remote)
		remote->ops->free(remote);
}

void sl_remote_complaint(const struct sl_remote *remote, char *line, size_t size)
{
	const char *text = sl_buf_text(&remote->err);
	const char *best = "";
	size_t best_len = 0;
	while (*text) {
		size_t len = strcspn(text, "\n");
		bool blank = strspn(text, " \t\r") >= len;
		if (!blank) {
			best = text;
			best_len = len;
		}
		if (!blank && memmem(text, len, "rror", 4))
			break;
		text += len + (text[len] == '\n');
	}
	while (best_len && strchr(" \t\r", best[best_len - 1]))
		best_len--;
	snprintf(line, size, "%.*s", (int)best_len, best);
	sl_sanitise(line);
}
