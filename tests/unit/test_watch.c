/* SPDX-License-Identifier: Apache-2.0 */
#include "base/watch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cancel.h"
#include "base/strv.h"

/* A tree in a folder of its own; paths are relative to it. */
struct scene {
	struct sl_watch *watch;
	struct sl_strv told; /* "+new", "-gone", "path", "*" */
	char home[64];
};

static enum sl_watch_answer ask(const char *path, bool directory, void *ctx)
{
	const char *name = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
	if (!strcmp(name, "skipped"))
		return SL_WATCH_SKIP;
	return !strncmp(name, "pass", 4) ? SL_WATCH_PASS : SL_WATCH_TAKE;
}

static void tell(const char *path, enum sl_watch_change change, void *ctx)
{
	struct scene *scene = ctx;
	char text[300];
	snprintf(text, sizeof(text), "%s%s", change == SL_WATCH_CREATED ? "+" : change == SL_WATCH_GONE ? "-" : change == SL_WATCH_ALL ? "*" : "", path);
	assert_int_equal(sl_strv_add_new(&scene->told, text), 0);
}

static const struct sl_watch_ops ops = { ask, tell };

static void sh(const struct scene *scene, const char *command)
{
	char text[1000];
	snprintf(text, sizeof(text), "cd %s && %s", scene->home, command);
	assert_int_equal(system(text), 0);
}

static void take(struct scene *scene)
{
	struct sl_error err = SL_ERROR_INIT;
	sl_strv_release(&scene->told);
	if (sl_watch_take(scene->watch, &err) < 0)
		fail_msg("%s", err.message);
}

/* Within 3 s @text is told. */
static void assert_told_soon(struct scene *scene, const char *text)
{
	int64_t limit = sl_now() + 3000;
	do {
		take(scene);
		if (sl_strv_has(&scene->told, text))
			return;
		poll(NULL, 0, 20);
	} while (sl_now() < limit);
	fail_msg("'%s' was not told", text);
}

static void assert_told(const struct scene *scene, const char *text)
{
	if (!sl_strv_has(&scene->told, text)) {
		for (size_t i = 0; i < scene->told.n; i++)
			printf("told: %s\n", scene->told.items[i]);
		fail_msg("'%s' was not told", text);
	}
}

static void add(struct scene *scene, const char *dir)
{
	char path[300];
	struct sl_error err = SL_ERROR_INIT;
	snprintf(path, sizeof(path), "%s/%s", scene->home, dir);
	if (sl_watch_add(scene->watch, path, &ops, scene, &err) < 0)
		fail_msg("%s", err.message);
}

static int set_up(void **state)
{
	struct scene *scene = calloc(1, sizeof(*scene));
	struct sl_error err = SL_ERROR_INIT;
	strcpy(scene->home, "/tmp/sl-watch-XXXXXX");
	assert_non_null(mkdtemp(scene->home));
	scene->watch = sl_watch_new(&err);
	assert_non_null(scene->watch);
	sh(scene, "mkdir -p root/a/b root/skipped/x root/pass && echo 1 > root/a/b/file");
	*state = scene;
	return 0;
}

static int tear_down(void **state)
{
	struct scene *scene = *state;
	char command[100];
	snprintf(command, sizeof(command), "rm -rf %s", scene->home);
	assert_int_equal(system(command), 0);
	sl_watch_free(scene->watch);
	sl_strv_release(&scene->told);
	free(scene);
	return 0;
}

static void a_file_written_deep_in_the_tree_is_told_once(void **state)
{
	struct scene *scene = *state;
	add(scene, "root");
	assert_int_equal(sl_watch_count(scene->watch), 4);
	take(scene);
	assert_int_equal(scene->told.n, 0);
	sh(scene, "echo 2 > root/a/b/file");
	take(scene);
	assert_told(scene, "a/b/file");
	assert_int_equal(scene->told.n, 1);
}

static void reading_is_no_change(void **state)
{
	struct scene *scene = *state;
	add(scene, "root");
	sh(scene, "cat root/a/b/file >/dev/null; ls -R root >/dev/null; tar -c root >/dev/null");
	take(scene);
	assert_int_equal(scene->told.n, 0);
}

