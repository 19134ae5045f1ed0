/* SPDX-License-Identifier: Apache-2.0 */
#include "manifest/check.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "manifest/locate.h"
#include "manifest/pods.h"

struct checker {
	const char *name;
	const struct sl_rewrite_rules *rules;
};

/* What a value is by where it stands. */
enum place {
	ANYWHERE,
	CONTAINER_LIST, /* the value of `containers` and its like */
	CONTAINER,      /* an item of it */
	OPAQUE,         /* below a ConfigMap or its like */
};

struct entry {
	const struct sl_yaml_node *key, *value;
	size_t order;
};

/* A map as kubectl sees it: merges done, of equal keys the last, sorted. */
struct entries {
	struct entry *items;
	size_t n, size;
};

static void entries_release(struct entries *entries)
{
	free(entries->items);
}
#define autoentries SL_CLEANUP(entries_release)

static int changed(const struct checker *checker, const struct sl_yaml_node *at, struct sl_error *err)
{
	return sl_error_set(err, SL_FAILED,
			    "%s:%u:%u: this would change together with a chosen container, by an anchor or '<<'; "
			    "write it out first",
			    checker->name, at->line, at->column);
}

static bool same_scalar(const struct sl_yaml_node *a, const struct sl_yaml_node *b)
{
	return a->len == b->len && !memcmp(a->text, b->text, a->len) &&
	       (a->style == SL_YAML_PLAIN) == (b->style == SL_YAML_PLAIN) && !a->tag == !b->tag &&
	       (!a->tag || !strcmp(a->tag, b->tag));
}

static int collect(const struct sl_yaml_node *map, struct entries *entries)
{
	for (size_t i = 0; i < map->n; i++) {
		const struct sl_yaml_node *key = map->items[2 * i], *value = map->items[2 * i + 1];
		if (sl_yaml_is_merge(key)) {
			const struct sl_yaml_node *merged = sl_yaml_resolve(value);
			if (merged->kind == SL_YAML_MAP && collect(merged, entries) < 0)
				return -1;
			/* the first of several counts: put it last */
			for (size_t j = merged->kind == SL_YAML_SEQ ? merged->n : 0; j-- > 0;)
				if (collect(sl_yaml_at(merged, j), entries) < 0)
					return -1;
			continue;
		}
		if (entries->n == entries->size) {
			size_t size = entries->size ? entries->size * 2 : 16;
			struct entry *items = realloc(entries->items, size * sizeof(*items));
			if (!items)
				return -1;
			entries->items = items;
			entries->size = size;
		}
		entries->items[entries->n] = (struct entry){ sl_yaml_resolve(key), sl_yaml_resolve(value), entries->n };
		entries->n++;
	}
	return 0;
}

static int compare_keys(const struct sl_yaml_node *a, const struct sl_yaml_node *b)
{
	size_t len = a->len < b->len ? a->len : b->len;
	int order = memcmp(a->text, b->text, len);
	return order ? order : (a->len > b->len) - (a->len < b->len);
}

static int compare_entries(const void *left, const void *right)
{
	const struct entry *a = left, *b = right;
	int order = compare_keys(a->key, b->key);
	return order ? order : (a->order > b->order) - (a->order < b->order);
}

/* Keys of a map that may change; NULL for none. */
struct except {
	const char *keys[2];
};

static bool is_excepted(const struct except *except, const struct sl_yaml_node *key)
{
	for (size_t i = 0; i < 2; i++)
		if (except->keys[i] && sl_yaml_is(key, except->keys[i]))
			return true;
	return false;
}

/* The entries of @map, without those of @except. */
static int effective(const struct sl_yaml_node *map, const struct except *except, struct entries *entries, struct sl_error *err)
{
	if (collect(map, entries) < 0)
		return sl_error_nomem(err);
	if (entries->n)
		qsort(entries->items, entries->n, sizeof(*entries->items), compare_entries);
	size_t n = 0;
	for (size_t i = 0; i < entries->n; i++) {
		const struct entry *entry = &entries->items[i];
		bool last = i + 1 == entries->n || compare_keys(entry->key, entry[1].key) != 0;
		if (last && !is_excepted(except, entry->key))
			entries->items[n++] = *entry;
	}
	entries->n = n;
	return 0;
}

static bool has_merge(const struct sl_yaml_node *map)
{
	for (size_t i = 0; i < map->n; i++)
		if (sl_yaml_is_merge(map->items[2 * i]))
			return true;
	return false;
}

static int same(const struct checker *checker, const struct sl_yaml_node *a, const struct sl_yaml_node *b,
		enum place place, struct sl_error *err);

static int same_pair(const struct checker *checker, const struct sl_yaml_node *a_key,
		     const struct sl_yaml_node *a_value, const struct sl_yaml_node *b_key,
		     const struct sl_yaml_node *b_value, bool opaque, struct sl_error *err)
{
	if (!same_scalar(sl_yaml_resolve(a_key), sl_yaml_resolve(b_key)))
		return changed(checker, a_key, err);
	enum place place = opaque ? OPAQUE : sl_manifest_is_container_key(a_key) ? CONTAINER_LIST : ANYWHERE;
	return same(checker, a_value, b_value, place, err);
}

