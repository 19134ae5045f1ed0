/* SPDX-License-Identifier: Apache-2.0 */
#include "base/child.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static int set_attributes(posix_spawnattr_t *attributes)
{
	sigset_t signals;
	sigemptyset(&signals);
	int rc = posix_spawnattr_setsigmask(attributes, &signals);
	sigaddset(&signals, SIGPIPE);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGHUP);
	rc |= posix_spawnattr_setsigdefault(attributes, &signals);
	return rc | posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
}

static int spawn(const char *const *argv, const int streams[3], pid_t *pid)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	if (posix_spawn_file_actions_init(&actions))
		return ENOMEM;
	if (posix_spawnattr_init(&attributes)) {
		posix_spawn_file_actions_destroy(&actions);
		return ENOMEM;
	}
	int rc = set_attributes(&attributes);
	for (int i = 0; i < 3; i++)
		rc = rc ? rc : posix_spawn_file_actions_adddup2(&actions, streams[i], i);
	rc = rc ? rc : posix_spawnp(pid, argv[0], &actions, &attributes, (char *const *)argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	posix_spawnattr_destroy(&attributes);
	return rc;
}

int sl_child_start_with(struct sl_child *child, const int streams[3], const char *const *argv, struct sl_error *err)
{
	*child = (struct sl_child){ .fd = -1, .err_fd = -1 };
	int rc = spawn(argv, streams, &child->pid);
	if (!rc)
		return 0;
	child->pid = 0;
	if (rc == ENOENT)
		return sl_error_set(err, SL_NOT_FOUND, "there is no program '%s' here; install it", argv[0]);
	return sl_error_errno(err, rc, "'%s' cannot be started", argv[0]);
}

int sl_child_start_on(struct sl_child *child, int streams, const char *const *argv, struct sl_error *err)
{
	int errors[2] = { -1, -1 };
	*child = (struct sl_child){ .fd = -1, .err_fd = -1 };
	if (pipe2(errors, O_CLOEXEC) < 0)
		return sl_error_errno(err, errno, "no pipe for '%s'", argv[0]);
	int rc = sl_child_start_with(child, (const int[3]){ streams, streams, errors[1] }, argv, err);
	close_fd(&errors[1]);
	if (rc < 0) {
		close_fd(&errors[0]);
		return -1;
	}
	fcntl(errors[0], F_SETFL, O_NONBLOCK);
	child->err_fd = errors[0];
	return 0;
}

int sl_child_start(struct sl_child *child, const char *const *argv, struct sl_error *err)
{
	int streams[2];
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, streams) < 0)
		return sl_error_errno(err, errno, "no socket for '%s'", argv[0]);
	int rc = sl_child_start_on(child, streams[1], argv, err);
	close_fd(&streams[1]);
	if (rc < 0) {
		close_fd(&streams[0]);
		return -1;
	}
	fcntl(streams[0], F_SETFL, O_NONBLOCK);
	child->fd = streams[0];
	return 0;
}

bool sl_child_read_errors(struct sl_child *child, struct sl_buf *text)
{
	char chunk[4096];
	ssize_t n = -1;
	bool any = false;
	while (child->err_fd >= 0 && (n = read(child->err_fd, chunk, sizeof(chunk))) > 0) {
		any = true;
		if (!text->failed)
			(void)!sl_buf_add(text, chunk, (size_t)n);
	}
	if (n == 0)
		close_fd(&child->err_fd);
	return any;
}

/* Whether it ended within @ms; its exit code. */
static bool ended(pid_t pid, int64_t ms, int *code)
{
	int64_t deadline = sl_now() + ms;
	for (;;) {
		int status;
		pid_t got = waitpid(pid, &status, WNOHANG);
		if (got == pid) {
			*code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
			return true;
		}
		if (got < 0 && errno == ECHILD) { /* somebody else waited for it: its ID may be another's by now */
			*code = 255;
			return true;
		}
		if (sl_now() >= deadline)
			return false;
		poll(NULL, 0, 2);
	}
}

int sl_child_end(struct sl_child *child, int64_t patience_ms)
{
	int code = 0;
	if (!child->pid)
		return 0;
	close_fd(&child->fd);
	close_fd(&child->err_fd);
	if (!ended(child->pid, patience_ms, &code)) {
		kill(child->pid, SIGTERM);
		if (!ended(child->pid, patience_ms, &code)) {
			kill(child->pid, SIGKILL);
			ended(child->pid, SL_NEVER - sl_now(), &code);
		}
	}
	child->pid = 0;
	return code;
}
