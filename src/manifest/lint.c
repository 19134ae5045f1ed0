/* SPDX-License-Identifier: Apache-2.0 */
#include "manifest/lint.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "image/reference.h"
#include "manifest/locate.h"

struct linter {
	const struct sl_rewrite_rules *rules;
	const struct sl_lint_cluster *cluster;
	struct sl_findings *findings;
	const struct sl_pod *pod;
};

const char *sl_lint_word(enum sl_lint_rule rule)
{
	static const char *const words[] = {
		[SL_LINT_WOULD_CHANGE] = "would-change", [SL_LINT_PULLS_LATEST] = "pulls-latest", [SL_LINT_ABSENT] = "absent",
		[SL_LINT_FAILS] = "fails", [SL_LINT_ONLY_SOME] = "only-some-nodes", [SL_LINT_AMBIGUOUS] = "ambiguous",
		[SL_LINT_NO_LIMITS] = "no-limits", [SL_LINT_NO_PROBE] = "no-probe", [SL_LINT_TOKEN] = "token",
	};
	return words[rule];
}

void sl_findings_release(struct sl_findings *findings)
{
	for (size_t i = 0; i < findings->n; i++)
		free(findings->items[i].message);
	free(findings->items);
	*findings = (struct sl_findings)SL_FINDINGS_INIT;
}

static int report(const struct linter *linter, const struct sl_yaml_node *at, enum sl_lint_rule rule, struct sl_error *err,
		  const char *format, ...) SL_PRINTF(5, 6);

static int report(const struct linter *linter, const struct sl_yaml_node *at, enum sl_lint_rule rule, struct sl_error *err,
		  const char *format, ...)
{
	struct sl_findings *found = linter->findings;
	char *message;
	va_list args;
	if (found->n == found->size) {
		size_t size = found->size ? found->size * 2 : 16;
		struct sl_finding *items = realloc(found->items, size * sizeof(*items));
		if (!items)
			return sl_error_nomem(err);
		found->items = items;
		found->size = size;
	}
	va_start(args, format);
	int len = vasprintf(&message, format, args);
	va_end(args);
	if (len < 0)
		return sl_error_nomem(err);
	sl_sanitise(message);
	found->items[found->n++] = (struct sl_finding){ at->line, at->column, rule, message };
	return 0;
}

/* ---- a container's image and policy ---- */

struct subject {
	const struct sl_yaml_node *image, *policy; /* policy: NULL when it is not there */
	const char *text;      /* the image, as written */
	const char *canonical;
	bool latest;           /* no tag, or that one */
	const char *effective; /* the policy that counts */
};

/* pkg/apis/core/v1/defaults.go, SetDefaults_Container: the tag decides. */
static const char *default_policy(const struct sl_reference *ref)
{
	return ref->tag && !strcmp(ref->tag, "latest") ? "Always" : "IfNotPresent";
}

static int check_chosen(const struct linter *linter, const struct subject *it, struct sl_error *err)
{
	const char *wanted = linter->rules->policy;
	const struct sl_yaml_node *at = it->policy ? it->policy : it->image;
	if (!strcmp(it->effective, wanted))
		return 0;
	if (!strcmp(it->effective, "Always"))
		return report(linter, at, SL_LINT_WOULD_CHANGE, err, "'%s' is local, and imagePullPolicy Always%s pulls it; sidelift rewrite makes it %s",
			      it->text, it->policy ? "" : ", the default where the tag is latest or none,", wanted);
	return report(linter, at, SL_LINT_WOULD_CHANGE, err, "'%s' is local, and its imagePullPolicy is %s%s; sidelift rewrite makes it %s", it->text,
		      it->effective, it->policy ? "" : " by default", wanted);
}

static int check_absent(const struct linter *linter, const struct subject *it, const struct sl_lint_image *image, struct sl_error *err)
{
	if (!strcmp(it->effective, "Never"))
		return report(linter, it->image, SL_LINT_FAILS, err, "no node has '%s', and imagePullPolicy Never fetches nothing (ErrImageNeverPull); %ssidelift load %s",
			      it->text, image->in_engine ? "" : "build it, and ", it->text);
	return report(linter, it->image, SL_LINT_ABSENT, err, "no node has '%s'; the kubelet will pull it%s%s", it->text,
		      image->in_engine ? ", unless you sidelift load " : "", image->in_engine ? it->text : "");
}

