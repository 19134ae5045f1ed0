/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster/session.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/cleanup.h"
#include "base/log.h"

#define WORDS_MAX 64
#define WRITE_SILENCE 30000
/* How long the last words of a process that no longer reads may take; milliseconds. */
#define LAST_WORDS 2000

int sl_session_token(struct sl_session *session, struct sl_error *err)
{
	unsigned char raw[10];
	if (getrandom(raw, sizeof(raw), 0) != sizeof(raw))
		return sl_error_set(err, SL_FAILED, "no random bytes");
	session->token[0] = 's';
	for (size_t i = 0; i < sizeof(raw); i++)
		snprintf(session->token + 1 + 2 * i, 3, "%02x", raw[i]);
	return 0;
}

void sl_session_attach(struct sl_session *session, struct sl_remote *remote)
{
	session->remote = remote;
}

void sl_session_release(struct sl_session *session)
{
	sl_remote_free(session->remote);
	session->remote = NULL;
	sl_buf_release(&session->answer);
	sl_buf_release(&session->complaint);
}

/* The script splits lines at blanks and expands nothing, but nothing that a shell
 * could expand belongs into a word anyway. */
static bool safe_word(const char *word)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-/:@=,+%~|\"[];";
	return *word && strspn(word, allowed) == strlen(word);
}

static int send_line(struct sl_session *session, const char *before, const char *const *words, size_t n, struct sl_error *err)
{
	sl_autobuf struct sl_buf line = SL_BUF_INIT;
	sl_buf_puts(&line, before);
	for (size_t i = 0; i < n; i++) {
		if (!safe_word(words[i]))
			return sl_error_set(err, SL_FAILED, "'%s' has characters that no image or blob name has", words[i]);
		sl_buf_printf(&line, "%s%s", i ? " " : "", words[i]);
	}
	sl_buf_puts(&line, "\n");
	if (line.failed)
		return sl_error_nomem(err);
	sl_buf_clear(&session->answer);
	sl_buf_clear(&session->complaint);
	sl_buf_clear(&session->remote->out);
	sl_buf_clear(&session->remote->err);
	sl_debug("node command: %.*s", (int)line.len - 1, line.data);
	return sl_session_write(session, line.data, line.len, WRITE_SILENCE, words[0], err);
}

int sl_session_send(struct sl_session *session, const char *const *words, size_t n, struct sl_error *err)
{
	return send_line(session, "", words, n, err);
}

int sl_session_send_last(struct sl_session *session, const char *const *words, size_t n, struct sl_error *err)
{
	return send_line(session, "quietly ", words, n, err);
}

/* Where in @buf the end line begins, and the code in it; -1 when not there yet. */
static ssize_t find_end(const struct sl_session *session, const struct sl_buf *buf, int *code)
{
	char mark[sizeof(session->token) + 3];
	size_t len = (size_t)snprintf(mark, sizeof(mark), "\n%s ", session->token);
	for (const char *at = sl_buf_text(buf), *end = at + buf->len; (at = memmem(at, (size_t)(end - at), mark, len)); at++) {
		char *rest;
		long value = strtol(at + len, &rest, 10);
		if (rest != at + len && *rest == '\n') {
			*code = (int)value;
			return at - buf->data;
		}
	}
	return -1;
}

int sl_session_receive(struct sl_session *session, int64_t limit_ms, struct sl_error *err)
{
	struct sl_remote *remote = session->remote;
	int64_t deadline = sl_now() + limit_ms;
	for (;;) {
		int code = 0;
		ssize_t out = find_end(session, &remote->out, &code);
		ssize_t complaint = out < 0 ? -1 : find_end(session, &remote->err, &code);
		if (out >= 0 && complaint >= 0) {
			if (sl_buf_add(&session->answer, remote->out.data, (size_t)out) < 0 ||
			    sl_buf_add(&session->complaint, remote->err.data, (size_t)complaint) < 0)
				return sl_error_nomem(err);
			return code;
		}
		if (remote->out.failed || remote->err.failed)
			return sl_error_set(err, SL_FAILED, "the node answers without end");
		if (remote->ended) {
			char line[256];
			sl_remote_complaint(remote, line, sizeof(line));
			return sl_error_set(err, SL_CLOSED, "the process in the node ended early%s%s", *line ? ": " : "", line);
		}
		if (remote->ops->pump(remote, false, deadline, err) < 0)
			return -1;
	}
}

int sl_session_callv(struct sl_session *session, int64_t limit_ms, const char *const *words, size_t n,
		     struct sl_error *err)
{
	return sl_session_send(session, words, n, err) < 0 ? -1 : sl_session_receive(session, limit_ms, err);
}

int sl_session_call(struct sl_session *session, int64_t limit_ms, struct sl_error *err, ...)
{
	const char *words[WORDS_MAX];
	size_t n = 0;
	va_list ap;
	va_start(ap, err);
	while (n < WORDS_MAX && (words[n] = va_arg(ap, const char *)))
		n++;
	va_end(ap);
	return sl_session_callv(session, limit_ms, words, n, err);
}

int sl_session_failed(const struct sl_session *session, const char *what, int code, struct sl_error *err)
{
	struct sl_remote view = { .err = session->complaint };
	char line[768];
	sl_remote_complaint(&view, line, sizeof(line));
	enum sl_status status = strcasestr(line, "no space left on device") ? SL_NOSPACE : SL_FAILED;
	return sl_error_set(err, status, "%s failed: %s (exit code %d)", what, *line ? line : "it gave no reason", code);
}

int sl_session_write(struct sl_session *session, const void *data, size_t len, int64_t silence_ms, const char *what, struct sl_error *err)
{
	struct sl_error why = SL_ERROR_INIT, said = SL_ERROR_INIT;
	if (sl_remote_write(session->remote, data, len, silence_ms, &why) == 0)
		return 0;
	int code = why.status == SL_INTERRUPTED ? 0 : sl_session_receive(session, LAST_WORDS, &said);
	if (code > 0)
		return sl_session_failed(session, what, code, err);
	if (err)
		*err = code < 0 && said.status == SL_CLOSED ? said : why;
	return -1;
}

char *sl_session_section(struct sl_session *session, char **at)
{
	char *from = *at ? *at : (char *)sl_buf_text(&session->answer);
	if (*at && !**at)
		return NULL;
	size_t len = strlen(session->token);
	char *end = from;
	while (*end && strncmp(end, session->token, len) != 0) {
		end += strcspn(end, "\n");
		end += *end == '\n';
	}
	*at = end;
	if (*end) {
		*at = end + strcspn(end, "\n");
		if (**at)
			++*at;
		*end = '\0';
	}
	return from;
}

void sl_session_end(struct sl_session *session, bool done, int64_t limit_ms)
{
	struct sl_remote *remote = session->remote;
	if (!remote)
		return;
	int64_t deadline = sl_now() + limit_ms;
	remote->cancel = NULL; /* cleaning up is not to be interrupted */
	if (done) {
		static const char bye[] = "bye\n";
		(void)!sl_remote_write(remote, bye, sizeof(bye) - 1, limit_ms, NULL);
	}
	remote->ops->close_input(remote);
	while (!done && !remote->ended) {
		sl_buf_clear(&remote->out);
		sl_buf_clear(&remote->err);
		if (remote->ops->pump(remote, false, deadline, NULL) < 0)
			break;
	}
	sl_remote_free(remote);
	session->remote = NULL;
}
