/* SPDX-License-Identifier: Apache-2.0 */
#include "flow/via.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/yaml.h"
#include "image/reference.h"

/* Which registry, and what an image is called there. */

#define WAYS "--via is registry (the cluster's own), or registry=HOST[:PORT][/PREFIX]"
#define CONFIG_MAP "local-registry-hosting"
#define KEY "localRegistryHosting.v1"

void sl_via_release(struct sl_via *via)
{
	sl_dist_free(via->dist);
	free(via->host);
	free(via->pod_host);
	free(via->prefix);
	free(via->evidence);
	*via = (struct sl_via){ 0 };
}

/* ---- which one ---- */

/* What stands behind "registry="; NULL when @way is no way, "" for the cluster's own. */
static const char *given(const char *way)
{
	if (!strcmp(way, "registry"))
		return "";
	return !strncmp(way, "registry=", 9) && way[9] ? way + 9 : NULL;
}

bool sl_via_asks_cluster(const char *way)
{
	const char *address = given(way);
	return address && !*address;
}

/* Whether names that begin with @host are of a registry at @host, and @prefix (or "") may
 * stand behind it. */
static bool is_host(const char *host, const char *prefix)
{
	sl_autofree char *name = NULL;
	sl_autoref struct sl_reference reference = SL_REFERENCE_INIT;
	int n = asprintf(&name, "%s/%s%sx", host, prefix, *prefix ? "/" : "");
	if (n < 0)
		name = NULL;
	return n >= 0 && !strchr(host, '/') && sl_reference_parse(name, &reference, NULL) == 0 && !strcmp(reference.name, name);
}

/* Take apart [http[s]://]HOST[:PORT][/PREFIX]. */
static int take_address(const char *address, struct sl_via *out, enum sl_dist_scheme *scheme, struct sl_error *err)
{
	const char *at = strstr(address, "://");
	*scheme = !at ? SL_DIST_AUTO : !strncmp(address, "http:", 5) ? SL_DIST_PLAIN : SL_DIST_TLS;
	if (at && strncmp(address, "http://", 7) != 0 && strncmp(address, "https://", 8) != 0)
		return sl_error_set(err, SL_USAGE, "'%s' is no registry's address; " WAYS, address);
	at = at ? at + 3 : address;
	size_t host = strcspn(at, "/"), len = strlen(at);
	while (len > host && at[len - 1] == '/')
		len--;
	out->host = strndup(at, host);
	out->pod_host = strndup(at, host);
	out->prefix = len > host ? strndup(at + host + 1, len - host - 1) : strdup("");
	if (!out->host || !out->pod_host || !out->prefix)
		return sl_error_nomem(err);
	if (is_host(out->host, out->prefix))
		return 0;
	return sl_error_set(err, SL_USAGE, is_host(out->host, "") ?
			    "'%s' is no registry's address: what stands behind the host is no part of an image's name; " WAYS :
			    "'%s' is no registry's address: its host has a dot or a port, or is localhost; " WAYS, address);
}

int sl_via_check(const char *way, struct sl_error *err)
{
	const char *address = given(way);
	struct sl_via via = { 0 };
	enum sl_dist_scheme scheme;
	if (!address)
		return sl_error_set(err, SL_USAGE, WAYS ", not '%s'", way);
	int rc = *address ? take_address(address, &via, &scheme, err) : 0;
	sl_via_release(&via);
	return rc;
}

/* A host that the ConfigMap names; *out stays NULL when it names none. */
static int take_host(const struct sl_yaml_node *map, const char *key, char **out, struct sl_error *err)
{
	const struct sl_yaml_node *node = sl_yaml_get(map, key);
	const char *text = sl_yaml_str(node);
	if (!node || sl_yaml_is_null(node) || (text && !*text))
		return 0;
	if (!text || !is_host(text, ""))
		return sl_error_set(err, SL_FAILED, "ConfigMap kube-public/" CONFIG_MAP ", " KEY ", %s: '%s' is not HOST:PORT; correct it, "
				    "or give the registry: --via registry=HOST:PORT", key, text ? text : "(not a text)");
	*out = strdup(text);
	return *out ? 0 : sl_error_nomem(err);
}

