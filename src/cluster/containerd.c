/* SPDX-License-Identifier: Apache-2.0 */
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/gzip.h"
#include "base/json.h"
#include "base/log.h"
#include "cluster/session.h"
#include "cluster/target.h"
#include "image/archive.h"

/*
 * containerd in a node, by the node's own ctr (containerd.sh has the other side).
 *
 * Layers go in as an OCI image layout that lacks what the node has.  ctr 1.6 (and
 * 2.x with --local) points a name at its image before unpacking it, so that
 * import is made under staging names; a second import, of manifest and config
 * alone, then moves the real names, each at once.
 */

static const char script[] =
#include "cluster/containerd.sh.inc"
;

#define DEFAULT_SNAPSHOTTER "overlayfs"
#define STAGING "sidelift.invalid/staging" /* also in the script */
#define LABEL "dev.sidelift.image."
/* A node that is merely busy answers within this; milliseconds. */
#define ANSWER_LIMIT 20000
#define CLEANUP_LIMIT 20000
/* A layer's bytes may wait for the node's disk. */
#define WRITE_SILENCE 120000
/* After the last byte the node unpacks: this, and a second for each 2 MB. */
#define UNPACK_LIMIT 60000
/* How long the CRI plugin may take to notice a moved name; milliseconds. */
#define CRI_LIMIT 2000

/* One line of `ctr images ls`, and what its manifest says. */
struct record {
	char *name;
	struct sl_digest manifest, config;
	size_t manifest_len;
	bool managed; /* the CRI plugin knows it */
};

struct containerd {
	struct sl_target target; /* first */
	struct sl_session session;
	char *pid;               /* of the script, in the node */
	struct record *records;
	size_t n_records;
	/* the archive on its way */
	struct sl_tar_writer *writer;
	struct sl_buf capture;   /* the writer's bytes while `capturing` */
	bool capturing, staging;
	int64_t size, seen;      /* of the layer at hand */
	uint64_t layer_bytes;
	size_t n_members;
	struct sl_error *write_error;
};

static struct containerd *containerd_of(struct sl_target *target)
{
	return (struct containerd *)target;
}

static void release_records(struct containerd *self)
{
	for (size_t i = 0; i < self->n_records; i++)
		free(self->records[i].name);
	free(self->records);
	self->records = NULL;
	self->n_records = 0;
}

static void containerd_close(struct sl_target *target, bool done)
{
	struct containerd *self = containerd_of(target);
	sl_session_end(&self->session, done, CLEANUP_LIMIT);
	sl_session_release(&self->session);
	sl_tar_writer_free(self->writer);
	sl_buf_release(&self->capture);
	release_records(self);
	free(self->pid);
	sl_target_release(target);
	free(self);
}

/* ---- what the node holds ---- */

static const char *go_architecture(const char *machine)
{
	static const char *const table[][2] = {
		{ "x86_64", "amd64" }, { "aarch64", "arm64" }, { "armv7l", "arm" }, { "armv6l", "arm" }, { "i686", "386" },
	};
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		if (!strcmp(table[i][0], machine))
			return table[i][1];
	return machine;
}

