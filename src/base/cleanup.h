/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_BASE_CLEANUP_H
#define SL_BASE_CLEANUP_H

/*
 * Scope cleanup by attribute.  A variable with one of these is always
 * initialised where it is declared; to hand its value to somebody else, steal
 * it:
 *
 *	sl_autofree char *name = strdup(text);
 *	...
 *	*name_out = SL_STEAL(name);
 */

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define SL_CLEANUP(function) __attribute__((cleanup(function)))

/* The value of pointer @p, which is NULL afterwards. */
#define SL_STEAL(p)                        \
	__extension__({                    \
		__typeof__(p) stolen_ = (p); \
		(p) = NULL;                \
		stolen_;                   \
	})

static inline void sl_cleanup_free(void *p)
{
	free(*(void **)p);
}

static inline void sl_cleanup_close(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

static inline void sl_cleanup_file(FILE **file)
{
	if (*file)
		fclose(*file);
}

static inline void sl_cleanup_json(json_t **json)
{
	json_decref(*json);
}

#define sl_autofree SL_CLEANUP(sl_cleanup_free)
#define sl_autoclose SL_CLEANUP(sl_cleanup_close)
#define sl_autofile SL_CLEANUP(sl_cleanup_file)
#define sl_autojson SL_CLEANUP(sl_cleanup_json)

#endif
