/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster/containerd.h"

#include <string.h>

#include "base/cleanup.h"
#include "base/log.h"

/*
 * ctr 1.6 (and 2.x with --local) points a name at its image before unpacking it,
 * so the import of the layers is made under staging names; a second import, of
 * the index alone, then moves the real names, each at once.
 */

/* How long the import of a manifest may take; milliseconds. */
#define PUBLISH_LIMIT 60000
/* How long the CRI plugin may take to notice a moved name; milliseconds. */
#define CRI_LIMIT 2000

/* The name that stands in for image @i until it is unpacked; the script's process
 * is part of it, so that a later run knows whether it is still alive. */
static void staging_name(const struct sl_containerd *self, size_t i, char *name, size_t size)
{
	snprintf(name, size, SL_CONTAINERD_STAGING "/p%s:%s-%zu", self->pid, self->session.token, i);
}

static int finish_staging(struct sl_containerd *self, const struct sl_image *const *images, size_t n, struct sl_error *err)
{
	char names[SL_CONTAINERD_IMAGES_MAX][96];
	const char *pointers[SL_CONTAINERD_IMAGES_MAX];
	for (size_t i = 0; i < n; i++) {
		staging_name(self, i, names[i], sizeof(names[i]));
		pointers[i] = names[i];
	}
	if (sl_direct_import_held(self, err) < 0 || sl_containerd_send_documents(self, images, pointers, n, true, err) < 0)
		return -1;
	int code = sl_session_receive(&self->session, sl_node_archive_limit(&self->archive), err);
	if (code > 0) {
		sl_session_failed(&self->session, self->direct.n_done ? "unpacking" : "ctr images import", code, err);
		self->target.direct_failed = self->direct.n_done && err && err->status != SL_NOSPACE;
		return -1;
	}
	return code;
}

/* Move the names, and write down meanwhile who loaded the images. */
static int publish(struct sl_containerd *self, const struct sl_image *const *images, size_t n, struct sl_error *err)
{
	sl_autostrv struct sl_strv words = SL_STRV_INIT;
	const char *names[SL_CONTAINERD_IMAGES_MAX];
	int bad = sl_strv_add(&words, "publish") | sl_strv_add(&words, self->staging ? "-" : self->target.snapshotter);
	for (size_t i = 0; i < n; i++) {
		names[i] = images[i]->name;
		/* a config that comes with this archive can be labelled only after it */
		if (!self->staging && images[i]->manifest_text)
			continue;
		bad |= sl_containerd_label_words(&words, words.n > 2, images[i]);
	}
	if (bad)
		return sl_error_nomem(err);
	if (sl_containerd_new_archive(self, err) < 0 || sl_session_send(&self->session, (const char *const *)words.items, words.n, err) < 0 ||
	    sl_containerd_send_documents(self, images, names, n, !self->staging, err) < 0)
		return -1;
	int code = sl_session_receive(&self->session, PUBLISH_LIMIT, err);
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

/* Have the blobs of layers that are unpacked now let go at the end; what the node fails
 * to drop costs disk, no more. */
static int plan_drop(struct sl_containerd *self, const struct sl_image *const *images, size_t n, struct sl_error *err)
{
	int bad = sl_strv_add(&self->drop, "par");
	for (size_t i = 0; i < n; i++)
		if (images[i]->manifest_text && images[i]->n_layers)
			bad |= add_release_words(&self->drop, images[i]);
	return bad ? sl_error_nomem(err) : 0;
}

void sl_containerd_drop_blobs(struct sl_containerd *self)
{
	static const char *const collect[] = { "gc" };
	if (self->drop.n && sl_session_send_last(&self->session, (const char *const *)self->drop.items, self->drop.n, NULL) == 0)
		(void)!sl_session_send_last(&self->session, collect, 1, NULL);
}

static int add_untag_words(const struct sl_containerd *self, struct sl_strv *words, size_t n)
{
	int bad = sl_strv_add(words, "untag");
	for (size_t i = 0; i < n; i++) {
		char name[96];
		staging_name(self, i, name, sizeof(name));
		bad |= sl_strv_add(words, name);
	}
	return bad | sl_strv_add(words, ";;");
}

static int add_check_words(const struct sl_containerd *self, struct sl_strv *words, const char *command,
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
static int compare(struct sl_containerd *self, const struct sl_image *const *images, size_t n, bool *managed,
		   struct sl_error *err)
{
	char *at = NULL;
	char *records = sl_session_section(&self->session, &at), *snapshots = sl_session_section(&self->session, &at);
	if (!records || !snapshots || sl_containerd_set_records(self, records, err) < 0 ||
	    sl_target_set_chains(&self->target, snapshots, err) < 0)
		return -1;
	*managed = true;
	for (size_t i = 0; i < n; i++) {
		const struct sl_record *record = sl_containerd_record(self, images[i]->name);
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
static int settle(struct sl_containerd *self, const struct sl_image *const *images, size_t n, struct sl_error *err)
{
	sl_autostrv struct sl_strv words = SL_STRV_INIT, again = SL_STRV_INIT;
	int bad = sl_strv_add(&words, "par");
	for (size_t i = 0; i < n; i++) {
		if (!self->staging && images[i]->manifest_text)
			bad |= sl_containerd_label_words(&words, false, images[i]) | sl_strv_add(&words, ";;");
	}
	if (self->staging)
		bad |= add_untag_words(self, &words, n) | sl_direct_release_words(self, &words);
	bad |= add_check_words(self, &words, "confirm", images, n) | add_check_words(self, &again, "check", images, n);
	if (bad)
		return sl_error_nomem(err);
	const struct sl_strv *ask = &words;
	int64_t deadline = sl_now() + CRI_LIMIT;
	for (bool managed = false; !managed; ask = &again) {
		int code = sl_session_callv(&self->session, SL_CONTAINERD_ANSWER, (const char *const *)ask->items, ask->n, err);
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
static int adopt_manifest(const struct sl_containerd *self, const struct sl_image *image, struct sl_image *copy,
			  struct sl_error *err)
{
	*copy = *image;
	if (image->manifest_text)
		return 0;
	const struct sl_record *record = sl_containerd_record(self, image->config.text);
	if (!record)
		return sl_error_set(err, SL_FAILED, "image '%s' is no longer there", image->name);
	copy->manifest = record->manifest;
	copy->manifest_len = record->manifest_len;
	return 0;
}

int sl_containerd_commit(struct sl_target *target, const struct sl_image *const *images, size_t n,
			     struct sl_error *err)
{
	struct sl_containerd *self = sl_containerd_of(target);
	struct sl_image copies[SL_CONTAINERD_IMAGES_MAX];
	const struct sl_image *list[SL_CONTAINERD_IMAGES_MAX];
	if (n > SL_CONTAINERD_IMAGES_MAX)
		return sl_error_set(err, SL_USAGE, "more than %d images in one load", SL_CONTAINERD_IMAGES_MAX);
	for (size_t i = 0; i < n; i++) {
		if (adopt_manifest(self, images[i], &copies[i], err) < 0)
			return -1;
		list[i] = &copies[i];
	}
	if ((self->staging && finish_staging(self, list, n, err) < 0) || publish(self, list, n, err) < 0 ||
	    settle(self, list, n, err) < 0)
		return -1;
	static const char *const forget[] = { "forget" };
	if (sl_direct_settled(self, err) < 0 || sl_session_send_last(&self->session, forget, 1, err) < 0)
		return -1;
	bool drop = self->staging && target->discards;
	self->staging = false;
	target->sent = self->session.remote->sent;
	return drop ? plan_drop(self, list, n, err) : 0;
}
