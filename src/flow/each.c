/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "base/guest.h"
#include "flow/load.h"

struct visit {
	struct sl_load *load;
	struct sl_load_node *node;
	void (*work)(struct sl_load *load, struct sl_load_node *node, void *ctx);
	void *ctx;
	pthread_t thread;
	bool started;
};

static void *run(void *ctx)
{
	struct visit *visit = ctx;
	sl_guest_thread();
	visit->work(visit->load, visit->node, visit->ctx);
	return NULL;
}

int sl_each_node(struct sl_load *load, void (*work)(struct sl_load *load, struct sl_load_node *node, void *ctx), void *ctx,
		 struct sl_error *err)
{
	struct visit *visits = calloc(load->n_nodes ? load->n_nodes : 1, sizeof(*visits));
	if (!visits)
		return sl_error_nomem(err);
	for (size_t k = 0; k < load->n_nodes; k++) {
		visits[k] = (struct visit){ .load = load, .node = &load->nodes[k], .work = work, .ctx = ctx };
		visits[k].started = pthread_create(&visits[k].thread, NULL, run, &visits[k]) == 0;
		if (!visits[k].started)
			work(load, &load->nodes[k], ctx);
	}
	for (size_t k = 0; k < load->n_nodes; k++)
		if (visits[k].started)
			pthread_join(visits[k].thread, NULL);
	free(visits);
	return 0;
}
