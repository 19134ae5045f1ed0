/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_ENGINE_REGISTRY_DOOR_H
#define SL_ENGINE_REGISTRY_DOOR_H

/*
 * The port of the loopback registry.  An engine tries TLS first; a ClientHello is
 * answered with a plain HTTP 400, from which it learns to go on without.
 */

#include <sys/socket.h>

#include "base/error.h"

struct sl_door;

/* Listen at 127.0.0.1 on the first free one of @n ports from @first on (*port), and
 * give each connection that speaks HTTP to @visitor, which owns it then; from a
 * thread of its own. */
struct sl_door *sl_door_open(int first, int n, int *port, void (*visitor)(void *ctx, int fd, const struct sockaddr *address, socklen_t len),
			     void *ctx, struct sl_error *err) SL_MUST_CHECK;
void sl_door_close(struct sl_door *door); /* NULL is fine */

#endif
