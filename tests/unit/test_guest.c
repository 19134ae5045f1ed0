/* SPDX-License-Identifier: Apache-2.0 */
/* A library's manners in its caller's thread: base/guest. */
#include <errno.h>
#include <langinfo.h>
#include <locale.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/guest.h"

static volatile sig_atomic_t caught;

static void on_pipe(int signo)
{
	caught++;
}

/* A caller that wants to know of SIGPIPE; the count begins anew. */
static int catch_pipe(void **state)
{
	const struct sigaction action = { .sa_handler = on_pipe };
	caught = 0;
	return sigaction(SIGPIPE, &action, NULL);
}

static void write_to_nobody(void)
{
	int fds[2];
	assert_int_equal(pipe(fds), 0);
	close(fds[0]);
	errno = 0;
	assert_int_equal(write(fds[1], "x", 1), -1);
	assert_int_equal(errno, EPIPE);
	close(fds[1]);
}

static bool blocked(void)
{
	sigset_t now;
	pthread_sigmask(SIG_SETMASK, NULL, &now);
	return sigismember(&now, SIGPIPE) == 1;
}

static void a_broken_pipe_is_an_error_and_no_signal(void **state)
{
	struct sl_guest guest;
	sl_guest_enter(&guest);
	write_to_nobody();
	write_to_nobody();
	sl_guest_leave(&guest);
	assert_int_equal(caught, 0);
	assert_false(blocked());
}

static void the_callers_own_broken_pipe_is_its_own_afterwards(void **state)
{
	struct sl_guest guest;
	sl_guest_enter(&guest);
	sl_guest_leave(&guest);
	write_to_nobody();
	assert_int_equal(caught, 1);
}

static void a_signal_that_waited_before_still_waits(void **state)
{
	struct sl_guest guest;
	sigset_t pipe, before;
	sigemptyset(&pipe);
	sigaddset(&pipe, SIGPIPE);
	pthread_sigmask(SIG_BLOCK, &pipe, &before);
	raise(SIGPIPE);
	sl_guest_enter(&guest);
	write_to_nobody();
	sl_guest_leave(&guest);
	assert_true(blocked());
	assert_int_equal(caught, 0);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	assert_int_equal(caught, 1);
}

static void *look(void *ctx)
{
	*(bool *)ctx = blocked();
	sl_guest_thread();
	return nl_langinfo(CODESET);
}

static void threads_of_a_guest_behave_as_well(void **state)
{
	struct sl_guest guest;
	pthread_t thread;
	void *codeset;
	bool inherited = false;
	sl_guest_enter(&guest);
	assert_int_equal(pthread_create(&thread, NULL, look, &inherited), 0);
	sl_guest_leave(&guest);
	pthread_join(thread, &codeset);
	assert_true(inherited);
	assert_string_equal(codeset, "UTF-8");
}

static void the_locale_is_utf8_inside_and_the_callers_outside(void **state)
{
	struct sl_guest guest;
	assert_string_equal(nl_langinfo(CODESET), "ANSI_X3.4-1968");
	sl_guest_enter(&guest);
	assert_string_equal(nl_langinfo(CODESET), "UTF-8");
	assert_string_equal(setlocale(LC_CTYPE, NULL), "C");
	sl_guest_leave(&guest);
	assert_string_equal(nl_langinfo(CODESET), "ANSI_X3.4-1968");
}

static void visits_may_be_within_visits(void **state)
{
	struct sl_guest outer, inner;
	sl_guest_enter(&outer);
	sl_guest_enter(&inner);
	write_to_nobody();
	sl_guest_leave(&inner);
	assert_true(blocked());
	write_to_nobody();
	sl_guest_leave(&outer);
	assert_int_equal(caught, 0);
	assert_false(blocked());
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(a_broken_pipe_is_an_error_and_no_signal, catch_pipe),
		cmocka_unit_test_setup(the_callers_own_broken_pipe_is_its_own_afterwards, catch_pipe),
		cmocka_unit_test_setup(a_signal_that_waited_before_still_waits, catch_pipe),
		cmocka_unit_test_setup(threads_of_a_guest_behave_as_well, catch_pipe),
		cmocka_unit_test_setup(the_locale_is_utf8_inside_and_the_callers_outside, catch_pipe),
		cmocka_unit_test_setup(visits_may_be_within_visits, catch_pipe),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
