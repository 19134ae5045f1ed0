/* SPDX-License-Identifier: Apache-2.0 */
#include "flow/facts.h"

#include <string.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "flow/schedule.h"

void sl_facts_release(struct sl_facts *facts)
{
	sl_holdings_release(&facts->holdings);
	json_decref(facts->nodes);
	sl_strv_release(&facts->local);
	*facts = (struct sl_facts){ 0 };
}

/* Where the runtime keeps no record of it, what is in the engine as well counts as
 * side-loaded. */
static bool is_local(const struct sl_holdings *holdings, const struct sl_holding *holding)
{
	for (size_t k = 0; k < holdings->load.n_nodes; k++) {
		const struct sl_held *held = &holding->nodes[k];
		const struct sl_target *target = holdings->load.nodes[k].target;
		if (held->item && (held->item->sideloaded || (target && !target->ops->sideloaded && held->freshness == SL_FRESH_CURRENT)))
			return true;
	}
	return false;
}

int sl_facts_read(const struct sl_cluster *cluster, const struct sl_engine *engine, const struct sl_kubectl *kubectl,
		  const struct sl_cancel *cancel, struct sl_facts *out, struct sl_error *err)
{
	static const char *const args[] = { "get", "nodes", "-o", "json", NULL };
	struct sl_holdings *holdings = &out->holdings;
	*out = (struct sl_facts){ 0 };
	if (sl_holdings_read(cluster, engine, cancel, holdings, err) < 0)
		return -1;
	for (size_t k = 0; k < holdings->load.n_nodes; k++)
		if (holdings->load.nodes[k].error.message[0])
			return sl_error_set(err, SL_FAILED, "node '%s': %s", holdings->load.nodes[k].node->name, holdings->load.nodes[k].error.message);
	for (size_t i = 0; i < holdings->n; i++)
		if (is_local(holdings, &holdings->items[i]) && sl_strv_add(&out->local, holdings->items[i].name) < 0)
			return sl_error_nomem(err);
	struct sl_error why = SL_ERROR_INIT;
	out->nodes = kubectl ? sl_kubectl_objects(kubectl, args, NULL, &why) : NULL;
	if (kubectl && !out->nodes)
		sl_warn("%s; a pod is taken to go to any node", why.message);
	return sl_cancelled(cancel) ? sl_error_set(err, SL_INTERRUPTED, "interrupted") : 0;
}

static bool may_run(const struct sl_facts *facts, const struct sl_pod *pod, const char *node)
{
	size_t i;
	json_t *object;
	if (!facts->nodes)
		return true;
	json_array_foreach(facts->nodes, i, object) {
		const char *name = sl_json_str(json_object_get(object, "metadata"), "name");
		if (name && !strcmp(name, node))
			return sl_schedule_may_run(pod->spec, object);
	}
	return false; /* it is not part of the cluster */
}

/* "3b3c1a… on 'a', 'b'": who has the content @digest. */
static void put_content(const struct sl_holdings *holdings, const struct sl_holding *holding, const struct sl_digest *digest, struct sl_buf *out)
{
	const char *before = " on ";
	sl_buf_printf(out, "%s%.12s", out->len ? "; " : "", sl_digest_hex(digest));
	for (size_t k = 0; k < holdings->load.n_nodes; k++) {
		const struct sl_listed *item = holding->nodes[k].item;
		if (!item || !sl_digest_equal(&item->config, digest))
			continue;
		sl_buf_printf(out, "%s'%s'", before, holdings->load.nodes[k].node->name);
		before = ", ";
	}
	if (sl_digest_known(&holding->engine) && sl_digest_equal(&holding->engine, digest))
		sl_buf_puts(out, *before == ' ' ? " in the engine" : " and in the engine");
}

/* Each content of the name once. */
static void put_contents(const struct sl_holdings *holdings, const struct sl_holding *holding, struct sl_buf *out)
{
	size_t n_nodes = holdings->load.n_nodes, contents = 0;
	for (size_t k = 0; k <= n_nodes; k++) {
		const struct sl_listed *item = k < n_nodes ? holding->nodes[k].item : NULL;
		const struct sl_digest *digest = k == n_nodes ? &holding->engine : item ? &item->config : NULL;
		bool before = false;
		if (!digest || !sl_digest_known(digest))
			continue;
		for (size_t j = 0; j < k && !before; j++)
			before = holding->nodes[j].item && sl_digest_equal(&holding->nodes[j].item->config, digest);
		if (before)
			continue;
		contents++;
		put_content(holdings, holding, digest, out);
	}
	if (contents < 2)
		sl_buf_clear(out);
}

int sl_facts_ask(void *ctx, const char *image, const struct sl_pod *pod, struct sl_lint_image *out, struct sl_error *err)
{
	const struct sl_facts *facts = ctx;
	const struct sl_holdings *holdings = &facts->holdings;
	const struct sl_holding *holding = NULL;
	for (size_t i = 0; !holding && i < holdings->n; i++)
		if (!strcmp(holdings->items[i].name, image))
			holding = &holdings->items[i];
	if (!holding)
		return 0;
	out->in_engine = holding->in_engine;
	for (size_t k = 0; k < holdings->load.n_nodes; k++) {
		const char *name = holdings->load.nodes[k].node->name;
		if (holding->nodes[k].item)
			out->held = true;
		else if (may_run(facts, pod, name))
			sl_buf_printf(&out->lacking, "%s'%s'", out->lacking.len ? ", " : "", name);
	}
	if (out->held)
		put_contents(holdings, holding, &out->contents);
	return out->lacking.failed || out->contents.failed ? sl_error_nomem(err) : 0;
}
