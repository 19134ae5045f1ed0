/* SPDX-License-Identifier: Apache-2.0 */
#include "manifest/diff.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

#define CONTEXT 3 /* lines */

/* Lines that go, and the text of those that come; a line ends at LF only, as
 * diff and patch have it. */
struct change {
	size_t first, last; /* lines of the old text: [first, last) */
	const char *text;
	size_t len, lines; /* of the new text */
};

struct differ {
	const char *old;
	size_t *starts; /* of each line of the old text, and its end */
	size_t lines;
	struct change *changes;
	size_t n;
	struct sl_buf *out;
};

static size_t count_lines(const char *text, size_t len)
{
	size_t n = 0;
	for (const char *p = text, *end = text + len; p < end; n++) {
		const char *newline = memchr(p, '\n', (size_t)(end - p));
		p = newline ? newline + 1 : end;
	}
	return n;
}

static size_t line_length(const char *text, size_t len)
{
	const char *newline = memchr(text, '\n', len);
	return newline ? (size_t)(newline + 1 - text) : len;
}

static int index_lines(struct differ *differ, size_t len)
{
	differ->lines = count_lines(differ->old, len);
	differ->starts = malloc((differ->lines + 1) * sizeof(*differ->starts));
	if (!differ->starts)
		return -1;
	size_t at = 0;
	for (size_t i = 0; i < differ->lines; i++) {
		differ->starts[i] = at;
		at += line_length(differ->old + at, len - at);
	}
	differ->starts[differ->lines] = len;
	return 0;
}

/* Leave out of @change the lines at both its ends that stay. */
static void trim(const struct differ *differ, struct change *change)
{
	while (change->first < change->last && change->len) {
		size_t start = differ->starts[change->first], old = differ->starts[change->first + 1] - start;
		size_t new = line_length(change->text, change->len);
		if (old != new || memcmp(differ->old + start, change->text, new) != 0)
			break;
		change->first++;
		change->text += new;
		change->len -= new;
	}
	while (change->first < change->last) {
		size_t start = differ->starts[change->last - 1], old = differ->starts[change->last] - start;
		size_t rest = change->len - old;
		if (old > change->len || memcmp(differ->old + start, change->text + rest, old) != 0 ||
		    (rest && change->text[rest - 1] != '\n'))
			break;
		change->last--;
		change->len = rest;
	}
	change->lines = count_lines(change->text, change->len);
}

/* Widen every splice to whole lines; those that share a line are one change. */
static int find_changes(struct differ *differ, const struct sl_rewrite *rewrite)
{
	differ->changes = calloc(rewrite->splices.n, sizeof(*differ->changes));
	if (!differ->changes)
		return -1;
	size_t line = 0, new_start = 0; /* of the change that is being collected */
	size_t added = 0, gone = 0;     /* by the splices so far */
	for (size_t i = 0; i < rewrite->splices.n; i++) {
		const struct sl_splice *splice = &rewrite->splices.items[i];
		struct change *change = differ->n ? &differ->changes[differ->n - 1] : NULL;
		while (line + 1 < differ->lines && differ->starts[line + 1] <= splice->start)
			line++;
		if (!change || line >= change->last) {
			change = &differ->changes[differ->n++];
			change->first = change->last = line;
			new_start = differ->starts[line] + added - gone;
		}
		added += strlen(splice->text);
		gone += splice->end - splice->start;
		/* a line whose break goes is joined with the next one */
		while (change->last < differ->lines && (change->last <= line || differ->starts[change->last] <= splice->end))
			change->last++;
		change->text = rewrite->text.data + new_start;
		change->len = differ->starts[change->last] + added - gone - new_start;
	}
	for (size_t i = 0; i < differ->n; i++)
		trim(differ, &differ->changes[i]);
	return 0;
}

static void put_lines(struct sl_buf *out, char mark, const char *text, size_t len)
{
	for (size_t n; len; text += n, len -= n) {
		n = line_length(text, len);
		sl_buf_add(out, &mark, 1);
		sl_buf_add(out, text, n);
		if (text[n - 1] != '\n')
			sl_buf_puts(out, "\n\\ No newline at end of file\n");
	}
}

static void put_old(const struct differ *differ, char mark, size_t first, size_t last)
{
	put_lines(differ->out, mark, differ->old + differ->starts[first], differ->starts[last] - differ->starts[first]);
}

/* "7,3"; a count of one is left out, and nothing stands behind the line before. */
static void put_range(struct sl_buf *out, char mark, size_t before, size_t lines)
{
	sl_buf_printf(out, " %c%zu", mark, lines ? before + 1 : before);
	if (lines != 1)
		sl_buf_printf(out, ",%zu", lines);
}

/* The hunk of the changes from @i to before @end; @shift lines came (modulo
 * SIZE_MAX + 1) in the hunks before it. */
static void put_hunk(const struct differ *differ, size_t i, size_t end, size_t shift)
{
	const struct change *changes = differ->changes;
	size_t first = changes[i].first > CONTEXT ? changes[i].first - CONTEXT : 0;
	size_t last = differ->lines - changes[end - 1].last > CONTEXT ? changes[end - 1].last + CONTEXT : differ->lines;
	size_t lines = last - first;
	for (size_t j = i; j < end; j++)
		lines += changes[j].lines - (changes[j].last - changes[j].first);
	sl_buf_puts(differ->out, "@@");
	put_range(differ->out, '-', first, last - first);
	put_range(differ->out, '+', first + shift, lines);
	sl_buf_puts(differ->out, " @@\n");
	for (; i < end; first = changes[i++].last) {
		put_old(differ, ' ', first, changes[i].first);
		put_old(differ, '-', changes[i].first, changes[i].last);
		put_lines(differ->out, '+', changes[i].text, changes[i].len);
	}
	put_old(differ, ' ', first, last);
}

static void put_hunks(const struct differ *differ)
{
	size_t shift = 0;
	for (size_t i = 0, end; i < differ->n; i = end) {
		end = i + 1;
		while (end < differ->n && differ->changes[end].first - differ->changes[end - 1].last <= 2 * CONTEXT)
			end++;
		put_hunk(differ, i, end, shift);
		for (size_t j = i; j < end; j++)
			shift += differ->changes[j].lines - (differ->changes[j].last - differ->changes[j].first);
	}
}

int sl_diff_unified(const char *name, const char *text, size_t len, const struct sl_rewrite *rewrite,
		    struct sl_buf *out, struct sl_error *err)
{
	if (!rewrite->splices.n)
		return 0;
	struct differ differ = { .old = text, .out = out };
	int failed = index_lines(&differ, len) < 0 || find_changes(&differ, rewrite) < 0;
	if (!failed) {
		sl_buf_printf(out, "--- %s\n+++ %s\n", name, name);
		put_hunks(&differ);
	}
	free(differ.starts);
	free(differ.changes);
	return failed || out->failed ? sl_error_nomem(err) : 0;
}
