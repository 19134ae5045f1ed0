/* SPDX-License-Identifier: Apache-2.0 */
#include "base/yaml_build.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

/* A tree is freed at once, so its nodes and texts come out of blocks. */
#define BLOCK_SIZE ((size_t)64 << 10)

struct block {
	struct block *next;
	size_t used, size;
	max_align_t data[];
};

struct sl_yaml {
	struct block *blocks;
	const struct sl_yaml_node **roots;
	size_t documents, roots_size;
	size_t nodes;
};

struct frame {
	struct sl_yaml_node *node;
	size_t first; /* of its items in the builder's list of pending nodes */
};

struct anchor {
	const char *name;
	const struct sl_yaml_node *node;
};

struct sl_yaml_builder {
	struct sl_yaml *yaml;
	const char *name;
	struct frame open[SL_YAML_MAX_DEPTH];
	size_t depth;
	const struct sl_yaml_node **pending;
	size_t pending_n, pending_size;
	struct anchor *anchors; /* a hash table: a power of two, at most half full */
	size_t anchors_n, anchors_size;
	size_t expansion; /* nodes that the aliases so far stand for */
};

static void *take(struct sl_yaml *yaml, size_t size)
{
	size = (size + sizeof(void *) - 1) & ~(sizeof(void *) - 1);
	struct block *block = yaml->blocks;
	if (!block || block->size - block->used < size) {
		size_t room = size > BLOCK_SIZE ? size : BLOCK_SIZE;
		block = malloc(sizeof(*block) + room);
		if (!block)
			return NULL;
		*block = (struct block){ .next = yaml->blocks, .size = room };
		yaml->blocks = block;
	}
	void *data = (char *)block->data + block->used;
	block->used += size;
	return data;
}

static const char *take_text(struct sl_yaml *yaml, const char *text, size_t len)
{
	char *copy = take(yaml, len + 1);
	if (copy) {
		memcpy(copy, text, len);
		copy[len] = '\0';
	}
	return copy;
}

/* Room for one more pointer in the list @items of @n. */
static int grow(const struct sl_yaml_node ***items, size_t n, size_t *size)
{
	if (n < *size)
		return 0;
	size_t more = *size ? *size * 2 : 64;
	const struct sl_yaml_node **bigger = realloc(*items, more * sizeof(*bigger));
	if (!bigger)
		return -1;
	*items = bigger;
	*size = more;
	return 0;
}

void sl_yaml_free(struct sl_yaml *yaml)
{
	if (!yaml)
		return;
	for (struct block *block = yaml->blocks, *next; block; block = next) {
		next = block->next;
		free(block);
	}
	free(yaml->roots);
	free(yaml);
}

void sl_yaml_cleanup(struct sl_yaml **yaml)
{
	sl_yaml_free(*yaml);
}

size_t sl_yaml_documents(const struct sl_yaml *yaml)
{
	return yaml->documents;
}

const struct sl_yaml_node *sl_yaml_root(const struct sl_yaml *yaml, size_t document)
{
	return document < yaml->documents ? yaml->roots[document] : NULL;
}

size_t sl_yaml_nodes(const struct sl_yaml *yaml)
{
	return yaml->nodes;
}

struct sl_yaml_builder *sl_yaml_builder_new(const char *name)
{
	struct sl_yaml_builder *builder = calloc(1, sizeof(*builder));
	if (!builder)
		return NULL;
	builder->name = name;
	builder->yaml = calloc(1, sizeof(*builder->yaml));
	if (!builder->yaml) {
		free(builder);
		return NULL;
	}
	return builder;
}

void sl_yaml_builder_free(struct sl_yaml_builder *builder)
{
	if (!builder)
		return;
	sl_yaml_free(builder->yaml);
	free(builder->pending);
	free(builder->anchors);
	free(builder);
}

struct sl_yaml *sl_yaml_builder_steal(struct sl_yaml_builder *builder)
{
	return SL_STEAL(builder->yaml);
}

static int refuse(const struct sl_yaml_builder *builder, const struct sl_yaml_node *at, const char *why,
		  struct sl_error *err)
{
	return sl_error_set(err, SL_FAILED, "%s:%u:%u: %s", builder->name, at->line, at->column, why);
}

void sl_yaml_build_document(struct sl_yaml_builder *builder)
{
	free(builder->anchors);
	builder->anchors = NULL;
	builder->anchors_n = builder->anchors_size = 0;
}

/* Where anchor @name is in the table, or the free place for it. */
static struct anchor *find_anchor(struct anchor *anchors, size_t size, const char *name)
{
	uint32_t hash = 2166136261u; /* FNV-1a */
	for (const char *p = name; *p; p++)
		hash = (hash ^ (unsigned char)*p) * 16777619u;
	size_t i = hash & (size - 1);
	while (anchors[i].name && strcmp(anchors[i].name, name) != 0)
		i = (i + 1) & (size - 1);
	return &anchors[i];
}

static int grow_anchors(struct sl_yaml_builder *builder)
{
	size_t size = builder->anchors_size ? builder->anchors_size * 2 : 32;
	struct anchor *anchors = calloc(size, sizeof(*anchors));
	if (!anchors)
		return -1;
	for (size_t i = 0; i < builder->anchors_size; i++)
		if (builder->anchors[i].name)
			*find_anchor(anchors, size, builder->anchors[i].name) = builder->anchors[i];
	free(builder->anchors);
	builder->anchors = anchors;
	builder->anchors_size = size;
	return 0;
}

