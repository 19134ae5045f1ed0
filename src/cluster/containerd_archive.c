/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster/containerd.h"

#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/log.h"

/*
 * Layers go in as an OCI image layout that lacks what the node has; containerd
 * accepts it when the missing layers' snapshots exist.
 */

int sl_containerd_new_archive(struct sl_containerd *self, struct sl_error *err)
{
	self->archive.session = &self->session;
	self->archive.importer = "ctr images import";
	return sl_node_archive_begin(&self->archive, err);
}

/* Whether the direct way is open in the node. */
static int ask_for_plan(struct sl_containerd *self, struct sl_error *err)
{
	sl_autostrv struct sl_strv words = SL_STRV_INIT;
	if (sl_strv_add(&words, "plan") < 0 || sl_direct_note_words(self, &words) < 0)
		return sl_error_nomem(err);
	if (!self->direct.open)
		return 0;
	int code = sl_session_callv(&self->session, SL_CONTAINERD_ANSWER, (const char *const *)words.items, words.n, err);
	if (code)
		return code < 0 ? -1 : sl_session_failed(&self->session, "asking for its tar", code, err);
	char *at = NULL, *answer = sl_session_section(&self->session, &at);
	const char *why = answer && !strncmp(answer, "direct=", 7) ? answer + 7 : "the node does not say";
	if (!strncmp(why, "ok", 2))
		return 0;
	sl_info("node '%s': layers go by import: %.*s", self->target.node->name, (int)strcspn(why, "\n"), why);
	self->direct.open = false;
	return 0;
}

/* Which of the CRI plugin's own records are there: of our images, or, where it is not
 * known which configs these have, of all. */
static int put_kept(const struct sl_containerd *self, struct sl_buf *kept)
{
	if (!self->n_images || !self->asked_configs)
		return sl_buf_puts(kept, "ask");
	sl_buf_puts(kept, ",");
	for (size_t i = 0; i < self->n_images; i++)
		if (sl_containerd_record(self, self->images[i].config.text))
			sl_buf_printf(kept, "%s,", self->images[i].config.text);
	return kept->failed ? -1 : 0;
}

/* Start the importer, which takes a moment that the export takes as well; the script
 * remembers which of the CRI plugin's own records are there, so that it leaves them
 * alone should it have to clean up. */
int sl_containerd_prepare(struct sl_target *target, struct sl_error *err)
{
	struct sl_containerd *self = sl_containerd_of(target);
	sl_autobuf struct sl_buf kept = SL_BUF_INIT;
	if (ask_for_plan(self, err) < 0 || sl_containerd_new_archive(self, err) < 0)
		return -1;
	target->takes_plain = self->direct.open;
	if (put_kept(self, &kept) < 0)
		return sl_error_nomem(err);
	const char *words[] = { "stage", target->snapshotter, sl_buf_text(&kept) };
	self->staging = true;
	return sl_session_send(&self->session, words, 3, err);
}

int sl_containerd_layer(struct sl_target *target, const struct sl_digest *diff_id, int64_t size,
			    struct sl_error *err)
{
	struct sl_containerd *self = sl_containerd_of(target);
	char name[128];
	/* the importer goes by the bytes' own digest; the name is for readers */
	if (sl_digest_known(diff_id))
		snprintf(name, sizeof(name), "blobs/sha256/%s", sl_digest_hex(diff_id));
	else
		snprintf(name, sizeof(name), "blobs/member-%zu", self->n_members);
	self->n_members++;
	int rc = sl_node_archive_layer(&self->archive, name, size, err);
	target->sent = self->session.remote->sent;
	return rc;
}

int sl_containerd_data(struct sl_target *target, const void *data, size_t len, struct sl_error *err)
{
	struct sl_containerd *self = sl_containerd_of(target);
	int rc = sl_node_archive_data(&self->archive, data, len, err);
	target->sent = self->session.remote->sent;
	return rc;
}

int sl_containerd_send_documents(struct sl_containerd *self, const struct sl_image *const *images,
				 const char *const *names, size_t n, bool blobs, struct sl_error *err)
{
	return sl_node_archive_put_layout(&self->archive, "", images, names, n, blobs, err) < 0 ||
	       sl_node_archive_end(&self->archive, err) < 0 ? -1 : 0;
}