static void a_rename_over_a_file_is_a_change_of_it(void **state)
{
	struct scene *scene = *state;
	add(scene, "root");
	sh(scene, "echo 2 > root/a/.file.tmp && mv root/a/.file.tmp root/a/b/file");
	take(scene);
	assert_told(scene, "a/b/file");
	assert_told(scene, "-a/.file.tmp");
	assert_told(scene, "+a/.file.tmp");
}

static void a_mode_and_a_link_are_changes(void **state)
{
	struct scene *scene = *state;
	add(scene, "root");
	sh(scene, "chmod 700 root/a/b/file; ln -s file root/a/b/link; rm root/a/b/link");
	take(scene);
	assert_told(scene, "a/b/file");
	assert_told(scene, "+a/b/link");
	assert_told(scene, "-a/b/link");
}

static void new_directories_are_watched_with_what_is_in_them(void **state)
{
	struct scene *scene = *state;
	add(scene, "root");
	sh(scene, "mkdir -p root/n/e/w && echo 1 > root/n/e/w/file");
	take(scene);
	assert_told(scene, "+n");
	assert_told(scene, "+n/e/w/file");
	sh(scene, "echo 2 > root/n/e/w/file");
	take(scene);
	assert_told(scene, "n/e/w/file");
}

static void a_tree_moved_in_is_watched_and_one_moved_out_is_not(void **state)
{
	struct scene *scene = *state;
	sh(scene, "mkdir -p else/deep && echo 1 > else/deep/file");
	add(scene, "root");
	size_t before = sl_watch_count(scene->watch);
	sh(scene, "mv else root/a/else");
	take(scene);
	assert_told(scene, "+a/else/deep/file");
	assert_int_equal(sl_watch_count(scene->watch), before + 2);
	sh(scene, "mv root/a/else root/a/other; echo 2 > root/a/other/deep/file");
	take(scene);
	assert_told(scene, "-a/else");
	assert_told(scene, "+a/other/deep/file");
	sh(scene, "echo 3 > root/a/other/deep/file");
	take(scene);
	assert_told(scene, "a/other/deep/file");
	sh(scene, "mv root/a/other away");
	take(scene);
	assert_told(scene, "-a/other");
	sh(scene, "echo 3 > away/deep/file");
	take(scene);
	assert_int_equal(scene->told.n, 0);
	assert_int_equal(sl_watch_count(scene->watch), before);
}

static void deleted_trees_are_let_go(void **state)
{
	struct scene *scene = *state;
	add(scene, "root");
	sh(scene, "rm -r root/a");
	take(scene);
	assert_told(scene, "-a");
	assert_told(scene, "-a/b/file");
	assert_int_equal(sl_watch_count(scene->watch), 2);
}

static void what_is_skipped_is_not_watched_and_what_is_passed_over_is(void **state)
{
	struct scene *scene = *state;
	add(scene, "root");
	sh(scene, "echo 1 > root/skipped/x/file; mkdir root/skipped/y; echo 1 > root/pass/pass; echo 1 > root/pass/file; mkdir root/pass/skipped");
	take(scene);
	assert_told(scene, "+pass/file");
	assert_told(scene, "pass/file");
	assert_int_equal(scene->told.n, 2);
}

static bool skip_a;

static enum sl_watch_answer ask_fickle(const char *path, bool directory, void *ctx)
{
	return skip_a && !strcmp(path, "a") ? SL_WATCH_SKIP : SL_WATCH_TAKE;
}

static void when_the_answers_change_the_watches_do(void **state)
{
	struct scene *scene = *state;
	static const struct sl_watch_ops fickle = { ask_fickle, tell };
	struct sl_error err = SL_ERROR_INIT;
	char path[100];
	snprintf(path, sizeof(path), "%s/root", scene->home);
	skip_a = true;
	assert_int_equal(sl_watch_add(scene->watch, path, &fickle, scene, &err), 0);
	assert_int_equal(sl_watch_count(scene->watch), 4);
	skip_a = false;
	assert_int_equal(sl_watch_ask_again(scene->watch, scene, &err), 0);
	assert_int_equal(sl_watch_count(scene->watch), 6);
	sh(scene, "echo 2 > root/a/b/file");
	take(scene);
	assert_told(scene, "a/b/file");
	skip_a = true;
	assert_int_equal(sl_watch_ask_again(scene->watch, scene, &err), 0);
	assert_int_equal(sl_watch_count(scene->watch), 4);
}

