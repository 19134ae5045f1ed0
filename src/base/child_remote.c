/* SPDX-License-Identifier: Apache-2.0 */
#include "base/child.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

/* How long it may take to end once its streams are closed; milliseconds. */
#define PATIENCE 2000

struct child_remote {
	struct sl_remote remote; /* first: the interface */
	struct sl_child child;
};

static struct sl_child *child_of(struct sl_remote *remote)
{
	return &((struct child_remote *)remote)->child;
}

static ssize_t child_write(struct sl_remote *remote, const void *data, size_t len, struct sl_error *err)
{
	ssize_t n = send(child_of(remote)->fd, data, len, MSG_NOSIGNAL);
	if (n >= 0)
		return n;
	if (errno == EAGAIN || errno == EINTR)
		return 0;
	return sl_error_set(err, SL_CLOSED, "the process no longer reads");
}

static void child_close_input(struct sl_remote *remote)
{
	shutdown(child_of(remote)->fd, SHUT_WR);
}

/* Bytes that were there, 0 when none yet, -1 at the end. */
static ssize_t take(struct sl_remote *remote)
{
	char chunk[65536];
	ssize_t n = recv(child_of(remote)->fd, chunk, sizeof(chunk), 0);
	if (n > 0 && !remote->out.failed)
		(void)!sl_buf_add(&remote->out, chunk, (size_t)n);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	return n > 0 ? n : -1;
}

static int child_pump(struct sl_remote *remote, bool writable, int64_t deadline, struct sl_error *err)
{
	struct sl_child *child = child_of(remote);
	bool errors = sl_child_read_errors(child, &remote->err);
	ssize_t n = take(remote);
	if (n == 0 && !errors) {
		struct pollfd fds[2] = {
			{ .fd = child->fd, .events = writable ? POLLIN | POLLOUT : POLLIN },
			{ .fd = child->err_fd, .events = POLLIN },
		};
		if (sl_wait_fds(fds, 2, remote->cancel, deadline, err) < 0)
			return -1;
		sl_child_read_errors(child, &remote->err);
		n = fds[0].revents & ~POLLOUT ? take(remote) : 0;
	}
	if (n < 0) {
		remote->ended = true;
		sl_child_read_errors(child, &remote->err);
	}
	return 0;
}

static int child_exit_code(struct sl_remote *remote, int *code, int64_t deadline, struct sl_error *err)
{
	struct sl_child *child = child_of(remote);
	sl_child_read_errors(child, &remote->err);
	int64_t left = deadline - sl_now();
	*code = sl_child_end(child, left > 0 ? left : 0);
	return 0;
}

static void child_free(struct sl_remote *remote)
{
	sl_child_end(child_of(remote), PATIENCE);
	sl_buf_release(&remote->out);
	sl_buf_release(&remote->err);
	free(remote);
}

static const struct sl_remote_ops child_ops = {
	.write = child_write,
	.close_input = child_close_input,
	.pump = child_pump,
	.exit_code = child_exit_code,
	.free = child_free,
};

void sl_child_remote_stop(struct sl_remote *remote)
{
	if (remote && child_of(remote)->pid)
		kill(child_of(remote)->pid, SIGTERM);
	sl_remote_free(remote);
}

struct sl_remote *sl_child_remote(const char *const *argv, const struct sl_cancel *cancel, struct sl_error *err)
{
	struct child_remote *self = calloc(1, sizeof(*self));
	if (!self) {
		sl_error_nomem(err);
		return NULL;
	}
	self->remote.ops = &child_ops;
	self->remote.cancel = cancel;
	if (sl_child_start(&self->child, argv, err) < 0) {
		free(self);
		return NULL;
	}
	return &self->remote;
}
