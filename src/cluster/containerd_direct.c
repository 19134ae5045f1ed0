/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster/containerd.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "image/overlay.h"
#include "image/unpack.h"

/*
 * The direct way: a layer is unpacked by the node's own tar into a snapshot, which
 * is committed under the chain ID once all bytes were right (containerd_direct.sh);
 * the import then carries manifest and config alone.  It takes an eighth of the
 * import's time and half of its disk; but three calls of ctr, so for small layers
 * alone the import is faster.
 *
 * A layer can go this way when the one below is there.  Small ones wait for it in
 * memory, where it also shows beforehand whether image/overlay.h masters them; the
 * others are left to the import.  A large one that turns out not to be mastered
 * ends this try; the next one is by import.
 */

/* From this size on the direct way is the faster one; bytes. */
#define WORTH ((int64_t)4 << 20)
/* Layers up to this size are looked at before they are sent; together not more than
 * this are held. */
#define SMALL ((int64_t)1 << 20)
#define HELD_MAX ((size_t)4 << 20)
/* What is gathered before it is sent. */
#define GATHER ((size_t)256 << 10)
/* Frames beyond the first one grow up to this, for each costs the node a process. */
#define FRAME_MAX ((int64_t)16 << 20)
/* Chain IDs in a label (4096 bytes at most), and in a note. */
#define CHAINS_A_LABEL 50
#define CHAINS_MAX 500

/* Where a layer belongs: chain IDs that it makes and that are lacking. */
struct spot {
	const struct sl_digest *chain, *parent; /* the first one whose parent is there; parent NULL: the first layer */
	size_t n;
	bool worth; /* it or one above it is large */
};

void sl_direct_release(struct sl_direct *direct)
{
	for (size_t i = 0; i < direct->n_held; i++)
		sl_buf_release(&direct->held[i].bytes);
	free(direct->held);
	free(direct->done);
	sl_buf_release(&direct->out);
}

/* ---- where a layer belongs ---- */

static bool is_there(const struct sl_containerd *self, const struct sl_digest *chain)
{
	for (size_t i = 0; i < self->direct.n_done; i++)
		if (sl_digest_equal(&self->direct.done[i], chain))
			return true;
	return sl_target_has_chain(&self->target, chain);
}

static bool is_large(const struct sl_image *image, const struct sl_layer *layer)
{
	return layer->size >= 0 ? layer->size >= WORTH : !image->engine_size || image->engine_size >= WORTH;
}

static bool is_worth(const struct sl_containerd *self, const struct sl_image *image, size_t j)
{
	for (; j < image->n_layers; j++)
		if (is_large(image, &image->layers[j]) && !is_there(self, &image->layers[j].chain_id))
			return true;
	return false;
}

static void add_spot(const struct sl_containerd *self, const struct sl_image *image, size_t j, struct spot *spot)
{
	const struct sl_digest *chain = &image->layers[j].chain_id, *parent = j ? &image->layers[j - 1].chain_id : NULL;
	if (is_there(self, chain) || (spot->chain && sl_digest_equal(spot->chain, chain)))
		return;
	spot->n++;
	spot->worth = spot->worth || is_worth(self, image, j);
	if (spot->chain || (parent && !is_there(self, parent)))
		return;
	spot->chain = chain;
	spot->parent = parent;
}

static struct spot find_spot(const struct sl_containerd *self, const struct sl_digest *diff_id)
{
	struct spot spot = { 0 };
	for (size_t i = 0; i < self->n_images; i++)
		for (size_t j = 0; j < self->images[i].n_layers; j++)
			if (sl_digest_equal(&self->images[i].layers[j].diff_id, diff_id))
				add_spot(self, &self->images[i], j, &spot);
	return spot;
}

/* ---- the stream into the node ---- */

static int write_raw(struct sl_containerd *self, const void *data, size_t len)
{
	int rc = sl_node_archive_raw(&self->archive, data, len, &self->direct.write_error);
	self->target.sent = self->session.remote->sent;
	return rc;
}

