/* SPDX-License-Identifier: Apache-2.0 */
#include "manifest/plan.h"

#include <stdint.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "manifest/policy.h"

#define NO_PAIR SIZE_MAX

/* One container while it is planned. */
struct job {
	const struct sl_source *source;
	const struct sl_yaml_node *map;
	const char *word; /* the policy, or what the image becomes */
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

static int refuse(const struct job *job, const struct sl_yaml_node *at, const char *why, struct sl_error *err)
{
	return sl_error_set(err, SL_FAILED, "%s:%u:%u: %s", job->source->name, at->line, at->column, why);
}

/* The last pair of the map that gives @key a value, as its own or, with *@merged,
 * by a merge; NO_PAIR if none does. */
static size_t provider(const struct job *job, const char *key, bool *merged)
{
	for (size_t pair = job->map->n; pair-- > 0;) {
		/* a map of only this pair would find it just so */
		const struct sl_yaml_node alone = { .kind = SL_YAML_MAP, .items = job->map->items + 2 * pair, .n = 1 };
		*merged = sl_yaml_is_merge(key_of(job, pair));
		if (sl_yaml_get(&alone, key))
			return pair;
	}
	*merged = false;
	return NO_PAIR;
}

static bool is_own(const struct job *job, size_t pair, const char *key)
{
	return !sl_yaml_is_merge(key_of(job, pair)) && sl_yaml_is(key_of(job, pair), key);
}

static const char *quote_of(const struct sl_yaml_node *key)
{
	return key->style == SL_YAML_DOUBLE ? "\"" : key->style == SL_YAML_SINGLE ? "'" : "";
}

static int add(const struct job *job, size_t start, size_t end, const char *text, struct sl_error *err)
{
	return sl_splices_add(job->splices, start, end, text, err);
}

static int add_buf(const struct job *job, size_t at, const struct sl_buf *text, struct sl_error *err)
{
	return text->failed ? sl_error_nomem(err) : add(job, at, at, sl_buf_text(text), err);
}

/* A value that is not there: behind its anchor or tag, its colon, or, with a
 * colon of its own, its key. */
static int fill_in(const struct job *job, size_t pair, struct sl_error *err)
{
	const struct sl_yaml_node *key = key_of(job, pair), *value = value_of(job, pair);
	sl_autobuf struct sl_buf text = SL_BUF_INIT;
	size_t colon = sl_source_colon(job->source, job->map, key);
	size_t at = value->end > value->start ? value->end : colon + 1;
	if (!colon) {
		at = key->end;
		if (job->map->style == SL_YAML_BLOCK) {
			size_t n;
			const char *newline = sl_source_break(job->source, at, &n);
			sl_buf_add(&text, newline, n);
			sl_buf_printf(&text, "%*s", (int)job->map->indent, "");
		}
		sl_buf_puts(&text, ":");
	}
	sl_buf_printf(&text, " %s%s%s", quote_of(key), job->word, quote_of(key));
	return add_buf(job, at, &text, err);
}

/* A block scalar: the header becomes the value, the lines below go. */
static int flatten(const struct job *job, const struct sl_yaml_node *value, size_t content, struct sl_error *err)
{
	const struct sl_source *source = job->source;
	size_t header = content + 1; /* behind "|", "|-", "|2" */
	while (header < source->len && source->text[header] && strchr("+-0123456789", source->text[header]))
		header++;
	bool comment = header < source->len && source->text[header] == '#';
	size_t below = sl_source_line_end(source, header);
	size_t end = sl_source_end(source, value);
	sl_autobuf struct sl_buf word = SL_BUF_INIT;
	sl_buf_printf(&word, "%s%s", job->word, comment ? " " : "");
	if (word.failed)
		return sl_error_nomem(err);
	if (add(job, content, header, sl_buf_text(&word), err) < 0)
		return -1;
	return end > below ? add(job, below, end, "", err) : 0;
}

/* Whether @value is one that a string can take the place of: a scalar, and not
 * one whose tag would make something else of it. */
static bool is_replaceable(const struct sl_yaml_node *value)
{
	return value->kind == SL_YAML_ALIAS ||
	       (value->kind == SL_YAML_SCALAR && (!value->tag || !strcmp(value->tag, SL_YAML_TAG("str"))));
}

static int replace(const struct job *job, size_t pair, struct sl_error *err)
{
	const struct sl_yaml_node *key = key_of(job, pair), *value = value_of(job, pair);
	if (!is_replaceable(value))
		return sl_error_set(err, SL_FAILED, "%s:%u:%u: the value of '%s' is no string", job->source->name, value->line, value->column,
				    key->text);
	size_t content = sl_source_content(job->source, value);
	/* a bare string stays bare; what else is bare (null, true) may be JSON's */
	const char *quote = value->kind == SL_YAML_SCALAR && sl_yaml_is_string(value) ? "" : quote_of(key);
	sl_autobuf struct sl_buf text = SL_BUF_INIT;
	bool touches = content > value->start && !sl_source_blanks_before(job->source, content); /* `&a:b` */
	sl_buf_printf(&text, "%s%s%s%s", touches ? " " : "", quote, job->word, quote);
	if (text.failed)
		return sl_error_nomem(err);
	if (value->style == SL_YAML_LITERAL || value->style == SL_YAML_FOLDED)
		return flatten(job, value, content, err);
	if (value->style == SL_YAML_SINGLE || value->style == SL_YAML_DOUBLE)
		return add(job, content + 1, value->end - 1, job->word, err);
	if (content >= value->end)
		return fill_in(job, pair, err);
	return add(job, content, value->end, sl_buf_text(&text), err);
}

/* A line of its own behind the one on which the value of @pair ends. */
static int insert_line(const struct job *job, size_t pair, struct sl_error *err)
{
	const char *quote = quote_of(key_of(job, pair));
	size_t at = sl_source_line_end(job->source, sl_source_end(job->source, value_of(job, pair)));
	size_t n;
	const char *newline = sl_source_break(job->source, at, &n);
	sl_autobuf struct sl_buf text = SL_BUF_INIT;
	sl_buf_add(&text, newline, n);
	sl_buf_printf(&text, "%*s%s" SL_POLICY_KEY "%s: %s%s%s", (int)job->map->indent, "", quote, quote, quote, job->word,
		      quote);
	return add_buf(job, at, &text, err);
}

/* Append `"imagePullPolicy": "Never"`, quoted and spaced as the pair that
 * begins with @key and has @value. */
static void put_entry(const struct job *job, const struct sl_yaml_node *key, const struct sl_yaml_node *value,
		      struct sl_buf *text)
{
	const char *quote = quote_of(key);
	const char *gap = job->source->text + key->end;
	size_t gap_len = value->start - key->end;
	size_t colon = sl_source_blanks(job->source, key->end);
	bool plain = colon < gap_len && gap[colon] == ':' &&
		     colon + 1 + sl_source_blanks(job->source, key->end + colon + 1) == gap_len;
	/* only behind a quoted key need there be no blank */
	if (!plain || (!*quote && gap[gap_len - 1] == ':')) {
		gap = ": ";
		gap_len = 2;
	}
	sl_buf_printf(text, "%s" SL_POLICY_KEY "%s", quote, quote);
	sl_buf_add(text, gap, gap_len);
	sl_buf_printf(text, "%s%s%s", quote, job->word, quote);
}

/* Where an entry of a flow map begins: at its key, or at the '?' before it. */
static size_t entry_start(const struct job *job, const struct sl_yaml_node *key)
{
	size_t at = key->start - sl_source_blanks_before(job->source, key->start);
	return at > job->map->start && job->source->text[at - 1] == '?' ? at - 1 : key->start;
}

/* Append what stands between a comma and the next entry: as before @start, where
 * this one begins, or as behind @value, or as behind its colon. */
static void put_comma_space(const struct job *job, size_t start, const struct sl_yaml_node *value, struct sl_buf *text)
{
	const struct sl_source *source = job->source;
	size_t before = sl_source_blanks_before(source, start);
	size_t comma = value->end + sl_source_blanks(source, value->end);
	size_t at = value->start - sl_source_blanks_before(source, value->start), n = value->start - at;
	if (start > before && source->text[start - before - 1] == ',') {
		at = start - before;
		n = before;
	} else if (comma < source->len && source->text[comma] == ',') {
		size_t behind = sl_source_blanks(source, comma + 1);
		if (!sl_source_ends_line(source, comma + 1 + behind)) {
			at = comma + 1;
			n = behind;
		}
	}
	sl_buf_add(text, source->text + at, n);
}

/* An entry before the image of a flow map: nothing but an insertion, whatever
 * comments stand behind the image. */
static int insert_before(const struct job *job, size_t pair, struct sl_error *err)
{
	const struct sl_yaml_node *key = key_of(job, pair), *value = value_of(job, pair);
	size_t start = entry_start(job, key);
	sl_autobuf struct sl_buf text = SL_BUF_INIT;
	put_entry(job, key, value, &text);
	sl_buf_puts(&text, ",");
	if (sl_source_starts_line(job->source, start)) {
		size_t n, indent = sl_source_blanks_before(job->source, start);
		const char *newline = sl_source_break(job->source, start, &n);
		sl_buf_add(&text, newline, n);
		sl_buf_add(&text, job->source->text + start - indent, indent);
	} else {
		put_comma_space(job, start, value, &text);
	}
	return add_buf(job, start, &text, err);
}

/* An entry behind a merge in a flow map, which it is to override. */
static int insert_after(const struct job *job, size_t pair, struct sl_error *err)
{
	const struct sl_yaml_node *key = key_of(job, pair), *value = value_of(job, pair);
	sl_autobuf struct sl_buf text = SL_BUF_INIT;
	sl_buf_puts(&text, ",");
	put_comma_space(job, entry_start(job, key), value, &text);
	put_entry(job, key, value, &text);
	return add_buf(job, sl_source_end(job->source, value), &text, err);
}

static int insert_flow(const struct job *job, size_t pair, bool merged, struct sl_error *err)
{
	/* `[image: app]` is a list of a map without braces: with two entries it needs them */
	bool bare = job->source->text[sl_source_content(job->source, job->map)] != '{';
	if (bare && add(job, job->map->start, job->map->start, "{", err) < 0)
		return -1;
	if ((merged ? insert_after(job, pair, err) : insert_before(job, pair, err)) < 0)
		return -1;
	size_t end = sl_source_end(job->source, job->map);
	return bare ? add(job, end, end, "}", err) : 0;
}

static int insert(const struct job *job, struct sl_error *err)
{
	bool image_merged, policy_merged;
	size_t pair = provider(job, "image", &image_merged);
	size_t overridden = provider(job, SL_POLICY_KEY, &policy_merged);
	bool merged = image_merged;
	if (overridden != NO_PAIR && overridden > pair) {
		/* kubectl lets the later of a key and a merge count */
		pair = overridden;
		merged = true;
	}
	return job->map->style == SL_YAML_FLOW ? insert_flow(job, pair, merged, err) : insert_line(job, pair, err);
}

/* Replace all values of the map's own that are not what is wanted; there are
 * @own of them. */
static int replace_own(const struct job *job, size_t own, struct sl_error *err)
{
	bool merged;
	size_t last = provider(job, SL_POLICY_KEY, &merged);
	if (merged && !sl_policy_is(sl_yaml_get(job->map, SL_POLICY_KEY), job->word))
		return refuse(job, key_of(job, last),
			      "this '<<' overrides the '" SL_POLICY_KEY "' above it; move it to the top of the container", err);
	for (size_t pair = 0; pair < job->map->n; pair++) {
		const struct sl_yaml_node *key = key_of(job, pair);
		if (!is_own(job, pair, SL_POLICY_KEY))
			continue;
		if (own > 1)
			sl_warn("%s:%u:%u: '" SL_POLICY_KEY "' is there %zu times in one container; all are set", job->source->name,
				key->line, key->column, own);
		if (!sl_policy_is(sl_yaml_resolve(value_of(job, pair)), job->word) &&
		    replace(job, pair, err) < 0)
			return -1;
	}
	return 0;
}

/* The image's name, wherever it stands in the map itself. */
static int rename_image(const struct job *job, const struct sl_yaml_node *image, struct sl_error *err)
{
	size_t own = 0;
	for (size_t pair = 0; pair < job->map->n; pair++) {
		if (!is_own(job, pair, "image"))
			continue;
		own++;
		if (!sl_yaml_is(sl_yaml_resolve(value_of(job, pair)), job->word) && replace(job, pair, err) < 0)
			return -1;
	}
	return own ? 0 : refuse(job, image, "this image comes by a '<<' and cannot be changed there; write it out", err);
}

int sl_manifest_plan(const struct sl_source *source, const struct sl_container *container, const char *policy, const char *becomes,
		     struct sl_splices *splices, struct sl_error *err)
{
	const struct job job = { source, container->map, policy, splices }, image = { source, container->map, becomes, splices };
	size_t own = 0;
	if (becomes && rename_image(&image, container->image, err) < 0)
		return -1;
	for (size_t pair = 0; pair < job.map->n; pair++)
		own += is_own(&job, pair, SL_POLICY_KEY);
	if (own)
		return replace_own(&job, own, err);
	if (sl_policy_is(sl_yaml_get(job.map, SL_POLICY_KEY), policy))
		return 0;
	return insert(&job, err);
}
