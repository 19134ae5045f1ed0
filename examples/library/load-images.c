/* SPDX-License-Identifier: Apache-2.0 */
/*
 * load-images IMAGE...: load images into the active local cluster, and say of each
 * node how it went.  Ctrl-C gives up cleanly.
 */
#define _POSIX_C_SOURCE 200809L
#include <sidelift.h>
#include <signal.h>
#include <stdio.h>

static struct sidelift *session;

static void on_signal(int signo)
{
	sidelift_cancel(session, signo);
}

static void print_warning(enum sl_log_level level, const char *line, void *ctx)
{
	(void)level;
	fprintf(ctx, "load-images: warning: %s\n", line);
}

static void print_node(const struct sidelift_node *node)
{
	switch (node->outcome) {
	case SIDELIFT_PRESENT:
		printf("%s: present already\n", node->name);
		break;
	case SIDELIFT_LOADED:
		printf("%s: loaded, %zu layer%s, %.1f MB in %.1f s\n", node->name, node->layers, node->layers == 1 ? "" : "s",
		       (double)node->bytes / 1e6, node->seconds);
		break;
	case SIDELIFT_FAILED:
		printf("%s: failed: %s\n", node->name, node->error);
		break;
	}
}

static void print_result(const struct sidelift_result *result)
{
	if (result->shared)
		printf("nothing to load: %s\n", result->shared);
	for (size_t i = 0; i < result->n_nodes; i++)
		print_node(result->nodes[i]);
}

int main(int argc, char **argv)
{
	struct sl_error err = SL_ERROR_INIT;
	struct sidelift_options options = { .size = sizeof(options) };
	struct sigaction action = { .sa_handler = on_signal };
	struct sidelift_result *result = NULL;

	if (argc < 2) {
		fprintf(stderr, "usage: load-images IMAGE...\n");
		return 2;
	}
	sidelift_set_log(SL_LOG_WARN, print_warning, stderr);
	session = sidelift_open(&options, &err);
	if (!session) {
		fprintf(stderr, "load-images: %s\n", err.message);
		return sl_status_exit_code(err.status);
	}
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);

	int rc = sidelift_load(session, (const char *const *)argv + 1, (size_t)argc - 1, &result, &err);
	if (result)
		print_result(result);
	if (rc < 0)
		fprintf(stderr, "load-images: %s\n", err.message);
	sidelift_result_free(result);

	int signo = sidelift_cancelled(session);
	signal(SIGINT, SIG_DFL);
	signal(SIGTERM, SIG_DFL);
	sidelift_close(session);
	if (fflush(stdout) == EOF)
		return 1;
	return rc < 0 && signo ? 128 + signo : sl_status_exit_code(err.status);
}
