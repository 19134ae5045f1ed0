/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster/target.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "cluster/provider.h"

/* Removing collects garbage, which waits for the node's disk; milliseconds. */
#define REMOVE_LIMIT 120000

static struct sl_target *open_runtime(const struct sl_cluster *cluster, const struct sl_node *node, struct sl_error *err)
{
	enum sl_runtime runtime = node->runtime;
	if (runtime == SL_RUNTIME_UNKNOWN && sl_runtime_ask(cluster, node, &runtime, err) < 0)
		return NULL;
	switch (runtime) {
	case SL_RUNTIME_DOCKERD:
		return sl_target_dockerd(cluster, node, err);
	case SL_RUNTIME_CRIO:
		return sl_target_crio(cluster, node, err);
	default:
		return sl_target_containerd(cluster, node, err);
	}
}

struct sl_target *sl_target_open(const struct sl_cluster *cluster, const struct sl_node *node, struct sl_error *err)
{
	if (!node->running) {
		sl_autobuf struct sl_buf start = SL_BUF_INIT;
		sl_cluster_put_start(&start, cluster, node);
		sl_error_set(err, SL_FAILED, "it is not running (%s); start it: %s", node->state, sl_buf_text(&start));
		return NULL;
	}
	return open_runtime(cluster, node, err);
}

int sl_target_look(struct sl_target *target, const struct sl_image *images, size_t n, struct sl_error *err)
{
	if (target->ops->look(target, images, n, err) < 0)
		return -1;
	target->looked = true;
	sl_info("node '%s': %s, %s, %s%s, %zu layers", target->node->name, target->ops->runtime, target->architecture,
		target->snapshotter, target->discards ? ", discards unpacked layers" : "", target->n_chains);
	return 0;
}

int sl_target_ask_version(struct sl_target *target, struct sl_error *err)
{
	return target->version || !target->ops->version ? 0 : target->ops->version(target, err);
}

int sl_target_start(struct sl_session *session, const struct sl_cluster *cluster, const struct sl_node *node,
		    const char *script, struct sl_error *err)
{
	if (sl_session_token(session, err) < 0)
		return -1;
	const char *ca = node->control_plane ? sl_provider_by_name(cluster->provider)->ca_path : "/dev/null";
	const char *const argv[] = { "sh", "-c", script, "sidelift", session->token, ca, NULL };
	struct sl_remote *remote = sl_cluster_exec(cluster, node, argv, err);
	if (!remote)
		return -1;
	sl_session_attach(session, remote);
	return 0;
}

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