static int check_nodes(const struct linter *linter, const struct subject *it, bool chosen, struct sl_error *err)
{
	sl_autobuf struct sl_buf lacking = SL_BUF_INIT;
	sl_autobuf struct sl_buf contents = SL_BUF_INIT;
	struct sl_lint_image image = { .held = false };
	int rc = linter->cluster->ask(linter->cluster->ctx, it->canonical, linter->pod, &image, err);
	lacking = image.lacking;
	contents = image.contents;
	if (rc < 0)
		return -1;
	if (!image.held)
		return check_absent(linter, it, &image, err);
	if (lacking.len && (chosen || !strcmp(it->effective, "Never")) &&
	    report(linter, it->image, SL_LINT_ONLY_SOME, err, "'%s' is not on %s, where the pod may go%s; sidelift load %s", it->text,
		   sl_buf_text(&lacking), strcmp(it->effective, "Never") ? "" : " and then fails (ErrImageNeverPull)", it->text) < 0)
		return -1;
	if (contents.len)
		return report(linter, it->image, SL_LINT_AMBIGUOUS, err, "'%s' stands for different contents: %s; sidelift load %s", it->text,
			      sl_buf_text(&contents), it->text);
	return 0;
}

static int check_policy(const struct linter *linter, const struct subject *it, struct sl_error *err)
{
	bool chosen = sl_strv_has(linter->rules->images, it->canonical);
	if (!sl_policy_exists(it->effective))
		return report(linter, it->policy, SL_LINT_FAILS, err, "imagePullPolicy '%s' is refused by Kubernetes; it is Never, IfNotPresent or Always",
			      it->effective);
	if (chosen && check_chosen(linter, it, err) < 0)
		return -1;
	if (!chosen && it->latest && !strcmp(it->effective, "Always") &&
	    report(linter, it->policy ? it->policy : it->image, SL_LINT_PULLS_LATEST, err,
		   "'%s' has %s, and imagePullPolicy Always%s pulls whatever is newest at each start; give it a tag of its own", it->text,
		   strstr(it->text, ":latest") ? "the tag latest" : "no tag", it->policy ? "" : ", the default then,") < 0)
		return -1;
	return linter->cluster ? check_nodes(linter, it, chosen, err) : 0;
}

static int check_image(const struct linter *linter, const struct sl_yaml_node *map, const struct sl_yaml_node *image, struct sl_error *err)
{
	sl_autoref struct sl_reference ref = SL_REFERENCE_INIT;
	struct sl_error why = SL_ERROR_INIT;
	if (sl_reference_parse(sl_yaml_str(image), &ref, &why) < 0)
		return report(linter, image, SL_LINT_FAILS, err, "%s (InvalidImageName)", why.message);
	sl_autofree char *canonical = sl_reference_canonical(&ref);
	if (!canonical)
		return sl_error_nomem(err);
	struct subject it = { .image = image, .text = sl_yaml_str(image), .canonical = canonical };
	const struct sl_yaml_node *policy = sl_yaml_get(map, SL_POLICY_KEY);
	const char *text = sl_yaml_str(policy);
	it.latest = ref.tag && !strcmp(ref.tag, "latest");
	it.policy = text && *text ? policy : NULL;
	it.effective = it.policy ? text : default_policy(&ref);
	return check_policy(linter, &it, err);
}

/* ---- the usual advice ---- */

static bool has_limits(const struct sl_yaml_node *map)
{
	return sl_yaml_len(sl_yaml_get(sl_yaml_get(map, "resources"), "limits")) > 0;
}

static bool is_long_running(const struct sl_pod *pod)
{
	const struct sl_yaml_node *kind = sl_yaml_get(pod->object, "kind"), *restart = sl_yaml_get(pod->spec, "restartPolicy");
	return !sl_yaml_is(kind, "Job") && !sl_yaml_is(kind, "CronJob") && (!restart || sl_yaml_is(restart, "Always"));
}

