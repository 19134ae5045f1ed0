/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_BASE_JSON_H
#define SL_BASE_JSON_H

/* Reading what peers send: bounded, with errors that say whose text it was. */

#include <jansson.h>

#include "base/buf.h"

/* Parse @len bytes as one JSON value; @what names it in the error ("the config
 * of image 'app'").  The caller decrefs the result; NULL on failure. */
json_t *sl_json_parse(const char *text, size_t len, const char *what, struct sl_error *err) SL_MUST_CHECK;

/* The string at @key of object @obj, or NULL when it is absent or no string;
 * borrowed from @obj, which may be NULL. */
const char *sl_json_str(const json_t *obj, const char *key);

/* The integer at @key, or @fallback. */
json_int_t sl_json_int(const json_t *obj, const char *key, json_int_t fallback);

/* Append @json to @buf with @flags of json_dumps(); 0 or -1. */
int sl_json_put(struct sl_buf *buf, const json_t *json, size_t flags);

#endif
