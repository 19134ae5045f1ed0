/* SPDX-License-Identifier: Apache-2.0 */
#include "manifest/rewrite.h"

#include <string.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "image/reference.h"
#include "manifest/check.h"
#include "manifest/locate.h"
#include "manifest/plan.h"
#include "manifest/pods.h"

void sl_rewrite_release(struct sl_rewrite *rewrite)
{
	sl_buf_release(&rewrite->text);
	sl_splices_release(&rewrite->splices);
	*rewrite = (struct sl_rewrite)SL_REWRITE_INIT;
}

/* Add the edits for all chosen ones of @containers to @rewrite. */
static int plan(const struct sl_source *source, const struct sl_containers *containers,
		const struct sl_rewrite_rules *rules, struct sl_rewrite *rewrite, struct sl_error *err)
{
	rewrite->containers = containers->n;
	for (size_t i = 0; i < containers->n; i++) {
		const struct sl_container *container = &containers->items[i];
		size_t edits = rewrite->splices.n;
		if (!sl_policy_chooses(rules, container->image))
			continue;
		if (sl_manifest_plan(source, container, rules->policy, sl_policy_becomes(rules, container->image), &rewrite->splices, err) < 0)
			return -1;
		rewrite->chosen++;
		rewrite->changed += rewrite->splices.n > edits;
	}
	return 0;
}

/* Where @key is written in @map; the map itself where it comes by a merge. */
static const struct sl_yaml_node *place_of(const struct sl_yaml_node *map, const char *key)
{
	for (size_t i = map->n; i-- > 0;)
		if (!sl_yaml_is_merge(map->items[2 * i]) && sl_yaml_is(map->items[2 * i], key))
			return map->items[2 * i];
	return map;
}

/* Find the pull secrets that nothing needs any more, and take them out or name them. */
static int plan_secrets(const struct sl_source *source, const struct sl_yaml *yaml, const struct sl_rewrite_rules *rules,
			struct sl_rewrite *rewrite, struct sl_error *err)
{
	sl_autopods struct sl_pods pods = SL_PODS_INIT;
	if (!rewrite->chosen || !memmem(source->text, source->len, SL_PULL_SECRETS_KEY, strlen(SL_PULL_SECRETS_KEY)))
		return 0;
	if (sl_manifest_pods(yaml, &pods, err) < 0)
		return -1;
	for (size_t i = 0; i < pods.n; i++) {
		const struct sl_yaml_node *spec = pods.items[i].spec, *at = place_of(spec, SL_PULL_SECRETS_KEY);
		if (!sl_yaml_get(spec, SL_PULL_SECRETS_KEY) || !sl_manifest_is_local(spec, rules))
			continue;
		rewrite->needless++;
		if (!rules->drop_pull_secrets)
			sl_warn("%s:%u:%u: " SL_PULL_SECRETS_KEY " is needless here, as no image of this pod is pulled; --drop-pull-secrets removes it",
				source->name, at->line, at->column);
		else if (sl_manifest_plan_drop(source, spec, SL_PULL_SECRETS_KEY, &rewrite->splices, err) < 0)
			return -1;
	}
	return 0;
}

/* The edited text parses, and to the same but for what was planned. */
static int verify(const char *name, const struct sl_yaml *before, const struct sl_rewrite_rules *rules,
		  const struct sl_buf *text, struct sl_error *err)
{
	sl_autoyaml struct sl_yaml *after = sl_yaml_parse(sl_buf_text(text), text->len, name, err);
	if (!after)
		return sl_error_wrap(err, "%s: cannot be edited, it would become", name);
	return sl_manifest_check(name, before, after, rules, err);
}

int sl_rewrite_text(const char *name, const char *text, size_t len, const struct sl_rewrite_rules *rules,
		    struct sl_rewrite *out, struct sl_error *err)
{
	*out = (struct sl_rewrite)SL_REWRITE_INIT;
	sl_autoyaml struct sl_yaml *before = sl_yaml_parse(text, len, name, err);
	if (!before)
		return -1;
	sl_autocontainers struct sl_containers containers = SL_CONTAINERS_INIT;
	sl_autorewrite struct sl_rewrite rewrite = SL_REWRITE_INIT;
	rewrite.text.max = 2 * SL_BUF_MAX;
	const struct sl_source source = { name, text, len };
	if (sl_manifest_locate(before, &containers, err) < 0 || plan(&source, &containers, rules, &rewrite, err) < 0 ||
	    plan_secrets(&source, before, rules, &rewrite, err) < 0)
		return -1;
	if (sl_splices_apply(&rewrite.splices, text, len, &rewrite.text, err) < 0)
		return sl_error_wrap(err, "%s", name);
	if (verify(name, before, rules, &rewrite.text, err) < 0)
		return -1;
	*out = rewrite;
	rewrite = (struct sl_rewrite)SL_REWRITE_INIT;
	return 0;
}

int sl_manifest_images(const char *name, const char *text, size_t len, struct sl_strv *images, struct sl_error *err)
{
	sl_autoyaml struct sl_yaml *yaml = sl_yaml_parse(text, len, name, err);
	sl_autocontainers struct sl_containers containers = SL_CONTAINERS_INIT;
	if (!yaml || sl_manifest_locate(yaml, &containers, err) < 0)
		return -1;
	for (size_t i = 0; i < containers.n; i++) {
		const struct sl_yaml_node *image = containers.items[i].image;
		struct sl_error why = SL_ERROR_INIT;
		sl_autoref struct sl_reference ref = SL_REFERENCE_INIT;
		if (sl_reference_parse(sl_yaml_str(image), &ref, &why) < 0) {
			sl_warn("%s:%u:%u: %s", name, image->line, image->column, why.message);
			continue;
		}
		sl_autofree char *canonical = sl_reference_canonical(&ref);
		if (!canonical || sl_strv_add_new(images, canonical) < 0)
			return sl_error_nomem(err);
	}
	return 0;
}