static int take_hosting(const char *text, struct sl_via *out, struct sl_error *err)
{
	sl_autoyaml struct sl_yaml *yaml = sl_yaml_parse(text, strlen(text), "ConfigMap kube-public/" CONFIG_MAP ", " KEY, err);
	const struct sl_yaml_node *map = yaml ? sl_yaml_root(yaml, 0) : NULL;
	if (!yaml || take_host(map, "host", &out->host, err) < 0 || take_host(map, "hostFromContainerRuntime", &out->pod_host, err) < 0)
		return -1;
	if (!out->host) {
		const char *help = sl_yaml_str(sl_yaml_get(map, "help"));
		return sl_error_set(err, SL_FAILED, "ConfigMap kube-public/" CONFIG_MAP ", " KEY ", names no host%s%s%s; give the registry: "
				    "--via registry=HOST:PORT", help ? " (help: " : "", help ? help : "", help ? ")" : "");
	}
	out->prefix = strdup("");
	if (!out->pod_host)
		out->pod_host = strdup(out->host);
	return out->prefix && out->pod_host ? 0 : sl_error_nomem(err);
}

static int ask_cluster(const struct sl_kubectl *kubectl, struct sl_via *out, struct sl_error *err)
{
	const char *const args[] = { "get", "configmap", CONFIG_MAP, "-n", "kube-public", "--ignore-not-found", "-o", "json", NULL };
	sl_autobuf struct sl_buf text = SL_BUF_INIT;
	if (sl_kubectl_run(kubectl, args, NULL, &text, err) < 0)
		return -1;
	const char *context = kubectl->context ? kubectl->context : "";
	if (!text.len)
		return sl_error_set(err, SL_FAILED, "the cluster of context '%s' does not say that it has a registry (ConfigMap " CONFIG_MAP " in "
				    "kube-public, KEP-1755); give one that its nodes pull from: --via registry=HOST:PORT", context);
	sl_autojson json_t *map = sl_json_parse(text.data, text.len, "ConfigMap kube-public/" CONFIG_MAP, err);
	const char *hosting = sl_json_str(json_object_get(map, "data"), KEY);
	if (!map)
		return -1;
	if (!hosting)
		return sl_error_set(err, SL_FAILED, "ConfigMap kube-public/" CONFIG_MAP " has no key " KEY " (KEP-1755); give the registry: "
				    "--via registry=HOST:PORT");
	if (take_hosting(hosting, out, err) < 0)
		return -1;
	if (asprintf(&out->evidence, "ConfigMap kube-public/" CONFIG_MAP " of context '%s'", context) >= 0)
		return 0;
	out->evidence = NULL;
	return sl_error_nomem(err);
}

static int find(const char *way, const struct sl_kubectl *kubectl, struct sl_via *out, enum sl_dist_scheme *scheme, struct sl_error *err)
{
	const char *address = given(way);
	*scheme = SL_DIST_AUTO;
	if (!address)
		return sl_via_check(way, err);
	if (!*address)
		return ask_cluster(kubectl, out, err);
	out->evidence = strdup("--via");
	return out->evidence ? take_address(address, out, scheme, err) : sl_error_nomem(err);
}

int sl_via_open(const char *way, const struct sl_kubectl *kubectl, const struct sl_cancel *cancel, struct sl_via *out, struct sl_error *err)
{
	enum sl_dist_scheme scheme;
	*out = (struct sl_via){ 0 };
	if (find(way, kubectl, out, &scheme, err) == 0 && (out->dist = sl_dist_open(out->host, scheme, cancel, err))) {
		sl_info("registry: %s (%s)%s%s", sl_dist_url(out->dist), out->evidence, strcmp(out->host, out->pod_host) ? ", for pods " : "",
			strcmp(out->host, out->pod_host) ? out->pod_host : "");
		if (sl_dist_ping(out->dist, err) == 0)
			return 0;
	}
	sl_via_release(out);
	return -1;
}

/* ---- names ---- */

void sl_via_image_release(struct sl_via_image *image)
{
	free(image->name);
	free(image->repository);
	free(image->tag);
	free(image->pushed);
	free(image->pod_reference);
	free(image->layers);
	free(image->known);
	free(image->known_diff_ids);
	*image = (struct sl_via_image){ 0 };
}

/* @name without the registry's own @host, if it is called by that. */
static const char *without_host(const char *name, const char *host)
{
	size_t len = strlen(host);
	return !strncmp(name, host, len) && name[len] == '/' ? name + len + 1 : NULL;
}

