/* SPDX-License-Identifier: Apache-2.0 */
#include "base/strv.h"

#include <stdlib.h>
#include <string.h>

void sl_strv_release(struct sl_strv *strv)
{
	for (size_t i = 0; i < strv->n; i++)
		free(strv->items[i]);
	free(strv->items);
	*strv = (struct sl_strv)SL_STRV_INIT;
}

int sl_strv_add(struct sl_strv *strv, const char *text)
{
	char **items = realloc(strv->items, (strv->n + 1) * sizeof(*items));
	if (!items)
		return -1;
	strv->items = items;
	items[strv->n] = strdup(text);
	if (!items[strv->n])
		return -1;
	strv->n++;
	return 0;
}

bool sl_strv_has(const struct sl_strv *strv, const char *text)
{
	for (size_t i = 0; i < strv->n; i++)
		if (!strcmp(strv->items[i], text))
			return true;
	return false;
}

int sl_strv_add_new(struct sl_strv *strv, const char *text)
{
	return sl_strv_has(strv, text) ? 0 : sl_strv_add(strv, text);
}
