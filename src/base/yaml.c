/* SPDX-License-Identifier: Apache-2.0 */
#include "base/yaml.h"

#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "base/cleanup.h"
#include "base/yaml_build.h"

/*
 * One part of a text between two `---` lines, read by a libyaml parser of its
 * own, as kubectl does.  libyaml's marks count code points from the start of
 * the part; they come in almost ascending order, so a cursor that steps along
 * turns them into bytes.
 */
struct part {
	const char *text; /* without a byte order mark */
	size_t len;
	size_t offset;    /* of @text in the whole text */
	size_t line;      /* libyaml lines before it */
	size_t column;    /* code points before it on its first line */
	bool ascii;       /* bytes and code points are the same */
	size_t byte, point; /* the cursor: both stand for the same place */
	bool after_object;  /* the last document was a {...}: another may follow it */
};

/* What all parts of a text have in common. */
struct reader {
	struct sl_yaml_builder *builder;
	const char *name;
	bool cuts; /* a parser may get a JSON object alone: it would read 16 KiB ahead */
	bool cut;  /* one did */
};

#define OBJECT_MAX ((size_t)16 << 10) /* bytes of an object that is given alone */

struct place {
	size_t byte; /* in the whole text */
	unsigned line, column;
};

static bool is_continuation(char c)
{
	return ((unsigned char)c & 0xc0) == 0x80;
}

/* The byte of @part at which code point @point begins. */
static size_t byte_of(struct part *part, size_t point)
{
	if (part->ascii)
		return point < part->len ? point : part->len;
	while (part->point < point && part->byte < part->len) {
		do
			part->byte++;
		while (part->byte < part->len && is_continuation(part->text[part->byte]));
		part->point++;
	}
	while (part->point > point && part->byte > 0) {
		do
			part->byte--;
		while (part->byte > 0 && is_continuation(part->text[part->byte]));
		part->point--;
	}
	return part->byte;
}

static struct place place_of(struct part *part, const yaml_mark_t *mark)
{
	size_t column = mark->column + (mark->line ? 0 : part->column);
	return (struct place){ part->offset + byte_of(part, mark->index), (unsigned)(part->line + mark->line + 1),
			       (unsigned)column + 1 };
}

size_t sl_yaml_break_length(const char *p, const char *end)
{
	if (*p == '\n')
		return 1;
	if (*p == '\r')
		return end - p > 1 && p[1] == '\n' ? 2 : 1;
	if (end - p > 1 && !memcmp(p, "\xc2\x85", 2))
		return 2;
	if (end - p > 2 && (!memcmp(p, "\xe2\x80\xa8", 3) || !memcmp(p, "\xe2\x80\xa9", 3)))
		return 3;
	return 0;
}

/* Move @line and @column over the bytes from @p to @end. */
static void walk(const char *p, const char *end, size_t *line, size_t *column)
{
	while (p < end) {
		size_t n = sl_yaml_break_length(p, end);
		if (n) {
			++*line;
			*column = 0;
		} else {
			n = 1;
			*column += !is_continuation(*p);
		}
		p += n;
	}
}

/* @line and @column count from 0. */
static int fail_at(const char *name, size_t line, size_t column, const char *what, struct sl_error *err)
{
	return sl_error_set(err, SL_FAILED, "%s:%zu:%zu: %s", name, line + 1, column + 1, what);
}

static int fail_parser(const char *name, struct part *part, const yaml_parser_t *parser, struct sl_error *err)
{
	if (parser->error == YAML_MEMORY_ERROR)
		return sl_error_nomem(err);
	if (parser->error != YAML_READER_ERROR) {
		struct place place = place_of(part, &parser->problem_mark);
		return sl_error_set(err, SL_FAILED, "%s:%u:%u: %s%s%s", name, place.line, place.column, parser->problem,
				    parser->context ? " " : "", parser->context ? parser->context : "");
	}
	/* bytes that are no text: there is an offset, but no mark */
	size_t offset = parser->problem_offset < part->len ? parser->problem_offset : part->len;
	size_t line = part->line, column = part->column;
	walk(part->text, part->text + offset, &line, &column);
	bool nul = offset < part->len && !part->text[offset];
	return fail_at(name, line, column, nul ? "a NUL byte; this is no UTF-8 text" : parser->problem, err);
}

