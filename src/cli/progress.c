/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/progress.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "cli/cli.h"

#define INTERVAL_MS 100
/* Nothing is shown of a load that is over at once; lines that stay less soon than
 * a picture that goes. */
#define QUIET_TTY_MS 300
#define QUIET_PLAIN_MS 1000
/* Without a terminal, a node that is still sending is mentioned this often. */
#define REMIND_MS 10000

enum mode { MODE_TTY, MODE_PLAIN, MODE_JSON };

struct progress_node {
	int phase;
	int64_t said; /* when it was last mentioned */
};

struct sl_progress {
	const struct sl_load *load;
	enum mode mode;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	bool stop;
	size_t drawn; /* lines on the terminal */
	struct progress_node *nodes;
};

static const char *const phase_names[] = { "waiting", "sending", "unpacking", "done" };

static const char *describe(const struct sl_load *load, int phase)
{
	if (phase == SL_PHASE_WAITING && !atomic_load(&load->exported))
		return "waiting for the export";
	return phase_names[phase];
}

static void draw(struct sl_progress *progress)
{
	const struct sl_load *load = progress->load;
	char size[16];
	struct winsize window = { .ws_col = 80 };
	ioctl(STDERR_FILENO, TIOCGWINSZ, &window);
	if (progress->drawn)
		fprintf(stderr, "\033[%zuA", progress->drawn);
	for (size_t k = 0; k < load->n_nodes; k++) {
		const struct sl_load_node *node = &load->nodes[k];
		char line[512];
		snprintf(line, sizeof(line), "  %-28s %10s  %s", node->node->name,
			 sl_human_bytes(atomic_load(&node->sent), size), describe(load, atomic_load(&node->phase)));
		fprintf(stderr, "\r\033[2K%.*s\n", window.ws_col ? window.ws_col - 1 : 79, line);
	}
	progress->drawn = load->n_nodes;
	fflush(stderr);
}

static void tell(struct sl_progress *progress, const struct sl_load_node *node, int phase)
{
	char size[16];
	uint64_t sent = atomic_load(&node->sent);
	if (progress->mode == MODE_JSON)
		fprintf(stderr, "{\"node\":\"%s\",\"phase\":\"%s\",\"sent\":%llu}\n", node->node->name, phase_names[phase],
			(unsigned long long)sent);
	else
		fprintf(stderr, "%s: %s, %s\n", node->node->name, describe(progress->load, phase), sl_human_bytes(sent, size));
}

static void list(struct sl_progress *progress)
{
	for (size_t k = 0; k < progress->load->n_nodes; k++) {
		const struct sl_load_node *node = &progress->load->nodes[k];
		struct progress_node *said = &progress->nodes[k];
		int phase = atomic_load(&node->phase);
		bool remind = phase != SL_PHASE_DONE && sl_now() - said->said > REMIND_MS;
		if (phase == said->phase && !remind)
			continue;
		said->phase = phase;
		said->said = sl_now();
		tell(progress, node, phase);
	}
}

static void show(struct sl_progress *progress)
{
	if (progress->mode == MODE_TTY)
		draw(progress);
	else
		list(progress);
}

static void *watch(void *ctx)
{
	struct sl_progress *progress = ctx;
	int64_t begin = sl_now() + (progress->mode == MODE_PLAIN ? QUIET_PLAIN_MS : QUIET_TTY_MS);
	pthread_mutex_lock(&progress->lock);
	while (!progress->stop) {
		struct timespec until;
		clock_gettime(CLOCK_REALTIME, &until);
		until.tv_nsec += INTERVAL_MS * 1000000L;
		if (until.tv_nsec >= 1000000000L) {
			until.tv_nsec -= 1000000000L;
			until.tv_sec++;
		}
		pthread_cond_timedwait(&progress->wake, &progress->lock, &until);
		if (!progress->stop && sl_now() >= begin)
			show(progress);
	}
	pthread_mutex_unlock(&progress->lock);
	return NULL;
}

static bool terminal(void)
{
	const char *term = getenv("TERM");
	return isatty(STDERR_FILENO) && term && strcmp(term, "dumb") != 0;
}

struct sl_progress *sl_progress_start(const struct sl_load *load, const char *mode)
{
	if (!mode)
		mode = "auto";
	if (!strcmp(mode, "none"))
		return NULL;
	struct sl_progress *progress = calloc(1, sizeof(*progress));
	if (!progress)
		return NULL; /* a load without a picture is still a load */
	progress->load = load;
	progress->nodes = calloc(load->n_nodes ? load->n_nodes : 1, sizeof(*progress->nodes));
	progress->mode = !strcmp(mode, "json") ? MODE_JSON :
			 !strcmp(mode, "tty") || (!strcmp(mode, "auto") && terminal()) ? MODE_TTY : MODE_PLAIN;
	for (size_t k = 0; progress->nodes && k < load->n_nodes; k++)
		progress->nodes[k] = (struct progress_node){ .phase = -1, .said = sl_now() };
	pthread_mutex_init(&progress->lock, NULL);
	pthread_cond_init(&progress->wake, NULL);
	if (!progress->nodes || pthread_create(&progress->thread, NULL, watch, progress) != 0) {
		free(progress->nodes);
		free(progress);
		return NULL;
	}
	return progress;
}

void sl_progress_stop(struct sl_progress *progress)
{
	if (!progress)
		return;
	pthread_mutex_lock(&progress->lock);
	progress->stop = true;
	pthread_cond_signal(&progress->wake);
	pthread_mutex_unlock(&progress->lock);
	pthread_join(progress->thread, NULL);
	if (progress->drawn) /* the result takes its place */
		fprintf(stderr, "\033[%zuA\033[J", progress->drawn);
	if (progress->mode == MODE_JSON)
		list(progress);
	pthread_mutex_destroy(&progress->lock);
	pthread_cond_destroy(&progress->wake);
	free(progress->nodes);
	free(progress);
}

void sl_progress_note(const char *mode, const char *what, const char *how, double seconds)
{
	if (!mode)
		mode = "auto";
	if (!strcmp(mode, "none"))
		return;
	if (!strcmp(mode, "json")) {
		sl_autojson json_t *json = json_pack("{s:s, s:s*}", "step", what, "says", how);
		if (seconds >= 0)
			json_object_set_new(json, "seconds", json_real(seconds));
		json_dumpf(json, stderr, JSON_COMPACT | JSON_REAL_PRECISION(6));
		fputc('\n', stderr);
	} else if (how) {
		fprintf(stderr, "%s: %s\n", what, how);
	} else {
		fprintf(stderr, "%s %.2f s\n", what, seconds);
	}
}
