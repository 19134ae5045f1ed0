/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/cleanup.h"
#include "flow/up.h"

#define LOG_LINES "--tail=10"
#define EVENTS_SHOWN 3
#define NAME_BYTES 600 /* of a selector or a file name on kubectl's command line */

/* "app=web,tier=front"; -1 when it selects by more than labels, or by too many */
static int selector_of(const struct sl_up_workload *workload, char *text, size_t size)
{
	const json_t *selector = json_object_get(json_object_get(workload->object, "spec"), "selector");
	const char *key;
	json_t *value;
	size_t len = 0;
	text[0] = '\0';
	if (!strcmp(workload->kind, "Job"))
		return snprintf(text, size, "job-name=%s", workload->name) < (int)size ? 0 : -1;
	if (strcmp(workload->kind, "ReplicationController") != 0)
		selector = json_object_get(selector, "matchLabels");
	json_object_foreach((json_t *)selector, key, value) {
		int n = snprintf(text + len, size - len, "%s%s=%s", len ? "," : "", key, json_is_string(value) ? json_string_value(value) : "");
		if (n < 0 || len + (size_t)n >= size)
			return -1;
		len += (size_t)n;
	}
	return len ? 0 : -1;
}

static bool is_new(const struct sl_up_workload *workload, const json_t *pod)
{
	const json_t *metadata = json_object_get(pod, "metadata");
	const char *mark = sl_json_str(json_object_get(metadata, "annotations"), workload->mark_name);
	if (json_object_get(metadata, "deletionTimestamp"))
		return false;
	return !workload->mark || (mark && !strcmp(mark, workload->mark));
}

/* Whether @pod, which has the labels, belongs to somebody else all the same.  Those of a
 * Deployment belong to its ReplicaSets. */
static bool is_others(const struct sl_up_workload *workload, const json_t *pod)
{
	size_t i;
	json_t *owner;
	if (!strcmp(workload->kind, "Deployment") || !strcmp(workload->kind, "Job") || !strcmp(workload->kind, "Pod"))
		return false;
	json_array_foreach(json_object_get(json_object_get(pod, "metadata"), "ownerReferences"), i, owner) {
		const char *kind = sl_json_str(owner, "kind"), *name = sl_json_str(owner, "name");
		if (json_is_true(json_object_get(owner, "controller")) && kind && name)
			return strcmp(kind, workload->kind) != 0 || strcmp(name, workload->name) != 0;
	}
	return false;
}

json_t *sl_up_pods(const struct sl_up *up, struct sl_up_workload *workload, struct sl_error *err)
{
	char selector[NAME_BYTES] = "";
	const char *args[12] = { "get", "pods", "--ignore-not-found", "-o", "json", "-n", workload->namespace };
	if (!strcmp(workload->kind, "Pod")) {
		args[7] = workload->name;
	} else if (selector_of(workload, selector, sizeof(selector)) == 0) {
		args[7] = "-l";
		args[8] = selector;
	} else {
		return json_array();
	}
	sl_autojson json_t *pods = sl_kubectl_objects(&up->kubectl, args, NULL, err);
	sl_autojson json_t *mine = json_array();
	size_t i;
	json_t *pod;
	workload->n_old = 0;
	json_array_foreach(pods, i, pod) {
		if (is_others(workload, pod))
			continue;
		if (is_new(workload, pod))
			json_array_append(mine, pod);
		else
			workload->n_old += !json_object_get(json_object_get(pod, "metadata"), "deletionTimestamp");
	}
	return pods ? SL_STEAL(mine) : NULL;
}

/* ---- one pod ---- */

/* The kubelet's reasons for waiting that do not pass while nothing changes, and what
 * they mean. */
