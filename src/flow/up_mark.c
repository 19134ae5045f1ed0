/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/cleanup.h"
#include "flow/up.h"
#include "image/reference.h"
#include "manifest/locate.h"
#include "manifest/policy.h"

/* As manifest/locate.h has it, on what kubectl made of the manifests. */

#define DEPTH_MAX 256

static bool is_opaque(const json_t *object)
{
	const char *kind = sl_json_str(object, "kind");
	return kind && sl_json_str(object, "apiVersion") &&
	       (!strcmp(kind, "ConfigMap") || !strcmp(kind, "Secret") || !strcmp(kind, "CustomResourceDefinition"));
}

/* The loaded image that @text names, or NULL. */
static const struct sl_image *loaded(const struct sl_up *up, const char *text)
{
	sl_autoref struct sl_reference ref = SL_REFERENCE_INIT;
	struct sl_error ignored = SL_ERROR_INIT;
	if (!text || sl_reference_parse(text, &ref, &ignored) < 0)
		return NULL;
	sl_autofree char *canonical = sl_reference_canonical(&ref);
	for (size_t i = 0; canonical && i < up->load.n_images; i++)
		if (!strcmp(up->load.images[i].name, canonical))
			return &up->load.images[i];
	return NULL;
}

const char *sl_up_pushed_as(const struct sl_up *up, const struct sl_image *image)
{
	for (size_t i = 0; i < up->pushed.n; i++)
		if (!strcmp(up->pushed.items[i], image->name))
			return up->references.items[i];
	return NULL;
}

static int add_mark(struct sl_strv *marks, const struct sl_image *image)
{
	sl_autobuf struct sl_buf mark = SL_BUF_INIT;
	sl_buf_printf(&mark, "%s=%s", image->name, sl_digest_known(&image->config) ? image->config.text : image->id);
	return mark.failed ? -1 : sl_strv_add_new(marks, sl_buf_text(&mark));
}

/* Set the policy of the loaded ones among the containers of @spec, and collect their
 * marks. */
static int mark_containers(const struct sl_up *up, json_t *spec, struct sl_strv *marks)
{
	for (const char *const *list = sl_manifest_container_lists; *list; list++) {
		size_t i;
		json_t *container;
		json_array_foreach(json_object_get(spec, *list), i, container) {
			const struct sl_image *image = loaded(up, sl_json_str(container, "image"));
			const char *reference = image ? sl_up_pushed_as(up, image) : NULL;
			if (reference && json_object_set_new(container, "image", json_string(reference)) < 0)
				return -1;
			if (image && (json_object_set_new(container, SL_POLICY_KEY, json_string(up->policy)) < 0 ||
				      add_mark(marks, image) < 0))
				return -1;
		}
	}
	return 0;
}

/* The object at @key of @object, made if it is not there; NULL when memory is out. */
static json_t *child(json_t *object, const char *key)
{
	json_t *value = json_object_get(object, key);
	if (json_is_object(value))
		return value;
	value = json_object();
	return json_object_set_new(object, key, value) < 0 ? NULL : value;
}

static int annotate(json_t *template, const struct sl_strv *marks)
{
	sl_autobuf struct sl_buf text = SL_BUF_INIT;
	json_t *metadata = child(template, "metadata");
	json_t *annotations = metadata ? child(metadata, "annotations") : NULL;
	for (size_t i = 0; i < marks->n; i++)
		sl_buf_printf(&text, "%s%s", i ? "," : "", marks->items[i]);
	return !annotations || text.failed ? -1 : json_object_set_new(annotations, SL_UP_MARK, json_string(sl_buf_text(&text)));
}

static int visit(const struct sl_up *up, json_t *node, unsigned depth)
{
	const char *key;
	size_t i;
	json_t *value;
	if (depth > DEPTH_MAX || is_opaque(node))
		return 0;
	if (json_is_array(node)) {
		json_array_foreach(node, i, value)
			if (visit(up, value, depth + 1) < 0)
				return -1;
		return 0;
	}
	json_object_foreach(node, key, value)
		if (visit(up, value, depth + 1) < 0)
			return -1;
	sl_autostrv struct sl_strv marks = SL_STRV_INIT;
	value = json_object_get(node, "spec");
	if (json_is_object(value) && mark_containers(up, value, &marks) < 0)
		return -1;
	return marks.n ? annotate(node, &marks) : 0;
}

int sl_up_mark(struct sl_up *up, struct sl_error *err)
{
	return visit(up, up->objects, 0) < 0 ? sl_error_nomem(err) : 0;
}