static enum sl_yaml_style scalar_style(yaml_scalar_style_t style)
{
	switch (style) {
	case YAML_SINGLE_QUOTED_SCALAR_STYLE:
		return SL_YAML_SINGLE;
	case YAML_DOUBLE_QUOTED_SCALAR_STYLE:
		return SL_YAML_DOUBLE;
	case YAML_LITERAL_SCALAR_STYLE:
		return SL_YAML_LITERAL;
	case YAML_FOLDED_SCALAR_STYLE:
		return SL_YAML_FOLDED;
	default:
		return SL_YAML_PLAIN;
	}
}

static int add_scalar(struct sl_yaml_builder *builder, struct sl_yaml_node *node, const yaml_event_t *event,
		      struct sl_error *err)
{
	node->kind = SL_YAML_SCALAR;
	node->style = scalar_style(event->data.scalar.style);
	node->anchor = (const char *)event->data.scalar.anchor;
	node->tag = (const char *)event->data.scalar.tag;
	node->text = (const char *)event->data.scalar.value;
	node->len = event->data.scalar.length;
	return sl_yaml_build_scalar(builder, node, err);
}

static int open_collection(struct sl_yaml_builder *builder, struct sl_yaml_node *node, const yaml_event_t *event,
			   struct sl_error *err)
{
	bool map = event->type == YAML_MAPPING_START_EVENT;
	bool flow = map ? event->data.mapping_start.style == YAML_FLOW_MAPPING_STYLE :
			  event->data.sequence_start.style == YAML_FLOW_SEQUENCE_STYLE;
	node->kind = map ? SL_YAML_MAP : SL_YAML_SEQ;
	node->style = flow ? SL_YAML_FLOW : SL_YAML_BLOCK;
	node->anchor = (const char *)(map ? event->data.mapping_start.anchor : event->data.sequence_start.anchor);
	node->tag = (const char *)(map ? event->data.mapping_start.tag : event->data.sequence_start.tag);
	/* the start is at the anchor or tag, the end at the first entry */
	node->indent = (unsigned)event->end_mark.column;
	return sl_yaml_build_open(builder, node, err);
}

static int add_event(struct sl_yaml_builder *builder, struct part *part, const yaml_event_t *event,
		     struct sl_error *err)
{
	struct place start = place_of(part, &event->start_mark);
	size_t end = part->offset + byte_of(part, event->end_mark.index);
	struct sl_yaml_node node = { .start = start.byte, .end = end, .line = start.line, .column = start.column };
	switch (event->type) {
	case YAML_DOCUMENT_START_EVENT:
		sl_yaml_build_document(builder);
		return 0;
	case YAML_SCALAR_EVENT:
		return add_scalar(builder, &node, event, err);
	case YAML_ALIAS_EVENT:
		node.kind = SL_YAML_ALIAS;
		return sl_yaml_build_alias(builder, &node, (const char *)event->data.alias.anchor, err);
	case YAML_SEQUENCE_START_EVENT:
	case YAML_MAPPING_START_EVENT:
		return open_collection(builder, &node, event, err);
	case YAML_SEQUENCE_END_EVENT:
	case YAML_MAPPING_END_EVENT:
		part->after_object = end > part->offset && part->text[end - part->offset - 1] == '}';
		return sl_yaml_build_close(builder, end, err);
	default:
		return 0;
	}
}

/* Read documents of @part from its start.  Returns 0 at its end, whose line is
 * that of @part then; 1 at a '{' that follows the '}' of a document, with *@rest
 * its byte; -1 on failure. */
