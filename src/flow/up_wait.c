/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "base/child.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "flow/up.h"
#include "flow/up_changes.h"

/* Rollouts are watched by `kubectl rollout status`, which ends the moment that they are
 * done.  It says nothing of pods that will never run, so these are looked at as
 * well. */
#define LOOK_MS 2500       /* between looks at the pods of what is watched */
#define LOOK_CLOSER_MS 500 /* of a Pod or Job, which nothing watches, and of what has just been rolled out */
#define TICK_MS 200
#define TROUBLE_LOOKS 2    /* in a row: the first may be of a moment that passes */

static bool is_watched(const struct sl_up_workload *workload)
{
	return strcmp(workload->kind, "Pod") != 0 && strcmp(workload->kind, "Job") != 0 && !sl_up_keeps_pods(workload);
}

static int start_watching(struct sl_up *up, struct sl_error *err)
{
	for (size_t i = 0; i < up->n_workloads; i++) {
		struct sl_up_workload *workload = &up->workloads[i];
		sl_autobuf struct sl_buf name = SL_BUF_INIT;
		sl_buf_printf(&name, "%s/%s", workload->kind, workload->name);
		const char *const args[] = { "rollout", "status", sl_buf_text(&name), "-n", workload->namespace, NULL };
		if (workload->state != SL_UP_PENDING || !is_watched(workload))
			continue;
		workload->watcher = sl_kubectl_start(&up->kubectl, args, err);
		if (!workload->watcher)
			return -1;
	}
	return 0;
}

/* What it says of the rollout: "Waiting for deployment ...: 1 of 2 updated replicas are
 * available..." */
static void tell_progress(const struct sl_up *up, const struct sl_up_workload *workload, struct sl_remote *watcher)
{
	const char *end;
	while ((end = strchr(sl_buf_text(&watcher->out), '\n'))) {
		const char *text = sl_buf_text(&watcher->out);
		char line[400];
		snprintf(line, sizeof(line), "%.*s", (int)(end - text), text);
		sl_sanitise(line);
		sl_info("%s '%s': %s", workload->kind, workload->name, line);
		if (up->tell)
			up->tell(up->tell_ctx, workload, line);
		sl_buf_drop(&watcher->out, (size_t)(end - text) + 1);
	}
}

/* Take what the watcher of @workload has to say within a tick. */
static int watch(struct sl_up *up, struct sl_up_workload *workload, struct sl_error *err)
{
	struct sl_error why = SL_ERROR_INIT;
	struct sl_remote *watcher = workload->watcher;
	int code = 0;
	if (watcher->ops->pump(watcher, false, sl_now() + TICK_MS, &why) < 0 && why.status != SL_TIMEOUT) {
		*err = why;
		return -1;
	}
	tell_progress(up, workload, watcher);
	if (!watcher->ended)
		return 0;
	if (sl_remote_finish(watcher, &code, SL_KUBECTL_LIMIT, err) < 0)
		return -1;
	char line[400];
	sl_remote_complaint(watcher, line, sizeof(line));
	sl_remote_free(watcher);
	workload->watcher = NULL;
	workload->rolled_out = code == 0;
	up->running_at = sl_now();
	if (code)
		workload->state = SL_UP_FAILED;
	if (code)
		return sl_error_set(err, SL_FAILED, "%s '%s': %s", workload->kind, workload->name, *line ? line : "the rollout failed");
	return 0;
}

/* Say what the pods of @workload say; which are not good. */
static void listen(struct sl_up *up, struct sl_up_workload *workload)
{
	size_t i, n = 0;
	json_t *pod;
	struct sl_error ignored = SL_ERROR_INIT;
	json_decref(workload->pods);
	workload->pods = sl_up_pods(up, workload, &ignored);
	json_array_foreach(workload->pods, i, pod)
		if (!sl_up_pod_is_good(pod) && n++ < 3)
			sl_up_listen(up, workload, pod, &up->words);
	if (!json_array_size(workload->pods))
		sl_buf_printf(&up->words, "  no pod of it was created; kubectl -n %s describe %s %s tells more\n", workload->namespace,
			      workload->kind, workload->name);
}

/* What nothing watches is done when its pods are. */
static bool all_good(const struct sl_up_workload *workload)
{
	json_int_t wanted = sl_up_keeps_pods(workload) ? sl_json_int(json_object_get(workload->object, "spec"), "replicas", 1) : 1;
	size_t i;
	json_t *pod;
	json_array_foreach(workload->pods, i, pod)
		if (!sl_up_pod_is_good(pod))
			return false;
	return (json_int_t)json_array_size(workload->pods) >= wanted;
}

/* A rollout may have no new pods: of no replicas, or behind a partition. */
static bool all_last(const struct sl_up_workload *workload)
{
	size_t i;
	json_t *pod;
	json_array_foreach(workload->pods, i, pod)
		if (!sl_up_pod_lasts(pod))
			return false;
	return true;
}