/* What of a name may stand in a path: a host's letters are small there, and a port has no
 * colon. */
static void make_path(char *path)
{
	for (char *p = path; *p; p++)
		*p = *p == ':' ? '-' : (char)tolower((unsigned char)*p);
}

static int fill_name(const struct sl_via *via, const struct sl_reference *reference, struct sl_via_image *out, struct sl_error *err)
{
	const struct sl_reference bare = { .name = reference->name, .tag = reference->tag };
	const char *own = without_host(reference->name, via->host);
	if (!own)
		own = without_host(reference->name, via->pod_host);
	sl_autofree char *familiar = own ? strdup(own) : sl_reference_familiar(&bare);
	if (!familiar)
		return sl_error_nomem(err);
	if (!own) {
		familiar[strlen(familiar) - strlen(bare.tag) - 1] = '\0'; /* NAME:TAG */
		make_path(familiar);
	}
	out->tag = strdup(bare.tag);
	if (asprintf(&out->repository, "%s%s%s", own ? "" : via->prefix, own || !*via->prefix ? "" : "/", familiar) < 0)
		out->repository = NULL;
	if (!out->tag || !out->repository || asprintf(&out->pushed, "%s/%s:%s", via->host, out->repository, out->tag) < 0) {
		out->pushed = NULL;
		return sl_error_nomem(err);
	}
	return 0;
}

int sl_via_name(const struct sl_via *via, const char *name, struct sl_via_image *out, struct sl_error *err)
{
	sl_autoref struct sl_reference reference = SL_REFERENCE_INIT, check = SL_REFERENCE_INIT;
	*out = (struct sl_via_image){ .bytes_total = -1 };
	if (sl_reference_parse(name, &reference, err) < 0)
		return -1;
	if (reference.digest || !reference.tag)
		return sl_error_set(err, SL_USAGE, "'%s' is named by a digest, which no push can promise; give it a name: docker tag", name);
	out->name = sl_reference_canonical(&reference);
	int rc = out->name ? fill_name(via, &reference, out, err) : sl_error_nomem(err);
	if (rc == 0 && sl_reference_parse(out->pushed, &check, NULL) < 0)
		rc = sl_error_set(err, SL_USAGE, "'%s' cannot be called so in a registry ('%s' is no name); give it another one: docker tag", name, out->pushed);
	if (rc < 0)
		sl_via_image_release(out);
	return rc;
}

int sl_via_look(struct sl_via *via, const char *name, struct sl_via_image *out, struct sl_error *err)
{
	sl_autobuf struct sl_buf text = SL_BUF_INIT;
	if (sl_via_name(via, name, out, err) < 0)
		return -1;
	int rc = sl_dist_get_manifest(via->dist, out->repository, out->tag, &text, &out->digest, err);
	if (rc == 0)
		rc = sl_error_set(err, SL_NOT_FOUND, "the registry at %s has no '%s:%s'; push it: sidelift load --via registry", sl_dist_url(via->dist),
				  out->repository, out->tag);
	if (rc > 0 && asprintf(&out->pod_reference, "%s/%s:%s@%s", via->pod_host, out->repository, out->tag, out->digest.text) < 0) {
		out->pod_reference = NULL;
		rc = sl_error_nomem(err);
	}
	if (rc < 0)
		sl_via_image_release(out);
	return rc < 0 ? -1 : 0;
}

int sl_via_references(struct sl_via *via, const struct sl_strv *names, bool all, struct sl_strv *images, struct sl_strv *becomes,
		      struct sl_error *err)
{
	for (size_t i = 0; i < names->n; i++) {
		struct sl_via_image image;
		struct sl_error why = SL_ERROR_INIT;
		if (!all && strchr(names->items[i], '@'))
			continue;
		if (sl_via_look(via, names->items[i], &image, &why) < 0) {
			if (!all && why.status == SL_NOT_FOUND) {
				sl_info("%s; it is left as it is", why.message);
				continue;
			}
			if (err)
				*err = why;
			return -1;
		}
		int bad = sl_strv_add(images, image.name) | sl_strv_add(becomes, image.pod_reference);
		sl_via_image_release(&image);
		if (bad)
			return sl_error_nomem(err);
	}
	return 0;
}
