/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SIDELIFT_H
#define SIDELIFT_H

/*
 * The sidelift library: put locally built images into every node of a local
 * Kubernetes cluster, by the rules of the command `sidelift` (sidelift(1)): only
 * clusters that are provably local, only the layers that a node lacks, all nodes at
 * once, the name last, confirmed by the node.
 *
 *	struct sl_error err = SL_ERROR_INIT;
 *	struct sidelift *s = sidelift_open(NULL, &err);
 *	const char *names[] = { "app:dev" };
 *	struct sidelift_result *result;
 *	int rc = s ? sidelift_load(s, names, 1, &result, &err) : -1;
 *
 * Errors.  The library neither prints nor exits.  A function that can fail returns 0
 * or -1 (or a pointer or NULL) and fills the `struct sl_error` that is its last
 * argument, which may be NULL; the caller holds that struct by value, so an error can
 * be reported even when memory is out.  It is written to on failure only.  Where a
 * message names an option (--kube-context), the member of struct sidelift_options
 * with that name is meant.
 *
 * Strings are UTF-8 and end in NUL.  What a function is given stays the caller's and
 * is not needed after it returns.
 *
 * Threads.  One thread uses a `struct sidelift` at a time, but for sidelift_cancel();
 * different ones are independent.  The environment (DOCKER_HOST, KUBECONFIG, HOME…)
 * is read, so nobody may change it during a call.
 *
 * The process.  No signal handler is installed and no signal's action changed, and
 * setlocale() is not called.  For the time of a call SIGPIPE is blocked in the calling
 * thread, and its locale is "C" with UTF-8 (uselocale(3)).  Threads that the library
 * starts are gone when the call returns; a handler of the caller's may run in one of
 * them.  Children (ssh, docker for ssh://) are waited for by their own process IDs: a
 * caller must not ignore SIGCHLD, nor wait for just any child meanwhile.
 * sidelift_open() calls curl_global_init(): a program with other threads that use a
 * libcurl before 7.84 calls that itself before they start.
 */

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SIDELIFT_VERSION "0.1.0"

/* What the shared object shows. */
#ifdef __GNUC__
#define SIDELIFT_API __attribute__((visibility("default")))
#else
#define SIDELIFT_API
#endif

/* The version of the library that is linked, as SIDELIFT_VERSION is the one that was
 * compiled with.  Static. */
SIDELIFT_API const char *sidelift_version(void);

/* ---- errors ---- */

/* What went wrong, as far as a caller can act on it.  The first six values are
 * also the program's exit codes. */
enum sl_status {
	SL_OK = 0,
	SL_FAILED = 1,      /* it did not work */
	SL_USAGE = 2,       /* the request itself makes no sense */
	SL_PARTIAL = 3,     /* done on some nodes, not on others */
	SL_ANSWER_NO = 4,   /* a check found what it looks for */
	SL_REFUSED = 5,     /* refused for safety: not provably a local cluster */
	SL_NOT_FOUND = 10,  /* the thing asked for does not exist there */
	SL_TIMEOUT = 11,    /* a peer did not answer in time */
	SL_INTERRUPTED = 12,/* sidelift_cancel() */
	SL_NOSPACE = 13,    /* a disk is full; repeating will not help */
	SL_CLOSED = 14      /* the peer closed the connection early */
};

#define SL_ERROR_MAX 1024

struct sl_error {
	enum sl_status status;
	int errnum;                /* errno where one was the cause, else 0 */
	char message[SL_ERROR_MAX]; /* lower case, no full stop, what to do about it */
};

#define SL_ERROR_INIT { SL_OK, 0, "" }

/* The exit code that stands for @status: what the table above says, and 1 for
 * every status from SL_NOT_FOUND on. */
SIDELIFT_API int sl_status_exit_code(enum sl_status status);

/* ---- what it does and why ---- */

enum sl_log_level {
	SL_LOG_WARN,  /* the user should know */
	SL_LOG_INFO,  /* decisions and their reasons */
	SL_LOG_DEBUG  /* every request and command */
};

/* Have @log called with each line up to @level, without its newline; NULL: with none,
 * as at first.  One for the whole process: set it while no other function of the
 * library is at work.  It is called from any of the library's threads, from several at
 * once, and must not call the library, but for sidelift_cancel().  @ctx is passed on. */
SIDELIFT_API void sidelift_set_log(enum sl_log_level level, void (*log)(enum sl_log_level level, const char *line, void *ctx), void *ctx);

/* ---- engine and cluster ---- */

/* What is meant; what is NULL is found as `sidelift` without that option finds it
 * (docker's and kubectl's variables, contexts and files).  Zero it, and say with what
 * size it was compiled: members will be added at the end. */
struct sidelift_options {
	size_t size;                /* sizeof(struct sidelift_options) */
	const char *docker_host;    /* the engine that has the images: "unix:///var/run/docker.sock" */
	const char *docker_context; /* or the docker context */
	const char *node_engine;    /* the engine that runs the nodes, if it is another one: a URL */
	const char *kubeconfig;     /* a file */
	const char *kube_context;   /* a context in it */
	const char *cluster;        /* past the kubeconfig: "kind/dev", "minikube/minikube" */
	const char *const *nodes;   /* only these nodes; the list ends in NULL */
	const char *exporter;       /* how images leave the engine: "store", "registry" or "save" */
	const char *importer;       /* how layers enter containerd: "direct", "import" or "auto" */
};