static const struct {
	const char *reason, *meaning;
} troubles[] = {
	{ "ErrImageNeverPull", "the node does not have the image, and its policy is Never: sidelift load it" },
	{ "ErrImagePull", "the image is not in the engine, and the node could not pull it" },
	{ "ImagePullBackOff", "the image is not in the engine, and the node could not pull it" },
	{ "InvalidImageName", "the image's name is not valid" },
	{ "CrashLoopBackOff", "its program ends again and again" },
	{ "CreateContainerConfigError", "a ConfigMap, Secret or key that it names is missing" },
	{ "CreateContainerError", "the runtime cannot create it" },
	{ "RunContainerError", "the runtime cannot start it: often its command is not in the image" },
	{ "StartError", "the runtime cannot start it: often its command is not in the image" },
};

static const char *meaning_of(const char *reason)
{
	for (size_t i = 0; reason && i < sizeof(troubles) / sizeof(troubles[0]); i++)
		if (!strcmp(reason, troubles[i].reason))
			return troubles[i].meaning;
	return NULL;
}

static const char *const status_lists[] = { "initContainerStatuses", "containerStatuses" };

const char *sl_up_trouble(const json_t *pod, const char **container)
{
	const json_t *status = json_object_get(pod, "status");
	const char *phase = sl_json_str(status, "phase");
	*container = NULL;
	for (size_t k = 0; k < 2; k++) {
		size_t i;
		json_t *entry;
		json_array_foreach(json_object_get(status, status_lists[k]), i, entry) {
			const char *reason = sl_json_str(json_object_get(json_object_get(entry, "state"), "waiting"), "reason");
			if (!meaning_of(reason))
				continue;
			*container = sl_json_str(entry, "name");
			return reason;
		}
	}
	return phase && !strcmp(phase, "Failed") ? "Failed" : NULL;
}

bool sl_up_pod_is_good(const json_t *pod)
{
	const json_t *status = json_object_get(pod, "status");
	const char *phase = sl_json_str(status, "phase");
	size_t i;
	json_t *condition;
	if (phase && !strcmp(phase, "Succeeded"))
		return true;
	json_array_foreach(json_object_get(status, "conditions"), i, condition) {
		const char *type = sl_json_str(condition, "type"), *value = sl_json_str(condition, "status");
		if (type && value && !strcmp(type, "Ready"))
			return !strcmp(value, "True");
	}
	return false;
}

/* Seconds for which the container runs; -1 when it does not. */
static int64_t runs_for(const json_t *entry)
{
	const char *since = sl_json_str(json_object_get(json_object_get(entry, "state"), "running"), "startedAt");
	struct tm at = { 0 };
	if (!since || !strptime(since, "%Y-%m-%dT%H:%M:%SZ", &at))
		return -1;
	return (int64_t)time(NULL) - (int64_t)timegm(&at);
}

bool sl_up_pod_lasts(const json_t *pod)
{
	const json_t *status = json_object_get(pod, "status");
	const char *phase = sl_json_str(status, "phase");
	size_t i;
	json_t *entry;
	if (!sl_up_pod_is_good(pod))
		return false;
	json_array_foreach(json_object_get(status, "containerStatuses"), i, entry)
		if ((!phase || strcmp(phase, "Succeeded") != 0) && runs_for(entry) <= (sl_json_int(entry, "restartCount", 0) > 0 ? 10 : 1))
			return false;
	return true;
}

/* ---- its words ---- */

static void put_line(struct sl_buf *words, const char *text)
{
	char line[500];
	snprintf(line, sizeof(line), "%s", text);
	sl_sanitise(line);
	sl_buf_printf(words, "    %s\n", line);
}

static void put_state(const json_t *entry, struct sl_buf *words)
{
	const json_t *state = json_object_get(entry, "state"), *waiting = json_object_get(state, "waiting");
	const json_t *ended = json_object_get(state, "terminated");
	const char *reason = sl_json_str(waiting, "reason"), *message = sl_json_str(waiting, "message");
	char line[500];
	if (!ended)
		ended = json_object_get(json_object_get(entry, "lastState"), "terminated");
	if (reason) {
		const char *meaning = meaning_of(reason);
		snprintf(line, sizeof(line), "container '%s' waits: %s%s%s%s%s%s", sl_json_str(entry, "name"), reason, meaning ? " (" : "",
			 meaning ? meaning : "", meaning ? ")" : "", message ? ": " : "", message ? message : "");
		put_line(words, line);
	}
	if (ended) {
		snprintf(line, sizeof(line), "container '%s' ended with exit code %d%s%s", sl_json_str(entry, "name"),
			 (int)sl_json_int(ended, "exitCode", 0), sl_json_str(ended, "reason") ? ": " : "",
			 sl_json_str(ended, "reason") ? sl_json_str(ended, "reason") : "");
		put_line(words, line);
	}
}

