/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_FLOW_RESULT_H
#define SL_FLOW_RESULT_H

/* What the library's caller is told of a load. */

#include "flow/load.h"

/* Of @load, which may be released afterwards; freed by sidelift_result_free().  NULL
 * when memory is out. */
struct sidelift_result *sl_result_of(const struct sl_load *load) SL_MUST_CHECK;

#endif