static int take_facts(struct containerd *self, char *section, struct sl_error *err)
{
	struct sl_target *target = &self->target;
	bool dd = false;
	char *save = NULL;
	for (char *line = strtok_r(section, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		char *value = strchr(line, '=');
		if (!value)
			continue;
		*value++ = '\0';
		const char *last = strrchr(value, ' ');
		if (!strcmp(line, "pid"))
			self->pid = strdup(value);
		else if (!strcmp(line, "arch"))
			target->architecture = strdup(go_architecture(value));
		else if (!strcmp(line, "ctr"))
			target->version = strdup(last ? last + 1 : value);
		else if (!strcmp(line, "dd"))
			dd = true;
	}
	if (!self->pid || !target->architecture || !target->version)
		return sl_error_set(err, SL_FAILED, "it did not answer as a node with containerd does");
	if (!dd)
		return sl_error_set(err, SL_FAILED, "its dd is not GNU coreutils', which sidelift needs there");
	return 0;
}

/* The CRI plugin's section of `containerd config dump`: what the kubelet's images
 * are unpacked with.  The section's name differs between config versions 2 and 3. */
static int take_config(struct containerd *self, char *section, struct sl_error *err)
{
	bool ours = false;
	char *save = NULL;
	char *snapshotter = NULL;
	for (char *line = strtok_r(section, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		line += strspn(line, " \t");
		if (*line == '[') {
			ours = !strncmp(line, "[plugins.\"io.containerd.grpc.v1.cri\".containerd]", 47) ||
			       !strncmp(line, "[plugins.'io.containerd.cri.v1.images']", 39) ||
			       !strncmp(line, "[plugins.\"io.containerd.cri.v1.images\"]", 39);
			continue;
		}
		char *value = strchr(line, '=');
		if (!ours || !value)
			continue;
		value += 1 + strspn(value + 1, " \"'");
		value[strcspn(value, "\"' ")] = '\0';
		if (!strncmp(line, "snapshotter ", 12) && *value)
			snapshotter = value;
		else if (!strncmp(line, "discard_unpacked_layers ", 24))
			self->target.discards = !strcmp(value, "true");
	}
	self->target.snapshotter = strdup(snapshotter ? snapshotter : DEFAULT_SNAPSHOTTER);
	return self->target.snapshotter ? 0 : sl_error_nomem(err);
}

static int take_names(struct containerd *self, char *section, struct sl_error *err)
{
	char *save = NULL;
	for (char *line = strtok_r(section, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
		if (sl_strv_add(&self->target.names, line) < 0)
			return sl_error_nomem(err);
	return 0;
}

/* `ctr images ls`: REF TYPE DIGEST SIZE UNIT PLATFORMS LABELS, headed. */
static int take_records(struct containerd *self, char *section, struct sl_error *err)
{
	char *save = NULL, *words = NULL;
	release_records(self);
	for (char *line = strtok_r(section, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		bool managed = strstr(line, "io.cri-containerd.image=managed") != NULL;
		const char *name = strtok_r(line, " \t", &words);
		const char *type = name ? strtok_r(NULL, " \t", &words) : NULL;
		const char *digest = type ? strtok_r(NULL, " \t", &words) : NULL;
		struct record record = { .managed = managed };
		if (!digest || !sl_digest_parse(digest, &record.manifest))
			continue;
		struct record *bigger = realloc(self->records, (self->n_records + 1) * sizeof(*bigger));
		if (!bigger)
			return sl_error_nomem(err);
		self->records = bigger;
		record.name = strdup(name);
		if (!record.name)
			return sl_error_nomem(err);
		self->records[self->n_records++] = record;
	}
	return 0;
}

/* A section "DIGEST\nMANIFEST": the config that the records' manifest names.  An
 * index is left alone: its records count as something else. */
static void take_manifest(struct containerd *self, const char *section)
{
	size_t len = strcspn(section, "\n");
	char text[SL_DIGEST_MAX] = "";
	struct sl_digest digest, config = SL_DIGEST_NONE;
	if (len >= sizeof(text) || !section[len])
		return;
	memcpy(text, section, len);
	if (!sl_digest_parse(text, &digest))
		return;
	const char *body = section + len + 1;
	sl_autojson json_t *json = json_loads(body, JSON_DISABLE_EOF_CHECK, NULL);
	sl_digest_parse(sl_json_str(json_object_get(json, "config"), "digest"), &config);
	for (size_t i = 0; i < self->n_records; i++) {
		if (!sl_digest_equal(&self->records[i].manifest, &digest))
			continue;
		self->records[i].config = config;
		self->records[i].manifest_len = strlen(body) - 1; /* the script adds a newline */
	}
}

/* What `look` answered. */
static int take_look(struct containerd *self, struct sl_error *err)
{
	struct sl_session *session = &self->session;
	char *at = NULL;
	char *facts = sl_session_section(session, &at), *ca = sl_session_section(session, &at);
	char *names = sl_session_section(session, &at), *snapshots = sl_session_section(session, &at);
	char *records = sl_session_section(session, &at);
	if (!facts || !ca || !names || !snapshots || !records)
		return sl_error_set(err, SL_FAILED, "it did not answer as a node with containerd does");
	self->target.ca = strdup(ca);
	if (!self->target.ca)
		return sl_error_nomem(err);
	if (take_facts(self, facts, err) < 0 || take_names(self, names, err) < 0 ||
	    sl_target_set_chains(&self->target, snapshots, err) < 0 || take_records(self, records, err) < 0)
		return -1;
	char *section, *last = NULL;
	while ((section = sl_session_section(session, &at))) {
		last = section;
		take_manifest(self, section);
	}
	return take_config(self, last ? last : (char[]){ "" }, err);
}

/* Staging names of a sidelift that was killed together with its node's script. */
static int sweep_stale(struct containerd *self, struct sl_error *err)
{
	for (size_t i = 0; i < self->target.names.n; i++) {
		const char *name = self->target.names.items[i];
		if (strncmp(name, STAGING, sizeof(STAGING) - 1) != 0)
			continue;
		if (sl_session_call(&self->session, ANSWER_LIMIT, err, "sweep", name, NULL) < 0)
			return -1;
	}
	return 0;
}

static int containerd_look(struct sl_target *target, const struct sl_image *images, size_t n, struct sl_error *err)
{
	struct containerd *self = containerd_of(target);
	sl_autostrv struct sl_strv words = SL_STRV_INIT;
	char filter[512];
	int bad = sl_strv_add(&words, "look") | sl_strv_add(&words, DEFAULT_SNAPSHOTTER);
	for (size_t i = 0; i < n; i++) {
		snprintf(filter, sizeof(filter), "name==\"%s\"", images[i].name);
		bad |= sl_strv_add(&words, filter);
		snprintf(filter, sizeof(filter), "name==\"%s\"", images[i].config.text);
		if (sl_digest_known(&images[i].config))
			bad |= sl_strv_add_new(&words, filter);
	}
	if (bad)
		return sl_error_nomem(err);
	int code = sl_session_callv(&self->session, ANSWER_LIMIT, (const char *const *)words.items, words.n, err);
	if (code < 0)
		return -1;
	if (code > 0) {
		sl_session_failed(&self->session, "asking its containerd", code, err);
		return sl_error_wrap(err, "its containerd does not answer");
	}
	if (take_look(self, err) < 0)
		return -1;
	if (strcmp(target->snapshotter, DEFAULT_SNAPSHOTTER) != 0) {
		code = sl_session_call(&self->session, ANSWER_LIMIT, err, "snapshots", target->snapshotter, NULL);
		if (code)
			return code < 0 ? -1 : sl_session_failed(&self->session, "listing its snapshots", code, err);
		char *at = NULL;
		if (sl_target_set_chains(target, sl_session_section(&self->session, &at), err) < 0)
			return -1;
	}
	return sweep_stale(self, err);
}

static const struct record *find_record(const struct containerd *self, const char *name)
{
	for (size_t i = 0; i < self->n_records; i++)
		if (!strcmp(self->records[i].name, name))
			return &self->records[i];
	return NULL;
}

static enum sl_presence containerd_presence(const struct sl_target *target, const struct sl_image *image)
{
	const struct containerd *self = (const struct containerd *)target;
	for (size_t i = 0; i < image->n_layers; i++)
		if (!sl_target_has_chain(target, &image->layers[i].chain_id))
			return SL_PRESENT_PART;
	const struct record *named = find_record(self, image->name);
	if (named && sl_digest_equal(&named->config, &image->config))
		return SL_PRESENT;
	const struct record *other = sl_digest_known(&image->config) ? find_record(self, image->config.text) : NULL;
	return other && sl_digest_equal(&other->config, &image->config) ? SL_PRESENT_UNNAMED : SL_PRESENT_LAYERS;
}

/* ---- layers on their way in ---- */

static int to_session(struct containerd *self, const void *data, size_t len, struct sl_error *err)
{
	if (sl_remote_write(self->session.remote, data, len, WRITE_SILENCE, err) < 0) {
		/* it stopped reading: what it said tells why */
		struct sl_error ignored = SL_ERROR_INIT;
		if (err && err->status != SL_INTERRUPTED &&
		    sl_session_receive(&self->session, 2000, &ignored) > 0)
			sl_session_failed(&self->session, "ctr images import", 1, err);
		return -1;
	}
	self->target.sent = self->session.remote->sent;
	return 0;
}

static int from_writer(void *ctx, const void *data, size_t len)
{
	struct containerd *self = ctx;
	if (self->capturing)
		return sl_buf_add(&self->capture, data, len);
	return to_session(self, data, len, self->write_error);
}

static int new_archive(struct containerd *self, struct sl_error *err)
{
	sl_tar_writer_free(self->writer);
	self->writer = sl_tar_writer_new(from_writer, self);
	sl_buf_clear(&self->capture);
	return self->writer ? 0 : sl_error_nomem(err);
}

/* Announce a frame of what was captured and @more bytes, and send the former. */
static int send_frame(struct containerd *self, int64_t more, struct sl_error *err)
{
	char line[32];
	int len = snprintf(line, sizeof(line), "%lld\n", (long long)self->capture.len + (long long)more);
	if (to_session(self, line, (size_t)len, err) < 0 ||
	    (self->capture.len && to_session(self, self->capture.data, self->capture.len, err) < 0))
		return -1;
	sl_buf_clear(&self->capture);
	return 0;
}

/* Send what was captured as the last frame, gzipped: headers and padding of small
 * members are most of it. */
static int send_last_frame(struct containerd *self, struct sl_error *err)
{
	sl_autobuf struct sl_buf packed = SL_BUF_INIT;
	char line[32];
	if (sl_gzip(self->capture.data, self->capture.len, &packed, err) < 0)
		return -1;
	sl_buf_clear(&self->capture);
	int len = snprintf(line, sizeof(line), "z%zu\n", packed.len);
	return to_session(self, line, (size_t)len, err) < 0 || to_session(self, packed.data, packed.len, err) < 0 ||
	       to_session(self, "0\n", 2, err) < 0 ? -1 : 0;
}

/* The name that stands in for image @i until it is unpacked; the script's process
 * is part of it, so that a later run knows whether it is still alive. */
static void staging_name(const struct containerd *self, size_t i, char *name, size_t size)
{
	snprintf(name, size, STAGING "/p%s:%s-%zu", self->pid, self->session.token, i);
}

/* More images than this in one call nobody loads. */
#define IMAGES_MAX 256

static int begin_staging(struct containerd *self, struct sl_error *err)
{
	const char *words[] = { "stage", self->target.snapshotter };
	if (new_archive(self, err) < 0)
		return -1;
	self->staging = true;
	return sl_session_send(&self->session, words, 2, err);
}

/* Have the script remember which of the CRI plugin's own records are there, so
 * that it leaves them alone should it have to clean up; and start the importer,
 * which takes a moment that the export takes as well. */
static int containerd_prepare(struct sl_target *target, struct sl_error *err)
{
	struct containerd *self = containerd_of(target);
	int code = sl_session_call(&self->session, ANSWER_LIMIT, err, "keep", NULL);
	return code < 0 ? -1 : begin_staging(self, err); /* no record at all makes grep fail */
}

static int containerd_layer(struct sl_target *target, const struct sl_digest *diff_id, int64_t size,
			    struct sl_error *err)
{
	struct containerd *self = containerd_of(target);
	char name[128];
	/* the importer goes by the bytes' own digest; the name is for readers */
	if (sl_digest_known(diff_id))
		snprintf(name, sizeof(name), "blobs/sha256/%s", sl_digest_hex(diff_id));
	else
		snprintf(name, sizeof(name), "blobs/member-%zu", self->n_members);
	self->n_members++;
	self->size = size;
	self->seen = 0;
	self->capturing = true;
	int rc = sl_tar_writer_begin(self->writer, name, size);
	self->capturing = false;
	if (rc < 0)
		return sl_error_nomem(err);
	int64_t padding = (512 - size % 512) % 512;
	self->layer_bytes += (uint64_t)size;
	return send_frame(self, size + padding, err);
}

static int containerd_data(struct sl_target *target, const void *data, size_t len, struct sl_error *err)
{
	struct containerd *self = containerd_of(target);
	struct sl_error why = { SL_FAILED, 0, "the layer is longer than announced" };
	self->write_error = &why;
	int rc = sl_tar_writer_data(self->writer, data, len);
	self->seen += (int64_t)len;
	if (rc == 0 && self->seen == self->size)
		rc = sl_tar_writer_end_member(self->writer);
	self->write_error = NULL;
	if (rc < 0 && err)
		*err = why;
	return rc;
}

static int put_member(struct containerd *self, const char *name, const void *data, size_t len)
{
	return sl_tar_writer_begin(self->writer, name, (int64_t)len) < 0 || sl_tar_writer_data(self->writer, data, len) < 0 ||
	       sl_tar_writer_end_member(self->writer) < 0 ? -1 : 0;
}

static int put_blob(struct containerd *self, const struct sl_digest *digest, const void *data, size_t len)
{
	char name[128];
	snprintf(name, sizeof(name), "blobs/sha256/%s", sl_digest_hex(digest));
	return put_member(self, name, data, len);
}

/* The end of an archive: configs and manifests (@blobs: unless the node has them),
 * and the index that gives them @names. */
static int send_documents(struct containerd *self, const struct sl_image *const *images, const char *const *names,
			  size_t n, bool blobs, struct sl_error *err)
{
	static const char oci_layout[] = "{\"imageLayoutVersion\":\"1.0.0\"}";
	sl_autobuf struct sl_buf index = SL_BUF_INIT;
	if (sl_image_put_index(&index, images, names, n, err) < 0)
		return -1;
	int rc = 0;
	self->capturing = true;
	for (size_t i = 0; i < n && rc == 0; i++) {
		if (blobs && images[i]->manifest_text)
			rc = put_blob(self, &images[i]->config, images[i]->config_text, images[i]->config_len) |
			     put_blob(self, &images[i]->manifest, images[i]->manifest_text, images[i]->manifest_len);
	}
	rc = rc || put_member(self, "index.json", index.data, index.len) ||
	     put_member(self, "oci-layout", oci_layout, sizeof(oci_layout) - 1) || sl_tar_writer_end(self->writer);
	self->capturing = false;
	if (rc)
		return sl_error_nomem(err);
	return send_last_frame(self, err);
}

/* ---- the name moves last ---- */

static int finish_staging(struct containerd *self, const struct sl_image *const *images, size_t n, struct sl_error *err)
{
	char names[IMAGES_MAX][96];
	const char *pointers[IMAGES_MAX];
	for (size_t i = 0; i < n; i++) {
		staging_name(self, i, names[i], sizeof(names[i]));
		pointers[i] = names[i];
	}
	if (send_documents(self, images, pointers, n, true, err) < 0)
		return -1;
	int64_t limit = UNPACK_LIMIT + (int64_t)(self->layer_bytes / 2000);
	int code = sl_session_receive(&self->session, limit, err);
	return code > 0 ? sl_session_failed(&self->session, "ctr images import", code, err) : code;
}

/* Without what a word of a command cannot hold. */
static void put_clean(struct sl_buf *buf, const char *text)
{
	for (; *text; text++)
		if (strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-", *text))
			sl_buf_add(buf, text, 1);
}

/* dev.sidelift.image.HASH-OF-NAME=NAME|CONFIG|USER@HOST|TIME, on the config blob:
 * name and digest are inside, for labels may be copied. */
static char *label_for(const struct sl_image *image)
{
	sl_autobuf struct sl_buf text = SL_BUF_INIT;
	struct sl_digest hash;
	char host[65] = "";
	sl_digest_of(image->name, strlen(image->name), &hash);
	sl_buf_printf(&text, LABEL "%.12s=%s|%s|", sl_digest_hex(&hash), image->name, image->config.text);
	const struct passwd *user = getpwuid(getuid());
	put_clean(&text, user ? user->pw_name : "uid");
	gethostname(host, sizeof(host) - 1);
	sl_buf_puts(&text, "@");
	put_clean(&text, host);
	sl_buf_printf(&text, "|%lld", (long long)time(NULL));
	return text.failed ? NULL : sl_buf_steal(&text);
}

static int add_label_words(struct sl_strv *words, bool separated, const struct sl_image *image, const char *label)
{
	int bad = separated ? sl_strv_add(words, ";;") : 0;
	return bad | sl_strv_add(words, "label") | sl_strv_add(words, image->config.text) |
	       sl_strv_add(words, "dev.sidelift=1") | (label ? sl_strv_add(words, label) : -1);
}

/* Move the names, and write down meanwhile who loaded the images. */
static int publish(struct containerd *self, const struct sl_image *const *images, size_t n, struct sl_error *err)
{
	sl_autostrv struct sl_strv words = SL_STRV_INIT;
	const char *names[IMAGES_MAX];
	int bad = sl_strv_add(&words, "publish") | sl_strv_add(&words, self->target.snapshotter);
	for (size_t i = 0; i < n; i++) {
		sl_autofree char *label = label_for(images[i]);
		names[i] = images[i]->name;
		/* a config that comes with this archive can be labelled only after it */
		if (!self->staging && images[i]->manifest_text)
			continue;
		bad |= add_label_words(&words, words.n > 2, images[i], label);
	}
	if (bad)
		return sl_error_nomem(err);
	if (new_archive(self, err) < 0 || sl_session_send(&self->session, (const char *const *)words.items, words.n, err) < 0 ||
	    send_documents(self, images, names, n, !self->staging, err) < 0)
		return -1;
	int code = sl_session_receive(&self->session, UNPACK_LIMIT, err);
	return code > 0 ? sl_session_failed(&self->session, "ctr images import of the manifest", code, err) : code;
}

/* Words that let the layers' blobs of @image go: the manifest no longer refers to
 * them, so the next collection takes them if nobody else does. */
static int add_release_words(struct sl_strv *words, const struct sl_image *image)
{
	char word[64];
	int bad = sl_strv_add(words, "label") | sl_strv_add(words, image->manifest.text);
	for (size_t i = 0; i < image->n_layers; i++) {
		snprintf(word, sizeof(word), "containerd.io/gc.ref.content.l.%zu=", i);
		bad |= sl_strv_add(words, word);
	}
	return bad | sl_strv_add(words, ";;");
}

/* Let the blobs of layers that are unpacked now go.  The node does that by itself,
 * its answers are not waited for: what it fails to drop costs disk, no more. */
static int drop_blobs(struct containerd *self, const struct sl_image *const *images, size_t n, struct sl_error *err)
{
	static const char *const collect[] = { "gc" };
	sl_autostrv struct sl_strv words = SL_STRV_INIT;
	int bad = sl_strv_add(&words, "par");
	for (size_t i = 0; i < n; i++)
		if (images[i]->manifest_text && images[i]->n_layers)
			bad |= add_release_words(&words, images[i]);
	if (bad)
		return sl_error_nomem(err);
	if (sl_session_send(&self->session, (const char *const *)words.items, words.n, err) < 0)
		return -1;
	return sl_session_send(&self->session, collect, 1, err);
}

static int add_untag_words(const struct containerd *self, struct sl_strv *words, size_t n)
{
	int bad = sl_strv_add(words, "untag");
	for (size_t i = 0; i < n; i++) {
		char name[96];
		staging_name(self, i, name, sizeof(name));
		bad |= sl_strv_add(words, name);
	}
	return bad | sl_strv_add(words, ";;");
}

static int add_check_words(const struct containerd *self, struct sl_strv *words, const char *command,
			   const struct sl_image *const *images, size_t n)
{
	char filter[512];
	int bad = sl_strv_add(words, command) | sl_strv_add(words, self->target.snapshotter);
	for (size_t i = 0; i < n; i++) {
		snprintf(filter, sizeof(filter), "name==\"%s\"", images[i]->name);
		bad |= sl_strv_add(words, filter);
	}
	return bad;
}

/* Compare what the node answered with what was to be; *managed: the CRI plugin
 * has noticed, too. */
static int compare(struct containerd *self, const struct sl_image *const *images, size_t n, bool *managed,
		   struct sl_error *err)
{
	char *at = NULL;
	char *records = sl_session_section(&self->session, &at), *snapshots = sl_session_section(&self->session, &at);
	if (!records || !snapshots || take_records(self, records, err) < 0 ||
	    sl_target_set_chains(&self->target, snapshots, err) < 0)
		return -1;
	*managed = true;
	for (size_t i = 0; i < n; i++) {
		const struct record *record = find_record(self, images[i]->name);
		struct sl_digest chain = sl_image_chain(images[i]);
		if (!record || !sl_digest_equal(&record->manifest, &images[i]->manifest))
			return sl_error_set(err, SL_FAILED, "after the load '%s' does not stand for the image there", images[i]->name);
		if (sl_digest_known(&chain) && !sl_target_has_chain(&self->target, &chain))
			return sl_error_set(err, SL_FAILED, "after the load '%s' is not unpacked there", images[i]->name);
		*managed = *managed && record->managed;
	}
	return 0;
}

/* The rest, which needs no order, at once: no staging names, no needless blobs,
 * and the node is asked what the names stand for now - until its CRI plugin knows
 * as well, for a pod that is created a moment earlier would meet the old image. */
static int settle(struct containerd *self, const struct sl_image *const *images, size_t n, struct sl_error *err)
{
	sl_autostrv struct sl_strv words = SL_STRV_INIT, again = SL_STRV_INIT;
	int bad = sl_strv_add(&words, "par");
	for (size_t i = 0; i < n; i++) {
		sl_autofree char *label = label_for(images[i]);
		if (!self->staging && images[i]->manifest_text)
			bad |= add_label_words(&words, false, images[i], label) | sl_strv_add(&words, ";;");
	}
	if (self->staging)
		bad |= add_untag_words(self, &words, n);
	bad |= add_check_words(self, &words, "confirm", images, n) | add_check_words(self, &again, "check", images, n);
	if (bad)
		return sl_error_nomem(err);
	const struct sl_strv *ask = &words;
	int64_t deadline = sl_now() + CRI_LIMIT;
	for (bool managed = false; !managed; ask = &again) {
		int code = sl_session_callv(&self->session, ANSWER_LIMIT, (const char *const *)ask->items, ask->n, err);
		if (code)
			return code < 0 ? -1 : sl_session_failed(&self->session, "asking for the result", code, err);
		if (compare(self, images, n, &managed, err) < 0)
			return -1;
		if (!managed && sl_now() >= deadline) {
			sl_info("node '%s': its CRI plugin has not marked the names within %d ms", self->target.node->name, CRI_LIMIT);
			break;
		}
	}
	return 0;
}

/* For an image that lacks nothing but its name the node's own manifest is used. */
static int adopt_manifest(const struct containerd *self, const struct sl_image *image, struct sl_image *copy,
			  struct sl_error *err)
{
	*copy = *image;
	if (image->manifest_text)
		return 0;
	const struct record *record = find_record(self, image->config.text);
	if (!record)
		return sl_error_set(err, SL_FAILED, "image '%s' is no longer there", image->name);
	copy->manifest = record->manifest;
	copy->manifest_len = record->manifest_len;
	return 0;
}

static int containerd_commit(struct sl_target *target, const struct sl_image *const *images, size_t n,
			     struct sl_error *err)
{
	struct containerd *self = containerd_of(target);
	struct sl_image copies[IMAGES_MAX];
	const struct sl_image *list[IMAGES_MAX];
	if (n > IMAGES_MAX)
		return sl_error_set(err, SL_USAGE, "more than %d images in one load", IMAGES_MAX);
	for (size_t i = 0; i < n; i++) {
		if (adopt_manifest(self, images[i], &copies[i], err) < 0)
			return -1;
		list[i] = &copies[i];
	}
	if ((self->staging && finish_staging(self, list, n, err) < 0) || publish(self, list, n, err) < 0 ||
	    settle(self, list, n, err) < 0)
		return -1;
	static const char *const forget[] = { "forget" };
	if (sl_session_send(&self->session, forget, 1, err) < 0)
		return -1;
	bool drop = self->staging && target->discards;
	self->staging = false;
	if (drop && drop_blobs(self, list, n, err) < 0)
		return -1;
	target->sent = self->session.remote->sent;
	return 0;
}

/* ---- who loaded what ---- */

/* Labels in a line of `ctr content ls`: LABEL…=NAME|CONFIG|WHO|WHEN,…  Append the
 * names that stand on blob @digest. */
static int names_of_labels(const char *line, struct sl_strv *names)
{
	struct sl_digest digest;
	char first[SL_DIGEST_MAX] = "";
	size_t len = strcspn(line, " \t");
	if (len >= sizeof(first))
		return 0;
	memcpy(first, line, len);
	if (!sl_digest_parse(first, &digest))
		return 0;
	for (const char *at = line; (at = strstr(at, LABEL)); at++) {
		const char *value = strchr(at, '=');
		size_t name_len = value ? strcspn(value + 1, "|,") : 0;
		if (!value || value[1 + name_len] != '|' || strncmp(value + 2 + name_len, digest.text, strlen(digest.text)) != 0)
			continue; /* copied from elsewhere */
		sl_autofree char *name = strndup(value + 1, name_len);
		if (!name || sl_strv_add_new(names, name) < 0)
			return -1;
	}
	return 0;
}

static int containerd_sideloaded(struct sl_target *target, struct sl_strv *names, struct sl_error *err)
{
	struct containerd *self = containerd_of(target);
	sl_autostrv struct sl_strv labelled = SL_STRV_INIT;
	int code = sl_session_call(&self->session, ANSWER_LIMIT, err, "contents", "labels.\"dev.sidelift\"==\"1\"", NULL);
	if (code)
		return code < 0 ? -1 : sl_session_failed(&self->session, "listing what was loaded", code, err);
	char *save = NULL, *at = NULL;
	char *text = sl_session_section(&self->session, &at);
	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
		if (names_of_labels(line, &labelled) < 0)
			return sl_error_nomem(err);
	for (size_t i = 0; i < labelled.n; i++)
		if (sl_strv_has(&target->names, labelled.items[i]) && sl_strv_add_new(names, labelled.items[i]) < 0)
			return sl_error_nomem(err);
	return 0;
}

static const struct sl_target_ops containerd_ops = {
	.runtime = "containerd",
	.look = containerd_look,
	.presence = containerd_presence,
	.prepare = containerd_prepare,
	.layer = containerd_layer,
	.data = containerd_data,
	.commit = containerd_commit,
	.sideloaded = containerd_sideloaded,
	.close = containerd_close,
};

struct sl_target *sl_target_containerd(const struct sl_cluster *cluster, const struct sl_node *node,
				       struct sl_error *err)
{
	struct containerd *self = calloc(1, sizeof(*self));
	if (!self) {
		sl_error_nomem(err);
		return NULL;
	}
	self->target.ops = &containerd_ops;
	self->target.node = node;
	if (sl_session_token(&self->session, err) < 0) {
		free(self);
		return NULL;
	}
	const char *ca = node->control_plane ? sl_provider_by_name(cluster->provider)->ca_path : "/dev/null";
	const char *const argv[] = { "sh", "-c", script, "sidelift", self->session.token, ca, NULL };
	struct sl_remote *remote = sl_engine_exec(cluster->engine, node->container, argv, err);
	if (!remote) {
		free(self);
		return NULL;
	}
	sl_session_attach(&self->session, remote);
	return &self->target;
}
