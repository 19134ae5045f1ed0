/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/json.h"
#include "cli/cli.h"
#include "cli/shell.h"
#include "cluster/minikube.h"

/*
 * The switch is minikube's (cmd/minikube/cmd/docker-env.go), so that either tool
 * undoes what the other did: DOCKER_* point at the engine in the node,
 * MINIKUBE_ACTIVE_DOCKERD says so, MINIKUBE_EXISTING_* keep what was there.  But the
 * user's ssh-agent is left alone.
 */

struct docker_env_options {
	const char *shell;
	bool unset;
};

#define AT(field) offsetof(struct docker_env_options, field)
static const struct sl_option options[] = {
	{ "unset", 'u', SL_OPTION_FLAG, NULL, AT(unset), "print the way back" },
	{ "shell", 0, SL_OPTION_TEXT, "SHELL", AT(shell), "bash, zsh, fish, powershell, cmd, tcsh, emacs or none (default: by $SHELL)" },
};

#define ACTIVE "MINIKUBE_ACTIVE_DOCKERD"
#define EXISTING "MINIKUBE_EXISTING_"
static const char *const switched[] = { "DOCKER_TLS_VERIFY", "DOCKER_HOST", "DOCKER_CERT_PATH" };
#define N_SWITCHED (sizeof(switched) / sizeof(switched[0]))

static const char *env(const char *name)
{
	const char *value = getenv(name);
	return value && *value ? value : NULL;
}

/* What the variables become; NULL: unset. */
struct values {
	char *verify, *host, *certificates;
};

static const char *value_of(const struct values *values, size_t i)
{
	const char *const list[N_SWITCHED] = { values->verify, values->host, values->certificates };
	return list[i];
}

static int find_values(struct sl_cli *cli, struct values *values, struct sl_error *err)
{
	const struct sl_cluster *cluster = &cli->cluster;
	const struct sl_node *node = NULL;
	for (size_t i = 0; i < cluster->n_nodes && !node; i++)
		if (cluster->nodes[i].chosen && (cluster->nodes[i].dockers.n || cluster->nodes[i].sshds.n))
			node = &cluster->nodes[i];
	if (!node)
		return sl_error_set(err, SL_FAILED, "the nodes of %s/%s have no Docker engine that a docker client could use; "
				    "put images into them by: sidelift load IMAGE", cluster->provider, cluster->name);
	if (!node->running)
		return sl_error_set(err, SL_FAILED, "node '%s' is not running (%s); start it: minikube start -p %s", node->name, node->state,
				    cluster->name);
	sl_autofree char *home = sl_minikube_home();
	if (!home)
		return sl_error_nomem(err);
	int rc;
	if (node->dockers.n) {
		values->verify = strdup("1");
		rc = asprintf(&values->host, "tcp://%s", node->dockers.items[0]);
		if (asprintf(&values->certificates, "%s/certs", home) < 0)
			values->certificates = NULL;
		if (!values->verify || !values->certificates)
			rc = -1;
	} else {
		rc = asprintf(&values->host, "ssh://docker@%s", node->sshds.items[0]);
	}
	if (rc < 0)
		values->host = NULL;
	return rc < 0 ? sl_error_nomem(err) : 0;
}

/* Keep what is there, unless it is a switch's already. */
static int put_existing(const struct sl_shell *shell, struct sl_buf *out, struct sl_error *err)
{
	for (size_t i = 0; !env(ACTIVE) && i < N_SWITCHED; i++) {
		char name[64];
		snprintf(name, sizeof(name), EXISTING "%s", switched[i]);
		if (env(switched[i]) && sl_shell_set(shell, out, name, env(switched[i]), err) < 0)
			return -1;
	}
	return 0;
}

