/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/options.h"

#include <ctype.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OPTIONS_MAX 64
#define ID_BASE 1000

static int set_value(const struct sl_option_set *set, const struct sl_option *option, const char *arg,
		     struct sl_error *err)
{
	void *at = (char *)set->values + option->offset;
	switch (option->kind) {
	case SL_OPTION_FLAG:
		*(bool *)at = true;
		return 0;
	case SL_OPTION_COUNT:
		++*(int *)at;
		return 0;
	case SL_OPTION_TEXT:
		*(const char **)at = arg;
		return 0;
	case SL_OPTION_LIST:
		return sl_strv_add(at, arg) < 0 ? sl_error_nomem(err) : 0;
	}
	return 0;
}

int sl_options_parse(int argc, char **argv, const struct sl_option_set *sets, size_t n_sets, int stop_at_word,
		     int *first, struct sl_error *err)
{
	struct option longs[OPTIONS_MAX + 1] = { 0 };
	const struct sl_option *options[OPTIONS_MAX];
	const struct sl_option_set *owners[OPTIONS_MAX];
	char shorts[2 + 3 * OPTIONS_MAX] = "";
	size_t n = 0, n_short = 0;
	if (stop_at_word)
		shorts[n_short++] = '+';
	shorts[n_short++] = ':';
	for (size_t s = 0; s < n_sets; s++) {
		for (size_t i = 0; i < sets[s].n && n < OPTIONS_MAX; i++, n++) {
			const struct sl_option *option = &sets[s].options[i];
			options[n] = option;
			owners[n] = &sets[s];
			longs[n] = (struct option){ option->name, option->arg ? required_argument : no_argument, NULL,
						    ID_BASE + (int)n };
			if (option->letter) {
				shorts[n_short++] = option->letter;
				if (option->arg)
					shorts[n_short++] = ':';
			}
		}
	}
	shorts[n_short] = '\0';
	optind = 0; /* glibc: start anew */
	opterr = 0;
	int c;
	while ((c = getopt_long(argc, argv, shorts, longs, NULL)) != -1) {
		size_t i = n;
		if (c >= ID_BASE)
			i = (size_t)(c - ID_BASE);
		else if (c != ':' && c != '?')
			for (i = 0; i < n && options[i]->letter != c; i++)
				;
		if (i < n) {
			if (set_value(owners[i], options[i], optarg, err) < 0)
				return -1;
			continue;
		}
		const char *word = argv[optind - 1];
		if (c == ':')
			return sl_error_set(err, SL_USAGE, "option '%s' needs an argument", word);
		if (optopt && optopt < ID_BASE)
			return sl_error_set(err, SL_USAGE, "unknown option '-%c'", optopt);
		return sl_error_set(err, SL_USAGE, optopt ? "option '%s' takes no argument" : "unknown or ambiguous option '%s'", word);
	}
	*first = optind;
	return 0;
}

int sl_options_environment(const struct sl_option_set *set, struct sl_error *err)
{
	for (size_t i = 0; i < set->n; i++) {
		const struct sl_option *option = &set->options[i];
		char name[64];
		if (option->kind != SL_OPTION_TEXT)
			continue;
		snprintf(name, sizeof(name), "%s%s", set->env_prefix, option->name);
		for (char *p = name; *p; p++)
			*p = *p == '-' ? '_' : (char)toupper((unsigned char)*p);
		const char *value = getenv(name);
		const char **at = (const char **)((char *)set->values + option->offset);
		if (value && *value && !*at && set_value(set, option, value, err) < 0)
			return -1;
	}
	return 0;
}

void sl_options_help(const struct sl_option *options, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		char left[64];
		int len = options[i].letter ? snprintf(left, sizeof(left), "-%c, ", options[i].letter)
					    : snprintf(left, sizeof(left), "    ");
		snprintf(left + len, sizeof(left) - (size_t)len, "--%s%s%s", options[i].name, options[i].arg ? " " : "",
			 options[i].arg ? options[i].arg : "");
		printf("  %-28s %s\n", left, options[i].help);
	}
}
