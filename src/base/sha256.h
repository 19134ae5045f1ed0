/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_BASE_SHA256_H
#define SL_BASE_SHA256_H

/* SHA-256 by OpenSSL's EVP, whole or as a stream, in lower-case hex. */

#include <stddef.h>

#define SL_SHA256_HEX 64 /* characters, without the NUL */

struct sl_sha256; /* a running hash */

/* NULL when memory is out. */
struct sl_sha256 *sl_sha256_new(void);
void sl_sha256_free(struct sl_sha256 *hash); /* NULL is fine */

void sl_sha256_update(struct sl_sha256 *hash, const void *data, size_t len);

/* Write the hex digest and its NUL to @hex.  The hash starts anew afterwards. */
void sl_sha256_final(struct sl_sha256 *hash, char hex[SL_SHA256_HEX + 1]);

/* The digest of @len bytes at @data. */
void sl_sha256_hex(const void *data, size_t len, char hex[SL_SHA256_HEX + 1]);

#endif
