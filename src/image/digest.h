/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_IMAGE_DIGEST_H
#define SL_IMAGE_DIGEST_H

/*
 * Digests ("sha256:" and 64 lower-case hex digits) as values, and the chain IDs
 * made of them (OCI image spec, config.md, "Layer ChainID").  An empty digest
 * (text[0] == 0) stands for "not known".
 */

#include <stdbool.h>
#include <stddef.h>

#define SL_DIGEST_MAX 72

struct sl_digest {
	char text[SL_DIGEST_MAX];
};

#define SL_DIGEST_NONE { "" }

static inline bool sl_digest_known(const struct sl_digest *d)
{
	return d->text[0] != '\0';
}

/* Take @text, which must be sha256:<64 hex>; false (and *out empty) otherwise. */
bool sl_digest_parse(const char *text, struct sl_digest *out);

/* Take 64 hex digits at @hex (more may follow); false otherwise. */
bool sl_digest_from_hex(const char *hex, struct sl_digest *out);

bool sl_digest_equal(const struct sl_digest *a, const struct sl_digest *b);

/* The 64 hex digits; borrowed from @d. */
const char *sl_digest_hex(const struct sl_digest *d);

/* The digest of @len bytes at @data. */
void sl_digest_of(const void *data, size_t len, struct sl_digest *out);

/* chain(n) from chain(n-1), which is empty for the first layer. */
void sl_chain_next(const struct sl_digest *parent, const struct sl_digest *diff_id, struct sl_digest *out);

#endif
