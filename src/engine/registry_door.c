/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/registry_door.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Connections that have said nothing yet; the oldest gives place. */
#define SILENT_MAX 16
#define CLIENT_HELLO 0x16

struct sl_door {
	int listener, stop[2];
	pthread_t thread;
	bool running;
	void (*visitor)(void *ctx, int fd, const struct sockaddr *address, socklen_t len);
	void *ctx;
	struct pollfd fds[2 + SILENT_MAX]; /* stop, listener, the silent ones */
	struct sockaddr_in addresses[2 + SILENT_MAX];
	nfds_t n;
};

/* Its place is taken by the ones behind it. */
static void forget(struct sl_door *door, nfds_t i)
{
	door->n--;
	memmove(&door->fds[i], &door->fds[i + 1], (door->n - i) * sizeof(door->fds[0]));
	memmove(&door->addresses[i], &door->addresses[i + 1], (door->n - i) * sizeof(door->addresses[0]));
}

static void turn_away(int fd)
{
	static const char answer[] = "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
	char rest[4096];
	/* what is left unread would make it a reset */
	while (recv(fd, rest, sizeof(rest), MSG_DONTWAIT) > 0)
		;
	(void)!send(fd, answer, strlen(answer), MSG_NOSIGNAL | MSG_DONTWAIT);
	shutdown(fd, SHUT_WR);
	close(fd);
}

static void look_at(struct sl_door *door, nfds_t i)
{
	int fd = door->fds[i].fd;
	struct sockaddr_in address = door->addresses[i];
	unsigned char first = 0;
	ssize_t n = recv(fd, &first, 1, MSG_PEEK | MSG_DONTWAIT);
	forget(door, i);
	if (n <= 0)
		close(fd);
	else if (first == CLIENT_HELLO)
		turn_away(fd);
	else
		door->visitor(door->ctx, fd, (const struct sockaddr *)&address, sizeof(address));
}

static void let_in(struct sl_door *door)
{
	struct sockaddr_in address;
	socklen_t len = sizeof(address);
	int fd = accept4(door->listener, (struct sockaddr *)&address, &len, SOCK_CLOEXEC);
	if (fd < 0)
		return;
	if (door->n == 2 + SILENT_MAX) {
		close(door->fds[2].fd);
		forget(door, 2);
	}
	door->fds[door->n] = (struct pollfd){ .fd = fd, .events = POLLIN };
	door->addresses[door->n++] = address;
}

static void *keep_door(void *ctx)
{
	struct sl_door *door = ctx;
	while (!door->fds[0].revents) {
		if (poll(door->fds, door->n, -1) < 0 && errno != EINTR)
			break;
		for (nfds_t i = door->n; i-- > 2;)
			if (door->fds[i].revents)
				look_at(door, i);
		if (door->fds[1].revents)
			let_in(door);
	}
	return NULL;
}

static int listen_at(int port)
{
	const struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), on = 1;
	if (fd >= 0 && (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
			bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 || listen(fd, 64) < 0)) {
		int saved = errno;
		close(fd);
		errno = saved;
		return -1;
	}
	return fd;
}

struct sl_door *sl_door_open(int first, int n, int *port, void (*visitor)(void *ctx, int fd, const struct sockaddr *address, socklen_t len),
			     void *ctx, struct sl_error *err)
{
	struct sl_door *door = calloc(1, sizeof(*door));
	if (!door) {
		sl_error_nomem(err);
		return NULL;
	}
	*door = (struct sl_door){ .listener = -1, .stop = { -1, -1 }, .visitor = visitor, .ctx = ctx, .n = 2 };
	for (int i = 0; i < n && door->listener < 0; i++) {
		*port = first + i;
		door->listener = listen_at(*port);
	}
	if (door->listener < 0 || pipe2(door->stop, O_CLOEXEC) < 0) {
		sl_error_errno(err, errno, "none of the ports %d to %d at 127.0.0.1 can be listened at", first, first + n - 1);
		sl_door_close(door);
		return NULL;
	}
	door->fds[0] = (struct pollfd){ .fd = door->stop[0], .events = POLLIN };
	door->fds[1] = (struct pollfd){ .fd = door->listener, .events = POLLIN };
	if (pthread_create(&door->thread, NULL, keep_door, door) != 0) {
		sl_error_nomem(err);
		sl_door_close(door);
		return NULL;
	}
	door->running = true;
	return door;
}

void sl_door_close(struct sl_door *door)
{
	if (!door)
		return;
	if (door->running) {
		close(door->stop[1]);
		door->stop[1] = -1;
		pthread_join(door->thread, NULL);
	}
	for (nfds_t i = 2; i < door->n; i++)
		close(door->fds[i].fd);
	for (int i = 0; i < 2; i++)
		if (door->stop[i] >= 0)
			close(door->stop[i]);
	if (door->listener >= 0)
		close(door->listener);
	free(door);
}
