/* SPDX-License-Identifier: Apache-2.0 */
#include "base/process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/child.h"
#include "base/cleanup.h"

#define PATIENCE 700  /* for its end after SIGTERM; milliseconds: whoever pressed Ctrl-C waits */
#define TICK 20       /* how late its end may be noticed; milliseconds */

/* What is there to be read now; its end closes @fd. */
static void collect(int *fd, struct sl_buf *captured)
{
	char chunk[8192];
	ssize_t n = -1;
	while (*fd >= 0 && (n = read(*fd, chunk, sizeof(chunk))) > 0)
		if (!captured->failed)
			(void)!sl_buf_add(captured, chunk, (size_t)n);
	if (n == 0) {
		close(*fd);
		*fd = -1;
	}
}

static bool has_ended(pid_t pid, int *code)
{
	int status;
	pid_t got = waitpid(pid, &status, WNOHANG);
	if (got < 0 && errno == ECHILD) { /* somebody else waited for it */
		*code = 255;
		return true;
	}
	if (got != pid)
		return false;
	*code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
	return true;
}

static int stop_all(pid_t pid)
{
	int code;
	int64_t limit = sl_now() + PATIENCE;
	kill(-pid, SIGTERM);
	while (!has_ended(pid, &code)) {
		if (sl_now() >= limit)
			kill(-pid, SIGKILL);
		poll(NULL, 0, TICK);
	}
	kill(-pid, SIGKILL); /* what it started and did not wait for */
	return -1;
}

static int wait_for(pid_t pid, int *fd, struct sl_buf *captured, const struct sl_cancel *cancel,
		    const struct sl_process_stop *stop, int64_t deadline, int *code, struct sl_error *err)
{
	while (!has_ended(pid, code)) {
		struct sl_error why = SL_ERROR_INIT;
		struct pollfd fds[1] = { { .fd = *fd, .events = POLLIN } };
		int rc = sl_wait_fds(fds, 1, cancel, sl_deadline(TICK, deadline), &why);
		if (rc < 0 && (why.status != SL_TIMEOUT || sl_now() >= deadline)) {
			if (err)
				*err = why;
			return stop_all(pid);
		}
		if (stop && stop->asked(stop->ctx)) {
			sl_error_set(err, SL_INTERRUPTED, "stopped, as its result is not wanted any more");
			return stop_all(pid);
		}
		collect(fd, captured);
	}
	collect(fd, captured);
	return 0;
}

int sl_process_run(const char *const *argv, struct sl_buf *captured, const struct sl_cancel *cancel, const struct sl_process_stop *stop,
		   int64_t deadline, int *code, struct sl_error *err)
{
	struct sl_child child;
	int output[2] = { -1, -1 };
	sl_autoclose int nothing = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (nothing < 0)
		return sl_error_errno(err, errno, "/dev/null");
	if (captured && pipe2(output, O_CLOEXEC) < 0)
		return sl_error_errno(err, errno, "no pipe for '%s'", argv[0]);
	int to = captured ? output[1] : STDERR_FILENO;
	int rc = sl_child_start_with(&child, (const int[3]){ nothing, to, to }, argv, err);
	if (captured) {
		close(output[1]);
		fcntl(output[0], F_SETFL, O_NONBLOCK);
	}
	if (rc == 0)
		rc = wait_for(child.pid, &output[0], captured, cancel, stop, deadline, code, err);
	if (output[0] >= 0)
		close(output[0]);
	return rc;
}
