/* SPDX-License-Identifier: Apache-2.0 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>

#include "base/cleanup.h"
#include "base/guest.h"
#include "base/log.h"
#include "cli/cli.h"
#include "cli/plugin.h"

static const struct sl_command *const commands[] = {
	&sl_command_load,
	&sl_command_up,
	&sl_command_rewrite,
	&sl_command_context,
	&sl_command_docker_env,
	&sl_command_images,
	&sl_command_prune,
};
#define N_COMMANDS (sizeof(commands) / sizeof(commands[0]))

#define AT(field) offsetof(struct sl_cli, field)
static const struct sl_option global_options[] = {
	{ "docker-host", 0, SL_OPTION_TEXT, "URL", AT(docker_host), "the engine that has the images (default: DOCKER_HOST)" },
	{ "docker-context", 0, SL_OPTION_TEXT, "NAME", AT(docker_context), "the docker context that has the images (default: docker's own)" },
	{ "node-engine", 0, SL_OPTION_TEXT, "URL", AT(node_engine), "the engine that runs the nodes, if it is another one" },
	{ "kubeconfig", 0, SL_OPTION_TEXT, "FILE", AT(kubeconfig), "kubeconfig (default: KUBECONFIG, ~/.kube/config)" },
	{ "kube-context", 0, SL_OPTION_TEXT, "NAME", AT(kube_context), "context (default: the current one)" },
	{ "cluster", 0, SL_OPTION_TEXT, "KIND/NAME", AT(cluster_name), "cluster, past the kubeconfig: kind/dev, minikube/minikube" },
	{ "profile", 'p', SL_OPTION_TEXT, "NAME", AT(profile), "minikube's profile: --cluster minikube/NAME" },
	{ "node", 0, SL_OPTION_LIST, "NAME", AT(nodes), "only this node; may be repeated" },
	{ "output", 'o', SL_OPTION_TEXT, "human|json", AT(output), "how results are printed" },
	{ "progress", 0, SL_OPTION_TEXT, "MODE", AT(progress), "auto, tty, plain, json or none" },
	{ "timeout", 0, SL_OPTION_TEXT, "TIME", AT(timeout), "give up after this long: 90s, 5m" },
	{ "quiet", 'q', SL_OPTION_FLAG, NULL, AT(quiet), "no progress, no warnings" },
	{ "verbose", 'v', SL_OPTION_COUNT, NULL, AT(verbose), "say what is done and why; twice: every request" },
	{ "help", 'h', SL_OPTION_FLAG, NULL, AT(help), "this help" },
	{ "version", 0, SL_OPTION_FLAG, NULL, AT(version), "the version" },
};
#define N_GLOBAL (sizeof(global_options) / sizeof(global_options[0]))

static struct sl_cancel *signal_cancel;
static int64_t started_at; /* for -v */

/* The first signal asks everything to stop and clean up; a second one ends it. */
static void on_signal(int signo)
{
	if (signal_cancel->reason)
		_exit(128 + signo);
	sl_cancel_fire(signal_cancel, signo);
}

static void install_signals(struct sl_cancel *cancel)
{
	struct sigaction action = { .sa_handler = on_signal };
	signal_cancel = cancel;
	sigemptyset(&action.sa_mask);
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGHUP, &action, NULL);
	sigaction(SIGALRM, &action, NULL);
}

static void print_log(enum sl_log_level level, const char *line, void *ctx)
{
	if (level == SL_LOG_WARN)
		fprintf(stderr, "sidelift: warning: %s\n", line);
	else
		fprintf(stderr, "sidelift: %5.3f %s\n", (double)(sl_now() - started_at) / 1000, line);
}

/* "90s", "5m", "1500ms", "90" */
int sl_cli_time(const char *text, int64_t *ms, struct sl_error *err)
{
	char *rest;
	double value = strtod(text, &rest), unit = 0;
	if (!strcmp(rest, "ms"))
		unit = 0.001;
	else if (!strcmp(rest, "s") || !*rest)
		unit = 1;
	else if (!strcmp(rest, "m"))
		unit = 60;
	else if (!strcmp(rest, "h"))
		unit = 3600;
	value *= unit;
	if (rest == text || !(value > 0) || value > 1e6)
		return sl_error_set(err, SL_USAGE, "'%s' is not a time; write 90s or 5m", text);
	*ms = (int64_t)(value * 1000);
	return 0;
}

static int apply_globals(struct sl_cli *cli, struct sl_error *err)
{
	static const char *const modes[] = { "auto", "tty", "plain", "json", "none" };
	struct itimerval timer = { 0 };
	const struct sl_option_set set = { global_options, N_GLOBAL, cli, "SIDELIFT_" };
	if (sl_options_environment(&set, err) < 0)
		return -1;
	if (cli->output && strcmp(cli->output, "json") != 0 && strcmp(cli->output, "human") != 0)
		return sl_error_set(err, SL_USAGE, "--output is human or json, not '%s'", cli->output);
	cli->json = cli->output && !strcmp(cli->output, "json");
	bool known = !cli->progress;
	for (size_t i = 0; !known && i < sizeof(modes) / sizeof(modes[0]); i++)
		known = !strcmp(cli->progress, modes[i]);
	if (!known)
		return sl_error_set(err, SL_USAGE, "--progress is auto, tty, plain, json or none, not '%s'", cli->progress);
	if (cli->timeout) {
		int64_t ms;
		if (sl_cli_time(cli->timeout, &ms, err) < 0)
			return -1;
		timer.it_value.tv_sec = (time_t)(ms / 1000);
		timer.it_value.tv_usec = (suseconds_t)(ms % 1000 * 1000);
		setitimer(ITIMER_REAL, &timer, NULL);
	}
	sl_log_set(cli->quiet ? NULL : print_log, cli->verbose > 1 ? SL_LOG_DEBUG : cli->verbose ? SL_LOG_INFO : SL_LOG_WARN, NULL);
	return 0;
}

