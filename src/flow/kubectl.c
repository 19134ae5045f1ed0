/* SPDX-License-Identifier: Apache-2.0 */
#include "flow/kubectl.h"

#include <stdio.h>
#include <string.h>

#include "base/child.h"
#include "base/cleanup.h"
#include "base/log.h"

#define ARGS_MAX 32
#define LINE_MAX_BYTES 400

struct sl_remote *sl_kubectl_start(const struct sl_kubectl *kubectl, const char *const *args, struct sl_error *err)
{
	const char *argv[ARGS_MAX + 8] = { "kubectl" };
	size_t n = 1;
	if (kubectl->kubeconfig) {
		argv[n++] = "--kubeconfig";
		argv[n++] = kubectl->kubeconfig;
	}
	if (kubectl->context) {
		argv[n++] = "--context";
		argv[n++] = kubectl->context;
	}
	for (size_t i = 0; args[i] && i < ARGS_MAX; i++)
		argv[n++] = args[i];
	sl_debug("kubectl %s %s", args[0], args[0] && args[1] ? args[1] : "");
	return sl_child_remote(argv, kubectl->cancel, err);
}

/* Its complaint; the status stays what it is when the process could not be talked
 * with at all. */
static int blame(struct sl_remote *remote, const char *what, int code, struct sl_error *err)
{
	char line[LINE_MAX_BYTES];
	sl_remote_complaint(remote, line, sizeof(line));
	return sl_error_set(err, SL_FAILED, "kubectl %s: %s (exit code %d)", what, *line ? line : "failed", code);
}

int sl_kubectl_run(const struct sl_kubectl *kubectl, const char *const *args, const struct sl_buf *input, struct sl_buf *out,
		   struct sl_error *err)
{
	int code = 0;
	struct sl_remote *remote = sl_kubectl_start(kubectl, args, err);
	if (!remote)
		return -1;
	struct sl_error why = SL_ERROR_INIT;
	int rc = input ? sl_remote_write(remote, sl_buf_text(input), input->len, SL_KUBECTL_LIMIT, &why) : 0;
	if (rc == 0 || why.status == SL_CLOSED) /* its exit code tells why */
		rc = sl_remote_finish(remote, &code, SL_KUBECTL_LIMIT, &why);
	if (rc < 0 && err)
		*err = why;
	if (rc < 0)
		sl_error_wrap(err, "kubectl %s", args[0]);
	else if (code)
		rc = blame(remote, args[0], code, err);
	else if (remote->out.failed || sl_buf_add(out, sl_buf_text(&remote->out), remote->out.len) < 0)
		rc = sl_error_set(err, SL_FAILED, "kubectl %s printed more than can be read", args[0]);
	sl_child_remote_stop(remote);
	return rc;
}

/* Append @object, or the items of a List. */
static int take(json_t *objects, json_t *object)
{
	const char *kind = sl_json_str(object, "kind");
	json_t *items = json_object_get(object, "items");
	if (kind && !strcmp(kind, "List") && json_is_array(items))
		return json_array_extend(objects, items);
	return json_array_append(objects, object);
}

json_t *sl_kubectl_objects(const struct sl_kubectl *kubectl, const char *const *args, const struct sl_buf *input,
			   struct sl_error *err)
{
	sl_autobuf struct sl_buf out = SL_BUF_INIT;
	if (sl_kubectl_run(kubectl, args, input, &out, err) < 0)
		return NULL;
	sl_autojson json_t *objects = json_array();
	const char *at = sl_buf_text(&out), *end = at + out.len;
	while (at + strspn(at, " \n\r\t") < end) {
		json_error_t why;
		sl_autojson json_t *object = json_loadb(at, (size_t)(end - at), JSON_DISABLE_EOF_CHECK | JSON_ALLOW_NUL, &why);
		if (!object || take(objects, object) < 0) {
			sl_error_set(err, SL_FAILED, "kubectl %s: what it printed is not JSON: %s", args[0], why.text);
			return NULL;
		}
		at += why.position;
	}
	return SL_STEAL(objects);
}
