/* SPDX-License-Identifier: Apache-2.0 */
#include "flow/dockerignore.h"

#include <ctype.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

/*
 * A pattern is a chain of steps that is walked for all its beginnings at once, so no
 * pattern takes longer than its length times the path's.
 */
enum step_kind {
	ONE,       /* this character */
	ANY,       /* ?: any but / */
	CLASS,     /* [...] */
	STAR,      /* *: any number but / */
	ALL,       /* ** at the end: whatever is left */
	DIRS,      /* ** elsewhere: nothing, or what INSIDE takes */
	INSIDE,    /* up to a / and with it, any number of times */
};

struct step {
	enum step_kind kind;
	uint32_t rune;
	const char *class; /* behind [; borrowed from the pattern's text */
};

struct sl_ignore_pattern {
	char *text; /* cleaned */
	bool exception;
	struct step *steps;
	size_t n_steps;
};

void sl_ignore_release(struct sl_ignore *ignore)
{
	for (size_t i = 0; i < ignore->n; i++) {
		free(ignore->patterns[i].text);
		free(ignore->patterns[i].steps);
	}
	free(ignore->patterns);
	*ignore = (struct sl_ignore)SL_IGNORE_INIT;
}

/* The character at *@at, which moves behind it; a byte that is none stands for itself. */
static uint32_t next_rune(const char **at)
{
	const unsigned char *p = (const unsigned char *)*at;
	size_t more = *p >= 0xf0 ? 3 : *p >= 0xe0 ? 2 : *p >= 0xc0 ? 1 : 0;
	uint32_t rune = more == 3 ? *p & 7u : more == 2 ? *p & 15u : more ? *p & 31u : *p;
	for (size_t i = 1; i <= more; i++) {
		if ((p[i] & 0xc0) != 0x80) {
			more = 0;
			rune = *p;
			break;
		}
		rune = rune << 6 | (p[i] & 63u);
	}
	*at += more + 1;
	return rune;
}

/* ---- lines ---- */

/* As Go's filepath.Clean(), in place: no empty parts, no `.`, no `..` behind a name. */
static void clean(char *path)
{
	bool rooted = *path == '/';
	char *out = path + rooted, *floor = out;
	for (const char *at = path + rooted; *at;) {
		size_t len = strcspn(at, "/");
		if (len == 2 && at[0] == '.' && at[1] == '.') {
			if (out > floor) {
				while (--out > floor && *out != '/')
					;
			} else if (!rooted) {
				if (out > path)
					*out++ = '/';
				*out++ = '.';
				*out++ = '.';
				floor = out;
			}
		} else if (len && !(len == 1 && *at == '.')) {
			if (out > path + rooted)
				*out++ = '/';
			memmove(out, at, len);
			out += len;
		}
		at += len + (at[len] == '/');
	}
	if (out == path)
		*out++ = '.';
	*out = '\0';
}

static char *trim(char *text)
{
	while (isspace((unsigned char)*text))
		text++;
	size_t len = strlen(text);
	while (len && isspace((unsigned char)text[len - 1]))
		text[--len] = '\0';
	return text;
}

/* ---- patterns ---- */

/* A member of a class, as Go's filepath.Match() takes it; false where it refuses. */
static bool class_member(const char **at, uint32_t *rune)
{
	if (!**at || **at == '-' || **at == ']')
		return false;
	if (**at == '\\' && !*++*at)
		return false;
	*rune = next_rune(at);
	return **at != '\0';
}

/* Behind the class that begins at @at (behind its [); NULL when it is none.  With
 * @rune: whether that is in it, in *in. */
static const char *walk_class(const char *at, uint32_t rune, bool *in)
{
	bool inverse = *at == '^', found = false;
	size_t n = 0;
	at += inverse;
	for (; *at != ']' || !n; n++) {
		uint32_t low, high;
		if (!class_member(&at, &low))
			return NULL;
		high = low;
		if (*at == '-') {
			at++;
			if (!class_member(&at, &high))
				return NULL;
		}
		found = found || (low <= rune && rune <= high);
	}
	*in = found != inverse;
	return at + 1;
}

