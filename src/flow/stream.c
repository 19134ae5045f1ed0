/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "base/guest.h"
#include "base/log.h"
#include "flow/load.h"
#include "image/unpack.h"

/*
 * One pass: this thread takes the blobs out of the exporter, each once, and
 * hands them to the threads of the nodes that want them.
 *
 * A node that is far slower than the others would hold all of them to its pace.
 * It is detached and served in a pass of its own: when only it kept the export
 * waiting for DETACH_MS in sum, and for longer than everything else took.
 */

#define SLICE_MS 200
#define DETACH_MS 8000

/* Packed blobs of this size and more are unpacked once for all nodes, where they can be;
 * bytes.  No node takes a layer of that size for a small one. */
#define UNPACK_MIN ((int64_t)4 << 20)

struct worker {
	struct sl_load *load;
	struct sl_load_node *node;
	pthread_t thread;
	bool started;
	bool layers; /* some will come, or nothing is known yet */
	struct sl_feed_item item;
	bool ended;     /* the layer's bytes have; the item is what comes next */
	int64_t waited; /* ms, for the export */
};

/* What the feed gave to the worker last. */
static int aborted(struct sl_load_node *node, struct sl_error *err)
{
	node->aborted = true;
	return sl_error_set(err, SL_FAILED, node->detached ? "it is far slower than the others" : "the export failed");
}

/* The bytes of the layer at hand, as a source; it ends where the next thing
 * begins, which is kept. */
static ssize_t read_layer(void *ctx, const void **data, struct sl_error *err)
{
	struct worker *worker = ctx;
	struct sl_load_node *node = worker->node;
	size_t len;
	if (worker->ended)
		return 0;
	sl_chunk_unref(worker->item.chunk);
	worker->item.chunk = NULL;
	atomic_store(&node->sent, node->target->sent);
	int64_t before = sl_now();
	sl_feed_pop(&node->feed, &worker->item);
	worker->waited += sl_now() - before;
	if (worker->item.kind == SL_FEED_ABORT)
		return aborted(node, err);
	worker->ended = worker->item.kind != SL_FEED_DATA;
	if (worker->ended)
		return 0;
	*data = sl_chunk_data(worker->item.chunk, &len);
	return (ssize_t)len;
}

/* Take the layer that worker->item announces; the next item is there afterwards. */
static int take_layer(struct worker *worker, struct sl_error *err)
{
	struct sl_load_node *node = worker->node;
	const struct sl_incoming layer = { .diff_id = worker->item.diff_id, .size = worker->item.size, .packed = worker->item.packed,
					   .unpacked = worker->item.unpacked, .source = { .read = read_layer, .ctx = worker } };
	atomic_store(&node->phase, SL_PHASE_SENDING);
	worker->ended = false;
	int rc = sl_target_layer(node->target, &layer, err);
	atomic_store(&node->sent, node->target->sent);
	return rc;
}

/* *needless: it has all images already, though that was not known before. */
static int commit(struct worker *worker, bool *needless, struct sl_error *err)
{
	struct sl_load *load = worker->load;
	struct sl_load_node *node = worker->node;
	const struct sl_image **due = calloc(load->n_images, sizeof(*due));
	if (!due)
		return sl_error_nomem(err);
	atomic_store(&node->phase, SL_PHASE_UNPACKING);
	size_t n = sl_load_due(load, node, due);
	*needless = n == 0;
	int rc = n ? sl_target_commit(node->target, due, n, err) : 0;
	atomic_store(&node->sent, node->target->sent);
	free(due);
	return rc;
}