/* Name @node; a later anchor of the same name takes over from here on. */
static int remember_anchor(struct sl_yaml_builder *builder, const struct sl_yaml_node *node)
{
	if (builder->anchors_n * 2 >= builder->anchors_size && grow_anchors(builder) < 0)
		return -1;
	struct anchor *anchor = find_anchor(builder->anchors, builder->anchors_size, node->anchor);
	builder->anchors_n += !anchor->name;
	*anchor = (struct anchor){ node->anchor, node };
	return 0;
}

/* Put @node where the text has it: into the open collection, or as a root. */
static int attach(struct sl_yaml_builder *builder, const struct sl_yaml_node *node)
{
	struct sl_yaml *yaml = builder->yaml;
	if (builder->depth) {
		if (grow(&builder->pending, builder->pending_n, &builder->pending_size) < 0)
			return -1;
		builder->pending[builder->pending_n++] = node;
		return 0;
	}
	if (grow(&yaml->roots, yaml->documents, &yaml->roots_size) < 0)
		return -1;
	yaml->roots[yaml->documents++] = node;
	return 0;
}

/* A node with all that @like has of its own. */
static struct sl_yaml_node *add(struct sl_yaml_builder *builder, const struct sl_yaml_node *like, struct sl_error *err)
{
	struct sl_yaml *yaml = builder->yaml;
	struct sl_yaml_node *node = take(yaml, sizeof(*node));
	bool complete = node != NULL;
	if (complete) {
		*node = *like;
		node->id = (unsigned)yaml->nodes++;
		if (like->anchor)
			complete &= (node->anchor = take_text(yaml, like->anchor, strlen(like->anchor))) != NULL;
		if (like->tag)
			complete &= (node->tag = take_text(yaml, like->tag, strlen(like->tag))) != NULL;
		if (like->kind == SL_YAML_SCALAR)
			complete &= (node->text = take_text(yaml, like->text, like->len)) != NULL;
	}
	if (!complete || attach(builder, node) < 0 || (node->anchor && remember_anchor(builder, node) < 0)) {
		sl_error_nomem(err);
		return NULL;
	}
	return node;
}

int sl_yaml_build_scalar(struct sl_yaml_builder *builder, const struct sl_yaml_node *like, struct sl_error *err)
{
	struct sl_yaml_node *node = add(builder, like, err);
	if (!node)
		return -1;
	node->weight = 1;
	return 0;
}

int sl_yaml_build_alias(struct sl_yaml_builder *builder, const struct sl_yaml_node *like, const char *name,
			struct sl_error *err)
{
	const struct anchor *anchor =
		builder->anchors_n ? find_anchor(builder->anchors, builder->anchors_size, name) : NULL;
	if (!anchor || !anchor->name)
		return refuse(builder, like, "the alias names an anchor that is not defined before it", err);
	if (!anchor->node->weight) /* still open */
		return refuse(builder, like, "the alias stands for something that contains it", err);
	builder->expansion += anchor->node->weight;
	if (builder->expansion > SL_YAML_MAX_EXPANSION)
		return sl_error_set(err, SL_FAILED, "%s:%u:%u: the aliases stand for too many nodes (the maximum is %d)",
				    builder->name, like->line, like->column, SL_YAML_MAX_EXPANSION);
	struct sl_yaml_node *node = add(builder, like, err);
	if (!node)
		return -1;
	node->target = anchor->node;
	node->weight = 1 + anchor->node->weight;
	return 0;
}

int sl_yaml_build_open(struct sl_yaml_builder *builder, const struct sl_yaml_node *like, struct sl_error *err)
{
	if (builder->depth == SL_YAML_MAX_DEPTH)
		return sl_error_set(err, SL_FAILED, "%s:%u:%u: nested too deeply (the maximum is %d)", builder->name,
				    like->line, like->column, SL_YAML_MAX_DEPTH);
	struct sl_yaml_node *node = add(builder, like, err);
	if (!node)
		return -1;
	builder->open[builder->depth++] = (struct frame){ node, builder->pending_n };
	return 0;
}

static bool is_mergeable(const struct sl_yaml_node *value)
{
	value = sl_yaml_resolve(value);
	if (value->kind == SL_YAML_SEQ) {
		for (size_t i = 0; i < value->n; i++)
			if (sl_yaml_resolve(value->items[i])->kind != SL_YAML_MAP)
				return false;
		return true;
	}
	return value->kind == SL_YAML_MAP;
}

/* What kubectl refuses when it turns YAML into JSON. */
static int check_map(const struct sl_yaml_builder *builder, const struct sl_yaml_node *map, struct sl_error *err)
{
	for (size_t i = 0; i < map->n; i++) {
		const struct sl_yaml_node *key = map->items[2 * i];
		if (sl_yaml_resolve(key)->kind != SL_YAML_SCALAR)
			return refuse(builder, key,
				      "a map or list is used as a key; a template must be rendered first (helm template)", err);
		if (sl_yaml_is_merge(key) && !is_mergeable(map->items[2 * i + 1]))
			return refuse(builder, key, "'<<' merges maps only", err);
	}
	return 0;
}

int sl_yaml_build_close(struct sl_yaml_builder *builder, size_t end, struct sl_error *err)
{
	struct frame *frame = &builder->open[--builder->depth];
	struct sl_yaml_node *node = frame->node;
	size_t n = builder->pending_n - frame->first;
	const struct sl_yaml_node **items = take(builder->yaml, n * sizeof(*items));
	if (!items)
		return sl_error_nomem(err);
	unsigned weight = 1;
	for (size_t i = 0; i < n; i++) {
		items[i] = builder->pending[frame->first + i];
		weight += items[i]->weight;
	}
	builder->pending_n = frame->first;
	node->items = items;
	node->n = node->kind == SL_YAML_MAP ? n / 2 : n;
	node->weight = weight;
	node->end = end;
	return node->kind == SL_YAML_MAP ? check_map(builder, node, err) : 0;
}
