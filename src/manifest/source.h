/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_MANIFEST_SOURCE_H
#define SL_MANIFEST_SOURCE_H

/*
 * The text around a node: what the parser skips (blanks, line breaks, colons,
 * anchors, tags) and an edit must find or imitate.  Offsets are bytes of the
 * whole text; line breaks are those of libyaml.
 */

#include "base/yaml.h"

struct sl_source {
	const char *name; /* for messages */
	const char *text; /* what the nodes were parsed from */
	size_t len;
};

/* The end of the line that @at is on: where its break begins, or the end. */
size_t sl_source_line_end(const struct sl_source *source, size_t at);

/* Whether @at is such an end; whether only blanks stand before it on its line. */
bool sl_source_ends_line(const struct sl_source *source, size_t at);
bool sl_source_starts_line(const struct sl_source *source, size_t at);

/* The break that a new line behind the one of @at gets, that of its neighbour;
 * *@len is 1 to 3. */
const char *sl_source_break(const struct sl_source *source, size_t at, size_t *len);

/* How many blanks begin at @at, or end there. */
size_t sl_source_blanks(const struct sl_source *source, size_t at);
size_t sl_source_blanks_before(const struct sl_source *source, size_t at);

/* Where the value of @node begins behind its anchor and tag; @node->end when it
 * has none. */
size_t sl_source_content(const struct sl_source *source, const struct sl_yaml_node *node);

/* Where the last character of @node ends: block collections and block scalars
 * without the blank lines behind them. */
size_t sl_source_end(const struct sl_source *source, const struct sl_yaml_node *node);

/* Where the colon behind @key of @map is, or 0 if there is none (`? key`,
 * `{key}`). */
size_t sl_source_colon(const struct sl_source *source, const struct sl_yaml_node *map,
		       const struct sl_yaml_node *key);

/* Where the comma behind @at is, past blanks, line breaks and comments; 0 if there is
 * none before anything else. */
size_t sl_source_comma(const struct sl_source *source, size_t at);

#endif
