/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "cluster/minikube.h"
#include "cluster/provider.h"

/*
 * minikube's clusters that are no containers, from its own files (minikube,
 * pkg/minikube/config, pkg/minikube/localpath): profiles/PROFILE/config.json tells
 * driver and nodes, machines/MACHINE/config.json how ssh reaches one.
 */

#define FILE_MAX ((size_t)4 << 20)

char *sl_minikube_home(void)
{
	const char *dir = getenv("MINIKUBE_HOME");
	char *path = NULL;
	if (dir && *dir) {
		const char *base = strrchr(dir, '/');
		bool whole = !strcmp(base ? base + 1 : dir, ".minikube");
		return asprintf(&path, "%s%s", dir, whole ? "" : "/.minikube") < 0 ? NULL : path;
	}
	dir = getenv("HOME");
	return asprintf(&path, "%s/.minikube", dir ? dir : "") < 0 ? NULL : path;
}

static json_t *read_json(const char *path, struct sl_error *err)
{
	sl_autobuf struct sl_buf text = SL_BUF_INIT;
	text.max = FILE_MAX;
	return sl_file_read(path, &text, err) < 0 ? NULL : sl_json_parse(sl_buf_text(&text), text.len, path, err);
}

char *sl_minikube_agent(const char *profile)
{
	sl_autofree char *dir = sl_minikube_home(), *path = NULL;
	if (!profile || strchr(profile, '/') || !dir || asprintf(&path, "%s/profiles/%s/config.json", dir, profile) < 0) {
		path = NULL;
		return NULL;
	}
	sl_autojson json_t *json = read_json(path, NULL);
	const char *socket = sl_json_str(json, "SSHAuthSock");
	return socket && *socket ? strdup(socket) : NULL;
}

static enum sl_runtime runtime_of(const char *word)
{
	if (!word)
		return SL_RUNTIME_UNKNOWN;
	if (!strcmp(word, "containerd"))
		return SL_RUNTIME_CONTAINERD;
	if (!strcmp(word, "docker"))
		return SL_RUNTIME_DOCKERD;
	return !strcmp(word, "crio") || !strcmp(word, "cri-o") ? SL_RUNTIME_CRIO : SL_RUNTIME_UNKNOWN;
}

/* Which drivers have nodes that are containers, to be found by their labels. */
static bool in_containers(const char *driver)
{
	return !strcmp(driver, "docker") || !strcmp(driver, "podman");
}

static int copy(const char *from, char **to)
{
	return from && *from && !(*to = strdup(from)) ? -1 : 0;
}

/* What the machine's own file and the profile say of ssh. */
static int fill_machine(const char *dir, const char *name, const json_t *profile, const json_t *node,
			struct sl_machine *machine, struct sl_error *err)
{
	sl_autofree char *path = NULL, *key = NULL;
	if (asprintf(&path, "%s/machines/%s/config.json", dir, name) < 0 || asprintf(&key, "%s/machines/%s/id_rsa", dir, name) < 0)
		return sl_error_nomem(err);
	sl_autojson json_t *file = read_json(path, NULL);
	const json_t *driver = json_object_get(file, "Driver");
	bool foreign = !strcmp(sl_json_str(profile, "Driver"), "ssh");
	const char *host = sl_json_str(driver, "IPAddress"), *user = sl_json_str(driver, "SSHUser");
	const char *key_path = sl_json_str(driver, "SSHKeyPath");
	machine->port = (int)sl_json_int(driver, "SSHPort", 0);
	if (foreign) {
		const char *given = sl_json_str(profile, "SSHIPAddress");
		host = given && *given ? given : host;
		given = sl_json_str(profile, "SSHUser");
		user = given && *given ? given : user;
		given = sl_json_str(profile, "SSHKey");
		key_path = given && *given ? given : key_path;
		machine->port = (int)sl_json_int(profile, "SSHPort", machine->port);
	}
	if (!host || !*host)
		host = sl_json_str(node, "IP");
	if (!machine->port)
		machine->port = 22;
	if (copy(host, &machine->host) < 0 || copy(user && *user ? user : "docker", &machine->user) < 0 ||
	    copy(key_path && *key_path ? key_path : key, &machine->key) < 0)
		return sl_error_nomem(err);
	return 0;
}

