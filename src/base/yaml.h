/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_BASE_YAML_H
#define SL_BASE_YAML_H

/*
 * YAML (and so JSON) as a tree in which every node knows which bytes of the
 * text it came from, so that a caller can edit the text and keep the rest.
 *
 * A text means here what it means to kubectl: documents are cut at lines that
 * start with `---`; of two equal keys the last one counts, and a `<<` merge
 * counts at its place among them; concatenated JSON objects are documents; what
 * cannot become JSON (a map as a key, which is what `{{ .Values.x }}` is) is
 * refused.  Refused are also nesting and alias expansion beyond the maxima
 * below, NUL, invalid UTF-8 and UTF-16.
 *
 * Aliases are nodes of their own; the accessors follow them and the merges, the
 * fields do not.
 */

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

#define SL_YAML_MAX_DEPTH 256          /* collections inside each other */
#define SL_YAML_MAX_EXPANSION 1000000  /* nodes that all aliases of a text stand for */
#define SL_YAML_MAX_OBJECTS 10000      /* JSON objects without `---` between them: each costs a parser */

#define SL_YAML_TAG(name) "tag:yaml.org,2002:" name /* what `!!name` stands for */

enum sl_yaml_kind { SL_YAML_SCALAR, SL_YAML_SEQ, SL_YAML_MAP, SL_YAML_ALIAS };

enum sl_yaml_style {
	SL_YAML_PLAIN, /* scalars, and aliases */
	SL_YAML_SINGLE,
	SL_YAML_DOUBLE,
	SL_YAML_LITERAL,
	SL_YAML_FOLDED,
	SL_YAML_BLOCK, /* collections */
	SL_YAML_FLOW,
};

struct sl_yaml_node {
	enum sl_yaml_kind kind;
	enum sl_yaml_style style;
	unsigned line, column; /* of @start, from 1; columns count code points */
	unsigned indent;       /* of a block collection: code points before its entries */
	unsigned id;           /* its number among all nodes of the text, from 0 */
	unsigned weight;       /* nodes below and including this one, aliases expanded */
	/* The bytes of the text.  They begin at the anchor or tag, include quotes,
	 * and end after a block collection or block scalar where the next token
	 * begins; nothing at all (an empty value) has no bytes. */
	size_t start, end;
	const char *anchor; /* without '&'; NULL if none */
	const char *tag;    /* resolved: SL_YAML_TAG("str"); NULL if none */
	union {
		struct { /* scalar */
			const char *text; /* NUL-terminated; an escaped surrogate pair, which YAML
					   * does not have, reads as two U+FFFD */
			size_t len;
		};
		struct { /* sequence: the items; map: key, value, key, value */
			const struct sl_yaml_node *const *items;
			size_t n; /* items of a sequence, pairs of a map */
		};
		const struct sl_yaml_node *target; /* alias: what it stands for, never an alias */
	};
};

struct sl_yaml;

/* Parse every document of @text, which the tree does not borrow from.  @name
 * is for the error, "NAME:LINE:COLUMN: message", with status SL_FAILED.  NULL on
 * failure; the caller frees the result. */
struct sl_yaml *sl_yaml_parse(const char *text, size_t len, const char *name, struct sl_error *err) SL_MUST_CHECK;
void sl_yaml_free(struct sl_yaml *yaml); /* NULL is fine */
void sl_yaml_cleanup(struct sl_yaml **yaml);
#define sl_autoyaml SL_CLEANUP(sl_yaml_cleanup)

/* How many bytes at @p, before @end, are a line break as YAML 1.1 has them: LF,
 * CR, CRLF, NEL, LS, PS; 0 if they are none. */
size_t sl_yaml_break_length(const char *p, const char *end);

/* All that is below is borrowed from the tree.  Nodes given to an accessor may
 * be NULL, which has nothing in it. */

size_t sl_yaml_documents(const struct sl_yaml *yaml);
const struct sl_yaml_node *sl_yaml_root(const struct sl_yaml *yaml, size_t document); /* NULL beyond the last */
size_t sl_yaml_nodes(const struct sl_yaml *yaml); /* every id is below this */

/* @node, or what it stands for when it is an alias. */
const struct sl_yaml_node *sl_yaml_resolve(const struct sl_yaml_node *node);

/* The value at @key that counts, alias resolved; NULL if there is none or @map
 * is no map. */
const struct sl_yaml_node *sl_yaml_get(const struct sl_yaml_node *map, const char *key);

/* The item @i, alias resolved; NULL beyond the end or if @seq is no sequence. */
const struct sl_yaml_node *sl_yaml_at(const struct sl_yaml_node *seq, size_t i);

/* Items of a sequence, written pairs of a map; 0 for anything else. */
size_t sl_yaml_len(const struct sl_yaml_node *node);

/* The text of a scalar; NULL for anything else, for null, and for a text that
 * holds a NUL. */
const char *sl_yaml_str(const struct sl_yaml_node *node);

/* Whether the scalar is null (`~`, `null`, nothing). */
bool sl_yaml_is_null(const struct sl_yaml_node *node);

/* Whether the scalar is a string to YAML 1.1: not null, a boolean or a number. */
bool sl_yaml_is_string(const struct sl_yaml_node *node);

/* Whether the scalar's text is @text; keys are found by this. */
bool sl_yaml_is(const struct sl_yaml_node *node, const char *text);

/* Whether @key, a key of a map, is a `<<` that merges. */
bool sl_yaml_is_merge(const struct sl_yaml_node *key);

#endif
