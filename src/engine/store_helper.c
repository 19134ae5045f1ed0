/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/log.h"
#include "base/log.h"
#include "engine/container.h"
#include "engine/push.h"
#include "engine/store.h"

/*
 * A container of the engine's own reads for us.  It stands on the image that is to be
 * loaded, of which it uses nothing, so that none has to be made; the program in it is
 * src/helper/store.c, mounted from this machine.  The engine removes it when it ends,
 * and it ends when its standard input does: with this process, however that goes.
 */

/* Bytes that may wait to be read. */
#define WAITING_MAX ((size_t)1 << 20)
/* How long the helper may take for an answer; milliseconds. */
#define ANSWER 30000

struct helper {
	struct sl_store store; /* first */
	struct sl_engine engine; /* a view: cleaning up is not interrupted */
	char *container;
	struct sl_remote *remote;
	size_t used;        /* of remote->out */
	size_t piece;       /* bytes of it that are still to come */
	bool reading;
};

/* ---- what it says ---- */

static int pump(struct helper *self, struct sl_error *err)
{
	if (self->remote->ended) {
		char line[256];
		sl_remote_complaint(self->remote, line, sizeof(line));
		return sl_error_set(err, SL_FAILED, "the helper container ended%s%s", *line ? ": " : "", line);
	}
	if (self->used) {
		sl_buf_drop(&self->remote->out, self->used);
		self->used = 0;
	}
	return self->remote->ops->pump(self->remote, false, sl_now() + ANSWER, err);
}

/* A line, without its end, into @line. */
static int read_line(struct helper *self, char *line, size_t size, struct sl_error *err)
{
	const struct sl_buf *out = &self->remote->out;
	for (;;) {
		const char *from = out->len > self->used ? out->data + self->used : "";
		const char *end = out->len > self->used ? memchr(from, '\n', out->len - self->used) : NULL;
		if (end && (size_t)(end - from) < size) {
			memcpy(line, from, (size_t)(end - from));
			line[end - from] = '\0';
			self->used += (size_t)(end - from) + 1;
			break;
		}
		if (end || out->len - self->used >= size)
			return sl_error_set(err, SL_FAILED, "the helper container says what it should not");
		if (pump(self, err) < 0)
			return -1;
	}
	return line[0] == '!' ? sl_error_set(err, SL_FAILED, "%s", line + 1 + (line[1] == ' ')) : 0;
}

static int command(struct helper *self, const char *word, const struct sl_digest *digest, char *answer, size_t size, struct sl_error *err)
{
	char line[128];
	int n = snprintf(line, sizeof(line), "%s %s\n", word, sl_digest_hex(digest));
	return sl_remote_write(self->remote, line, (size_t)n, ANSWER, err) < 0 ? -1 : read_line(self, answer, size, err);
}

/* ---- a store ---- */

static ssize_t next_piece(struct helper *self, const void **data, struct sl_error *err)
{
	struct sl_buf *out = &self->remote->out;
	while (out->len == self->used)
		if (pump(self, err) < 0)
			return -1;
	size_t n = out->len - self->used < self->piece ? out->len - self->used : self->piece;
	*data = out->data + self->used;
	self->used += n;
	self->piece -= n;
	return (ssize_t)n;
}

static int helper_config(struct sl_store *store, const struct sl_digest *config, struct sl_buf *text, struct sl_error *err)
{
	struct helper *self = (struct helper *)store;
	char line[SL_ERROR_MAX];
	const void *data;
	if (command(self, "config", config, line, sizeof(line), err) < 0)
		return -1;
	self->piece = strtoul(line, NULL, 10);
	while (self->piece) {
		ssize_t n = next_piece(self, &data, err);
		if (n < 0)
			return -1;
		if (sl_buf_add(text, data, (size_t)n) < 0)
			return sl_error_set(err, SL_FAILED, "the config is too large");
	}
	return 0;
}

static int helper_look(struct sl_store *store, const struct sl_digest *chain, char diff_id[80], int64_t *size, struct sl_error *err)
{
	char line[SL_ERROR_MAX];
	long long bytes;
	if (command((struct helper *)store, "look", chain, line, sizeof(line), err) < 0)
		return -1;
	if (sscanf(line, "%79s %lld", diff_id, &bytes) != 2 || bytes < 0)
		return sl_error_set(err, SL_FAILED, "the helper container says what it should not");
	*size = bytes;
	return 0;
}

static int helper_open(struct sl_store *store, const struct sl_digest *chain, struct sl_error *err)
{
	struct helper *self = (struct helper *)store;
	char line[SL_ERROR_MAX];
	self->piece = 0;
	self->reading = command(self, "layer", chain, line, sizeof(line), err) == 0;
	return self->reading ? 0 : -1;
}

static ssize_t helper_read(struct sl_store *store, const void **data, struct sl_error *err)
{
	struct helper *self = (struct helper *)store;
	char line[SL_ERROR_MAX];
	if (!self->reading)
		return 0;
	if (!self->piece) {
		if (read_line(self, line, sizeof(line), err) < 0) {
			self->reading = false;
			return -1;
		}
		self->piece = strtoul(line, NULL, 10);
		self->reading = self->piece > 0;
	}
	return self->reading ? next_piece(self, data, err) : 0;
}

