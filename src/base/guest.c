/* SPDX-License-Identifier: Apache-2.0 */
#include "base/guest.h"

#include <errno.h>
#include <pthread.h>
#include <time.h>

static pthread_once_t once = PTHREAD_ONCE_INIT;
static locale_t utf8; /* as long as the process; (locale_t)0 where there is none */

static void make_locale(void)
{
	utf8 = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
}

void sl_guest_thread(void)
{
	pthread_once(&once, make_locale);
	if (utf8)
		uselocale(utf8);
}

static bool is_pending(void)
{
	sigset_t signals;
	return sigpending(&signals) == 0 && sigismember(&signals, SIGPIPE) == 1;
}

void sl_guest_enter(struct sl_guest *guest)
{
	sigset_t pipe;
	sigemptyset(&pipe);
	sigaddset(&pipe, SIGPIPE);
	guest->pending = is_pending();
	pthread_sigmask(SIG_BLOCK, &pipe, &guest->signals);
	guest->locale = uselocale((locale_t)0);
	sl_guest_thread();
}

void sl_guest_leave(const struct sl_guest *guest)
{
	static const struct timespec at_once = { 0 };
	int saved = errno;
	sigset_t pipe;
	sigemptyset(&pipe);
	sigaddset(&pipe, SIGPIPE);
	while (!guest->pending && is_pending() && sigtimedwait(&pipe, NULL, &at_once) < 0 && errno == EINTR)
		;
	pthread_sigmask(SIG_SETMASK, &guest->signals, NULL);
	uselocale(guest->locale);
	errno = saved;
}
