/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/engine.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/log.h"

/*
 * A process in a container, over one hijacked connection.  What we send is its
 * standard input as it is; what comes back is cut into frames of an 8-byte head
 * (1 stdout or 2 stderr, three zeros, length big-endian) and the bytes (Engine
 * API, ContainerAttach, "Stream format").
 */

struct exec {
	struct sl_remote remote; /* first: the interface */
	const struct sl_engine *engine;
	struct sl_http_stream *stream;
	char *id;
	struct sl_buf raw; /* received, not yet a whole frame's head */
	uint32_t frame_left;
	int frame_kind;
};

static struct exec *exec_of(struct sl_remote *remote)
{
	return (struct exec *)remote;
}

static ssize_t exec_write(struct sl_remote *remote, const void *data, size_t len, struct sl_error *err)
{
	return sl_http_stream_send(exec_of(remote)->stream, data, len, err);
}

static void exec_close_input(struct sl_remote *remote)
{
	sl_http_stream_shutdown(exec_of(remote)->stream);
}

/* What a process writes beyond this is dropped, not collected. */
static void collect(struct sl_buf *to, const char *data, size_t len)
{
	if (!to->failed)
		(void)sl_buf_add(to, data, len);
}

static int demux(struct exec *exec, const char *data, size_t len, struct sl_error *err)
{
	while (len) {
		if (exec->frame_left) {
			size_t n = len < exec->frame_left ? len : exec->frame_left;
			collect(exec->frame_kind == 2 ? &exec->remote.err : &exec->remote.out, data, n);
			exec->frame_left -= (uint32_t)n;
			data += n;
			len -= n;
			continue;
		}
		size_t need = 8 - exec->raw.len, n = len < need ? len : need;
		if (sl_buf_add(&exec->raw, data, n) < 0)
			return sl_error_nomem(err);
		data += n;
		len -= n;
		if (exec->raw.len < 8)
			continue;
		const unsigned char *head = (const unsigned char *)exec->raw.data;
		if (head[0] > 2 || head[1] || head[2] || head[3])
			return sl_error_set(err, SL_FAILED, "the engine sent something that is no frame of a process's output");
		exec->frame_kind = head[0];
		exec->frame_left = (uint32_t)head[4] << 24 | (uint32_t)head[5] << 16 | (uint32_t)head[6] << 8 | head[7];
		sl_buf_clear(&exec->raw);
	}
	return 0;
}

static int exec_pump(struct sl_remote *remote, bool writable, int64_t deadline, struct sl_error *err)
{
	struct exec *exec = exec_of(remote);
	char chunk[65536];
	struct sl_error why = SL_ERROR_INIT;
	ssize_t n = sl_http_stream_recv(exec->stream, chunk, sizeof(chunk), &why);
	if (n == 0) {
		short events = writable ? POLLIN | POLLOUT : POLLIN;
		int ready = sl_wait_fd(sl_http_stream_fd(exec->stream), events, remote->cancel, deadline, err);
		if (ready < 0)
			return -1;
		if (!(ready & ~POLLOUT))
			return 0;
		n = sl_http_stream_recv(exec->stream, chunk, sizeof(chunk), &why);
	}
	if (n < 0) {
		remote->ended = true;
		return 0;
	}
	return demux(exec, chunk, (size_t)n, err);
}

static int exec_exit_code(struct sl_remote *remote, int *code, int64_t deadline, struct sl_error *err)
{
	struct exec *exec = exec_of(remote);
	sl_autofree char *path = NULL;
	if (asprintf(&path, "%s/exec/%s/json", exec->engine->api, exec->id) < 0) {
		path = NULL;
		return sl_error_nomem(err);
	}
	/* "Running" may lag behind the end of the stream */
	for (int64_t pause = 1;; pause = pause < 50 ? pause * 2 : 50) {
		sl_autobuf struct sl_buf answer = SL_BUF_INIT;
		int status = sl_http_request(&exec->engine->endpoint, "GET", path, NULL, &answer, err);
		if (status < 0)
			return -1;
		if (status != 200)
			return sl_engine_refused(status, &answer, err);
		sl_autojson json_t *json = sl_json_parse(answer.data, answer.len, "the engine's answer about a process", err);
		if (!json)
			return -1;
		const json_t *exit_code = json_object_get(json, "ExitCode");
		if (!json_is_true(json_object_get(json, "Running")) && json_is_integer(exit_code)) {
			*code = (int)json_integer_value(exit_code);
			return 0;
		}
		if (sl_now() >= deadline)
			return sl_error_set(err, SL_TIMEOUT, "the process has closed its output but does not end");
		struct sl_error pass = SL_ERROR_INIT;
		if (sl_wait_fd(-1, 0, remote->cancel, sl_now() + pause, &pass) < 0 && pass.status == SL_INTERRUPTED) {
			if (err)
				*err = pass;
			return -1;
		}
	}
}

