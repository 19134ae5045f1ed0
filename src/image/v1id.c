/* SPDX-License-Identifier: Apache-2.0 */
#include "image/v1id.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/sha256.h"

/* Append @value as Go's encoding/json writes it: compact, HTML characters
 * escaped (they can stand in strings only). */
static int put_go(struct sl_buf *buf, const json_t *value)
{
	sl_autofree char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
	if (!text)
		return -1;
	for (const char *p = text; *p; p++) {
		int bad = *p == '<' ? sl_buf_puts(buf, "\\u003c") :
			  *p == '>' ? sl_buf_puts(buf, "\\u003e") :
			  *p == '&' ? sl_buf_puts(buf, "\\u0026") : sl_buf_add(buf, p, 1);
		if (bad)
			return -1;
	}
	return 0;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The text that is hashed, cut where the chain ID goes: Go writes a map sorted
 * by key, "layer_id" among them. */
static int preimage(const json_t *doc, bool with_os, struct sl_buf *head, struct sl_buf *tail)
{
	const char *keys[64];
	size_t n = 0;
	const char *key;
	json_t *value;
	json_object_foreach((json_t *)doc, key, value) {
		if (!strcmp(key, "id") || !strcmp(key, "layer_id") || (!with_os && !strcmp(key, "os")))
			continue;
		if (n == sizeof(keys) / sizeof(keys[0]))
			return -1;
		keys[n++] = key;
	}
	qsort(keys, n, sizeof(keys[0]), by_name);
	struct sl_buf *to = head;
	sl_buf_puts(head, "{");
	for (size_t i = 0; i < n; i++) {
		if (to == head && strcmp(keys[i], "layer_id") > 0) {
			sl_buf_printf(head, "%s\"layer_id\":\"", i ? "," : "");
			sl_buf_puts(tail, "\"");
			to = tail;
		}
		value = json_object_get(doc, keys[i]);
		sl_buf_printf(to, "%s\"%s\":", i || to == tail ? "," : "", keys[i]);
		if (!strcmp(keys[i], "parent") && json_is_string(value))
			sl_buf_printf(to, "\"sha256:%s\"", json_string_value(value));
		else if (put_go(to, value) < 0)
			return -1;
	}
	if (to == head) {
		sl_buf_printf(head, "%s\"layer_id\":\"", n ? "," : "");
		sl_buf_puts(tail, "\"");
	}
	sl_buf_puts(tail, "}");
	return head->failed || tail->failed ? -1 : 0;
}

static int match(const struct sl_image *image, const char *hex, const json_t *doc, bool with_os)
{
	sl_autobuf struct sl_buf head = SL_BUF_INIT, tail = SL_BUF_INIT;
	if (preimage(doc, with_os, &head, &tail) < 0)
		return -1;
	struct sl_sha256 *hash = sl_sha256_new();
	int found = -1;
	for (size_t i = 0; hash && found < 0 && i < image->n_layers; i++) {
		char got[SL_SHA256_HEX + 1];
		sl_sha256_update(hash, head.data, head.len);
		sl_sha256_update(hash, image->layers[i].chain_id.text, strlen(image->layers[i].chain_id.text));
		sl_sha256_update(hash, tail.data, tail.len);
		sl_sha256_final(hash, got);
		if (!strncmp(got, hex, SL_SHA256_HEX))
			found = (int)i;
	}
	sl_sha256_free(hash);
	return found;
}

int sl_v1id_position(const struct sl_image *image, const char *hex, const char *text, size_t len)
{
	sl_autojson json_t *doc = sl_json_parse(text, len, "v1 json", NULL);
	if (!json_is_object(doc))
		return -1;
	/* for all layers but the top one "os" was added after hashing */
	int at = match(image, hex, doc, false);
	return at >= 0 ? at : match(image, hex, doc, true);
}
