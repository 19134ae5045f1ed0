/* SPDX-License-Identifier: Apache-2.0 */
#include "base/json.h"

json_t *sl_json_parse(const char *text, size_t len, const char *what, struct sl_error *err)
{
	json_error_t why;
	json_t *json = json_loadb(text ? text : "", text ? len : 0, JSON_ALLOW_NUL, &why);
	if (!json)
		sl_error_set(err, SL_FAILED, "%s is not valid JSON (line %d: %s)", what, why.line, why.text);
	return json;
}

const char *sl_json_str(const json_t *obj, const char *key)
{
	return json_string_value(json_object_get(obj, key));
}

json_int_t sl_json_int(const json_t *obj, const char *key, json_int_t fallback)
{
	const json_t *value = json_object_get(obj, key);
	return json_is_integer(value) ? json_integer_value(value) : fallback;
}

static int put(const char *data, size_t len, void *buf)
{
	return sl_buf_add(buf, data, len);
}

int sl_json_put(struct sl_buf *buf, const json_t *json, size_t flags)
{
	return json_dump_callback(json, put, buf, flags | JSON_ENCODE_ANY);
}