int sl_target_take_machine(struct sl_target *target, char *section, char **pid, struct sl_error *err)
{
	bool dd = false;
	char *save = NULL;
	for (char *line = strtok_r(section, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		char *value = strchr(line, '=');
		if (!value)
			continue;
		*value++ = '\0';
		if (!strcmp(line, "pid") && !*pid)
			*pid = strdup(value);
		else if (!strcmp(line, "arch") && !target->architecture)
			target->architecture = strdup(go_architecture(value));
		else if (!strcmp(line, "dd"))
			dd = true;
	}
	if (!*pid || !target->architecture)
		return sl_error_set(err, SL_FAILED, "it did not answer as a node with %s does", target->ops->runtime);
	if (!dd)
		return sl_error_set(err, SL_FAILED, "its dd is not GNU coreutils', which sidelift needs there");
	return 0;
}

enum sl_presence sl_target_presence(const struct sl_target *target, const struct sl_image *image)
{
	return target->ops->presence(target, image);
}

static int compare(const void *a, const void *b)
{
	return strcmp(((const struct sl_digest *)a)->text, ((const struct sl_digest *)b)->text);
}

bool sl_target_has_chain(const struct sl_target *target, const struct sl_digest *chain_id)
{
	return target->n_chains && bsearch(chain_id, target->chains, target->n_chains, sizeof(*chain_id), compare);
}

/* From a listing of snapshots: lines KEY [PARENT] KIND. */
int sl_target_set_chains(struct sl_target *target, char *listing, struct sl_error *err)
{
	size_t n = 0, size = 0;
	struct sl_digest *chains = NULL;
	char *save = NULL;
	for (char *line = strtok_r(listing, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		struct sl_digest digest;
		size_t key = strcspn(line, " \t");
		if (!strstr(line + key, "Committed"))
			continue;
		line[key] = '\0';
		if (!sl_digest_parse(line, &digest))
			continue;
		if (n == size) {
			size = size ? size * 2 : 64;
			struct sl_digest *bigger = realloc(chains, size * sizeof(*chains));
			if (!bigger) {
				free(chains);
				return sl_error_nomem(err);
			}
			chains = bigger;
		}
		chains[n++] = digest;
	}
	if (n)
		qsort(chains, n, sizeof(*chains), compare);
	free(target->chains);
	target->chains = chains;
	target->n_chains = n;
	return 0;
}

int sl_target_prepare(struct sl_target *target, struct sl_error *err)
{
	return target->ops->prepare(target, err);
}

int sl_target_import_layer(struct sl_target *target, const struct sl_incoming *layer, struct sl_error *err)
{
	const void *data;
	ssize_t n;
	if (target->ops->layer(target, &layer->diff_id, layer->size, err) < 0)
		return -1;
	while ((n = layer->source.read(layer->source.ctx, &data, err)) > 0)
		if (target->ops->data(target, data, (size_t)n, err) < 0)
			return -1;
	target->n_imported += n == 0;
	return (int)n;
}

int sl_target_layer(struct sl_target *target, const struct sl_incoming *layer, struct sl_error *err)
{
	return target->ops->take ? target->ops->take(target, layer, err) : sl_target_import_layer(target, layer, err);
}

int sl_target_commit(struct sl_target *target, const struct sl_image *const *images, size_t n, struct sl_error *err)
{
	return target->ops->commit(target, images, n, err);
}

int sl_target_sideloaded(struct sl_target *target, struct sl_strv *names, struct sl_error *err)
{
	if (!target->ops->sideloaded)
		return 0;
	return target->ops->sideloaded(target, names, err) < 0 ? -1 : 1;
}

struct sl_listed *sl_listed_add(struct sl_listed **list, size_t *n, const char *name, struct sl_error *err)
{
	struct sl_listed *bigger = realloc(*list, (*n + 1) * sizeof(*bigger));
	char *copy = strdup(name);
	if (bigger)
		*list = bigger;
	if (!bigger || !copy) {
		free(copy);
		sl_error_nomem(err);
		return NULL;
	}
	bigger[*n] = (struct sl_listed){ .name = copy };
	return &bigger[(*n)++];
}

void sl_listed_free(struct sl_listed *list, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		free(list[i].name);
		free(list[i].loaded_as);
		free(list[i].loaded_by);
	}
	free(list);
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct sl_listed *)a)->name, ((const struct sl_listed *)b)->name);
}

int sl_target_list(struct sl_target *target, struct sl_listed **list, size_t *n, struct sl_error *err)
{
	*list = NULL;
	*n = 0;
	if (target->ops->list(target, list, n, err) < 0) {
		sl_listed_free(*list, *n);
		*list = NULL;
		*n = 0;
		return -1;
	}
	if (*n)
		qsort(*list, *n, sizeof(**list), by_name);
	return 0;
}

int sl_target_remove(struct sl_target *target, const char *const *names, size_t n, struct sl_error *err)
{
	return n ? target->ops->remove(target, names, n, err) : 0;
}

int sl_target_call_remove(struct sl_session *session, const char *const *names, size_t n, struct sl_error *err)
{
	sl_autostrv struct sl_strv words = SL_STRV_INIT;
	int bad = sl_strv_add(&words, "remove");
	for (size_t i = 0; i < n; i++)
		bad |= sl_strv_add_new(&words, names[i]);
	if (bad)
		return sl_error_nomem(err);
	int code = sl_session_callv(session, REMOVE_LIMIT, (const char *const *)words.items, words.n, err);
	return code > 0 ? sl_session_failed(session, "removing images", code, err) : code;
}

void sl_target_release(struct sl_target *target)
{
	free(target->architecture);
	free(target->version);
	free(target->engine_id);
	free(target->snapshotter);
	free(target->ca);
	free(target->chains);
}

void sl_target_close(struct sl_target *target, bool done)
{
	if (target)
		target->ops->close(target, done);
}