static int look(struct sl_up *up, struct sl_up_workload *workload, struct sl_error *err)
{
	const char *trouble = NULL, *container = NULL;
	size_t i;
	json_t *pod, *bad = NULL;
	json_t *pods = sl_up_pods(up, workload, err);
	if (!pods)
		return -1;
	json_decref(workload->pods);
	workload->pods = pods;
	if (sl_up_keeps_pods(workload) && workload->n_old) {
		workload->note = SL_UP_KEEPS_PODS;
		workload->state = SL_UP_LEFT;
		return 0;
	}
	json_array_foreach(pods, i, pod) {
		const char *reason = bad ? NULL : sl_up_trouble(pod, &container);
		if (reason) {
			trouble = reason;
			bad = pod;
		}
	}
	if (!is_watched(workload) && all_good(workload))
		up->running_at = sl_now();
	if (workload->rolled_out ? all_last(workload) : !is_watched(workload) && all_good(workload))
		workload->state = SL_UP_READY;
	workload->trouble = bad ? workload->trouble + 1 : 0;
	if (workload->trouble < TROUBLE_LOOKS)
		return 0;
	workload->state = SL_UP_FAILED;
	return sl_error_set(err, SL_FAILED, "%s '%s': pod '%s'%s%s%s: %s", workload->kind, workload->name,
			    sl_json_str(json_object_get(bad, "metadata"), "name"), container ? ", container '" : "", container ? container : "",
			    container ? "'" : "", trouble);
}

static struct sl_up_workload *pending(struct sl_up *up)
{
	for (size_t i = 0; i < up->n_workloads; i++)
		if (up->workloads[i].state == SL_UP_PENDING)
			return &up->workloads[i];
	return NULL;
}

/* One turn over what is not ready yet. */
static int turn(struct sl_up *up, int64_t *next_look, struct sl_error *err)
{
	bool looking = sl_now() >= *next_look, closer = false;
	for (size_t i = 0; i < up->n_workloads; i++) {
		struct sl_up_workload *workload = &up->workloads[i];
		if (workload->state != SL_UP_PENDING)
			continue;
		bool rolling = workload->watcher != NULL;
		if (rolling && watch(up, workload, err) < 0)
			goto failed;
		looking = looking || (rolling && workload->rolled_out);
		if (workload->state == SL_UP_PENDING && looking && look(up, workload, err) < 0)
			goto failed;
		closer = closer || !is_watched(workload) || workload->rolled_out;
		continue;
failed:
		if (err->status != SL_INTERRUPTED)
			listen(up, workload);
		return -1;
	}
	if (looking)
		*next_look = sl_now() + (closer ? LOOK_CLOSER_MS : LOOK_MS);
	return 0;
}

/* What a StatefulSet's partition keeps from the rollout. */
static void look_behind_partition(struct sl_up_workload *workload)
{
	const json_t *strategy = json_object_get(json_object_get(workload->object, "spec"), "updateStrategy");
	json_int_t partition = sl_json_int(json_object_get(strategy, "rollingUpdate"), "partition", 0);
	size_t n = workload->n_old + json_array_size(workload->pods);
	if (strcmp(workload->kind, "StatefulSet") != 0 || partition <= 0 || !workload->n_old)
		return;
	snprintf(workload->words, sizeof(workload->words), "its partition, %d, keeps %zu of its %zu pods as they are%s", (int)partition,
		 workload->n_old, n, workload->n_old == n ? "; none runs what was applied" : "");
	workload->note = workload->words;
	if (workload->n_old == n)
		workload->state = SL_UP_LEFT;
}

/* Where each runs. */
static void look_at_ready(struct sl_up *up)
{
	for (size_t i = 0; i < up->n_workloads; i++) {
		struct sl_up_workload *workload = &up->workloads[i];
		struct sl_error ignored = SL_ERROR_INIT;
		if (workload->state != SL_UP_READY || (workload->pods && !is_watched(workload)))
			continue;
		json_decref(workload->pods);
		workload->pods = sl_up_pods(up, workload, &ignored);
		look_behind_partition(workload);
	}
}

int sl_up_wait(struct sl_up *up, struct sl_error *err)
{
	int64_t limit = sl_now() + up->patience_ms, next_look = sl_now();
	struct sl_up_workload *workload;
	bool watched = false;
	if (start_watching(up, err) < 0)
		return -1;
	for (size_t i = 0; i < up->n_workloads; i++)
		watched = watched || up->workloads[i].watcher;
	if (watched)
		next_look += LOOK_MS;
	while ((workload = pending(up))) {
		if (turn(up, &next_look, err) < 0)
			return -1;
		if (sl_up_changes_superseded(up->changes))
			return sl_error_set(err, SL_INTERRUPTED, "superseded by a change");
		if (sl_now() >= limit && (workload = pending(up))) {
			listen(up, workload);
			return sl_error_set(err, SL_FAILED, "%s '%s' is not ready %.0f s after it was applied (--wait); what its pods say stands above",
					    workload->kind, workload->name, (double)up->patience_ms / 1000);
		}
		if (!workload->watcher && sl_wait_fds(&(struct pollfd){ .fd = -1 }, 1, up->kubectl.cancel, sl_now() + TICK_MS, err) < 0) {
			if (err->status != SL_TIMEOUT)
				return -1;
			*err = (struct sl_error)SL_ERROR_INIT;
		}
	}
	look_at_ready(up);
	return 0;
}