/* One that is left in the middle is read to its end, to be able to go on. */
static void helper_close(struct sl_store *store)
{
	struct helper *self = (struct helper *)store;
	const void *data;
	struct sl_error ignored;
	while (self->reading && helper_read(store, &data, &ignored) > 0)
		;
	self->reading = false;
}

/* ---- the container ---- */

static void helper_free(struct sl_store *store)
{
	struct helper *self = (struct helper *)store;
	struct sl_error why = SL_ERROR_INIT;
	sl_remote_free(self->remote);
	if (self->container && sl_container_remove(&self->engine, self->container, &why) < 0)
		sl_warn("the helper container %.12s is still there: %s", self->container, why.message);
	free(self->container);
	free(self);
}

static const struct sl_store_ops helper_ops = {
	.config = helper_config,
	.look = helper_look,
	.open = helper_open,
	.read = helper_read,
	.close = helper_close,
	.free = helper_free,
};

static const char installed[] =
#include "libexecdir.inc"
;

/* The program: beside this one, where `make install` puts it from there, or (for this
 * may be anybody's program that uses the library) where it was installed. */
static char *find_program(struct sl_error *err)
{
	char self[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	self[n > 0 ? n : 0] = '\0';
	char *slash = strrchr(self, '/');
	if (slash)
		*slash = '\0';
	const struct { const char *from, *to; } places[] = { { self, "" }, { self, "/../libexec/sidelift" }, { "", installed } };
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		char *path = NULL;
		if (asprintf(&path, "%s%s/sidelift-helper", places[i].from, places[i].to) < 0)
			break;
		if (access(path, X_OK) == 0)
			return path;
		free(path);
	}
	sl_error_set(err, SL_FAILED, "the program sidelift-helper is not installed");
	return NULL;
}

static json_t *mount(const char *from, const char *to)
{
	return json_pack("{s:s, s:s, s:s, s:b, s:{s:b}}", "Type", "bind", "Source", from, "Target", to, "ReadOnly", 1,
			 "BindOptions", "NonRecursive", 1);
}

static json_t *describe(const char *id, const char *root, const char *program)
{
	sl_autofree char *metadata = NULL, *files = NULL;
	if (asprintf(&metadata, "%s/image/overlay2", root) < 0 || asprintf(&files, "%s/overlay2", root) < 0)
		return NULL;
	return json_pack("{s:s, s:[s], s:[s], s:s, s:s, s:b, s:b, s:b, s:b, s:b, s:b, s:{s:[s]}, s:{s:s},"
			 " s:{s:b, s:s, s:b, s:[s], s:[s], s:[s], s:{s:s}, s:i, s:[o, o, o]}}",
			 "Image", id, "Entrypoint", SL_STORE_PROGRAM, "Cmd", SL_STORE_MOUNT, "User", "0", "WorkingDir", "/",
			 "AttachStdin", 1, "AttachStdout", 1, "AttachStderr", 1, "OpenStdin", 1, "StdinOnce", 1, "Tty", 0,
			 "Healthcheck", "Test", "NONE", "Labels", SL_CONTAINER_LABEL, "store",
			 "HostConfig", "AutoRemove", 1, "NetworkMode", "none", "ReadonlyRootfs", 1, "CapDrop", "ALL",
			 "CapAdd", "DAC_READ_SEARCH", "SecurityOpt", "no-new-privileges", "LogConfig", "Type", "none", "PidsLimit", 16,
			 "Mounts", mount(program, SL_STORE_PROGRAM), mount(metadata, SL_STORE_MOUNT "/image/overlay2"),
			 mount(files, SL_STORE_MOUNT "/overlay2"));
}

struct sl_store *sl_store_helper(const struct sl_engine *engine, const char *id, const char *root, struct sl_error *err)
{
	if (!sl_push_is_near(engine) || strcmp(engine->program, "docker") != 0) {
		sl_error_set(err, SL_FAILED, "the engine's store is not one that a helper container could read");
		return NULL;
	}
	sl_autofree char *program = find_program(err);
	if (!program)
		return NULL;
	sl_autojson json_t *spec = describe(id, root, program);
	struct helper *self = calloc(1, sizeof(*self));
	if (!self || !spec) {
		free(self);
		sl_error_nomem(err);
		return NULL;
	}
	self->store.ops = &helper_ops;
	self->engine = *engine;
	self->engine.endpoint.cancel = NULL;
	sl_container_sweep(&self->engine);
	self->container = sl_container_create(&self->engine, spec, err);
	if (!self->container || !(self->remote = sl_engine_attach(engine, self->container, err)) ||
	    sl_container_start(engine, self->container, err) < 0) {
		helper_free(&self->store);
		sl_error_wrap(err, "a helper container to read the engine's store");
		return NULL;
	}
	self->remote->out.max = WAITING_MAX;
	return &self->store;
}