static void *feed_node(void *ctx)
{
	struct worker *worker = ctx;
	struct sl_load_node *node = worker->node;
	sl_guest_thread();
	int rc = worker->layers ? sl_target_prepare(node->target, &node->error) : 0;
	node->plain = worker->layers && rc == 0 && node->target->takes_plain;
	int64_t before = sl_now();
	if (rc == 0)
		sl_feed_pop(&node->feed, &worker->item);
	worker->waited = sl_now() - before;
	while (rc == 0 && worker->item.kind == SL_FEED_LAYER)
		rc = take_layer(worker, &node->error);
	if (rc == 0 && worker->item.kind == SL_FEED_ABORT)
		rc = aborted(node, &node->error);
	sl_chunk_unref(worker->item.chunk);
	bool needless = false;
	if (rc == 0)
		rc = commit(worker, &needless, &node->error);
	node->busy_ms += sl_now() - before - worker->waited;
	sl_feed_leave(&node->feed);
	node->bytes_total += node->target->sent;
	node->n_direct = node->target->n_direct;
	node->n_imported = node->target->n_imported;
	node->direct_failed = rc < 0 && node->target->direct_failed && !node->aborted;
	if (rc < 0 || needless) {
		sl_target_close(node->target, false);
		node->target = NULL;
	} /* else later: what its node then still does, would take from the others */
	node->outcome = rc < 0 ? SL_OUTCOME_FAILED : needless ? SL_OUTCOME_PRESENT : SL_OUTCOME_LOADED;
	node->seconds = (double)(sl_now() - worker->load->started) / 1000;
	atomic_store(&node->phase, SL_PHASE_DONE);
	return NULL;
}

/* ---- the exporting side ---- */

struct pass {
	struct sl_load *load;
	struct sl_exporter *exporter;
	int64_t started;
};

static bool others_idle(const struct sl_load *load, const struct sl_load_node *slow)
{
	bool any = false;
	for (size_t k = 0; k < load->n_nodes; k++) {
		struct sl_load_node *node = &load->nodes[k];
		if (!node->feeding || node == slow)
			continue;
		if (!sl_feed_idle(&node->feed))
			return false;
		any = true;
	}
	return any;
}

static void detach(struct sl_load_node *node)
{
	sl_info("node '%s' is far slower than the others; it is served after them", node->node->name);
	node->feeding = false;
	node->detached = true;
	sl_feed_abort(&node->feed);
}

/* Give @item to @node, waiting for room; its chunk's reference is taken.  -1 when
 * interrupted. */
static int give(struct pass *pass, struct sl_load_node *node, const struct sl_feed_item *item, struct sl_error *err)
{
	while (node->feeding) {
		int64_t before = sl_now();
		int rc = sl_feed_push(&node->feed, item, SLICE_MS);
		int64_t took = sl_now() - before;
		if (others_idle(pass->load, node))
			node->alone_ms += took;
		if (rc > 0)
			return 0;
		if (rc < 0) {
			node->feeding = false;
			return 0;
		}
		if (sl_cancelled(pass->load->cancel)) {
			sl_chunk_unref(item->chunk);
			return sl_error_set(err, SL_INTERRUPTED, "interrupted");
		}
		if (node->alone_ms > DETACH_MS && node->alone_ms * 2 > sl_now() - pass->started)
			detach(node);
	}
	sl_chunk_unref(item->chunk);
	return 0;
}

static bool anybody(const struct sl_load *load)
{
	for (size_t k = 0; k < load->n_nodes; k++)
		if (load->nodes[k].feeding)
			return true;
	return false;
}

/* Which nodes get the blob; how many. */
static size_t choose(struct pass *pass, const struct sl_blob *blob, bool *chosen)
{
	size_t n = 0;
	for (size_t k = 0; k < pass->load->n_nodes; k++) {
		struct sl_load_node *node = &pass->load->nodes[k];
		chosen[k] = node->feeding &&
			    (!pass->load->images || (sl_digest_known(&blob->diff_id) ?
				sl_load_wants(node, &blob->diff_id) : node->n_owed > 0));
		n += chosen[k];
		if (chosen[k]) {
			node->layers_sent++;
			node->n_owed -= node->n_owed && sl_digest_known(&blob->diff_id);
		}
	}
	return n;
}