struct sidelift;

/* Begin, with @options (copied; NULL: none).  Nothing is looked for yet: engine and
 * cluster are found by the first function that needs them, and stay what they are.
 * When the cluster has been made anew since, so must this be.  The caller closes it;
 * NULL on failure: SL_USAGE for options that make no sense. */
SIDELIFT_API struct sidelift *sidelift_open(const struct sidelift_options *options, struct sl_error *err);

/* Free all of it.  NULL is fine. */
SIDELIFT_API void sidelift_close(struct sidelift *s);

/* What was found.  Borrowed, until sidelift_close(). */
struct sidelift_cluster {
	const char *provider;     /* "kind", "minikube", "k3d" */
	const char *name;         /* "dev" */
	const char *evidence;     /* why this one */
	const char *kube_context; /* NULL: no kubeconfig led here */
	const char *shared;       /* why it uses the engine's images as they are, so that nothing has to be loaded; else NULL */
	const char *const *nodes; /* the names of those that a load goes to; the list ends in NULL */
	const char *engine_url;   /* of the engine that has the images; NULL when there is none that answers, */
	const char *engine_error; /* and why; NULL when there is */
};

/* Find engine and cluster, and say what they are.  NULL when there is no cluster:
 * SL_REFUSED when the kube context is not provably a local one, SL_NOT_FOUND when none
 * is there, SL_FAILED when several could be meant.  That the cluster's own CA is the
 * one that the context trusts is proven by each load, not here. */
SIDELIFT_API const struct sidelift_cluster *sidelift_find(struct sidelift *s, struct sl_error *err);

/* ---- loading ---- */

enum sidelift_outcome {
	SIDELIFT_PRESENT = 1, /* the node had everything already */
	SIDELIFT_LOADED = 2,  /* it has now, and has confirmed it */
	SIDELIFT_FAILED = 3   /* it has what it had before */
};

struct sidelift_image {
	const char *requested; /* as it was asked for, or the archive names it: "app:dev" */
	const char *name;      /* in full, as the nodes know it: "docker.io/library/app:dev" */
	const char *digest;    /* of its config, which is its identity: "sha256:…"; "" if it was not found out */
	size_t layers;
};

struct sidelift_node {
	const char *name;
	enum sidelift_outcome outcome;
	const char *error; /* why it failed; else NULL */
	uint64_t bytes;    /* that were sent into it, all tries */
	size_t layers;     /* that were sent */
	double seconds;    /* from the start of the transfer to the node's answer */
};

/* The lists end in NULL as well. */
struct sidelift_result {
	size_t n_images, n_nodes;
	const struct sidelift_image *const *images;
	const struct sidelift_node *const *nodes;
	const char *exporter; /* the way out of the engine that was taken; NULL: none was needed */
	const char *shared;   /* as in struct sidelift_cluster: there are no nodes then */
};

/* Load the images @names [@n] of the engine into every node.  0 when each node has all
 * of them now.  -1: SL_NOT_FOUND when the engine lacks some, SL_REFUSED when the
 * cluster is not provably local, SL_FAILED for what else kept all nodes from it; nothing
 * has changed then.  SL_PARTIAL when some nodes have them now and others have not;
 * SL_INTERRUPTED after sidelift_cancel(), with what was half done taken back.
 *
 * *result tells of each image and node; it is NULL on a failure before there was
 * anything to tell.  The caller frees it.  @result may be NULL. */
SIDELIFT_API int sidelift_load(struct sidelift *s, const char *const *names, size_t n, struct sidelift_result **result,
			       struct sl_error *err);

/* The same with what the docker save or OCI archive at @path holds.  "-" is the
 * process's standard input, which is read once. */
SIDELIFT_API int sidelift_load_archive(struct sidelift *s, const char *path, struct sidelift_result **result, struct sl_error *err);

/* NULL is fine. */
SIDELIFT_API void sidelift_result_free(struct sidelift_result *result);

/* Have what @s is doing given up soon, and all that it is asked for later.  Safe in a
 * signal handler and from another thread, as long as @s is not closed.  @signo is kept
 * for sidelift_cancelled(): a signal's number, or any other that is not 0. */
SIDELIFT_API void sidelift_cancel(struct sidelift *s, int signo);

/* What the first sidelift_cancel() was given; 0 when there was none. */
SIDELIFT_API int sidelift_cancelled(const struct sidelift *s);

/* ---- manifests ---- */

/* Set imagePullPolicy to @policy ("Never", "IfNotPresent", "Always"; NULL: "Never") in
 * every container of the manifests @text (@len bytes, YAML or JSON) that runs one of
 * @images [@n]; every other byte stays.  *out is the result, *out_len bytes and a NUL
 * behind them; the caller frees it by free().  No engine and no cluster is asked.
 * SL_USAGE for what is no image name and no policy; SL_FAILED, as "NAME:LINE:COLUMN:
 * message" with @name, for a text that cannot be rewritten without changing more. */
SIDELIFT_API int sidelift_rewrite(const char *name, const char *text, size_t len, const char *const *images, size_t n,
				  const char *policy, char **out, size_t *out_len, struct sl_error *err);

#ifdef __cplusplus
}
#endif

#endif
