/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_BASE_BASE64_H
#define SL_BASE_BASE64_H

/* Base64 (RFC 4648) by OpenSSL. */

#include <stdbool.h>

#include "base/buf.h"

/* @text encoded, padded, in one line; @url: with the alphabet of section 5.  The
 * caller frees it; NULL when memory is out. */
char *sl_base64(const char *text, bool url);

/* Append what @text stands for, blanks and line ends passed over; -1 when it is no
 * base64 or memory is out. */
int sl_base64_decode(const char *text, struct sl_buf *out) SL_MUST_CHECK;

#endif
