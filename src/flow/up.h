/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_FLOW_UP_H
#define SL_FLOW_UP_H

/*
 * From sources to the new code running:
 *
 *	sl_up_read()     the manifests, as kubectl understands them
 *	sl_up_build()    the images, by the user's own builder
 *	sl_load_…()      up->load, with sl_up_images() for what is to be loaded
 *	sl_up_mark()     the policy, and in each pod template which images it is for
 *	sl_up_live()     what the cluster has; may go beside the load
 *	sl_up_compare()  what in the cluster cannot be changed but by replacing it
 *	sl_up_apply()
 *	sl_up_wait()     until the new pods run, or say why they do not
 *
 * The user's files stay as they are.  The mark is an annotation of the pod template
 * with the config digest of each loaded image: a rollout happens exactly when the
 * content changed, under the same tag throughout.
 */

#include "flow/kubectl.h"
#include "flow/load.h"
#include "flow/sources.h"

struct sl_up_changes;

#define SL_UP_MARK "sidelift.dev/images" /* "docker.io/library/app:dev=sha256:…,…" */

#define SL_UP_PATIENCE 120000 /* for a rollout, unless the user says otherwise; milliseconds */

struct sl_up_build {
	char *image;   /* canonical */
	char *given;   /* as it was written */
	char *dir;     /* of the Dockerfile, or NULL */
	char *command; /* for sh, or NULL */
	bool needless; /* what it is built from has not changed: up --watch */
	bool done;
	double seconds;
};

enum sl_up_state {
	SL_UP_PENDING,
	SL_UP_READY,
	SL_UP_LEFT,   /* applied, and not waited for: `note` says why */
	SL_UP_FAILED,
};

/* Something that runs pods. */
struct sl_up_workload {
	const char *kind, *name, *namespace; /* borrowed from its object */
	const char *mark_name; /* an annotation that its new pods have: SL_UP_MARK, or what a restart sets */
	const char *mark;    /* its value; NULL: none of its images was loaded */
	const json_t *object; /* borrowed */
	enum sl_up_state state;
	bool replaced;
	const char *note;    /* static, or words; or NULL */
	char words[160];
	size_t n_old;        /* its pods that are not new, when last looked at */
	json_t *pods;        /* its new ones, when last looked at; or NULL */
	struct sl_remote *watcher; /* kubectl rollout status; while waiting */
	bool rolled_out;     /* so it says; the pods have yet to last */
	unsigned trouble;    /* looks in a row that found a pod in trouble */
};

struct sl_up {
	struct sl_kubectl kubectl;
	struct sl_sources sources;
	const char *builder;           /* docker or podman */
	const struct sl_strv *builder_globals; /* its own options, before `build` */
	const struct sl_strv *build_options;   /* behind it */
	struct sl_up_build *builds;
	size_t n_builds;
	const char *policy;            /* for images that are loaded */
	bool replace, server_side, quiet_build;
	int64_t patience_ms;           /* for the rollout */
	/* told what a workload's rollout waits for, when that changes; may be NULL */
	void (*tell)(void *ctx, const struct sl_up_workload *workload, const char *line);
	void *tell_ctx;
	struct sl_up_changes *changes; /* that end building and waiting (flow/up_changes.h); borrowed, or NULL */
	/* with @changes: what the manifests were when they were read last, which takes kubectl
	 * a while; `reread` when they are something else now */
	json_t *read_objects;
	struct sl_strv read_images;
	bool reread;
	/* worked out */
	struct sl_strv images, missing; /* that the manifests name; of them, those that the engine lacks */
	json_t *objects;
	struct sl_load load;
	struct sl_strv pushed, references; /* by a registry: images, and what pods are to name each of them by */
	struct sl_up_workload *workloads;
	size_t n_workloads;
	struct sl_strv applied;        /* kubectl's lines: "deployment.apps/web configured" */
	bool unchanged;                /* all of them say so */
	int64_t running_at;            /* when the last rollout was over (base/cancel.h); 0: none was waited for */
	struct sl_buf words;           /* what the pods say, when it failed; lines */
};

