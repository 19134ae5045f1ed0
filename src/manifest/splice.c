/* SPDX-License-Identifier: Apache-2.0 */
#include "manifest/splice.h"

#include <stdlib.h>
#include <string.h>

void sl_splices_release(struct sl_splices *splices)
{
	for (size_t i = 0; i < splices->n; i++)
		free(splices->items[i].text);
	free(splices->items);
	*splices = (struct sl_splices)SL_SPLICES_INIT;
}

int sl_splices_add(struct sl_splices *splices, size_t start, size_t end, const char *text, struct sl_error *err)
{
	if (splices->n == splices->size) {
		size_t size = splices->size ? splices->size * 2 : 16;
		struct sl_splice *items = realloc(splices->items, size * sizeof(*items));
		if (!items)
			return sl_error_nomem(err);
		splices->items = items;
		splices->size = size;
	}
	char *copy = strdup(text);
	if (!copy)
		return sl_error_nomem(err);
	splices->items[splices->n] = (struct sl_splice){ start, end, copy, splices->n };
	splices->n++;
	return 0;
}

static int compare(const void *left, const void *right)
{
	const struct sl_splice *a = left, *b = right;
	if (a->start != b->start)
		return a->start < b->start ? -1 : 1;
	return a->order < b->order ? -1 : a->order > b->order;
}

int sl_splices_apply(struct sl_splices *splices, const char *text, size_t len, struct sl_buf *out,
		     struct sl_error *err)
{
	if (splices->n)
		qsort(splices->items, splices->n, sizeof(*splices->items), compare);
	size_t done = 0;
	for (size_t i = 0; i < splices->n; i++) {
		const struct sl_splice *splice = &splices->items[i];
		if (splice->start < done || splice->end < splice->start || splice->end > len)
			return sl_error_set(err, SL_FAILED, "two edits at byte %zu overlap", splice->start);
		sl_buf_add(out, text + done, splice->start - done);
		sl_buf_puts(out, splice->text);
		done = splice->end;
	}
	sl_buf_add(out, text + done, len - done);
	return out->failed ? sl_error_set(err, SL_FAILED, "the edited text is too large") : 0;
}
