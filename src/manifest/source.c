/* SPDX-License-Identifier: Apache-2.0 */
#include "manifest/source.h"

#include <string.h>

static size_t break_at(const struct sl_source *source, size_t at)
{
	return at < source->len ? sl_yaml_break_length(source->text + at, source->text + source->len) : 0;
}

/* The length of the line break that ends at @at; 0 if none does. */
static size_t break_before(const struct sl_source *source, size_t at)
{
	for (size_t n = 3; n > 0; n--)
		if (at >= n && sl_yaml_break_length(source->text + at - n, source->text + at) == n)
			return n;
	return 0;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

size_t sl_source_line_end(const struct sl_source *source, size_t at)
{
	while (at < source->len && !break_at(source, at))
		at++;
	return at;
}

bool sl_source_ends_line(const struct sl_source *source, size_t at)
{
	return at >= source->len || break_at(source, at);
}

bool sl_source_starts_line(const struct sl_source *source, size_t at)
{
	at -= sl_source_blanks_before(source, at);
	return !at || break_before(source, at);
}

const char *sl_source_break(const struct sl_source *source, size_t at, size_t *len)
{
	size_t end = sl_source_line_end(source, at);
	*len = break_at(source, end);
	if (*len)
		return source->text + end;
	while (at > 0 && !(*len = break_before(source, at)))
		at--;
	if (at > 0)
		return source->text + at - *len;
	*len = 1;
	return "\n";
}

size_t sl_source_blanks(const struct sl_source *source, size_t at)
{
	size_t n = 0;
	while (at + n < source->len && is_blank(source->text[at + n]))
		n++;
	return n;
}

size_t sl_source_blanks_before(const struct sl_source *source, size_t at)
{
	size_t n = 0;
	while (n < at && is_blank(source->text[at - n - 1]))
		n++;
	return n;
}

/* The first byte from @at on that is no blank, line break or comment; at most
 * @end. */
static size_t skip_space(const struct sl_source *source, size_t at, size_t end)
{
	while (at < end) {
		size_t n = break_at(source, at);
		if (!n)
			n = sl_source_blanks(source, at);
		if (!n && source->text[at] == '#')
			n = sl_source_line_end(source, at) - at;
		if (!n)
			break;
		at += n;
	}
	return at < end ? at : end;
}

/* The end of the anchor or tag that begins at @at.  libyaml takes `&a:b` for the
 * anchor a of the string ":b". */
static size_t property_end(const struct sl_source *source, size_t at, size_t end)
{
	bool anchor = source->text[at] == '&';
	while (at < end && !is_blank(source->text[at]) && !break_at(source, at) &&
	       !(anchor && strchr(":?", source->text[at])))
		at++;
	return at;
}

size_t sl_source_content(const struct sl_source *source, const struct sl_yaml_node *node)
{
	size_t at = node->start;
	while (at < node->end && (source->text[at] == '&' || source->text[at] == '!'))
		at = skip_space(source, property_end(source, at, node->end), node->end);
	return at;
}

size_t sl_source_end(const struct sl_source *source, const struct sl_yaml_node *node)
{
	if (node->kind == SL_YAML_MAP || node->kind == SL_YAML_SEQ) {
		size_t n = node->kind == SL_YAML_MAP ? 2 * node->n : node->n;
		bool bracketed = node->style == SL_YAML_FLOW && strchr("[{", source->text[sl_source_content(source, node)]);
		return bracketed || !n ? node->end : sl_source_end(source, node->items[n - 1]);
	}
	size_t end = node->end;
	if (node->style != SL_YAML_LITERAL && node->style != SL_YAML_FOLDED)
		return end;
	for (size_t n = 1; n && end > node->start; end -= n) {
		n = break_before(source, end);
		if (!n)
			n = sl_source_blanks_before(source, end);
	}
	return end;
}

size_t sl_source_colon(const struct sl_source *source, const struct sl_yaml_node *map, const struct sl_yaml_node *key)
{
	size_t at = skip_space(source, key->end, source->len), next = at + 1;
	if (at >= source->len || source->text[at] != ':')
		return 0;
	if (next >= source->len || is_blank(source->text[next]) || break_at(source, next))
		return at;
	/* only in flow may the value follow at once */
	bool quoted = key->style == SL_YAML_SINGLE || key->style == SL_YAML_DOUBLE;
	return map->style == SL_YAML_FLOW && (quoted || strchr(",[]{}", source->text[next])) ? at : 0;
}

size_t sl_source_comma(const struct sl_source *source, size_t at)
{
	at = skip_space(source, at, source->len);
	return at < source->len && source->text[at] == ',' ? at : 0;
}