static int give_all(struct pass *pass, const bool *chosen, const struct sl_feed_item *item, struct sl_error *err)
{
	for (size_t k = 0; k < pass->load->n_nodes; k++) {
		struct sl_feed_item copy = *item;
		if (!chosen[k])
			continue;
		if (copy.chunk)
			sl_chunk_ref(copy.chunk);
		if (give(pass, &pass->load->nodes[k], &copy, err) < 0)
			return -1;
	}
	return 0;
}

/* The bytes that come out of the engine, as a source. */
static ssize_t read_exporter(void *ctx, const void **data, struct sl_error *err)
{
	struct pass *pass = ctx;
	ssize_t n = sl_exporter_data(pass->exporter, data, err);
	if (n > 0)
		atomic_fetch_add(&pass->load->exported, (uint64_t)n);
	return n;
}

static bool is_repeated(const struct sl_load *load, const struct sl_digest *diff_id)
{
	size_t n = 0;
	for (size_t i = 0; i < load->n_images; i++)
		for (size_t j = 0; j < load->images[i].n_layers; j++)
			if (sl_digest_equal(&load->images[i].layers[j].diff_id, diff_id) && n++)
				return true;
	return false;
}

/* Whether a packed blob is best unpacked here, once for all nodes and beside their own
 * work: every one of them is to have it as it is. */
static bool unpacks_here(struct pass *pass, const struct sl_blob *blob, const bool *chosen)
{
	const struct sl_load *load = pass->load;
	if (!blob->packed || blob->size < UNPACK_MIN || !sl_digest_known(&blob->diff_id) || is_repeated(load, &blob->diff_id))
		return false;
	for (size_t k = 0; k < load->n_nodes; k++) {
		struct sl_load_node *node = &load->nodes[k];
		while (chosen[k] && !sl_cancelled(load->cancel) && !sl_feed_wait_begun(&node->feed, SLICE_MS))
			;
		if (chosen[k] && node->feeding && !node->plain)
			return false;
	}
	return true;
}

static int send_bytes(struct pass *pass, const struct sl_source *source, const bool *chosen, struct sl_error *err)
{
	const void *data;
	ssize_t n;
	while ((n = source->read(source->ctx, &data, err)) > 0) {
		const struct sl_feed_item item = { .kind = SL_FEED_DATA, .chunk = sl_chunk_new(data, (size_t)n) };
		if (!item.chunk)
			return sl_error_nomem(err);
		int rc = give_all(pass, chosen, &item, err);
		sl_chunk_unref(item.chunk);
		if (rc < 0)
			return -1;
		if (sl_cancelled(pass->load->cancel))
			return sl_error_set(err, SL_INTERRUPTED, "interrupted");
	}
	return (int)n;
}

static int send_blob(struct pass *pass, const struct sl_blob *blob, const bool *chosen, struct sl_error *err)
{
	const struct sl_source source = { .read = read_exporter, .ctx = pass };
	bool here = unpacks_here(pass, blob, chosen);
	const struct sl_feed_item item = { .kind = SL_FEED_LAYER, .diff_id = blob->diff_id, .size = blob->size,
					   .packed = blob->packed && !here, .unpacked = here };
	if (give_all(pass, chosen, &item, err) < 0)
		return -1;
	if (!here)
		return send_bytes(pass, &source, chosen, err);
	struct sl_unpack *unpack = sl_unpack_new(&source, &blob->diff_id, err);
	const struct sl_source plain = { .read = sl_unpack_read, .ctx = unpack };
	int rc = unpack ? send_bytes(pass, &plain, chosen, err) : -1;
	sl_unpack_free(unpack);
	return rc;
}

static int export_blobs(struct pass *pass, struct sl_error *err)
{
	bool *chosen = calloc(pass->load->n_nodes, sizeof(*chosen));
	struct sl_blob blob;
	int rc = chosen ? 0 : sl_error_nomem(err);
	while (rc == 0 && (rc = sl_exporter_next(pass->exporter, &blob, err)) > 0) {
		if (!anybody(pass->load)) {
			rc = sl_error_set(err, SL_CLOSED, "no node takes it any more");
			break;
		}
		rc = choose(pass, &blob, chosen) ? send_blob(pass, &blob, chosen, err) : 0;
	}
	free(chosen);
	return rc;
}