void sl_up_release(struct sl_up *up);

/* Forget what was worked out, for another time. */
void sl_up_reset(struct sl_up *up);

/* Read and understand the manifests, unless they are known; up->images are those that they name and those
 * that are built. */
int sl_up_read(struct sl_up *up, struct sl_error *err) SL_MUST_CHECK;

/* Run the builds, one after the other, but for needless ones.  SL_INTERRUPTED, also
 * when up->changes says so; the same in sl_up_wait(). */
int sl_up_build(struct sl_up *up, struct sl_error *err) SL_MUST_CHECK;

/* Have up->load know the images that the engine has; SL_FAILED when one that was
 * built is not there. */
int sl_up_images(struct sl_up *up, struct sl_error *err) SL_MUST_CHECK;

/* By a registry: what pods are to call @image (borrowed); NULL: what they call it already. */
const char *sl_up_pushed_as(const struct sl_up *up, const struct sl_image *image);

/* Policy, mark, and the names of what was pushed, in up->objects. */
int sl_up_mark(struct sl_up *up, struct sl_error *err) SL_MUST_CHECK;

/* The workloads as the cluster has them now, for the next step.  Only reads @up's manifests, so
 * that it may be done while a load runs.  The caller decrefs; NULL on failure. */
json_t *sl_up_live(const struct sl_up *up, struct sl_error *err) SL_MUST_CHECK;

/* Find workloads whose pods cannot be changed in place (Pod, Job) and that run
 * another content: with up->replace they are deleted, otherwise SL_FAILED names
 * them.  And which the cluster does not roll out by itself. */
int sl_up_compare(struct sl_up *up, const json_t *live, struct sl_error *err) SL_MUST_CHECK;

/* Apply; with @dry_run the server only says what it would do. */
int sl_up_apply(struct sl_up *up, bool dry_run, struct sl_error *err) SL_MUST_CHECK;

/* Wait until all workloads run what was applied.  On failure up->words has what the
 * pods say. */
int sl_up_wait(struct sl_up *up, struct sl_error *err) SL_MUST_CHECK;

/* Or, without manifests: restart @workloads ("deployment/web"), which then are
 * up->workloads, for sl_up_wait(). */
int sl_up_restart(struct sl_up *up, const struct sl_strv *workloads, struct sl_error *err) SL_MUST_CHECK;

/* For the parts.  Set up->workloads to what runs pods among up->objects. */
int sl_up_find_workloads(struct sl_up *up, struct sl_error *err) SL_MUST_CHECK;

/* The annotations of the pods that @object makes, or is; borrowed, may be NULL. */
const json_t *sl_up_pod_annotations(const json_t *object);

/* Whether it makes pods and does not replace them: a ReplicaSet or ReplicationController. */
bool sl_up_keeps_pods(const struct sl_up_workload *workload);
#define SL_UP_KEEPS_PODS "it does not replace its pods; each changes when you delete it"

/*  The pods of @workload that have its mark, new; NULL on failure.  The others are
 * counted. */
json_t *sl_up_pods(const struct sl_up *up, struct sl_up_workload *workload, struct sl_error *err) SL_MUST_CHECK;

/* Whether @pod is in a trouble that does not pass by itself; its reason (borrowed
 * from @pod) and the container (may be NULL). */
const char *sl_up_trouble(const json_t *pod, const char **container);

/* Whether @pod runs and is ready, or has done its work. */
bool sl_up_pod_is_good(const json_t *pod);

/* Whether @pod is good and lasts: a program that ends at once is ready for a moment,
 * time and again.  Its containers have run for a second, and for ten once one was
 * started anew. */
bool sl_up_pod_lasts(const json_t *pod);

/* Append what @pod says: state, events, its last lines. */
void sl_up_listen(const struct sl_up *up, const struct sl_up_workload *workload, const json_t *pod, struct sl_buf *words);

#endif
