/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_CLI_PLUGIN_H
#define SL_CLI_PLUGIN_H

/*
 * sidelift under the names kubectl-sidelift and docker-sidelift, by which kubectl and
 * docker find their plugins: `kubectl sidelift up`, `docker sidelift load`.  There the
 * hosts' own options keep their meaning: --context is a kube context to one and a
 * docker context to the other.
 */

#include <stdbool.h>

#include "base/strv.h"

/* The arguments as sidelift would have been given them, into @out, by the name in
 * argv[0].  *metadata: docker asks what plugin this is, and that is the answer to give
 * instead.  0, or -1 when memory is out. */
int sl_plugin_arguments(int argc, char **argv, struct sl_strv *out, bool *metadata);

/* What docker wants to know; static. */
const char *sl_plugin_metadata(void);

#endif
