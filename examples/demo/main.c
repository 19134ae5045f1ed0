/* SPDX-License-Identifier: Apache-2.0 */
/* The demo's application: answers every request with what was compiled in. */
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef NONCE
#define NONCE "no nonce"
#endif

static void on_term(int signo)
{
	(void)signo;
	_exit(0);
}

int main(void)
{
	static const char body[] = NONCE "\n";
	char head[128], request[4096];
	int one = 1, fd = socket(AF_INET, SOCK_STREAM, 0);
	struct sockaddr_in addr = { .sin_family = AF_INET, .sin_port = htons(8080) };
	signal(SIGTERM, on_term); /* as process 1 there is no default action */
	signal(SIGPIPE, SIG_IGN);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0 || listen(fd, 16) < 0) {
		perror("port 8080");
		return 1;
	}
	printf("serving %s", body);
	fflush(stdout);
	int len = snprintf(head, sizeof(head), "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n", strlen(body));
	for (;;) {
		int peer = accept(fd, NULL, NULL);
		if (peer < 0)
			continue;
		if (read(peer, request, sizeof(request)) > 0 && write(peer, head, (size_t)len) == len)
			(void)!write(peer, body, strlen(body));
		close(peer);
	}
}