static const char *name_of(const struct sl_yaml_node *map)
{
	const char *name = sl_yaml_str(sl_yaml_get(map, "name"));
	return name ? name : "";
}

static int advise_container(const struct linter *linter, const struct sl_yaml_node *map, bool main, struct sl_error *err)
{
	if (!has_limits(map) && !has_limits(linter->pod->spec) &&
	    report(linter, map, SL_LINT_NO_LIMITS, err, "container '%s' has no resource limits: it may take all that the node has", name_of(map)) < 0)
		return -1;
	if (main && is_long_running(linter->pod) && !sl_yaml_get(map, "readinessProbe") && !sl_yaml_get(map, "livenessProbe") &&
	    !sl_yaml_get(map, "startupProbe"))
		return report(linter, map, SL_LINT_NO_PROBE, err, "container '%s' has no probe: it counts as ready the moment it starts", name_of(map));
	return 0;
}

static int advise_pod(const struct linter *linter, struct sl_error *err)
{
	const struct sl_yaml_node *spec = linter->pod->spec, *mounts = sl_yaml_get(spec, "automountServiceAccountToken");
	const struct sl_yaml_node *account = sl_yaml_get(spec, "serviceAccountName");
	if (!account)
		account = sl_yaml_get(spec, "serviceAccount");
	const char *name = sl_yaml_str(account);
	if ((name && *name && strcmp(name, "default") != 0) || (mounts && sl_yaml_is(mounts, "false")))
		return 0;
	return report(linter, spec, SL_LINT_TOKEN, err, "the default ServiceAccount's token is mounted into this pod; set automountServiceAccountToken: false, "
		      "or a ServiceAccount of its own");
}

/* ---- a text ---- */

static int check_pod(const struct linter *linter, struct sl_error *err)
{
	const struct sl_pod *pod = linter->pod;
	for (const char *const *list = sl_manifest_container_lists; *list; list++) {
		const struct sl_yaml_node *containers = sl_yaml_get(pod->spec, *list);
		bool main = !strcmp(*list, "containers"), ephemeral = !strcmp(*list, "ephemeralContainers");
		for (size_t i = 0; i < sl_yaml_len(containers); i++) {
			const struct sl_yaml_node *map = sl_yaml_at(containers, i), *image = sl_manifest_image(map);
			if (image && check_image(linter, map, image, err) < 0)
				return -1;
			/* what is no object by itself is part of one, and the rest of it elsewhere */
			if (image && pod->object && !ephemeral && advise_container(linter, map, main, err) < 0)
				return -1;
		}
	}
	return pod->object ? advise_pod(linter, err) : 0;
}

static int by_place(const void *left, const void *right)
{
	const struct sl_finding *a = left, *b = right;
	if (a->line != b->line)
		return a->line < b->line ? -1 : 1;
	if (a->column != b->column)
		return a->column < b->column ? -1 : 1;
	return a->rule != b->rule ? (int)a->rule - (int)b->rule : strcmp(a->message, b->message);
}

/* Containers that pods share, by an alias, are found with each. */
static void drop_repeated(struct sl_findings *findings)
{
	size_t n = 0;
	for (size_t i = 0; i < findings->n; i++) {
		if (n && !by_place(&findings->items[n - 1], &findings->items[i]))
			free(findings->items[i].message);
		else
			findings->items[n++] = findings->items[i];
	}
	findings->n = n;
}

int sl_lint_text(const char *name, const char *text, size_t len, const struct sl_rewrite_rules *rules, const struct sl_lint_cluster *cluster,
		 struct sl_findings *findings, struct sl_error *err)
{
	sl_autoyaml struct sl_yaml *yaml = sl_yaml_parse(text, len, name, err);
	sl_autopods struct sl_pods pods = SL_PODS_INIT;
	if (!yaml || sl_manifest_pods(yaml, &pods, err) < 0)
		return -1;
	for (size_t i = 0; i < pods.n; i++) {
		const struct linter linter = { rules, cluster, findings, &pods.items[i] };
		if (check_pod(&linter, err) < 0)
			return -1;
	}
	if (findings->n)
		qsort(findings->items, findings->n, sizeof(findings->items[0]), by_place);
	drop_repeated(findings);
	return 0;
}