/* The images are complete now: take them over where only now they are known, and
 * make their manifests. */
static int complete_images(struct pass *pass, struct sl_error *err)
{
	struct sl_load *load = pass->load;
	if (sl_exporter_finish(pass->exporter, err) < 0)
		return -1;
	if (!load->images) {
		load->images = pass->exporter->images;
		load->n_images = pass->exporter->n_images;
		if (sl_load_name_images(load, err) < 0 || sl_load_check_platforms(load, err) < 0)
			return -1;
	}
	for (size_t i = 0; i < load->n_images; i++)
		if (sl_image_make_manifest(&load->images[i], err) < 0)
			return -1;
	return 0;
}

static void start_workers(struct sl_load *load, struct worker *workers)
{
	for (size_t k = 0; k < load->n_nodes; k++) {
		struct sl_load_node *node = &load->nodes[k];
		workers[k] = (struct worker){ .load = load, .node = node };
		if (node->outcome != SL_OUTCOME_PENDING || !node->target)
			continue;
		sl_feed_release(&node->feed);
		node->alone_ms = 0;
		node->detached = node->aborted = false;
		node->tries++;
		node->error = (struct sl_error)SL_ERROR_INIT;
		atomic_store(&node->sent, 0);
		atomic_store(&node->phase, SL_PHASE_WAITING);
		if (sl_load_want(load, node, &node->error) < 0) {
			node->outcome = SL_OUTCOME_FAILED;
			continue;
		}
		node->n_owed = node->n_wanted;
		workers[k].layers = node->n_wanted || !load->images;
		if (sl_feed_init(&node->feed) < 0 || pthread_create(&workers[k].thread, NULL, feed_node, &workers[k]) != 0) {
			sl_error_nomem(&node->error);
			node->outcome = SL_OUTCOME_FAILED;
			continue;
		}
		workers[k].started = node->feeding = true;
	}
}

static bool export_needed(const struct sl_load *load)
{
	for (size_t k = 0; k < load->n_nodes; k++)
		if (load->nodes[k].feeding && sl_load_needs_export(load, &load->nodes[k]))
			return true;
	return false;
}

static int run_pass(struct pass *pass, struct sl_error *err)
{
	struct sl_load *load = pass->load;
	if (!export_needed(load))
		return 0;
	if (sl_load_open_exporter(load, err) < 0)
		return -1;
	pass->exporter = load->exporter;
	load->exporter_name = pass->exporter->ops->name;
	return export_blobs(pass, err) < 0 || complete_images(pass, err) < 0 ? -1 : 0;
}

int sl_load_stream(struct sl_load *load, struct sl_error *err)
{
	struct worker *workers = calloc(load->n_nodes, sizeof(*workers));
	if (!workers)
		return sl_error_nomem(err);
	start_workers(load, workers);
	struct pass pass = { .load = load, .started = sl_now() };
	int rc = run_pass(&pass, err);
	const struct sl_feed_item last = { .kind = rc == 0 ? SL_FEED_COMMIT : SL_FEED_ABORT };
	for (size_t k = 0; k < load->n_nodes; k++) {
		struct sl_load_node *node = &load->nodes[k];
		struct sl_error ignored;
		if (!workers[k].started)
			continue;
		if (!node->feeding || (rc == 0 && give(&pass, node, &last, &ignored) < 0) || rc < 0)
			sl_feed_abort(&node->feed);
	}
	for (size_t k = 0; k < load->n_nodes; k++) {
		if (!workers[k].started)
			continue;
		pthread_join(workers[k].thread, NULL);
		load->nodes[k].feeding = false;
	}
	for (size_t k = 0; k < load->n_nodes; k++) {
		if (!workers[k].started)
			continue;
		sl_target_close(load->nodes[k].target, true);
		load->nodes[k].target = NULL;
	}
	free(workers);
	return rc;
}
