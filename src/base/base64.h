/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_BASE_BASE64_H
#define SL_BASE_BASE64_H

/* Base64 (RFC 4648) by OpenSSL. */

#include <stdbool.h>

/* @text encoded, padded, in one line; @url: with the alphabet of section 5.  The
 * caller frees it; NULL when memory is out. */
char *sl_base64(const char *text, bool url);

#endif