static int read_documents(const struct reader *reader, struct part *part, size_t *rest, struct sl_error *err)
{
	yaml_parser_t parser;
	if (!yaml_parser_initialize(&parser))
		return sl_error_nomem(err);
	yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&parser, (const unsigned char *)part->text, part->len);
	int result = 0;
	for (bool done = false; !done && !result;) {
		yaml_event_t event;
		if (yaml_parser_parse(&parser, &event)) {
			done = event.type == YAML_STREAM_END_EVENT;
			result = add_event(reader->builder, part, &event, err);
			yaml_event_delete(&event);
			continue;
		}
		*rest = byte_of(part, parser.problem_mark.index);
		bool object = part->after_object && parser.error == YAML_PARSER_ERROR && *rest < part->len &&
			      part->text[*rest] == '{' && !strcmp(parser.problem, "did not find expected <document start>");
		result = object ? 1 : fail_parser(reader->name, part, &parser, err);
	}
	if (!result)
		part->line += parser.mark.line;
	yaml_parser_delete(&parser);
	return result;
}

static bool is_ascii(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)text[i] >= 0x80)
			return false;
	return true;
}

/* The length of the object that @text begins with, by JSON's rules; 0 unless it is
 * small and another one follows it. */
static size_t object_length(const char *text, size_t len)
{
	size_t depth = 0, i = 0;
	for (bool quoted = false; i < len && i < OBJECT_MAX; i++) {
		if (text[i] == '\\')
			i++;
		else if (text[i] == '"')
			quoted = !quoted;
		else if (!quoted && text[i] == '{')
			depth++;
		else if (!quoted && text[i] == '}' && --depth == 0)
			break;
		if (!depth)
			return 0;
	}
	if (i >= len || i >= OBJECT_MAX)
		return 0;
	size_t length = ++i;
	while (i < len && strchr(" \t\r\n", text[i]) && text[i])
		i++;
	return i < len && text[i] == '{' ? length : 0;
}

/* As read_documents(), whose parser gets no more than the object that comes first,
 * if one does.  What follows that is the '{' at which it would have ended. */
static int read_object(struct reader *reader, struct part *part, size_t *rest, struct sl_error *err)
{
	size_t length = reader->cuts ? object_length(part->text, part->len) : 0;
	if (!length)
		return read_documents(reader, part, rest, err);
	struct part alone = *part;
	alone.len = length;
	reader->cut = true;
	int result = read_documents(reader, &alone, rest, err);
	if (result)
		return result;
	*rest = (size_t)((const char *)memchr(part->text + length, '{', part->len - length) - part->text);
	return 1;
}

/* Read the bytes from @start to @end of the whole @text, which are *@line lines
 * down; *@line is that of @end afterwards. */
static int read_part(struct reader *reader, const char *text, size_t start, size_t end, size_t *line,
		     struct sl_error *err)
{
	if (end - start >= 3 && !memcmp(text + start, "\xef\xbb\xbf", 3))
		start += 3;
	struct part part = { .text = text + start, .len = end - start, .offset = start, .line = *line };
	part.ascii = is_ascii(part.text, part.len);
	for (size_t objects = 1;; objects++) {
		size_t rest = 0;
		int result = read_object(reader, &part, &rest, err);
		*line = part.line;
		if (result <= 0)
			return result;
		walk(part.text, part.text + rest, &part.line, &part.column);
		if (objects == SL_YAML_MAX_OBJECTS)
			return sl_error_set(err, SL_FAILED, "%s:%zu:%zu: more than %d objects without '---' between them",
					    reader->name, part.line + 1, part.column + 1, SL_YAML_MAX_OBJECTS);
		part.text += rest;
		part.len -= rest;
		part.offset += rest;
		part.byte = part.point = 0;
		part.after_object = false;
	}
}

/* Whether the line from @p to @end is a `---` that kubectl cuts at; -1 if it
 * starts as one and has more on it than a comment, which kubectl refuses. */