static int add_node(const char *dir, struct sl_cluster *cluster, const json_t *profile, const json_t *entry, bool single,
		    struct sl_error *err)
{
	const json_t *kubernetes = json_object_get(profile, "KubernetesConfig");
	const char *name = sl_json_str(entry, "Name"), *ip = sl_json_str(entry, "IP"), *driver = sl_json_str(profile, "Driver");
	const char *runtime = sl_json_str(entry, "ContainerRuntime");
	char endpoint[128];
	struct sl_node *node = sl_cluster_add_node(cluster);
	if (!node)
		return sl_error_nomem(err);
	/* a machine is named for the profile, and for the node where there are several */
	if (single || !name || !*name)
		node->name = strdup(cluster->name);
	else if (asprintf(&node->name, "%s-%s", cluster->name, name) < 0)
		node->name = NULL;
	node->state = strdup("running"); /* its files do not tell; the attempt does */
	node->running = true;
	node->control_plane = json_is_true(json_object_get(entry, "ControlPlane"));
	node->runtime = runtime_of(runtime && *runtime ? runtime : sl_json_str(kubernetes, "ContainerRuntime"));
	if (!node->name || !node->state)
		return sl_error_nomem(err);
	snprintf(endpoint, sizeof(endpoint), "%s:%d", ip ? ip : "", (int)sl_json_int(entry, "Port", 8443));
	if (node->control_plane && ip && *ip && sl_strv_add_new(&node->endpoints, endpoint) < 0)
		return sl_error_nomem(err);
	if (!strcmp(driver, "none"))
		return 0; /* this machine itself */
	snprintf(endpoint, sizeof(endpoint), "%s:2376", ip ? ip : "");
	if (node->runtime == SL_RUNTIME_DOCKERD && ip && *ip && sl_strv_add_new(&node->dockers, endpoint) < 0)
		return sl_error_nomem(err);
	node->machine = calloc(1, sizeof(*node->machine));
	return node->machine ? fill_machine(dir, node->name, profile, entry, node->machine, err) : sl_error_nomem(err);
}

static int add_profile(const char *dir, const char *name, struct sl_clusters *clusters, struct sl_error *err)
{
	sl_autofree char *path = NULL;
	if (asprintf(&path, "%s/profiles/%s/config.json", dir, name) < 0) {
		path = NULL;
		return sl_error_nomem(err);
	}
	struct sl_error why = SL_ERROR_INIT;
	sl_autojson json_t *profile = read_json(path, &why);
	if (!profile) {
		if (why.status != SL_NOT_FOUND)
			sl_warn("%s; minikube's profile '%s' is passed over", why.message, name);
		return 0;
	}
	const char *driver = sl_json_str(profile, "Driver");
	const json_t *nodes = json_object_get(profile, "Nodes");
	if (!driver || !json_array_size(nodes) || in_containers(driver))
		return 0;
	struct sl_cluster *cluster = sl_clusters_get(clusters, "minikube", name, NULL);
	if (!cluster)
		return sl_error_nomem(err);
	size_t i;
	json_t *entry;
	json_array_foreach(nodes, i, entry)
		if (add_node(dir, cluster, profile, entry, json_array_size(nodes) == 1, err) < 0)
			return -1;
	return 0;
}

int sl_clusters_in_profiles(struct sl_clusters *clusters, struct sl_error *err)
{
	sl_autofree char *dir = sl_minikube_home(), *profiles = NULL;
	if (!dir || asprintf(&profiles, "%s/profiles", dir) < 0) {
		profiles = NULL;
		return sl_error_nomem(err);
	}
	DIR *list = opendir(profiles);
	if (!list)
		return 0;
	int rc = 0;
	for (struct dirent *entry; rc == 0 && (entry = readdir(list));)
		if (entry->d_name[0] != '.')
			rc = add_profile(dir, entry->d_name, clusters, err);
	closedir(list);
	return rc;
}
