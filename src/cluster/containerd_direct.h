/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_CLUSTER_CONTAINERD_DIRECT_H
#define SL_CLUSTER_CONTAINERD_DIRECT_H

/* What containerd's target knows of the direct way; containerd.h has the calls. */

#include "image/image.h"

/* A small layer, in memory. */
struct sl_held {
	struct sl_digest diff_id;
	struct sl_buf bytes;
	bool packed;
	bool import; /* the direct way is not for it */
};

struct sl_direct {
	bool open;              /* the node can do it */
	struct sl_digest *done; /* chain IDs that were committed by this load */
	size_t n_done, n_keys;
	struct sl_held *held;
	size_t n_held, held_bytes;
	struct sl_buf out;      /* on its way into a frame */
	int64_t announced;      /* bytes that the frame at hand still wants */
	int64_t frame;          /* and how large the one before was */
	struct sl_error write_error;
};

void sl_direct_release(struct sl_direct *direct);

#endif