/* Send @len bytes in the frame that was announced, and in further ones. */
static int send_bytes(struct sl_containerd *self, const char *data, size_t len)
{
	struct sl_direct *direct = &self->direct;
	char line[32];
	while (len) {
		if (!direct->announced) {
			direct->frame = direct->frame * 2 < FRAME_MAX ? direct->frame * 2 : FRAME_MAX;
			direct->announced = (int64_t)len > direct->frame ? (int64_t)len : direct->frame;
			int n = snprintf(line, sizeof(line), "%lld\n", (long long)direct->announced);
			if (write_raw(self, line, (size_t)n) < 0)
				return -1;
		}
		size_t part = (int64_t)len < direct->announced ? len : (size_t)direct->announced;
		if (write_raw(self, data, part) < 0)
			return -1;
		direct->announced -= (int64_t)part;
		data += part;
		len -= part;
	}
	return 0;
}

static int flush(struct sl_containerd *self)
{
	int rc = send_bytes(self, self->direct.out.data, self->direct.out.len);
	sl_buf_clear(&self->direct.out);
	return rc;
}

static int take_bytes(void *ctx, const void *data, size_t len)
{
	struct sl_containerd *self = ctx;
	struct sl_buf *out = &self->direct.out;
	if (out->len + len > GATHER && flush(self) < 0)
		return -1;
	return len >= GATHER / 4 ? (flush(self) < 0 ? -1 : send_bytes(self, data, len)) : sl_buf_add(out, data, len);
}

/* The command, and a frame for all of it if @size bytes are about what it takes:
 * each frame costs the node a process. */
static int begin_stream(struct sl_containerd *self, const struct spot *spot, int64_t size, char marker[48])
{
	struct sl_direct *direct = &self->direct;
	char line[512];
	snprintf(marker, 48, ".sidelift-%s", self->session.token);
	direct->write_error = (struct sl_error)SL_ERROR_INIT;
	direct->announced = size + size / 256 + 4096;
	direct->frame = 32768;
	sl_buf_clear(&direct->out);
	self->archive.importer = "unpacking into a snapshot";
	int len = snprintf(line, sizeof(line), "layer %s sidelift-direct-p%s-%s-%zu %s %s %s\n%lld\n", self->target.snapshotter,
			   self->pid, self->session.token, direct->n_keys++, spot->parent ? spot->parent->text : "-",
			   spot->chain->text, marker, (long long)direct->announced);
	return write_raw(self, line, (size_t)len);
}

/* What a frame still wants is zeros, which end a tar anyway. */
static int end_stream(struct sl_containerd *self, const struct spot *spot)
{
	static const char zeros[4096];
	struct sl_direct *direct = &self->direct;
	if (flush(self) < 0)
		return -1;
	while (direct->announced)
		if (send_bytes(self, zeros, direct->announced < (int64_t)sizeof(zeros) ? (size_t)direct->announced : sizeof(zeros)) < 0)
			return -1;
	if (write_raw(self, "0\n", 2) < 0)
		return -1;
	self->archive.importer = "ctr images import";
	struct sl_digest *done = realloc(direct->done, (direct->n_done + 1) * sizeof(*done));
	if (!done)
		return sl_error_nomem(&direct->write_error);
	direct->done = done;
	done[direct->n_done++] = *spot->chain;
	return 0;
}

/* What the node said, where it was the node. */
static int stream_failed(struct sl_containerd *self, struct sl_error *err)
{
	const struct sl_error *why = &self->direct.write_error;
	if (why->status == SL_OK)
		return -1;
	self->target.direct_failed = why->status != SL_INTERRUPTED && why->status != SL_NOSPACE;
	if (err)
		*err = *why;
	return -1;
}

/* As sl_overlay_convert(), of a layer that may be packed. */
static int convert(const struct sl_incoming *layer, bool first, const char *marker, int (*sink)(void *ctx, const void *data, size_t len),
		   void *ctx, struct sl_error *err)
{
	if (!layer->packed)
		return sl_overlay_convert(&layer->source, first, marker, sink, ctx, err);
	struct sl_unpack *unpack = sl_unpack_new(&layer->source, &layer->diff_id, err);
	const struct sl_source plain = { .read = sl_unpack_read, .ctx = unpack };
	int rc = unpack ? sl_overlay_convert(&plain, first, marker, sink, ctx, err) : -1;
	sl_unpack_free(unpack);
	return rc;
}

