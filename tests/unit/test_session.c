/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster/session.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "base/child.h"
#include "cluster/node_archive.h"

/* A conversation with a shell that runs @script; $0 is the token. */
static void begin(struct sl_session *session, const char *script)
{
	struct sl_error err = SL_ERROR_INIT;
	*session = (struct sl_session){ 0 };
	assert_int_equal(sl_session_token(session, &err), 0);
	const char *const argv[] = { "sh", "-c", script, session->token, NULL };
	struct sl_remote *remote = sl_child_remote(argv, NULL, &err);
	if (!remote)
		fail_msg("%s", err.message);
	sl_session_attach(session, remote);
}

/* Until the shell is gone; it stays to be waited for by the session. */
static void wait_for_its_end(void)
{
	siginfo_t info;
	assert_int_equal(waitid(P_ALL, 0, &info, WEXITED | WNOWAIT), 0);
}

static const char answers[] = "answer() { printf '\\n%s %s\\n' $0 $1; printf '\\n%s %s\\n' $0 $1 >&2; }; ";

static void begin_answering(struct sl_session *session, const char *script)
{
	char *whole;
	assert_true(asprintf(&whole, "%s%s", answers, script) > 0);
	begin(session, whole);
	free(whole);
}

static void test_answers(void **state)
{
	(void)state;
	struct sl_session session;
	struct sl_error err = SL_ERROR_INIT;
	begin_answering(&session, "while read -r a b; do echo \"$a then $b\"; echo \"no $b\" >&2; answer 3; done");
	assert_int_equal(sl_session_call(&session, 10000, &err, "one", "two", NULL), 3);
	assert_string_equal(sl_buf_text(&session.answer), "one then two\n");
	assert_int_equal(sl_session_failed(&session, "it", 3, &err), -1);
	assert_string_equal(err.message, "it failed: no two (exit code 3)");
	sl_session_release(&session);
}

/* However far it came before the first word is sent: why is what it said itself. */
static void test_gone_before_the_first_word(void **state)
{
	(void)state;
	for (int waits = 0; waits < 2; waits++) {
		struct sl_session session;
		struct sl_error err = SL_ERROR_INIT;
		begin(&session, "echo 'ssh: connect to host 192.0.2.1 port 22: Connection refused' >&2; exit 255");
		if (waits)
			wait_for_its_end();
		assert_int_equal(sl_session_call(&session, 10000, &err, "look", NULL), -1);
		assert_int_equal(err.status, SL_CLOSED);
		assert_string_equal(err.message, "the process in the node ended early: ssh: connect to host 192.0.2.1 port 22: Connection refused");
		sl_session_release(&session);
	}
}

static void test_gone_between_two_words(void **state)
{
	(void)state;
	struct sl_session session;
	struct sl_error err = SL_ERROR_INIT;
	begin_answering(&session, "read -r a; answer 0; read -r b; echo 'killed by hand' >&2");
	assert_int_equal(sl_session_call(&session, 10000, &err, "look", NULL), 0);
	assert_int_equal(sl_session_send_last(&session, (const char *const[]){ "forget" }, 1, &err), 0);
	wait_for_its_end();
	assert_int_equal(sl_session_call(&session, 10000, &err, "look", NULL), -1);
	assert_string_equal(err.message, "the process in the node ended early: killed by hand");
	sl_session_release(&session);
}

/* In the middle of a frame: what the importer answered, else what the process said. */
static void test_gone_in_the_middle_of_a_frame(void **state)
{
	(void)state;
	static const struct {
		const char *script, *message;
	} cases[] = {
		{ "read -r a; echo 'ctr: no space left on device' >&2; answer 1", "ctr images import failed: ctr: no space left on device (exit code 1)" },
		{ "read -r a; echo 'the connection is lost' >&2", "the process in the node ended early: the connection is lost" },
		{ "read -r a", "the process in the node ended early" },
	};
	static char piece[65536];
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct sl_session session;
		struct sl_error err = SL_ERROR_INIT;
		begin_answering(&session, cases[i].script);
		struct sl_node_archive archive = { .session = &session, .importer = "ctr images import" };
		assert_int_equal(sl_session_send(&session, (const char *const[]){ "import" }, 1, &err), 0);
		int rc = 0;
		for (size_t n = 0; rc == 0 && n < 1000; n++)
			rc = sl_node_archive_raw(&archive, piece, sizeof(piece), &err);
		assert_int_equal(rc, -1);
		assert_string_equal(err.message, cases[i].message);
		sl_session_release(&session);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_answers),
		cmocka_unit_test(test_gone_before_the_first_word),
		cmocka_unit_test(test_gone_between_two_words),
		cmocka_unit_test(test_gone_in_the_middle_of_a_frame),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
