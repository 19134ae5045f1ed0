/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster/containerd.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"

#define DEFAULT_SNAPSHOTTER "overlayfs"

void sl_containerd_release_records(struct sl_containerd *self)
{
	for (size_t i = 0; i < self->n_records; i++)
		free(self->records[i].name);
	free(self->records);
	self->records = NULL;
	self->n_records = 0;
}

/* The CRI plugin's settings: what the kubelet's images are unpacked with.  Their
 * section's name differs between config versions 2 and 3.  *imports: the text
 * names other files, which have to be asked for. */
static int take_config(struct sl_containerd *self, char *section, bool *imports, struct sl_error *err)
{
	bool ours = false, top = true;
	char *save = NULL, *snapshotter = NULL;
	*imports = !*section; /* no file to read */
	for (char *line = strtok_r(section, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		line += strspn(line, " \t");
		if (*line == '[') {
			top = false;
			ours = !strncmp(line, "[plugins.\"io.containerd.grpc.v1.cri\".containerd]", 47) ||
			       !strncmp(line, "[plugins.'io.containerd.cri.v1.images']", 39) ||
			       !strncmp(line, "[plugins.\"io.containerd.cri.v1.images\"]", 39);
			continue;
		}
		char *value = strchr(line, '=');
		if (!value)
			continue;
		value += 1 + strspn(value + 1, " \"'");
		value[strcspn(value, "\"' ")] = '\0';
		if (top && !strncmp(line, "imports", 7) && strcmp(value, "[]") != 0)
			*imports = true;
		else if (ours && !strncmp(line, "snapshotter ", 12) && *value)
			snapshotter = value;
		else if (ours && !strncmp(line, "discard_unpacked_layers ", 24))
			self->target.discards = !strcmp(value, "true");
	}
	free(self->target.snapshotter);
	self->target.snapshotter = strdup(snapshotter ? snapshotter : DEFAULT_SNAPSHOTTER);
	return self->target.snapshotter ? 0 : sl_error_nomem(err);
}

/* `ctr images ls`: REF TYPE DIGEST SIZE UNIT PLATFORMS LABELS, headed. */
int sl_containerd_set_records(struct sl_containerd *self, char *section, struct sl_error *err)
{
	char *save = NULL, *words = NULL;
	sl_containerd_release_records(self);
	for (char *line = strtok_r(section, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		bool managed = strstr(line, "io.cri-containerd.image=managed") != NULL;
		const char *name = strtok_r(line, " \t", &words);
		const char *type = name ? strtok_r(NULL, " \t", &words) : NULL;
		const char *digest = type ? strtok_r(NULL, " \t", &words) : NULL;
		struct sl_record record = { .managed = managed };
		if (!digest || !sl_digest_parse(digest, &record.manifest))
			continue;
		struct sl_record *bigger = realloc(self->records, (self->n_records + 1) * sizeof(*bigger));
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
void sl_containerd_take_manifest(struct sl_containerd *self, const char *section)
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

/* The CRI plugin's record of a config says what the other names of its manifest are. */
static void infer_configs(struct sl_containerd *self)
{
	for (size_t i = 0; i < self->n_records; i++) {
		struct sl_digest config;
		if (!sl_digest_parse(self->records[i].name, &config))
			continue;
		for (size_t j = 0; j < self->n_records; j++)
			if (!sl_digest_known(&self->records[j].config) && sl_digest_equal(&self->records[j].manifest, &self->records[i].manifest))
				self->records[j].config = config;
	}
}

/* What `look` answered; *imports: the configuration is not all in one file. */
static int take_look(struct sl_containerd *self, bool *imports, struct sl_error *err)
{
	struct sl_session *session = &self->session;
	char *at = NULL;
	char *facts = sl_session_section(session, &at), *ca = sl_session_section(session, &at);
	char *config = sl_session_section(session, &at), *records = sl_session_section(session, &at);
	if (!facts || !ca || !config || !records)
		return sl_error_set(err, SL_FAILED, "it did not answer as a node with containerd does");
	self->target.ca = strdup(ca);
	if (!self->target.ca)
		return sl_error_nomem(err);
	if (sl_target_take_machine(&self->target, facts, &self->pid, err) < 0 || take_config(self, config, imports, err) < 0 ||
	    sl_containerd_set_records(self, records, err) < 0)
		return -1;
	char *section, *last = NULL;
	while ((section = sl_session_section(session, &at))) {
		if (last)
			sl_containerd_take_manifest(self, last);
		last = section;
	}
	infer_configs(self);
	return sl_target_set_chains(&self->target, last ? last : (char[]){ "" }, err);
}

/* The configuration as containerd itself puts it together: slower. */
static int ask_config(struct sl_containerd *self, struct sl_error *err)
{
	bool ignored;
	int code = sl_session_call(&self->session, SL_CONTAINERD_ANSWER, err, "config", NULL);
	if (code < 0)
		return -1;
	char *at = NULL, *section = sl_session_section(&self->session, &at);
	return take_config(self, section ? section : (char[]){ "" }, &ignored, err);
}

int sl_containerd_look(struct sl_target *target, const struct sl_image *images, size_t n, struct sl_error *err)
{
	struct sl_containerd *self = sl_containerd_of(target);
	sl_autostrv struct sl_strv words = SL_STRV_INIT;
	char filter[512];
	self->images = images;
	self->n_images = n;
	bool known = true;
	for (size_t i = 0; i < n; i++)
		known = known && sl_digest_known(&images[i].config);
	self->asked_configs = known;
	int bad = sl_strv_add(&words, "look") | sl_strv_add(&words, DEFAULT_SNAPSHOTTER) | sl_strv_add(&words, known ? "some" : "all");
	for (size_t i = 0; i < n; i++) {
		snprintf(filter, sizeof(filter), "name==\"%s\"", images[i].name);
		bad |= sl_strv_add(&words, filter);
		snprintf(filter, sizeof(filter), "name==\"%s\"", images[i].config.text);
		if (sl_digest_known(&images[i].config))
			bad |= sl_strv_add_new(&words, filter);
	}
	if (bad)
		return sl_error_nomem(err);
	int code = sl_session_callv(&self->session, SL_CONTAINERD_ANSWER, (const char *const *)words.items, words.n, err);
	if (code < 0)
		return -1;
	if (code > 0) {
		sl_session_failed(&self->session, "asking its containerd", code, err);
		return sl_error_wrap(err, "its containerd does not answer");
	}
	bool imports = false;
	if (take_look(self, &imports, err) < 0 || (imports && ask_config(self, err) < 0))
		return -1;
	if (strcmp(target->snapshotter, DEFAULT_SNAPSHOTTER) != 0) {
		code = sl_session_call(&self->session, SL_CONTAINERD_ANSWER, err, "snapshots", target->snapshotter, NULL);
		if (code)
			return code < 0 ? -1 : sl_session_failed(&self->session, "listing its snapshots", code, err);
		char *at = NULL;
		if (sl_target_set_chains(target, sl_session_section(&self->session, &at), err) < 0)
			return -1;
	}
	return 0;
}

const struct sl_record *sl_containerd_record(const struct sl_containerd *self, const char *name)
{
	for (size_t i = 0; i < self->n_records; i++)
		if (!strcmp(self->records[i].name, name))
			return &self->records[i];
	return NULL;
}

enum sl_presence sl_containerd_presence(const struct sl_target *target, const struct sl_image *image)
{
	const struct sl_containerd *self = (const struct sl_containerd *)target;
	for (size_t i = 0; i < image->n_layers; i++)
		if (!sl_target_has_chain(target, &image->layers[i].chain_id))
			return SL_PRESENT_PART;
	const struct sl_record *named = sl_containerd_record(self, image->name);
	if (named && sl_digest_equal(&named->config, &image->config))
		return SL_PRESENT;
	const struct sl_record *other = sl_digest_known(&image->config) ? sl_containerd_record(self, image->config.text) : NULL;
	return other && sl_digest_equal(&other->config, &image->config) ? SL_PRESENT_UNNAMED : SL_PRESENT_LAYERS;
}

/* `ctr version`, the server's part: "  Version:  1.7.24". */
int sl_containerd_version(struct sl_target *target, struct sl_error *err)
{
	struct sl_containerd *self = sl_containerd_of(target);
	int code = sl_session_call(&self->session, SL_CONTAINERD_ANSWER, err, "version", NULL);
	if (code)
		return code < 0 ? -1 : sl_session_failed(&self->session, "asking for its version", code, err);
	char *at = NULL, *section = sl_session_section(&self->session, &at);
	const char *server = section ? strstr(section, "Server:") : NULL;
	const char *version = server ? strstr(server, "Version:") : NULL;
	version = version ? version + strlen("Version:") : "";
	version += strspn(version, " \tv");
	target->version = strndup(version, strcspn(version, " \n~+"));
	return target->version ? 0 : sl_error_nomem(err);
}
