/* SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/guest.h"
#include "base/log.h"
#include "flow/load.h"
#include "flow/place.h"
#include "flow/result.h"
#include "image/reference.h"
#include "manifest/rewrite.h"

/* The public functions (include/sidelift.h), but for the two about errors
 * (base/error.c).  Each enters as a guest, and has an error of its own, for within the
 * library there is always one. */

struct sidelift {
	struct sl_cancel cancel;
	struct sl_engine engine;
	struct sl_cluster cluster;
	struct sl_place place;
	const char *exporter;
	enum sl_importer importer;
	struct sl_strv kept, nodes; /* copies of the options */
	struct sidelift_cluster found;
	struct sl_error no_engine;
	const char **found_nodes;
};

const char *sidelift_version(void)
{
	return SIDELIFT_VERSION;
}

void sidelift_set_log(enum sl_log_level level, void (*log)(enum sl_log_level level, const char *line, void *ctx), void *ctx)
{
	sl_log_set(log, level, ctx);
}

/* The end of a public function: 0, or -1 with what the caller is told. */
static int leave(const struct sl_guest *guest, int rc, const struct sl_error *why, struct sl_error *err)
{
	sl_guest_leave(guest);
	if (rc < 0 && err)
		*err = *why;
	return rc < 0 ? -1 : 0;
}

/* ---- open ---- */

static pthread_once_t once = PTHREAD_ONCE_INIT;
static struct sl_error no_curl;

static void init_curl(void)
{
	(void)!sl_http_init(&no_curl);
}

/* The options as this version has them, from a caller that may be older or newer. */
static int take_options(const struct sidelift_options *given, struct sidelift_options *options, struct sl_error *err)
{
	*options = (struct sidelift_options){ .size = sizeof(*options) };
	if (!given)
		return 0;
	if (given->size < sizeof(given->size))
		return sl_error_set(err, SL_USAGE, "the options do not say their size; set it: sizeof(struct sidelift_options)");
	for (size_t i = sizeof(*options); i < given->size; i++)
		if (((const char *)given)[i])
			return sl_error_set(err, SL_USAGE, "the options are of a newer sidelift than this library, which is " SIDELIFT_VERSION);
	memcpy(options, given, given->size < sizeof(*options) ? given->size : sizeof(*options));
	return 0;
}

static int keep(struct sidelift *s, const char **text, struct sl_error *err)
{
	if (!*text)
		return 0;
	if (sl_strv_add(&s->kept, *text) < 0)
		return sl_error_nomem(err);
	*text = s->kept.items[s->kept.n - 1];
	return 0;
}

static int apply_options(struct sidelift *s, const struct sidelift_options *given, struct sl_error *err)
{
	struct sl_place_options *options = &s->place.options;
	*options = (struct sl_place_options){
		.docker_host = given->docker_host,
		.docker_context = given->docker_context,
		.node_engine = given->node_engine,
		.kubeconfig = given->kubeconfig,
		.kube_context = given->kube_context,
		.cluster = given->cluster,
		.nodes = &s->nodes,
	};
	s->exporter = given->exporter;
	if (given->docker_host && given->docker_context)
		return sl_error_set(err, SL_USAGE, "docker_host and docker_context exclude each other");
	if (given->exporter && !sl_load_is_exporter(given->exporter))
		return sl_error_set(err, SL_USAGE, "exporter is store, registry or save, not '%s'", given->exporter);
	if (given->importer && sl_load_importer(given->importer, &s->importer) < 0)
		return sl_error_set(err, SL_USAGE, "importer is direct, import or auto, not '%s'", given->importer);
	for (size_t i = 0; given->nodes && given->nodes[i]; i++)
		if (sl_strv_add(&s->nodes, given->nodes[i]) < 0)
			return sl_error_nomem(err);
	const char **texts[] = { &options->docker_host, &options->docker_context, &options->node_engine, &options->kubeconfig,
				 &options->kube_context, &options->cluster, &s->exporter };
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		if (keep(s, texts[i], err) < 0)
			return -1;
	return 0;
}