static int is_separator(const char *p, const char *end)
{
	if (end - p < 3 || memcmp(p, "---", 3) != 0)
		return 0;
	for (p += 3; p < end && (*p == ' ' || *p == '\t' || *p == '\r' || *p == '\n'); p++)
		;
	return p == end || *p == '#' ? 1 : -1;
}

static int read_stream(struct reader *reader, const char *text, size_t len, struct sl_error *err)
{
	size_t part = 0, line = 0; /* where the part that is being collected begins */
	for (size_t at = 0, next; at < len; at = next) {
		const char *newline = memchr(text + at, '\n', len - at);
		next = newline ? (size_t)(newline + 1 - text) : len;
		int separator = is_separator(text + at, text + next);
		if (!separator)
			continue;
		if (at > part && read_part(reader, text, part, at, &line, err) < 0)
			return -1;
		if (separator < 0)
			return fail_at(reader->name, line, 0, "only a comment may stand beside '---'", err);
		size_t column = 0;
		walk(text + at, text + next, &line, &column);
		part = next;
	}
	return len > part ? read_part(reader, text, part, len, &line, err) : 0;
}

static bool is_surrogate(const char *p, const char *end, const char *third)
{
	return end - p >= 6 && p[0] == '\\' && p[1] == 'u' && (p[2] == 'd' || p[2] == 'D') && strchr(third, p[3]) && p[3];
}

/* JSON may write a character as a pair of escaped surrogates, which libyaml
 * refuses.  A copy of @text with U+FFFD in their place, of the same length, or
 * NULL with *@found false when there is none. */
static char *without_surrogates(const char *text, size_t len, bool *found)
{
	char *copy = NULL;
	const char *end = text + len;
	*found = false;
	for (const char *p = text; (p = memchr(p, '\\', (size_t)(end - p))) != NULL; p++) {
		if (end - p > 1 && p[1] == '\\') {
			p++; /* an escaped backslash begins nothing */
			continue;
		}
		if (!is_surrogate(p, end, "89abAB") || !is_surrogate(p + 6, end, "cdefCDEF"))
			continue;
		*found = true;
		if (!copy) {
			copy = malloc(len);
			if (!copy)
				return NULL;
			memcpy(copy, text, len);
		}
		memcpy(copy + (p - text), "\\ufffd\\ufffd", 12);
		p += 11;
	}
	return copy;
}

/* As sl_yaml_parse(); @cuts as in struct reader, and *@cut tells whether it happened. */
static struct sl_yaml *parse(const char *text, size_t len, const char *name, bool cuts, bool *cut, struct sl_error *err)
{
	struct reader reader = { .builder = sl_yaml_builder_new(name), .name = name, .cuts = cuts };
	struct sl_yaml *yaml = NULL;
	if (!reader.builder)
		sl_error_nomem(err);
	else if (read_stream(&reader, text, len, err) == 0)
		yaml = sl_yaml_builder_steal(reader.builder);
	sl_yaml_builder_free(reader.builder);
	*cut = reader.cut;
	return yaml;
}

struct sl_yaml *sl_yaml_parse(const char *text, size_t len, const char *name, struct sl_error *err)
{
	if (len >= 2 && (!memcmp(text, "\xff\xfe", 2) || !memcmp(text, "\xfe\xff", 2))) {
		fail_at(name, 0, 0, "UTF-16; convert it to UTF-8 first (iconv -f UTF-16 -t UTF-8)", err);
		return NULL;
	}
	bool masked, cut;
	sl_autofree char *copy = without_surrogates(text, len, &masked);
	if (masked && !copy) {
		sl_error_nomem(err);
		return NULL;
	}
	if (copy)
		text = copy;
	struct sl_yaml *yaml = parse(text, len, name, true, &cut, err);
	/* what is no JSON may have been cut in the middle */
	return !yaml && cut ? parse(text, len, name, false, &cut, err) : yaml;
}
