/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_BASE_STRV_H
#define SL_BASE_STRV_H

/* A list of owned strings. */

#include <stdbool.h>
#include <stddef.h>

struct sl_strv {
	char **items;
	size_t n;
};

#define SL_STRV_INIT { NULL, 0 }

void sl_strv_release(struct sl_strv *strv);
#define sl_autostrv SL_CLEANUP(sl_strv_release)

/* Append a copy of @text; 0, or -1 when memory is out. */
int sl_strv_add(struct sl_strv *strv, const char *text);

bool sl_strv_has(const struct sl_strv *strv, const char *text);

/* Append a copy of @text unless it is there already; 0 or -1. */
int sl_strv_add_new(struct sl_strv *strv, const char *text);

#endif