static int stream_layer(struct sl_containerd *self, const struct spot *spot, const struct sl_incoming *layer, struct sl_error *err)
{
	char marker[48];
	if (begin_stream(self, spot, layer->size, marker) < 0)
		return stream_failed(self, err);
	int rc = convert(layer, !spot->parent, marker, take_bytes, self, err);
	if (rc > 0) {
		self->target.direct_failed = true;
		return sl_error_wrap(err, "layer %s cannot go straight into a snapshot", layer->diff_id.text);
	}
	if (rc < 0 || end_stream(self, spot) < 0)
		return stream_failed(self, err);
	self->target.n_direct++;
	sl_info("node '%s': layer %s goes straight into a snapshot", self->target.node->name, layer->diff_id.text);
	return 0;
}

/* ---- small layers ---- */

struct cursor {
	const struct sl_buf *bytes;
	bool given;
};

static ssize_t read_held(void *ctx, const void **data, struct sl_error *err)
{
	struct cursor *cursor = ctx;
	if (cursor->given)
		return 0;
	cursor->given = true;
	*data = sl_buf_text(cursor->bytes);
	return (ssize_t)cursor->bytes->len;
}

static int count_bytes(void *ctx, const void *data, size_t len)
{
	return 0;
}

static struct sl_incoming incoming_of(const struct sl_held *held, struct cursor *cursor)
{
	*cursor = (struct cursor){ .bytes = &held->bytes };
	return (struct sl_incoming){ .diff_id = held->diff_id, .size = (int64_t)held->bytes.len, .packed = held->packed,
				     .source = { .read = read_held, .ctx = cursor } };
}

/* Would it be mastered?  Otherwise it is left to the import.  1, 0, or -1. */
static int try_held(struct sl_containerd *self, struct sl_held *held, bool first, struct sl_error *err)
{
	struct cursor cursor;
	struct sl_error why = SL_ERROR_INIT;
	struct sl_incoming layer = incoming_of(held, &cursor);
	int rc = convert(&layer, first, ".sidelift", count_bytes, NULL, &why);
	if (rc == 0)
		return 1;
	if (rc < 0) {
		if (err)
			*err = why;
		return -1;
	}
	sl_info("node '%s': layer %s goes by import: %s", self->target.node->name, held->diff_id.text, why.message);
	held->import = true;
	return 0;
}

/* Send what was held wherever the layer below has come; *any: something was. */
static int send_held(struct sl_containerd *self, struct sl_held *held, bool *any, struct sl_error *err)
{
	for (;;) {
		struct spot spot = find_spot(self, &held->diff_id);
		if (held->import || !spot.chain)
			return 0;
		int rc = try_held(self, held, !spot.parent, err);
		if (rc <= 0)
			return rc;
		struct cursor cursor;
		struct sl_incoming layer = incoming_of(held, &cursor);
		if (stream_layer(self, &spot, &layer, err) < 0)
			return -1;
		*any = true;
	}
}

static int send_all_held(struct sl_containerd *self, struct sl_error *err)
{
	for (bool any = true; any;) {
		any = false;
		for (size_t i = 0; i < self->direct.n_held; i++)
			if (send_held(self, &self->direct.held[i], &any, err) < 0)
				return -1;
	}
	return 0;
}

static int hold(struct sl_containerd *self, const struct sl_incoming *layer, struct sl_error *err)
{
	struct sl_direct *direct = &self->direct;
	struct sl_held *bigger = realloc(direct->held, (direct->n_held + 1) * sizeof(*bigger));
	const void *data;
	ssize_t n;
	if (!bigger)
		return sl_error_nomem(err);
	direct->held = bigger;
	struct sl_held *held = &bigger[direct->n_held++];
	*held = (struct sl_held){ .diff_id = layer->diff_id, .packed = layer->packed };
	while ((n = layer->source.read(layer->source.ctx, &data, err)) > 0)
		if (sl_buf_add(&held->bytes, data, (size_t)n) < 0)
			return sl_error_nomem(err);
	direct->held_bytes += held->bytes.len;
	return n < 0 ? -1 : send_all_held(self, err);
}

int sl_direct_import_held(struct sl_containerd *self, struct sl_error *err)
{
	struct sl_direct *direct = &self->direct;
	for (size_t i = 0; i < direct->n_held; i++) {
		struct cursor cursor;
		struct sl_incoming layer = incoming_of(&direct->held[i], &cursor);
		if (find_spot(self, &layer.diff_id).n && sl_target_import_layer(&self->target, &layer, err) < 0)
			return -1;
	}
	return 0;
}

