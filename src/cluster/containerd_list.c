/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster/containerd.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

/*
 * Names, content and snapshots are joined by the labels with which containerd
 * itself keeps them from its garbage collector: a manifest's names its config, an
 * index's its manifests, a config's the snapshot that it is unpacked as.
 */

#define REF "containerd.io/gc.ref."

struct blob {
	struct sl_digest digest;
	struct sl_digest config, manifest, chain; /* what it refers to */
};

struct snapshot {
	char key[SL_DIGEST_MAX];
	struct sl_digest parent;
	bool committed;
	uint64_t size; /* bytes */
};

struct holdings {
	struct blob *blobs;
	struct snapshot *snapshots;
	size_t n_blobs, n_snapshots;
	struct sl_loaded_list loaded;
};

static void release_holdings(struct holdings *all)
{
	free(all->blobs);
	free(all->snapshots);
	sl_containerd_release_loaded(&all->loaded);
}

/* The digest behind "LABEL=" in @labels. */
static void take_reference(const char *labels, const char *label, struct sl_digest *out)
{
	const char *at = strstr(labels, label);
	at = at ? strstr(at, "=sha256:") : NULL;
	if (at)
		sl_digest_from_hex(at + strlen("=sha256:"), out);
}

/* `ctr content ls`: DIGEST SIZE AGE LABELS, headed. */
static int take_contents(struct sl_containerd *self, struct holdings *all, char *section)
{
	char *save = NULL, label[128];
	snprintf(label, sizeof(label), REF "snapshot.%s=", self->target.snapshotter);
	for (char *line = strtok_r(section, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		struct blob blob = { .digest = SL_DIGEST_NONE };
		if (strncmp(line, "sha256:", 7) != 0 || !sl_digest_from_hex(line + 7, &blob.digest))
			continue;
		take_reference(line, REF "content.config=", &blob.config);
		take_reference(line, REF "content.m.", &blob.manifest);
		take_reference(line, label, &blob.chain);
		struct blob *bigger = realloc(all->blobs, (all->n_blobs + 1) * sizeof(*bigger));
		if (!bigger)
			return -1;
		all->blobs = bigger;
		bigger[all->n_blobs++] = blob;
		if (sl_containerd_take_labels(line, &all->loaded) < 0)
			return -1;
	}
	return 0;
}

static struct snapshot *snapshot_of(const struct holdings *all, const char *key)
{
	for (size_t i = 0; i < all->n_snapshots; i++)
		if (!strcmp(all->snapshots[i].key, key))
			return &all->snapshots[i];
	return NULL;
}

/* `ctr snapshots ls`: KEY [PARENT] KIND, headed. */
static int take_snapshots(struct holdings *all, char *section)
{
	char *save = NULL, *words = NULL;
	for (char *line = strtok_r(section, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		const char *key = strtok_r(line, " \t", &words), *parent = strtok_r(NULL, " \t", &words);
		const char *kind = strtok_r(NULL, " \t", &words);
		if (!key || !parent || !strcmp(key, "KEY"))
			continue;
		struct snapshot *bigger = realloc(all->snapshots, (all->n_snapshots + 1) * sizeof(*bigger));
		if (!bigger)
			return -1;
		all->snapshots = bigger;
		struct snapshot *snapshot = &bigger[all->n_snapshots++];
		*snapshot = (struct snapshot){ .committed = !strcmp(kind ? kind : parent, "Committed") };
		snprintf(snapshot->key, sizeof(snapshot->key), "%s", key);
		if (kind)
			sl_digest_parse(parent, &snapshot->parent);
	}
	return 0;
}

/* `ctr snapshots usage -b`: KEY BYTES INODES, headed. */
static void take_usage(const struct holdings *all, char *section)
{
	char *save = NULL, *words = NULL;
	for (char *line = strtok_r(section, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		const char *key = strtok_r(line, " \t", &words), *size = strtok_r(NULL, " \t", &words);
		struct snapshot *snapshot = size ? snapshot_of(all, key) : NULL;
		if (snapshot)
			snapshot->size = strtoull(size, NULL, 10);
	}
}

static const struct blob *blob_of(const struct holdings *all, const struct sl_digest *digest)
{
	for (size_t i = 0; sl_digest_known(digest) && i < all->n_blobs; i++)
		if (sl_digest_equal(&all->blobs[i].digest, digest))
			return &all->blobs[i];
	return NULL;
}

static bool is_nameless(const char *name)
{
	return !strncmp(name, "sha256:", 7);
}

/* The config behind a record: by the manifest, or by the record that the CRI
 * plugin has of the same target. */
static struct sl_digest config_of(const struct sl_containerd *self, const struct holdings *all, const struct sl_record *record)
{
	struct sl_digest config = SL_DIGEST_NONE;
	for (size_t i = 0; i < self->n_records; i++)
		if (is_nameless(self->records[i].name) && sl_digest_equal(&self->records[i].manifest, &record->manifest) &&
		    sl_digest_parse(self->records[i].name, &config))
			return config;
	const struct blob *blob = blob_of(all, &record->manifest);
	if (blob && sl_digest_known(&blob->manifest))
		blob = blob_of(all, &blob->manifest);
	return blob ? blob->config : config;
}

static const struct sl_loaded *loaded_of(const struct holdings *all, const char *name, const struct sl_digest *config)
{
	for (size_t i = 0; i < all->loaded.n; i++)
		if (sl_digest_equal(&all->loaded.items[i].config, config) &&
		    (is_nameless(name) || !strcmp(all->loaded.items[i].name, name)))
			return &all->loaded.items[i];
	return NULL;
}

static void measure(const struct holdings *all, const struct sl_digest *chain, struct sl_listed *item)
{
	for (size_t i = 0; sl_digest_known(chain) && i < all->n_snapshots; i++)
		item->used = item->used || (!all->snapshots[i].committed && sl_digest_equal(&all->snapshots[i].parent, chain));
	const struct snapshot *snapshot = snapshot_of(all, chain->text);
	for (size_t depth = 0; snapshot && depth < SL_LAYERS_MAX; depth++) {
		item->size += snapshot->size;
		snapshot = snapshot_of(all, snapshot->parent.text);
	}
}

static int add_record(const struct sl_containerd *self, const struct holdings *all, const struct sl_record *record,
		      struct sl_listed **list, size_t *n, struct sl_error *err)
{
	struct sl_listed *item = sl_listed_add(list, n, record->name, err);
	if (!item)
		return -1;
	item->manifest = record->manifest;
	item->config = config_of(self, all, record);
	const struct blob *config = blob_of(all, &item->config);
	if (config)
		measure(all, &config->chain, item);
	const struct sl_loaded *loaded = loaded_of(all, record->name, &item->config);
	if (!loaded)
		return 0;
	item->sideloaded = true;
	item->loaded_at = loaded->at;
	item->loaded_as = strdup(loaded->name);
	item->loaded_by = strdup(loaded->by);
	return item->loaded_as && item->loaded_by ? 0 : sl_error_nomem(err);
}

/* The CRI plugin's record stands for the image only where no name does. */
static bool is_shown(const struct sl_containerd *self, const struct sl_record *record)
{
	if (!strncmp(record->name, SL_CONTAINERD_STAGING, sizeof(SL_CONTAINERD_STAGING) - 1))
		return false;
	for (size_t i = 0; is_nameless(record->name) && i < self->n_records; i++)
		if (!is_nameless(self->records[i].name) && sl_digest_equal(&self->records[i].manifest, &record->manifest))
			return false;
	return true;
}

static int take_list(struct sl_containerd *self, struct holdings *all, struct sl_error *err)
{
	char *at = NULL;
	char *records = sl_session_section(&self->session, &at), *contents = sl_session_section(&self->session, &at);
	char *snapshots = sl_session_section(&self->session, &at), *usage = sl_session_section(&self->session, &at);
	if (!records || !contents || !snapshots || !usage)
		return sl_error_set(err, SL_FAILED, "it did not answer as a node with containerd does");
	if (sl_containerd_set_records(self, records, err) < 0)
		return -1;
	if (take_contents(self, all, contents) < 0 || take_snapshots(all, snapshots) < 0)
		return sl_error_nomem(err);
	take_usage(all, usage);
	return 0;
}

int sl_containerd_list(struct sl_target *target, struct sl_listed **list, size_t *n, struct sl_error *err)
{
	struct sl_containerd *self = sl_containerd_of(target);
	struct holdings all = { 0 };
	int code = sl_session_call(&self->session, SL_CONTAINERD_ANSWER, err, "list", target->snapshotter, NULL);
	if (code)
		return code < 0 ? -1 : sl_session_failed(&self->session, "listing its images", code, err);
	int rc = take_list(self, &all, err);
	for (size_t i = 0; rc == 0 && i < self->n_records; i++)
		if (is_shown(self, &self->records[i]))
			rc = add_record(self, &all, &self->records[i], list, n, err);
	release_holdings(&all);
	return rc;
}

int sl_containerd_remove(struct sl_target *target, const char *const *names, size_t n, struct sl_error *err)
{
	return sl_target_call_remove(&sl_containerd_of(target)->session, names, n, err);
}