static int put_switch(struct sl_cli *cli, const struct sl_shell *shell, struct sl_buf *out, struct sl_error *err)
{
	struct values values = { 0 };
	int rc = sl_cli_cluster(cli, err) < 0 || find_values(cli, &values, err) < 0 ? -1 : 0;
	for (size_t i = 0; rc == 0 && i < N_SWITCHED; i++) {
		if (value_of(&values, i))
			rc = sl_shell_set(shell, out, switched[i], value_of(&values, i), err);
		else if (env(switched[i]))
			sl_shell_unset(shell, out, switched[i]);
	}
	if (rc == 0)
		rc = put_existing(shell, out, err);
	if (rc == 0)
		rc = sl_shell_set(shell, out, ACTIVE, cli->cluster.name, err);
	free(values.verify);
	free(values.host);
	free(values.certificates);
	return rc;
}

/* minikube starts an agent of its own for ssh; that one goes, the user's stays. */
static void put_agent(const struct sl_shell *shell, struct sl_buf *out)
{
	sl_autofree char *ours = sl_minikube_agent(env(ACTIVE));
	if (!ours || !env("SSH_AUTH_SOCK") || strcmp(ours, env("SSH_AUTH_SOCK")) != 0)
		return;
	sl_shell_unset(shell, out, "SSH_AUTH_SOCK");
	if (env("SSH_AGENT_PID"))
		sl_shell_unset(shell, out, "SSH_AGENT_PID");
}

static int put_way_back(const struct sl_shell *shell, struct sl_buf *out, struct sl_error *err)
{
	if (!env(ACTIVE)) {
		fprintf(stderr, "sidelift: docker is not switched (" ACTIVE " is not set); nothing to go back from\n");
		return 0;
	}
	for (size_t i = 0; i < N_SWITCHED; i++) {
		char name[64];
		snprintf(name, sizeof(name), EXISTING "%s", switched[i]);
		if (env(name)) {
			if (sl_shell_set(shell, out, switched[i], env(name), err) < 0)
				return -1;
			sl_shell_unset(shell, out, name);
		} else if (env(switched[i])) {
			sl_shell_unset(shell, out, switched[i]);
		}
	}
	put_agent(shell, out);
	sl_shell_unset(shell, out, ACTIVE);
	return 0;
}

static int run(int argc, char **argv, struct sl_cli *cli, struct sl_error *err)
{
	struct docker_env_options given = { 0 };
	sl_autobuf struct sl_buf out = SL_BUF_INIT;
	int first;
	if (sl_cli_parse(cli, &sl_command_docker_env, argc, argv, &given, &first, err) < 0 || cli->help)
		return 2;
	if (first < argc)
		return sl_error_set(err, SL_USAGE, "docker-env takes no argument, not even '%s'", argv[first]);
	const struct sl_shell *shell = sl_shell_by_name(given.shell, err);
	if (!shell)
		return 2;
	if ((given.unset ? put_way_back(shell, &out, err) : put_switch(cli, shell, &out, err)) < 0)
		return 1;
	if (out.failed)
		return sl_error_nomem(err);
	fwrite(sl_buf_text(&out), 1, out.len, stdout);
	if (isatty(1) && !cli->quiet && out.len) {
		sl_autobuf struct sl_buf hint = SL_BUF_INIT;
		sl_shell_hint(shell, &hint, given.unset ? "sidelift docker-env -u" : "sidelift docker-env");
		fprintf(stderr, "# to have it evaluated: %s\n", sl_buf_text(&hint));
	}
	return sl_cli_flush(err);
}

const struct sl_command sl_command_docker_env = {
	.name = "docker-env",
	.usage = "[-u] [--shell SHELL]",
	.summary = "print what points docker at the cluster's own engine, or back",
	.help = "Prints the commands that point a docker client at the engine inside the cluster's node\n"
		"(minikube with the docker runtime), for the shell to evaluate: eval $(sidelift docker-env).\n"
		"With -u the way back, to what was there before.",
	.options = options,
	.n_options = sizeof(options) / sizeof(options[0]),
	.run = run,
};