/* ---- which way ---- */

static int import(struct sl_containerd *self, const struct sl_incoming *layer, const char *why, struct sl_error *err)
{
	if (layer->unpacked) { /* an archive needs its size: the next try is by import */
		self->target.direct_failed = true;
		return sl_error_set(err, SL_FAILED, "layer %s cannot go straight into a snapshot: %s", layer->diff_id.text, why);
	}
	if (self->direct.open)
		sl_info("node '%s': layer %s goes by import: %s", self->target.node->name, layer->diff_id.text, why);
	return sl_target_import_layer(&self->target, layer, err);
}

int sl_containerd_take(struct sl_target *target, const struct sl_incoming *layer, struct sl_error *err)
{
	struct sl_containerd *self = sl_containerd_of(target);
	if (!self->direct.open)
		return import(self, layer, "the node has no such way", err);
	if (!sl_digest_known(&layer->diff_id))
		return import(self, layer, "which one it is, is not known yet", err);
	struct spot spot = find_spot(self, &layer->diff_id);
	if (!spot.n || (target->importer == SL_IMPORTER_AUTO && !spot.worth))
		return import(self, layer, "it is small", err);
	if (layer->size <= SMALL && self->direct.held_bytes + (size_t)layer->size <= HELD_MAX)
		return hold(self, layer, err);
	if (!spot.chain)
		return import(self, layer, "it comes before the one below it", err);
	if (spot.n > 1)
		return import(self, layer, "it is in the image more than once", err);
	return stream_layer(self, &spot, layer, err) < 0 ? -1 : send_all_held(self, err);
}

/* ---- notes ---- */

static bool is_wanted(const struct sl_containerd *self)
{
	bool large = self->target.importer == SL_IMPORTER_DIRECT;
	for (size_t i = 0; i < self->n_images; i++)
		large = large || is_worth(self, &self->images[i], 0);
	return self->target.importer != SL_IMPORTER_IMPORT && large;
}

int sl_direct_note_words(struct sl_containerd *self, struct sl_strv *words)
{
	sl_autobuf struct sl_buf label = SL_BUF_INIT;
	size_t n = 0;
	int bad = 0;
	self->direct.open = false;
	if (!is_wanted(self) || strcmp(self->target.snapshotter, "overlayfs") != 0)
		return 0;
	for (size_t i = 0; i < self->n_images; i++) {
		for (size_t j = 0; j < self->images[i].n_layers; j++) {
			const struct sl_layer *layer = &self->images[i].layers[j];
			if (sl_target_has_chain(&self->target, &layer->chain_id) || ++n > CHAINS_MAX)
				continue;
			if ((n - 1) % CHAINS_A_LABEL == 0) {
				bad |= label.len ? sl_strv_add(words, sl_buf_text(&label)) : 0;
				sl_buf_clear(&label);
				sl_buf_printf(&label, "dev.sidelift.chains.%zu=", n / CHAINS_A_LABEL);
			}
			bad |= sl_buf_printf(&label, "%s%s", (n - 1) % CHAINS_A_LABEL ? "+" : "", sl_digest_hex(&layer->chain_id));
		}
	}
	self->direct.open = n > 0 && n <= CHAINS_MAX;
	return bad | (label.len ? sl_strv_add(words, sl_buf_text(&label)) : 0);
}

int sl_direct_release_words(const struct sl_containerd *self, struct sl_strv *words)
{
	int bad = 0;
	/* in two commands: the caller runs them at once */
	for (size_t from = 0; from < 2 && from < self->direct.n_done; from++) {
		bad |= sl_strv_add(words, "release") | sl_strv_add(words, self->target.snapshotter);
		for (size_t i = from; i < self->direct.n_done; i += 2)
			bad |= sl_strv_add(words, self->direct.done[i].text);
		bad |= sl_strv_add(words, ";;");
	}
	return bad;
}

int sl_direct_settled(struct sl_containerd *self, struct sl_error *err)
{
	static const char *const settled[] = { "settled" };
	return self->direct.n_done ? sl_session_send_last(&self->session, settled, 1, err) : 0;
}
