/* SPDX-License-Identifier: Apache-2.0 */
#include "flow/up_written.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "flow/up_roots.h"

/* A folder, and a command that runs in it. */
struct scene {
	struct sl_written written;
	struct sl_root root;
	char home[64], full[200];
};

static const char *at(struct scene *scene, const char *name)
{
	snprintf(scene->full, sizeof(scene->full), "%s/%s", scene->home, name);
	return scene->full;
}

static void put(struct scene *scene, const char *name, const char *text)
{
	FILE *file = fopen(at(scene, name), "w");
	assert_non_null(file);
	fputs(text, file);
	fclose(file);
}

/* While it runs, @name gets @text (NULL: goes); whether that is an edit. */
static bool happens(struct scene *scene, const char *name, const char *text, bool created)
{
	if (text)
		put(scene, name, text);
	else
		remove(at(scene, name));
	return sl_written_is_edit(&scene->written, &scene->root, name, at(scene, name), created);
}

/* It is over: what differs, "a b", and whether that is worth another run. */
static void assert_over(struct scene *scene, const char *differs, bool again)
{
	struct sl_written_change change;
	char got[200] = "";
	bool any = false;
	sl_written_compare(&scene->written);
	while (sl_written_next(&scene->written, &change)) {
		snprintf(got + strlen(got), sizeof(got) - strlen(got), "%s%s", *got ? " " : "", change.path);
		assert_ptr_equal(change.root, &scene->root);
		any = change.again;
	}
	assert_string_equal(got, differs);
	assert_int_equal(any, again);
}

static void first_run(struct scene *scene)
{
	sl_written_begin(&scene->written);
	assert_false(happens(scene, "made", "1", true));
	assert_over(scene, "", false);
}

static int set_up(void **state)
{
	struct scene *scene = calloc(1, sizeof(*scene));
	strcpy(scene->home, "/tmp/sl-written-XXXXXX");
	assert_non_null(mkdtemp(scene->home));
	put(scene, "source", "1");
	put(scene, "old", "1");
	*state = scene;
	return 0;
}

static int tear_down(void **state)
{
	struct scene *scene = *state;
	char command[100];
	snprintf(command, sizeof(command), "rm -rf %s", scene->home);
	assert_int_equal(system(command), 0);
	sl_written_release(&scene->written);
	free(scene);
	return 0;
}

static void what_the_first_run_makes_costs_nothing(void **state)
{
	first_run(*state);
}

static void what_was_there_and_changes_in_the_first_run_costs_one_more(void **state)
{
	struct scene *scene = *state;
	sl_written_begin(&scene->written);
	assert_false(happens(scene, "old", "2", false));
	assert_over(scene, "old", true);
	sl_written_begin(&scene->written);
	assert_false(happens(scene, "old", "2", false));
	assert_over(scene, "", false);
}

static void a_source_that_changes_is_an_edit_and_what_the_command_made_is_not(void **state)
{
	struct scene *scene = *state;
	first_run(scene);
	sl_written_begin(&scene->written);
	assert_false(happens(scene, "made", "1", false));
	assert_true(happens(scene, "source", "2", false));
}

static void after_an_edit_the_next_one_is_an_edit_again(void **state)
{
	struct scene *scene = *state;
	first_run(scene);
	sl_written_begin(&scene->written);
	assert_true(happens(scene, "source", "2", false));
	sl_written_begin(&scene->written);
	assert_over(scene, "", false);
	sl_written_begin(&scene->written);
	assert_true(happens(scene, "source", "3", false));
}

static void a_source_saved_in_two_runs_in_a_row_is_not_lost(void **state)
{
	struct scene *scene = *state;
	first_run(scene);
	sl_written_begin(&scene->written);
	assert_true(happens(scene, "source", "2", false));
	sl_written_begin(&scene->written);
	assert_false(happens(scene, "source", "3", false));
	assert_over(scene, "source", true);
}

static void an_old_file_that_a_later_run_writes_ends_one_run_only(void **state)
{
	struct scene *scene = *state;
	first_run(scene);
	sl_written_begin(&scene->written);
	assert_true(happens(scene, "old", "2", false));
	sl_written_begin(&scene->written);
	assert_false(happens(scene, "old", "2", false));
	assert_over(scene, "old", true);
	sl_written_begin(&scene->written);
	assert_false(happens(scene, "old", "2", false));
	assert_over(scene, "", false);
}

static void what_is_made_the_same_again_costs_nothing(void **state)
{
	struct scene *scene = *state;
	first_run(scene);
	sl_written_begin(&scene->written);
	assert_false(happens(scene, "made", NULL, false));
	assert_false(happens(scene, "made", "1", true));
	assert_over(scene, "", false);
}

