/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_CLUSTER_SESSION_H
#define SL_CLUSTER_SESSION_H

/*
 * A conversation with a script that runs in a node: one process for all that a
 * load has to ask and do there.  Commands are lines; each answer ends with the
 * session's token and an exit code, on both output streams.  When the connection
 * breaks, the script cleans up by itself, so a killed sidelift leaves nothing.
 *
 * Words of a command are made here from checked values only; sl_session_call()
 * refuses any that the script's shell could take for something else.
 */

#include "base/remote.h"

struct sl_session {
	struct sl_remote *remote; /* owned */
	char token[24];           /* unguessable, so no output can fake an end */
	struct sl_buf answer;     /* of the last call, without the end line */
	struct sl_buf complaint;  /* what the last call wrote to its standard error */
};

/* Make up a session's token. */
int sl_session_token(struct sl_session *session, struct sl_error *err) SL_MUST_CHECK;

/* Give the session its process. */
void sl_session_attach(struct sl_session *session, struct sl_remote *remote);
void sl_session_release(struct sl_session *session);

/* Send the words up to a NULL as one command and collect its answer, waiting
 * @limit_ms at most.  Returns the command's exit code; -1 with @err when there is
 * no answer. */
int sl_session_call(struct sl_session *session, int64_t limit_ms, struct sl_error *err, ...) SL_MUST_CHECK;
int sl_session_callv(struct sl_session *session, int64_t limit_ms, const char *const *words, size_t n,
		     struct sl_error *err) SL_MUST_CHECK;

/* The two halves of a call whose command reads frames in between. */
int sl_session_send(struct sl_session *session, const char *const *words, size_t n, struct sl_error *err) SL_MUST_CHECK;
int sl_session_receive(struct sl_session *session, int64_t limit_ms, struct sl_error *err) SL_MUST_CHECK;

/* What a command reads in between.  When the process no longer reads, @err is what it
 * answered or said itself, @what being the name of its failure. */
int sl_session_write(struct sl_session *session, const void *data, size_t len, int64_t silence_ms, const char *what,
		     struct sl_error *err) SL_MUST_CHECK;

/* Send a command that has no answer, and behind which comes nothing but more of them
 * and the end: nobody waits for it. */
int sl_session_send_last(struct sl_session *session, const char *const *words, size_t n, struct sl_error *err) SL_MUST_CHECK;

/* An error from a command that failed: its own last words. */
int sl_session_failed(const struct sl_session *session, const char *what, int code, struct sl_error *err);

/* The next section of the answer, which ends at a line that begins with the
 * token, or at the end; *at starts as NULL.  The section is cut off in place and
 * borrowed; NULL when there is none. */
char *sl_session_section(struct sl_session *session, char **at);

/* End the conversation: with @done everything was finished; otherwise the script
 * takes back what is half done, and it is waited for up to @limit_ms. */
void sl_session_end(struct sl_session *session, bool done, int64_t limit_ms);

#endif