static void a_root_that_is_deleted_and_made_anew_is_watched_again(void **state)
{
	struct scene *scene = *state;
	add(scene, "root");
	sh(scene, "rm -r root");
	assert_told_soon(scene, "*");
	sh(scene, "mkdir -p root/a");
	assert_told_soon(scene, "*");
	sh(scene, "echo 1 > root/a/file");
	assert_told_soon(scene, "+a/file");
	sh(scene, "rm -r root && mkdir -p root/b"); /* the same inode, likely */
	assert_told_soon(scene, "*");
	poll(NULL, 0, 20);
	take(scene);
	sh(scene, "echo 1 > root/b/file");
	assert_told_soon(scene, "+b/file");
}

static void a_root_that_is_replaced_by_a_rename_is_watched_again(void **state)
{
	struct scene *scene = *state;
	add(scene, "root");
	sh(scene, "cp -r root new && mv root old && mv new root");
	assert_told_soon(scene, "*");
	poll(NULL, 0, 20);
	take(scene);
	sh(scene, "echo 1 > root/a/b/file");
	assert_told_soon(scene, "a/b/file");
	sh(scene, "echo 1 > old/a/b/file");
	poll(NULL, 0, 50);
	take(scene);
	assert_int_equal(scene->told.n, 0);
}

static void a_root_may_be_a_link_and_be_led_elsewhere(void **state)
{
	struct scene *scene = *state;
	sh(scene, "ln -s root link; mkdir else");
	add(scene, "link");
	sh(scene, "echo 1 > root/a/b/file");
	take(scene);
	assert_told(scene, "a/b/file");
	sh(scene, "ln -sfn else link");
	assert_told_soon(scene, "*");
	sh(scene, "echo 1 > else/file");
	assert_told_soon(scene, "+file");
}

static void one_directory_in_two_trees_is_told_to_both(void **state)
{
	struct scene *scene = *state;
	add(scene, "root");
	add(scene, "root/a");
	sh(scene, "echo 1 > root/a/b/file");
	take(scene);
	assert_told(scene, "a/b/file");
	assert_told(scene, "b/file");
	sh(scene, "rm -r root/a/b");
	take(scene);
	assert_told(scene, "-a/b");
	assert_told(scene, "-b");
}

static void two_thousand_files_at_once_are_all_told(void **state)
{
	struct scene *scene = *state;
	add(scene, "root");
	sh(scene, "for i in $(seq 50); do mkdir root/d$i; for j in $(seq 40); do echo $j > root/d$i/f$j; done; done");
	take(scene);
	assert_told(scene, "+d50/f40");
	assert_told(scene, "+d1/f1");
	assert_true(scene->told.n >= 2050);
}

static void when_the_kernel_loses_count_everything_has_changed(void **state)
{
	struct scene *scene = *state;
	add(scene, "root");
	sh(scene, "i=0; while [ $i -lt 9000 ]; do : > root/a/x$i; i=$((i + 1)); done; mkdir -p root/late/er");
	take(scene);
	assert_told(scene, "*");
	take(scene);
	sh(scene, "echo 1 > root/late/er/file");
	take(scene);
	assert_told(scene, "+late/er/file");
}

