/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/dial.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cleanup.h"

/* How long the process may take to end, and to say why; milliseconds. */
#define PATIENCE 1000

static int bad(struct sl_error *err, const char *url, const char *why)
{
	return sl_error_set(err, SL_USAGE, "engine address '%s' %s; it should look like ssh://user@host or ssh://user@host:22", url, why);
}

/* user, host, port and path of what follows "ssh://", each NULL when absent. */
struct parts {
	char *user, *host, *port, *path;
};

static int take_apart(const char *url, char *text, struct parts *parts, struct sl_error *err)
{
	char *slash = strchr(text, '/');
	if (strpbrk(text, "?#"))
		return bad(err, url, "has a query or a fragment");
	if (slash) {
		if (slash[1] && !(parts->path = strdup(slash)))
			return sl_error_nomem(err);
		*slash = '\0';
	}
	char *at = strrchr(text, '@');
	if (at) {
		*at = '\0';
		parts->user = text;
		text = at + 1;
		if (strchr(parts->user, ':'))
			return bad(err, url, "has a password in it, which ssh does not take");
	}
	parts->host = text;
	char *end = text;
	if (*text == '[') { /* an IPv6 address */
		parts->host = text + 1;
		end = strchr(text, ']');
		if (!end)
			return bad(err, url, "has no end of its IPv6 address");
		*end++ = '\0';
	}
	char *colon = strchr(end, ':');
	if (colon) {
		*colon = '\0';
		parts->port = colon + 1;
		if (!*parts->port || strspn(parts->port, "0123456789") != strlen(parts->port))
			return bad(err, url, "has a port that is no number");
	}
	return *parts->host ? 0 : bad(err, url, "has no host");
}

/* No terminal to ask at, and an end to waiting, as docker sets them. */
static int add_words(const struct parts *parts, struct sl_strv *command)
{
	int rc = sl_strv_add(command, "ssh") | sl_strv_add(command, "-o") | sl_strv_add(command, "ConnectTimeout=10") |
		 sl_strv_add(command, "-T");
	if (parts->user)
		rc |= sl_strv_add(command, "-l") | sl_strv_add(command, parts->user);
	if (parts->port)
		rc |= sl_strv_add(command, "-p") | sl_strv_add(command, parts->port);
	rc |= sl_strv_add(command, "--") | sl_strv_add(command, parts->host) | sl_strv_add(command, "docker");
	if (parts->path) {
		sl_autobuf struct sl_buf host = SL_BUF_INIT;
		sl_buf_printf(&host, "unix://%s", parts->path);
		rc |= sl_strv_add(command, "--host") | sl_strv_add(command, sl_buf_text(&host));
	}
	return rc | sl_strv_add(command, "system") | sl_strv_add(command, "dial-stdio");
}

/* ssh hands its words to a shell there. */
static bool plain(const char *path)
{
	return !path || strspn(path, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-+") == strlen(path);
}

int sl_dial_command(const char *url, struct sl_strv *command, struct sl_error *err)
{
	sl_autofree char *text = strdup(url + strlen("ssh://"));
	struct parts parts = { 0 };
	if (!text)
		return sl_error_nomem(err);
	int rc = take_apart(url, text, &parts, err);
	if (rc == 0 && !plain(parts.path))
		rc = bad(err, url, "has a socket path with characters that a shell would not leave alone");
	if (rc == 0 && add_words(&parts, command))
		rc = sl_error_nomem(err);
	free(parts.path);
	return rc;
}

int sl_dial_listen(struct sl_dial *dial, const struct sl_strv *command, struct sl_error *err)
{
	/* an address of no length: the kernel chooses a name (unix(7), autobind) */
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	socklen_t len = sizeof(address.sun_family);
	dial->command = command;
	dial->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (dial->listener < 0 || bind(dial->listener, (struct sockaddr *)&address, len) < 0 || listen(dial->listener, 8) < 0)
		return sl_error_errno(err, errno, "no socket for '%s'", command->items[0]);
	len = sizeof(address);
	if (getsockname(dial->listener, (struct sockaddr *)&address, &len) < 0)
		return sl_error_errno(err, errno, "no socket for '%s'", command->items[0]);
	size_t n = len - offsetof(struct sockaddr_un, sun_path) - 1;
	snprintf(dial->name, sizeof(dial->name), "%.*s", (int)n, address.sun_path + 1);
	return 0;
}

static bool from_ourselves(int fd)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);
	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0 && peer.pid == getpid();
}

void sl_dial_serve(struct sl_dial *dial)
{
	const char *argv[24];
	size_t n = 0;
	int fd = -1;
	while (dial->listener >= 0 && (fd = accept4(dial->listener, NULL, NULL, SOCK_CLOEXEC)) >= 0 && !from_ourselves(fd))
		close(fd);
	if (fd < 0)
		return;
	close(dial->listener);
	dial->listener = -1;
	for (; n < dial->command->n && n + 1 < sizeof(argv) / sizeof(argv[0]); n++)
		argv[n] = dial->command->items[n];
	argv[n] = NULL;
	(void)!sl_child_start_on(&dial->child, fd, argv, &dial->error);
	close(fd);
}

void sl_dial_release(struct sl_dial *dial)
{
	if (dial->listener >= 0)
		close(dial->listener);
	dial->listener = -1;
	sl_child_end(&dial->child, PATIENCE);
	sl_buf_release(&dial->complaint);
}

void sl_dial_complaint(struct sl_dial *dial, char *line, size_t size)
{
	int64_t deadline = sl_now() + PATIENCE;
	while (dial->child.pid && dial->child.err_fd >= 0 &&
	       sl_wait_fd(dial->child.err_fd, POLLIN, NULL, deadline, NULL) >= 0)
		sl_child_read_errors(&dial->child, &dial->complaint);
	const struct sl_remote view = { .err = dial->complaint };
	sl_remote_complaint(&view, line, size);
	if (!*line && dial->error.status != SL_OK)
		snprintf(line, size, "%s", dial->error.message);
}
