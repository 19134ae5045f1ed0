/* SPDX-License-Identifier: Apache-2.0 */
#include "image/digest.h"

#include <stdio.h>
#include <string.h>

#include "base/sha256.h"

static const char prefix[] = "sha256:";
#define PREFIX_LEN (sizeof(prefix) - 1)

bool sl_digest_from_hex(const char *hex, struct sl_digest *out)
{
	out->text[0] = '\0';
	if (strspn(hex, "0123456789abcdef") < SL_SHA256_HEX)
		return false;
	memcpy(out->text, prefix, PREFIX_LEN);
	memcpy(out->text + PREFIX_LEN, hex, SL_SHA256_HEX);
	out->text[PREFIX_LEN + SL_SHA256_HEX] = '\0';
	return true;
}

bool sl_digest_parse(const char *text, struct sl_digest *out)
{
	out->text[0] = '\0';
	if (!text || strncmp(text, prefix, PREFIX_LEN) != 0 || strlen(text) != PREFIX_LEN + SL_SHA256_HEX)
		return false;
	return sl_digest_from_hex(text + PREFIX_LEN, out);
}

bool sl_digest_equal(const struct sl_digest *a, const struct sl_digest *b)
{
	return sl_digest_known(a) && !strcmp(a->text, b->text);
}

const char *sl_digest_hex(const struct sl_digest *d)
{
	return sl_digest_known(d) ? d->text + PREFIX_LEN : d->text;
}

void sl_digest_of(const void *data, size_t len, struct sl_digest *out)
{
	char hex[SL_SHA256_HEX + 1];
	sl_sha256_hex(data, len, hex);
	sl_digest_from_hex(hex, out);
}

void sl_chain_next(const struct sl_digest *parent, const struct sl_digest *diff_id, struct sl_digest *out)
{
	if (!sl_digest_known(parent)) {
		*out = *diff_id;
		return;
	}
	char both[2 * SL_DIGEST_MAX + 1];
	int len = snprintf(both, sizeof(both), "%s %s", parent->text, diff_id->text);
	sl_digest_of(both, (size_t)len, out);
}