/* In a user namespace of its own, whose limit is lower than this user's. */
static int with_limit(const char *name, const char *value, int (*work)(void *ctx), void *ctx)
{
	pid_t pid = fork();
	if (!pid) {
		char path[80];
		snprintf(path, sizeof(path), "/proc/sys/user/%s", name);
		if (unshare(CLONE_NEWUSER) < 0)
			_exit(77);
		int fd = open(path, O_WRONLY);
		if (fd < 0 || write(fd, value, strlen(value)) < 0)
			_exit(78);
		_exit(work(ctx));
	}
	int status;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static int beyond_watches(void *ctx)
{
	struct scene *scene = ctx;
	struct sl_error err = SL_ERROR_INIT;
	struct sl_watch *watch = sl_watch_new(&err);
	if (!watch || sl_watch_add(watch, scene->home, &ops, scene, &err) == 0)
		return 1;
	bool ok = err.status == SL_FAILED && strstr(err.message, "it has 6 directories to watch") && strstr(err.message, "fs.inotify.max_user_watches is ") &&
		  strstr(err.message, "sudo sysctl fs.inotify.max_user_watches=524288") && strstr(err.message, ".dockerignore");
	sl_watch_free(watch);
	return ok ? 0 : 2;
}

static void the_limit_of_watches_is_explained(void **state)
{
	struct scene *scene = *state;
	sh(scene, "mkdir -p two");
	assert_int_equal(with_limit("max_inotify_watches", "3", beyond_watches, scene), 0);
}

static int beyond_instances(void *ctx)
{
	struct sl_error err = SL_ERROR_INIT;
	if (sl_watch_new(&err))
		return 1;
	return strstr(err.message, "fs.inotify.max_user_instances is ") && strstr(err.message, "sudo sysctl fs.inotify.max_user_instances=") ? 0 : 2;
}

static void the_limit_of_instances_is_explained(void **state)
{
	assert_int_equal(with_limit("max_inotify_instances", "0", beyond_instances, *state), 0);
}

static int grows_beyond(void *ctx)
{
	struct scene *scene = ctx;
	struct sl_error err = SL_ERROR_INIT;
	struct sl_watch *watch = sl_watch_new(&err);
	if (!watch || sl_watch_add(watch, scene->home, &ops, scene, &err) < 0)
		return 1;
	sh(scene, "mkdir -p root/n/e/w");
	if (sl_watch_take(watch, &err) == 0 || !strstr(err.message, "max_user_watches"))
		return 2;
	sl_strv_release(&scene->told);
	sh(scene, "echo 1 > root/a/b/file");
	bool goes_on = sl_watch_take(watch, &err) == 0 && sl_strv_has(&scene->told, "root/a/b/file");
	sl_watch_free(watch);
	sl_strv_release(&scene->told);
	return goes_on ? 0 : 3;
}

static void beyond_the_limit_the_rest_goes_on(void **state)
{
	assert_int_equal(with_limit("max_inotify_watches", "6", grows_beyond, *state), 0);
}

static void a_root_that_is_no_directory_is_an_error(void **state)
{
	struct scene *scene = *state;
	struct sl_error err = SL_ERROR_INIT;
	char path[100];
	snprintf(path, sizeof(path), "%s/root/a/b/file", scene->home);
	assert_int_equal(sl_watch_add(scene->watch, path, &ops, scene, &err), -1);
	assert_non_null(strstr(err.message, "Not a directory"));
	snprintf(path, sizeof(path), "%s/absent", scene->home);
	assert_int_equal(sl_watch_add(scene->watch, path, &ops, scene, &err), -1);
	assert_non_null(strstr(err.message, "No such file"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_file_written_deep_in_the_tree_is_told_once),
		TEST(reading_is_no_change),
		TEST(a_rename_over_a_file_is_a_change_of_it),
		TEST(a_mode_and_a_link_are_changes),
		TEST(new_directories_are_watched_with_what_is_in_them),
		TEST(a_tree_moved_in_is_watched_and_one_moved_out_is_not),
		TEST(deleted_trees_are_let_go),
		TEST(what_is_skipped_is_not_watched_and_what_is_passed_over_is),
		TEST(when_the_answers_change_the_watches_do),
		TEST(a_root_that_is_deleted_and_made_anew_is_watched_again),
		TEST(a_root_that_is_replaced_by_a_rename_is_watched_again),
		TEST(a_root_may_be_a_link_and_be_led_elsewhere),
		TEST(one_directory_in_two_trees_is_told_to_both),
		TEST(two_thousand_files_at_once_are_all_told),
		TEST(when_the_kernel_loses_count_everything_has_changed),
		TEST(the_limit_of_watches_is_explained),
		TEST(the_limit_of_instances_is_explained),
		TEST(beyond_the_limit_the_rest_goes_on),
		TEST(a_root_that_is_no_directory_is_an_error),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