static void print_help(void)
{
	printf("sidelift puts locally built images into every node of a local Kubernetes cluster.\n\n"
	       "Usage: sidelift [OPTION]... COMMAND [ARGUMENT]...\n\nCommands:\n");
	for (size_t i = 0; i < N_COMMANDS; i++)
		printf("  %-10s %s\n", commands[i]->name, commands[i]->summary);
	printf("\nGlobal options (also from SIDELIFT_..., as SIDELIFT_KUBE_CONTEXT):\n");
	sl_options_help(global_options, N_GLOBAL);
	printf("\nExit codes: 0 done, 1 failed, 2 usage, 3 done on some nodes only, 4 the answer is no,\n"
	       "5 refused for safety, 128+N by signal N.  sidelift COMMAND --help says more.\n");
}

static void print_command_help(const struct sl_command *command)
{
	printf("Usage: sidelift %s%s%s\n\n%s\n", command->name, *command->usage ? " " : "", command->usage, command->help);
	if (command->n_options)
		printf("\nOptions:\n");
	sl_options_help(command->options, command->n_options);
	printf("\nGlobal options:\n");
	sl_options_help(global_options, N_GLOBAL);
}

int sl_cli_parse(struct sl_cli *cli, const struct sl_command *command, int argc, char **argv, void *values,
		 int *first, struct sl_error *err)
{
	const struct sl_option_set sets[] = {
		{ command->options, command->n_options, values, NULL },
		{ global_options, N_GLOBAL, cli, NULL },
	};
	if (sl_options_parse(argc, argv, sets, 2, 0, first, err) < 0)
		return -1;
	return cli->help ? 0 : apply_globals(cli, err);
}

static const struct sl_command *find_command(const char *name)
{
	for (size_t i = 0; i < N_COMMANDS; i++)
		if (!strcmp(commands[i]->name, name))
			return commands[i];
	return NULL;
}

static int run(struct sl_cli *cli, int argc, char **argv, struct sl_error *err)
{
	const struct sl_option_set set = { global_options, N_GLOBAL, cli, NULL };
	int first = 0;
	if (sl_cancel_init(&cli->cancel, err) < 0)
		return 1;
	install_signals(&cli->cancel);
	if (sl_http_init(err) < 0 || sl_options_parse(argc, argv, &set, 1, 1, &first, err) < 0)
		return 1;
	if (cli->version) {
		printf("sidelift %s\n", SIDELIFT_VERSION);
		return sl_cli_flush(err) < 0;
	}
	if (first == argc) {
		if (!cli->help)
			return sl_error_set(err, SL_USAGE, "no command; see sidelift --help");
		print_help();
		return sl_cli_flush(err) < 0;
	}
	const struct sl_command *command = find_command(argv[first]);
	if (!command)
		return sl_error_set(err, SL_USAGE, "unknown command '%s'; see sidelift --help", argv[first]);
	int code = command->run(argc - first, argv + first, cli, err);
	if (cli->help && err->status == SL_OK) {
		print_command_help(command);
		return sl_cli_flush(err) < 0;
	}
	return code;
}

/* Interrupted: by a signal, whose number the exit code tells, or by --timeout. */
static int interrupted(const struct sl_cli *cli, struct sl_error *err)
{
	if (cli->cancel.reason == SIGALRM) {
		sl_error_set(err, SL_TIMEOUT, "not done within %s (--timeout); what was half done is taken back", cli->timeout);
		return 1;
	}
	return 128 + cli->cancel.reason;
}

int main(int argc, char **argv)
{
	struct sl_guest guest; /* for good: nobody is behind us */
	sl_guest_enter(&guest);
	started_at = sl_now();
	struct sl_cli cli = { .cancel = SL_CANCEL_INIT };
	struct sl_error err = SL_ERROR_INIT;
	sl_autostrv struct sl_strv arguments = SL_STRV_INIT;
	bool metadata;
	if (argc > 0 && sl_plugin_arguments(argc, argv, &arguments, &metadata) == 0 && metadata)
		return puts(sl_plugin_metadata()) == EOF || fflush(stdout) == EOF;
	sl_autofree char **words = calloc(arguments.n + 1, sizeof(*words)); /* getopt reorders them, and wants NULL behind */
	if (!words || !arguments.n)
		return 1;
	memcpy(words, arguments.items, arguments.n * sizeof(*words));
	int code = run(&cli, (int)arguments.n, words, &err);
	if (err.status != SL_OK) {
		code = sl_status_exit_code(err.status);
		if (cli.cancel.reason)
			code = interrupted(&cli, &err);
		fprintf(stderr, "sidelift: %s\n", err.message);
	}
	sl_place_release(&cli.place);
	sl_strv_release(&cli.nodes);
	sl_cancel_release(&cli.cancel);
	return code;
}