static void exec_free(struct sl_remote *remote)
{
	struct exec *exec = exec_of(remote);
	sl_http_stream_free(exec->stream);
	free(exec->id);
	sl_buf_release(&exec->raw);
	sl_buf_release(&remote->out);
	sl_buf_release(&remote->err);
	free(exec);
}

static const struct sl_remote_ops exec_ops = {
	.write = exec_write,
	.close_input = exec_close_input,
	.pump = exec_pump,
	.exit_code = exec_exit_code,
	.free = exec_free,
};

/* Create the exec; its ID is the caller's to free. */
static char *create(const struct sl_engine *engine, const char *id, const char *const *argv, struct sl_error *err)
{
	sl_autobuf struct sl_buf answer = SL_BUF_INIT;
	sl_autojson json_t *cmd = json_array();
	for (size_t i = 0; argv[i]; i++)
		json_array_append_new(cmd, json_string(argv[i]));
	sl_autojson json_t *body = json_pack("{s:b, s:b, s:b, s:b, s:O}", "AttachStdin", 1, "AttachStdout", 1,
					     "AttachStderr", 1, "Tty", 0, "Cmd", cmd);
	sl_autofree char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
	sl_autofree char *path = NULL;
	if (!text || asprintf(&path, "%s/containers/%s/exec", engine->api, id) < 0) {
		path = NULL;
		sl_error_nomem(err);
		return NULL;
	}
	int status = sl_http_request(&engine->endpoint, "POST", path, text, &answer, err);
	if (status < 0)
		return NULL;
	if (status != 201) {
		sl_engine_refused(status, &answer, err);
		return NULL;
	}
	sl_autojson json_t *json = sl_json_parse(answer.data, answer.len, "the engine's answer", err);
	const char *exec_id = sl_json_str(json, "Id");
	if (json && !exec_id)
		sl_error_set(err, SL_FAILED, "the engine's answer names no exec");
	return exec_id ? strdup(exec_id) : NULL;
}

struct sl_remote *sl_engine_exec(const struct sl_engine *engine, const char *id, const char *const *argv,
				 struct sl_error *err)
{
	struct exec *exec = calloc(1, sizeof(*exec));
	if (!exec) {
		sl_error_nomem(err);
		return NULL;
	}
	exec->remote.ops = &exec_ops;
	exec->remote.cancel = engine->endpoint.cancel;
	exec->engine = engine;
	sl_autofree char *path = NULL;
	exec->id = create(engine, id, argv, err);
	if (exec->id && asprintf(&path, "%s/exec/%s/start", engine->api, exec->id) < 0) {
		path = NULL;
		sl_error_nomem(err);
	}
	if (path)
		exec->stream = sl_http_upgrade(&engine->endpoint, path, "{\"Detach\":false,\"Tty\":false}", err);
	if (!exec->stream) {
		exec_free(&exec->remote);
		return NULL;
	}
	return &exec->remote;
}

static const struct sl_remote_ops attach_ops = {
	.write = exec_write,
	.close_input = exec_close_input,
	.pump = exec_pump,
	.free = exec_free,
};

struct sl_remote *sl_engine_attach(const struct sl_engine *engine, const char *id, struct sl_error *err)
{
	struct exec *exec = calloc(1, sizeof(*exec));
	sl_autofree char *path = NULL;
	if (!exec || asprintf(&path, "%s/containers/%s/attach?stream=1&stdin=1&stdout=1&stderr=1", engine->api, id) < 0) {
		path = NULL;
		free(exec);
		sl_error_nomem(err);
		return NULL;
	}
	exec->remote.ops = &attach_ops;
	exec->remote.cancel = engine->endpoint.cancel;
	exec->engine = engine;
	exec->stream = sl_http_upgrade(&engine->endpoint, path, "", err);
	if (!exec->stream) {
		exec_free(&exec->remote);
		return NULL;
	}
	return &exec->remote;
}
