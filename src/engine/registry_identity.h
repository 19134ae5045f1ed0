/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_ENGINE_REGISTRY_IDENTITY_H
#define SL_ENGINE_REGISTRY_IDENTITY_H

/*
 * By what engines know a user's loopback registry: always the same address and
 * credential, since an engine remembers where each layer was pushed, and has room
 * for a few places only (docker's graph drivers: 50 a layer).  Kept in
 * $XDG_STATE_HOME/sidelift (~/.local/state/sidelift), which is the user's alone.
 *
 * And a journal of the tags that a push needs in the engine: what a process that
 * was killed has left there, the next one removes.
 */

#include <stdbool.h>

#include "base/error.h"

/* Ports from `port` on are tried, for processes at the same time. */
#define SL_REGISTRY_PORTS 4

#define SL_REGISTRY_USER "sidelift"

struct sl_registry_identity {
	int port;
	char secret[65];   /* the credential's password */
};

/* Read it, or make it the first time. */
int sl_registry_identity(struct sl_registry_identity *identity, struct sl_error *err) SL_MUST_CHECK;

struct sl_journal_entry; /* a tag that is there until it is struck out */

/* Note that the engine at @engine gets @tag, a line of the caller's choice.  NULL with @err. */
struct sl_journal_entry *sl_journal_note(const char *engine, const char *tag, struct sl_error *err) SL_MUST_CHECK;

/* The tag is gone (@gone), or is left to the next process.  NULL is fine. */
void sl_journal_strike(struct sl_journal_entry *entry, bool gone);

/* Call @remove for each tag that processes which are gone have left in the engine at
 * @engine; 0 from it strikes the tag out. */
void sl_journal_sweep(const char *engine, int (*remove)(void *ctx, const char *tag), void *ctx);

#endif
