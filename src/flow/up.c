/* SPDX-License-Identifier: Apache-2.0 */
#include "flow/up.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/child.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "base/process.h"
#include "flow/up_changes.h"

#define TAIL_MAX 4000 /* bytes of a quiet build's output that are shown when it fails */

void sl_up_reset(struct sl_up *up)
{
	for (size_t i = 0; i < up->n_workloads; i++) {
		sl_child_remote_stop(up->workloads[i].watcher);
		json_decref(up->workloads[i].pods);
	}
	free(up->workloads);
	up->workloads = NULL;
	up->n_workloads = 0;
	json_decref(up->objects);
	up->objects = NULL;
	sl_strv_release(&up->images);
	sl_strv_release(&up->missing);
	sl_strv_release(&up->pushed);
	sl_strv_release(&up->references);
	sl_strv_release(&up->applied);
	sl_buf_release(&up->words);
	const struct sl_load given = up->load;
	sl_load_release(&up->load);
	up->load.engine = given.engine;
	up->load.cluster = given.cluster;
	up->load.cancel = given.cancel;
	up->load.importer = given.importer;
	up->load.exporter_wanted = given.exporter_wanted;
	up->unchanged = false;
	up->running_at = 0;
	for (size_t i = 0; i < up->n_builds; i++) {
		up->builds[i].done = false;
		up->builds[i].seconds = 0;
	}
}

void sl_up_release(struct sl_up *up)
{
	sl_up_reset(up);
	for (size_t i = 0; i < up->n_builds; i++) {
		free(up->builds[i].image);
		free(up->builds[i].given);
		free(up->builds[i].dir);
		free(up->builds[i].command);
	}
	free(up->builds);
	json_decref(up->read_objects);
	sl_strv_release(&up->read_images);
	*up = (struct sl_up){ 0 };
}

/* ---- reading ---- */

