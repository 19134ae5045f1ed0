/* SPDX-License-Identifier: Apache-2.0 */
/* The public functions, as far as they need neither engine nor cluster; the rest is in
 * tests/integration/library.bats. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "sidelift.h"

#define NOWHERE "unix:///nowhere/docker.sock"

static const char pod[] = "kind: Pod\nspec:\n  containers:\n  - name: a\n    image: app:dev\n";

static enum sl_status status_of_open(const struct sidelift_options *options, struct sl_error *err)
{
	struct sidelift *s = sidelift_open(options, err);
	sidelift_close(s);
	return s ? SL_OK : err->status;
}

/* ---- options ---- */

static void options_must_say_their_size(void **state)
{
	struct sl_error err = SL_ERROR_INIT;
	const struct sidelift_options options = { .cluster = "kind/dev" };
	assert_int_equal(status_of_open(&options, &err), SL_USAGE);
	assert_non_null(strstr(err.message, "sizeof(struct sidelift_options)"));
}

static void no_options_are_options(void **state)
{
	struct sl_error err = SL_ERROR_INIT;
	assert_int_equal(status_of_open(NULL, &err), SL_OK);
}

static void of_a_caller_with_fewer_members_only_these_are_read(void **state)
{
	struct sl_error err = SL_ERROR_INIT;
	struct sidelift_options options = { .size = offsetof(struct sidelift_options, node_engine), .docker_host = NOWHERE };
	memset((char *)&options + options.size, 0xff, sizeof(options) - options.size);
	assert_int_equal(status_of_open(&options, &err), SL_OK);
}

static void a_caller_with_more_members_may_not_use_them(void **state)
{
	struct sl_error err = SL_ERROR_INIT;
	struct { struct sidelift_options known; const char *more; } options = { .known.size = sizeof(options) };
	assert_int_equal(status_of_open(&options.known, &err), SL_OK);
	options.more = "x";
	assert_int_equal(status_of_open(&options.known, &err), SL_USAGE);
	assert_non_null(strstr(err.message, "newer"));
}

static void options_that_make_no_sense_are_refused(void **state)
{
	struct sl_error err = SL_ERROR_INIT;
	const struct sidelift_options both = { .size = sizeof(both), .docker_host = NOWHERE, .docker_context = "x" };
	const struct sidelift_options exporter = { .size = sizeof(exporter), .exporter = "carrier pigeon" };
	const struct sidelift_options importer = { .size = sizeof(importer), .importer = "by hand" };
	assert_int_equal(status_of_open(&both, &err), SL_USAGE);
	assert_non_null(strstr(err.message, "exclude each other"));
	assert_int_equal(status_of_open(&exporter, &err), SL_USAGE);
	assert_non_null(strstr(err.message, "'carrier pigeon'"));
	assert_int_equal(status_of_open(&importer, &err), SL_USAGE);
	assert_non_null(strstr(err.message, "'by hand'"));
	assert_null(sidelift_open(&importer, NULL));
}

/* ---- load ---- */

static struct sidelift *open_nowhere(void)
{
	char host[] = NOWHERE;
	struct sidelift_options options = { .size = sizeof(options), .docker_host = host, .node_engine = host };
	struct sidelift *s = sidelift_open(&options, NULL);
	assert_non_null(s);
	memset(host, 'x', sizeof(host) - 1); /* the options are copied */
	memset(&options, 0xff, sizeof(options));
	return s;
}

static void without_an_engine_a_load_says_so_and_has_no_result(void **state)
{
	const char *names[] = { "app:dev" };
	struct sl_error err = SL_ERROR_INIT;
	struct sidelift_result *result = (struct sidelift_result *)&err;
	struct sidelift *s = open_nowhere();
	assert_int_equal(sidelift_load(s, names, 1, &result, &err), -1);
	assert_int_equal(sl_status_exit_code(err.status), 1);
	assert_non_null(strstr(err.message, "no engine answers at " NOWHERE));
	assert_null(result);
	assert_int_equal(sidelift_load(s, names, 1, NULL, NULL), -1);
	sidelift_close(s);
}

