/* SPDX-License-Identifier: Apache-2.0 */
#include "base/yaml.h"

#include <string.h>

const struct sl_yaml_node *sl_yaml_resolve(const struct sl_yaml_node *node)
{
	return node && node->kind == SL_YAML_ALIAS ? node->target : node;
}

static const struct sl_yaml_node *scalar(const struct sl_yaml_node *node)
{
	node = sl_yaml_resolve(node);
	return node && node->kind == SL_YAML_SCALAR ? node : NULL;
}

static bool has_text(const struct sl_yaml_node *node, const char *text, size_t len)
{
	node = scalar(node);
	return node && node->len == len && !memcmp(node->text, text, len); /* a text may hold a NUL */
}

bool sl_yaml_is(const struct sl_yaml_node *node, const char *text)
{
	return has_text(node, text, strlen(text));
}

bool sl_yaml_is_merge(const struct sl_yaml_node *key)
{
	/* go-yaml looks at the key as it is written: an alias never merges */
	if (key->kind != SL_YAML_SCALAR || key->len != 2 || memcmp(key->text, "<<", 2) != 0)
		return false;
	return key->tag ? !strcmp(key->tag, SL_YAML_TAG("merge")) : key->style == SL_YAML_PLAIN;
}

/* @key in what `<<` gives: one map, or several of which the first that has it
 * counts. */
static const struct sl_yaml_node *get_merged(const struct sl_yaml_node *value, const char *key)
{
	value = sl_yaml_resolve(value);
	if (value->kind == SL_YAML_MAP)
		return sl_yaml_get(value, key);
	for (size_t i = 0; i < value->n; i++) {
		const struct sl_yaml_node *found = sl_yaml_get(value->items[i], key);
		if (found)
			return found;
	}
	return NULL;
}

const struct sl_yaml_node *sl_yaml_get(const struct sl_yaml_node *map, const char *key)
{
	map = sl_yaml_resolve(map);
	if (!map || map->kind != SL_YAML_MAP)
		return NULL;
	size_t len = strlen(key);
	for (size_t i = map->n; i-- > 0;) {
		const struct sl_yaml_node *value = map->items[2 * i + 1];
		if (sl_yaml_is_merge(map->items[2 * i])) {
			const struct sl_yaml_node *found = get_merged(value, key);
			if (found)
				return found;
		} else if (has_text(map->items[2 * i], key, len)) {
			return sl_yaml_resolve(value);
		}
	}
	return NULL;
}

const struct sl_yaml_node *sl_yaml_at(const struct sl_yaml_node *seq, size_t i)
{
	seq = sl_yaml_resolve(seq);
	return seq && seq->kind == SL_YAML_SEQ && i < seq->n ? sl_yaml_resolve(seq->items[i]) : NULL;
}

size_t sl_yaml_len(const struct sl_yaml_node *node)
{
	node = sl_yaml_resolve(node);
	return node && (node->kind == SL_YAML_SEQ || node->kind == SL_YAML_MAP) ? node->n : 0;
}

static bool is_one_of(const struct sl_yaml_node *node, const char *const *words)
{
	for (; *words; words++)
		if (sl_yaml_is(node, *words))
			return true;
	return false;
}

/* Whether a plain scalar without a tag leaves its type to be guessed. */
static bool is_untyped(const struct sl_yaml_node *node)
{
	return node->style == SL_YAML_PLAIN && !node->tag;
}

bool sl_yaml_is_null(const struct sl_yaml_node *node)
{
	static const char *const words[] = { "", "~", "null", "Null", "NULL", NULL };
	node = scalar(node);
	if (!node)
		return false;
	return is_untyped(node) ? is_one_of(node, words) : node->tag && !strcmp(node->tag, SL_YAML_TAG("null"));
}

/* Whether go-yaml would make a number of the plain text: a sign, then 0x, 0o or
 * 0b and digits, or digits with '_' between them, a fraction and an exponent. */
static bool looks_like_number(const char *p)
{
	static const char digits[] = "0123456789_";
	p += *p == '+' || *p == '-';
	if (p[0] == '0' && p[1] && strchr("xob", p[1]))
		return p[2] && strspn(p + 2, "0123456789abcdefABCDEF_") == strlen(p + 2);
	if (!strcmp(p, ".inf") || !strcmp(p, ".Inf") || !strcmp(p, ".INF") || !strcmp(p, ".nan") ||
	    !strcmp(p, ".NaN") || !strcmp(p, ".NAN"))
		return true;
	size_t whole = strspn(p, digits);
	p += whole;
	size_t fraction = *p == '.' ? strspn(p + 1, digits) : 0;
	p += *p == '.' ? fraction + 1 : 0;
	if (!whole && !fraction)
		return false;
	if (*p == 'e' || *p == 'E') {
		p++;
		p += *p == '+' || *p == '-';
		size_t exponent = strspn(p, digits);
		return exponent && !p[exponent];
	}
	return !*p;
}

bool sl_yaml_is_string(const struct sl_yaml_node *node)
{
	static const char *const booleans[] = { "y",  "Y",  "yes", "Yes", "YES", "true",  "True",  "TRUE",  "on",  "On",  "ON",
						"n",  "N",  "no",  "No",  "NO",  "false", "False", "FALSE", "off", "Off", "OFF",
						NULL };
	node = scalar(node);
	if (!node)
		return false;
	if (!is_untyped(node)) /* "!" makes a string of anything */
		return !node->tag || !strcmp(node->tag, SL_YAML_TAG("str")) || !strcmp(node->tag, "!");
	return !sl_yaml_is_null(node) && !is_one_of(node, booleans) && !looks_like_number(node->text);
}

const char *sl_yaml_str(const struct sl_yaml_node *node)
{
	node = scalar(node);
	return node && !sl_yaml_is_null(node) && strlen(node->text) == node->len ? node->text : NULL;
}
