/* SPDX-License-Identifier: Apache-2.0 */
#include "flow/up.h"

#include "base/cleanup.h"

#define RESTART_MARK "kubectl.kubernetes.io/restartedAt" /* what `kubectl rollout restart` sets */
#define RESTARTS_MAX 16

/* Behind the @n words in @args the workloads, and where they are. */
static void put_args(const struct sl_up *up, const struct sl_strv *workloads, const char **args, size_t n)
{
	for (size_t i = 0; i < workloads->n && i < RESTARTS_MAX; i++)
		args[n++] = workloads->items[i];
	if (up->kubectl.namespace) {
		args[n++] = "-n";
		args[n++] = up->kubectl.namespace;
	}
}

int sl_up_restart(struct sl_up *up, const struct sl_strv *workloads, struct sl_error *err)
{
	const char *restart[RESTARTS_MAX + 6] = { "rollout", "restart" }, *get[RESTARTS_MAX + 6] = { "get", "-o", "json" };
	sl_autobuf struct sl_buf ignored = SL_BUF_INIT;
	if (workloads->n > RESTARTS_MAX)
		return sl_error_set(err, SL_USAGE, "more than %d workloads to restart at once", RESTARTS_MAX);
	put_args(up, workloads, restart, 2);
	put_args(up, workloads, get, 3);
	if (sl_kubectl_run(&up->kubectl, restart, NULL, &ignored, err) < 0)
		return -1;
	up->objects = sl_kubectl_objects(&up->kubectl, get, NULL, err);
	if (!up->objects || sl_up_find_workloads(up, err) < 0)
		return -1;
	for (size_t i = 0; i < up->n_workloads; i++) {
		struct sl_up_workload *workload = &up->workloads[i];
		workload->mark_name = RESTART_MARK;
		workload->mark = sl_json_str(sl_up_pod_annotations(workload->object), RESTART_MARK);
	}
	return 0;
}