static void add_step(struct sl_ignore_pattern *pattern, enum step_kind kind, uint32_t rune, const char *class)
{
	pattern->steps[pattern->n_steps++] = (struct step){ kind, rune, class };
}

/* -1 where docker refuses the pattern. */
static int compile(struct sl_ignore_pattern *pattern)
{
	const char *at = pattern->text;
	bool ignored;
	/* a quirk of docker's: this one takes part of a name as well */
	if (!strncmp(at, "**", 2) && at[2] && at[2] != '/' && !strpbrk(at + 2, "*?[]\\")) {
		add_step(pattern, ALL, 0, NULL);
		at += 2;
	}
	while (*at) {
		if (at[0] == '*' && at[1] == '*') {
			at += 2;
			at += *at == '/';
			if (*at)
				add_step(pattern, DIRS, 0, NULL);
			add_step(pattern, *at ? INSIDE : ALL, 0, NULL);
		} else if (*at == '*') {
			add_step(pattern, STAR, 0, NULL);
			at++;
		} else if (*at == '?') {
			add_step(pattern, ANY, 0, NULL);
			at++;
		} else if (*at == '[') {
			add_step(pattern, CLASS, 0, at + 1);
			at = walk_class(at + 1, 0, &ignored);
			if (!at)
				return -1;
		} else {
			if (*at == '\\' && !*++at)
				return -1;
			add_step(pattern, ONE, next_rune(&at), NULL);
		}
	}
	return 0;
}

static int add(struct sl_ignore *out, const char *text, bool exception, struct sl_error *err)
{
	struct sl_ignore_pattern *patterns = realloc(out->patterns, (out->n + 1) * sizeof(*patterns));
	if (!patterns)
		return sl_error_nomem(err);
	out->patterns = patterns;
	struct sl_ignore_pattern *pattern = &patterns[out->n++];
	*pattern = (struct sl_ignore_pattern){ .text = strdup(text), .exception = exception,
					       .steps = calloc(2 * strlen(text) + 1, sizeof(*pattern->steps)) };
	if (!pattern->text || !pattern->steps)
		return sl_error_nomem(err);
	out->exceptions = out->exceptions || exception;
	return compile(pattern) < 0 ? sl_error_set(err, SL_FAILED, "'%s' is no pattern; docker refuses it as well", text) : 0;
}

static int take_line(struct sl_ignore *out, char *line, struct sl_error *err)
{
	if (*line == '#')
		return 0;
	line = trim(line);
	bool exception = *line == '!';
	if (exception)
		line = trim(line + 1);
	if (!*line)
		return exception ? sl_error_set(err, SL_FAILED, "'!' is no pattern; docker refuses it as well") : 0;
	clean(line);
	return add(out, line[0] == '/' && line[1] ? line + 1 : line, exception, err);
}

int sl_ignore_parse(const char *text, size_t len, struct sl_ignore *out, struct sl_error *err)
{
	const char *end = text + len;
	*out = (struct sl_ignore)SL_IGNORE_INIT;
	if (len >= 3 && !memcmp(text, "\xef\xbb\xbf", 3))
		text += 3;
	for (size_t number = 1; text < end; number++) {
		char line[SL_IGNORE_LINE + 2]; /* clean() may make "" a "." */
		const char *stop = memchr(text, '\n', (size_t)(end - text));
		size_t n = (size_t)((stop ? stop : end) - text);
		if (n >= SL_IGNORE_LINE || number > SL_IGNORE_LINES || memchr(text, '\0', n)) {
			sl_ignore_release(out);
			return sl_error_set(err, SL_FAILED, "line %zu: too long, too many, or not text", number);
		}
		memcpy(line, text, n);
		line[n] = '\0';
		if (take_line(out, line, err) < 0) {
			sl_ignore_release(out);
			return sl_error_wrap(err, "line %zu", number);
		}
		text = stop ? stop + 1 : end;
	}
	return 0;
}

