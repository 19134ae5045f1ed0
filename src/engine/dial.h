/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_ENGINE_DIAL_H
#define SL_ENGINE_DIAL_H

/*
 * A connection to an engine through the standard streams of a process:
 * `ssh HOST docker system dial-stdio`, as the docker CLI does it (docker/cli,
 * cli/connhelper).  ssh's own configuration, agent and known hosts apply.
 */

#include "base/child.h"
#include "base/strv.h"

/* The command that leads to ssh://[user@]host[:port][/socket].  SL_USAGE for what
 * docker does not take either: a password, a query, no host. */
int sl_dial_command(const char *url, struct sl_strv *command, struct sl_error *err) SL_MUST_CHECK;

/* One connection.  libcurl wants a socket to connect to, so there is one to listen
 * at, which nobody but this process gets an answer from. */
struct sl_dial {
	const struct sl_strv *command; /* borrowed */
	int listener;                  /* -1: none */
	char name[32];                 /* its abstract name */
	struct sl_child child;
	struct sl_buf complaint;       /* what it wrote to its standard error */
	struct sl_error error;         /* why it could not be started */
};

/* Listen; dial->name is then where. */
int sl_dial_listen(struct sl_dial *dial, const struct sl_strv *command, struct sl_error *err) SL_MUST_CHECK;

/* Once this process has connected there: start the command on that connection.
 * Does nothing before, and nothing afterwards. */
void sl_dial_serve(struct sl_dial *dial);

/* After the connection was closed. */
void sl_dial_release(struct sl_dial *dial);

/* Why the connection ended, if its process told: "" otherwise.  Copied to @line;
 * waits a moment for its last words. */
void sl_dial_complaint(struct sl_dial *dial, char *line, size_t size);

#endif