static void what_differs_each_time_costs_one_more_and_then_nothing(void **state)
{
	struct scene *scene = *state;
	for (int i = 0; i < 6; i++) {
		sl_written_begin(&scene->written);
		assert_false(happens(scene, "old", i % 3 == 0 ? "a" : i % 3 == 1 ? "b" : "c", false));
		assert_over(scene, i < 2 ? "old" : "", i == 0);
	}
}

static void what_the_first_run_made_is_the_commands_own_until_a_run_leaves_it_alone(void **state)
{
	struct scene *scene = *state;
	first_run(scene);
	sl_written_begin(&scene->written);
	assert_false(happens(scene, "made", "2", false));
	assert_over(scene, "", false);
	sl_written_begin(&scene->written);
	assert_over(scene, "", false);
	sl_written_begin(&scene->written);
	assert_false(happens(scene, "made", "3", false));
	assert_over(scene, "made", true);
}

static void a_file_that_comes_and_goes_is_none(void **state)
{
	struct scene *scene = *state;
	first_run(scene);
	sl_written_begin(&scene->written);
	assert_false(happens(scene, "temporary", "1", true));
	assert_false(happens(scene, "temporary", NULL, false));
	assert_over(scene, "", false);
}

static void a_file_that_comes_while_a_later_run_is_on_costs_one_more(void **state)
{
	struct scene *scene = *state;
	first_run(scene);
	sl_written_begin(&scene->written);
	assert_false(happens(scene, "new", "1", true));
	assert_over(scene, "new", true);
}

static void what_a_superseded_run_noted_is_compared_by_the_next(void **state)
{
	struct scene *scene = *state;
	first_run(scene);
	sl_written_begin(&scene->written);
	assert_over(scene, "", false); /* "made" is left alone */
	sl_written_begin(&scene->written);
	assert_false(happens(scene, "made", "edited by hand", false));
	assert_true(happens(scene, "source", "2", false));
	sl_written_begin(&scene->written);
	assert_over(scene, "made", true);
}

static void a_lost_count_costs_one_more(void **state)
{
	struct scene *scene = *state;
	first_run(scene);
	sl_written_begin(&scene->written);
	assert_false(sl_written_is_edit(&scene->written, &scene->root, "", scene->home, false));
	assert_over(scene, "", true);
	sl_written_begin(&scene->written);
	assert_false(sl_written_is_edit(&scene->written, &scene->root, "", scene->home, false));
	assert_over(scene, "", false);
}

static void what_is_as_a_run_left_it_is_no_change_afterwards(void **state)
{
	struct scene *scene = *state;
	first_run(scene);
	put(scene, "made", "1");
	assert_true(sl_written_is_as_left(&scene->written, at(scene, "made")));
	put(scene, "made", "2");
	assert_false(sl_written_is_as_left(&scene->written, at(scene, "made")));
	assert_false(sl_written_is_as_left(&scene->written, at(scene, "source")));
}

static void what_a_run_began_with_is_no_change_when_it_is_written_again_and_an_edit_when_it_differs(void **state)
{
	struct scene *scene = *state;
	first_run(scene);
	put(scene, "source", "2");
	sl_written_see(&scene->written, at(scene, "source"));
	sl_written_begin(&scene->written);
	assert_over(scene, "", false);
	put(scene, "source", "2");
	assert_true(sl_written_is_as_left(&scene->written, at(scene, "source")));
	put(scene, "source", "3");
	assert_false(sl_written_is_as_left(&scene->written, at(scene, "source")));
	sl_written_begin(&scene->written);
	assert_true(happens(scene, "source", "4", false));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(what_the_first_run_makes_costs_nothing),
		TEST(what_was_there_and_changes_in_the_first_run_costs_one_more),
		TEST(a_source_that_changes_is_an_edit_and_what_the_command_made_is_not),
		TEST(after_an_edit_the_next_one_is_an_edit_again),
		TEST(a_source_saved_in_two_runs_in_a_row_is_not_lost),
		TEST(an_old_file_that_a_later_run_writes_ends_one_run_only),
		TEST(what_is_made_the_same_again_costs_nothing),
		TEST(what_differs_each_time_costs_one_more_and_then_nothing),
		TEST(what_the_first_run_made_is_the_commands_own_until_a_run_leaves_it_alone),
		TEST(a_file_that_comes_and_goes_is_none),
		TEST(a_file_that_comes_while_a_later_run_is_on_costs_one_more),
		TEST(what_a_superseded_run_noted_is_compared_by_the_next),
		TEST(a_lost_count_costs_one_more),
		TEST(what_is_as_a_run_left_it_is_no_change_afterwards),
		TEST(what_a_run_began_with_is_no_change_when_it_is_written_again_and_an_edit_when_it_differs),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