/* ---- matching ---- */

/* Reach step @i, and those that may be reached from there without a character. */
static void reach(const struct sl_ignore_pattern *pattern, bool *at, size_t i)
{
	while (i <= pattern->n_steps && !at[i]) {
		enum step_kind kind = i < pattern->n_steps ? pattern->steps[i].kind : ONE;
		at[i] = true;
		if (kind == DIRS)
			reach(pattern, at, i + 1);
		if (kind != STAR && kind != ALL && kind != DIRS)
			return;
		i += kind == DIRS ? 2 : 1;
	}
}

/* One step with @rune: where it leads. */
static void advance(const struct sl_ignore_pattern *pattern, size_t i, uint32_t rune, bool *next)
{
	const struct step *step = &pattern->steps[i];
	bool in = false, stays = false, passes = false;
	switch (step->kind) {
	case ONE:
		passes = rune == step->rune;
		break;
	case ANY:
		passes = rune != '/';
		break;
	case CLASS:
		walk_class(step->class, rune, &in);
		passes = in;
		break;
	case STAR:
		stays = rune != '/';
		break;
	case ALL:
		stays = true;
		break;
	case DIRS:
		break;
	case INSIDE:
		stays = true;
		passes = rune == '/';
		break;
	}
	if (stays)
		reach(pattern, next, i);
	if (passes)
		reach(pattern, next, i + 1);
}

static bool matches(const struct sl_ignore_pattern *pattern, const char *path, size_t len)
{
	bool states[2][2 * SL_IGNORE_LINE + 4], *at = states[0], *next = states[1];
	size_t size = pattern->n_steps + 1;
	memset(at, 0, size);
	reach(pattern, at, 0);
	for (const char *p = path; p < path + len;) {
		uint32_t rune = next_rune(&p);
		bool *old = at;
		memset(next, 0, size);
		for (size_t i = 0; i < pattern->n_steps; i++)
			if (at[i])
				advance(pattern, i, rune, next);
		at = next;
		next = old;
	}
	return at[pattern->n_steps];
}

/* @path or a directory above it. */
static bool matches_or_above(const struct sl_ignore_pattern *pattern, const char *path)
{
	for (const char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/'))
		if (matches(pattern, path, (size_t)(slash - path)))
			return true;
	return matches(pattern, path, strlen(path));
}

bool sl_ignore_matches(const struct sl_ignore *ignore, const char *path)
{
	bool ignored = false;
	for (size_t i = 0; i < ignore->n; i++)
		if (ignore->patterns[i].exception == ignored && matches_or_above(&ignore->patterns[i], path))
			ignored = !ignored;
	return ignored;
}

/* Whether the exception can match anything deeper than @path: a part of it that has a
 * ** matches any, the others are compared with @path's by what stands before a wildcard. */
static bool may_be_below(const char *pattern, const char *path)
{
	for (;;) {
		size_t len = strcspn(pattern, "/"), named = strcspn(path, "/");
		size_t fixed = strcspn(pattern, "*?[\\/");
		for (size_t i = 0; i + 1 < len; i++)
			if (pattern[i] == '*' && pattern[i + 1] == '*')
				return true;
		if (fixed == len ? len != named || strncmp(pattern, path, len) != 0 : fixed > named || strncmp(pattern, path, fixed) != 0)
			return false;
		pattern += len;
		path += named;
		if (!*pattern)
			return false;
		if (!*path)
			return true;
		pattern++;
		path++;
	}
}

bool sl_ignore_may_return(const struct sl_ignore *ignore, const char *path)
{
	for (size_t i = 0; i < ignore->n; i++)
		if (ignore->patterns[i].exception && may_be_below(ignore->patterns[i].text, path))
			return true;
	return false;
}
