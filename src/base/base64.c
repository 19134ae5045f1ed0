/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base64.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

char *sl_base64(const char *text, bool url)
{
	size_t len = strlen(text);
	char *out = malloc(len / 3 * 4 + 5);
	if (!out)
		return NULL;
	EVP_EncodeBlock((unsigned char *)out, (const unsigned char *)text, (int)len);
	for (char *p = out; url && *p; p++)
		*p = *p == '+' ? '-' : *p == '/' ? '_' : *p;
	return out;
}

int sl_base64_decode(const char *text, struct sl_buf *out)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	unsigned value = 0, bits = 0;
	for (; *text && *text != '='; text++) {
		const char *digit = strchr(digits, *text);
		if (strchr(" \t\r\n", *text))
			continue;
		if (!digit)
			return -1;
		value = value << 6 | (unsigned)(digit - digits);
		bits += 6;
		if (bits >= 8) {
			char byte = (char)(value >> (bits -= 8));
			if (sl_buf_add(out, &byte, 1) < 0)
				return -1;
		}
	}
	return 0;
}
