/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_MANIFEST_LINT_H
#define SL_MANIFEST_LINT_H

/*
 * What is wrong with a manifest on a local cluster, or unwise: policies that pull or
 * fail, images that are not where the pod may go, and the usual advice (limits,
 * probes, tokens).  What the nodes hold is asked of the caller.
 */

#include "base/buf.h"
#include "manifest/pods.h"

enum sl_lint_rule {
	SL_LINT_WOULD_CHANGE, /* a chosen image whose policy is not that of the rules */
	SL_LINT_PULLS_LATEST, /* no tag, or latest, and a policy that pulls */
	SL_LINT_ABSENT,       /* no node has it */
	SL_LINT_FAILS,        /* the policy, or the name, will fail */
	SL_LINT_ONLY_SOME,    /* a local image, which only some of the nodes have where the pod may go */
	SL_LINT_AMBIGUOUS,    /* a name that stands for several contents */
	SL_LINT_NO_LIMITS,
	SL_LINT_NO_PROBE,
	SL_LINT_TOKEN,        /* of the default ServiceAccount, mounted */
};

struct sl_finding {
	unsigned line, column;
	enum sl_lint_rule rule;
	char *message; /* lower case, one line */
};

struct sl_findings {
	struct sl_finding *items; /* by place */
	size_t n, size;
};

#define SL_FINDINGS_INIT { NULL, 0, 0 }

void sl_findings_release(struct sl_findings *findings);
#define sl_autofindings SL_CLEANUP(sl_findings_release)

/* What a cluster has under a name, for one pod. */
struct sl_lint_image {
	bool held;      /* by a node, any */
	bool in_engine; /* of the images */
	struct sl_buf lacking;  /* "'a', 'b'": nodes where the pod may run that do not have it */
	struct sl_buf contents; /* "3b3c… on 'a', 9f20… on 'b'": when it stands for several; else empty */
};

struct sl_lint_cluster {
	void *ctx;
	/* @image is canonical; @out is zero, and the caller releases its buffers. */
	int (*ask)(void *ctx, const char *image, const struct sl_pod *pod, struct sl_lint_image *out, struct sl_error *err);
};

/* Append what is to be said of @text (named @name in errors).  @rules choose the images
 * that are local and what their policy ought to be; @cluster is NULL when nothing is
 * known of one. */
int sl_lint_text(const char *name, const char *text, size_t len, const struct sl_rewrite_rules *rules, const struct sl_lint_cluster *cluster,
		 struct sl_findings *findings, struct sl_error *err) SL_MUST_CHECK;

/* "no-limits": a word for the rule, static. */
const char *sl_lint_word(enum sl_lint_rule rule);

#endif