static void an_archive_that_is_not_there_is_named(void **state)
{
	struct sl_error err = SL_ERROR_INIT;
	struct sidelift *s = open_nowhere();
	assert_int_equal(sidelift_load_archive(s, "/nowhere/images.tar", NULL, &err), -1);
	sidelift_close(s);
}

static void no_image_is_no_request(void **state)
{
	struct sl_error err = SL_ERROR_INIT;
	struct sidelift *s = open_nowhere();
	assert_int_equal(sidelift_load(s, NULL, 0, NULL, &err), -1);
	assert_int_equal(err.status, SL_USAGE);
	sidelift_close(s);
}

static void what_was_cancelled_does_nothing_any_more(void **state)
{
	const char *names[] = { "app:dev" };
	struct sl_error err = SL_ERROR_INIT;
	struct sidelift *s = open_nowhere();
	assert_int_equal(sidelift_cancelled(s), 0);
	sidelift_cancel(s, SIGTERM);
	sidelift_cancel(s, SIGINT);
	assert_int_equal(sidelift_cancelled(s), SIGTERM);
	assert_int_equal(sidelift_load(s, names, 1, NULL, &err), -1);
	assert_int_equal(err.status, SL_INTERRUPTED);
	err.status = SL_OK;
	assert_null(sidelift_find(s, &err));
	assert_int_equal(err.status, SL_INTERRUPTED);
	sidelift_close(s);
}

/* ---- rewrite ---- */

static void rewrite_sets_the_policy_and_leaves_the_rest(void **state)
{
	const char *images[] = { "docker.io/library/app:dev" };
	char *out;
	size_t len;
	struct sl_error err = SL_ERROR_INIT;
	assert_int_equal(sidelift_rewrite("pod", pod, sizeof(pod) - 1, images, 1, "IfNotPresent", &out, &len, &err), 0);
	assert_string_equal(out, "kind: Pod\nspec:\n  containers:\n  - name: a\n    image: app:dev\n    imagePullPolicy: IfNotPresent\n");
	assert_int_equal(len, strlen(out));
	assert_int_equal(err.status, SL_OK);
	free(out);
	assert_int_equal(sidelift_rewrite("pod", pod, sizeof(pod) - 1, NULL, 0, NULL, &out, &len, &err), 0);
	assert_string_equal(out, pod);
	free(out);
	assert_int_equal(sidelift_rewrite("nothing", "", 0, images, 1, NULL, &out, &len, &err), 0);
	assert_string_equal(out, "");
	assert_int_equal(len, 0);
	free(out);
}

static void rewrite_says_what_is_wrong_and_where(void **state)
{
	const char *images[] = { "app:dev" }, *no_image[] = { "Upper" };
	static const char template[] = "kind: Pod\nspec: {{ .Values.spec }}\n";
	char *out = NULL;
	size_t len;
	struct sl_error err = SL_ERROR_INIT;
	assert_int_equal(sidelift_rewrite("chart", template, sizeof(template) - 1, images, 1, NULL, &out, &len, &err), -1);
	assert_int_equal(err.status, SL_FAILED);
	assert_int_equal(strncmp(err.message, "chart:2:", 8), 0);
	assert_int_equal(sidelift_rewrite("pod", pod, sizeof(pod) - 1, images, 1, "Sometimes", &out, &len, &err), -1);
	assert_int_equal(err.status, SL_USAGE);
	assert_non_null(strstr(err.message, "'Sometimes'"));
	assert_int_equal(sidelift_rewrite("pod", pod, sizeof(pod) - 1, no_image, 1, NULL, &out, &len, &err), -1);
	assert_int_equal(err.status, SL_USAGE);
	assert_int_equal(sidelift_rewrite("pod", pod, sizeof(pod) - 1, no_image, 1, NULL, &out, &len, NULL), -1);
	assert_null(out);
}

/* ---- the caller's process ---- */

static const char twice[] = "kind: Pod\nspec:\n  containers:\n  - image: app:dev\n    imagePullPolicy: Always\n    imagePullPolicy: Always\n";

struct unread {
	int fd, lines, broken;
};

static void write_line(enum sl_log_level level, const char *line, void *ctx)
{
	struct unread *log = ctx;
	log->lines += level == SL_LOG_WARN;
	log->broken += write(log->fd, line, strlen(line)) < 0 && errno == EPIPE;
}