static int open_with(struct sidelift *s, const struct sidelift_options *given, struct sl_error *err)
{
	struct sidelift_options options;
	s->cancel = (struct sl_cancel)SL_CANCEL_INIT;
	s->place.cancel = &s->cancel;
	s->place.engine = &s->engine;
	s->place.cluster = &s->cluster;
	pthread_once(&once, init_curl);
	if (no_curl.status != SL_OK) {
		*err = no_curl;
		return -1;
	}
	if (take_options(given, &options, err) < 0 || apply_options(s, &options, err) < 0)
		return -1;
	return sl_cancel_init(&s->cancel, err);
}

struct sidelift *sidelift_open(const struct sidelift_options *options, struct sl_error *err)
{
	struct sl_guest guest;
	struct sl_error why = SL_ERROR_INIT;
	sl_guest_enter(&guest);
	struct sidelift *s = calloc(1, sizeof(*s));
	int rc = s ? open_with(s, options, &why) : sl_error_nomem(&why);
	if (rc < 0) {
		sidelift_close(s);
		s = NULL;
	}
	leave(&guest, rc, &why, err);
	return s;
}

void sidelift_close(struct sidelift *s)
{
	struct sl_guest guest;
	if (!s)
		return;
	sl_guest_enter(&guest);
	sl_place_release(&s->place);
	sl_cancel_release(&s->cancel);
	sl_strv_release(&s->kept);
	sl_strv_release(&s->nodes);
	free(s->found_nodes);
	free(s);
	sl_guest_leave(&guest);
}

/* ---- find ---- */

static int fill_found(struct sidelift *s, struct sl_error *err)
{
	const struct sl_cluster *cluster = &s->cluster;
	size_t n = 0;
	free(s->found_nodes);
	s->found_nodes = calloc(cluster->n_nodes + 1, sizeof(*s->found_nodes));
	if (!s->found_nodes)
		return sl_error_nomem(err);
	for (size_t i = 0; i < cluster->n_nodes; i++)
		if (cluster->nodes[i].chosen)
			s->found_nodes[n++] = cluster->nodes[i].name;
	bool engine = s->engine.version != NULL;
	s->found = (struct sidelift_cluster){
		.provider = cluster->provider,
		.name = cluster->name,
		.evidence = cluster->evidence,
		.kube_context = cluster->context,
		.shared = cluster->shared,
		.nodes = s->found_nodes,
		.engine_url = engine ? s->engine.endpoint.url : NULL,
		.engine_error = engine ? NULL : s->no_engine.message,
	};
	return 0;
}

const struct sidelift_cluster *sidelift_find(struct sidelift *s, struct sl_error *err)
{
	struct sl_guest guest;
	struct sl_error why = SL_ERROR_INIT;
	sl_guest_enter(&guest);
	(void)!sl_place_engine(&s->place, &s->no_engine);
	int rc = sl_place_cluster(&s->place, &why);
	if (sl_cancelled(&s->cancel))
		rc = sl_error_set(&why, SL_INTERRUPTED, "interrupted");
	if (rc == 0)
		rc = fill_found(s, &why);
	return leave(&guest, rc, &why, err) < 0 ? NULL : &s->found;
}

/* ---- load ---- */

static int prepare(struct sidelift *s, struct sl_load *load, const struct sl_strv *references, struct sl_error *err)
{
	load->cancel = &s->cancel;
	load->exporter_wanted = s->exporter;
	load->importer = s->importer;
	load->exports = true;
	if (!load->archive) {
		if (sl_place_engine(&s->place, err) < 0)
			return -1;
		load->engine = &s->engine;
	}
	if (sl_place_cluster(&s->place, err) < 0)
		return -1;
	load->cluster = &s->cluster;
	if (sl_load_begin(load, err) < 0)
		return -1;
	if ((load->archive ? sl_load_archive(load, err) : sl_load_images(load, references, err)) == 0)
		return 0;
	sl_load_leave_nodes(load);
	return -1;
}