static const char *const workload_kinds[] = { "Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "ReplicationController", "Job", "Pod" };

static bool is_workload(const json_t *object)
{
	const char *kind = sl_json_str(object, "kind"), *version = sl_json_str(object, "apiVersion");
	bool core = version && (!strncmp(version, "apps/", 5) || !strncmp(version, "batch/", 6) || !strcmp(version, "v1"));
	for (size_t i = 0; core && kind && i < sizeof(workload_kinds) / sizeof(workload_kinds[0]); i++)
		if (!strcmp(kind, workload_kinds[i]))
			return true;
	return false;
}

int sl_up_find_workloads(struct sl_up *up, struct sl_error *err)
{
	size_t i;
	json_t *object;
	up->workloads = calloc(json_array_size(up->objects) + 1, sizeof(*up->workloads));
	if (!up->workloads)
		return sl_error_nomem(err);
	json_array_foreach(up->objects, i, object) {
		const json_t *metadata = json_object_get(object, "metadata");
		const char *name = sl_json_str(metadata, "name"), *namespace = sl_json_str(metadata, "namespace");
		if (is_workload(object) && name && namespace)
			up->workloads[up->n_workloads++] = (struct sl_up_workload){
				.kind = sl_json_str(object, "kind"), .name = name, .namespace = namespace,
				.mark_name = SL_UP_MARK, .object = object };
	}
	return 0;
}

/* kubectl itself turns YAML into what the server is sent, and fills in the namespace. */
static int understand(struct sl_up *up, const struct sl_buf *stream, struct sl_error *err)
{
	const char *args[12] = { "create", "--dry-run=client", "--validate=false", "-o", "json", "-f", "-" };
	size_t n = 7;
	if (up->kubectl.namespace) {
		args[n++] = "-n";
		args[n++] = up->kubectl.namespace;
	}
	up->objects = sl_kubectl_objects(&up->kubectl, args, stream, err);
	if (!up->objects)
		return -1;
	if (!json_array_size(up->objects))
		return sl_error_set(err, SL_FAILED, "no object is in the manifests");
	return sl_up_find_workloads(up, err);
}

static int copy_list(const struct sl_strv *from, struct sl_strv *to, struct sl_error *err)
{
	for (size_t i = 0; i < from->n; i++)
		if (sl_strv_add(to, from->items[i]) < 0)
			return sl_error_nomem(err);
	return 0;
}

/* For the next time, before anything is marked. */
static int keep(struct sl_up *up, struct sl_error *err)
{
	json_decref(up->read_objects);
	sl_strv_release(&up->read_images);
	up->read_objects = json_deep_copy(up->objects);
	up->reread = !up->read_objects;
	return copy_list(&up->images, &up->read_images, err);
}

static int read_known(struct sl_up *up, struct sl_error *err)
{
	up->objects = json_deep_copy(up->read_objects);
	if (!up->objects)
		return sl_error_nomem(err);
	return copy_list(&up->read_images, &up->images, err) < 0 ? -1 : sl_up_find_workloads(up, err);
}

int sl_up_read(struct sl_up *up, struct sl_error *err)
{
	sl_autobuf struct sl_buf stream = SL_BUF_INIT;
	if (up->read_objects && !up->reread)
		return read_known(up, err);
	if (sl_sources_read(&up->sources, &up->kubectl, &stream, &up->images, err) < 0)
		return -1;
	for (size_t i = 0; i < up->n_builds; i++) {
		if (!sl_strv_has(&up->images, up->builds[i].image))
			sl_warn("no container in the manifests runs '%s', which is built", up->builds[i].given);
		if (sl_strv_add_new(&up->images, up->builds[i].image) < 0)
			return sl_error_nomem(err);
	}
	if (understand(up, &stream, err) < 0)
		return -1;
	return up->changes ? keep(up, err) : 0;
}

/* ---- building ---- */

static int run_build(const struct sl_up *up, const struct sl_up_build *build, struct sl_buf *output, int *code, struct sl_error *err)
{
	const struct sl_strv *globals = up->builder_globals, *options = up->build_options;
	sl_autofree const char **argv = calloc(globals->n + options->n + 8, sizeof(*argv));
	size_t n = 0;
	if (!argv)
		return sl_error_nomem(err);
	if (build->command) {
		argv[n++] = "/bin/sh";
		argv[n++] = "-c";
		argv[n++] = build->command;
	} else {
		argv[n++] = up->builder;
		for (size_t i = 0; i < globals->n; i++)
			argv[n++] = globals->items[i];
		argv[n++] = "build";
		argv[n++] = "-t";
		argv[n++] = build->given;
		for (size_t i = 0; i < options->n; i++)
			argv[n++] = options->items[i];
		argv[n++] = build->dir;
	}
	const struct sl_process_stop stop = { sl_up_changes_superseded, up->changes };
	sl_up_changes_build_begins(up->changes, build);
	int rc = sl_process_run(argv, output, up->kubectl.cancel, up->changes ? &stop : NULL, SL_NEVER, code, err);
	sl_up_changes_build_ends(up->changes, rc < 0);
	return rc;
}

/* The last lines of what a quiet build said. */
static void keep_tail(struct sl_up *up, const struct sl_buf *output)
{
	const char *text = sl_buf_text(output);
	if (output->len > TAIL_MAX) {
		const char *line = strchr(text + output->len - TAIL_MAX, '\n');
		text = line ? line + 1 : text + output->len - TAIL_MAX;
	}
	sl_buf_puts(&up->words, text);
}

int sl_up_build(struct sl_up *up, struct sl_error *err)
{
	for (size_t i = 0; i < up->n_builds; i++) {
		struct sl_up_build *build = &up->builds[i];
		sl_autobuf struct sl_buf output = SL_BUF_INIT;
		int64_t started = sl_now();
		int code = 0;
		if (build->needless)
			continue;
		if (run_build(up, build, up->quiet_build ? &output : NULL, &code, err) < 0)
			return sl_error_wrap(err, "building '%s'", build->given);
		build->seconds = (double)(sl_now() - started) / 1000;
		build->done = !code;
		if (!code)
			continue;
		keep_tail(up, &output);
		return sl_error_set(err, SL_FAILED, "building '%s' failed: %s%s ended with exit code %d; nothing was loaded or applied",
				    build->given, build->command ? "" : up->builder, build->command ? build->command : " build", code);
	}
	return 0;
}

int sl_up_images(struct sl_up *up, struct sl_error *err)
{
	if (sl_load_known_images(&up->load, &up->images, &up->missing, err) < 0)
		return -1;
	for (size_t i = 0; i < up->n_builds; i++)
		if (sl_strv_has(&up->missing, up->builds[i].image))
			return sl_error_set(err, SL_FAILED, "'%s' was built, but the engine at %s does not have it: its build went to another "
					    "engine, or gave it another name", up->builds[i].given, up->load.engine->endpoint.url);
	for (size_t i = 0; i < up->missing.n; i++)
		sl_info("'%s' is not in the engine; it is left to the cluster", up->missing.items[i]);
	return 0;
}

/* ---- applying ---- */

static int put_objects(const struct sl_up *up, bool (*wanted)(const struct sl_up *up, const json_t *object), struct sl_buf *stream,
		       struct sl_error *err)
{
	size_t i;
	json_t *object;
	json_array_foreach(up->objects, i, object) {
		if (wanted && !wanted(up, object))
			continue;
		if (sl_json_put(stream, object, JSON_COMPACT) < 0 || sl_buf_puts(stream, "\n") < 0)
			return sl_error_nomem(err);
	}
	return 0;
}

static bool object_is_workload(const struct sl_up *up, const json_t *object)
{
	return is_workload(object);
}

static bool object_is_replaced(const struct sl_up *up, const json_t *object)
{
	for (size_t i = 0; i < up->n_workloads; i++)
		if (up->workloads[i].object == object)
			return up->workloads[i].replaced;
	return false;
}

static const json_t *find_live(const json_t *live, const struct sl_up_workload *workload)
{
	size_t i;
	json_t *object;
	json_array_foreach(live, i, object) {
		const json_t *metadata = json_object_get(object, "metadata");
		const char *kind = sl_json_str(object, "kind"), *name = sl_json_str(metadata, "name");
		const char *namespace = sl_json_str(metadata, "namespace");
		if (kind && name && namespace && !strcmp(kind, workload->kind) && !strcmp(name, workload->name) &&
		    !strcmp(namespace, workload->namespace))
			return object;
	}
	return NULL;
}

const json_t *sl_up_pod_annotations(const json_t *object)
{
	const char *kind = sl_json_str(object, "kind");
	if (kind && strcmp(kind, "Pod") != 0)
		object = json_object_get(json_object_get(object, "spec"), "template");
	return json_object_get(json_object_get(object, "metadata"), "annotations");
}

/* What keeps the cluster from replacing the pods of @spec by itself. */
static const char *why_left(const json_t *spec)
{
	const json_t *strategy = json_object_get(spec, "updateStrategy");
	const char *type = sl_json_str(strategy, "type");
	if (json_is_true(json_object_get(spec, "paused")))
		return "it is paused; its pods change after kubectl rollout resume";
	if (type && !strcmp(type, "OnDelete"))
		return "its update strategy is OnDelete; each pod changes when you delete it";
	return NULL;
}

bool sl_up_keeps_pods(const struct sl_up_workload *workload)
{
	return !strcmp(workload->kind, "ReplicaSet") || !strcmp(workload->kind, "ReplicationController");
}

static int compare_one(const struct sl_up *up, struct sl_up_workload *workload, const json_t *live, struct sl_buf *names)
{
	bool fixed = !strcmp(workload->kind, "Pod") || !strcmp(workload->kind, "Job");
	const char *mark = sl_json_str(sl_up_pod_annotations(live), SL_UP_MARK);
	workload->mark = sl_json_str(sl_up_pod_annotations(workload->object), SL_UP_MARK);
	workload->note = why_left(json_object_get(live ? live : workload->object, "spec"));
	if (!workload->note)
		workload->note = why_left(json_object_get(workload->object, "spec"));
	if (sl_up_keeps_pods(workload) && live && workload->mark && (!mark || strcmp(mark, workload->mark) != 0))
		workload->note = SL_UP_KEEPS_PODS;
	if (workload->note)
		workload->state = SL_UP_LEFT;
	if (!live || !fixed || !workload->mark || (mark && !strcmp(mark, workload->mark)))
		return 0;
	if (up->replace) {
		workload->replaced = true;
		return 0;
	}
	return sl_buf_printf(names, "%s%s '%s'", names->len ? ", " : "", workload->kind, workload->name);
}

static int delete_replaced(struct sl_up *up, struct sl_error *err)
{
	static const char *const args[] = { "delete", "--ignore-not-found", "--wait=true", "--timeout=50s", "-f", "-", NULL };
	sl_autobuf struct sl_buf stream = SL_BUF_INIT;
	sl_autobuf struct sl_buf ignored = SL_BUF_INIT;
	if (put_objects(up, object_is_replaced, &stream, err) < 0)
		return -1;
	return stream.len ? sl_kubectl_run(&up->kubectl, args, &stream, &ignored, err) : 0;
}

json_t *sl_up_live(const struct sl_up *up, struct sl_error *err)
{
	static const char *const args[] = { "get", "--ignore-not-found", "-o", "json", "-f", "-", NULL };
	sl_autobuf struct sl_buf stream = SL_BUF_INIT;
	if (put_objects(up, object_is_workload, &stream, err) < 0)
		return NULL;
	return stream.len ? sl_kubectl_objects(&up->kubectl, args, &stream, err) : json_array();
}

int sl_up_compare(struct sl_up *up, const json_t *live, struct sl_error *err)
{
	sl_autobuf struct sl_buf names = SL_BUF_INIT;
	for (size_t i = 0; i < up->n_workloads; i++)
		if (compare_one(up, &up->workloads[i], find_live(live, &up->workloads[i]), &names) < 0)
			return sl_error_nomem(err);
	if (names.len)
		return sl_error_set(err, SL_FAILED, "the image of %s changed, and what is there cannot be changed in place; --replace deletes "
				    "it and creates it anew; nothing was applied", sl_buf_text(&names));
	return 0;
}

static int take_lines(struct sl_up *up, char *text, struct sl_error *err)
{
	char *rest;
	up->unchanged = true;
	for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
		size_t len = strcspn(line, " ");
		up->unchanged = up->unchanged && !strncmp(line + len, " unchanged", 10);
		sl_sanitise(line);
		if (sl_strv_add(&up->applied, line) < 0)
			return sl_error_nomem(err);
	}
	return 0;
}

int sl_up_apply(struct sl_up *up, bool dry_run, struct sl_error *err)
{
	const char *args[8] = { "apply" };
	size_t n = 1;
	sl_autobuf struct sl_buf stream = SL_BUF_INIT;
	sl_autobuf struct sl_buf out = SL_BUF_INIT;
	if (up->server_side)
		args[n++] = "--server-side";
	if (dry_run)
		args[n++] = "--dry-run=server";
	args[n++] = "-f";
	args[n++] = "-";
	if (put_objects(up, NULL, &stream, err) < 0 || (!dry_run && delete_replaced(up, err) < 0) ||
	    sl_kubectl_run(&up->kubectl, args, &stream, &out, err) < 0)
		return -1;
	sl_autofree char *text = sl_buf_steal(&out);
	return text ? take_lines(up, text, err) : 0;
}
