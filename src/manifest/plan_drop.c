/* SPDX-License-Identifier: Apache-2.0 */
#include "manifest/plan.h"

/* One pair of a map while it is taken out. */
struct job {
	const struct sl_source *source;
	const struct sl_yaml_node *map;
	size_t pair;
	struct sl_splices *splices;
};

static const struct sl_yaml_node *key_of(const struct job *job, size_t pair)
{
	return job->map->items[2 * pair];
}

static const struct sl_yaml_node *value_of(const struct job *job, size_t pair)
{
	return job->map->items[2 * pair + 1];
}

static int refuse(const struct job *job, const char *why, struct sl_error *err)
{
	const struct sl_yaml_node *key = key_of(job, job->pair);
	return sl_error_set(err, SL_FAILED, "%s:%u:%u: '%s' %s", job->source->name, key->line, key->column, key->text, why);
}

/* Where the pair ends: behind its value, or its colon where it has none. */
static size_t pair_end(const struct job *job)
{
	const struct sl_yaml_node *key = key_of(job, job->pair), *value = value_of(job, job->pair);
	size_t end = sl_source_end(job->source, value), colon = sl_source_colon(job->source, job->map, key);
	if (end > value->start)
		return end;
	return colon ? colon + 1 : key->end;
}

static size_t break_length(const struct sl_source *source, size_t at)
{
	return sl_yaml_break_length(source->text + at, source->text + source->len);
}

/* Its lines, with the comment that ends the last one. */
static int drop_lines(const struct job *job, struct sl_error *err)
{
	const struct sl_source *source = job->source;
	size_t start = key_of(job, job->pair)->start, below = sl_source_line_end(source, pair_end(job));
	start -= sl_source_blanks_before(source, start);
	if (below < source->len)
		return sl_splices_add(job->splices, start, below + break_length(source, below), "", err);
	/* a last line without a break: what is before it becomes one */
	while (start > 0 && sl_source_ends_line(source, start - 1))
		start--;
	return sl_splices_add(job->splices, start, below, "", err);
}

/* The first pair of a list's item stands behind its dash: the next one takes its place. */
static int drop_first(const struct job *job, struct sl_error *err)
{
	const struct sl_source *source = job->source;
	size_t start = key_of(job, job->pair)->start, end = sl_source_line_end(source, pair_end(job));
	if (job->pair + 1 >= job->map->n)
		return refuse(job, "cannot be removed here; write it on lines of its own", err);
	size_t next = key_of(job, job->pair + 1)->start;
	if (end >= next || !sl_source_starts_line(source, next) || next - sl_source_blanks_before(source, next) != end + break_length(source, end))
		return refuse(job, "cannot be removed here; write it on lines of its own", err);
	return sl_splices_add(job->splices, start, next, "", err);
}

/* Its entry with the comma behind it and what separates it from the next one; the last
 * entry with the comma before it. */
static int drop_entry(const struct job *job, struct sl_error *err)
{
	const struct sl_source *source = job->source;
	const struct sl_yaml_node *key = key_of(job, job->pair);
	size_t start = key->start, end = pair_end(job), comma = sl_source_comma(source, end);
	if (source->text[sl_source_content(source, job->map)] != '{')
		return refuse(job, "cannot be removed from a map without braces", err);
	if (comma) {
		end = comma + 1 + sl_source_blanks(source, comma + 1);
		if (end < source->len && sl_source_ends_line(source, end) && sl_source_starts_line(source, start)) {
			end += break_length(source, end);
			end += sl_source_blanks(source, end);
		}
	} else if (job->pair > 0) {
		start = sl_source_comma(source, sl_source_end(source, value_of(job, job->pair - 1)));
		if (!start)
			return refuse(job, "cannot be removed here; write it on lines of its own", err);
	}
	return sl_splices_add(job->splices, start, end, "", err);
}

static int drop(const struct job *job, struct sl_error *err)
{
	if (job->map->style == SL_YAML_FLOW)
		return drop_entry(job, err);
	if (sl_source_starts_line(job->source, key_of(job, job->pair)->start))
		return drop_lines(job, err);
	return drop_first(job, err);
}

int sl_manifest_plan_drop(const struct sl_source *source, const struct sl_yaml_node *map, const char *key, struct sl_splices *splices,
			  struct sl_error *err)
{
	for (size_t pair = 0; pair < map->n; pair++) {
		const struct job job = { source, map, pair, splices };
		const struct sl_yaml_node alone = { .kind = SL_YAML_MAP, .items = map->items + 2 * pair, .n = 1 };
		if (!sl_yaml_get(&alone, key))
			continue;
		if (sl_yaml_is_merge(map->items[2 * pair]))
			return sl_error_set(err, SL_FAILED, "%s:%u:%u: '%s' comes by this '<<' and cannot be removed here; write the map out", source->name,
					    map->items[2 * pair]->line, map->items[2 * pair]->column, key);
		if (drop(&job, err) < 0)
			return -1;
	}
	return 0;
}
