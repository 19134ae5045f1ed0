/* SPDX-License-Identifier: Apache-2.0 */
#include "flow/sideloaded.h"

#include <string.h>

#include "flow/load.h"

/* Of @list, the names that the engine has for the same image. */
static int compare(const struct sl_engine *engine, const struct sl_listed *list, size_t n, struct sl_strv *names,
		   struct sl_error *err)
{
	int rc = 0;
	for (size_t i = 0; i < n && rc == 0; i++) {
		struct sl_image image = { 0 };
		if (strncmp(list[i].name, "sha256:", 7) != 0 && sl_engine_inspect(engine, list[i].name, &image, NULL) == 0 &&
		    sl_digest_equal(&image.config, &list[i].config) && sl_strv_add_new(names, list[i].name) < 0)
			rc = sl_error_nomem(err);
		sl_image_release(&image);
	}
	return rc;
}

static int ask(struct sl_target *target, const struct sl_engine *engine, struct sl_strv *names, struct sl_error *err)
{
	struct sl_listed *list;
	size_t n;
	int told = sl_target_sideloaded(target, names, err);
	if (told)
		return told < 0 ? -1 : 0;
	if (!engine)
		return sl_error_set(err, SL_FAILED, "its %s keeps no record of what was loaded, and there is no engine to compare with",
				    target->ops->runtime);
	if (sl_target_list(target, &list, &n, err) < 0)
		return -1;
	int rc = compare(engine, list, n, names, err);
	sl_listed_free(list, n);
	return rc;
}

static int collect(const struct sl_load *load, const struct sl_engine *engine, struct sl_strv *names, struct sl_error *err)
{
	for (size_t k = 0; k < load->n_nodes; k++) {
		const struct sl_load_node *node = &load->nodes[k];
		if (!node->target && err)
			*err = node->error;
		if (!node->target || ask(node->target, engine, names, err) < 0)
			return sl_error_wrap(err, "node '%s'", node->node->name);
	}
	return 0;
}

int sl_sideloaded(const struct sl_cluster *cluster, const struct sl_engine *engine, const struct sl_cancel *cancel,
		  struct sl_strv *names, struct sl_error *err)
{
	struct sl_load load = { .cluster = cluster, .cancel = cancel };
	int rc = sl_load_open(&load, err) < 0 ? -1 : collect(&load, engine, names, err);
	sl_load_release(&load);
	return rc;
}