static void put_conditions(const json_t *status, struct sl_buf *words)
{
	size_t i;
	json_t *condition;
	json_array_foreach(json_object_get(status, "conditions"), i, condition) {
		const char *value = sl_json_str(condition, "status"), *message = sl_json_str(condition, "message");
		if (value && message && !strcmp(value, "False"))
			put_line(words, message);
	}
}

static void put_events(const struct sl_kubectl *kubectl, const struct sl_up_workload *workload, const char *pod, struct sl_buf *words)
{
	char field[NAME_BYTES];
	const char *const args[] = { "get", "events", "-n", workload->namespace, "--field-selector", field, "-o", "json", NULL };
	snprintf(field, sizeof(field), "involvedObject.name=%s,type=Warning", pod);
	struct sl_error ignored = SL_ERROR_INIT;
	sl_autojson json_t *events = sl_kubectl_objects(kubectl, args, NULL, &ignored);
	size_t n = json_array_size(events);
	for (size_t i = n > EVENTS_SHOWN ? n - EVENTS_SHOWN : 0; i < n; i++) {
		const json_t *event = json_array_get(events, i);
		char line[500];
		snprintf(line, sizeof(line), "event %s: %s", sl_json_str(event, "reason"), sl_json_str(event, "message"));
		put_line(words, line);
	}
}

static void put_log(const struct sl_kubectl *kubectl, const struct sl_up_workload *workload, const char *pod, const char *container,
		    struct sl_buf *words)
{
	const char *args[] = { "logs", pod, "-n", workload->namespace, "-c", container, LOG_LINES, "--previous", NULL };
	sl_autobuf struct sl_buf out = { .max = 65536 };
	struct sl_error ignored = SL_ERROR_INIT;
	if (sl_kubectl_run(kubectl, args, NULL, &out, &ignored) < 0) {
		args[7] = NULL;
		if (sl_kubectl_run(kubectl, args, NULL, &out, &ignored) < 0)
			return;
	}
	sl_autofree char *text = sl_buf_steal(&out);
	char *rest = NULL;
	for (char *line = text ? strtok_r(text, "\n", &rest) : NULL; line; line = strtok_r(NULL, "\n", &rest)) {
		char said[480];
		snprintf(said, sizeof(said), "%s says: %s", container, line);
		put_line(words, said);
	}
}

void sl_up_listen(const struct sl_up *up, const struct sl_up_workload *workload, const json_t *pod, struct sl_buf *words)
{
	const char *name = sl_json_str(json_object_get(pod, "metadata"), "name");
	const char *node = sl_json_str(json_object_get(pod, "spec"), "nodeName");
	const json_t *status = json_object_get(pod, "status");
	sl_buf_printf(words, "  pod '%s'%s%s\n", name, node ? " on " : "", node ? node : "");
	put_conditions(status, words);
	for (size_t k = 0; k < 2; k++) {
		size_t i;
		json_t *entry;
		json_array_foreach(json_object_get(status, status_lists[k]), i, entry)
			put_state(entry, words);
	}
	put_events(&up->kubectl, workload, name, words);
	for (size_t k = 0; k < 2; k++) {
		size_t i;
		json_t *entry;
		json_array_foreach(json_object_get(status, status_lists[k]), i, entry)
			if (sl_json_int(entry, "restartCount", 0) > 0 || json_object_get(json_object_get(entry, "state"), "terminated"))
				put_log(&up->kubectl, workload, name, sl_json_str(entry, "name"), words);
	}
}
