/* SPDX-License-Identifier: Apache-2.0 */
#include "base/cancel.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

int sl_cancel_init(struct sl_cancel *cancel, struct sl_error *err)
{
	int fds[2];
	*cancel = (struct sl_cancel)SL_CANCEL_INIT;
	if (pipe(fds) < 0)
		return sl_error_errno(err, errno, "pipe");
	for (int i = 0; i < 2; i++) {
		fcntl(fds[i], F_SETFD, FD_CLOEXEC);
		fcntl(fds[i], F_SETFL, O_NONBLOCK);
	}
	cancel->fd = fds[0];
	cancel->writer = fds[1];
	return 0;
}

void sl_cancel_release(struct sl_cancel *cancel)
{
	if (cancel->fd >= 0)
		close(cancel->fd);
	if (cancel->writer >= 0)
		close(cancel->writer);
	*cancel = (struct sl_cancel)SL_CANCEL_INIT;
}

void sl_cancel_fire(struct sl_cancel *cancel, int reason)
{
	if (cancel->reason)
		return;
	cancel->reason = reason;
	int saved = errno;
	if (write(cancel->writer, "!", 1) < 0) {
		/* the pipe is full only if it was written to already */
	}
	errno = saved;
}

int64_t sl_now(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

int64_t sl_deadline(int64_t ms, int64_t limit)
{
	if (ms == SL_NEVER)
		return limit;
	int64_t at = sl_now() + ms;
	return at < limit ? at : limit;
}

int sl_wait_fds(struct pollfd *fds, size_t n, const struct sl_cancel *cancel, int64_t deadline, struct sl_error *err)
{
	struct pollfd all[SL_WAIT_MAX + 1];
	memcpy(all, fds, n * sizeof(*fds));
	all[n] = (struct pollfd){ .fd = cancel ? cancel->fd : -1, .events = POLLIN };
	for (;;) {
		int64_t left = deadline == SL_NEVER ? 60000 : deadline - sl_now();
		if (left < 0)
			left = 0;
		if (left > 60000)
			left = 60000;
		int ready = poll(all, n + 1, (int)left);
		if (ready < 0 && errno != EINTR)
			return sl_error_errno(err, errno, "poll");
		if (sl_cancelled(cancel))
			return sl_error_set(err, SL_INTERRUPTED, "interrupted");
		bool any = false;
		for (size_t i = 0; i < n; i++) {
			fds[i].revents = ready > 0 ? all[i].revents : 0;
			any = any || fds[i].revents;
		}
		if (any)
			return 0;
		if (deadline != SL_NEVER && sl_now() >= deadline)
			return sl_error_set(err, SL_TIMEOUT, "no answer in time");
	}
}

int sl_wait_fd(int fd, short events, const struct sl_cancel *cancel, int64_t deadline, struct sl_error *err)
{
	struct pollfd one = { .fd = fd, .events = events };
	return sl_wait_fds(&one, 1, cancel, deadline, err) < 0 ? -1 : one.revents;
}