/* SIGPIPE has its default action here, which would end the test. */
static void a_log_that_nobody_reads_does_not_end_the_program(void **state)
{
	const char *images[] = { "app:dev" };
	char *out;
	size_t len;
	int fds[2];
	assert_int_equal(pipe(fds), 0);
	close(fds[0]);
	struct unread log = { .fd = fds[1] };
	sidelift_set_log(SL_LOG_WARN, write_line, &log);
	assert_int_equal(sidelift_rewrite("pod", twice, sizeof(twice) - 1, images, 1, NULL, &out, &len, NULL), 0);
	sidelift_set_log(SL_LOG_WARN, NULL, NULL);
	assert_true(log.lines > 0);
	assert_int_equal(log.broken, log.lines);
	free(out);
	close(fds[1]);
}

static void signals_are_as_they_were(void **state)
{
	static const int usual[] = { SIGPIPE, SIGINT, SIGTERM, SIGHUP, SIGALRM, SIGCHLD };
	sigset_t before, after;
	struct sigaction then[sizeof(usual) / sizeof(usual[0])], now;
	const char *names[] = { "app:dev" };
	for (size_t i = 0; i < sizeof(usual) / sizeof(usual[0]); i++)
		assert_int_equal(sigaction(usual[i], NULL, &then[i]), 0);
	pthread_sigmask(SIG_SETMASK, NULL, &before);
	struct sidelift *s = open_nowhere();
	(void)!sidelift_load(s, names, 1, NULL, NULL);
	sidelift_close(s);
	pthread_sigmask(SIG_SETMASK, NULL, &after);
	for (int signo = 1; signo < NSIG; signo++)
		assert_int_equal(sigismember(&before, signo), sigismember(&after, signo));
	for (size_t i = 0; i < sizeof(usual) / sizeof(usual[0]); i++) {
		assert_int_equal(sigaction(usual[i], NULL, &now), 0);
		assert_true(now.sa_handler == then[i].sa_handler);
	}
}

static void *rewrite_often(void *ctx)
{
	const char *images[] = { "app:dev" };
	for (int i = 0; i < 200; i++) {
		char *out;
		size_t len;
		if (sidelift_rewrite("pod", pod, sizeof(pod) - 1, images, 1, NULL, &out, &len, NULL) < 0)
			return NULL;
		free(out);
		struct sidelift *s = sidelift_open(NULL, NULL);
		if (!s)
			return NULL;
		sidelift_close(s);
	}
	return ctx;
}

static void threads_do_not_disturb_each_other(void **state)
{
	pthread_t threads[4];
	void *result;
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, rewrite_often, threads), 0);
	for (size_t i = 0; i < 4; i++) {
		assert_int_equal(pthread_join(threads[i], &result), 0);
		assert_ptr_equal(result, threads);
	}
}

static void the_version_is_the_headers(void **state)
{
	assert_string_equal(sidelift_version(), SIDELIFT_VERSION);
}

int main(void)
{
	signal(SIGPIPE, SIG_DFL); /* whoever started this may have had it ignored */
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(options_must_say_their_size),
		cmocka_unit_test(no_options_are_options),
		cmocka_unit_test(of_a_caller_with_fewer_members_only_these_are_read),
		cmocka_unit_test(a_caller_with_more_members_may_not_use_them),
		cmocka_unit_test(options_that_make_no_sense_are_refused),
		cmocka_unit_test(without_an_engine_a_load_says_so_and_has_no_result),
		cmocka_unit_test(an_archive_that_is_not_there_is_named),
		cmocka_unit_test(no_image_is_no_request),
		cmocka_unit_test(what_was_cancelled_does_nothing_any_more),
		cmocka_unit_test(rewrite_sets_the_policy_and_leaves_the_rest),
		cmocka_unit_test(rewrite_says_what_is_wrong_and_where),
		cmocka_unit_test(a_log_that_nobody_reads_does_not_end_the_program),
		cmocka_unit_test(signals_are_as_they_were),
		cmocka_unit_test(threads_do_not_disturb_each_other),
		cmocka_unit_test(the_version_is_the_headers),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
