/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_CLI_OPTIONS_H
#define SL_CLI_OPTIONS_H

/*
 * Options as data: one table a command makes the parsing, the help, and whatever
 * else lists options.  A value lands at `offset` in the struct that belongs to
 * the table.
 */

#include <stddef.h>

#include "base/error.h"
#include "base/strv.h"

enum sl_option_kind {
	SL_OPTION_FLAG,  /* bool: true */
	SL_OPTION_COUNT, /* int: one more */
	SL_OPTION_TEXT,  /* const char *: the argument, borrowed from argv or the environment */
	SL_OPTION_LIST,  /* struct sl_strv: one more */
};

struct sl_option {
	const char *name; /* long, without the dashes */
	char letter;      /* short, or 0 */
	enum sl_option_kind kind;
	const char *arg;  /* its argument in the help, NULL for flags */
	size_t offset;
	const char *help; /* one line, lower case, no full stop */
};

/* A table, the struct that its values go to, and the prefix of environment
 * variables that stand for options not given (NULL: none). */
struct sl_option_set {
	const struct sl_option *options;
	size_t n;
	void *values;
	const char *env_prefix;
};

/* Parse argv[1…] by the @n_sets tables.  With @stop_at_word, parsing ends at the
 * first word that is no option; otherwise words and options mix, and what is left
 * at the end of the (reordered) argv are the words.  *first is the index of the
 * first word.  SL_USAGE on anything unknown. */
int sl_options_parse(int argc, char **argv, const struct sl_option_set *sets, size_t n_sets, int stop_at_word,
		     int *first, struct sl_error *err) SL_MUST_CHECK;

/* Take what the environment says for options that were not given. */
int sl_options_environment(const struct sl_option_set *set, struct sl_error *err) SL_MUST_CHECK;

/* Print the table as a help text. */
void sl_options_help(const struct sl_option *options, size_t n);

#endif
