/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_BASE_YAML_BUILD_H
#define SL_BASE_YAML_BUILD_H

/*
 * The inner half of yaml.h: from events, in the order of the text, to the tree.
 * Resolves anchors, holds the limits, and refuses what kubectl could not turn
 * into JSON.  Knows nothing of libyaml.
 */

#include "base/yaml.h"

struct sl_yaml_builder;

/* An empty tree and its builder; @name (borrowed) is for errors.  NULL when
 * memory is out. */
struct sl_yaml_builder *sl_yaml_builder_new(const char *name);
void sl_yaml_builder_free(struct sl_yaml_builder *builder); /* NULL is fine */

/* The tree so far, now the caller's. */
struct sl_yaml *sl_yaml_builder_steal(struct sl_yaml_builder *builder);

/* A document begins: no anchor is known in it. */
void sl_yaml_build_document(struct sl_yaml_builder *builder);

/* Each adds a node with the kind, style, place, anchor, tag and, for a scalar, the
 * text of @like, of which everything is copied.  @name is the anchor that an
 * alias names. */
int sl_yaml_build_scalar(struct sl_yaml_builder *builder, const struct sl_yaml_node *like,
			 struct sl_error *err) SL_MUST_CHECK;
int sl_yaml_build_alias(struct sl_yaml_builder *builder, const struct sl_yaml_node *like, const char *name,
			struct sl_error *err) SL_MUST_CHECK;
int sl_yaml_build_open(struct sl_yaml_builder *builder, const struct sl_yaml_node *like,
		       struct sl_error *err) SL_MUST_CHECK;

/* The innermost open collection ends at byte @end. */
int sl_yaml_build_close(struct sl_yaml_builder *builder, size_t end, struct sl_error *err) SL_MUST_CHECK;

#endif