static int load_all(struct sidelift *s, struct sl_load *load, const struct sl_strv *references, struct sl_error *err)
{
	if (prepare(s, load, references, err) < 0)
		return -1;
	int shared = sl_load_is_shared(load, err);
	if (shared)
		return shared < 0 ? -1 : 0;
	if (sl_load_open(load, err) < 0 || sl_load_plan(load, err) < 0)
		return -1;
	return sl_load_run(load, err);
}

static int load_as_guest(struct sidelift *s, struct sl_load *load, const struct sl_strv *references, struct sidelift_result **result,
			 struct sl_error *err)
{
	int rc = load_all(s, load, references, err);
	if (rc < 0 && sl_cancelled(&s->cancel))
		sl_error_set(err, SL_INTERRUPTED, "interrupted; what was half done is taken back");
	if (result && (load->n_images || load->n_nodes)) {
		*result = sl_result_of(load);
		if (!*result && rc == 0)
			rc = sl_error_nomem(err);
	}
	sl_load_release(load);
	return rc;
}

int sidelift_load(struct sidelift *s, const char *const *names, size_t n, struct sidelift_result **result, struct sl_error *err)
{
	struct sl_guest guest;
	struct sl_error why = SL_ERROR_INIT;
	sl_autostrv struct sl_strv references = SL_STRV_INIT;
	struct sl_load load = { 0 };
	int rc = n ? 0 : sl_error_set(&why, SL_USAGE, "no image; name one");
	if (result)
		*result = NULL;
	sl_guest_enter(&guest);
	for (size_t i = 0; rc == 0 && i < n; i++)
		rc = sl_strv_add_new(&references, names[i]) < 0 ? sl_error_nomem(&why) : 0;
	if (rc == 0)
		rc = load_as_guest(s, &load, &references, result, &why);
	return leave(&guest, rc, &why, err);
}

int sidelift_load_archive(struct sidelift *s, const char *path, struct sidelift_result **result, struct sl_error *err)
{
	struct sl_guest guest;
	struct sl_error why = SL_ERROR_INIT;
	struct sl_load load = { .archive = path };
	if (result)
		*result = NULL;
	sl_guest_enter(&guest);
	int rc = load_as_guest(s, &load, NULL, result, &why);
	return leave(&guest, rc, &why, err);
}

void sidelift_cancel(struct sidelift *s, int signo)
{
	sl_cancel_fire(&s->cancel, signo ? signo : SIGINT);
}

int sidelift_cancelled(const struct sidelift *s)
{
	return s->cancel.reason;
}

/* ---- manifests ---- */

static int rewrite(const char *name, const char *text, size_t len, const struct sl_rewrite_rules *rules, char **out, size_t *out_len,
		   struct sl_error *err)
{
	sl_autorewrite struct sl_rewrite result = SL_REWRITE_INIT;
	if (!sl_policy_exists(rules->policy))
		return sl_error_set(err, SL_USAGE, "the policy is Never, IfNotPresent or Always, not '%s'", rules->policy);
	if (sl_rewrite_text(name, text, len, rules, &result, err) < 0)
		return -1;
	*out_len = result.text.len;
	*out = result.text.len ? sl_buf_steal(&result.text) : strdup("");
	return *out ? 0 : sl_error_nomem(err);
}

int sidelift_rewrite(const char *name, const char *text, size_t len, const char *const *images, size_t n, const char *policy,
		     char **out, size_t *out_len, struct sl_error *err)
{
	struct sl_guest guest;
	struct sl_error why = SL_ERROR_INIT;
	sl_autostrv struct sl_strv canonical = SL_STRV_INIT;
	const struct sl_rewrite_rules rules = { .images = &canonical, .policy = policy ? policy : "Never" };
	int rc = 0;
	sl_guest_enter(&guest);
	for (size_t i = 0; rc == 0 && i < n; i++)
		rc = sl_reference_add(&canonical, images[i], &why);
	if (rc == 0)
		rc = rewrite(name, text, len, &rules, out, out_len, &why);
	return leave(&guest, rc, &why, err);
}
