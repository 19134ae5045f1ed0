/* SPDX-License-Identifier: Apache-2.0 */
#include "base/sha256.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

struct sl_sha256 {
	EVP_MD_CTX *ctx;
};

static void to_hex(const unsigned char *raw, char hex[SL_SHA256_HEX + 1])
{
	static const char digits[] = "0123456789abcdef";
	for (size_t i = 0; i < SL_SHA256_HEX / 2; i++) {
		hex[2 * i] = digits[raw[i] >> 4];
		hex[2 * i + 1] = digits[raw[i] & 15];
	}
	hex[SL_SHA256_HEX] = '\0';
}

struct sl_sha256 *sl_sha256_new(void)
{
	struct sl_sha256 *hash = calloc(1, sizeof(*hash));
	if (!hash)
		return NULL;
	hash->ctx = EVP_MD_CTX_new();
	if (!hash->ctx || EVP_DigestInit_ex(hash->ctx, EVP_sha256(), NULL) != 1) {
		sl_sha256_free(hash);
		return NULL;
	}
	return hash;
}

void sl_sha256_free(struct sl_sha256 *hash)
{
	if (!hash)
		return;
	EVP_MD_CTX_free(hash->ctx);
	free(hash);
}

void sl_sha256_update(struct sl_sha256 *hash, const void *data, size_t len)
{
	EVP_DigestUpdate(hash->ctx, data, len);
}

void sl_sha256_final(struct sl_sha256 *hash, char hex[SL_SHA256_HEX + 1])
{
	unsigned char raw[EVP_MAX_MD_SIZE] = { 0 };
	EVP_DigestFinal_ex(hash->ctx, raw, NULL);
	to_hex(raw, hex);
	EVP_DigestInit_ex(hash->ctx, EVP_sha256(), NULL);
}

void sl_sha256_hex(const void *data, size_t len, char hex[SL_SHA256_HEX + 1])
{
	unsigned char raw[EVP_MAX_MD_SIZE] = { 0 };
	EVP_Digest(data, len, raw, NULL, EVP_sha256(), NULL);
	to_hex(raw, hex);
}