/* As kubectl sees them. */
static int same_effective(const struct checker *checker, const struct sl_yaml_node *a, const struct sl_yaml_node *b,
			  const struct except *except, bool opaque, struct sl_error *err)
{
	autoentries struct entries in_a = { NULL, 0, 0 };
	autoentries struct entries in_b = { NULL, 0, 0 };
	if (effective(a, except, &in_a, err) < 0 || effective(b, except, &in_b, err) < 0)
		return -1;
	if (in_a.n != in_b.n)
		return changed(checker, a, err);
	for (size_t i = 0; i < in_a.n; i++) {
		const struct entry *x = &in_a.items[i], *y = &in_b.items[i];
		if (same_pair(checker, x->key, x->value, y->key, y->value, opaque, err) < 0)
			return -1;
	}
	return 0;
}

/* A chosen container has its policy and image now; which keys these are goes to
 * @except. */
static int container_becomes(const struct checker *checker, const struct sl_yaml_node *a, const struct sl_yaml_node *image,
			     const struct sl_yaml_node *b, struct except *except, struct sl_error *err)
{
	const char *becomes = sl_policy_becomes(checker->rules, image);
	const struct sl_yaml_node *now = sl_yaml_get(b, "image");
	if (!sl_policy_is(sl_yaml_get(b, SL_POLICY_KEY), checker->rules->policy))
		return sl_error_set(err, SL_FAILED, "%s:%u:%u: the policy of this container cannot be set; write it out as a plain map",
				    checker->name, a->line, a->column);
	if (becomes && (!now || !sl_yaml_is_string(now) || !sl_yaml_is(now, becomes)))
		return sl_error_set(err, SL_FAILED, "%s:%u:%u: this image cannot be replaced; write it out as a plain value", checker->name,
				    image->line, image->column);
	except->keys[0] = SL_POLICY_KEY;
	except->keys[1] = becomes ? "image" : NULL;
	return 0;
}

static int same_map(const struct checker *checker, const struct sl_yaml_node *a, const struct sl_yaml_node *b,
		    enum place place, struct sl_error *err)
{
	bool opaque = place == OPAQUE || sl_manifest_is_opaque(a);
	const struct sl_yaml_node *image = place == CONTAINER && !opaque ? sl_manifest_image(a) : NULL;
	struct except except = { { NULL, NULL } };
	if (image && sl_policy_chooses(checker->rules, image) && container_becomes(checker, a, image, b, &except, err) < 0)
		return -1;
	if (!opaque && checker->rules->drop_pull_secrets && sl_yaml_get(a, SL_PULL_SECRETS_KEY) && sl_manifest_is_pod(a) &&
	    sl_manifest_is_local(a, checker->rules)) {
		if (sl_yaml_get(b, SL_PULL_SECRETS_KEY))
			return changed(checker, a, err);
		except.keys[1] = SL_PULL_SECRETS_KEY;
	}
	if (except.keys[0] || except.keys[1] || has_merge(a) || has_merge(b))
		return same_effective(checker, a, b, &except, opaque, err);
	if (a->n != b->n)
		return changed(checker, a, err);
	for (size_t i = 0; i < a->n; i++)
		if (same_pair(checker, a->items[2 * i], a->items[2 * i + 1], b->items[2 * i], b->items[2 * i + 1], opaque,
			      err) < 0)
			return -1;
	return 0;
}

static int same(const struct checker *checker, const struct sl_yaml_node *a, const struct sl_yaml_node *b,
		enum place place, struct sl_error *err)
{
	a = sl_yaml_resolve(a);
	b = sl_yaml_resolve(b);
	if (a->kind != b->kind || !a->tag != !b->tag || (a->tag && strcmp(a->tag, b->tag) != 0))
		return changed(checker, a, err);
	if (a->kind == SL_YAML_MAP)
		return same_map(checker, a, b, place, err);
	if (a->kind == SL_YAML_SCALAR)
		return same_scalar(a, b) ? 0 : changed(checker, a, err);
	if (a->n != b->n)
		return changed(checker, a, err);
	enum place inner = place == CONTAINER_LIST ? CONTAINER : place == OPAQUE ? OPAQUE : ANYWHERE;
	for (size_t i = 0; i < a->n; i++)
		if (same(checker, a->items[i], b->items[i], inner, err) < 0)
			return -1;
	return 0;
}

int sl_manifest_check(const char *name, const struct sl_yaml *before, const struct sl_yaml *after,
		      const struct sl_rewrite_rules *rules, struct sl_error *err)
{
	const struct checker checker = { name, rules };
	if (sl_yaml_documents(before) != sl_yaml_documents(after))
		return sl_error_set(err, SL_FAILED, "%s: cannot be edited: it would have other documents then", name);
	for (size_t i = 0; i < sl_yaml_documents(before); i++)
		if (same(&checker, sl_yaml_root(before, i), sl_yaml_root(after, i), ANYWHERE, err) < 0)
			return -1;
	return 0;
}
